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

# What may change after open() is as in the lower file: each line is compared
flags='
import errno, fcntl, mmap, os, sys
os.chdir(sys.argv[1])
def said(what, f, *args):
    try:
        r = f(*args)
    except OSError as e:
        r = errno.errorcode[e.errno]
    print(what, r, os.stat("f").st_size)
def opened(flags, data=b""):
    with open("f", "wb") as f:
        f.write(data)
    return os.open("f", os.O_RDWR | flags)
block = mmap.mmap(-1, 4096)
fd = opened(os.O_DIRECT)
said("direct", os.write, fd, block)
said("direct tail", os.write, fd, b"tail")
fcntl.fcntl(fd, fcntl.F_SETFL, 0)
said("tail", os.write, fd, b"tail")
fd = opened(0, b"0123456789")
said("over", os.pwrite, fd, b"ab", 0)
fcntl.fcntl(fd, fcntl.F_SETFL, os.O_APPEND)
said("append", os.pwrite, fd, b"ab", 0)
said("no append", os.pwritev, fd, [b"ab"], 0, 0x20)
fcntl.fcntl(fd, fcntl.F_SETFL, 0)
said("append one", os.pwritev, fd, [b"ab"], 0, 0x10)
said("over again", os.pwrite, fd, b"ab", 0)
said("dsync", os.pwritev, fd, [b"ab"], 0, os.RWF_DSYNC)
said("hipri", os.preadv, fd, [bytearray(4)], 0, os.RWF_HIPRI)
said("nowait", os.preadv, fd, [bytearray(4)], 0, os.RWF_NOWAIT)
said("nowait write", os.pwritev, fd, [b"ab"], 0, os.RWF_NOWAIT)
said("content", os.pread, fd, 100, 0)
fcntl.fcntl(fd, fcntl.F_SETFL, os.O_NOATIME)
os.utime("f", ns=(0, 0))
said("noatime", os.pread, fd, 1, 0)
print(os.stat("f").st_atime)
fcntl.fcntl(fd, fcntl.F_SETFL, os.O_DIRECT)
said("direct by splice", lambda: os.sendfile(os.open("/dev/null", os.O_WRONLY), fd, 0, 4))
'
test_flags_of_now_and_of_each_call() {
	local o
	for o in passthrough nopassthrough; do
		setup
		mkdir "$lower/below" "$lower/above"
		xmount $o || return
		# without passthrough FUSE knows neither: docs/coherence.md
		python3 -c "$flags" "$lower/below" >/tmp/below
		python3 -c "$flags" "$mnt/above" >/tmp/above
		[[ $o == passthrough ]] || sed -i '/^nowait/d; /^direct/d; /^tail/d; /^hipri/d' /tmp/below /tmp/above
		cmp /tmp/below /tmp/above || fail "$o: $(diff /tmp/below /tmp/above)" || return
		xumount
	done
}

test_open_fails_with_the_lower_error() {
	mkdir "$lower/sub"
	mount -t ramfs none "$lower/sub"
	: >"$lower/sub/f"
	xmount || return
	cat "$mnt/sub/f" || return
	for how in RDONLY RDWR; do
		python3 -c "import os; os.open('$mnt/sub/f', os.O_$how | os.O_DIRECT)" 2>/tmp/error
		grep -q "Errno 22" /tmp/error || fail "$how: $(tail -n 1 /tmp/error)" || break
	done
	xumount
	lower_umount "$lower/sub"
	[[ -z $why ]]
}

test_seek_sees_dirty_pages() {
	xmount writeback || return
	python3 - "$mnt/f" <<-'EOF'
		import os, sys
		fd = os.open(sys.argv[1], os.O_CREAT | os.O_RDWR)
		os.ftruncate(fd, 1 << 20)
		os.pwrite(fd, b"data" * 1024, 0)
		os.pwrite(fd, b"tail" * 1024, 917504)
		seen = [os.lseek(fd, 0, os.SEEK_DATA), os.lseek(fd, 0, os.SEEK_HOLE), os.lseek(fd, 4096, os.SEEK_DATA)]
		sys.exit(seen != [0, 4096, 917504])
	EOF
}

test_a_mapped_file_is_not_asked_at_each_write() {
	local n
	echo 0123456789 >"$lower/f"
	xmount || return
	python3 - "$mnt/f" <<-'EOF' || return
		import mmap, os, sys
		fd = os.open(sys.argv[1], os.O_RDWR)
		m = mmap.mmap(fd, 10)
		for i in range(2000):
		    os.pwrite(fd, b"x", i)
	EOF
	n=$(counter GETATTR upcall)
	((n < 20)) || fail "daemon saw $n GETATTR" || return
	agree "at the end" || return
	chmod 4711 "$lower/f"
	[[ $(stat --cached=never -c %a "$mnt/f") == 4711 ]]
}

# The lower atime does not move: no program runs for it
test_reads_below_a_read_only_mount() {
	local before
	echo data >"$lower/f"
	touch -a -d 2001-01-01 "$lower/f"
	mkdir -p /scratch/bound
	mount --bind "$lower" /scratch/bound
	mount -o remount,bind,ro /scratch/bound
	mount.extfuse /scratch/bound "$mnt" -o "extfuse=require,object=$object" || return
	echo 1 >/proc/sys/kernel/bpf_stats_enabled
	exec 7<"$mnt/f"
	before=$(runs)
	((before > 0)) || fail "bpftool counts no runs" || return
	for _ in {1..100}; do dd bs=1 count=1 status=none <&7 >/dev/null; done
	before=$(($(runs) - before))
	exec 7<&-
	echo 0 >/proc/sys/kernel/bpf_stats_enabled
	xumount
	lower_umount /scratch/bound
	((before < 50)) || fail "$before runs"
}

# How often programs ran
runs() { bpftool prog list | sed -n 's/^[0-9]*: type 33 .* run_cnt \([0-9]*\).*/\1/p' | awk '{ n += $1 } END { print n + 0 }'; }

# What reflinks and deduplication make is seen at once
# Sectors that the disk of /scratch was told to write
written() { awk '{ print $7 }' /sys/block/vda/stat; }

test_sync_reaches_the_disk() {
	local before
	xmount || return
	sync
	before=$(written)
	dd if=/dev/zero of="$mnt/f" bs=1M count=8 || return
	sync -f "$mnt" || return
	(($(written) >= before + 16384)) || fail "$(($(written) - before)) sectors written, not 16384" || return
	(($(counter SYNCFS upcall) > 0)) || fail "no SYNCFS: $(counters)"
}

test_reflinks() {
	local how
	truncate -s 400M /scratch/xfs
	mkfs.xfs -q -f /scratch/xfs && mount -o loop,noatime /scratch/xfs "$lower" || return
	head -c 1000000 /dev/urandom >"$lower/src"
	xmount || return
	cp --reflink=always "$mnt/src" "$mnt/f" && cmp "$mnt/src" "$lower/f" && agree "after a clone" &&
		xfs_io -c "reflink $mnt/src 0 4096 8192" "$mnt/f" && cmp -n 8192 "$mnt/src" "$lower/f" "0" 4096 &&
		agree "after a clone of a part" || why=${why:-clone}
	cp "$mnt/src" "$mnt/g" && xfs_io -c "dedupe $mnt/src 0 0 65536" "$mnt/g" && cmp "$mnt/src" "$mnt/g" ||
		why=${why:-dedupe}
	chown 1000 "$mnt/f"
	chmod 4755 "$mnt/f"
	chmod 644 "$mnt/src"
	setpriv --reuid 1000 --clear-groups cp --reflink=always "$mnt/src" "$mnt/f" || why=${why:-by a user}
	[[ $(stat -c %a "$lower/f") == 755 ]] || why=${why:-setuid stays}
	xumount
	lower_umount "$lower"
	rm /scratch/xfs
	[[ -z $why ]]
}

run_tests
