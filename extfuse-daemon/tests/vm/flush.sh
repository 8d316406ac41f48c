#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# FLUSH: the daemon's as long as a close could report anything, the kernel's otherwise.
. "$(dirname "$0")/lib.sh"

# flushes WHO COMMAND...: FLUSH is sent meanwhile (each time a shell moves or
# loses a descriptor), and all of them are WHO's: served or upcall; none: it is not sent
flushes() {
	local who=$1 s u
	shift
	s=$(counter FLUSH served) u=$(counter FLUSH upcall)
	"$@" || return
	s=$(($(counter FLUSH served) - s)) u=$(($(counter FLUSH upcall) - u))
	case $who in
	served) ((s > 0 && u == 0)) ;;
	upcall) ((s == 0 && u > 0)) ;;
	none) ((s == 0 && u == 0)) ;;
	esac || fail "$*: $s served and $u upcalls"
}

read_once() { exec 8<"$mnt/f"; exec 8<&-; }
write_once() { exec 8>>"$mnt/f"; echo more >&8; exec 8>&-; }
open_writer() { exec 7>>"$mnt/f"; }
close_writer() { exec 7>&-; }

# ext4 has nothing to report, and the kernel knows
test_no_flush_where_a_close_reports_nothing() {
	echo data >"$lower/f"
	xmount || return
	stat "$mnt/f" >/dev/null
	flushes none read_once &&
	flushes none write_once &&
	flushes none open_writer &&
	flushes none read_once &&
	flushes none close_writer
}

test_flush_elsewhere_only_of_writers() {
	local over=/scratch/over
	umount -l "$over" 2>/dev/null
	rm -rf "$over" "$lower".{l,u,w}
	mkdir -p "$over" "$lower".{l,u,w}
	mount -t overlay -o "lowerdir=$lower.l,upperdir=$lower.u,workdir=$lower.w" overlay "$over" || return
	echo data >"$over/f"
	lower=$over xmount || return
	stat "$mnt/f" >/dev/null
	flushes none read_once &&
	flushes upcall write_once &&
	flushes upcall open_writer &&
	flushes upcall close_writer || return
	umount "$mnt" && umount "$over"
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
