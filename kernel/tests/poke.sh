#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# K1: StackFS mounted with ExtFUSE while random words are written into its maps
# usage: poke.sh [SECONDS [SEED]]
. "$(dirname "$0")/../../extfuse-daemon/tests/vm/lib.sh"

seconds=${1:-8}
seed=${2:-$RANDOM}

test_random_words_in_the_maps() {
	local d i rc=0
	for d in d0 d1; do
		mkdir "$lower/$d"
		for ((i = 0; i < 16; i++)); do echo "$d $i" >"$lower/$d/f$i"; done
		for ((i = 0; i < 4; i++)); do ln -s "f$i" "$lower/$d/l$i"; done
	done
	xmount max_entries=256 || return
	find "$mnt" -exec stat {} + >/dev/null
	poke "$mnt" "$seconds" "$seed" >/tmp/poked || rc=$?
	pkill -KILL -x mount.extfuse
	umount -l "$mnt"
	((rc == 0)) || fail "poke could not: $(</tmp/poked)" || return
	echo "# poke.sh: $(</tmp/poked)" >&3
	# the next mount has maps of its own
	sleep 1
	xmount || fail "no mount after it" || return
	[[ $(<"$mnt/d0/f9") == "$(<"$lower/d0/f9")" ]] || fail "a new mount is wrong"
}

exec 3>&1
run_tests
