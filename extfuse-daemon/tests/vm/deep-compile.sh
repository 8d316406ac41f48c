#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# A compile in a kernel tree: what reaches the daemon, with and without ExtFUSE.
# The published counts were GETATTR 303K to 137, GETXATTR 14K to 0, LOOKUP 36K
# to 8K, READ and WRITE nearly 0.  Wants the tree as /out/linux.tar.
. "$(dirname "$0")/lib.sh"

compile() { make -s -C "$mnt" ARCH=x86 kernel/locking/ lib/zlib_inflate/ lib/math/ kernel/time/; }

# Both start from the same tree; make clean would be half of the work
count() { compile >/tmp/make.log 2>&1 || { tail /tmp/make.log; return 1; }; counters >"$1"; }

test_kernel_compile() {
	local op
	tar -C "$lower" -xf /out/linux.tar || fail "no /out/linux.tar" || return
	mount.extfuse "$lower" "$mnt" -o extfuse=off,nopassthrough,attr_timeout=1,entry_timeout=1,negative_timeout=1 || return
	count /tmp/off || fail "compile on plain FUSE" || return
	xumount
	rm -rf "$lower"
	mkdir "$lower"
	tar -C "$lower" -xf /out/linux.tar
	xmount || return
	count /tmp/on || fail "compile on ExtFUSE" || return
	for op in GETATTR GETXATTR LOOKUP READ WRITE READLINK OPEN; do
		echo "$op: $(jq ".$op.upcall // 0" /tmp/off) -> $(jq ".$op.upcall // 0" /tmp/on)"
	done | tee /out/compile.txt
	# at least as good as published: 1/2000, 0, 1/4 and nearly 0
	jq -e -s '(.[0].GETATTR.upcall > 20 * .[1].GETATTR.upcall) and (.[0].LOOKUP.upcall > 4 * .[1].LOOKUP.upcall)
		and (.[1].READ.upcall // 0) == 0 and (.[1].WRITE.upcall // 0) == 0' /tmp/off /tmp/on ||
		fail "$(tr '\n' ' ' </out/compile.txt)"
}

run_tests
