#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# shellcheck disable=SC2046,SC2086,SC2016 # lists of names without spaces; dpkg's formats
# The packages of make rpm: contents, dependencies, scriptlets; installed by rpm into an empty root.
# shellcheck source=packaging/tests/lib.sh
. "$(dirname "$0")/lib.sh"
command -v rpm >/dev/null || { echo "SKIP rpm: no rpm here"; echo "0 passed, 0 failed, 1 skipped"; exit 0; }

names='extfuse extfuse-bpf extfuse-daemon extfuse-dracut extfuse-kernel libextfuse libextfuse-devel'
file() { echo "$rpms/$1-$version-"*.rpm; }
requires() { rpm -qp --requires "$(file "$1")" | grep -v '^rpmlib\|^lib.*\.so\|^ld-linux\|^rtld\|^/' | sort -u | xargs; }
files() { for p in $names; do file "$p"; done; }

t_rpm_files() {
	for p in $names; do
		rpm -qp --qf "[$p %{FILEMODES:perms} %{FILEUSERNAME}/%{FILEGROUPNAME} %{FILENAMES} -> %{FILELINKTOS}\n]" \
			"$(file "$p")"
	done | sed 's/ -> $//' | grep -v ' /usr/share/licenses/' | diff -u "$here/rpm.files" -
}

t_rpm_dependencies() {
	eq "$(requires extfuse)" "extfuse-daemon(x86-64) = $version-1 extfuse-kernel(x86-64) = $version-1"
	eq "$(requires extfuse-kernel)" "kernel-extfuse = $("$top/packaging/kernel-release" --version)"
	eq "$(requires extfuse-bpf)" ""
	eq "$(requires extfuse-daemon)" "coreutils extfuse-bpf(x86-64) = $version-1 util-linux"
	eq "$(rpm -qp --recommends "$(file extfuse-daemon)")" "extfuse-kernel(x86-64) = $version-1"
	eq "$(requires extfuse-dracut)" "dracut extfuse-daemon = $version-1"
	eq "$(requires libextfuse)" "extfuse-bpf(x86-64) = $version-1"
}

# Debian's libraries stand in for Fedora's: the same sonames, or it would not start there
t_rpm_sonames() {
	eq "$(rpm -qp --requires "$(file extfuse-daemon)" | sed -n 's/()(64bit)$//p' | sort | xargs)" \
		"ld-linux-x86-64.so.2 libbpf.so.1 libc.so.6 libfuse3.so.3 libjansson.so.4"
}

t_rpm_lint() {
	command -v rpmlint >/dev/null || skip "no rpmlint"
	# shellcheck disable=SC2046
	rpmlint -c "$top/packaging/rpm/rpmlint.toml" $(files) | tee "$T/lint"
	grep -q ' 0 errors, 0 warnings' "$T/lint"
}

# rpm -V finds no difference; erasing leaves nothing of ours
t_rpm_root() {
	local db=(rpm --root "$T/root" --nodeps)
	((EUID == 0)) || skip "not root"
	mkdir "$T/root"
	# an empty root has no shell for the scriptlets: they are run below
	"${db[@]}" -i --noscripts $(files)
	"${db[@]}" -Va >"$T/verify" 2>&1
	[[ ! -s $T/verify ]] || fail "$(cat "$T/verify")"
	"${db[@]}" -U --force --noscripts $(files)
	"${db[@]}" -e --noscripts $names
	eq "$(cd "$T/root" && find . -path '*extfuse*')" ""
}

t_rpm_scriptlets() {
	rpm -qp --scripts "$(file extfuse-daemon)" >"$T/scripts"
	sed -n '/^postinstall/,/^preuninstall/p' "$T/scripts" | grep -q 'install-system-units.*extfuse@.service'
	sed -n '/^preuninstall/,/^postuninstall/p' "$T/scripts" | grep -q 'remove-system-units.*extfuse@.service'
	# no macro left as it was
	refuse grep '%[{_?s]' "$T/scripts"
}

run_all
