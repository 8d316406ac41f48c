#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# What does not fit: a message that names it, a status of mount(8), nothing left.
. "$(dirname "$0")/lib.sh"

# refused STATUS WORDS OPTIONS: the mount fails with a message that has the words
refused() {
	local status=$1 words=$2 got=0 msg
	shift 2
	msg=$(mount.extfuse "$lower" "$mnt" -o "$@" 2>&1) || got=$?
	echo "$got: $msg"
	((got == status)) || fail "status $got, not $status, of -o $*: $msg" || return
	[[ $msg == *"$words"* ]] || fail "message of -o $* does not say '$words': $msg" || return
	! mountpoint -q "$mnt" || fail "mounted all the same with -o $*" || return
	! pgrep -x mount.extfuse >/dev/null || fail "a daemon is left after -o $*"
}

# patch the word of extfuse_layout at index $1 in a copy of the object
patched() {
	local off
	off=$(llvm-readelf -S --wide "$object" | awk '$2 == ".rodata" || $3 == ".rodata" { for (i = 1; i <= NF; i++) if ($i == "PROGBITS") print $(i + 2) }')
	local sym
	sym=$(llvm-readelf -s --wide "$object" | awk '$8 == "extfuse_layout" { print $2 }')
	cp "$object" "$2"
	printf '\x63\0\0\0' | dd of="$2" bs=1 conv=notrunc seek=$((16#$off + 16#$sym + $1 * 4)) 2>/dev/null
}

test_object_of_another_abi() {
	patched 0 /tmp/abi.o
	refused 32 "ABI 99" "extfuse=require,object=/tmp/abi.o"
}

test_object_of_another_layout() {
	patched 1 /tmp/layout.o
	refused 32 "layout" "extfuse=require,object=/tmp/layout.o"
}

test_object_of_other_maps() {
	local src=/tmp/bpf/bpf
	rm -rf /tmp/bpf && mkdir -p "$src" /tmp/bpf/kernel || return
	cp "$top"/bpf/* "$src" && ln -s "$top/kernel/src" /tmp/bpf/kernel/src || return
	sed -i 's/__uint(map_flags, BPF_F_MMAPABLE);//' "$src/rows.h"
	make -s -C "$src" BUILD=/tmp/bpf || return
	refused 32 "map attr_map has type 2 and flags 0" "extfuse=require,object=/tmp/bpf/extfuse.o"
}

test_clock_of_its_own() {
	! unshare --time --monotonic 864000 mount.extfuse "$lower" "$mnt" -o "extfuse=require,object=$object" 2>/tmp/said ||
		fail "mounted" || return
	grep -q "time namespace" /tmp/said || fail "said: $(</tmp/said)"
}

test_object_missing() { refused 32 "/nonexistent.o" "extfuse=require,object=/nonexistent.o"; }

test_object_truncated() {
	head -c 3000 "$object" >/tmp/short.o
	refused 32 "/tmp/short.o" "extfuse=require,object=/tmp/short.o"
}

test_object_not_bpf() {
	cp /bin/true /tmp/true.o
	refused 32 "/tmp/true.o" "extfuse=require,object=/tmp/true.o"
}

test_object_writable_by_others() {
	cp "$object" /tmp/open.o
	chmod 666 /tmp/open.o
	refused 32 "/tmp/open.o" "extfuse=require,object=/tmp/open.o"
}

test_bad_object_means_plain_fuse_with_one_warning() {
	local msg
	patched 0 /tmp/abi.o
	msg=$(mount.extfuse "$lower" "$mnt" -o "object=/tmp/abi.o" 2>&1) || fail "$msg" || return
	[[ $(grep -c . <<<"$msg") == 1 ]] || fail "not one line: $msg" || return
	[[ $(extfuse-stat --json "$mnt" | jq -r .mode) == plain ]]
}

test_killed_daemon() {
	local i
	xmount || return
	tree make "$lower" 200
	for i in 1 2 3; do
		while :; do find "$mnt" -type f -exec cat {} + >/dev/null 2>&1 || break; done &
	done
	sleep 1
	pkill -KILL -x mount.extfuse
	sleep 0.5
	[[ $(stat "$mnt" 2>&1) == *"not connected"* ]] || fail "not ENOTCONN: $(stat "$mnt" 2>&1)" || return
	umount "$mnt" || umount -l "$mnt" || return
	wait
	xmount || fail "no new mount" || return
	tree walk "$mnt" >/tmp/a && tree walk "$lower" >/tmp/b && cmp /tmp/a /tmp/b
}

test_program_goes_with_the_mount() {
	local i before
	before=$(bpftool prog list 2>/dev/null | grep -c handle_)
	for ((i = 0; i < 20; i++)); do
		xmount || return
		stat "$mnt" >/dev/null
		xumount || return
	done
	for ((i = 0; i < 50; i++)); do
		(($(bpftool prog list 2>/dev/null | grep -c handle_) == before)) && return
		sleep 0.1
	done
	fail "programs remain: $(bpftool prog list | grep -c handle_)"
}

test_lower_goes_or_becomes_read_only() {
	mkdir /scratch/lower2 2>/dev/null
	mount -t tmpfs none "$lower"
	echo x >"$lower/f"
	xmount || return
	mount -o remount,ro "$lower"
	echo y 2>/dev/null >>"$mnt/f" && fail "wrote to a read-only lower" && return 1
	mount -o remount,rw "$lower"
	rm -rf "${lower:?}"/*
	xumount
	umount "$lower"
}

run_tests
