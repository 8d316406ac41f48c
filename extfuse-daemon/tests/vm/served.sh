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

# A node beyond the end of the map has no row, but its lower file all the same
test_files_beyond_the_map() {
	local r w
	tree make "$lower" 200
	echo data >"$lower/last"
	xmount "max_entries=16" || return
	tree walk "$mnt" >/dev/null
	(($(extfuse-stat --json "$mnt" | jq .nodes.rowless) > 100)) ||
		fail "all have rows: $(extfuse-stat "$mnt")" || return
	r=$(counter READ upcall) w=$(counter WRITE upcall)
	dd if=/dev/zero of="$mnt/last" bs=4k count=64 || return
	cmp -n 262144 "$mnt/last" /dev/zero || return
	r=$(($(counter READ upcall) - r)) w=$(($(counter WRITE upcall) - w))
	((r == 0 && w == 0)) || fail "daemon saw $r reads and $w writes" || return
	(($(counter WRITE passthru) >= 64)) || fail "not counted: $(counters)" || return
	cmp <(stat -c '%s %b %y' "$mnt/last") <(stat -c '%s %b %y' "$lower/last") || return
	python3 - "$mnt/last" <<-EOF || return
		import mmap, os, sys, time
		f = open(sys.argv[1], 'r+b')
		m = mmap.mmap(f.fileno(), 4096)
		for i in range(3):
		    time.sleep(0.1)
		    m[i] = 1
		    m.flush()
		    os.fsync(f.fileno())
		    a, b = os.stat(sys.argv[1]), os.stat(sys.argv[1].replace('/mnt/', '/lower/'))
		    assert a.st_mtime_ns == b.st_mtime_ns, (i, a, b)
	EOF
}

# At most a 64th of memory; where that is enough for more than usual (--mem 8192), twice
# the inodes below
test_default_entries() {
	local most n=131072 files=10
	most=$(awk '/^MemTotal/ { print int($2 * 1024 / 64 / 360) }' /proc/meminfo)
	while ((n > most)); do n=$((n / 2)); done
	((most < 262144)) || n=262144 files=70000
	mkdir "$lower/t"
	mount -t tmpfs -o nr_inodes=200000 none "$lower/t" || return
	python3 -c "for i in range($files): open('$lower/t/%d' % i, 'x')" || return
	mount.extfuse "$lower/t" "$mnt" -o "extfuse=require,object=$object" || return
	files=$(extfuse-stat --json "$mnt" | jq .maps.attr_map.max)
	umount "$mnt"
	lower_umount "$lower/t"
	((files == n)) || fail "$files entries, not $n"
}

run_tests
