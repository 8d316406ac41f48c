#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# What is not the kernel builds on Debian 13, and serves with its libraries.
# shellcheck disable=SC2034 # for root.sh
release=13
# shellcheck source=packaging/tests/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=packaging/tests/root.sh
. "$here/root.sh"

root_unpack build gcc,make,pkg-config,clang,llvm,libbpf-dev,libfuse3-dev,fuse3,libcap-dev,libcmocka-dev,\
libjansson-dev,libelf-dev,linux-libc-dev,libclang-rt-dev,attr,acl,jq,procps,libcap2-bin,python3,e2fsprogs
"$top/packaging/stage" "$R/src"
cp -a "$top/kernel/tests" "$R/src/kernel/"

make_in_root() { in_root make -s -C "/src/$1" BUILD=/src/build "${@:2}"; }

t_builds()
{
	make_in_root bpf
	make_in_root extfuse-daemon all tests fuzz asan
	make_in_root kernel/tests
	in_root /src/build/tests/cache
}

# libfuse 3.17 is given the messages that we change on the way
t_serves()
{
	in_root env 'ONLY=@(files|directories|xattrs|acls|owner|usage|mount_table)' /src/extfuse-daemon/tests/plain.sh
	in_root env 'ONLY=@(bits_go_with_the_capability|callers_out_of_sight)' \
		/src/extfuse-daemon/tests/security.sh
}

run_all
