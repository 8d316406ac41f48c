# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# For the tests that run in the VM: each is a file of functions test_*.
set -uo pipefail
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../../.." && pwd)
PATH=$top/build/bin:$top/build/tests:$PATH
object=$top/build/extfuse.o
lower=/scratch/lower
mnt=/scratch/mnt
why=

fail() { why="$*"; return 1; }

# mount with ExtFUSE, which must work; watch.sh is where others change the lower directory
xmount() { mount.extfuse "$lower" "$mnt" -o "extfuse=require,object=$object,exclusive${1:+,$1}"; }
xumount() { umount "$mnt"; }

counter() { extfuse-stat --json "$mnt" | jq ".ops.$1.$2 // 0"; }

# A row of the daemon's counters: all operations, one line
counters() { extfuse-stat --json "$mnt" | jq -c '.ops'; }

drop() { echo "${1:-2}" >/proc/sys/vm/drop_caches; }

setup() {
	umount -l "$mnt" 2>/dev/null
	rm -rf "$lower"
	mkdir -p "$lower" "$mnt"
}

# Unmount what was a lower directory as soon as the daemon has let it go
lower_umount() {
	for _ in {1..50}; do
		umount "$1" 2>/dev/null && return
		sleep 0.1
	done
	umount "$1"
}

# Run every test_* of the file that sourced this
run_tests() {
	local t failed=0
	for t in $(compgen -A function test_); do
		why=
		setup
		if "$t" >"/tmp/$t.log" 2>&1; then
			echo "ok ${0##*/}: ${t#test_}"
		else
			echo "FAIL ${0##*/}: ${t#test_}: ${why:-see below}"
			tail -n 20 "/tmp/$t.log" | sed 's/^/  /'
			failed=1
		fi
		umount -l "$mnt" 2>/dev/null
	done
	return $failed
}
