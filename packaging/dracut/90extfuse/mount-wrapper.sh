#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# mount.extfuse of the initramfs.
#
# The daemon has to live on after the switch to the real root.  So it runs in
# that root, where its paths stay true, from copies in /run, which is carried
# over; and its name begins with @, which systemd does not kill at the switch.
root=${NEWROOT:-/sysroot}
stage=/run/extfuse/initramfs

lower=$1 mountpoint=$2
shift 2 || { echo 'usage: mount.extfuse LOWER MOUNTPOINT [-o OPTION,...]' >&2; exit 1; }
if [[ $mountpoint != "$root"/* ]]; then
	echo "mount.extfuse: $mountpoint is not in the real root, $root" >&2
	exit 32
fi
mountpoint=${mountpoint#"$root"}
[[ $lower != "$root"/* ]] || lower=${lower#"$root"}

if [[ ! -e $stage/@mount.extfuse ]]; then
	mkdir -p "$stage" &&
		cp -aL /usr/lib/extfuse/lib /usr/lib/extfuse/extfuse.o "$stage/" &&
		cp -a /usr/lib/extfuse/mount.extfuse "$stage/@mount.extfuse" || exit 2
fi
for dir in proc sys dev run; do
	mountpoint -q "$root/$dir" || mount --rbind "/$dir" "$root/$dir" || exit 2
done

options=object=$stage/extfuse.o
args=()
while (($#)); do
	if [[ $1 == -o && $# -gt 1 ]]; then
		options+=,$2
		shift
	else
		args+=("$1")
	fi
	shift
done
PATH=$stage:$PATH LD_LIBRARY_PATH=$stage/lib \
	exec chroot "$root" @mount.extfuse "$lower" "$mountpoint" "${args[@]}" -o "$options"
