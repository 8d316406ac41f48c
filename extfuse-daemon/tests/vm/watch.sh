#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# A change made in the lower directory itself is seen 100 ms later, whatever the
# timeouts, where it can be watched.  Runs as plain FUSE, too, in a file system that nobody
# else writes to: OPTS=extfuse=off SCRATCH=DIR.
. "$(dirname "$0")/lib.sh"

opts=${OPTS:-extfuse=require,object=$object}
[[ -z ${SCRATCH:-} ]] || lower=$SCRATCH/lower mnt=$SCRATCH/mnt
queue=/proc/sys/fs/fanotify/max_queued_events

wmount() { mount.extfuse "$lower" "$mnt" -o "$opts,watch=on${1:+,$1}"; }
watched() { extfuse-stat --json "$mnt" | jq ".watch.$1"; }

# same WORDS: the mount says what the lower directory says
same() {
	tree walk "$lower" >/tmp/lower
	tree walk "$mnt" >/tmp/mnt
	cmp /tmp/lower /tmp/mnt || fail "$*: $(diff /tmp/lower /tmp/mnt | head -4)"
}

# below COMMAND: a change behind the back of the mount, which knows all
below() {
	same "before $*" || return
	stat "$mnt/d/new" "$mnt/e/new" "$mnt/new" >/dev/null 2>&1
	"$@" || fail "$* failed" || return
	sleep 0.1
	same "$*"
}

changes() {
	local l=$lower
	below sh -c "echo more >>$l/d/f1" &&
	below touch "$l/d/new" &&
	below mv "$l/d/new" "$l/e/new" &&
	below mv "$l/e/new" "$l/d/f2" &&
	below chmod 640 "$l/d/f1" &&
	below chown 1000:1000 "$l/d/f1" &&
	below setfattr -n user.tag -v one "$l/d/f1" &&
	below setfattr -n user.tag -v two "$l/d/f1" &&
	below setfattr -x user.tag "$l/d/f1" &&
	below setfacl -m u:1000:rw "$l/d/f3" &&
	below truncate -s 100000 "$l/d/f3" &&
	below touch -d 2001-01-01 "$l/d/f3" &&
	below ln "$l/d/f3" "$l/e/link" &&
	below rm "$l/d/f3" &&
	below ln -s f4 "$l/d/sym" &&
	below ln -sfn f5 "$l/d/sym" &&
	below mkdir "$l/new" &&
	below chmod 700 "$l/e" &&
	below fsop rename "$l/d" "$l/e" 2 &&
	below mv "$l/d" "$l/e/d" &&
	below rm -r "$l/e/d" &&
	below rmdir "$l/new" &&
	below fsop mmap "$l/e/f5" hello
}

make_lower() {
	mkdir -p "$lower/d" "$lower/e"
	for i in 1 2 3 4 5; do echo $i >"$lower/d/f$i"; done
}

test_changes_are_seen_at_once() {
	make_lower
	wmount || return
	changes || return
	[[ $(watched overflows) == 0 ]] || fail "overflows: $(watched overflows)"
}

# A write takes a capability away, also one that the kernel could not know of when it began to write
test_capabilities_do_not_outlive_a_write() {
	local mode
	for mode in passthrough nopassthrough; do
		echo data >"$lower/f"
		wmount "$mode" || return
		exec 7<>"$mnt/f"
		echo x >&7
		setfattr -n security.capability -v 0x0100000200040000000000000000000000000000 "$lower/f"
		sleep 0.3
		fsop getxattr "$mnt/f" security.capability || fail "$mode: not seen" || return
		echo evil >&7
		exec 7>&-
		! fsop getxattr "$lower/f" security.capability || fail "$mode: the write left it below" || return
		! fsop getxattr "$mnt/f" security.capability || fail "$mode: the mount still has it" || return
		xumount
	done
}

# What a reader has seen, pages and all
test_data_is_seen_at_once() {
	local mode i
	for mode in passthrough nopassthrough; do
		wmount "$mode" || return
		for i in 1 2 3 4 5 6; do
			echo "$i" >"$lower/f"
			sleep 0.1
			[[ $(<"$mnt/f") == "$i" ]] || fail "$mode: $(<"$mnt/f"), not $i" || return
		done
		xumount
	done
}

# seen SIZE SECONDS: does f have that size after that time, which it had not before?
seen() {
	sleep "$2"
	[[ $(stat -c %s "$mnt/f") == "$1" ]]
}

# Nobody need ask for it; where it is not to be had the timeouts are short
test_coherent_by_default() {
	local how
	for how in "" writeback watch=off; do
		echo 1 >"$lower/f"
		rm -f "$lower/new"
		mount.extfuse "$lower" "$mnt" -o "$opts${how:+,$how}" || return
		stat "$mnt/f" || return
		! stat "$mnt/new" || return
		echo 22 >>"$lower/f"
		touch "$lower/new"
		if [[ -z $how ]]; then
			[[ $(watched mode) == '"on"' ]] && seen 5 0.1 || fail "not seen at once" || return
		else
			[[ $(watched mode) == '"off"' && $(extfuse-stat --json "$mnt" | jq '.timeouts | add') == 3 ]] ||
				fail "$how: $(extfuse-stat --json "$mnt")" || return
			# with writeback sizes are the kernel's
			[[ $how == writeback ]] || seen 5 1.1 || fail "$how: not seen after a second" || return
			sleep 1.1
		fi
		stat "$mnt/new" || fail "$how: the new name is not seen" || return
		xumount
	done
	# what others change, too, is not for the asking
	mount -t ramfs none "$lower" || return
	echo 1 >"$lower/f"
	if mount.extfuse "$lower" "$mnt" -o "$opts"; then
		stat "$mnt/f" && echo 22 >>"$lower/f"
		[[ $(watched mode) == '"off"' ]] && seen 5 1.1 || fail "ramfs: not seen after a second"
		xumount
	else
		fail "ramfs: not mounted"
	fi
	lower_umount "$lower"
	[[ -z $why ]]
}

# A file system full of changes that are no business of ours
test_neighbours_are_cheap() {
	local daemon before
	mkdir -p "$lower/d" "${lower%/*}/neighbour"
	make_lower
	wmount || return
	same "before" || return
	daemon=$(pgrep -of "mount.extfuse $lower $mnt ")
	strace -fqq -e trace=open_by_handle_at -p "$daemon" 2>/tmp/calls &
	sleep 0.5
	before=$(watched events)
	(cd "${lower%/*}/neighbour" && seq 2000 | xargs touch && seq 2000 | xargs rm)
	sleep 0.2
	# what is the same in the queue is one
	(($(watched events) - before > 200)) || fail "$(($(watched events) - before)) events" || return
	kill %%
	wait
	(($(wc -l </tmp/calls) < 100)) || fail "$(wc -l </tmp/calls) handles opened" || return
	rm -r "${lower%/*}/neighbour"
	below sh -c "echo more >>$lower/d/f1"
}

# Without it the timeout is the bound (and these tests can fail)
test_without_it_within_the_timeout() {
	echo 1 >"$lower/f"
	mount.extfuse "$lower" "$mnt" -o "$opts,exclusive" || return
	[[ $(watched mode) == '"exclusive"' ]] || return
	stat "$mnt/f" || return
	stat "$mnt/new" 2>/dev/null && return 1
	echo 22 >>"$lower/f"
	touch "$lower/new"
	sleep 0.5
	[[ $(stat -c %s "$mnt/f") == 2 ]] || fail "seen without being told" || return
	xumount
	mount.extfuse "$lower" "$mnt" -o "$opts,watch=off,attr_timeout=1,entry_timeout=1,negative_timeout=1" || return
	stat "$mnt/f" || return
	echo 333 >>"$lower/f"
	sleep 1.1
	[[ $(stat -c %s "$mnt/f") == 9 ]] || fail "size $(stat -c %s "$mnt/f") after the timeout"
}

# Neither the daemon's calls nor passthrough I/O are news
test_own_changes_are_no_events() {
	local before
	make_lower
	wmount || return
	before=$(watched events)
	cp -a "$mnt/d" "$mnt/copy" && mv "$mnt/copy" "$mnt/e/" && rm -r "$mnt/e/copy" || return
	dd if=/dev/zero of="$mnt/d/f1" bs=4k count=500 conv=notrunc 2>/dev/null || return
	fsop mmap "$mnt/d/f1" hello || return
	fio --name=a --filename="$mnt/d/aio" --rw=randwrite --bs=4k --size=1m --ioengine=libaio --iodepth=8 \
		--direct=1 --minimal >/dev/null || return
	cat "$mnt/d/f1" >/dev/null
	chmod 4755 "$mnt/d/f2"; chown 1000 "$mnt/d/f2"; setfattr -n user.tag -v x "$mnt/d/f2"
	same "after our own changes" || return
	[[ $(watched events) == "$before" ]] || fail "$(($(watched events) - before)) events of our own"
}

# As many as the queue holds and more: nothing is known any more
test_overflow_drops_everything() {
	local i old daemon
	old=$(<$queue)
	echo 20 >$queue
	make_lower
	tree make "$lower" 300
	wmount
	i=$?
	echo "$old" >$queue
	((i == 0)) || return
	tree walk "$mnt" >/dev/null
	stat "$mnt"/d/{a,b}{1,2,3} >/dev/null 2>&1
	daemon=$(pgrep -of "mount.extfuse $lower $mnt ")
	kill -STOP "$daemon"
	for ((i = 10; i < 90; i++)); do echo more >>"$lower/d1/f1$i"; done
	rm "$lower"/d0/f5*
	mv "$lower/d" "$lower/d2/d"
	touch "$lower"/e/{a,b}{1,2,3}
	chmod 600 "$lower/d1/f195"
	kill -CONT "$daemon"
	sleep 0.3
	(($(watched overflows) > 0)) || fail "no overflow" || return
	same "after an overflow"
}

# Killed while it tells the kernel: nobody may wait for it for ever
test_killed_while_telling() {
	local i daemon pids
	for i in 1 2 3 4; do
		mkdir -p "$lower/d"
		wmount || return
		daemon=$(pgrep -of "mount.extfuse $lower $mnt ")
		pids=()
		for who in 1 2 3 4; do
			while :; do touch "$mnt/d/$who" && mv "$mnt/d/$who" "$mnt/d/x$who" || break; done 2>/dev/null &
			pids+=($!)
		done
		while :; do touch "$lower/d/below" && rm "$lower/d/below" || break; done 2>/dev/null &
		pids+=($!)
		sleep "0.${RANDOM:0:1}"
		kill -KILL "$daemon"
		timeout 10 tail -s 0.1 -f --pid="$daemon" /dev/null || fail "the daemon does not die" || return
		[[ $(timeout 10 ls "$mnt" 2>&1) == *"not connected"* ]] || fail "not ENOTCONN: $(timeout 10 ls "$mnt" 2>&1)" || return
		kill "${pids[4]}"
		wait "${pids[@]}" 2>/dev/null
		umount "$mnt" || return
		! pgrep -x extfuse-guard >/dev/null || sleep 0.5
	done
}

disk=${lower%/*}/disk
disk_mount() { truncate -s 32M "$disk" && mkfs.ext4 -q "$disk" && mount -o loop "$disk" "$1"; }

# thaw DIRECTORY DAEMON PROCESS: then both end
thaw() {
	fsfreeze -u "$1"
	timeout 10 tail -s 0.1 -f --pid="$2" /dev/null || fail "the daemon is still there"
	timeout 10 tail -s 0.1 -f --pid="$3" /dev/null || fail "a process still waits"
	umount -l "$mnt" 2>/dev/null
	umount -l "$1"
	rm "$disk"
	[[ -z $why ]]
}

# The daemon's threads hang in a frozen lower file system, one more process waits
# for a thread with a directory locked, and the watching thread for the lock
stuck() {
	local i pids=() daemon
	disk_mount "$lower" || return
	mkdir "$lower"/{d,w}{1,2,3,4,5,6,7,8,9,10}
	wmount || return
	daemon=$(pgrep -of "mount.extfuse $lower $mnt ")
	stat "$mnt"/{d,w}{1,2,3,4,5,6,7,8,9,10}/x >/dev/null 2>&1
	kill -STOP "$daemon"
	touch "$lower/d1/below"
	for i in w{1,2,3,4,5,6,7,8,9,10} d1; do
		touch "$mnt/$i/x" &
		pids+=($!)
		sleep 0.05
	done
	fsfreeze -f "$lower"
	kill -CONT "$daemon"
	sleep 0.5
	kill "$1" "$daemon"
	sleep 0.3
	thaw "$lower" "$daemon" "${pids[10]}"
}

test_killed_while_stuck() { stuck -KILL; }
test_ends_while_stuck() { stuck -TERM; }

# One thread of the daemon hangs, the others have ended: nobody answers who has a directory locked,
# and the watching thread waits for the lock
test_ends_while_telling() {
	local daemon
	mkdir "$lower/d" "$lower/frozen"
	disk_mount "$lower/frozen" && wmount || return
	daemon=$(pgrep -of "mount.extfuse $lower $mnt ")
	fsfreeze -f "$lower/frozen"
	touch "$mnt/frozen/x" &
	(cd "$mnt/d" && sleep 0.3 && kill "$daemon" && sleep 0.5 && touch x) &
	sleep 1.2
	touch "$lower/d/below"
	sleep 0.3
	thaw "$lower/frozen" "$daemon" $!
}

refused() {
	local status=0 msg
	msg=$(mount.extfuse "$lower" "$mnt" -o "$1" 2>&1) || status=$?
	((status == $2)) || fail "status $status, not $2: $msg" || return
	[[ $msg == "mount.extfuse: -o "*"$3"* ]] || fail "message: $msg"
}

test_what_cannot_be_watched_is_refused() {
	refused "$opts,watch,writeback" 1 "writeback and -o watch exclude each other" || return
	refused "$opts,exclusive,watch=on" 1 "exclusive and -o watch exclude each other" || return
	refused "$opts,watch=maybe" 1 "watch=maybe: not one of auto, on, off" || return
	mount -t ramfs none "$lower" || return
	refused "$opts,watch" 32 "no file handles"
	umount "$lower"
	[[ -z $why ]]
}

run_tests
