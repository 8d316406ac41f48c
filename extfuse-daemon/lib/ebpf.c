// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Load an ExtFUSE object, and get at its maps and programs.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "ladder.h"

#define DEFAULT_OBJECT "/usr/lib/extfuse/extfuse.o"
#define MODULE_OBJECT "/usr/lib/extfuse/extfuse-ops.o"
#define DEFAULT_ENTRIES 131072

static uint32_t round_pow2(uint32_t n)
{
	uint32_t p = 1;

	while (p < n)
		p <<= 1;
	return p;
}

static int set_rodata(struct ebpf_ctx *ctx, const char *name, const void *value,
		      size_t size)
{
	const char *var = ladder_rodata(ctx, name, size);
	struct bpf_map *map;
	const char *old;
	size_t old_size;
	char *new;
	int err;

	if (!var) {
		ladder_say(ctx, "object %s: no variable %s of %zu bytes in it",
			   ctx->path, name, size);
		return -EPROTO;
	}
	map = bpf_object__find_map_by_name(ctx->obj, ".rodata");
	old = bpf_map__initial_value(map, &old_size);
	new = malloc(old_size);
	if (!new)
		return -ENOMEM;
	memcpy(new, old, old_size);
	memcpy(new + (var - old), value, size);
	err = bpf_map__set_initial_value(map, new, old_size);
	free(new);
	return err;
}

/* One set for every four names; long names and attributes are rarer. */
static int set_sizes(struct ebpf_ctx *ctx, uint32_t entries)
{
	uint32_t sets = entries / EXTFUSE_WAYS;
	const struct {
		enum ebpf_map map;
		const char *mask;
		uint32_t sets;
	} sizes[] = {
		{ EBPF_ENTRY_MAP, "entry_mask", sets },
		{ EBPF_ENTRY_LONG_MAP, "entry_long_mask",
		  sets >= 32 ? sets / 32 : 1 },
		{ EBPF_XATTR_MAP, "xattr_mask", sets >= 4 ? sets / 4 : 1 },
	};
	size_t i;
	int err;

	if (getrandom(&ctx->hash_seed, sizeof(ctx->hash_seed), 0) < 0)
		return -errno;
	err = set_rodata(ctx, "hash_seed", &ctx->hash_seed,
			 sizeof(ctx->hash_seed));
	if (!err)
		err = bpf_map__set_max_entries(ctx->maps[EBPF_ATTR_MAP],
					       entries);
	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]) && !err; i++) {
		uint32_t mask = sizes[i].sets - 1;

		err = set_rodata(ctx, sizes[i].mask, &mask, sizeof(mask));
		if (!err)
			err = bpf_map__set_max_entries(ctx->maps[sizes[i].map],
						       sizes[i].sets);
	}
	return err;
}

static int rung_load(struct ebpf_ctx *ctx)
{
	int err;

	ladder_libbpf_watch();
	err = bpf_object__load(ctx->obj);
	if (err)
		ladder_say(ctx,
			   "object %s: the kernel does not load it: %s (%s)",
			   ctx->path, strerror(-err), ladder_libbpf_line());
	return err;
}

static size_t map_bytes(const struct bpf_map *map)
{
	size_t size = (size_t)bpf_map__value_size(map) *
		      bpf_map__max_entries(map);
	long page = sysconf(_SC_PAGESIZE);

	return (size + page - 1) & ~(page - 1);
}

static int map_memory(struct ebpf_ctx *ctx)
{
	int i;

	for (i = 0; i < EBPF_NUM_MAPS; i++) {
		struct bpf_map *map = ctx->maps[i];

		if (!(bpf_map__map_flags(map) & BPF_F_MMAPABLE))
			continue;
		ctx->mem[i] = mmap(NULL, map_bytes(map),
				   PROT_READ | PROT_WRITE, MAP_SHARED,
				   bpf_map__fd(map), 0);
		if (ctx->mem[i] == MAP_FAILED) {
			ctx->mem[i] = NULL;
			ladder_say(ctx, "map %s of %zu bytes: %s",
				   ladder_map_name(i), map_bytes(map),
				   strerror(errno));
			return -ENOMEM;
		}
	}
	return 0;
}

static void unmap_memory(struct ebpf_ctx *ctx)
{
	int i;

	for (i = 0; i < EBPF_NUM_MAPS; i++)
		if (ctx->mem[i])
			munmap(ctx->mem[i], map_bytes(ctx->maps[i]));
}

static int fill_handlers(struct ebpf_ctx *ctx)
{
	struct bpf_program *prog;
	int op, err;

	bpf_object__for_each_program(prog, ctx->obj) {
		op = ladder_opcode(ctx, bpf_program__section_name(prog));
		if (op < 0)
			continue;
		err = ebpf_ctrl_update(ctx, op, bpf_program__fd(prog));
		if (err)
			return err;
	}
	return 0;
}

/* The kernel waits for running programs when an array of maps changes. */
static int grace_init(struct ebpf_ctx *ctx)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts);

	ctx->grace_inner = bpf_map_create(BPF_MAP_TYPE_ARRAY, "extfuse_grace",
					  sizeof(uint32_t), sizeof(uint32_t), 1,
					  NULL);
	if (ctx->grace_inner < 0)
		return ctx->grace_inner;
	opts.inner_map_fd = ctx->grace_inner;
	ctx->grace_outer = bpf_map_create(BPF_MAP_TYPE_ARRAY_OF_MAPS,
					  "extfuse_grace", sizeof(uint32_t),
					  sizeof(uint32_t), 1, &opts);
	return ctx->grace_outer < 0 ? ctx->grace_outer : ebpf_grace(ctx);
}

int ebpf_grace(struct ebpf_ctx *ctx)
{
	uint32_t key = 0;

	return bpf_map_update_elem(ctx->grace_outer, &key, &ctx->grace_inner,
				   BPF_ANY);
}

static struct ebpf_ctx *ctx_new(const char *path, const struct ebpf_opts *opts,
				enum ebpf_road road)
{
	struct ebpf_ctx *ctx = calloc(1, sizeof(*ctx));

	if (!ctx)
		return NULL;
	ctx->road = road;
	ctx->path = path ? path :
		    road == EBPF_ROAD_MODULE ? MODULE_OBJECT :
		    DEFAULT_OBJECT;
	ctx->ops.btf_fd = ctx->ops.link_fd = -1;
	ctx->log = opts ? opts->log : NULL;
	ctx->grace_inner = ctx->grace_outer = -1;
	return ctx;
}

int ebpf_check(const char *path, const struct ebpf_opts *opts)
{
	struct ebpf_ctx *ctx = ctx_new(path, opts, ebpf_road(false));
	int err = ctx ? ladder_object(ctx) : -ENOMEM;

	ebpf_fini(ctx);
	return err;
}

static int climb(struct ebpf_ctx *ctx, uint32_t entries, uint64_t attr_timeout)
{
	int err = ladder_object(ctx);

	if (!err)
		err = ladder_kernel(ctx);
	if (!err)
		err = set_sizes(ctx, entries);
	if (!err)
		err = set_rodata(ctx, "attr_timeout", &attr_timeout,
				 sizeof(attr_timeout));
	if (!err)
		err = rung_load(ctx);
	if (!err)
		err = map_memory(ctx);
	if (!err)
		err = fill_handlers(ctx);
	if (!err)
		err = grace_init(ctx);
	return err;
}

static int load(struct ebpf_ctx *ctx, uint32_t entries, uint64_t attr_timeout)
{
	int err, handler;

	if (ctx->road != EBPF_ROAD_MODULE)
		return climb(ctx, entries, attr_timeout);
	handler = ops_register(ctx);
	if (handler < 0)
		return handler;
	err = climb(ctx, entries, attr_timeout);
	libbpf_unregister_prog_handler(handler);
	return err;
}

int ebpf_init(const char *path, const struct ebpf_opts *opts,
	      struct ebpf_ctx **ctxp)
{
	uint32_t entries = opts && opts->max_entries ? opts->max_entries :
						       DEFAULT_ENTRIES;
	struct ebpf_ctx *ctx;
	int err;

	if ((opts && opts->size < sizeof(*opts)) || entries < EBPF_MIN_ENTRIES ||
	    entries > EBPF_MAX_ENTRIES)
		return -EINVAL;
	ctx = ctx_new(path, opts, ebpf_road(true));
	if (!ctx)
		return -ENOMEM;
	err = load(ctx, round_pow2(entries), opts ? opts->attr_timeout : 0);
	if (err) {
		ebpf_fini(ctx);
		return err;
	}
	*ctxp = ctx;
	return 0;
}

void ebpf_fini(struct ebpf_ctx *ctx)
{
	if (!ctx)
		return;
	unmap_memory(ctx);
	ops_close(&ctx->ops);
	if (ctx->grace_outer >= 0)
		close(ctx->grace_outer);
	if (ctx->grace_inner >= 0)
		close(ctx->grace_inner);
	bpf_object__close(ctx->obj);
	free(ctx);
}

int ebpf_prog_fd(const struct ebpf_ctx *ctx)
{
	return bpf_program__fd(ctx->main_prog);
}

int ebpf_data_next(struct ebpf_ctx *ctx, enum ebpf_map map, const void *key,
		   void *next)
{
	return bpf_map_get_next_key(bpf_map__fd(ctx->maps[map]), key, next);
}

int ebpf_data_lookup(struct ebpf_ctx *ctx, enum ebpf_map map, const void *key,
		     void *value)
{
	return bpf_map_lookup_elem(bpf_map__fd(ctx->maps[map]), key, value);
}

int ebpf_data_update(struct ebpf_ctx *ctx, enum ebpf_map map, const void *key,
		     const void *value, uint64_t flags)
{
	return bpf_map_update_elem(bpf_map__fd(ctx->maps[map]), key, value,
				   flags);
}

int ebpf_data_delete(struct ebpf_ctx *ctx, enum ebpf_map map, const void *key)
{
	return bpf_map_delete_elem(bpf_map__fd(ctx->maps[map]), key);
}

int ebpf_ctrl_update(struct ebpf_ctx *ctx, uint32_t opcode, int prog_fd)
{
	return bpf_map_update_elem(bpf_map__fd(ctx->handlers), &opcode,
				   &prog_fd, BPF_ANY);
}

int ebpf_ctrl_delete(struct ebpf_ctx *ctx, uint32_t opcode)
{
	return bpf_map_delete_elem(bpf_map__fd(ctx->handlers), &opcode);
}

uint32_t ebpf_map_max(const struct ebpf_ctx *ctx, enum ebpf_map map)
{
	return bpf_map__max_entries(ctx->maps[map]);
}

void *ebpf_map_mem(const struct ebpf_ctx *ctx, enum ebpf_map map)
{
	return ctx->mem[map];
}

uint64_t ebpf_hash_seed(const struct ebpf_ctx *ctx)
{
	return ctx->hash_seed;
}

int ebpf_counts(struct ebpf_ctx *ctx, uint32_t opcode,
		struct extfuse_count *sum)
{
	int cpus = libbpf_num_possible_cpus();
	struct extfuse_count *counts;
	int i, err;

	if (cpus < 0)
		return cpus;
	counts = calloc(cpus, sizeof(*counts));
	if (!counts)
		return -ENOMEM;
	err = ebpf_data_lookup(ctx, EBPF_STATS_MAP, &opcode, counts);
	if (err)
		goto out;
	memset(sum, 0, sizeof(*sum));
	for (i = 0; i < cpus; i++) {
		sum->served += counts[i].served;
		sum->upcall += counts[i].upcall;
		sum->passthru += counts[i].passthru;
		sum->error += counts[i].error;
		sum->stale += counts[i].stale;
	}
out:
	free(counts);
	return err;
}
