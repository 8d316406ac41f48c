# shellcheck shell=sh
# SPDX-License-Identifier: GPL-2.0-only
# Before the last mount.extfuse goes: unmount, or stay because somebody works there
tac /proc/self/mounts | while read -r _ escaped type _; do
    case $type in fuse.extfuse | extfuse) ;; *) continue ;; esac
    target=$(printf '%b' "$escaped")
    umount "$target" || {
        echo "extfuse-daemon: not removed, because $target is in use; unmount it first" >&2
        exit 1
    }
done || exit 1
