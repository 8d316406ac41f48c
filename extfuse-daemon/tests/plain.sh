#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# StackFS on this host, as root.  Each behaviour is one function t_NAME, run in
# a subshell under set -e; where it can be, the same commands are run on a plain
# directory beside the mount, and both must come out alike.
#
# BUILD: where the build is; OPTS: mount options (default: plain FUSE);
# ONLY: a pattern of the tests to run.  Exit 77 in a test means skip.

HERE=$(cd "$(dirname "$0")" && pwd)
BUILD=${BUILD:-$HERE/../../build}
OPTS=${OPTS:-extfuse=off}
MOUNT=$BUILD/bin/mount.extfuse
STAT=$BUILD/bin/extfuse-stat
# not sanitized: it is the lower file system
ODDFS=$HERE/../../build/tests/oddfs
USER1=1000 GROUP1=1000 USER2=65534 GROUP2=65534
ABI=$(sed -n 's/^#define EXTFUSE_ABI[[:space:]]*//p' "$HERE/../../kernel/src/include/uapi/linux/extfuse.h")

T=$(mktemp -d "${TMPDIR:-/tmp}/extfuse.XXXXXX")
L=$T/lower M=$T/mnt R=$T/ref	# lower, mount, reference
passed=0 failed=0 skipped=0
export LC_ALL=C
# What a daemon built with sanitizers says, it says in files (and leaks too)
export ASAN_OPTIONS=log_path=$T/san UBSAN_OPTIONS=log_path=$T/san:print_stacktrace=1

# Whatever tests have mounted, the last first
unmount_all()
{
	local m
	tac /proc/mounts | awk -v t="$T/" 'index($2, t) == 1 { print $2 }' | while IFS= read -r m; do
		umount -l "$(printf %b "$m")"
	done 2> /dev/null
}

cleanup()
{
	cd /
	unmount_all
	rm -rf "$T"
}
trap cleanup EXIT

eq()
{
	[ "$1" = "$2" ] || { echo "got '$1', not '$2'"; exit 1; }
}

# fails CODE COMMAND...: the command exits with that code
fails()
{
	local want=$1 rc=0
	shift
	"$@" || rc=$?
	[ $rc = "$want" ] || { echo "exit code $rc, not $want: $*"; exit 1; }
}

as()
{
	local uid=$1 gid=$2
	shift 2
	setpriv --reuid "$uid" --regid "$gid" --clear-groups "$@"
}

mnt()
{
	"$MOUNT" "$L" "$M" -o "$OPTS${1:+,$1}"
}

unmounted()
{
	! grep " $M " /proc/mounts
}

daemon()
{
	pgrep -f "^$MOUNT $L $M( |$)"
}

# The last close of the connection is the daemon's, a moment after umount.
gone()
{
	local i
	for i in $(seq 100); do
		daemon > /dev/null || return 0
		sleep 0.05
	done
	echo "the daemon is still there"
	exit 1
}

# A thread that was told to stop may answer one more request before it does
stop()
{
	local i
	kill -STOP "$1"
	for i in $(seq 100); do
		awk '{ sub(/.*\) /, ""); rc += $1 != "T" } END { exit rc > 0 }' /proc/"$1"/task/*/stat && return
		sleep 0.05
	done
	echo "not all of the threads have stopped"
	exit 1
}

down()
{
	local pid
	pid=$(daemon) || true
	umount "$M"
	gone
	# while it exits it has no command line, but still its descriptors
	for _ in {1..100}; do
		[ -d "/proc/$pid" ] || break
		sleep 0.05
	done
}

# What the commands of a test can see, without times and inode numbers
tree()
{
	cd "$1"
	find . -printf '%P|%y|%m|%U|%G|%n|%l\n' | sort
	find . -type f -printf '%P %s\n' | sort
	getfacl -RPn . 2>&1
	getfattr -RPdm - . 2>&1 || true
	cd /
}

# All that stat() says; with a writeback cache the kernel keeps times of its own.
TIMES='%b|%T@|%C@'
exact()
{
	(cd "$1" && find . -mindepth 1 -printf "%P|%i|%y|%m|%U|%G|%n|%s|$TIMES|%l\n" | sort)
}

content()
{
	(cd "$1" && find . -type f -print0 | sort -z | xargs -0r cksum)
}

# both COMMANDS: on the mount and on the reference, with the same outcome
both()
{
	local i rc
	for i in "$M" "$R"; do
		rc=0
		(cd "$i/d" && eval "$1") > "$T/out.${i##*/}" 2>&1 || rc=$?
		echo "exit $rc" >> "$T/out.${i##*/}"
	done
	sed -i "s|$M|DIR|g" "$T/out.mnt"
	sed -i "s|$R|DIR|g" "$T/out.ref"
	diff "$T/out.ref" "$T/out.mnt" || { echo "of: $1"; exit 1; }
	tree "$R" > "$T/tree.ref"
	tree "$M" > "$T/tree.mnt"
	tree "$L" > "$T/tree.lower"
	diff "$T/tree.ref" "$T/tree.mnt" || { echo "after: $1"; exit 1; }
	diff "$T/tree.lower" "$T/tree.mnt" || { echo "below, after: $1"; exit 1; }
	exact "$L" > "$T/exact.lower"
	exact "$M" > "$T/exact.mnt"
	diff "$T/exact.lower" "$T/exact.mnt" || { echo "stat, after: $1"; exit 1; }
	diff <(content "$L") <(content "$M") ||
		{ echo "content, after: $1"; exit 1; }
}

# A fresh mount for each test
setup()
{
	rm -rf "$L" "$R"
	mkdir -p "$L/d" "$M" "$R/d"
	chmod 755 "$T"
	chmod 1777 "$L/d" "$R/d"
	mnt
}

run()
{
	local name=$1 rc
	if [[ $name != ${ONLY:-*} ]]; then
		return
	fi
	(set -eE
	 trap 'echo "$BASH_COMMAND"' ERR
	 setup; "t_$name"; down) > "$T/log" 2>&1
	rc=$?
	if compgen -G "$T/san.*" > /dev/null; then
		grep -hE 'ERROR|error:|^ +#[0-9]' "$T"/san.* | head -n 6 >> "$T/log"
		rm -f "$T"/san.*
		rc=1
	fi
	case $rc in
	0) echo "ok $name"; passed=$((passed + 1)) ;;
	77) echo "SKIP $name: $(tail -1 "$T/log")"; skipped=$((skipped + 1)) ;;
	*) echo "FAIL $name: $(tail -n 6 "$T/log" | tr '\n' ' ')"
	   failed=$((failed + 1)) ;;
	esac
	unmount_all
}

# --- files and names -----------------------------------------------------

t_files()
{
	both 'echo hello > a; cat a; echo more >> a; cat a; wc -c < a'
	both 'head -c 3000000 /dev/zero | tr "\0" x > big; cksum big'
	both 'printf yy | dd of=big bs=1 seek=77777 conv=notrunc status=none; cksum big'
	both 'truncate -s 100 big; cksum big; truncate -s 200 big; cksum big; : > big; stat -c %s big'
	both 'cp -a a b; touch -d 2001-02-03 b; stat -c "%y %x" b; mv b c; rm a; ls -a'
	both 'echo x > ro; chmod 0444 ro; dd if=/dev/zero of=dd bs=64k count=32 oflag=direct status=none; cksum dd'
	both 'dd if=dd bs=64k iflag=direct status=none | cksum'
}

t_directories()
{
	both 'mkdir -p x/y/z; rmdir x/y/z; rmdir x; mkdir x; ls -la x | wc -l'
	both 'for i in $(seq 3000); do : > x/file-with-a-longer-name-$i; done; ls x | cksum; ls -f x | sort | cksum'
	both 'ls -l --time-style=+ x | cksum; rm -r x; ls'
	both 'mkdir p; stat -c %h .; rmdir p; stat -c %h .'
}

t_seekdir()
{
	mkdir "$L/d/s"
	for i in $(seq 1500); do : > "$L/d/s/$i"; done
	eq "$("$T/fsop" seekdir "$M/d/s")" 1502
}

t_symlinks()
{
	both 'ln -s a/b/c l; readlink l; ln -s /etc/hostname h; readlink h; ln -s l l; cat l'
	both 'ln -s $(printf "%04000d" 0) long; readlink long | cksum; touch -h -d 2002-02-02 l; stat -c %y l'
	both 'chown -h 5:6 l; stat -c %u:%g l'
}

t_hardlinks()
{
	both 'echo 1 > a; ln a b; ln a c; stat -c %h a b c; echo 2 >> b; cat c; rm a; stat -c "%h %s" b c'
	eq "$(stat -c %i "$M/d/b")" "$(stat -c %i "$M/d/c")"
	both 'chmod 600 b; stat -c %a c; mv b c; ls; stat -c %h b c'
	both 'ln -s x s; ln -P s s2; readlink s2; stat -c %h s; mkdir d; ln d e; ln b c'
}

t_special()
{
	both 'mkfifo f; mknod b b 7 99; mknod c c 1 3; stat -c "%F %t %T" f b c; echo hi > c'
	both '(echo via-fifo > f & cat f; wait)'
}

t_rename()
{
	local NOREPLACE=1 EXCHANGE=2
	both 'echo 1 > a; echo 2 > b; mv a b; cat b; ls; mkdir x y; mv b x; mv x/b y/c; ls -R'
	both 'mkdir full; : > full/f; mkdir empty; mv -T empty x; mv -T x full; ls'
	both 'mv y y/in; echo 3 > n; mv n/ m; mv nothing there'
	both "echo a > a; echo b > b; $T/fsop rename a b $NOREPLACE; cat a b; $T/fsop rename a new $NOREPLACE; ls"
	both "$T/fsop rename new full $EXCHANGE; cat full; ls new; $T/fsop rename new nothing $EXCHANGE; ls -R"
	both "mkdir -p p/q r; echo 9 > r/f; $T/fsop rename p/q r/f $EXCHANGE; ls -lR --time-style=+ p r"
	both "as $USER1 $GROUP1 sh -c 'echo w > w; $T/fsop rename w x4 4'; stat -c '%u %F' w x4"
}

t_tmpfile()
{
	both "$T/fsop tmpfile . named; cat named; stat -c '%h %a' named"
	as $USER1 $GROUP1 "$T/fsop" tmpfile "$M/d" "$M/d/user"
	eq "$(stat -c %u:%g "$L/d/user")" $USER1:$GROUP1
}

t_unlinked()
{
	both "$T/fsop unlinked f; ls -a"
}

t_fallocate()
{
	both "echo data > f; $T/fsop fallocate f 0 0 100000; stat -c '%s' f; $T/fsop fallocate f 1 0 300000; stat -c %s f"
	both "$T/fsop fallocate f 3 4096 8192; cksum f; stat -c '%s %b' f"
	both "truncate -s 1M s; printf x | dd of=s bs=1 seek=500000 conv=notrunc status=none; $T/fsop seek s 0 data; $T/fsop seek s 0 hole; $T/fsop seek s 999999 data"
}

t_copy_file_range()
{
	both "seq 100000 > a; $T/fsop copy a b 200000; cksum b; $T/fsop copy a a 10; cp a c; cksum c"
	both 'cp --reflink=auto a r; cmp a r; cp --sparse=always a s; cmp a s'
}

t_mmap()
{
	both "head -c 8192 /dev/zero > f; $T/fsop mmap f hello; head -c 5 f; cksum f"
	eq "$(cksum < "$M/d/f")" "$(cksum < "$L/d/f")"
}

# chattr +a: the lower file system may have no such thing
t_append_only()
{
	local i j
	: > "$L/d/probe"
	chattr +a "$L/d/probe" 2> /dev/null || { echo "no append-only files on the lower file system"; exit 77; }
	chattr -a "$L/d/probe"
	rm "$L/d/probe"
	trap 'chattr -Rf -a "$L/d" "$R/d" || true' EXIT
	for i in passthrough nopassthrough writeback; do
		down
		for j in "$L" "$R"; do echo first > "$j/d/$i"; done
		mnt $i
		[ $i != writeback ] || TIMES=
		chattr +a "$L/d/$i" "$R/d/$i"
		if [ $i != writeback ]; then
			both "echo second >> $i; cat $i; echo 3 >> $i; wc -c $i; cat $i"
			both "exec 8>> $i; echo 4 >&8; echo 5 >> $i; echo 6 >&8; cat $i"
			both "exec 8< $i; echo 7 >> $i; cat <&8"
		fi
		both "echo no > $i; echo no 1<> $i; truncate -s 0 $i; dd if=/dev/zero of=$i count=1 conv=notrunc,nocreat; cat $i"
		# nor by a mapping, which is refused or fails to be written
		if "$T/fsop" mmap "$M/d/$i" stored 02000; then exit 1; fi
		chattr -a "$L/d/$i" "$R/d/$i"
		both "cat $i; echo >> $i; rm $i"
	done
}

t_names()
{
	local n255 n256
	n255=$(printf '%0255d' 0)
	n256=0$n255
	both "echo 1 > $n255; cat $n255; echo 1 > $n256; ls | wc -c; mkdir x; mv $n255 x/$n255; mv x/$n255 $n256; ln x/$n255 $n256; ls x"
	both 'f=$(printf "a\377\001\nb"); echo raw > "$f"; cat "$f"; ls -b; mv "$f" $(printf "\303\050"); ls -b'
	both 'echo 1 > "with space,comma"; echo 2 > "-n"; echo 3 > "\\"; ls'
}

t_times()
{
	both 'echo 1 > a; touch -a -d @1000.5 a; stat -c %X a; touch -m -d @2000.25 a; stat -c "%.X %.Y" a'
	both 'touch -d @-5 a; stat -c %Y a; mkdir x; touch -d @7 x; : > x/y; [ $(stat -c %Y x) -gt 7 ] && echo moved'
}

# chown() of nothing moves ctime
t_chown_of_nothing()
{
	cat > "$T/nothing" <<-'END'
		import os, stat, sys, time
		for f in sys.argv[1:]:
		    old = os.lstat(f)
		    time.sleep(0.02)
		    os.chown(f, -1, -1, follow_symlinks=False)
		    new = os.lstat(f)
		    print(f, "moved" if new.st_ctime_ns > old.st_ctime_ns else "same",
			  new.st_mtime_ns == old.st_mtime_ns, oct(new.st_mode))
	END
	both "echo 1 > f; mkdir s; chmod 2770 s; ln -s f l; echo 1 > x; chmod 6755 x; mkfifo p; python3 $T/nothing f s l x p"
	both "chmod 666 f; as $USER1 $GROUP1 python3 $T/nothing f"
	# a write costs capabilities, which is no reason to lose setuid
	both "cp /bin/true t; chmod 4755 t; setcap cap_net_raw+ep t; chmod 4755 t; echo >> t; getcap t; stat -c %a t"
}

# moves_atime PATH: does reading it through the mount move the lower one's?
moves_atime()
{
	touch -a -d @1000 "$L/$1"
	if [ -d "$L/$1" ]; then ls "$M/$1"; else cat "$M/$1"; fi > /dev/null
	[ "$(stat -c %X "$L/$1")" != 1000 ]
}

# As the mount's flags say, whatever those of the lower mount are
t_noatime()
{
	local i modes=nopassthrough
	echo 1 > "$L/d/f"
	moves_atime d/f || { echo "reads of the lower file system move no atime"; exit 77; }
	# Passthrough is the kernel's, and only ours knows
	[[ $OPTS == *extfuse=off* ]] || modes="nopassthrough passthrough"
	for i in $modes; do
		down
		mnt $i,noatime
		if moves_atime d/f || moves_atime d; then exit 1; fi
		down
		mnt $i,ro
		if moves_atime d/f || moves_atime d; then exit 1; fi
		down
		mnt $i,nodiratime
		moves_atime d/f
		if moves_atime d; then exit 1; fi
		down
		mnt $i
		moves_atime d/f
		moves_atime d
	done
}

t_statfs()
{
	eq "$(stat -f -c '%b %S %c %l' "$M")" "$(stat -f -c '%b %S %c %l' "$L")"
}

t_locks()
{
	both 'flock l true && (flock -n 9 && ! flock -n l true && echo held) 9> l'
}

# The same steps on one file by two ways: of the mount and below it, or both of a plain directory
locks_script()
{
	cat > "$T/locks" <<-'EOP'
		import errno, fcntl, os, select, signal, struct, sys, time
		F = 'hhqqi'
		def lock(fd, kind, wait, start=0, length=0, what=fcntl.F_WRLCK):
		    if kind == 'flock':
		        fcntl.flock(fd, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
		    else:
		        cmd = {'posix': (fcntl.F_SETLK, fcntl.F_SETLKW), 'ofd': (37, 38)}[kind][wait]
		        fcntl.fcntl(fd, cmd, struct.pack(F, what, 0, start, length, 0))
		a, b = sys.argv[1:]
		class Hold:   # a process that locks, says how that went, and holds it until it is ended
		    def __init__(s, kind, path, start=0, length=0, wait=0):
		        (r, said), (go, s.go) = os.pipe(), os.pipe()
		        s.pid = os.fork()
		        if not s.pid:
		            for fd in range(3, 256):
		                if fd not in (said, go):
		                    try: os.close(fd)
		                    except OSError: pass
		            try:
		                lock(os.open(path, os.O_RDWR), kind, wait, start, length)
		                os.write(said, b'held\n')
		            except OSError as e:
		                os.write(said, errno.errorcode[e.errno].encode())
		            os.close(said); os.read(go, 1); os._exit(0)
		        os.close(go); os.close(said)
		        s.r = os.fdopen(r)
		        s.said = None if wait else s.hear()
		    def hear(s): return s.r.readline().strip()
		    def end(s): os.close(s.go); return s.reap()
		    def kill(s, sig=signal.SIGKILL): os.kill(s.pid, sig); n = s.reap(); os.close(s.go); return n
		    def reap(s): return os.waitstatus_to_exitcode(os.waitpid(s.pid, 0)[1])
		def once(kind, path, *range):
		    h = Hold(kind, path, *range); h.end(); return h.said
		def soon(kind, path, *range):   # the last close may be a moment behind
		    for i in range_(100):
		        said = once(kind, path, *range)
		        if said == 'held': break
		        time.sleep(.02)
		    return said
		range_ = range
		for kind in 'posix', 'ofd', 'flock':
		    for x, y in (a, b), (b, a), (a, a):
		        h = Hold(kind, x)
		        print(kind, h.said, once(kind, y))
		        h.end(); print(soon(kind, y))
		        h = Hold(kind, x); h.kill(); print('killed', soon(kind, y))
		        h = Hold(kind, x)
		        w = Hold(kind, y, wait=1); time.sleep(.1); h.end(); print('waited', w.hear()); w.end()
		        h = Hold(kind, x)
		        w = Hold(kind, y, wait=1); time.sleep(.1); print('waiter', w.kill(signal.SIGTERM))
		        h.end(); print(soon(kind, y))
		h = Hold('posix', a, 0, 10)
		print(once('posix', b, 10, 10), once('posix', b, 5, 10), once('posix', a, 10, 10), once('posix', a, 5, 10)); h.end()
		fd = os.open(a, os.O_RDWR)
		lock(fd, 'posix', 0, 0, 10); lock(fd, 'posix', 0, 0, 5, fcntl.F_UNLCK)
		print('parts', once('posix', b, 0, 5), once('posix', b, 4, 5))
		os.close(os.open(a, os.O_RDONLY)); print('closed', soon('posix', b)); os.close(fd)
		fd = os.open(a, os.O_RDWR); d = os.dup(fd); lock(fd, 'ofd', 0); os.close(fd)
		print('dup', once('posix', b)); os.close(d); print('dup closed', soon('posix', b))
		ro = os.open(a, os.O_RDONLY); lock(ro, 'posix', 0, 0, 0, fcntl.F_RDLCK); print('read', once('posix', b))
		try: lock(ro, 'posix', 0)
		except OSError as e: print(errno.errorcode[e.errno])
		os.close(ro)
		for x, y in (a, a), (b, a):
		    h = Hold('posix', x); fd = os.open(y, os.O_RDWR)
		    said = struct.unpack(F, fcntl.fcntl(fd, fcntl.F_GETLK, struct.pack(F, fcntl.F_WRLCK, 0, 0, 0, 0)))
		    print('getlk', said[0], said[4] == h.pid); h.end(); os.close(fd)
		h = Hold('flock', b)
		many = [Hold('flock', a, wait=1) for i in range(15)]
		time.sleep(.5); os.stat(a); os.listdir(os.path.dirname(a)); print('alive')
		h.end(); n = 0
		while many:
		    said = [w for w in many if select.select([w.r], [], [], 0)[0]]
		    for w in said: n += w.hear() == 'held'; w.end(); many.remove(w)
		    time.sleep(.01)
		print('in turn', n)
	EOP
}

t_locks_below()
{
	locks_script
	down
	mnt lock=lower
	echo 1 > "$L/d/f"
	echo 1 > "$R/d/f"
	timeout 120 python3 "$T/locks" "$R/d/f" "$R/d/f" > "$T/want"
	timeout 120 python3 "$T/locks" "$M/d/f" "$L/d/f" > "$T/got"
	diff "$T/want" "$T/got"
	# SQLite's, of rows by one way and by the other
	timeout 60 python3 - "$M/d/db" "$L/d/db" <<-'EOP'
		import sqlite3, sys
		a, b = (sqlite3.connect(p, timeout=0, isolation_level=None) for p in sys.argv[1:])
		a.execute('create table t(x)')
		a.execute('begin immediate'); a.execute('insert into t values (1)')
		try: b.execute('begin immediate'); sys.exit('two writers')
		except sqlite3.OperationalError as e: assert 'locked' in str(e), e
		a.execute('commit')
		b.execute('insert into t values (2)')
		assert a.execute('select count(*) from t').fetchone() == (2,)
	EOP
	fails 1 "$MOUNT" -f "$L" "$M" -o "$OPTS,lock=both"
}

# --- extended attributes, ACLs -------------------------------------------

t_xattrs()
{
	both 'echo 1 > a; setfattr -n user.k -v v a; getfattr -d a; getfattr -n user.none a; setfattr -x user.k a; getfattr -d a'
	both 'setfattr -n user.big -v $(printf "%01000d" 1) a; getfattr -d a | cksum; setfattr -n trusted.t -v 1 a; getfattr -dm - a'
	both 'ln -s a s; setfattr -h -n trusted.l -v x s; getfattr -h -dm - s; setfattr -h -n user.l -v x s; setfattr -n bad -v 1 a'
	both 'setfattr -x user.none a; setfattr -n user. -v 1 a; setfattr -n user.$(printf "%0300d" 0) -v 1 a'
}

t_acls()
{
	both "echo 1 > a; chmod 600 a; setfacl -m u:$USER1:r a; getfacl -cn a; stat -c %a a; setfacl -b a; getfacl -cn a"
	both "mkdir x; setfacl -d -m u:$USER1:rwx,g::r x; umask 077; : > x/f; mkdir x/g; getfacl -cn x/f x/g"
	both "chmod 640 x/f; getfacl -cn x/f; cp -a x/f y; getfacl -cn y"
}

t_acl_decides()
{
	echo secret > "$M/d/f"
	chmod 600 "$M/d/f"
	fails 1 as $USER1 $GROUP1 cat "$M/d/f"
	setfacl -m u:$USER1:r "$M/d/f"
	eq "$(as $USER1 $GROUP1 cat "$M/d/f")" secret
	fails 1 as $USER2 $GROUP2 cat "$M/d/f"
	setfacl -b "$M/d/f"
	fails 1 as $USER1 $GROUP1 cat "$M/d/f"
}

t_capabilities()
{
	both 'cp /bin/true t; setcap cap_net_raw+ep t; getcap t; echo >> t; getcap t'
	both 'setcap cap_net_raw+ep t; chown 1:1 t; getcap t'
}

# --- who may what, and whose it is ---------------------------------------

t_owner()
{
	both "as $USER1 $GROUP1 sh -c 'umask 027; echo 1 > f; mkdir m; ln -s f s; mkfifo p; ln f h'; stat -c '%u:%g %a' f m s p"
	both "as $USER2 $GROUP1 sh -c 'umask 0; echo 1 > g; mkdir n'; stat -c '%u:%g %a' g n"
	both "as 0 $GROUP1 sh -c ': > rootgroup'; stat -c %u:%g rootgroup"
}

t_umask()
{
	both '(umask 0; : > a; mkdir b); (umask 077; : > c; mkdir d); (umask 022; mknod -m 666 e p)'
}

t_permissions()
{
	both "as $USER1 $GROUP1 sh -c 'echo 1 > f; chmod 600 f; mkdir -m 700 m; : > m/i'; as $USER2 $GROUP2 sh -c 'cat f; echo 2 > f; rm -f f; mv f g; ls m; : > m/j; chmod 666 f; chown $USER2 f; touch f; truncate -s 0 f; ln f x'"
	both "as $USER1 $GROUP1 sh -c 'rm f; chmod 644 m/i; chown 0 m/i; chgrp $GROUP2 m/i'; ls"
	both "echo 1 > r; chmod 444 r; as $USER1 $GROUP1 sh -c 'echo 2 > r; cat r'"
}

t_setgid_directory()
{
	both "mkdir s; chown 0:$GROUP2 s; chmod 2777 s; as $USER1 $GROUP1 sh -c ': > s/f; mkdir s/m'; stat -c '%g %a' s/f s/m"
	# The setgid bit of an executable stays for members of the group only.
	cat > "$T/mk" <<-'END'
		import os
		os.umask(0)
		os.close(os.open("s/" + os.environ["N"], os.O_CREAT | os.O_WRONLY, 0o2775))
		os.mknod("s/n" + os.environ["N"], 0o102775)
	END
	both "N=no as $USER1 $GROUP1 python3 $T/mk; N=own as $USER1 $GROUP2 python3 $T/mk; stat -c '%n %g %a' s/*"
	both "N=sup setpriv --reuid $USER1 --regid $GROUP1 --groups $GROUP2 python3 $T/mk; stat -c '%g %a' s/*sup"
}

t_setuid_goes()
{
	both "echo 1 > f; chmod 6777 f; as $USER1 $GROUP1 sh -c 'echo 2 >> f'; stat -c %a f"
	both "echo 1 > g; chmod 6777 g; as $USER1 $GROUP1 sh -c ': > g'; stat -c %a g"
	both "echo 1 > h; chmod 6777 h; as $USER1 $GROUP1 truncate -s 1 h; stat -c %a h"
	both "echo 1 > i; chmod 6777 i; chown $USER1 i; stat -c %a i; chmod 6777 i; echo 1 > i; stat -c %a i"
	both "echo 1 > j; chown $USER1:$GROUP2 j; chmod 2775 j; as $USER1 $GROUP1 setfacl -m u:5:r j; stat -c %a j"
}

t_noallow_other()
{
	down
	echo 1 > "$L/d/f"
	mnt noallow_other
	eq "$(cat "$M/d/f")" 1
	fails 1 as $USER1 $GROUP1 cat "$M/d/f"
}

# --- changes below, lifetimes --------------------------------------------

t_changes_below()
{
	down
	mnt attr_timeout=0,entry_timeout=0,negative_timeout=0
	echo 1 > "$L/d/f"
	eq "$(cat "$M/d/f")" 1
	echo 22 > "$L/d/f"
	eq "$(cat "$M/d/f")$(stat -c %s "$M/d/f")" 223
	rm "$L/d/f"
	fails 1 cat "$M/d/f"
	# Made below, when the kernel thinks that it is not there: its own mode counts.
	fails 1 test -e "$M/d/g"
	(umask 077; echo secret > "$L/d/g")
	fails 2 as $USER1 $GROUP1 sh -c "echo 1 >> $M/d/g"
	eq "$(cat "$L/d/g")" secret
}

t_create_behind()
{
	# A cached negative entry is no licence to open what is there by now.
	fails 1 test -e "$M/d/g"
	(umask 077; echo secret > "$L/d/g")
	fails 2 as $USER1 $GROUP1 sh -c "echo 1 >> $M/d/g"
	eq "$(cat "$L/d/g")" secret
	eq "$(stat -c %a "$M/d/g")" 600
}

t_stale()
{
	mkdir "$M/d/x"
	cd "$M/d/x"
	: > f
	rm f
	rmdir "$M/d/x"
	fails 2 ls nothing
	fails 2 sh -c ': > g'
	eq "$(stat -c %h .)" 0
	cd /
	echo 1 > "$M/d/a"
	exec 8< "$M/d/a"
	rm "$L/d/a"
	eq "$(cat <&8)" 1
	exec 8<&-
	echo 2 > "$L/d/a"
}

t_inode_reuse()
{
	local i
	down
	EXTFUSE_TEST_NODE_FDS=20 mnt attr_timeout=0,entry_timeout=0,negative_timeout=0
	for i in $(seq 200); do echo "$i" > "$M/d/$i"; done
	[ "$(nodes fds)" -le 40 ] || { echo "$(nodes fds) open"; exit 1; }
	for i in $(seq 200); do eq "$(cat "$M/d/$i")" "$i"; done
	for i in $(seq 200); do rm "$L/d/$i"; done
	for i in $(seq 200); do echo "new $i" > "$L/d/n$i"; done
	for i in $(seq 200); do eq "$(cat "$M/d/n$i")" "new $i"; done
	for i in $(seq 200); do fails 1 test -e "$M/d/$i"; done
}

nodes()
{
	"$STAT" --json "$M" | python3 -c "import json, sys; print(json.load(sys.stdin)['nodes']['$1'])"
}

t_forget()
{
	local i
	mkdir "$L/d/many"
	for i in $(seq 2000); do : > "$L/d/many/$i"; done
	ls -lR "$M" > /dev/null
	[ "$(nodes total)" -ge 2000 ] || { echo "only $(nodes total) nodes"; exit 1; }
	for i in $(seq 50); do
		echo 2 > /proc/sys/vm/drop_caches
		[ $(($(nodes total) - $(nodes pinned))) = 1 ] && break
		sleep 0.1
	done
	# The root, and what the kernel's own cache leads to.
	eq $(($(nodes total) - $(nodes pinned))) 1
	if "$STAT" --json "$M" | grep -q '"mode":"plain"'; then
		eq "$(nodes total) $(nodes fds)" "1 1"
	fi
	eq "$(find "$M/d/many" -type f | wc -l)" 2000
}

t_parallel()
{
	local i
	for i in 1 2 3 4; do
		(for j in $(seq 300); do
			echo $i > "$M/d/$i.$j"; mv "$M/d/$i.$j" "$M/d/x$j"
			ln "$M/d/x$j" "$M/d/l$i.$j" && cat "$M/d/l$i.$j" > /dev/null
			rm -f "$M/d/x$((j - 1))"
		done) > /dev/null 2>&1 &
	done
	for i in $(seq 20); do
		find "$M" -ls > /dev/null 2>&1 || true
		echo 2 > /proc/sys/vm/drop_caches
	done
	wait
	diff <(exact "$L") <(exact "$M")
	daemon > /dev/null
}

t_recursion()
{
	mkdir "$L/d/inside"
	echo covered > "$L/d/inside/f"
	"$MOUNT" "$L" "$L/d/inside" -o "$OPTS"
	eq "$(timeout 20 cat "$L/d/inside/d/inside/f")" covered
	eq "$(timeout 20 find "$L/d/inside" | wc -l)" 4
	umount "$L/d/inside"
}

t_over_itself()
{
	echo 1 > "$L/d/f"
	"$MOUNT" "$L" "$L" -o "$OPTS"
	eq "$(timeout 20 cat "$L/d/f")" 1
	umount "$L"
}

# --- other devices below ---------------------------------------------------

# Three of them, whose inode numbers are the same
devices()
{
	down
	mount -t tmpfs none "$L"
	mkdir "$L/d" "$L/sub" "$L/sub2"
	mount -t tmpfs none "$L/sub"
	mount -t tmpfs none "$L/sub2"
	mnt "${1:-}"
}

t_inode_numbers()
{
	local i
	devices
	for i in d sub sub2; do echo "$i" > "$M/$i/f"; done
	eq "$(find "$M" | wc -l)" 7
	eq "$(find "$M" -printf '%i\n' | sort -u | wc -l)" 7
	# As it is listed, looked up, and after it was written to
	for i in d sub sub2; do
		exec 8>> "$M/$i/f"
		echo more >&8
		eq "$(stat -c %i "$M/$i/f") f" "$(ls -i "$M/$i")"
		exec 8>&-
	done
	eq "$(stat -c %i "$M/d/f")" "$(stat -c %i "$L/d/f")"
	cp "$M/d/f" "$M/sub/f"
	eq "$(du -a "$M" | wc -l)" 7
}

# In use below is what the kernel knows, and no longer than that
t_umount_below()
{
	local i
	devices
	# what is watched is shown with the mounts that were there when it began
	down
	mnt exclusive
	echo 1 > "$M/sub/f"
	ls -lR "$M" > /dev/null
	if "$STAT" --json "$M" | grep -q '"mode":"plain"'; then
		for i in $(seq 50); do
			echo 2 > /proc/sys/vm/drop_caches
			umount "$L/sub" 2> /dev/null && break
			sleep 0.1
		done
		eq "$(ls "$M/sub")" ""
	fi
	down
	umount "$L/sub2"
	mnt
}

# What is found by a bind mount is not used in place of what was found without
t_two_ways()
{
	local i
	down
	mkdir -p "$L/src/deep" "$L/bind" "$L/big"
	for i in $(seq 60); do : > "$L/big/$i"; done
	: > "$L/src/deep/f"
	mount --bind "$L/src/deep" "$L/bind"
	EXTFUSE_TEST_NODE_FDS=20 mnt
	stat "$M/src/deep/f" > /dev/null
	ls -l "$M/big" > /dev/null
	stat "$M/bind" > /dev/null
	ln "$M/src/deep/f" "$M/src/deep/f2"
	ln "$M/bind/f" "$M/bind/f3"
	down
	umount "$L/bind"
	mnt
}

# As a file system may do that is not of the kernel's own
t_short_reads()
{
	local i
	[ -x "$ODDFS" ] || { echo "no $ODDFS: make -C extfuse-daemon tests"; exit 77; }
	down
	"$ODDFS" "$L" > /dev/null 2>&1
	cksum < "$L/short" > "$T/want"
	for i in nopassthrough nopassthrough,attr_timeout=0; do
		mnt $i
		cksum < "$M/short" | diff "$T/want" -
		eq "$(dd if="$M/short" bs=30000 iflag=direct status=none | wc -c)" 100000
		down
	done
	umount "$L"
	mnt
}

# --- mount.extfuse -------------------------------------------------------

# says CODE PATTERN COMMAND...: fails with that code and message
says()
{
	local code=$1 pattern=$2
	shift 2
	fails "$code" "$@" > /dev/null 2> "$T/err"
	grep -q -- "^mount.extfuse: .*$pattern" "$T/err" ||
		{ cat "$T/err"; echo "does not say '$pattern': $*"; exit 1; }
}

t_usage()
{
	down
	says 1 LOWER "$MOUNT"
	says 1 MOUNTPOINT "$MOUNT" "$L"
	says 1 "too many: 'more'" "$MOUNT" "$L" "$M" more
	says 1 "unknown option 'nonsense'" "$MOUNT" "$L" "$M" -o nonsense
	says 1 "unknown option 'nonsense=1'" "$MOUNT" "$L" "$M" -o rw,nonsense=1
	says 1 "unknown option '-q'" "$MOUNT" "$L" "$M" -q
	for bad in attr_timeout=-1 entry_timeout= negative_timeout=x \
	    attr_timeout=4294967296 attr_timeout=inf entry_timeout=1e3 \
	    attr_timeout=0x10 max_entries=15 max_entries=16777217 \
	    max_entries=-1 max_entries=9999999999999999999999 extfuse=maybe \
	    object=relative; do
		says 1 "$bad: not" "$MOUNT" "$L" "$M" -o "$bad"
	done
	says 1 'writeback and .*passthrough' "$MOUNT" "$L" "$M" -o writeback,passthrough
	"$MOUNT" --help | grep -q ^usage
	eq "$("$MOUNT" -V)" "mount.extfuse $(cat "$HERE/../../VERSION") (ABI $ABI)"
	"$MOUNT" "$L" "$M" -o ",,ro,,$OPTS," -f
	"$MOUNT" "$L" "$M" -o "" -o "$OPTS" -f
	says 32 "No such file" "$MOUNT" "" "$M" -o "$OPTS" -f
	"$MOUNT" -s "$L" "$M" -o nonsense,"$OPTS" -f
	"$MOUNT" "$L" "$M" -o nonsense,"$OPTS" -sfnv
	"$MOUNT" -o "$OPTS" -t fuse.extfuse "$L" "$M" -f
	# what would do nothing
	for bad in lazytime iversion mand; do says 1 "unknown option '$bad'" "$MOUNT" "$L" "$M" -o $bad; done
	for bad in max_read=4096 fd=3 user_id=0; do says 1 "${bad%=*}=...: for a remount only" "$MOUNT" "$L" "$M" -o $bad; done
	"$MOUNT" "$L" "$M" -f -o "$OPTS",_netdev,nofail,noauto,user,x-systemd.automount,comment=hi,defaults
	unmounted
	# what the manual page has, but for those with a value, and remount
	for option in $(awk '/^\.TP/ { getline; print } /^\.BR (_netdev|silent)/' "$HERE/../../docs/man/mount.extfuse.8" |
	    sed -n 's/^\.BR* \([a-z_].*\)/\1/p' | grep -v '=\|^remount\|^relatime' | tr -d '",'); do
		"$MOUNT" "$L" "$M" -f -o "$option,extfuse=off" || { echo "-o $option"; exit 1; }
		echo "$option" >> "$T/options"
	done
	grep -q nostrictatime "$T/options"
	grep -q nomand "$T/options"
	mnt
}

# What only the mount of LOWER can do
t_options_of_lower()
{
	local o
	down
	mount -t tmpfs -o relatime none "$L"
	for o in strictatime sync dirsync; do
		says 1 "-o $o: the mount of the lower directory" "$MOUNT" "$L" "$M" -o "$OPTS,$o"
	done
	unmounted
	mnt relatime
	says 1 "-o strictatime: the mount" "$MOUNT" "$L" "$M" -o "remount,strictatime,$OPTS"
	says 1 "-o sync: the mount" "$MOUNT" "$L" "$M" -o "remount,sync,$OPTS"
	down
	mount -o remount,strictatime,sync "$L"
	says 1 "-o relatime: the mount" "$MOUNT" "$L" "$M" -o "$OPTS,relatime"
	mnt strictatime,sync,dirsync
	"$MOUNT" "$L" "$M" -o "$(findmnt -n -o OPTIONS "$M"),remount"
	"$MOUNT" "$L" "$M" -o "remount,strictatime,$OPTS"
	down
	umount "$L"
	mnt
}

t_environment()
{
	down
	says 32 "$T/none: No such file" "$MOUNT" "$T/none" "$M" -o "$OPTS"
	says 32 "$T/none: No such file" "$MOUNT" "$L" "$T/none" -o "$OPTS"
	: > "$T/file"
	says 32 "$T/file: Not a dir" "$MOUNT" "$T/file" "$M" -o "$OPTS"
	says 32 "$T/file: Not a dir" "$MOUNT" "$L" "$T/file" -o "$OPTS"
	says 1 'only root' as $USER1 $GROUP1 "$MOUNT" "$L" "$M"
	mnt
	says 32 "$M: busy: $L" "$MOUNT" "$L" "$M" -o "$OPTS"
	eq "$(grep -c " $M " /proc/mounts)" 1
}

t_object()
{
	down
	: > "$T/o"
	chmod 666 "$T/o"
	says 32 "$T/o: .*mode 100666" "$MOUNT" "$L" "$M" -o "object=$T/o"
	chmod 644 "$T/o"
	chown $USER1 "$T/o"
	says 32 "$T/o: .*owner $USER1" "$MOUNT" "$L" "$M" -o "object=$T/o"
	says 32 "$T: .*mode 04" "$MOUNT" "$L" "$M" -o "object=$T"
	chown 0 "$T/o"
	says 32 "$T/o" "$MOUNT" "$L" "$M" -o "extfuse=require,object=$T/o"
	says 32 "$T/o" "$MOUNT" "$L" "$M" -f -o "extfuse=require,object=$T/o"
	says 32 "$T/no" "$MOUNT" "$L" "$M" -o "extfuse=require,object=$T/no"
	unmounted
	# Without require: plain FUSE and one line.
	"$MOUNT" "$L" "$M" -o "object=$T/o" 2> "$T/err"
	eq "$(wc -l < "$T/err")" 1
	grep -q "^mount.extfuse: .*$T/o.*plain FUSE" "$T/err"
	"$STAT" --json "$M" | grep -q '"mode":"plain"'
}

t_mount_table()
{
	eq "$(awk -v m="$M" '$2 == m { print $1, $3 }' /proc/mounts)" "$L fuse.extfuse"
	findmnt -n -o FSTYPE,SOURCE "$M" | grep -q "^fuse.extfuse $L"
	down
	mnt ro,nosuid,nodev,noexec,noatime
	awk -v m="$M" '$2 == m { print $4 }' /proc/mounts | grep -q '^ro,nosuid,nodev,noexec,noatime'
	fails 1 touch "$M/d/f"
	down
	mnt ro,rw,sync,async,dirsync,nodirsync,strictatime,nostrictatime
	touch "$M/d/f"
	fails 1 grep " $M .*sync" /proc/mounts
	# a line of more than 4096 bytes, with each space as \040
	down
	L="$L/$(printf '%250s/' {1..5})"
	mkdir -p "$L"
	mnt
	says 32 "$M: busy" "$MOUNT" "$L" "$M" -o "$OPTS"
	"$MOUNT" "$L" "$M" -o "remount,ro,$OPTS"
}

t_remount()
{
	"$MOUNT" "$L" "$M" -o "remount,ro,$OPTS"
	fails 1 touch "$M/d/f"
	"$MOUNT" "$L" "$M" -o "remount,rw,$OPTS"
	touch "$M/d/f"
	fails 32 "$MOUNT" "$L" "$T" -o "remount,ro,$OPTS"
	# what mount(8) hands over if fstab has no line for it
	"$MOUNT" "$L" "$M" -o "$(findmnt -n -o OPTIONS "$M"),remount,ro"
	fails 1 touch "$M/d/f"
	"$MOUNT" "$L" "$M" -o remount,rw,fd=3,rootmode=40000,max_read=4096,blksize=512
	touch "$M/d/f"
}

t_remount_many()
{
	for i in $(seq 10); do
		echo "$i" > "$M/d/f"
		down
		mnt
		eq "$(cat "$M/d/f")" "$i"
	done
}

t_killed()
{
	local err pid
	pid=$(daemon)
	kill -KILL "$pid"
	# its command line goes before its descriptors
	timeout 10 tail -s 0.05 -f --pid="$pid" /dev/null
	err=$(ls "$M/d" 2>&1) && exit 1
	[[ $err == *"not connected"* ]] || { echo "$err"; exit 1; }
	err=$("$STAT" "$M" 2>&1) && exit 1
	[[ $err == *"dead"* ]] || { echo "$err"; exit 1; }
	umount "$M"
	mnt
	ls "$M/d"
}

t_signals()
{
	for sig in TERM INT; do
		kill -$sig "$(daemon)"
		gone
		unmounted
		mnt
	done
	# With a file open the mount goes all the same.
	exec 8> "$M/d/f"
	kill -TERM "$(daemon)"
	gone
	unmounted
	exec 8>&-
	mnt
}

# Of who mounts, they are not the daemon's; of who writes, the kernel keeps them.
t_limits()
{
	local mode limits capable=-SH
	down
	# what CAP_SYS_RESOURCE can do
	(ulimit -c 0; ulimit -c 1) 2> /dev/null || capable=
	(ulimit -f 1; mnt nopassthrough)
	dd if=/dev/zero of="$M/d/f" bs=64k count=1 || [ -z "$capable" ]
	rm "$M/d/f"
	for mode in nopassthrough passthrough writeback; do
		down
		(ulimit ${capable:--S} -f 1 -t 3600 -v 100000000000 -d 100000000000; mnt $mode)
		limits=$(prlimit --pid "$(daemon)" --fsize --cpu --as --data --noheadings --raw -o SOFT,HARD)
		eq "$(sort -u <<< "$limits")" 'unlimited unlimited'
		[ $mode != writeback ] && TIMES='%b|%T@|%C@' || TIMES=
		both 'dd if=/dev/zero of=f bs=64k count=1 status=none; stat -c %s f; rm f'
		both "trap '' XFSZ; ulimit -f 8; dd if=/dev/zero of=f bs=64k status=none; truncate -s 1M f; $T/fsop fallocate f 0 0 99999; stat -c %s f"
		both "head -c 60000 /dev/zero > g; trap '' XFSZ; ulimit -f 8; $T/fsop copy g h 60000; stat -c %s h"
	done
}

# Signals that find another mount there are not the last that are heard.
t_signals_covered()
{
	local pid
	pid=$(daemon)
	mount -t tmpfs none "$M"
	kill -TERM "$pid"
	sleep 0.2
	mountpoint "$M"
	umount "$M"
	echo 1 > "$M/d/f"
	kill -TERM "$pid"
	gone
	unmounted
	mnt
}

# It may be closed as soon as the command is over.
t_terminal()
{
	local i
	for i in $(seq 30); do
		down
		script -qec "'$MOUNT' '$L' '$M' -o '$OPTS'" /dev/null
		sleep 0.05
		mountpoint -q "$M"
	done
}

t_closed_descriptors()
{
	down
	mnt <&- >&- 2>&-
	echo 1 > "$M/d/f"
	eq "$(cat "$L/d/f")" 1
	down
	says 1 MOUNTPOINT "$MOUNT" "$L" <&-
	mnt <&-
	eq "$(cat "$M/d/f")" 1
}

t_inherited_descriptors()
{
	down
	flock -n "$T/lock" "$MOUNT" "$L" "$M" -o "$OPTS"
	flock -n "$T/lock" true
}

# A daemon that is late to see that its mount ended leaves the next one alone.
t_mount_again()
{
	local late
	late=$(daemon)
	stop "$late"
	# umount(8) would ask it
	python3 -c 'import ctypes, sys; sys.exit(ctypes.CDLL(None).umount2(sys.argv[1].encode(), 0))' "$M"
	mnt
	kill -CONT "$late"
	for i in $(seq 100); do [ -e /proc/$late/exe ] || break; sleep 0.05; done
	[ ! -e /proc/$late/exe ]
	mountpoint "$M"
	echo again > "$M/again"
	eq "$(cat "$L/again")" again
}

t_foreground()
{
	down
	"$MOUNT" "$L" "$M" -o "$OPTS,foreground" &
	for i in $(seq 50); do mountpoint -q "$M" && break; sleep 0.1; done
	echo 1 > "$M/d/f"
	umount "$M"
	wait $!
	mnt
}

t_stat()
{
	echo 1 > "$M/d/f"
	"$STAT" "$M" | grep -q "^mount *$M"
	"$STAT" --json "$M" | ABI=$ABI python3 -c '
import json, os, sys
j = json.load(sys.stdin)
assert j["ops"]["CREATE"]["upcall"] == 1, j["ops"]["CREATE"]
assert set(j["ops"]["LOOKUP"]) == {"served", "upcall", "passthru", "error", "stale"}
assert set(j["maps"]) == {"entry_map", "entry_long_map", "attr_map", "xattr_map"}
assert j["nodes"]["total"] == 3, j["nodes"]
assert j["abi"] == int(os.environ["ABI"]) and j["rejected"] == 0'
	fails 1 sh -c "getfattr -dm - $M | grep extfuse"
	fails 1 setfattr -n trusted.extfuse.stat -v 1 "$M"
	fails 1 setfattr -x trusted.extfuse.stat "$M"
	fails 2 "$STAT" "$M/d"
	fails 2 "$STAT" /proc
	fails 2 as $USER1 $GROUP1 "$STAT" "$M"
	fails 1 "$STAT"
	fails 1 "$STAT" --watch 0 "$M"
	eq "$("$STAT" --version)" "extfuse-stat $(cat "$HERE/../../VERSION") (ABI $ABI)"
}

# In one directory, too
t_parallel_lookups()
{
	local pid waiting
	# or "d" would be looked up again first
	down
	mnt exclusive
	pid=$(daemon)
	touch "$L/d/a" "$L/d/b"
	stat "$M/d" > /dev/null
	mkdir "$T/ctl"
	mount -t fusectl none "$T/ctl"
	waiting=$T/ctl/$(mountpoint -d "$M" | cut -d: -f2)/waiting
	stop "$pid"
	stat "$M/d/a" > /dev/null &
	stat "$M/d/b" > /dev/null &
	for _ in {1..100}; do
		[ "$(cat "$waiting")" = 2 ] && break
		sleep 0.05
	done
	waiting=$(cat "$waiting")
	kill -CONT "$pid"
	wait
	eq "$waiting" 2
}

t_modes()
{
	local mode
	for mode in nopassthrough writeback passthrough; do
		down
		mnt $mode
		[ $mode != writeback ] && TIMES='%b|%T@|%C@' || TIMES=
		rm -rf "$M/d"/* "$R/d"/*
		both 'seq 50000 > f; cksum f; echo x >> f; tail -1 f; printf yy | dd of=f bs=1 seek=10 conv=notrunc status=none; cksum f'
		both "echo 1 > t; truncate -s 5000 t; cksum t; $T/fsop fallocate t 0 0 9999; stat -c %s t; $T/fsop unlinked u"
		both "head -c 8192 /dev/zero > m; $T/fsop mmap m hello; cksum m"
		# O_APPEND: what is stored stays in place
		both "$T/fsop mmap m again 02000; cksum m"
		# pages that are written back later leave capabilities alone
		both '{ echo 1; setfattr -n security.capability -v 0x0100000200200000000000000000000000000000 c; } > c; getcap c; echo >> c; getcap c'
		both 'dd if=/dev/zero of=o bs=4k count=64 oflag=direct status=none; cksum o; dd if=f of=g oflag=append conv=notrunc status=none; cksum g'
	done
}

t_file_flags()
{
	both 'touch f; lsattr f; chattr +i f; lsattr f; echo x >> f; ls; rm f; mv f g; chattr -i f; chattr +ad f; lsattr f; rm f; chattr -ad f; rm f'
	both 'mkdir s; chattr +dA s; lsattr -d s; touch s/f; lsattr s; ln -s f l; lsattr -d l; chattr +i /dev/null'
	touch "$M/d/mine" "$M/d/others"
	chown $USER1 "$M/d/mine"
	# rights: the owner's and, for what makes it immutable, a capability
	fails 1 as $USER1 $GROUP1 chattr +d "$M/d/others"
	fails 1 as $USER1 $GROUP1 chattr +i "$M/d/mine"
	as $USER1 $GROUP1 chattr +d "$M/d/mine"
	fails 1 setpriv --bounding-set -linux_immutable --inh-caps -linux_immutable chattr +i "$M/d/mine"
	eq "$(lsattr -v "$M/d/mine" | cut -d/ -f1)" "$(lsattr -v "$L/d/mine" | cut -d/ -f1)"
	# it moves ctime
	stat -c %z "$M/d/mine"
	chattr +A "$M/d/mine"
	eq "$(stat -c %z "$M/d/mine")" "$(stat -c %z "$L/d/mine")"
	eq "$("$STAT" --json "$M" | python3 -c 'import json, sys; print(json.load(sys.stdin)["ops"]["IOCTL"]["upcall"] > 0)')" True
}

# on_image MKFS...: LOWER is a file system of its own, made in 400 MB
on_image()
{
	down
	truncate -s 400M "$T/img"
	"$@" "$T/img"
	mount -o loop "$T/img" "$L" || { echo "not mountable here: $*"; exit 77; }
	mkdir "$L/d"
	mnt
}

t_project_ids()
{
	on_image mkfs.xfs -q
	touch "$M/d/f"
	lsattr -p "$M/d/f" | grep '^ *0 '
	chattr -p 77 "$M/d/f"
	chattr +P -p 78 "$M/d"
	touch "$M/d/g"
	eq "$(cd "$M" && lsattr -Rp d; lsattr -pd d)" "$(cd "$L" && lsattr -Rp d; lsattr -pd d)"
	lsattr -p "$L/d/g" | grep '^ *78 '
	lsattr -p "$L/d/f" | grep '^ *77 '
}

# Names would be two here that are one there
t_folding_is_not_set()
{
	on_image mkfs.ext4 -q -O casefold
	fails 1 chattr +F "$M/d"
	chattr +F "$L/d"
	fails 1 chattr -A "$M/d/none"
	lsattr -d "$M/d" | grep F
	chattr +A "$M/d"
	eq "$(lsattr -d "$L/d" | cut -d/ -f1)" "$(lsattr -d "$M/d" | cut -d/ -f1)"
}

t_birth_times()
{
	local f
	both 'touch f; mkdir s; ln -s x l; mknod c c 1 3; chmod 4751 f; chown 5:6 f'
	for f in "" /f /s /l /c; do
		eq "$(stat -c '%W %w %a %u %g %t %T %h %s %b %B %o %X %Y %Z' "$M/d$f")" \
			"$(stat -c '%W %w %a %u %g %t %T %h %s %b %B %o %X %Y %Z' "$L/d$f")"
	done
	[ "$(stat -c %W "$M/d/f")" -gt 1000000000 ]
	# where there is none, it is asked for once
	down
	mount -t ramfs none "$L"
	mkdir "$L/d"
	mnt
	touch "$M/d/f" "$M/d/g"
	eq "$(stat -c %W "$M/d/f" "$M/d/g" "$M/d" "$M/d/f" | sort -u)" 0
	eq "$("$STAT" --json "$M" | python3 -c 'import json, sys; print(json.load(sys.stdin)["ops"]["STATX"]["upcall"])')" 1
}

# What F_SETFL has changed since a file was opened counts.  By passthrough it is the
# kernel's to see to; plain FUSE does not, and gets no passthrough for O_DIRECT
t_flags_now()
{
	local mode i
	head -c 10000 /dev/urandom > "$T/in"
	cat > "$T/setfl" <<-'END'
		import fcntl, os, sys
		def set(f, flag, on):
		    flags = fcntl.fcntl(f, fcntl.F_GETFL)
		    fcntl.fcntl(f, fcntl.F_SETFL, flags | flag if on else flags & ~flag)
		f = os.open(sys.argv[1], os.O_CREAT | os.O_RDWR)
		os.write(f, b"one ")
		os.lseek(f, 0, 0)
		set(f, os.O_APPEND, True)
		os.write(f, b"two")
		set(f, os.O_APPEND, False)
		os.pwrite(f, b"O", 0)
		os.fsync(f)
		os.utime(f, (1, os.fstat(f).st_mtime))
		set(f, os.O_NOATIME, True)
		print(os.pread(f, 100, 0), os.fstat(f).st_atime)
		# past what the kernel has
		os.posix_fadvise(f, 0, 0, os.POSIX_FADV_DONTNEED)
		set(f, os.O_NOATIME, False)
		print(os.pread(f, 100, 0), os.fstat(f).st_atime > 1)
	END
	for mode in nopassthrough writeback passthrough; do
		[[ $mode = passthrough && $OPTS != extfuse=off ]] && continue
		down
		mnt "$mode,attr_timeout=0"
		dd if="$T/in" of="$M/d/tail" bs=4096 oflag=direct
		cmp "$T/in" "$L/d/tail"
		[ $mode = passthrough ] && continue
		for i in "$M" "$R"; do python3 "$T/setfl" "$i/d/f" > "$T/said.${i##*/}"; done
		diff "$T/said.ref" "$T/said.mnt"
		rm -f "$M"/d/* "$R"/d/*
	done
}

# Where the lower file system has none, there is none: not an error of I/O
t_no_direct()
{
	local i
	down
	mount -t ramfs none "$L"
	mkdir "$L/d"
	echo text > "$L/d/f"
	for i in passthrough nopassthrough; do
		mnt "$i"
		fails 1 dd if="$M/d/f" iflag=direct status=none 2> "$T/err"
		grep 'Invalid argument' "$T/err"
		fails 1 dd if="$L/d/f" of="$M/d/g" oflag=direct status=none 2> "$T/err"
		grep 'Invalid argument' "$T/err"
		eq "$(cat "$M/d/f")" text
		down
	done
	umount "$L"
	mnt
}

# json EXPRESSION: of what extfuse-stat says, as j
json()
{
	"$STAT" --json "$M" | python3 -c "import json, sys; j = json.load(sys.stdin); print($1)"
}

t_watched_by_default()
{
	local i
	echo 1 > "$L/d/f"
	down
	mnt
	eq "$(json 'j["watch"]["mode"], *j["timeouts"].values()')" 'on 3600.0 3600.0 3600.0'
	"$STAT" "$M" | grep '^changes below watched, '
	eq "$(stat -c %s "$M/d/f")" 2
	fails 1 stat "$M/d/new"
	echo 22 >> "$L/d/f"
	touch "$L/d/new"
	for i in $(seq 100); do
		[ "$(stat -c %s "$M/d/f")" = 5 ] && [ -e "$M/d/new" ] && break
		sleep 0.02
	done
	eq "$(stat -c %s "$M/d/f")" 5
	stat "$M/d/new"
	down
	mnt exclusive,attr_timeout=7
	eq "$(json 'j["watch"]["mode"], *j["timeouts"].values()')" 'exclusive 7.0 3600.0 3600.0'
	"$STAT" "$M" | grep '^changes below none'
	down
	mnt watch=off,entry_timeout=3
	eq "$(json 'j["watch"]["mode"], *j["timeouts"].values()')" 'off 1.0 3.0 1.0'
	down
	mnt writeback
	eq "$(json 'j["watch"]["mode"], *j["timeouts"].values()')" 'off 1.0 1.0 1.0'
	down
	says 1 "exclude each other" "$MOUNT" "$L" "$M" -o "$OPTS,exclusive,watch"
	says 1 "watch=maybe" "$MOUNT" "$L" "$M" -o "$OPTS,watch=maybe"
	mnt
}

[ -x "$MOUNT" ] || { echo "FAIL all: no $MOUNT"; exit 1; }
[ "$(id -u)" = 0 ] || { echo "SKIP all: not root"; exit 77; }
${CC:-cc} -D_GNU_SOURCE -O1 -Wall -o "$T/fsop" "$HERE/fsop.c" || exit 1
for name in $(sed -n 's/^t_\(.*\)()$/\1/p' "$0"); do
	run "$name"
done
echo "$passed passed, $failed failed, $skipped skipped"
[ $failed = 0 ]
