#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# shellcheck disable=SC2016 # quoted for another shell
# dnf from build/repo/dnf into an empty root, with scriptlets; a mount with what was installed (plain
# FUSE, the kernel is the host's; dnf.guest does it in the VM); upgrade, downgrade, erase.
#
# There is no Fedora here.  One package of this test, debian-stand-in, says that it is what the
# packages require, and has Debian's glibc, libfuse3, libbpf and jansson in Fedora's place and Debian's
# shell and mount programs.  Its systemd-update-helper and dracut only note how they were called.
# shellcheck source=packaging/tests/lib.sh
. "$(dirname "$0")/lib.sh"

nothing() { echo "SKIP dnf: $*"; echo "0 passed, 0 failed, 1 skipped"; exit 0; }
((EUID == 0)) || nothing "not root"
for tool in dnf rpmbuild createrepo_c; do command -v $tool >/dev/null || nothing "no $tool"; done

repo=${REPO:-$top/build/repo/dnf}
old=${OLD:-$top/build/old}/rpm
R=$T/root
keep=$top/build/dnf-root
programs='bash cat findmnt grep ls mount sed stat tac umount'

in_root() { chroot "$R" "$@"; }
dnf() {
	command dnf -y --installroot="$R" --releasever=1 --nogpgcheck --setopt=install_weak_deps=False \
		--repofrompath="extfuse,file://$repo" --repofrompath="here,file://$T/repo" \
		--repo=extfuse,here --exclude='kernel-extfuse*' "$@"
}
ours() { rpm --root "$R" -qa --qf '%{NAME}-%{VERSION}\n' 'extfuse*' 'libextfuse*' | sort | xargs; }

stand_in() {
	local files=$T/stand-in p lib
	mkdir -p "$files"/{usr/bin,usr/sbin,usr/lib64,usr/lib/x86_64-linux-gnu,usr/lib/systemd,etc,dev,proc,sys,run,tmp,srv/data,mnt/data}
	ln -s usr/bin "$files/bin"
	ln -s usr/sbin "$files/sbin"
	ln -s usr/lib "$files/lib"
	ln -s usr/lib64 "$files/lib64"
	ln -s bash "$files/usr/bin/sh"
	for p in $programs; do cp "$(command -v "$p")" "$files/usr/bin/"; done
	# where Debian's loader looks; from /usr/lib64 it takes the loader itself, and what ldconfig names
	ldd "$files"/usr/bin/* "$top"/build/bin/* | grep -oE '/lib[^ ]+ \(0x' | cut -d' ' -f1 | sort -u |
		while read -r lib; do cp -L "$lib" "$files/usr${lib%/*}/"; done
	echo /usr/lib64 >"$files/etc/ld.so.conf"
	: >"$files/etc/fstab"
	printf '#!/bin/sh\necho "$*" >>/run/units\n' >"$files/usr/lib/systemd/systemd-update-helper"
	printf '#!/bin/sh\necho "$*" >>/run/dracut\n' >"$files/usr/bin/dracut"
	chmod 755 "$files"/usr/lib/systemd/systemd-update-helper "$files/usr/bin/dracut"
	{
		printf '%s\n' 'Name: debian-stand-in' 'Version: 1' 'Release: 1' 'Summary: x' 'License: GPL-2.0-only' \
			'AutoReqProv: no' '%global _binary_payload w0.gzdio' '%global __os_install_post %{nil}' \
			'%global debug_package %{nil}'
		rpm -qp --requires "$repo"/*extfuse*.rpm | grep -v '^rpmlib\|extfuse' | sort -u | sed 's/^/Provides: /'
		printf '%s\n' '%description' 'Debian libraries and programs for those of Fedora' \
			'%install' "cp -a $files/. %{buildroot}" '%files' '/*'
	} >"$T/stand-in.spec"
	rpmbuild -bb --nodeps --define "_topdir $T/top" "$T/stand-in.spec" >"$T/log" 2>&1 ||
		{ tail "$T/log"; echo "FAIL dnf_stand_in"; exit 1; }
	mkdir "$T/repo"
	mv "$T"/top/RPMS/*/*.rpm "$T/repo/"
	cp "$old"/*.rpm "$T/repo/"
	createrepo_c -q "$T/repo"
}

stand_in

t_dnf_install() {
	dnf install "extfuse-daemon-$version" extfuse-dracut libextfuse-devel
	eq "$(ours)" "extfuse-bpf-$version extfuse-daemon-$version extfuse-dracut-$version \
libextfuse-$version libextfuse-devel-$version"
	eq "$(rpm --root "$R" -Va 'extfuse*' 'libextfuse*')" ""
	eq "$(find "$R" -path '*extfuse*' ! -user 0)" ""
	# the scriptlet of the unit has run
	eq "$(cat "$R/run/units")" "install-system-units extfuse@.service"
	eq "$(cat "$R/run/dracut")" "--regenerate-all --force"
	# glibc's file trigger in Fedora
	ldconfig -r "$R"
	[[ $(ldconfig -r "$R" -p) == *libextfuse.so.0* ]]
	eq "$(in_root mount.extfuse --version)" "mount.extfuse $version (ABI $abi)"
	rm -rf "$keep"
	cp -a "$R" "$keep"
	mount --rbind /dev "$R/dev"
	mount --make-rslave "$R/dev"
	mount -t proc proc "$R/proc"
	echo hello >"$R/srv/data/f"
}

# What is not of this version, or not there, is named
t_dnf_lock() {
	refuse dnf install extfuse >"$T/said" 2>&1
	said 'kernel-extfuse'
	refuse dnf install extfuse-bpf-0.0.9 "extfuse-daemon-$version" >"$T/said" 2>&1
	said "extfuse-daemon-$version.* requires extfuse-bpf.* = $version"
}

t_dnf_mount() {
	in_root mount -t extfuse /srv/data /mnt/data 2>"$T/warning"
	eq "$(cat "$R/mnt/data/f")" hello
	[[ -e /sys/fs/fuse/extfuse_abi ]] || eq "$(grep -c '^mount.extfuse: .*plain FUSE$' "$T/warning")" 1
	in_root extfuse-stat /mnt/data | grep '^operation'
	in_root umount /mnt/data
}

t_dnf_upgrade_while_mounted() {
	dnf downgrade {extfuse-daemon,extfuse-bpf,extfuse-dracut,libextfuse,libextfuse-devel}-0.0.9
	eq "$(in_root mount.extfuse --version | cut -d' ' -f2)" 0.0.9
	in_root mount -t extfuse -o extfuse=off /srv/data /mnt/data
	: >"$R/run/units"
	: >"$R/run/dracut"
	dnf upgrade
	eq "$(ours)" "extfuse-bpf-$version extfuse-daemon-$version extfuse-dracut-$version \
libextfuse-$version libextfuse-devel-$version"
	eq "$(rpm --root "$R" -Va 'extfuse*' 'libextfuse*')" ""
	eq "$(cat "$R/run/dracut")" "--regenerate-all --force"
	# nobody was unmounted, no unit was removed
	eq "$(cat "$R/mnt/data/f")" hello
	refuse grep remove "$R/run/units"
	in_root umount /mnt/data
}

# In use: the daemon stays, and says why; else it is unmounted and goes, with all that needs it
t_dnf_erase() {
	: >"$R/run/dracut"
	in_root mount -t extfuse -o extfuse=off /srv/data /mnt/data
	exec 8<"$R/mnt/data/f"
	refuse dnf remove extfuse-daemon >"$T/said" 2>&1
	said 'extfuse-daemon: not removed, because /mnt/data is in use'
	eq "$(cat <&8)" hello
	exec 8<&-
	[[ -x $R/usr/sbin/mount.extfuse ]]
	dnf remove extfuse-bpf
	eq "$(ours)" ""
	eq "$(cat "$R/run/dracut")" "--regenerate-all --force"
	refuse grep "$R/mnt/data" /proc/mounts
	eq "$(cd "$R" && find usr etc -path '*extfuse*')" ""
	grep -qx 'remove-system-units extfuse@.service' "$R/run/units"
}

run_all
