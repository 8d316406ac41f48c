#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# A second compile of the kernel, from an empty cache, gives the bytes of the first.  Takes as long as
# the first.  The names of the directories are part of a kernel's debug information and by that of its
# build ID: so the second cache is mounted where the first one is.
# shellcheck source=packaging/tests/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=kernel/base
. "$top/kernel/base"
cache=${EXTFUSE_CACHE:-$HOME/.cache/extfuse}

t_kernel_twice() {
	local first second source=base-${SHA256:0:12}
	((EUID == 0)) || skip "not root"
	first=$("$top/tools/kernel" path)
	mkdir -p "$T/cache/$source"
	unshare -m bash -ec 'mount --bind "$1/$3" "$2/$3"; mount --rbind "$2" "$1"; "$4/tools/kernel" build' \
		- "$cache" "$T/cache" "$source" "$top"
	second=$T/cache/${first##*/}
	[[ ! $first -ef $second ]]
	for f in bzImage System.map config release; do cmp "$first/$f" "$second/$f"; done
	diff -r "$first/lib" "$second/lib"
}

run_all
