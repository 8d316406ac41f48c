#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# What the lower file system and the machine may do to the daemon: errors come
# back as themselves, a killed daemon damages nothing, every look-up is given
# back.  Harness and variables are those of plain.sh; DEEP=1: the long forms.

# What is mounted below LOWER later shall be seen, and nothing be forgotten
OPTS=${OPTS:-extfuse=off},exclusive

# Of two file systems, one under the mount: small FSTYPE OPTIONS
small()
{
	down
	mount -t "$1" -o "$2" none "$L"
	mount -t "$1" -o "$2" none "$R"
	mkdir -m 1777 "$L/d" "$R/d"
	mnt "${3:-}"
}

small_end()
{
	down
	umount "$L" "$R"
	mnt
}

# fill DIR: what a full file system answers
fill()
{
	cd "$1/d" || return
	dd if=/dev/zero of=big bs=64k 2>&1 | sed 's/,.*//'
	stat -c %s big
	echo more >> big
	"$T/fsop" fallocate new 0 0 5000000
	truncate -s 5M sparse; dd if=/dev/zero of=sparse bs=64k conv=notrunc 2>&1 | sed 's/,.*//'
	"$T/fsop" copy big copy 1000000
	rm big; sleep 1; echo fits > fits; cat fits	# no later than the kernel forgets it
	for i in $(seq 300); do : > "n$i" || break; done
	mkdir dir; ln -s x link; mkfifo fifo; mv fits moved; ls | wc -l
	rm -f n*; mkdir dir; cat moved
}

t_enospc()
{
	small tmpfs size=1m,nr_inodes=100
	fill "$R" 2>&1 | sed "s|$R|DIR|g" > "$T/full.ref"
	fill "$M" 2>&1 | sed "s|$M|DIR|g" > "$T/full.mnt"
	grep -q 'No space left' "$T/full.ref"
	diff "$T/full.ref" "$T/full.mnt"
	small_end
}

# With a writeback cache the error comes late, but it comes
t_enospc_writeback()
{
	local i
	small tmpfs size=1m writeback
	fails 1 dd if=/dev/zero of="$M/d/big" bs=64k count=64 conv=fsync
	rm -f "$M/d/big"
	# the last close frees the space, and nobody waits for it
	for i in $(seq 50); do
		echo fits > "$M/d/fits"
		[ "$(cat "$L/d/fits")" = fits ] && break
		sleep 0.1
	done
	eq "$(cat "$L/d/fits")" fits
	small_end
}

# Pages that do not fit any more: who stored them, or wrote them, is told
t_enospc_pages()
{
	local i how
	cat > "$T/store" <<-'END'
		import mmap, os, sys
		size = 8 << 20
		f = os.open(sys.argv[2], os.O_CREAT | os.O_RDWR)
		try:
		    if sys.argv[1] == "mmap":
		        os.truncate(f, size)
		        m = mmap.mmap(f, size)
		        for at in range(0, size, 4096):
		            m[at:at + 8] = b"%08d" % at
		        m.flush()
		    else:
		        for at in range(0, size, 65536):
		            os.write(f, b"x" * 65536)
		    os.fsync(f)
		    os.close(f)
		    print("all is written")
		except OSError as e:
		    print(e.strerror)
	END
	for i in "nopassthrough mmap" "writeback mmap" "writeback write"; do
		how=${i#* }
		small tmpfs size=8m "${i% *}"
		head -c 300k /dev/zero > "$L/taken"
		eq "$i: $(python3 "$T/store" "$how" "$M/d/f")" "$i: No space left on device"
		rm "$M/d/f"
		small_end
	done
}

# Nobody waits for RELEASE but who wants to know that a file is closed
released()
{
	local fd flags pid busy
	pid=$(daemon)
	for _ in $(seq 100); do
		busy=
		for fd in /proc/"$pid"/fd/*; do
			[[ $(readlink "$fd") == "$L"/d/* ]] || continue
			flags=$(awk '$1 == "flags:" { print $2 }' "${fd/\/fd\//\/fdinfo\/}" 2> /dev/null) || continue
			((0${flags:-10000000} & 010000000)) || busy=$fd	# O_PATH
		done
		[ "$busy" ] || { sleep 0.2; return 0; }	# RELEASE goes on after its close()
		sleep 0.05
	done
	echo "the daemon keeps $busy open: $(readlink "$busy")"
	exit 1
}

# soon COMMAND: at the latest when what is still under way of a RELEASE is over
soon()
{
	for _ in $(seq 20); do
		"$@" 2> /dev/null && return
		sleep 0.05
	done
	"$@"
}

# The space of what is removed is free when the lower file system would have freed it
t_removed_space()
{
	local i opts
	for opts in passthrough nopassthrough; do
		small tmpfs size=8m $opts
		cd "$M/d"
		for i in $(seq 10); do
			soon fallocate -l 5000000 a
			[ $((i % 2)) = 0 ] || stat a > /dev/null
			released
			rm a
			soon fallocate -l 5000000 b
			: > c
			released
			mv c b
		done
		# open until then: by the same rule as below
		exec 5<> b
		soon fallocate -l 5000000 b
		rm b
		eq "$(stat -Lc '%h %s' /proc/self/fd/5)" "0 5000000"
		fails 1 fallocate -l 5000000 a 2> "$T/err"
		echo still >&5
		exec 5>&-
		for i in $(seq 50); do fallocate -l 5000000 a 2> "$T/err" && break; sleep 0.1; done
		eq "$(stat -c %s a)" 5000000
		cd /
		small_end
	done
}

# Likewise if it is removed below, soon
t_removed_below()
{
	local i
	small tmpfs size=8m
	fallocate -l 5000000 "$L/d/big"
	head -c 5000 /dev/urandom > "$L/d/kept"
	stat "$M/d/big" > /dev/null
	cksum < "$M/d/kept" > "$T/kept"
	[[ $OPTS != extfuse=off ]] || head -c 10 "$M/d/big" > /dev/null
	echo old > "$L/d/new"
	echo new > "$L/d/newer"
	stat "$M/d/new" > /dev/null
	rm "$L/d/big"
	mv "$L/d/newer" "$L/d/new"
	for i in $(seq 24); do fallocate -l 5000000 "$L/d/more" 2> "$T/err" && break; sleep 0.5; done
	eq "$(stat -c %s "$L/d/more")" 5000000
	eq "$(cat "$M/d/new")" new
	fails 1 cat "$M/d/big" 2> "$T/err"
	cksum < "$M/d/kept" | diff "$T/kept" -
	small_end
}

# The owner's quota, whoever the daemon is
t_edquot()
{
	local i o=size=8m,usrquota,usrquota_block_hardlimit=1m,usrquota_inode_hardlimit=20
	mount -t tmpfs -o $o none "$R" 2> /dev/null || { echo "no quota on tmpfs"; exit 77; }
	umount "$R"
	for i in passthrough nopassthrough; do
		small tmpfs $o $i
		for i in "$M" "$R"; do
			as $USER1 $GROUP1 bash -c "cd $i/d; dd if=/dev/zero of=big bs=64k; stat -c %s big; $T/fsop fallocate f 0 0 3000000
				rm big; sleep 1; echo fits > f; cat f; for i in \$(seq 40); do : > n\$i; done; mkdir dir; ls | wc -l
				rm -f n*" 2>&1 | sed "s|$i|DIR|g; s/, .* s, .*//" > "$T/quota.${i##*/}"
		done
		grep -q 'quota exceeded' "$T/quota.ref"
		diff "$T/quota.ref" "$T/quota.mnt"
		small_end
	done
}

t_emfile()
{
	local i
	for i in $(seq 200); do echo "$i" > "$L/d/$i"; done
	prlimit --pid "$(daemon)" --nofile=64:64
	for i in $(seq 200); do eq "$(cat "$M/d/$i")" "$i"; done
	eq "$("$T/fsop" openmany "$M/d/1" 100 | cut -d' ' -f2)" EMFILE
	# as soon as they are closed again
	for i in $(seq 50); do cat "$M/d/7" > /dev/null 2>&1 && break; sleep 0.1; done
	for i in $(seq 200); do eq "$(cat "$M/d/$i")" "$i"; done
	ls "$M/d" > /dev/null
	diff <(exact "$L") <(exact "$M")
}

# Open directories cost a descriptor each, and hardly any memory
t_open_directories()
{
	local before after
	for i in $(seq 500); do : > "$L/d/file$i"; done
	cat > "$T/opendirs" <<-'END'
		import os, sys
		for i in range(900):
		    f = os.open(sys.argv[1], os.O_RDONLY | os.O_DIRECTORY)
		    if len(os.listdir(f)) != 500:
		        sys.exit("a listing is not whole")
		print(open("/proc/%s/status" % sys.argv[2]).read().split("VmRSS:")[1].split()[0])
	END
	# a sanitizer keeps what was freed, to find who uses it
	down
	ASAN_OPTIONS=$ASAN_OPTIONS:quarantine_size_mb=0:thread_local_quarantine_size_kb=0:max_redzone=16 mnt
	before=$(awk '$1 == "VmRSS:" { print $2 }' "/proc/$(daemon)/status")
	after=$(python3 "$T/opendirs" "$M/d" "$(daemon)")
	[ $((after - before)) -lt 6000 ] || { echo "$((after - before)) KiB more"; exit 1; }
}

# A long copy is made in pieces: each holds a thread, and cannot be killed
t_copy_in_pieces()
{
	head -c 9M /dev/urandom > "$L/d/f"
	eq "$(python3 -c 'import os, sys
a, b = os.open(sys.argv[1], os.O_RDONLY), os.open(sys.argv[2], os.O_CREAT | os.O_WRONLY)
print([os.copy_file_range(a, b, 1 << 30) for i in range(4)])' "$M/d/f" "$M/d/g")" "[4194304, 4194304, 1048576, 0]"
	cmp "$L/d/f" "$L/d/g"
}

# Likewise on devices mounted below, and on many of them
t_emfile_below()
{
	local i
	devices
	for i in $(seq 300); do echo "$i" > "$L/sub/$i"; done
	for i in $(seq 70); do
		mkdir "$L/d/$i"
		mount -t tmpfs none "$L/d/$i"
		echo "$i" > "$L/d/$i/f"
	done
	prlimit --pid "$(daemon)" --nofile=64:
	for i in 1 2 3; do eq "$(ls -l "$M/sub" | wc -l)" 301; done
	for i in $(seq 300); do eq "$(cat "$M/sub/$i")" "$i"; done
	echo more >> "$M/sub/7"
	diff <(exact "$L/sub" | cut -d'|' -f1,3-) <(exact "$M/sub" | cut -d'|' -f1,3-)
	# a device keeps a descriptor while it is in use, and no longer
	prlimit --pid "$(daemon)" --nofile=1024:
	for i in $(seq 70); do eq "$(cat "$M/d/$i/f")" "$i"; done
	eq "$(cat "$M/sub/7" | wc -l)" 2
	# more mounts than are told apart, of the lower file system itself
	for i in $(seq 90); do
		mkdir -p "$L/b/src/$i" "$L/b/$i"
		echo "$i" > "$L/b/src/$i/f"
		mount --bind "$L/b/src/$i" "$L/b/$i"
	done
	prlimit --pid "$(daemon)" --nofile=200:
	for i in $(seq 90); do eq "$(ls "$M/b/$i" && cat "$M/b/$i/f")" "f
$i"; done
}

# What was written is no worse for there being no descriptor left
t_emfile_close()
{
	devices
	cat > "$T/fill" <<-'END'
		import os, sys
		files = []
		try:
		    for i in range(200):
		        files.append(os.open("%s/%d" % (sys.argv[1], i), os.O_CREAT | os.O_WRONLY))
		except OSError as e:
		    print(e.strerror)
		for f in files:
		    os.write(f, b"data")
		    os.close(f)
		print(len(files) > 20)
	END
	prlimit --pid "$(daemon)" --nofile=64:
	# not silent at its close: another device than the lower root's
	eq "$(python3 "$T/fill" "$M/sub" | tr '\n' ' ')" "Too many open files True "
	eq "$(cat "$L"/sub/* | tr -d data)" ""
	eq "$(cat "$L/sub/9")" data
}

# A disk whose reads, then whose writes fail
t_eio()
{
	local dev loop name=extfuse-test-$$ size=32768
	dmsetup version > /dev/null 2>&1 || { echo "no device mapper"; exit 77; }
	down
	truncate -s 16M "$T/disk"
	loop=$(losetup -f --show "$T/disk")
	dev=/dev/mapper/$name
	export DM_DISABLE_UDEV=1	# there is none in the VM
	dmsetup create "$name" --table "0 $size linear $loop 0"
	# without a journal a failed write of data is an error of that file only
	mkfs.ext4 -q -O ^has_journal "$dev"
	mount "$dev" "$L"
	mkdir "$L/d"
	head -c 65536 /dev/zero > "$L/d/f"
	sync
	mnt
	dd if="$M/d/f" of=/dev/null bs=4k iflag=direct
	table() { dmsetup suspend --noflush "$name"; dmsetup reload "$name" <<< "$1"; dmsetup resume "$name"; }
	table "0 $size flakey $loop 0 0 3600 1 error_reads"
	for i in "$L" "$M"; do
		fails 1 dd if="$i/d/f" of=/dev/null bs=4k iflag=direct 2> "$T/err"
		grep -q 'Input/output error' "$T/err"
	done
	table "0 $size flakey $loop 0 0 3600 1 error_writes"
	for i in "$L" "$M"; do
		fails 1 dd if=/dev/zero of="$i/d/f" bs=4k count=1 conv=notrunc,fdatasync 2> "$T/err"
		grep -q 'Input/output error' "$T/err"
		fails 1 dd if=/dev/zero of="$i/d/f" bs=4k count=1 conv=notrunc oflag=direct 2> "$T/err"
		grep -q 'Input/output error' "$T/err"
	done
	# in the middle of a file: neither its end nor zeros
	table "0 $size linear $loop 0"
	head -c 1M /dev/urandom > "$L/d/g"
	sync
	i=$(filefrag -b512 -v "$L/d/g" | awk '$1 == "0:" { print $4 + 200 }')
	table "0 $i linear $loop 0
		$i 8 error
		$((i + 8)) $((size - i - 8)) linear $loop $((i + 8))"
	down
	mnt nopassthrough
	for i in "$L" "$M"; do
		echo 3 > /proc/sys/vm/drop_caches
		cat "$i/d/g" > "$T/got.${i##*/}" 2> "$T/err" && exit 1
		grep -q 'Input/output error' "$T/err"
		eq "$(stat -c %s "$T/got.${i##*/}")" $((200 * 512))
	done
	table "0 $size linear $loop 0"
	echo fine > "$M/d/f"
	eq "$(cat "$M/d/f")" fine
	down
	umount "$L"
	dmsetup remove "$name"
	losetup -d "$loop"
	mnt
}

# What was fsync()ed is there, what nobody touched is as it was
t_killed_under_load()
{
	local round i n pids
	mkdir "$L/still"
	for i in $(seq 50); do head -c $((i * 1000)) /dev/urandom > "$L/still/$i"; done
	content "$L/still" > "$T/still"
	for round in $(seq $((DEEP ? 40 : 4))); do
		rm -rf "$M/d"/*
		pids=()
		for i in 1 2; do
			"$T/fsop" journal "$M/d/j$i" $((i * 3000)) > "$T/acked.$i" 2> /dev/null &
			pids+=($!)
		done
		for i in 1 2; do
			while :; do
				{ echo x > "$M/d/t$i"; mv "$M/d/t$i" "$M/d/u$i"; ln "$M/d/u$i" "$M/d/l$i"; rm "$M/d/l$i"
				cat "$M/still"/*; ls -l "$M/still"; } || break
			done > /dev/null 2>&1 &
			pids+=($!)
		done
		sleep "0.$((RANDOM % 900 + 100))"
		kill -KILL "$(daemon)"
		gone
		wait "${pids[@]}" || true
		fails 2 ls "$M/d" 2> "$T/err"
		grep -q 'not connected' "$T/err"
		umount "$M"
		for i in 1 2; do
			n=$(tail -n 1 "$T/acked.$i")
			[ -n "$n" ] || continue
			# whole records in order, and no fewer than were acknowledged
			head -c $((n * i * 3000)) "$L/d/j$i" | awk -v n="$n" '$1 + 0 != NR { exit 1 } END { exit NR != n }'
		done
		content "$L/still" | diff "$T/still" -
		mnt
		diff <(exact "$L") <(exact "$M")
		echo "round $round: $(tail -qn 1 "$T"/acked.*)"
	done
}

# Nothing to unmount for
t_hangup()
{
	local pid
	pid=$(daemon)
	kill -HUP "$pid"
	sleep 0.5
	eq "$(daemon)" "$pid"
	echo 1 > "$M/d/f"
	eq "$(cat "$L/d/f")" 1
}

# Last to be killed for want of memory, and no thread waits for memory that it has to free
t_want_of_memory()
{
	local pid noio=0x80000
	(echo -1000 > /proc/self/oom_score_adj) 2> /dev/null || { echo "no CAP_SYS_RESOURCE"; exit 77; }
	pid=$(daemon)
	eq "$(cat "/proc/$pid/oom_score_adj")" -900
	[ "$(awk -v noio=$((noio)) '{ sub(/.*\) /, ""); if (int($7 / noio) % 2) n++ } END { print n }' /proc/"$pid"/task/*/stat)" = \
		"$(ls "/proc/$pid/task" | wc -l)" ]
	down
	# what who mounts has decided stays
	(echo -1000 > /proc/self/oom_score_adj; mnt)
	eq "$(cat "/proc/$(daemon)/oom_score_adj")" -1000
}

# All look-ups are forgotten, the nodes with them
t_forgets()
{
	local i n=$((DEEP ? 10000000 : 100000)) before after
	down
	mnt entry_timeout=0
	: > "$L/d/f"
	: > "$L/d/g"
	before=$("$STAT" --json "$M" | jq '.ops.LOOKUP.upcall // 0')
	"$T/fsop" stats "$M/d/f" $((n / 4)) &
	"$T/fsop" stats "$M/d/g" $((n / 4))
	wait $!
	# two for each: d and the file
	after=$("$STAT" --json "$M" | jq .ops.LOOKUP.upcall)
	[ $((after - before)) -ge "$n" ] || { echo "only $((after - before)) look-ups"; exit 1; }
	for i in $(seq 100); do
		echo 2 > /proc/sys/vm/drop_caches
		[ "$("$STAT" --json "$M" | jq .nodes.total)" = 1 ] && break
		sleep 0.1
	done
	eq "$("$STAT" --json "$M" | jq -c .nodes)" '{"total":1,"rowless":0,"pinned":0,"fds":1}'
}

# Those that the kernel served, too: the root and what rows pin is left
t_forgets_served()
{
	local i n=$((DEEP ? 200 : 10))
	for i in $(seq 300); do : > "$L/d/file$i"; done
	for i in $(seq "$n"); do
		stat "$M"/d/file* > /dev/null
		echo 2 > /proc/sys/vm/drop_caches
	done
	down
	mnt max_entries=16
	for i in $(seq 3); do
		stat "$M"/d/file* > /dev/null
		echo 2 > /proc/sys/vm/drop_caches
		sleep 0.2
	done
	for i in $(seq 50); do
		[ "$("$STAT" --json "$M" | jq '.nodes.total - .nodes.pinned')" = 1 ] && break
		sleep 0.1
	done
	eq "$("$STAT" --json "$M" | jq '.nodes.total - .nodes.pinned')" 1
	[ "$("$STAT" --json "$M" | jq .nodes.pinned)" -le 32 ]
}

. "$(dirname "$0")/plain.sh"
