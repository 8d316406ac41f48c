#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Data goes to the lower file; attributes follow.
. "$(dirname "$0")/lib.sh"

times() { stat -c '%s %b %y %z %x' "$1"; }
agree() { [[ $(times "$mnt/f") == "$(times "$lower/f")" ]] || fail "$*: mount $(times "$mnt/f"), lower $(times "$lower/f")"; }

test_io_needs_no_daemon() {
	local r w
	xmount || return
	dd if=/dev/zero of="$mnt/f" bs=4k count=2000 || return
	cmp -n 8192000 "$mnt/f" /dev/zero || return
	r=$(counter READ upcall) w=$(counter WRITE upcall)
	((r == 0 && w == 0)) || fail "daemon saw $r reads and $w writes" || return
	(($(counter WRITE passthru) >= 2000)) || fail "not counted: $(counters)" || return
	(($(counter READ passthru) == 0)) || fail "the program was asked before reads: $(counters)"
}

test_attributes_follow_writes() {
	local i
	xmount || return
	: >"$mnt/f"
	exec 7<>"$mnt/f"
	for ((i = 0; i < 50; i++)); do
		echo line >&7
		agree "after write $i" || return
		drop
		agree "after write $i, caches dropped" || return
	done
	exec 7>&-
	# the program publishes what a write came to: the daemon is not asked
	i=$(counter GETATTR upcall)
	((i <= 2)) || fail "daemon saw $i GETATTR"
}

test_attributes_follow_reads() {
	local i old
	echo data >"$lower/f"
	touch -a -d 2001-01-01 "$lower/f"
	old=$(stat -c %X "$lower/f")
	xmount || return
	dd if="$mnt/f" iflag=noatime of=/dev/null || return
	[[ $(stat -c %X "$lower/f") == "$old" ]] || fail "O_NOATIME moved the atime" || return
	python3 -c "import os; os.read(os.open('$mnt/f', os.O_RDONLY), 0)" || return
	[[ $(stat -c %X "$lower/f") == "$old" ]] || fail "a read of nothing moved the atime" || return
	for ((i = 0; i < 5; i++)); do
		agree "before read $i" || return
		cat "$mnt/f" >/dev/null
		agree "after read $i" || return
		(($(stat -c %X "$lower/f") > old)) || fail "read $i has not moved the atime" || return
		((i % 2)) || touch -m "$mnt/f"
		drop
	done
	i=$(counter READ upcall)
	((i == 0)) || fail "daemon saw $i READ" || return
	mount -o remount,noatime /scratch || return
	touch -a -d 2001-01-01 "$lower/f"
	cat "$mnt/f" >/dev/null
	mount -o remount,atime,relatime /scratch
	[[ $(stat -c %X "$lower/f") == "$old" ]] || fail "noatime of the lower mount is not kept"
}

test_atime_moves_by_mmap_and_sendfile() {
	local how
	for how in "fsop mmap $mnt/f hello" "fsop sendfile $mnt/f" "dd if=$mnt/f iflag=direct of=/dev/null"; do
		setup
		dd if=/dev/zero of="$lower/f" bs=4k count=4 2>/dev/null
		xmount || return
		touch -a -d 2001-01-01 "$mnt/f"
		$how || fail "$how" || return
		agree "after $how" || return
		(($(stat -c %X "$lower/f") > 1000000000)) || fail "$how has not moved the atime" || return
	done
}

test_attributes_follow_mmap() {
	dd if=/dev/zero of="$lower/f" bs=4k count=16 2>/dev/null
	touch -d 2001-01-01 "$lower/f"
	xmount || return
	agree "before" || return
	fsop mmap "$mnt/f" hello || return
	sync
	agree "after a store" || return
	cmp "$mnt/f" "$lower/f"
}

test_attributes_follow_aio_and_splice() {
	xmount || return
	fio --name=a --filename="$mnt/f" --rw=randwrite --bs=4k --size=2m --ioengine=libaio --iodepth=8 \
		--direct=1 --verify=crc32c --minimal || return
	agree "after libaio" || return
	fio --name=a --filename="$mnt/f" --rw=randrw --bs=4k --size=2m --ioengine=splice --minimal || return
	agree "after splice" || return
	[[ $(extfuse-stat --json "$mnt" | jq .rejected) == 0 ]] || fail "verdicts were rejected"
}

test_suid_is_cleared_by_writing() {
	xmount || return
	touch "$mnt/f"; chown 1000 "$mnt/f"; chmod 4755 "$mnt/f"
	setpriv --reuid 1000 --clear-groups sh -c "echo x >>$mnt/f" || return
	[[ $(stat -c %a "$mnt/f") == 755 ]] || fail "mode $(stat -c %a "$mnt/f")" || return
	[[ $(stat -c %a "$lower/f") == 755 ]] || fail "lower mode $(stat -c %a "$lower/f")"
}

run_tests
