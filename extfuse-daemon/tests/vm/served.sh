#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# What the kernel answers, and that it is the truth.
. "$(dirname "$0")/lib.sh"

objects=${EXTFUSE_TEST_OBJECTS:-20000}

# share OP BEFORE AFTER: per mille served of the requests between two counters
share() {
	jq -n --arg op "$1" --argjson a "$2" --argjson b "$3" '
		(($b[$op].served // 0) - ($a[$op].served // 0)) as $s
		| (($b[$op].upcall // 0) - ($a[$op].upcall // 0)) as $u
		| if $s + $u == 0 then -1 else ($s * 1000 / ($s + $u) | floor) end'
}

test_second_pass_needs_no_daemon() {
	local before after op n
	tree make "$lower" "$objects" || return
	xmount || return
	tree walk "$mnt" >/tmp/first || return
	drop
	before=$(counters)
	tree walk "$mnt" >/tmp/second || return
	after=$(counters)
	drop
	tree walk "$lower" >/tmp/truth || return
	cmp /tmp/truth /tmp/first || fail "first pass differs from the lower directory" || return
	cmp /tmp/truth /tmp/second || fail "second pass differs from the lower directory" || return
	for op in LOOKUP GETATTR READLINK GETXATTR; do
		n=$(share "$op" "$before" "$after")
		echo "$op: $n per mille served"
		((n >= 990)) || fail "$op: $n per mille served: $(jq -c ".$op" <<<"$before") $(jq -c ".$op" <<<"$after")" || return
	done
	xumount
}

test_negative_names_are_served() {
	local before i
	xmount || return
	stat "$mnt/nothing" 2>/dev/null && return 1
	drop
	before=$(counter LOOKUP upcall)
	for ((i = 0; i < 20; i++)); do
		stat "$mnt/nothing" 2>/dev/null && return 1
		drop
	done
	(($(counter LOOKUP upcall) == before)) || fail "negative look-ups reached the daemon" || return
	touch "$mnt/nothing"
	stat "$mnt/nothing" || fail "a negative row hides a new file"
}

test_caches_dropped_leave_few_nodes() {
	local n
	tree make "$lower" 500
	xmount "max_entries=64" || return
	tree walk "$mnt" >/dev/null
	drop
	sleep 1
	n=$(extfuse-stat --json "$mnt" | jq .nodes.total)
	((n <= 64 + 16)) || fail "$n nodes remain with 64 entries" || return
}

test_tiny_map_is_only_slow() {
	tree make "$lower" 1000
	xmount "max_entries=16" || return
	tree walk "$mnt" >/tmp/a && tree walk "$mnt" >/tmp/b && tree walk "$lower" >/tmp/c
	cmp /tmp/a /tmp/c && cmp /tmp/b /tmp/c
}

run_tests
