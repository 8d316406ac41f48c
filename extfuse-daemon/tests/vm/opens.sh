#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Files and directories that the kernel opens without the daemon.
. "$(dirname "$0")/lib.sh"

test_second_open_needs_no_daemon() {
	local i before after
	for i in {1..50}; do echo "content $i" >"$lower/f$i"; done
	xmount || return
	cat "$mnt"/f* >/tmp/first
	before=$(jq -c '[.OPEN.upcall, .RELEASE.upcall, .FLUSH.upcall]' <<<"$(counters)")
	cat "$mnt"/f* >/tmp/second
	drop
	cat "$mnt"/f* >/tmp/third
	sleep 0.2
	after=$(jq -c '[.OPEN.upcall, .RELEASE.upcall, .FLUSH.upcall]' <<<"$(counters)")
	cmp /tmp/first /tmp/second && cmp /tmp/first /tmp/third && cmp /tmp/first <(cat "$lower"/f*) || return
	[[ $before == "$after" ]] || fail "OPEN, RELEASE, FLUSH: $before, then $after"
}

test_writers_and_truncation_ask_the_daemon() {
	local before
	echo old >"$lower/f"
	xmount || return
	cat "$mnt/f" "$mnt/f" >/dev/null
	before=$(counter OPEN upcall)
	echo more >>"$mnt/f"
	(($(counter OPEN upcall) > before)) || fail "who opened it to append?" || return
	before=$(counter OPEN upcall)
	echo new >"$mnt/f"
	(($(counter OPEN upcall) > before)) || fail "who opened it to truncate?" || return
	[[ $(cat "$mnt/f") == new && $(<"$lower/f") == new ]] || fail "$(cat "$mnt/f") / $(<"$lower/f")" || return
	fsop open "$mnt/f" 01000	# O_RDONLY | O_TRUNC
	[[ ! -s $lower/f && ! -s $mnt/f ]] || fail "not truncated"
}

# What carries a handle, on a file and a directory that have none
test_requests_without_handle() {
	head -c 100000 /dev/urandom >"$lower/f"
	truncate -s 1M "$lower/f"
	xmount || return
	cat "$mnt/f" >/dev/null
	[[ $(fsop seek "$mnt/f" 0 hole) == "$(fsop seek "$lower/f" 0 hole)" ]] || fail "lseek" || return
	sync "$mnt/f" || fail "fsync" || return
	sync "$mnt" || fail "fsyncdir" || return
	fsop copy "$mnt/f" "$mnt/copy" 1048576 && cmp -n 100000 "$lower/f" "$mnt/copy" || fail "copy_file_range" || return
	exec 7<"$mnt/f"
	flock 7 || fail "flock" || return
	cmp "$lower/f" <(dd bs=4k iflag=direct <&7) || fail "O_DIRECT set later" || return
	exec 7<&-
}

test_exec() {
	local i
	cp /bin/true "$lower/true"
	xmount || return
	for i in 1 2 3; do "$mnt/true" || fail "exec $i" || return; done
	cp /bin/true "$mnt/new" && "$mnt/new" && "$mnt/new" && "$lower/new" || fail "exec of what was written" || return
	cat "$mnt/new" >/dev/null
	"$lower/new" && cp /bin/false "$mnt/new" || fail "text busy"
}

test_listing_needs_no_open() {
	local i
	mkdir "$lower/large" "$lower/empty"
	(cd "$lower/large" && seq -f 'name-%05g' 5000 | xargs touch)
	xmount || return
	for i in 1 2 3; do
		cmp <(ls -aU "$mnt/large") <(ls -aU "$lower/large") || fail "pass $i" || return
		cmp <(ls -aU "$mnt/empty") <(ls -aU "$lower/empty") || fail "empty directory" || return
	done
	[[ $(fsop seekdir "$mnt/large") == "$(fsop seekdir "$lower/large")" ]] || fail "seekdir" || return
	(($(counter OPENDIR upcall) == 0 && $(counter RELEASEDIR upcall) == 0)) || fail "opened: $(counters)"
}

# A reader must not be shown what another one's stream had read ahead
test_listing_is_as_new_as_its_reader() {
	local i
	mkdir "$lower/d"
	(cd "$lower/d" && seq -f 'name-%05g' 1000 | xargs touch)
	xmount || return
	for i in {1..8}; do
		fsop readsome "$mnt/d" || return
		rm "$mnt/d/name-00$((i + 500))"
		touch "$mnt/d/new-$i"
		cmp <(ls -aU "$mnt/d") <(ls -aU "$lower/d") || fail "after change $i" || return
	done
	# every name once, while names come and go
	(for i in {1..100}; do touch "$mnt/d/t$i"; rm "$mnt/d/t$i"; done) &
	for i in {1..10}; do
		ls -U "$mnt/d" | grep -v ^t | sort >/tmp/list
		cmp /tmp/list <(ls -U "$lower/d" | grep -v ^t | sort) || fail "while it changes: $(sort /tmp/list | uniq -d | head -3)" || return
	done
	wait
	rm -r "$mnt/d" && [[ ! -e $lower/d ]]
}

# A position in a merged directory of overlayfs is one in the list of whoever opened it
test_positions_that_end_with_the_open() {
	mkdir -p /scratch/over/{low/d,up,work} || return
	mount -t overlay -o lowerdir=/scratch/over/low,upperdir=/scratch/over/up,workdir=/scratch/over/work \
		overlay "$lower" || return
	if xmount; then
		(cd "$mnt/d" && seq -f 'name-%05g' 5000 | xargs touch)
		# unlinks what it has read before it reads on
		busybox rm -r "$mnt/d" || fail "$(ls "$lower/d" | wc -l) names were not listed"
		umount "$mnt"
	else
		why="not mounted"
	fi
	lower_umount "$lower"
	rm -r /scratch/over
	[[ -z $why ]]
}

# btrfs ends a listing with what was there when it was opened
test_ends_that_go_with_the_open() {
	truncate -s 128M /scratch/btrfs && mkfs.btrfs -q /scratch/btrfs && mount -o loop /scratch/btrfs "$lower" ||
		fail "no btrfs" || return
	mkdir "$lower/d" && (cd "$lower/d" && seq 1000 | xargs touch)
	xmount || return
	timeout 60 python3 -c 'import os, sys
for e in os.scandir(sys.argv[1]): os.rename(e.path, e.path + ".bak")' "$mnt/d" ||
		fail "exit status $?: $(ls "$lower/d" | tail -n 1)"
	[[ $(ls "$lower/d" | grep -c '^[0-9]*\.bak$') == 1000 ]] || fail "${why:-$(ls "$lower/d" | grep -m 3 bak.bak)}"
	umount "$mnt"
	lower_umount "$lower"
	rm /scratch/btrfs
	[[ -z $why ]]
}

test_what_is_removed_goes() {
	local i n
	xmount || return
	for i in {1..30}; do echo "$i" >"$mnt/f$i"; done
	cat "$mnt"/f* "$mnt"/f* >/dev/null
	rm "$mnt"/f*
	sync
	drop
	for i in {1..30}; do
		n=$(extfuse-stat --json "$mnt" | jq .nodes.total)
		((n <= 2)) && return
		sleep 0.2
	done
	fail "$n nodes remain"
}

run_tests
