#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# The differential stress over all combinations, and what it finds in a daemon
# that breaks the rules.  EXTFUSE_STRESS_OPS: for each of the combinations;
# EXTFUSE_STRESS_SEED: of the first one.
set -uo pipefail
top=$(cd "$(dirname "$0")/../../.." && pwd)
export TMPDIR=/scratch
ops=${EXTFUSE_STRESS_OPS:-4000}
seed=${EXTFUSE_STRESS_SEED:-$(date +%s)}
failed=0
"$top/tools/stress-mutations" run || failed=1
"$top/tools/stress" --seed "$seed" --ops "$ops" || failed=1
"$top/tools/stress" --seed "$((seed + 1000))" --ops "$ops" --procs 4 || failed=1
# plain FUSE on this kernel, as the benchmark has it
EXTFUSE_STRESS_OPTIONS=extfuse=off \
	"$top/tools/stress" --seed "$((seed + 2000))" --ops "$ops" --procs 4 {pt,npt}:{0,1,3600}:16 || failed=1
exit $failed
