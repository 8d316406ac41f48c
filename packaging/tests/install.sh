#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# shellcheck disable=SC2046,SC2086,SC2016 # lists of names without spaces; dpkg's formats
# apt-get install from build/repo/apt in a Debian 12 of its own; a mount with what was installed;
# upgrade, downgrade, removal, purge.  The kernel is the host's: plain FUSE.
# shellcheck source=packaging/tests/lib.sh
. "$(dirname "$0")/lib.sh"

nothing() { echo "SKIP install: $*"; echo "0 passed, 0 failed, 1 skipped"; exit 0; }
((EUID == 0)) || nothing "not root"
command -v mmdebstrap >/dev/null || nothing "no mmdebstrap: apt-get install mmdebstrap"
[[ -e /dev/fuse ]] || nothing "no /dev/fuse"

base=${EXTFUSE_CACHE:-$HOME/.cache/extfuse}/debian-12.tar
R=$T/root
repo=${REPO:-$top/build/repo/apt}
release=$("$top/packaging/kernel-release")

in_root() { DEBIAN_FRONTEND=noninteractive chroot "$R" "$@"; }
apt() { in_root apt-get -q -y -o Dpkg::Use-Pty=0 --allow-downgrades --no-install-recommends "$@"; }
# All that is there but for logs, caches and the package manager's own data
snapshot() {
	(cd "$R" && find . -xdev ! -path './var/lib/dpkg/*' ! -path './var/lib/apt/*' ! -path './var/log/*' \
		! -path './var/cache/*' ! -path './tmp/*' ! -path './repo*' ! -path './run/*' | sort)
}

mkdir -p "${base%/*}" "$R"
if [[ ! -e $base ]]; then
	mmdebstrap --variant=apt bookworm "$base.tmp.tar" >"$T/log" 2>&1 ||
		nothing "mmdebstrap: $(tail -n 1 "$T/log")"
	mv "$base.tmp.tar" "$base"
fi
tar -C "$R" -xf "$base" --exclude=./dev
mkdir -p "$R"/{dev,repo,mnt/data,srv/data}
mount -t proc proc "$R/proc"
mount --rbind /dev "$R/dev"
mount --make-rslave "$R/dev"
cp -r "$repo/." "$R/repo/"
# a built VERSION-1, of the same sources
mkdir "$R/repo/old"
"$top/packaging/stage" "$T/old"
echo 0.0.9 >"$T/old/VERSION"
"$T/old/packaging/build-deb" "$R/repo/old" >/dev/null || { echo "FAIL old: did not build"; exit 1; }
(cd "$R/repo" && apt-ftparchive packages . >Packages && gzip -9nkf Packages && rm -f Release)
echo 'deb [trusted=yes] file:/repo ./' >"$R/etc/apt/sources.list.d/extfuse.list"
{ apt update && apt install mount; } >"$T/log" 2>&1 || { cat "$T/log"; echo "FAIL apt-get"; exit 1; }

t_apt_install_daemon() {
	snapshot >"$T/before"
	apt install extfuse-daemon libextfuse-dev
	eq "$(in_root dpkg-query -W -f '${Version}' extfuse-bpf)" "$version"
	eq "$(in_root mount.extfuse --version)" "mount.extfuse $version (ABI 1)"
	eq "$(in_root dpkg --verify 'extfuse*' 'libextfuse*' | grep -v /usr/share/)" ""
}

# As the manual page has it: plain FUSE here, after one warning
t_apt_mount() {
	echo hello >"$R/srv/data/f"
	in_root mount -t extfuse /srv/data /mnt/data 2>"$T/warning"
	eq "$(cat "$R/mnt/data/f")" hello
	[[ -e /sys/fs/fuse/extfuse_abi ]] || grep -q '^mount.extfuse: .*plain FUSE$' "$T/warning"
	in_root extfuse-stat /mnt/data | grep '^operation'
	in_root umount /mnt/data
	in_root mount -t fuse.extfuse -o extfuse=off /srv/data /mnt/data
	eq "$(cat "$R/mnt/data/f")" hello
	in_root umount /mnt/data
	cp "$R/etc/fstab" "$T/fstab"
	echo '/srv/data /mnt/data extfuse extfuse=off 0 0' >>"$R/etc/fstab"
	in_root mount -a
	eq "$(in_root findmnt -rno SOURCE,FSTYPE /mnt/data)" "/srv/data fuse.extfuse"
	in_root umount /mnt/data
	cp "$T/fstab" "$R/etc/fstab"
}

t_apt_upgrade_while_mounted() {
	apt install {extfuse-daemon,extfuse-bpf,libextfuse0,libextfuse-dev}=0.0.9
	eq "$(in_root dpkg-query -W -f '${Version}' extfuse-bpf)" 0.0.9
	in_root mount -t extfuse -o extfuse=off /srv/data /mnt/data
	apt upgrade
	eq "$(in_root dpkg-query -W -f '${Version} ' extfuse-bpf extfuse-daemon | xargs)" "$version $version"
	eq "$(cat "$R/mnt/data/f")" hello
	in_root umount /mnt/data
}

# One without the other does not stay
t_apt_lock() {
	refuse apt install "extfuse-bpf=0.0.9" extfuse-daemon="$version" >"$T/said" 2>&1
	grep -q "extfuse-daemon : Depends: extfuse-bpf (= $version)" "$T/said"
	# dpkg alone lets it happen; apt says so and mends it
	in_root dpkg -i /repo/old/extfuse-bpf_0.0.9_amd64.deb
	refuse apt check >"$T/said" 2>&1
	grep -q ' : Depends: extfuse-bpf (= ' "$T/said"
	apt -f install
	eq "$(in_root dpkg-query -W -f '${Version}' extfuse-bpf)" "$version"
}

t_apt_remove_while_mounted() {
	in_root mount -t extfuse -o extfuse=off /srv/data /mnt/data
	exec 8<"$R/mnt/data/f"
	refuse apt remove extfuse-daemon >"$T/said" 2>&1
	grep -q 'extfuse-daemon: not removed, because /mnt/data is in use' "$T/said"
	eq "$(cat <&8)" hello
	exec 8<&-
	apt remove extfuse-daemon
	refuse grep -q "$R/mnt/data" /proc/mounts
	refuse test -e "$R/usr/sbin/mount.extfuse"
}

t_apt_purge() {
	apt purge 'extfuse*' 'libextfuse*'
	apt autoremove --purge
	rm -f "$R/srv/data/f"
	# ldconfig's, /etc/ld.so.cache, is Debian's own
	snapshot | diff "$T/before" -
}

t_apt_kernel() {
	[[ -e $R/repo/linux-image-${release}_${release%%-*}-${version}_amd64.deb ]] ||
		skip "no kernel package: make kernel-packages"
	apt install extfuse initramfs-tools
	[[ -s $R/boot/vmlinuz-$release && -s $R/boot/initrd.img-$release ]]
	in_root depmod -n "$release" >/dev/null
	apt purge 'extfuse*' 'libextfuse*' "linux-image-$release"
	eq "$(ls "$R/boot")" ""
	refuse test -e "$R/lib/modules/$release"
}

t_apt_boot_full() {
	[[ -e $R/repo/linux-image-${release}_${release%%-*}-${version}_amd64.deb ]] ||
		skip "no kernel package: make kernel-packages"
	mount -t tmpfs -o size=10m none "$R/boot"
	refuse apt install "linux-image-$release" >"$T/said" 2>&1
	grep -q 'needs 64 MB in /boot, which has 10 MB' "$T/said"
	refuse grep -qx installed <(in_root dpkg-query -W -f '${db:Status-Status}' "linux-image-$release")
	umount "$R/boot"
}

run_all
