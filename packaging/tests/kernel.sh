#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# shellcheck disable=SC2011,SC2016 # names without spaces; dpkg's formats
# The packages of make kernel-packages: contents, lint, a second packaging, modules built with the
# headers; installed, upgraded and purged by apt, installed and erased by rpm.
# shellcheck source=packaging/tests/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=packaging/tests/root.sh
. "$here/root.sh"

release=$("$top/packaging/kernel-release")
pkgversion=$("$top/packaging/kernel-release" --version)
old_release=${release%"$version"}0.0.9
image=$debs/linux-image-${release}_${pkgversion}_amd64.deb
headers=$debs/linux-headers-${release}_${pkgversion}_amd64.deb
[[ -e $image && -e $headers ]] || nothing "no kernel package: make kernel-packages repo"

# The image as that of 0.0.9: the same bytes under another name, which is all that apt looks at
old_image() {
	local dir=$T/old-image
	dpkg-deb -R "$image" "$dir"
	sed -i "s/$release/$old_release/g; s/^Version: .*/Version: ${pkgversion%"$version"}0.0.9/" "$dir"/DEBIAN/*
	for f in "$dir"/boot/*"$release" "$dir/lib/modules/$release" "$dir/usr/share/doc/"*; do
		mv "$f" "${f%"$release"}$old_release"
	done
	dpkg-deb --root-owner-group -Zgzip -b "$dir" "$T/old/linux-image-$old_release.deb"
}

t_kernel_files() {
	eq "$(dpkg-deb -c "$image" | awk '{ print $2, $6 }' | grep -v "/lib/modules/$release/" | grep -v '/$' |
		sort | xargs)" "root/root ./boot/System.map-$release root/root ./boot/config-$release \
root/root ./boot/vmlinuz-$release root/root ./usr/share/doc/linux-image-$release/changelog.gz \
root/root ./usr/share/doc/linux-image-$release/copyright"
	dpkg-deb -c "$image" >"$T/list"
	grep -q '/kernel/fs/.*\.ko$' "$T/list"
	eq "$(dpkg-deb -c "$headers" | awk '$6 !~ "/$"' | grep -v " ./usr/src/linux-headers-$release/" |
		awk '{ print $6 }' | sort | xargs)" "./lib/modules/$release/build \
./usr/share/doc/linux-headers-$release/changelog.gz ./usr/share/doc/linux-headers-$release/copyright"
	# two versions side by side: no path that the other could have
	refuse grep -v -e "$release" -e '/$' <(dpkg-deb -c "$image" | awk '{ print $6 }')
	eq "$(rpm -qlp "$rpms/kernel-extfuse-$pkgversion".*.rpm | grep -vc "/$release")" 0
}

t_kernel_dependencies() {
	eq "$(dpkg-deb -f "$image" Depends)" "kmod, initramfs-tools | linux-initramfs-tool"
	[[ $(dpkg-deb -f "$image" Description) == *"Linux $(. "$top/kernel/base" && echo "$DEBVER") with"* ]]
	eq "$(rpm -qp --requires "$rpms/kernel-extfuse-$pkgversion".*.rpm | grep -v '^rpmlib\|^/bin/sh' | sort -u | xargs)" \
		"dracut kmod systemd-udev"
	eq "$(rpm -qp --requires "$rpms/kernel-extfuse-devel-$pkgversion".*.rpm | grep -v ^rpmlib)" \
		"kernel-extfuse = $pkgversion"
	eq "$(rpm -qp --provides "$rpms/kernel-extfuse-$pkgversion".*.rpm | sed 's/ .*//;s/(x86.*//' | sort -u | xargs)" \
		"installonlypkg(kernel) kernel-extfuse"
}

t_kernel_lint() {
	# whoever publishes the packages sets DEBEMAIL; the kernel's own layout is what it is
	lintian --allow-root --fail-on error,warning \
		--suppress-tags bogus-mail-host,bogus-mail-host-in-debian-changelog \
		"$image" "$headers"
}

t_kernel_rpmlint() {
	rpmlint -c "$top/packaging/rpm/rpmlint.toml" "$rpms"/kernel-extfuse-*.rpm | tee "$T/lint"
	grep -q ' 0 errors, 0 warnings' "$T/lint"
}

# Packaging the same kernel again gives the same bytes
t_kernel_packaged_twice() {
	local f n=0
	SOURCE_DATE_EPOCH=$(date +%s -d "$(dpkg-deb --fsys-tarfile "$image" |
		tar -xO "./usr/share/doc/linux-image-$release/changelog.gz" | gzip -dc | sed -n 's/^ -- .*>  //p')")
	export SOURCE_DATE_EPOCH
	"$top/packaging/build-kernel" "$T/deb" "$T/rpm"
	for f in "$debs"/linux-*.deb "$rpms"/kernel-*.rpm; do
		cmp "$f" "$T/${f##*.}/${f##*/}"
		n=$((n + 1))
	done
	eq "$n" 4
}

t_kernel_headers() {
	dpkg-deb -x "$headers" "$T/headers"
	mkdir "$T/module"
	echo 'obj-m := hello.o' >"$T/module/Makefile"
	printf '%s\n' '#include <linux/module.h>' 'static int __init hello(void) { return 0; }' 'module_init(hello);' \
		'MODULE_LICENSE("GPL");' >"$T/module/hello.c"
	make -C "$T/headers/usr/src/linux-headers-$release" M="$T/module" modules
	[[ $(modinfo -F vermagic "$T/module/hello.ko") == "$release "* ]] || fail "$(modinfo "$T/module/hello.ko")"
}

# An upgrade leaves the old kernel, which may be running, to autoremove
t_apt_kernel_upgrade() {
	apt install {extfuse,extfuse-kernel,extfuse-daemon,extfuse-bpf}=0.0.9
	eq "$(cd "$R/boot" && ls vmlinuz-* initrd.img-* | xargs)" "initrd.img-$old_release vmlinuz-$old_release"
	apt upgrade --with-new-pkgs
	eq "$(in_root dpkg-query -W -f '${Version}' extfuse)" "$version"
	[[ -s $R/boot/vmlinuz-$release && -s $R/boot/initrd.img-$release && -s $R/boot/vmlinuz-$old_release ]]
	eq "$(in_root modinfo -k "$release" -F vermagic xfs | cut -d' ' -f1)" "$release"
}

t_apt_kernel_purge() {
	apt purge 'extfuse*' 'linux-image-*-extfuse-*'
	eq "$(ls "$R/boot")" ""
	eq "$(find "$R/lib/modules" "$R/usr/lib/extfuse" "$R/etc/extfuse" -mindepth 1 2>/dev/null)" ""
}

t_apt_boot_full() {
	mount -t tmpfs -o size=10m none "$R/boot"
	refuse apt install "linux-image-$release" >"$T/said" 2>&1
	said 'needs 64 MB in /boot, which has 10 MB'
	refuse grep -qx installed <(in_root dpkg-query -W -f '${db:Status-Status}' "linux-image-$release")
	eq "$(ls "$R/boot")" ""
	umount "$R/boot"
	apt -f install
}

# In the root of dnf.sh; its kernel-install only notes how it was called
t_rpm_kernel() {
	local root=$T/rpm-root db
	[[ -d $top/build/dnf-root ]] || skip "no build/dnf-root: packaging/tests/dnf.sh"
	db=(rpm --root "$root" --nodeps)
	cp -a "$top/build/dnf-root" "$root"
	printf '#!/bin/sh\necho "$*" >>/run/kernels\n' >"$root/usr/bin/kernel-install"
	chmod 755 "$root/usr/bin/kernel-install"
	"${db[@]}" -i "$rpms/kernel-extfuse-$pkgversion".*.rpm
	eq "$("${db[@]}" -V kernel-extfuse)" ""
	# another version stays; what goes is this one
	printf '%s\n' 'Name: kernel-extfuse' 'Version: 0' 'Release: 1' 'Summary: x' 'License: GPL-2.0-only' \
		'BuildArch: noarch' '%description' x '%files' >"$T/other.spec"
	rpmbuild -bb --define "_topdir $T/other" "$T/other.spec" >"$T/log" 2>&1
	"${db[@]}" -i --oldpackage "$T"/other/RPMS/noarch/*.rpm
	"${db[@]}" -e "kernel-extfuse-$pkgversion"
	eq "$(xargs <"$root/run/kernels")" "add $release /usr/lib/modules/$release/vmlinuz remove $release"
	refuse test -e "$root/usr/lib/modules/$release"
}

mkdir "$T/old"
old_image >"$T/log" 2>&1 || { cat "$T/log"; echo "FAIL old_image"; exit 1; }
root_unpack initramfs "$small"
root_repo "${REPO:-$top/build/repo/apt}" "${OLD:-$top/build/old}/deb" "$T/old"
run_all
