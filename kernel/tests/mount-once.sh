#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# One cycle of tests/cycles with StackFS, which is used a little; quiet if all is well
. "$(dirname "$0")/../../extfuse-daemon/tests/vm/lib.sh"

mkdir -p "$lower" "$mnt"
xmount max_entries=256 || exit
echo data >"$mnt/f" && [[ $(<"$mnt/f") == data ]] && ls -l "$mnt" >/dev/null && rm "$mnt/f" || exit
xumount || exit
# its daemon ends a moment later
for _ in {1..100}; do
	pgrep -x mount.extfuse >/dev/null || exit 0
	sleep 0.1
done
exit 1
