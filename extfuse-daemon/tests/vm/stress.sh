#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# The differential stress, briefly and always with the same seeds; deep-stress.sh
# goes on from there.
set -uo pipefail
top=$(cd "$(dirname "$0")/../../.." && pwd)
export TMPDIR=/scratch
failed=0
"$top/tools/stress" --seed 1 --ops 400 pt:3600:131072 npt:1:16 || failed=1
"$top/tools/stress" --seed 3 --ops 800 --procs 3 pt:3600:131072 || failed=1
"$top/tools/stress" --seed 4 --ops 300 --procs 3 wb:1:16 || failed=1
exit $failed
