#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# dracut pre-pivot hook: the extfuse lines of the real root's fstab that have
# x-initrd.mount.  With systemd in the initramfs they are mounted already.

extfuse_fstab() {
	while read -r source target options; do
		! mountpoint -q "$NEWROOT$target" || continue
		mount -t extfuse -o "$options" "$source" "$NEWROOT$target" ||
			warn "ExtFUSE: $target is not mounted"
	done
}

[ ! -e "$NEWROOT/etc/fstab" ] ||
	findmnt --tab-file "$NEWROOT/etc/fstab" -rn -t extfuse,fuse.extfuse -O x-initrd.mount \
		-o SOURCE,TARGET,OPTIONS | extfuse_fstab
