#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Two users and a group on one mount: nobody may do or see what the lower file
# system would not let him.  Harness and variables are those of plain.sh, which
# runs the functions t_NAME of this file.

# What is mounted below LOWER later shall be seen, and nothing be forgotten
OPTS=${OPTS:-extfuse=off},exclusive
GROUP=2000	# of both users, but not their own

# With the group, without it, and one who has nothing
member() { setpriv --reuid $USER1 --regid $GROUP1 --groups $GROUP "$@"; }
other() { as $USER2 $GROUP2 "$@"; }
export -f member other
export USER1=1000 GROUP1=1000 USER2=65534 GROUP2=65534 GROUP
# shellcheck disable=SC2317
as() { local u=$1 g=$2; shift 2; setpriv --reuid "$u" --regid "$g" --clear-groups "$@"; }
# Root without CAP_FSETID, one with it, and root of a container that has no id but 0
weak() { setpriv --reuid 0 --regid 0 --clear-groups --bounding-set -fsetid --inh-caps -fsetid "$@"; }
strong() { setpriv --reuid $USER2 --regid $GROUP2 --clear-groups --inh-caps +fsetid --ambient-caps +fsetid "$@"; }
contained() { unshare -r "$@"; }
export -f as weak strong contained

extfuse() { "$STAT" --json "$M" | grep -q '"mode":"extfuse"'; }

# One of each; the caller's umask is 022
zoo='mkdir -m 700 own; mkdir -m 711 pass; mkdir -m 744 list; mkdir -m 750 grp; chgrp $GROUP grp
for d in own pass list grp; do echo secret > $d/f; echo secret > $d/priv; chmod 600 $d/priv; ln -s f $d/l; done
for m in 600 640 604 644 066 000; do echo $m > f$m; chmod $m f$m; chgrp $GROUP f$m; done
echo acl > acl; chmod 600 acl; setfacl -m u:$USER2:r acl; setfacl -m g:$GROUP:--- acl
mkdir -m 700 acldir; setfacl -m u:$USER2:x acldir; echo in > acldir/f
chown $USER1 f600; setfattr -n user.k -v v f600 f640 f644 own/f'

# The rows are there, by root, and what root sees is no answer for others
t_nobody_sees_more()
{
	local who
	export zoo
	both "$zoo"
	for who in 'as 0 0' member other; do
		both "$T/fsop probe . > /dev/null; $who $T/fsop probe ."
		echo 2 > /proc/sys/vm/drop_caches	# look-ups that the kernel serves
		both "$who $T/fsop probe ."
	done
}

t_permission_withdrawn()
{
	both "$zoo"
	both 'chmod 755 own; other cat own/f; chmod 700 own; other cat own/f; other stat own/f'
	both 'setfacl -m u:$USER2:rx own; other cat own/f; setfacl -b own; other cat own/f'
	both 'member cat grp/f; chgrp 0 grp; member cat grp/f; member ls grp'
	both 'member cat f640; chmod 600 f640; member cat f640; chown $USER2 f640; other cat f640'
}

t_nobody_changes_more()
{
	local who
	both "$zoo"
	for who in other member; do
		both "$who bash -c 'for f in f* own/f pass/f pass/priv list/f grp/f acl acldir/f own pass list grp acldir; do
			$T/fsop tamper \$f; done'"
	done
	both 'other setfacl -m u:1:r f600; member setfacl -m u:1:r f600; other setfacl -m u:1:r f604'
}

t_sticky()
{
	both 'mkdir -m 1777 t; member sh -c ": > t/a; mkdir t/d"; other rm -f t/a; other mv t/a t/b; other rmdir t/d; other mv t/d t/e; ls t'
	both 'other sh -c ": > t/o"; other mv t/o t/a; member rm t/a; ls t'
}

t_made_by_its_creator()
{
	both 'mkdir -m 2770 s; chgrp $GROUP s; mkdir -m 770 g; chgrp $GROUP g'
	both 'member sh -c "for d in s g; do : > \$d/f; mkdir \$d/d; ln -s x \$d/l; mkfifo \$d/p; '"$T/fsop"' tmpfile \$d \$d/t; cp -p \$d/f \$d/c; done"; stat -c "%n %u:%g %a" s/* g/*'
	both 'other sh -c ": > s/x; : > g/x"; ls s g'
	both 'member sh -c "chmod 2755 s/f g/f; chgrp $GROUP g/f; chmod 2755 g/f; chmod 6755 s/d"; stat -c "%n %u:%g %a" s/* g/*'
	both 'member mknod g/dev c 1 3; member mknod g/blk b 7 0; ls g'
}

# Every way to write, by the owner, another one and root: setuid, setgid and
# file capabilities go as they go below.  For who is not in its group a setgid
# bit without group execution, which means nothing, goes below but not in FUSE.
t_bits_go()
{
	local writer modes
	both 'echo 0123456789 > from'
	for writer in member other 'as 0 0'; do
		modes='6777 2767 4766 2777'
		[ "$writer" != other ] || modes='6777 4766 2777'
		both "for how in write append pwritev empty ftruncate truncate otrunc fallocate copy sendfile mmap; do
			rm -f v*
			for m in $modes cap; do echo 0123456789 > v\$m; done
			chown $USER1:$GROUP v*
			for m in $modes; do chmod \$m v\$m; done
			chmod 777 vcap; setcap cap_net_raw+ep vcap; H=\$how $writer bash -c 'for f in v*; do $T/fsop change \$H \$f; done'
			echo \$how; stat -c '%n %a %s' v*; getcap v*
		done"
	done
}

# It is the capability that keeps them, not the user: data, ACLs, and what is made in a
# setgid directory
t_bits_go_with_the_capability()
{
	local who
	both 'echo x > from; mkdir -m 3777 s; chgrp $GROUP s'
	for who in member other 'as 0 0' weak strong contained; do
		both "for how in write otrunc truncate fallocate; do
				echo 0123456789 > v; chown $USER1:$GROUP v; chmod 6777 v; H=\$how $who bash -c '$T/fsop change \$H v'; stat -c %a v; rm v
			done
			rm -rf s/* f; : > f; chown 0:$GROUP f; chmod 6755 f; $who setfacl -m u:3:rw f; stat -c %a f
			$who python3 -c 'import os; os.umask(0); os.open(\"s/f\", os.O_CREAT, 0o2775); os.mknod(\"s/n\", 0o102775); os.mkdir(\"s/d\", 0o2775)'
			stat -c '%n %a %u:%g' s/*"
	done
	both "for g in $GROUP $GROUP1 $GROUP2; do chown $USER1:\$g f; chmod 6755 f; member setfacl -m u:4:rw f; stat -c %a f; done; member setfacl -b f; stat -c %a f"
	both 'echo x > own; chmod 6777 own; contained truncate -s 1 own; stat -c %a own; contained sh -c ": > own"; stat -c %a own'
}

# The daemon lives in a PID namespace of its own, and serves who is not to be seen from there
t_callers_out_of_sight()
{
	local M=$T/pidns/mnt pid who
	mkdir -p "$M"
	mount --bind "$T/pidns" "$T/pidns"
	mount --make-shared "$T/pidns"
	unshare -p -f --kill-child -m --propagation unchanged bash -c "mount --make-rprivate /proc; mount -t proc none /proc
		'$MOUNT' '$L' '$M' -o '$OPTS'; exec sleep 600" &
	pid=$!
	timeout 60 bash -c "until mountpoint -q $M; do sleep 0.1; done"
	both "echo 0123456789 > from; mkdir -m 3777 s; chgrp $GROUP s"
	for who in member other 'as 0 0'; do
		both "for how in write truncate fallocate; do
			echo 0123456789 > v; chown $USER1:$GROUP v; chmod 6777 v; H=\$how $who bash -c '$T/fsop change \$H v'; echo \$how; stat -c %a v; rm v; done
			rm -rf s/*; $who python3 -c 'import os; os.umask(0); os.open(\"s/f\", os.O_CREAT, 0o2775); os.mknod(\"s/n\", 0o102775)'
			stat -c '%n %a %u:%g' s/*"
	done
	both 'echo x > f; chmod 644 f; setfattr -n trusted.t -v 1 f; getfattr -dm - f; other getfattr -dm - f; member getfattr -dm - f'
	both "chown $USER1:$GROUP f; chmod 6755 f; member setfacl -m u:4:rw f; stat -c %a f; chgrp 3 f; chmod 6755 f; member setfacl -m u:5:rw f; stat -c %a f"
	# in doubt they go: the kernel says nothing of who opens
	echo x > "$L/d/v"
	chmod 6777 "$L/d/v"
	: > "$M/d/v"
	eq "$(stat -c %a "$L/d/v")" 777
	# nor does it know of bits that are set below while the file is open
	(cd "$M/d" && STOP=1 exec setpriv --reuid $USER1 --regid $GROUP1 --clear-groups "$T/fsop" change ftruncate v) &
	timeout 60 bash -c "until grep -q '^State:.T' /proc/$!/status; do sleep 0.05; done"
	chmod 6777 "$L/d/v"
	kill -CONT $!
	wait $!
	eq "$(stat -c %a "$L/d/v")" 777
	umount "$M"
	kill -KILL $pid	# it blocks others while it waits
	wait $pid || true
}

# A mount of the mount, and of a plain directory, with other ids
t_idmapped_mounts()
{
	local i
	mkdir "$T/id.mnt" "$T/id.ref"
	down
	mnt
	both 'echo x > old; chown $USER1:$GROUP old; chmod 640 old; setfacl -m u:$USER2:r old; mkdir -m 2775 sg; chgrp $GROUP sg; chmod 1777 .'
	"$T/fsop" idmap "$R" "$T/id.ref" 100000
	"$T/fsop" idmap "$M" "$T/id.mnt" 100000
	for i in ref mnt; do
		(cd "$T/id.$i/d"
		 insider() { setpriv --reuid $((100000 + USER1)) --regid $((100000 + GROUP1)) --groups $((100000 + GROUP)) "$@"; }
		 stat -c '%n %u:%g %a' ./*; getfacl -n old
		 insider cat old; member cat old; insider sh -c 'umask 0; : > f; mkdir d; ln -s x l; mkfifo p; ln old sg/hard; : > sg/f; chmod 2775 sg/f; echo y >> old'
		 insider python3 -c 'import os; os.umask(0); os.open("sg/x", os.O_CREAT, 0o2775)'
		 insider chgrp $((100000 + GROUP)) f; insider setfacl -m u:$((100000 + USER2)):rw f; insider chmod 4755 f; insider truncate -s 0 f
		 insider mv f g; insider rm d -r; touch root; mkdir root.d; : > g; chown 100003 g; chown 5 g; chown 100004:100005 l -h
		 setfattr -n trusted.t -v 1 g; getfattr -m - g; insider getfattr -m - g
		 find . -printf '%P %U:%G %m %s\n' | sort; getfacl -Rn .) > "$T/said.$i" 2>&1 || true
	done
	diff "$T/said.ref" "$T/said.mnt"
	grep -q 'root.*too large' "$T/said.mnt"
	umount "$T/id.ref" "$T/id.mnt"
	tree "$R" | diff - <(tree "$M")
	tree "$L" | diff - <(tree "$M")
}

# One that was set below while the file was open for writing, too.  Stock FUSE
# takes the mode that it knew then for the one before a write.
t_bits_from_below_go()
{
	local mode how ways='ftruncate fallocate copy' pids pid
	! extfuse || ways+=' write append pwritev sendfile'
	echo 0123456789 > "$L/d/from"
	for mode in passthrough nopassthrough writeback; do
		down
		mnt $mode,attr_timeout=1
		pids=()
		for how in $ways; do
			echo 0123456789 > "$L/d/$mode.$how"
			chown $USER1 "$L/d/$mode.$how"
			(cd "$M/d" && STOP=1 exec setpriv --reuid $USER1 --regid $GROUP1 --clear-groups \
				"$T/fsop" change $how $mode.$how) &
			pids+=($!)
		done
		for pid in "${pids[@]}"; do
			timeout 60 bash -c "until grep -q '^State:.T' /proc/$pid/status; do sleep 0.05; done"
		done
		chown 0 "$L/d/$mode".*
		chmod 4755 "$L/d/$mode".*
		sleep 1.2 # attr_timeout
		kill -CONT "${pids[@]}"
		wait "${pids[@]}"
		eq "$mode $(find "$L/d" -name "$mode.*" -perm /6000)" "$mode "
	done
}

# The mode without setuid that is written back is the one that the file has, not one
# that was known when the row was made
t_nothing_old_is_written_back()
{
	local mode how pids pid
	echo 0123456789 > "$L/d/from"
	for mode in passthrough nopassthrough; do
		down
		mnt $mode,watch=off
		pids=()
		for how in ftruncate fallocate write pwritev sendfile; do
			echo 0123456789 > "$L/d/$mode.$how"
			chown $USER1 "$L/d/$mode.$how"
			(cd "$M/d" && STOP=1 exec setpriv --reuid $USER1 --regid $GROUP1 --clear-groups \
				"$T/fsop" change $how $mode.$how) &
			pids+=($!)
		done
		for pid in "${pids[@]}"; do
			timeout 60 bash -c "until grep -q '^State:.T' /proc/$pid/status; do sleep 0.05; done"
		done
		: > "$L/d/$mode.chown"
		chmod 4755 "$M/d/$mode".*
		stat "$M/d/$mode".* > /dev/null
		chown 0 "$L/d/$mode".*
		chmod 600 "$L/d/$mode".*
		kill -CONT "${pids[@]}"
		wait "${pids[@]}"
		chown $USER2 "$M/d/$mode.chown"
		eq "$(stat -c '%a %n' "$L/d/$mode".* | sed '/^600 /d')" ""
	done
}

t_suid_binaries()
{
	cp /usr/bin/id "$L/d/id"
	chmod 4755 "$L/d/id"
	eq "$(other "$M/d/id" -u)" 0
	cp /usr/bin/id "$L/d/gid"
	chown 0:$GROUP "$L/d/gid"
	chmod 2755 "$L/d/gid"
	eq "$(other "$M/d/gid" -g)" $GROUP
	down
	mnt nosuid
	eq "$(other "$M/d/id" -u)" $USER2
	eq "$(other "$M/d/gid" -g)" $GROUP2
	down
	mnt noexec
	fails 126 bash -c "other '$M/d/id' -u"
	down
	mknod -m 666 "$L/d/null" c 1 3
	mnt nodev
	fails 1 bash -c "echo x > '$M/d/null'"
	down
	mnt
	echo x > "$M/d/null"
}

# The kernel resolves names; the daemon takes one name in one directory
t_no_way_out()
{
	echo outside > "$T/secret"
	mkdir "$L/d/in"
	ln -s ../../../secret "$L/d/in/up"
	ln -s "$T/secret" "$L/d/in/abs"
	# links are the caller's, as everywhere: from the mount up, never below
	eq "$(cat "$M/d/in/abs")" outside
	eq "$(cat "$M/d/in/up")" outside
	fails 1 cat "$M/d/in/../../../lower/secret"
	# a directory that becomes a link while it is looked up
	(for i in $(seq 50); do
		mkdir "$L/d/flip"; echo inside > "$L/d/flip/secret"
		rm -r "$L/d/flip"; ln -s "$T" "$L/d/flip"; rm "$L/d/flip"
	done) 2> /dev/null &
	# find follows no links, so only the daemon could have
	while kill -0 $! 2> /dev/null; do
		eq "$(find -P "$M/d" -path '*flip/secret' -inum "$(stat -c %i "$T/secret")" 2> /dev/null)" ""
		echo 2 > /proc/sys/vm/drop_caches
	done
	wait
	# nor is there one by file handles, with nodeids out of nowhere
	ls -R "$M" > /dev/null
	eq "$("$T/fsop" handles "$M/d" | xargs)" "no handles opened 0 of 25000"
	fails 1 other "$T/fsop" handles "$M/d"
}

t_attribute_names()
{
	both 'echo 1 > f; chmod 644 f; setfattr -n trusted.t -v 1 f; setfattr -n user.u -v 1 f; getfattr -dm - f; other getfattr -dm - f; member getfattr -n trusted.t f'
	both 'echo 1 > g; chmod 644 g; setfattr -n trusted.t -v 1 g; other getfattr -dm - g; getfattr -dm - g; other getfattr -dm - g'
	# root of a user namespace, and root without the capability
	both 'unshare -r getfattr -dm - f; other unshare -r getfattr -dm - f; setpriv --bounding-set -sys_admin --inh-caps -sys_admin getfattr -dm - f'
	both 'setpriv --reuid 0 --bounding-set -all --inh-caps -all getfattr -dm - f'
}

# What belongs to the daemon
t_daemon_is_out_of_reach()
{
	local pid
	pid=$(daemon)
	fails 2 other ls "/proc/$pid/fd/"
	fails 1 other cat "/proc/$pid/maps"
	fails 1 other dd if="/proc/$pid/mem" of=/dev/null bs=1 count=1
	fails 1 other kill -0 "$pid"
	fails 2 other "$STAT" "$M"
	# after the daemon acted for that user, too
	other sh -c "echo 1 > $M/d/f; : > $M/d/f"
	fails 2 other ls "/proc/$pid/fd/"
	fails 1 other kill -0 "$pid"
	fails 32 other umount "$M"
}

t_programs_are_out_of_reach()
{
	extfuse || { echo "plain FUSE"; exit 77; }
	local id map
	for map in attr_map handlers; do
		id=$(bpftool map list | sed -n "s/^\([0-9]*\): .*name $map .*/\1/p" | tail -1)
		[ -n "$id" ]
		bpftool map lookup id "$id" key 1 0 0 0 > /dev/null
		fails 255 other bpftool map lookup id "$id" key 1 0 0 0
		fails 255 other bpftool map delete id "$id" key 1 0 0 0
	done
	id=$(bpftool prog list | sed -n 's/^\([0-9]*\): type 33 .*/\1/p' | tail -1)
	[ -n "$id" ]
	bpftool prog show id "$id" > /dev/null
	fails 255 other bpftool prog show id "$id"
	fails 255 other bpftool prog dump xlated id "$id"
}

# below DIR MOUNT-ARGUMENT...: a file system in, or in place of, the lower
# directory, until the test ends
below()
{
	mkdir -p "$1"
	mount "${@:2}" "$1"
	chmod 755 "$1"
}

# Likewise, one with whims of its own: see oddfs.c
strange()
{
	[ -x "$ODDFS" ] || { echo "no $ODDFS: make -C extfuse-daemon tests"; exit 77; }
	mkdir -p "$1"
	"$ODDFS" "$1" > /dev/null 2>&1
}

# The daemon's stack has room for NAME_MAX bytes
t_long_names()
{
	strange "$L/d/sub"
	ls "$L/d/sub" > "$T/names"
	eq "$(awk '{ print length }' "$T/names" | xargs)" "1 255 256 300 1024"
	ls "$M/d/sub" | cmp "$T/names" -
	fails 1 ls -l "$M/d/sub" > /dev/null
	fails 1 stat "$M/d/sub/$(sed -n 4p "$T/names")"
	eq "$(cat "$M/d/sub/f" "$M/d/sub/$(sed -n 2p "$T/names")" | xargs)" "lower lower"
}

# What anybody may set below is the lower file system's to judge, not root's
t_system_attributes()
{
	local f=$M/d/sub/f
	strange "$L/d/sub"
	fails 1 other setfattr -n system.test -v 1 "$f"
	fails 1 setfattr -n system.test -v 1 "$f"
	fails 1 getfattr -n system.test "$L/d/sub/f"
	other setfattr -n system.test -v below "$L/d/sub/f" ||
		setfattr -n system.test -v below "$L/d/sub/f"
	fails 1 other setfattr -x system.test "$f"
	fails 1 getfattr -n system.test "$f"
	eq "$(getfattr -dm - "$f")" ""
	eq "$(getfattr --only-values -n system.test "$L/d/sub/f")" below
}

# Listed are none, but one is there: "none at all" may not be served
t_unlisted_attributes()
{
	down
	strange "$L"
	mnt
	fails 1 getfattr -n user.none "$M/f"
	eq "$(getfattr -dm - "$M/f")" ""
	eq "$(getfattr --only-values -n user.unlisted "$M/f")" there
}

# Files that act by the rights of whoever opens or writes them: the daemon is root
t_kernel_interfaces()
{
	local pid type
	pid=$(daemon)
	mkdir "$L/d/sub"
	mount -t proc none "$L/d/sub"
	ls "$M/d" > /dev/null
	fails 1 other readlink "$L/d/sub/$pid/exe"
	fails 1 other readlink "$M/d/sub/$pid/exe"
	fails 1 other dd if="$M/d/sub/self/mem" count=0
	umount "$L/d/sub"
	ls "$M/d/sub"
	for type in sysfs cgroup2 debugfs tracefs securityfs configfs bpf binfmt_misc \
			pstore fusectl mqueue devpts hugetlbfs nfsd rpc_pipefs efivarfs; do
		mkdir "$L/d/$type"
		mount -t $type none "$L/d/$type" || continue
		echo "$type" >> "$T/types"
		fails 2 ls "$M/d/$type"
		umount "$L/d/$type"
	done
	[ "$(wc -l < "$T/types")" -ge 3 ]
	# what keeps files, on a device or not
	truncate -s 2M "$T/disk"
	mkfs.ext4 -qO ^has_journal "$T/disk"
	for type in tmpfs ramfs ext4; do
		mkdir "$L/d/keeps-$type"
		mount -t $type -o "$([ $type != ext4 ] || echo loop)" "$T/disk" "$L/d/keeps-$type"
		: > "$L/d/keeps-$type/f"
		ls "$M/d/keeps-$type/f"
	done
	# a file of one
	rmdir "$L/d/sub"
	: > "$L/d/sub"
	mount --bind /proc/1/environ "$L/d/sub"
	fails 1 cat "$M/d/sub"
	umount "$L/d/sub"
	down
	fails 32 "$MOUNT" /proc "$M" -o "$OPTS" 2> "$T/said"
	umount "$L/d/keeps"-*
	grep -q "^mount.extfuse: /proc: not a file system that keeps files (type 0x9fa0)" "$T/said"
	mnt
}

# A server below that does not know an operation says so of its files, not of ours
t_unknown_operations()
{
	echo 1 > "$L/d/own"
	strange "$L/d/sub"
	fails 1 bash -c "echo x > $M/d/sub/f"
	fails 1 bash -c "echo x > $M/d/sub/new"
	mkdir "$L/d/sub/x" 2>&1 | grep 'not implemented'
	mkdir "$M/d/sub/x" 2>&1 | grep 'not implemented'
	echo 22 > "$M/d/own"
	echo 3 >> "$M/d/own"
	truncate -s 3 "$M/d/own"
	eq "$(cat "$L/d/own")" 22
	eq "$(cat "$M/d/sub/f")" lower
	# one open is one request still
	extfuse || "$STAT" --json "$M" | jq -e '.ops.OPEN.upcall >= 4'
}

# Errors that only NFS has: whoever asks would wait for ever
t_errors_of_nfs()
{
	printf '%s\n' '#include <errno.h>' '#include <string.h>' '#include <sys/types.h>' \
		'int mkdirat(int d, const char *n, mode_t m) { (void)d; (void)m; errno = strcmp(n, "b") ? 524 : 526; return -1; }' > "$T/nfs.c"
	${CC:-cc} -shared -fPIC -o "$T/nfs.so" "$T/nfs.c"
	down
	LD_PRELOAD="$(ldd "$MOUNT" | awk '/libasan/ { print $3 }') $T/nfs.so" mnt
	(sleep 30; exec pkill -KILL -f "^$MOUNT $L $M( |$)") > /dev/null 2>&1 &
	mkdir "$M/d/a" 2>&1 | grep 'not supported'
	mkdir "$M/d/b" 2>&1 | grep 'Input/output error'
	kill $!
}

# overlayfs has two files where its lower layer has two names of one
t_links_of_a_layer()
{
	local i
	mkdir "$T/lay" "$L/d/sub"
	below "$T/lay" -t tmpfs none
	mkdir "$T/lay"/{low,up,work}
	for i in 1 2 3 4; do echo old > "$T/lay/low/a$i"; ln "$T/lay/low/a$i" "$T/lay/low/b$i"; done
	mount -t overlay -o "lowerdir=$T/lay/low,upperdir=$T/lay/up,workdir=$T/lay/work,index=off" none "$L/d/sub"
	eq "$(stat -c %h "$M/d/sub"/[ab]1 | xargs)" "2 2"
	cat "$M/d/sub"/* > /dev/null
	echo new > "$M/d/sub/b1"
	eq "$(cat "$M/d/sub"/[ab]1 "$L/d/sub"/[ab]1 | xargs)" "old new old new"
	chown -R $USER1 "$M/d/sub"
	eq "$(stat -c %u "$L/d/sub"/* | uniq -c | xargs)" "8 $USER1"
	rm "$M/d/sub/a2"
	eq "$(cat "$M/d/sub/b2")" old
	mv "$M/d/sub/a3" "$M/d/sub/c3"
	echo newer > "$M/d/sub/c3"
	eq "$(cat "$M/d/sub"/[bc]3 "$L/d/sub"/[bc]3 | xargs)" "old newer old newer"
	# a new one is one file, met by either name
	ln "$M/d/sub/a4" "$M/d/sub/d4"
	exec 8< "$M/d/sub/a4"
	echo longest > "$M/d/sub/d4"
	eq "$(cat <&8) $(stat -c '%s %h' "$M/d/sub/a4")" "$(cat "$L/d/sub/a4") $(stat -c '%s %h' "$L/d/sub/a4")"
	exec 8<&-
}

# A server that opens with the caller's rights, and the flags that it is told
t_server_below()
{
	mkdir "$T/srv"
	echo text > "$T/srv/f"
	chmod 666 "$T/srv/f"
	down
	mergerfs -o allow_other,nonempty "$T/srv" "$L"
	mnt
	eq "$(other cat "$M/f")" text
	other sh -c "cat $M/f; echo more >> $M/f; cat $M/f" > /dev/null
	eq "$(cat "$T/srv/f" | xargs)" "text more"
	down
	umount "$L"
	mnt
}

# Each time round would take a thread
t_mounts_that_lead_back()
{
	local x=$L/d/x y=$L/d/y
	mkdir "$x" "$y" "$L/d/sub"
	mount --bind "$M" "$L/d/sub"
	"$MOUNT" "$L" "$x" -o "$OPTS"
	"$MOUNT" "$L" "$y" -o "$OPTS"
	fails 1 timeout 30 find "$M" "$x" "$y" > /dev/null 2> "$T/said"
	grep -q "sub.: Too many levels" "$T/said"
	grep -v "Too many levels" "$T/said" && exit 1
	umount "$x"
	umount "$y"
	umount "$L/d/sub"
	find "$M" > /dev/null
}

# Two inodes with one number: oddfs.c does not have them, bindfs over two tmpfs has
t_one_number_twice()
{
	mkdir "$T/src" "$T/src/a" "$T/src/b" "$L/d/sub"
	below "$T/src/a" -t tmpfs none
	below "$T/src/b" -t tmpfs none
	echo a > "$T/src/a/f"
	echo b > "$T/src/b/f"
	ln "$T/src/a/f" "$T/src/a/g"
	bindfs "$T/src" "$L/d/sub"
	eq "$(stat -c %i "$L/d/sub/a/f")" "$(stat -c %i "$L/d/sub/b/f")"
	eq "$(cat "$M/d/sub/a/f" "$M/d/sub/b/f" "$M/d/sub/a/g" | xargs)" "a b a"
	echo new > "$M/d/sub/b/f"
	eq "$(cat "$T/src/a/f" "$T/src/b/f" | xargs)" "a new"
	echo newer > "$M/d/sub/a/g"
	sleep 1.1 # of bindfs
	eq "$(cat "$M/d/sub/a/f") $(stat -c '%s %h' "$M/d/sub/a/f")" "newer 6 2"
	rm "$M/d/sub/a/g"
	sleep 1.1
	eq "$(stat -c %h "$M/d/sub/a/f")" 1
	# linked while it is known, and met by the other name
	exec 8< "$M/d/sub/a/f"
	ln "$M/d/sub/a/f" "$M/d/sub/a/h"
	echo 2 > /proc/sys/vm/drop_caches
	echo longer > "$M/d/sub/a/h"
	sleep 1.1
	eq "$(cat "$M/d/sub/a/f") $(stat -c '%s %h' "$M/d/sub/a/f")" "longer 7 2"
	exec 8<&-
	rm "$M/d/sub/a/h"
	sleep 1.1
	eq "$(stat -c %h "$M/d/sub/a/f")" 1
}

# Nobody who keeps others from a file of his keeps them from the rest
t_leases()
{
	local i
	echo free > "$L/d/free"
	for i in {1..14}; do
		echo "$i" > "$L/d/f$i"
		"$T/fsop" lease "$L/d/f$i" > "$T/leased$i" &
	done
	for i in {1..14}; do
		while ! [ -s "$T/leased$i" ]; do sleep 0.05; done
		timeout 60 cat "$M/d/f$i" > /dev/null 2>&1 &
	done
	sleep 1
	timeout 10 cat "$M/d/free"
	pkill -f "^$T/fsop lease"
	wait
	cat "$M/d/f1"
}

# The root of the lower directory knows no ACLs, what is mounted below does
t_acls_below()
{
	down
	below "$L" -t ramfs none
	mkdir "$L/d"
	mnt
	below "$L/d/sub" -t tmpfs none
	echo secret > "$L/d/sub/f"
	chown 0:$GROUP "$L/d/sub/f"
	chmod 640 "$L/d/sub/f"
	setfacl -m "u:$USER2:r,g::---" "$L/d/sub/f"
	fails 1 member cat "$M/d/sub/f"
	eq "$(other cat "$M/d/sub/f")" secret
	# nor has the root's file system lost what it can do
	echo plain > "$L/d/f"
	eq "$(other cat "$M/d/f")" plain
	fails 1 setfacl -m "u:$USER2:r" "$M/d/f"
}

# The other way round
t_no_acls_below()
{
	below "$L/d/sub" -t ramfs none
	echo plain > "$L/d/sub/f"
	(umask 027; echo secret > "$L/d/sub/g")
	eq "$(other cat "$M/d/sub/f")" plain
	fails 1 other cat "$M/d/sub/g"
	fails 1 setfacl -m "u:$USER2:r" "$M/d/sub/g"
	eq "$(getfacl -cE "$M/d/sub/g" | xargs)" "user::rw- group::r-- other::---"
	fails 1 other cat "$M/d/sub/g"
}

# dangerous DIR: programs and a device that are harmless where it is mounted so
dangerous()
{
	cp /usr/bin/id "$1/id"
	chmod 6755 "$1/id"
	cp /bin/grep "$1/caps"
	setcap cap_net_raw+ep "$1/caps"
	mknod -m 666 "$1/null" c 1 3
	echo '#!/bin/sh' > "$1/script"
	chmod 755 "$1/script"
}

# What they give to somebody: user, capabilities, a program, the device
powers()
{
	other "$1/id" -u 2> /dev/null || echo "id $?"
	other "$1/caps" CapEff /proc/self/status 2> /dev/null | sed 's/.*\(....\)$/\1/' || echo "caps $?"
	other "$1/script" 2> /dev/null && echo script || echo "script $?"
	other bash -c "echo x > $1/null" 2> /dev/null && echo device || echo "device $?"
}

t_flags_of_the_lower_mount()
{
	local flags
	for flags in nosuid,nodev,noexec nosuid nodev noexec; do
		down
		below "$L" -t tmpfs none
		mkdir -m 755 "$L/d"
		dangerous "$L/d"
		mount -o "remount,bind,$flags" "$L"
		powers "$L/d" > "$T/want"
		mnt suid,dev,exec,rw
		powers "$M/d" | diff "$T/want" -
		grep -q "^$flags," <(awk -v m="$M" '$2 == m { sub("^rw,", "", $4); print $4 "," }' /proc/mounts)
		"$MOUNT" "$L" "$M" -o "remount,suid,dev,exec,$OPTS"
		powers "$M/d" | diff "$T/want" -
		down
		umount "$L"
		mnt
	done
}

# Read-only, by its mount or its file system, it is here, too, and says so
t_read_only_below()
{
	local how
	for how in bind, ''; do
		down
		below "$L" -t tmpfs none
		mkdir -m 1777 "$L/d"
		echo x > "$L/d/f"
		mount -o "remount,${how}ro" "$L"
		mnt rw
		awk -v m="$M" '$2 == m { print $4 }' /proc/mounts | grep -q '^ro,'
		fails 1 test -w "$M/d/f"
		fails 1 bash -c "echo y > $M/d/f" 2> "$T/said"
		grep -q 'Read-only file system' "$T/said"
		cat "$M/d/f"
		"$MOUNT" "$L" "$M" -o "remount,rw,$OPTS"
		fails 1 test -w "$M/d/f"
		mount -o "remount,${how}rw" "$L"
		"$MOUNT" "$L" "$M" -o "remount,rw,$OPTS"
		test -w "$M/d/f"
		echo z > "$M/d/f"
		eq "$(cat "$L/d/f")" z
		down
		umount "$L"
		mnt
	done
}

# Mounted below the lower directory with fewer rights than itself: another file
# system, and another mount of the same
t_flags_of_mounts_below()
{
	local flags with
	mkdir "$L/d/src"
	dangerous "$L/d/src"
	powers "$L/d/src" > "$T/all"
	for flags in nosuid nodev noexec nosuid,nodev,noexec; do
		for with in "-t tmpfs none" "--bind $L/d/src"; do
			powers "$M/d/src" | diff "$T/all" -
			# shellcheck disable=SC2086 # words
			below "$L/d/sub" $with
			[[ $with == --bind* ]] || dangerous "$L/d/sub"
			mount -o "remount,bind,$flags" "$L/d/sub"
			powers "$L/d/sub" > "$T/want"
			powers "$M/d/sub" | diff "$T/want" -
			stat -c '%n %a' "$M/d/sub"/* > /dev/null
			getfattr -dm - "$M/d/sub"/* > /dev/null
			powers "$M/d/sub" | diff "$T/want" -
			powers "$M/d/src" | diff "$T/all" -
			down
			umount "$L/d/sub"
			mnt
		done
	done
}

# Hidden bits go with every write, too
t_hidden_bits_go()
{
	local mode how f
	below "$L/d/sub" -t tmpfs -o nosuid none
	echo 0123456789 > "$L/d/sub/from"
	for mode in passthrough writeback; do
		down
		mnt $mode
		for how in write append pwritev ftruncate truncate otrunc fallocate copy sendfile; do
			f=$L/d/sub/$mode.$how
			echo 0123456789 > "$f"
			chown $USER1:$GROUP "$f"
			chmod 6777 "$f"
			setcap cap_net_raw+ep "$f"
			(cd "$M/d/sub" && other "$T/fsop" change $how $mode.$how)
			eq "$how $mode $(stat -c %a "$f") $(getcap "$f")" "$how $mode 777 "
		done
	done
	# a mode can be set, though not all of it is shown
	chmod 4755 "$M/d/sub/from"
	eq "$(stat -c %a "$L/d/sub/from" "$M/d/sub/from" | xargs)" "4755 755"
}

. "$(dirname "$0")/plain.sh"
