#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# shellcheck disable=SC2016 # dpkg's formats; quoted for another shell
# apt-get install from build/repo/apt in a Debian 12 of its own; the manual pages' examples with what
# was installed; upgrade, downgrade, removal, purge.  The kernel is the host's: plain FUSE.
# shellcheck source=packaging/tests/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=packaging/tests/root.sh
. "$here/root.sh"

# All that is there but for logs, caches and the package manager's own data
snapshot() {
	(cd "$R" && find . -xdev ! -path './var/lib/dpkg/*' ! -path './var/lib/apt/*' ! -path './var/log/*' \
		! -path './var/cache/*' ! -path './tmp/*' ! -path './repo*' ! -path './run/*' | sort)
}
installed() { in_root dpkg-query -W -f '${Version}' "$1"; }
# What a mount says on a kernel without ExtFUSE, and on the host if it is one with it
plain() { [[ -e /sys/fs/fuse/extfuse_abi ]] || eq "$(grep -c '^mount.extfuse: .*plain FUSE$' "$1")" 1; }
# examples PAGE: the lines of its .EX blocks
examples() {
	gzip -dc "$R/usr/share/man/man${1##*.}/$1.gz" | sed -n '/^\.EX/,/^\.EE/{/^\./d;s/\\-/-/g;s/\\e/\\/g;p}'
}

root_unpack initramfs "$small"
root_repo "${REPO:-$top/build/repo/apt}" "${OLD:-$top/build/old}/deb"

t_apt_install() {
	snapshot >"$T/before"
	apt install extfuse-daemon libextfuse-dev
	eq "$(installed extfuse-bpf)" "$version"
	eq "$(in_root mount.extfuse --version)" "mount.extfuse $version (ABI $abi)"
	eq "$(in_root dpkg --verify 'extfuse*' 'libextfuse*' | grep -v /usr/share/)" ""
	echo hello >"$R/srv/data/f"
}

t_apt_example_mount() {
	local line
	examples mount.extfuse.8 | grep '^mount ' >"$T/lines"
	examples extfuse-stat.8 | grep '^extfuse-stat ' >"$T/stat"
	(($(wc -l <"$T/lines") >= 2 && $(wc -l <"$T/stat") >= 2))
	while read -r line; do
		if [[ $line == *=require* && ! -e /sys/fs/fuse/extfuse_abi ]]; then
			refuse in_root sh -c "$line" 2>"$T/said"
			said 'no ExtFUSE'
			continue
		fi
		in_root sh -c "$line" 2>"$T/warning"
		plain "$T/warning"
		eq "$(cat "$R/mnt/data/f")" hello
		in_root sh -ec "$(cat "$T/stat")"
		in_root umount /mnt/data
	done <"$T/lines"
}

t_apt_example_fstab() {
	local line n=0
	cp "$R/etc/fstab" "$T/fstab"
	{ examples mount.extfuse.8; examples extfuse.7; } | grep '^/srv/data  */mnt/data ' >"$T/lines"
	while read -r line; do
		{ cat "$T/fstab"; echo "$line"; } >"$R/etc/fstab"
		in_root mount /mnt/data
		eq "$(in_root findmnt -rno SOURCE,FSTYPE /mnt/data)" "/srv/data fuse.extfuse"
		eq "$(cat "$R/mnt/data/f")" hello
		eq "$(in_root df --output=source,target /mnt/data | tail -n 1 | xargs)" "/srv/data /mnt/data"
		in_root umount /mnt/data
		if [[ $line != *noauto* ]]; then
			in_root mount -a
			in_root umount /mnt/data
		fi
		n=$((n + 1))
	done <"$T/lines"
	cp "$T/fstab" "$R/etc/fstab"
	((n >= 4))
}

t_apt_upgrade_while_mounted() {
	apt install {extfuse-daemon,extfuse-bpf,libextfuse0,libextfuse-dev}=0.0.9
	eq "$(installed extfuse-bpf)" 0.0.9
	eq "$(in_root mount.extfuse --version)" "mount.extfuse 0.0.9 (ABI $((abi - 1)))"
	in_root mount -t extfuse -o extfuse=off /srv/data /mnt/data
	apt upgrade
	eq "$(installed extfuse-bpf) $(installed extfuse-daemon)" "$version $version"
	eq "$(cat "$R/mnt/data/f")" hello
	in_root umount /mnt/data
}

# One without the other does not stay; while it does, the object is refused by name and number
t_apt_mismatch() {
	refuse apt install "extfuse-bpf=0.0.9" extfuse-daemon="$version" >"$T/said" 2>&1
	said "extfuse-daemon : Depends: extfuse-bpf (= $version)"
	# dpkg alone lets it happen
	in_root dpkg -i /repo/extfuse-bpf_0.0.9_amd64.deb
	in_root mount -t extfuse /srv/data /mnt/data 2>"$T/said" || fail "$(cat "$T/said")"
	said "extfuse.o: ABI $((abi - 1)), this program needs ABI $abi: .*plain FUSE"
	eq "$(wc -l <"$T/said") $(cat "$R/mnt/data/f")" "1 hello"
	in_root umount /mnt/data
	refuse in_root mount -t extfuse -o extfuse=require /srv/data /mnt/data 2>"$T/said"
	said "ABI $((abi - 1)), this program needs ABI $abi"
	refuse in_root findmnt /mnt/data
	# apt says so and mends it; its cache knows a change within a second by the size only
	rm -f "$R"/var/cache/apt/*.bin
	refuse apt check >"$T/said" 2>&1
	said ' : Depends: extfuse-bpf (= '
	apt -f install
	eq "$(installed extfuse-bpf)" "$version"
}

t_apt_half_installed() {
	in_root dpkg --force-depends -r extfuse-bpf
	in_root mount -t extfuse /srv/data /mnt/data 2>"$T/said" || fail "$(cat "$T/said")"
	said '/usr/lib/extfuse/extfuse.o: No such file or directory.*plain FUSE'
	eq "$(wc -l <"$T/said") $(cat "$R/mnt/data/f")" "1 hello"
	in_root umount /mnt/data
	apt -f install
	eq "$(installed extfuse-bpf)" "$version"
}

t_apt_remove_while_mounted() {
	mkdir "$R/mnt/a \\ b"
	in_root mount -t extfuse -o extfuse=off /srv/data '/mnt/a \ b'
	in_root mount -t extfuse -o extfuse=off /srv/data /mnt/data
	exec 8<"$R/mnt/data/f"
	refuse apt remove extfuse-daemon >"$T/said" 2>&1
	said 'extfuse-daemon: not removed, because /mnt/data is in use'
	eq "$(cat <&8)" hello
	exec 8<&-
	apt remove extfuse-daemon
	refuse grep -q "$R/mnt/" /proc/mounts
	refuse test -e "$R/usr/sbin/mount.extfuse"
	rmdir "$R/mnt/a \\ b"
}

t_apt_purge() {
	apt purge 'extfuse*' 'libextfuse*'
	apt autoremove --purge
	rm -f "$R/srv/data/f"
	# ldconfig's, /etc/ld.so.cache, is Debian's own
	snapshot | diff "$T/before" -
}

run_all
