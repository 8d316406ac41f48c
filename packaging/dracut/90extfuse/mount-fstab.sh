#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# dracut pre-pivot hook: the extfuse lines of the real root's fstab that have
# x-initrd.mount.  With systemd in the initramfs they are mounted already.

extfuse_fstab() {
	while read -r source target type options _; do
		case $type:,$options, in
		extfuse:*,x-initrd.mount,* | fuse.extfuse:*,x-initrd.mount,*) ;;
		*) continue ;;
		esac
		# fstab has a space as \040
		source=$(printf '%b' "$source") target=$(printf '%b' "$target")
		! mountpoint -q "$NEWROOT$target" || continue
		mount -t extfuse -o "$options" "$source" "$NEWROOT$target" ||
			warn "ExtFUSE: $target is not mounted"
	done
}

[ ! -e "$NEWROOT/etc/fstab" ] || extfuse_fstab <"$NEWROOT/etc/fstab"
