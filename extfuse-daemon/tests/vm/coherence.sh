#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# After every change the mount says what the lower directory says, at once.
. "$(dirname "$0")/lib.sh"

# Compare all that can be asked, with the kernel's caches and without
same() {
	tree walk "$lower" >/tmp/lower
	tree walk "$mnt" >/tmp/mnt
	cmp /tmp/lower /tmp/mnt || fail "$*: $(diff /tmp/lower /tmp/mnt | head -4)" || return
	drop
	tree walk "$mnt" >/tmp/mnt
	cmp /tmp/lower /tmp/mnt || fail "$* (caches dropped): $(diff /tmp/lower /tmp/mnt | head -4)"
}

# Rows are there before each change: a row that survives it is seen
step() {
	same "before $*" || return
	"$@" || fail "$* failed" || return
	same "$*"
}

test_every_change() {
	local m=$mnt
	mkdir "$lower/d" "$lower/e"
	for i in 1 2 3 4 5; do echo $i >"$lower/d/f$i"; done
	xmount || return
	step touch "$m/d/new" &&
	step sh -c "echo more >>$m/d/f1" &&
	step truncate -s 10000 "$m/d/f1" &&
	step sh -c ": >$m/d/f1" &&
	step ln "$m/d/f1" "$m/e/link" &&
	step sh -c "echo via link >>$m/e/link" &&
	step rm "$m/d/f1" &&
	step chmod 4755 "$m/e/link" &&
	step chown 1000:1000 "$m/e/link" &&
	step sh -c "echo x >>$m/e/link" &&
	step touch -d 2001-01-01 "$m/d/f2" &&
	step mv "$m/d/f2" "$m/e/f2" &&
	step mv "$m/e/f2" "$m/d/f3" &&
	step mv "$m/d" "$m/e/d" &&
	step mkdir "$m/d" &&
	step rmdir "$m/d" &&
	step fsop rename "$m/e/d/f3" "$m/e/d/f4" 2 &&
	step fsop rename "$m/e/d/f3" "$m/e/d/f9" 1 &&
	step ln -s f4 "$m/e/sym" &&
	step ln -sfn f5 "$m/e/sym" &&
	step mkfifo "$m/e/fifo" &&
	step setfattr -n user.tag -v one "$m/e/d/f4" &&
	step setfattr -n user.tag -v two "$m/e/d/f4" &&
	step setfattr -x user.tag "$m/e/d/f4" &&
	step setfacl -m u:1000:rw "$m/e/d/f5" &&
	step setfacl -b "$m/e/d/f5" &&
	step fallocate -l 100000 "$m/e/d/f5" &&
	step fallocate -p -o 0 -l 50000 "$m/e/d/f5" &&
	step cp --reflink=never "$m/e/d/f5" "$m/e/copy" &&
	step dd if=/dev/zero of="$m/e/copy" bs=4k count=3 conv=notrunc oflag=direct &&
	step rm -r "$m/e/d"
}

# Reads move the atime by a clock that is set, and by times that no 64 bits of ns hold
test_access_times_of_other_years() {
	local d=$mnt/d
	mkdir "$lower/d"
	sleep 1.1
	touch -m -d 2300-01-01 "$lower/d"
	xmount || return
	for _ in 1 2 3; do
		ls "$d" && stat "$d" >/dev/null || return
		sleep 1.1
	done
	[[ $(stat -c '%X %Y' "$d") == "$(stat -c '%X %Y' "$lower/d")" ]] ||
		fail "$(stat -c '%x %y' "$d"), not $(stat -c '%x %y' "$lower/d")" || return
	touch "$lower/d"
	sleep 1.1
	xumount && xmount || return
	for _ in 1 2 3; do
		ls "$d" && stat "$d" >/dev/null || return
		sleep 1.1
	done
	date -s '+2 days' >/dev/null || return
	ls "$d" >/dev/null
	[[ $(stat -c %X "$d") == "$(stat -c %X "$lower/d")" ]] ||
		fail "clock set: $(stat -c %x "$d"), not $(stat -c %x "$lower/d")"
	date -s '-2 days' >/dev/null
}

# What is one name below is not two above
test_upper_and_lower_case() {
	truncate -s 8M /tmp/fat
	mkfs.vfat /tmp/fat >/dev/null && mount -o loop /tmp/fat "$lower" || fail "no vfat" || return
	xmount 2>/tmp/said
	grep -q "$lower: .*no name is cached" /tmp/said || fail "said: $(cat /tmp/said)"
	! stat "$mnt/Foo" || fail "Foo is there"
	echo hi >"$mnt/foo"
	[[ $(<"$mnt/Foo") == hi ]] || fail "Foo is not there"
	rm "$mnt/FOO" || fail "FOO is not there"
	! stat "$mnt/foo" || fail "foo is there after rm FOO"
	xumount
	lower_umount "$lower" || return
	# and where it is mounted below
	mkdir "$lower/fat" && mount -o loop /tmp/fat "$lower/fat" && xmount || return
	! stat "$mnt/fat/bar" || fail "bar is there"
	echo hi >"$mnt/fat/BAR"
	[[ $(<"$mnt/fat/bar") == hi ]] || fail "bar is not there"
	xumount
	lower_umount "$lower/fat" && [[ -z $why ]]
}

# The link count, which decides whether there may be one more, without a look in between
test_links_of_what_was_linked() {
	xmount || return
	ln -s x "$mnt/a" && ln -P "$mnt/a" "$mnt/b" && rm "$mnt/a" && ln -P "$mnt/b" "$mnt/c" &&
		[[ $(stat -c %h "$mnt/c") == 2 ]] || return
	fsop tmpfile "$mnt" "$mnt/d" && ln "$mnt/d" "$mnt/e" && [[ $(stat -c %h "$mnt/e") == 2 ]]
}

# The file is unlinked and made anew while it is open (seed: counts by name)
test_unlink_and_create_while_open() {
	echo old >"$lower/f"
	xmount || return
	exec 7<>"$mnt/f"
	rm "$mnt/f"
	echo new >"$mnt/f"
	same "file made anew" || return
	echo more >&7
	[[ $(stat -L -c %h /proc/self/fd/7) == 0 ]] || fail "unlinked file has links" || return
	[[ $(<"$mnt/f") == new ]] || fail "content of the wrong file" || return
	exec 7>&-
	drop
	same "after close"
}

# An entry's time is what is left of it, not the whole again (C4, C5)
# C8: where the kernel asks although it knows an answer, a row is none
test_who_asks_past_the_caches_is_told_what_is() {
	local user="setpriv --reuid 65534 --clear-groups"
	mkdir "$lower/gone" "$lower/dir"
	for f in excl a b size mode acl; do echo "$f" >"$lower/$f"; done
	chmod 600 "$lower/mode" "$lower/acl"
	chmod 700 "$lower/dir"
	xmount watch=off || return
	tree walk "$mnt" >/dev/null
	rmdir "$lower/gone"
	mkdir "$mnt/gone" || fail "mkdir of a name that is gone" || return
	rm "$lower/excl"
	python3 -c "import os; os.open('$mnt/excl', os.O_CREAT | os.O_EXCL)" || fail "O_EXCL of a name that is gone" || return
	rm "$lower/b"
	fsop rename "$mnt/a" "$mnt/b" 1 || fail "RENAME_NOREPLACE to a name that is gone" || return
	echo longer >>"$lower/size"
	[[ $(stat --cached=never -c %s "$mnt/size") == "$(stat -c %s "$lower/size")" ]] ||
		fail "AT_STATX_FORCE_SYNC: $(stat -c %s "$mnt/size")" || return
	$user cat "$mnt/mode" 2>/dev/null && return 1
	chmod 644 "$lower/mode"
	$user cat "$mnt/mode" || fail "EACCES by an old mode" || return
	$user cat "$mnt/acl" 2>/dev/null && return 1
	setfacl -m u:65534:r "$lower/acl"
	$user cat "$mnt/acl" || fail "EACCES by an old ACL" || return
	# asked for already, but a program had the answer
	mkdir "$mnt/dir/new"
	chmod 755 "$lower/dir"
	$user ls "$mnt/dir" || fail "EACCES by a row"
}

test_changes_below_are_seen_in_time() {
	local i
	echo 1 >"$lower/f"
	xmount "attr_timeout=2,entry_timeout=2,negative_timeout=2" || return
	for ((i = 0; i < 8; i++)); do
		stat "$mnt/f" "$mnt/g" >/dev/null 2>&1
		drop
		sleep 0.3
	done
	echo 22 >>"$lower/f"
	echo g >"$lower/g"
	for ((i = 0; i < 12; i++)); do
		stat "$mnt/f" "$mnt/g" >/dev/null 2>&1
		drop
		sleep 0.2
	done
	[[ $(stat -c %s "$mnt/f") == 5 ]] || fail "size $(stat -c %s "$mnt/f") after the timeout" || return
	[[ -e $mnt/g ]] || fail "negative entry outlived its timeout"
}

run_tests
