// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Open, check and load an ExtFUSE object.
 *
 * Each rung of the version ladder is one function with one message.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>

#include "ebpf.h"

#define DEFAULT_OBJECT	"/usr/lib/extfuse/extfuse.o"
#define KERNEL_ABI_FILE	"/sys/fs/fuse/extfuse_abi"
#define DEFAULT_ENTRIES	131072
#define MIN_ENTRIES	16
#define MAX_ENTRIES	(1U << 24)

struct map_desc {
	const char *name;
	uint32_t value_size;
};

static const struct map_desc map_descs[EBPF_NUM_MAPS] = {
	[EBPF_ATTR_MAP] = { "attr_map", sizeof(struct extfuse_node) },
	[EBPF_ENTRY_MAP] = { "entry_map", sizeof(struct extfuse_entry_set) },
	[EBPF_ENTRY_LONG_MAP] = { "entry_long_map",
				  sizeof(struct extfuse_entry_long_set) },
	[EBPF_XATTR_MAP] = { "xattr_map", sizeof(struct extfuse_xattr_set) },
	[EBPF_STATS_MAP] = { "stats_map", sizeof(struct extfuse_count) },
};

struct ebpf_ctx {
	const char *path;
	void (*log)(const char *line);
	struct bpf_object *obj;
	struct bpf_map *maps[EBPF_NUM_MAPS];
	void *mem[EBPF_NUM_MAPS];
	struct bpf_map *handlers;
	struct bpf_program *main_prog;
	uint64_t hash_seed;
	int grace_outer;
	int grace_inner;
};

/* libbpf reports through one hook of the whole process. */
static char libbpf_line[256];

static int keep_libbpf_line(enum libbpf_print_level level, const char *fmt,
			    va_list ap)
{
	if (level == LIBBPF_WARN && !libbpf_line[0])
		vsnprintf(libbpf_line, sizeof(libbpf_line), fmt, ap);
	return 0;
}

__attribute__((format(printf, 2, 3)))
static void say(const struct ebpf_ctx *ctx, const char *fmt, ...)
{
	char line[512];
	va_list ap;

	if (!ctx->log)
		return;
	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	line[strcspn(line, "\n")] = '\0';
	ctx->log(line);
}

const char *ebpf_op_name(uint32_t opcode)
{
	static const char *const names[EXTFUSE_MAX_OPS] = {
#define EXTFUSE_OP(op, nr, policy, name1, name2) [nr] = #op,
		EXTFUSE_OPS(EXTFUSE_OP)
#undef EXTFUSE_OP
	};

	return opcode < EXTFUSE_MAX_OPS ? names[opcode] : NULL;
}

int ebpf_kernel_abi(void)
{
	FILE *f = fopen(KERNEL_ABI_FILE, "re");
	int abi;

	if (!f)
		return -EOPNOTSUPP;
	if (fscanf(f, "%d", &abi) != 1 || abi < 0)
		abi = -EOPNOTSUPP;
	fclose(f);
	return abi;
}

static int rung_open(struct ebpf_ctx *ctx)
{
	struct stat st;
	int err;

	if (stat(ctx->path, &st) < 0) {
		err = -errno;
		say(ctx, "object %s: %s", ctx->path, strerror(-err));
		return err;
	}
	if (!S_ISREG(st.st_mode)) {
		say(ctx, "object %s: not a regular file", ctx->path);
		return -ENOEXEC;
	}
	libbpf_line[0] = '\0';
	ctx->obj = bpf_object__open_file(ctx->path, NULL);
	err = libbpf_get_error(ctx->obj);
	if (!err)
		return 0;
	ctx->obj = NULL;
	say(ctx, "object %s: not a BPF object, or cut short: %s", ctx->path,
	    libbpf_line[0] ? libbpf_line : strerror(-err));
	return err == -ENOMEM ? err : -ENOEXEC;
}

/* A variable of the object's .rodata, before it is loaded. */
static const void *rodata_var(struct ebpf_ctx *ctx, const char *name, size_t size)
{
	const struct btf *btf = bpf_object__btf(ctx->obj);
	const struct btf_var_secinfo *var;
	const struct btf_type *sec;
	struct bpf_map *map;
	const char *mem;
	size_t mem_size;
	int id, i;

	map = bpf_object__find_map_by_name(ctx->obj, ".rodata");
	id = btf ? btf__find_by_name_kind(btf, ".rodata", BTF_KIND_DATASEC) : -1;
	if (!map || id < 0)
		return NULL;
	mem = bpf_map__initial_value(map, &mem_size);
	sec = btf__type_by_id(btf, id);
	var = btf_var_secinfos(sec);
	for (i = 0; mem && i < btf_vlen(sec); i++, var++) {
		const struct btf_type *t = btf__type_by_id(btf, var->type);

		if (strcmp(btf__name_by_offset(btf, t->name_off), name) == 0)
			return var->size == size &&
			       var->offset + size <= mem_size ?
			       mem + var->offset : NULL;
	}
	return NULL;
}

static int rung_abi(struct ebpf_ctx *ctx)
{
	static const struct extfuse_layout ours = EXTFUSE_LAYOUT_INIT;
	const struct extfuse_layout *theirs;

	theirs = rodata_var(ctx, "extfuse_layout", sizeof(*theirs));
	if (!theirs) {
		say(ctx, "object %s: no extfuse_layout in it: not an ExtFUSE object, or not of ABI %d",
		    ctx->path, EXTFUSE_ABI);
		return -EPROTO;
	}
	if (theirs->abi != EXTFUSE_ABI) {
		say(ctx, "object %s: ABI %u, this program needs ABI %d: install extfuse-bpf and extfuse-daemon of one version",
		    ctx->path, theirs->abi, EXTFUSE_ABI);
		return -EPROTO;
	}
	if (memcmp(theirs, &ours, sizeof(ours)) != 0) {
		say(ctx, "object %s: layout differs though the ABI number is %d (node %u, here %u bytes)",
		    ctx->path, EXTFUSE_ABI, theirs->node_size, ours.node_size);
		return -EPROTO;
	}
	return 0;
}

static int rung_maps(struct ebpf_ctx *ctx)
{
	struct bpf_map *map;
	int i;

	for (i = 0; i < EBPF_NUM_MAPS; i++) {
		const struct map_desc *d = &map_descs[i];

		map = bpf_object__find_map_by_name(ctx->obj, d->name);
		if (!map) {
			say(ctx, "object %s: no map %s", ctx->path, d->name);
			return -EPROTO;
		}
		if (bpf_map__key_size(map) != sizeof(uint32_t) ||
		    bpf_map__value_size(map) != d->value_size) {
			say(ctx, "object %s: map %s has keys of %u and values of %u bytes, this program needs %zu and %u",
			    ctx->path, d->name, bpf_map__key_size(map),
			    bpf_map__value_size(map), sizeof(uint32_t),
			    d->value_size);
			return -EPROTO;
		}
		ctx->maps[i] = map;
	}
	ctx->handlers = bpf_object__find_map_by_name(ctx->obj, "handlers");
	if (!ctx->handlers ||
	    bpf_map__type(ctx->handlers) != BPF_MAP_TYPE_PROG_ARRAY ||
	    bpf_map__max_entries(ctx->handlers) != EXTFUSE_MAX_OPS) {
		say(ctx, "object %s: no PROG_ARRAY handlers of %d entries",
		    ctx->path, EXTFUSE_MAX_OPS);
		return -EPROTO;
	}
	return 0;
}

/* Which entry of handlers a section's program is for; -1: the main program. */
static int section_opcode(const struct ebpf_ctx *ctx, const char *section)
{
	const char *name = section + strlen("extfuse/");
	uint32_t op;

	if (strcmp(section, "extfuse") == 0)
		return -1;
	if (strncmp(section, "extfuse/", strlen("extfuse/")) == 0) {
		if (strcmp(name, "LOOKUP_LONG") == 0)
			return EXTFUSE_LOOKUP_LONG;
		for (op = 0; op < EXTFUSE_MAX_OPS; op++)
			if (ebpf_op_name(op) &&
			    strcmp(ebpf_op_name(op), name) == 0)
				return op;
	}
	say(ctx, "object %s: section %s names no opcode", ctx->path, section);
	return -EPROTO;
}

static int rung_programs(struct ebpf_ctx *ctx)
{
	struct bpf_program *prog;
	int op;

	bpf_object__for_each_program(prog, ctx->obj) {
		op = section_opcode(ctx, bpf_program__section_name(prog));
		if (op == -EPROTO)
			return op;
		if (op == -1)
			ctx->main_prog = prog;
		bpf_program__set_type(prog,
				      (enum bpf_prog_type)EXTFUSE_PROG_TYPE);
	}
	if (!ctx->main_prog) {
		say(ctx, "object %s: no program in section extfuse", ctx->path);
		return -EPROTO;
	}
	return 0;
}

static int rung_kernel(struct ebpf_ctx *ctx)
{
	int abi = ebpf_kernel_abi();

	if (abi < 0) {
		say(ctx, "this kernel has no ExtFUSE (no %s)", KERNEL_ABI_FILE);
		return -EOPNOTSUPP;
	}
	if (abi != EXTFUSE_ABI) {
		say(ctx, "this kernel's ExtFUSE has ABI %d, this program needs ABI %d: boot the kernel package of this version",
		    abi, EXTFUSE_ABI);
		return -EOPNOTSUPP;
	}
	return 0;
}

static int enum_value(const struct btf *btf, const char *type, const char *name)
{
	const struct btf_enum *e;
	const struct btf_type *t;
	int id, i;

	id = btf__find_by_name_kind(btf, type, BTF_KIND_ENUM);
	if (id < 0)
		return -1;
	t = btf__type_by_id(btf, id);
	for (i = 0, e = btf_enum(t); i < btf_vlen(t); i++, e++)
		if (strcmp(btf__name_by_offset(btf, e->name_off), name) == 0)
			return e->val;
	return -1;
}

/* Another kernel may have given our numbers to something else. */
static int rung_btf(struct ebpf_ctx *ctx)
{
	static const struct {
		const char *type;
		const char *name;
		int value;
	} needed[] = {
		{ "bpf_prog_type", "BPF_PROG_TYPE_EXTFUSE", EXTFUSE_PROG_TYPE },
		{ "bpf_func_id", "BPF_FUNC_extfuse_read_args",
		  EXTFUSE_FUNC_READ_ARGS },
		{ "bpf_func_id", "BPF_FUNC_extfuse_write_args",
		  EXTFUSE_FUNC_WRITE_ARGS },
	};
	struct btf *btf = btf__load_vmlinux_btf();
	int err = libbpf_get_error(btf);
	size_t i;

	if (err) {
		say(ctx, "this kernel's BTF cannot be read: %s",
		    strerror(-err));
		return -EOPNOTSUPP;
	}
	for (i = 0; i < sizeof(needed) / sizeof(needed[0]) && !err; i++) {
		int value = enum_value(btf, needed[i].type, needed[i].name);

		if (value == needed[i].value)
			continue;
		say(ctx, "this kernel's %s is %d, this program needs %d",
		    needed[i].name, value, needed[i].value);
		err = -EOPNOTSUPP;
	}
	btf__free(btf);
	return err;
}

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
	const char *var = rodata_var(ctx, name, size);
	struct bpf_map *map;
	const char *old;
	size_t old_size;
	char *new;
	int err;

	if (!var) {
		say(ctx, "object %s: no variable %s of %zu bytes in it",
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

	libbpf_line[0] = '\0';
	err = bpf_object__load(ctx->obj);
	if (err)
		say(ctx, "object %s: the kernel does not load it: %s (%s)",
		    ctx->path, strerror(-err),
		    libbpf_line[0] ? libbpf_line : "no message");
	return err;
}

static int map_memory(struct ebpf_ctx *ctx)
{
	long page = sysconf(_SC_PAGESIZE);
	int i;

	for (i = 0; i < EBPF_NUM_MAPS; i++) {
		struct bpf_map *map = ctx->maps[i];
		size_t size = (size_t)bpf_map__value_size(map) *
			      bpf_map__max_entries(map);

		if (!(bpf_map__map_flags(map) & BPF_F_MMAPABLE))
			continue;
		size = (size + page - 1) & ~(page - 1);
		ctx->mem[i] = mmap(NULL, size, PROT_READ | PROT_WRITE,
				   MAP_SHARED, bpf_map__fd(map), 0);
		if (ctx->mem[i] == MAP_FAILED) {
			ctx->mem[i] = NULL;
			say(ctx, "map %s of %zu bytes: %s", map_descs[i].name,
			    size, strerror(errno));
			return -ENOMEM;
		}
	}
	return 0;
}

static void unmap_memory(struct ebpf_ctx *ctx)
{
	long page = sysconf(_SC_PAGESIZE);
	int i;

	for (i = 0; i < EBPF_NUM_MAPS; i++) {
		struct bpf_map *map = ctx->maps[i];
		size_t size;

		if (!ctx->mem[i])
			continue;
		size = (size_t)bpf_map__value_size(map) *
		       bpf_map__max_entries(map);
		munmap(ctx->mem[i], (size + page - 1) & ~(page - 1));
	}
}

static int fill_handlers(struct ebpf_ctx *ctx)
{
	struct bpf_program *prog;
	int op, err;

	bpf_object__for_each_program(prog, ctx->obj) {
		op = section_opcode(ctx, bpf_program__section_name(prog));
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

static struct ebpf_ctx *ctx_new(const char *path, const struct ebpf_opts *opts)
{
	struct ebpf_ctx *ctx = calloc(1, sizeof(*ctx));

	if (!ctx)
		return NULL;
	ctx->path = path ? path : DEFAULT_OBJECT;
	ctx->log = opts ? opts->log : NULL;
	ctx->grace_inner = ctx->grace_outer = -1;
	libbpf_set_print(keep_libbpf_line);
	return ctx;
}

static int check_object(struct ebpf_ctx *ctx)
{
	int err = rung_open(ctx);

	if (!err)
		err = rung_abi(ctx);
	if (!err)
		err = rung_maps(ctx);
	if (!err)
		err = rung_programs(ctx);
	return err;
}

int ebpf_check(const char *path, const struct ebpf_opts *opts)
{
	struct ebpf_ctx *ctx = ctx_new(path, opts);
	int err = ctx ? check_object(ctx) : -ENOMEM;

	ebpf_fini(ctx);
	return err;
}

static int load(struct ebpf_ctx *ctx, uint32_t entries)
{
	int err = check_object(ctx);

	if (!err)
		err = rung_kernel(ctx);
	if (!err)
		err = rung_btf(ctx);
	if (!err)
		err = set_sizes(ctx, entries);
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

int ebpf_init(const char *path, const struct ebpf_opts *opts,
	      struct ebpf_ctx **ctxp)
{
	uint32_t entries = opts && opts->max_entries ? opts->max_entries :
			   DEFAULT_ENTRIES;
	struct ebpf_ctx *ctx;
	int err;

	if ((opts && opts->size < sizeof(*opts)) || entries < MIN_ENTRIES ||
	    entries > MAX_ENTRIES)
		return -EINVAL;
	ctx = ctx_new(path, opts);
	if (!ctx)
		return -ENOMEM;
	err = load(ctx, round_pow2(entries));
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
