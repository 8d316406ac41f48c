// SPDX-License-Identifier: GPL-2.0-only
/*
 * Statistics: what the kernel answered and what came up to the daemon.
 */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "stackfs.h"

#define NS 1000000000ULL

void stat_count(struct stackfs *fs, uint32_t opcode)
{
	if (opcode < STACKFS_MAX_OPS)
		atomic_fetch_add_explicit(&fs->ops[opcode], 1,
					  memory_order_relaxed);
}

/* Opcodes that no program sees, but the daemon does. */
static const struct {
	const char *name;
	uint32_t opcode;
} other_ops[] = {
	{ "FORGET", FUSE_FORGET },	   { "RELEASE", FUSE_RELEASE },
	{ "RELEASEDIR", FUSE_RELEASEDIR }, { "INTERRUPT", FUSE_INTERRUPT },
	{ "BATCH_FORGET", FUSE_BATCH_FORGET },
};

static void add_op(struct stackfs *fs, json_t *ops, const char *name,
		   uint32_t opcode)
{
	struct extfuse_count c = { 0 };

	if (fs->ebpf)
		ebpf_counts(fs->ebpf, opcode, &c);
	json_object_set_new(ops, name, json_pack("{sI sI sI sI sI}",
		"served", (json_int_t)c.served,
		"upcall", (json_int_t)atomic_load(&fs->ops[opcode]),
		"passthru", (json_int_t)c.passthru,
		"error", (json_int_t)c.error,
		"stale", (json_int_t)c.stale));
}

static json_t *ops_json(struct stackfs *fs)
{
	json_t *ops = json_object();
	size_t i;

#define ADD(name, number, policy, arg, arg2) add_op(fs, ops, #name, number);
	EXTFUSE_OPS(ADD)
#undef ADD
	for (i = 0; i < sizeof(other_ops) / sizeof(other_ops[0]); i++)
		add_op(fs, ops, other_ops[i].name, other_ops[i].opcode);
	return ops;
}

static json_t *maps_json(const struct stackfs *fs)
{
	static const struct {
		const char *name;
		enum ebpf_map map;
	} list[] = {
		{ "entry_map", EBPF_ENTRY_MAP },
		{ "entry_long_map", EBPF_ENTRY_LONG_MAP },
		{ "attr_map", EBPF_ATTR_MAP },
		{ "xattr_map", EBPF_XATTR_MAP },
	};
	json_t *maps = json_object();
	struct cache_usage u = { 0 };
	size_t i;

	for (i = 0; i < sizeof(list) / sizeof(list[0]); i++) {
		if (fs->cache)
			u = cache_usage(fs->cache, list[i].map);
		json_object_set_new(maps, list[i].name, json_pack("{sI sI}",
			"used", (json_int_t)u.used,
			"max", (json_int_t)u.max));
	}
	return maps;
}

/* JSON is UTF-8, paths need not be. */
static json_t *path_json(const char *path)
{
	json_t *s = json_string(path);
	char *copy, *p;

	if (s)
		return s;
	copy = strdup(path);
	for (p = copy; p && *p; p++)
		if (*p & 0x80)
			*p = '?';
	s = json_string(copy);
	free(copy);
	return s;
}

char *stat_json(struct stackfs *fs)
{
	struct nodes_usage u = nodes_usage(&fs->nodes);
	struct extfuse_status st = { 0 };
	int abi = ebpf_kernel_abi();
	char *text;
	json_t *j;

	if (fs->ebpf)
		session_status(fs, &st);
	j = json_pack("{so ss si so ss ss sb sI sI so so s{sI sI sI sI} s{ss sb sI sI} s{sf sf sf}}",
		"mount", path_json(fs->opts.mountpoint),
		"version", EXTFUSE_VERSION,
		"abi", EXTFUSE_ABI,
		"kernel_abi", abi < 0 ? json_null() : json_integer(abi),
		"mode", st.attached ? "extfuse" : "plain",
		"road", ebpf_road_name(st.attached ? fs->road : EBPF_ROAD_NONE),
		"passthrough", fs->passthrough,
		"rejected", (json_int_t)st.rejected,
		"lower_flags", (json_int_t)fs->st_flags,
		"ops", ops_json(fs),
		"maps", maps_json(fs),
		"nodes",
		"total", (json_int_t)u.total,
		"rowless", (json_int_t)u.rowless,
		"pinned", (json_int_t)u.pinned,
		"fds", (json_int_t)u.fds,
		"watch",
		"mode", fs->watch.running ? "on" :
			fs->opts.exclusive ? "exclusive" : "off",
		"on", fs->watch.running,
		"events", (json_int_t)atomic_load(&fs->watch.events),
		"overflows", (json_int_t)atomic_load(&fs->watch.overflows),
		"timeouts",
		"attr", (double)fs->opts.attr_timeout / NS,
		"entry", (double)fs->opts.entry_timeout / NS,
		"negative", (double)fs->opts.negative_timeout / NS);
	text = j ? json_dumps(j, JSON_COMPACT) : NULL;
	json_decref(j);
	return text;
}
