#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Programs from Debian on the mount, and the same on a plain directory beside it:
# both must come to the same end.
. "$(dirname "$0")/lib.sh"

ref=/scratch/ref
seconds=${EXTFUSE_PROGRAM_SECONDS:-8}
export LC_ALL=C HOME=/tmp

mounted() {
	rm -rf "$ref"
	mkdir -p "$ref"
	xmount "$@"
}

# What a tree is, but for times and inode numbers
listing() {
	(cd "$1" && find . -printf '%P %y %m %U %G %n %l\n' | sort &&
		find . -type f -printf '%P %s ' -exec sha256sum '{}' ';' | sort)
}

same_trees() {
	listing "$mnt/$1" >/tmp/mnt.list
	listing "$ref/$1" >/tmp/ref.list
	cmp /tmp/mnt.list /tmp/ref.list || fail "$1: $(diff /tmp/ref.list /tmp/mnt.list | head -3)" || return
	drop
	listing "$mnt/$1" >/tmp/mnt.list
	cmp /tmp/mnt.list /tmp/ref.list || fail "$1, caches dropped: $(diff /tmp/ref.list /tmp/mnt.list | head -3)"
}

# both COMMAND...: in a directory of the mount and of the reference
both() {
	local d
	for d in "$ref" "$mnt"; do
		(cd "$d" && "$@") || fail "$* in $d" || return
	done
}

# Without what is not about the file system it runs on, or is not for FUSE
stress_ng() {
	stress-ng --temp-path "$1" --sequential 1 --class filesystem --timeout 1s --verify --oomable \
		-x bind-mount,binderfs,eventfd,ioprio,procfs,sysinfo,chattr,verity,inode-flags,file-ioctl,fanotify,dup \
		>/tmp/stress-ng 2>&1
	sed -n 's/.*fail: *\[[0-9]*\] \([a-z-]*\):.*/\1/p' /tmp/stress-ng | sort -u
	grep -q 'run completed' /tmp/stress-ng || { cat /tmp/stress-ng; return 1; }
}

test_stress_ng() {
	mounted || return
	stress_ng "$ref" >/tmp/ng.ref || fail "it did not run" || return
	stress_ng "$mnt" >/tmp/ng.mnt || fail "it did not run" || return
	grep dispatching /tmp/stress-ng
	[[ -z $(comm -13 /tmp/ng.ref /tmp/ng.mnt) ]] ||
		fail "only on the mount: $(comm -13 /tmp/ng.ref /tmp/ng.mnt | tr '\n' ' ')$(grep -m 3 'fail:' /tmp/stress-ng)"
}

fio_verify() {
	local engine
	for engine in psync mmap libaio; do
		fio --name="$engine" --verify_state_save=0 --directory="$mnt" --ioengine="$engine" --rw=randrw --bsrange=4k-16k --size=4m \
			--verify=crc32c --verify_fatal=1 --do_verify=1 --overwrite=1 --iodepth=4 --fsync=32 \
			--output="/tmp/fio" || { cat /tmp/fio; fail "fio $engine $*"; return; }
	done
}

test_fio() { mounted && fio_verify; }

test_fio_nopassthrough() { mounted nopassthrough && fio_verify nopassthrough; }

test_fio_writeback() { mounted writeback && fio_verify writeback; }

test_dbench() { mounted && dbench -D "$mnt" -t "$seconds" 3; }

test_postmark() {
	local d
	mounted || return
	for d in "$ref" "$mnt"; do
		printf '%s\n' "set location $d" "set number 200" "set transactions 400" "set seed 7" \
			"set size 500 20000" run quit | postmark >"/tmp/postmark.${d##*/}"
		grep -E '^	[0-9]+ (created|read|appended|deleted)|Creation alone' "/tmp/postmark.${d##*/}" |
			sed 's/(.*//' >"/tmp/postmark.${d##*/}.n"
	done
	[[ -s /tmp/postmark.mnt.n ]] && cmp /tmp/postmark.mnt.n /tmp/postmark.ref.n
}

test_bonnie() { mounted && bonnie++ -f -d "$mnt" -s 16 -r 8 -n 1 -u root -q >/tmp/bonnie; }

test_fsmark() {
	mounted || return
	fs_mark -d "$mnt" -n 300 -s 5000 -t 2 -k -l /tmp/fsmark || return
	[[ $(find "$mnt" -type f -size 5000c | wc -l) == 600 ]] || fail "files are missing"
}

git_work() {
	git init -q src && cd src || return
	git config user.name t && git config user.email t@t && git config gc.auto 0
	cp -r "$top/kernel/src" "$top/extfuse-daemon/lib" "$top/docs" . &&
		git add . && GIT_AUTHOR_DATE='@1 +0000' GIT_COMMITTER_DATE='@1 +0000' git commit -qm one &&
		git mv docs papers && echo more >>lib/cache.c &&
		GIT_AUTHOR_DATE='@2 +0000' GIT_COMMITTER_DATE='@2 +0000' git commit -qam two &&
		git clone -q "file://$PWD" ../copy && cd ../copy &&
		git gc -q && git fsck --strict && git checkout -q HEAD~1 && git checkout -q - &&
		[[ -z $(git status --porcelain) ]] && git rev-parse HEAD >../head
}

test_git() {
	mounted && both git_work || return
	cmp "$mnt/head" "$ref/head" && rm -rf "$mnt"/*/.git "$ref"/*/.git && same_trees .
}

# Killed in the middle: nothing that was reported as done is missing
test_sqlite_killed() {
	local mode i pid count
	mounted || return
	for mode in delete wal; do
		for i in 1 2 3; do
			rm -f "$mnt"/db*
			sqlite3 "$mnt/db" "pragma journal_mode=$mode; create table t(n integer, x);" || return
			(for ((n = 1; n < 100000; n++)); do
				echo "insert into t values ($n, randomblob(900)); select $n;"
			done) | sqlite3 -bail "$mnt/db" >/tmp/sqlite.out 2>&1 &
			pid=$!
			sleep "$i.3"
			kill -9 "$pid"
			wait "$pid"
			count=$(tail -n 2 /tmp/sqlite.out | grep -x '[0-9]*' | sort -n | tail -n 1)
			[[ $(sqlite3 "$mnt/db" 'pragma integrity_check') == ok ]] || fail "$mode: damaged" || return
			(($(sqlite3 "$mnt/db" 'select count(*) from t') >= ${count:-0})) ||
				fail "$mode: fewer than $count rows" || return
			echo "$mode: ${count:-0} rows"
		done
	done
}

# A package of this machine's files, and a newer one without half of them
make_debs() {
	local d=/tmp/deb
	rm -rf "$d"
	mkdir -p "$d/DEBIAN" "$d/usr"
	cp -a "$top/docs" "$top/kernel/src" "$d/usr/"
	ln -s docs "$d/usr/link"
	printf '%s\n' "Package: sample" "Version: 1" "Architecture: all" "Maintainer: t <t@t>" "Description: t" \
		>"$d/DEBIAN/control"
	dpkg-deb --root-owner-group -b "$d" /tmp/sample1.deb &&
		rm -rf "$d/usr/docs/man" && echo new >"$d/usr/docs/new" &&
		sed -i 's/^Version.*/Version: 2/' "$d/DEBIAN/control" &&
		dpkg-deb --root-owner-group -b "$d" /tmp/sample2.deb
}

dpkg_work() {
	mkdir -p root/var/lib/dpkg/{info,updates} && : >root/var/lib/dpkg/status &&
		dpkg --root="$PWD/root" --log=/dev/null --force-not-root -i /tmp/sample1.deb &&
		dpkg --root="$PWD/root" --log=/dev/null -i /tmp/sample2.deb &&
		[[ -z $(dpkg --root="$PWD/root" --verify sample) ]] && dpkg-deb -x /tmp/sample1.deb plain &&
		rm -rf root/var/lib/dpkg/{lock*,triggers}
}

test_dpkg() { make_debs && mounted && both dpkg_work && same_trees .; }

tar_work() {
	tar -C "$top" --exclude=./build --exclude=./.git -cf all.tar . && mkdir one && tar -C one -xpf all.tar &&
		tar -C one -df all.tar && ln one/Makefile one/hard && setfattr -n user.x -v y one/VERSION &&
		setfacl -m u:1000:r one/README.md && rsync -aHAX --checksum one/ two/ &&
		[[ -z $(rsync -aHAXni --checksum --delete one/ two/) ]] && rm -f all.tar
}

test_tar_and_rsync() { mounted && both tar_work && same_trees .; }

compile_work() {
	cp -r "$top/extfuse-daemon/lib" "$top/kernel/src/include/uapi" . &&
		printf 'all: cache.o ebpf.o ladder.o\n%%.o: lib/%%.c\n\tgcc -O1 -std=gnu11 -D_GNU_SOURCE -Iuapi %s -c -o $@ $<\n' \
			"-DEXTFUSE_VERSION='\"0\"'" >Makefile &&
		make -s -j2
}

test_compile() { mounted && both compile_work && same_trees .; }

run_tests
