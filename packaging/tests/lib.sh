# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# Sourced by the tests.  t_NAME is a test, run in a subshell under set -e;
# exit 77 with a line on standard output is a skip.
set -uo pipefail
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
# shellcheck disable=SC2034 # for those who source this
here=$top/packaging/tests version=$(<"$top/VERSION")
# shellcheck disable=SC2034 # likewise
debs=${DEBS:-$top/build/deb}
# shellcheck disable=SC2034 # likewise
rpms=${RPMS:-$top/build/rpm}
# shellcheck disable=SC2034 # likewise
abi=$(sed -n 's/^#define EXTFUSE_ABI\t*\([0-9]*\)$/\1/p' "$top/kernel/src/include/uapi/linux/extfuse.h")
T=$(mktemp -d "${TMPDIR:-/var/tmp}/extfuse-packages.XXXXXX")
passed=0 failed=0 skipped=0
export LC_ALL=C

cleanup() {
	cd /
	# the longest first: mounts inside of mounts
	awk -v t="$T/" 'index($2, t) == 1 { print $2 }' /proc/mounts | sort -r | while read -r m; do
		umount -l "$(printf '%b' "$m")"
	done
	rm -rf --one-file-system "$T"
}
trap cleanup EXIT

skip() { echo "$*"; exit 77; }
# whatever the output is redirected to where it is called
fail() { echo "$*" >>"$T/out"; exit 1; }
eq() { [[ $1 == "$2" ]] || fail "got '$1', not '$2'"; }
# refuse COMMAND...: it fails ("! COMMAND" would not end a test, whatever it does)
refuse() { if "$@"; then fail "did not fail: $*"; fi; }
# said PATTERN: it is in what the last command said
said() { grep -q -- "$1" "$T/said" || fail "no '$1' in: $(cat "$T/said")"; }

run() {
	local rc why
	# no "||" or "if" around it, which would switch set -e off
	: >"$T/out"
	(set -e; "t_$1") >>"$T/out" 2>&1
	rc=$?
	why=$(tail -n 12 "$T/out")
	case $rc in
	0)	echo "ok $1"; passed=$((passed + 1)) ;;
	77)	echo "SKIP $1: $why"; skipped=$((skipped + 1)) ;;
	*)	echo "FAIL $1: $why"; failed=$((failed + 1)) ;;
	esac
}

run_all() {
	local name
	# shellcheck disable=SC2013 # words
	for name in $(sed -n 's/^t_\([a-z_0-9]*\)().*$/\1/p' "$0"); do
		# ONLY: a pattern of the tests to run
		# shellcheck disable=SC2053 # a pattern
		[[ $name != ${ONLY:-*} ]] || run "$name"
	done
	echo "$passed passed, $failed failed, $skipped skipped"
	((failed == 0))
}
