#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# FLUSH: the daemon's as long as a close could report anything, the kernel's otherwise.
. "$(dirname "$0")/lib.sh"

# flushes SERVED UPCALL COMMAND...: how many FLUSH requests each answers meanwhile
flushes() {
	local served=$1 upcall=$2 s u
	shift 2
	s=$(counter FLUSH served) u=$(counter FLUSH upcall)
	"$@" || return
	s=$(($(counter FLUSH served) - s)) u=$(($(counter FLUSH upcall) - u))
	((s == served && u == upcall)) || fail "$*: $s served and $u upcalls, not $served and $upcall"
}

# One open and one close, of a descriptor that nobody else has
read_once() { exec 8<"$mnt/f"; exec 8<&-; }
write_once() { exec 8>>"$mnt/f"; echo more >&8; exec 8>&-; }
open_writer() { exec 7>>"$mnt/f"; }
close_writer() { exec 7>&-; }

test_flush_is_served_only_without_writers() {
	echo data >"$lower/f"
	xmount || return
	stat "$mnt/f" >/dev/null
	flushes 1 0 read_once &&
	flushes 0 1 write_once &&
	flushes 1 0 read_once &&
	flushes 0 0 open_writer &&
	flushes 0 1 read_once &&
	flushes 0 1 write_once &&
	flushes 0 1 close_writer &&
	flushes 1 0 read_once
}

# What the lower close says is what close(2) says
test_error_of_the_lower_close_is_reported() {
	local fails=/scratch/fails out rc=0
	mkdir -p "$fails"
	lower "$fails" 122 >/tmp/lower &	# EDQUOT
	while ! grep -q mounted /tmp/lower; do sleep 0.1; done
	mount.extfuse "$fails" "$mnt" -o "extfuse=require,object=$object" || rc=1
	out=$(LC_ALL=C dd if=/dev/zero of="$mnt/d0/f0" bs=4 count=1 conv=notrunc 2>&1) && rc=1
	umount -l "$mnt"
	umount -l "$fails"
	((rc == 0)) && [[ $out == *"Disk quota exceeded"* ]] || fail "close said: $out"
}

run_tests
