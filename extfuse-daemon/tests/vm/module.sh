#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# On a kernel that is not ours: the module's road, and what can be wrong with it.
. "$(dirname "$0")/lib.sh"

control=/sys/fs/extfuse/connections
ko=/usr/lib/modules/$(uname -r)/extra/extfuse.ko

[[ -e $ko ]] || { echo "SKIP module.sh: no module for this kernel (tools/vm/run --stock)"; exit 0; }

stat_field() { extfuse-stat --json "$mnt" | jq -r ".$1"; }

# A module that is loaded anew has its control files unmounted, and they hold nothing
module_loaded() {
	[[ -d $control ]] || modprobe extfuse || return
	mountpoint -q "$control" || mount -t extfusectl extfusectl "$control"
}

# The last reference to the module goes when the daemon's end has been dealt with
module_gone() {
	umount "$control" 2>/dev/null
	for _ in {1..100}; do
		rmmod extfuse 2>/dev/null
		[[ -d /sys/module/extfuse ]] || return 0
		sleep 0.1
	done
	fail "the module stays: $(rmmod extfuse 2>&1)"
}

link_id() { cat /proc/"$(pgrep -ox mount.extfuse)"/fdinfo/* 2>/dev/null | awk '$1 == "link_id:" { print $2; exit }'; }

# served_again: a name that the kernel forgot is looked up without the daemon
served_again() {
	local before
	stat "$mnt/f" >/dev/null || return
	drop
	before=$(counter LOOKUP served)
	stat "$mnt/f" >/dev/null || return
	(($(counter LOOKUP served) > before))
}

test_serves() {
	module_loaded || return
	echo x >"$lower/f"
	xmount || return
	[[ $(stat_field road) == module ]] || fail "road: $(stat_field road)" || return
	[[ $(findmnt -rno FSTYPE "$mnt") == extfuse ]] || fail "type: $(findmnt -rno FSTYPE "$mnt")" || return
	served_again || fail "not served: $(counters)"
}

test_two_mounts() {
	module_loaded || return
	mkdir -p "$mnt/../mnt2" "$lower"
	echo x >"$lower/f"
	xmount || return
	mount.extfuse "$lower" /scratch/mnt2 -o "extfuse=require,object=$object" || return
	served_again || fail "first" || return
	mnt=/scratch/mnt2 served_again || fail "second" || return
	umount /scratch/mnt2 || return
	served_again || fail "first, after the second has gone"
}

test_module_in_use_stays() {
	module_loaded || return
	echo x >"$lower/f"
	xmount || return
	umount "$control"
	rmmod extfuse 2>/dev/null && fail "removed while mounted" && return 1
	served_again
}

test_daemon_loads_the_module() {
	module_loaded && module_gone || return
	echo x >"$lower/f"
	xmount || return
	[[ $(stat_field road) == module ]] || fail "road: $(stat_field road)" || return
	xumount && module_gone
}

test_no_module() {
	local msg
	module_loaded && module_gone || return
	mount --bind /dev/null "$ko" || return
	msg=$(mount.extfuse "$lower" "$mnt" -o "extfuse=require,object=$object" 2>&1)
	[[ $msg == *"install extfuse-kernel, or the module"* ]] || fail "require: $msg" || return
	! mountpoint -q "$mnt" || fail "mounted all the same" || return
	msg=$(mount.extfuse "$lower" "$mnt" -o "object=$object" 2>&1) || return
	[[ $(grep -c . <<<"$msg") == 1 && $msg == *"plain FUSE" ]] || fail "not one warning: $msg" || return
	[[ $(stat_field road) == none && $(findmnt -rno FSTYPE "$mnt") == fuse.extfuse ]] || fail "not plain" || return
	umount "$ko"
}

test_module_of_another_abi() {
	local msg
	module_loaded || return
	echo 99 >/tmp/abi
	mount --bind /tmp/abi /sys/fs/extfuse/extfuse_abi || return
	msg=$(mount.extfuse "$lower" "$mnt" -o "extfuse=require,object=$object" 2>&1)
	umount /sys/fs/extfuse/extfuse_abi
	[[ $msg == *"the module's ExtFUSE has ABI 99"* ]] || fail "$msg" || return
	! mountpoint -q "$mnt"
}

test_device_is_not_there() {
	local msg
	module_loaded || return
	mv /dev/extfuse /dev/extfuse.away
	msg=$(mount.extfuse "$lower" "$mnt" -o "extfuse=require,object=$object" 2>&1)
	mv /dev/extfuse.away /dev/extfuse
	[[ $msg == *"/dev/extfuse: No such file"* ]] || fail "$msg" || return
	! mountpoint -q "$mnt"
}

test_link_detached() {
	module_loaded || return
	echo x >"$lower/f"
	xmount || return
	served_again || return
	bpftool link detach id "$(link_id)" || return
	! served_again || fail "served by a program that was detached" || return
	echo y >"$mnt/g" && [[ $(cat "$lower/g") == y ]] || fail "plain FUSE does not go on" || return
	[[ $(stat_field mode)/$(stat_field road) == plain/none ]] || fail "mode $(stat_field mode)" || return
	dmesg | grep -q "extfuse: connection .* the program was detached" || fail "no line in the log"
}

test_killed_daemon_whose_link_is_held() {
	module_loaded || return
	echo x >"$lower/f"
	xmount || return
	served_again || return
	bpftool link pin id "$(link_id)" /sys/fs/bpf/held || return
	pkill -KILL -x mount.extfuse
	sleep 0.5
	stat "$mnt/f" 2>/dev/null && fail "served without a daemon" && return 1
	umount "$mnt" || return
	xmount && served_again || fail "no new mount" || return
	xumount
	rm /sys/fs/bpf/held
	module_gone
}

run_tests
