#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# A second build, in another directory, by another user, without git, gives the same bytes.
# shellcheck source=packaging/tests/lib.sh
. "$(dirname "$0")/lib.sh"

# there may have been a commit since they were built
SOURCE_DATE_EPOCH=$(date +%s -d "$(dpkg-deb --fsys-tarfile "$debs/extfuse-bpf_${version}_amd64.deb" |
	tar -xO ./usr/share/doc/extfuse-bpf/changelog.gz | gzip -dc | sed -n 's/^ -- .*>  //p')")
export SOURCE_DATE_EPOCH
"$top/packaging/stage" "$T/tree"
cp "$top/Makefile" "$T/tree/"
user=()
if ((EUID == 0)); then
	chown -R nobody "$T"
	user=(setpriv --reuid nobody --regid nogroup --clear-groups env "HOME=$T")
fi

# same DIRECTORY SUFFIX: all of DIRECTORY is in $T/SUFFIX, and nothing else
same() {
	local f n=0
	for f in "$1"/*."$2"; do
		[[ ${f##*/} != *linux-* && ${f##*/} != kernel-extfuse* ]] || continue
		cmp "$f" "$T/$2/${f##*/}"
		n=$((n + 1))
	done
	eq "$n $2" "$(find "$T/$2" -name "*.$2" | wc -l) $2"
	((n > 0))
}

t_deb_twice() {
	"${user[@]}" bash -c 'umask 077; exec nice "$@"' - "$T/tree/packaging/build-deb" "$T/deb"
	same "$debs" deb
}

t_rpm_twice() {
	command -v rpmbuild >/dev/null || skip "no rpmbuild"
	"${user[@]}" bash -c 'umask 077; exec nice "$@"' - "$T/tree/packaging/build-rpm" "$T/rpm"
	same "$rpms" rpm
}

# No compiler, no packager's tools: said in one line, nothing left in the output directory
t_without_tools() {
	mkdir "$T/empty" "$T/bin"
	for t in bash dirname cat mkdir git stat env; do ln -s "$(command -v $t)" "$T/bin/"; done
	for b in build-deb build-rpm build-repo; do
		refuse env "PATH=$T/bin" "$T/tree/packaging/$b" "$T/empty" "$T/empty" "$T/empty" >"$T/said" 2>&1
		eq "$(wc -l <"$T/said")" 1
		said 'is not installed'
	done
	eq "$(ls "$T/empty")" ""
}

run_all
