#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# dracut: ExtFUSE mounts before the switch to the real root.
#
# Put into the initramfs when asked for (add_dracutmodules+=" extfuse ") or when
# fstab has an extfuse line with x-initrd.mount.

# shellcheck disable=SC2154 # moddir, initdir, systemdutildir: dracut's

check() {
	require_binaries mount.extfuse || return 1
	[[ -e /usr/lib/extfuse/extfuse.o ]] || return 1
	findmnt --fstab --noheadings -t extfuse,fuse.extfuse -O x-initrd.mount -o TARGET >/dev/null 2>&1 &&
		return 0
	return 255
}

depends() {
	echo bash
}

installkernel() {
	hostonly='' instmods fuse
}

install() {
	local lib

	inst_multiple chroot mount mountpoint mkdir cp
	inst_simple /usr/lib/extfuse/extfuse.o
	inst_binary /usr/sbin/mount.extfuse /usr/lib/extfuse/mount.extfuse
	# The daemon's libraries but for the C library, which is the real root's:
	# the daemon runs there, see mount-wrapper.sh
	while read -r lib; do
		inst_simple "$lib" "/usr/lib/extfuse/lib/${lib##*/}"
	done < <(ldd /usr/sbin/mount.extfuse |
		sed -n 's/^[[:space:]]*lib[^ ]* => \(\/[^ ]*\) .*/\1/p' |
		grep -vE '/lib(c|m|pthread|dl|rt|resolv)\.so')
	inst_script "$moddir/mount-wrapper.sh" /usr/sbin/mount.extfuse
	ln_r /usr/sbin/mount.extfuse /usr/sbin/mount.fuse.extfuse
	inst_hook pre-pivot 50 "$moddir/mount-fstab.sh"
}
