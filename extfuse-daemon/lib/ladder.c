// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The version ladder: each rung is one function with one message.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <bpf/btf.h>

#include "ladder.h"

struct map_desc {
	const char *name;
	uint32_t value_size;
	enum bpf_map_type type;
	uint32_t flags;
};

#define ROWS(type) sizeof(type), BPF_MAP_TYPE_ARRAY, BPF_F_MMAPABLE

static const struct map_desc map_descs[EBPF_NUM_MAPS] = {
	[EBPF_ATTR_MAP] = { "attr_map", ROWS(struct extfuse_node) },
	[EBPF_ENTRY_MAP] = { "entry_map", ROWS(struct extfuse_entry_set) },
	[EBPF_ENTRY_LONG_MAP] = { "entry_long_map",
				  ROWS(struct extfuse_entry_long_set) },
	[EBPF_XATTR_MAP] = { "xattr_map", ROWS(struct extfuse_xattr_set) },
	[EBPF_STATS_MAP] = { "stats_map", sizeof(struct extfuse_count),
			     BPF_MAP_TYPE_PERCPU_ARRAY, 0 },
};

const char *ladder_map_name(enum ebpf_map map)
{
	return map_descs[map].name;
}

/* libbpf reports through one hook of the whole process. */
static char libbpf_line[256];

static int keep_libbpf_line(enum libbpf_print_level level, const char *fmt,
			    va_list ap)
{
	if (level == LIBBPF_WARN && !libbpf_line[0])
		vsnprintf(libbpf_line, sizeof(libbpf_line), fmt, ap);
	return 0;
}

void ladder_libbpf_watch(void)
{
	libbpf_set_print(keep_libbpf_line);
	libbpf_line[0] = '\0';
}

const char *ladder_libbpf_line(void)
{
	return libbpf_line[0] ? libbpf_line : "no message";
}

void ladder_say(const struct ebpf_ctx *ctx, const char *fmt, ...)
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

static int rung_open(struct ebpf_ctx *ctx)
{
	struct stat st;
	int err;

	if (stat(ctx->path, &st) < 0) {
		err = -errno;
		ladder_say(ctx, "object %s: %s", ctx->path, strerror(-err));
		return err;
	}
	if (!S_ISREG(st.st_mode)) {
		ladder_say(ctx, "object %s: not a regular file", ctx->path);
		return -ENOEXEC;
	}
	ladder_libbpf_watch();
	ctx->obj = bpf_object__open_file(ctx->path, NULL);
	err = libbpf_get_error(ctx->obj);
	if (!err)
		return 0;
	ctx->obj = NULL;
	ladder_say(ctx, "object %s: not a BPF object, or cut short: %s",
		   ctx->path, ladder_libbpf_line());
	return err == -ENOMEM ? err : -ENOEXEC;
}

/* A variable of the object's .rodata, before it is loaded. */
const void *ladder_rodata(const struct ebpf_ctx *ctx, const char *name,
			  size_t size)
{
	const struct btf *btf = bpf_object__btf(ctx->obj);
	const struct btf_var_secinfo *var;
	const struct btf_type *sec;
	struct bpf_map *map;
	const char *mem;
	size_t mem_size;
	int id, i;

	map = bpf_object__find_map_by_name(ctx->obj, ".rodata");
	id = btf ? btf__find_by_name_kind(btf, ".rodata", BTF_KIND_DATASEC) :
		   -1;
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
				       mem + var->offset :
				       NULL;
	}
	return NULL;
}

static int rung_abi(struct ebpf_ctx *ctx)
{
	static const struct extfuse_layout ours = EXTFUSE_LAYOUT_INIT;
	const struct extfuse_layout *theirs;

	theirs = ladder_rodata(ctx, "extfuse_layout", sizeof(*theirs));
	if (!theirs) {
		ladder_say(
			ctx,
			"object %s: no extfuse_layout in it: not an ExtFUSE object, or not of ABI %d",
			ctx->path, EXTFUSE_ABI);
		return -EPROTO;
	}
	if (theirs->abi != EXTFUSE_ABI) {
		ladder_say(
			ctx,
			"object %s: ABI %u, this program needs ABI %d: install extfuse-bpf and extfuse-daemon of one version",
			ctx->path, theirs->abi, EXTFUSE_ABI);
		return -EPROTO;
	}
	if (memcmp(theirs, &ours, sizeof(ours)) != 0) {
		ladder_say(
			ctx,
			"object %s: layout differs though the ABI number is %d (node %u, here %u bytes)",
			ctx->path, EXTFUSE_ABI, theirs->node_size,
			ours.node_size);
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
			ladder_say(ctx, "object %s: no map %s", ctx->path,
				   d->name);
			return -EPROTO;
		}
		if (bpf_map__key_size(map) != sizeof(uint32_t) ||
		    bpf_map__value_size(map) != d->value_size) {
			ladder_say(
				ctx,
				"object %s: map %s has keys of %u and values of %u bytes, this program needs %zu and %u",
				ctx->path, d->name, bpf_map__key_size(map),
				bpf_map__value_size(map), sizeof(uint32_t),
				d->value_size);
			return -EPROTO;
		}
		if (bpf_map__type(map) != d->type ||
		    bpf_map__map_flags(map) != d->flags) {
			ladder_say(
				ctx,
				"object %s: map %s has type %d and flags %#x, this program needs %d and %#x",
				ctx->path, d->name, bpf_map__type(map),
				bpf_map__map_flags(map), d->type, d->flags);
			return -EPROTO;
		}
		ctx->maps[i] = map;
	}
	ctx->handlers = bpf_object__find_map_by_name(ctx->obj, "handlers");
	if (!ctx->handlers ||
	    bpf_map__type(ctx->handlers) != BPF_MAP_TYPE_PROG_ARRAY ||
	    bpf_map__max_entries(ctx->handlers) != EXTFUSE_MAX_OPS) {
		ladder_say(ctx,
			   "object %s: no PROG_ARRAY handlers of %d entries",
			   ctx->path, EXTFUSE_MAX_OPS);
		return -EPROTO;
	}
	return 0;
}

/* Which entry of handlers a section's program is for; -1: the main program. */
int ladder_opcode(const struct ebpf_ctx *ctx, const char *section)
{
	const char *name = section + strlen("extfuse/");
	uint32_t op;

	if (strcmp(section, "extfuse") == 0)
		return -1;
	if (strncmp(section, "extfuse/", strlen("extfuse/")) == 0) {
		if (strcmp(name, "LOOKUP_LONG") == 0)
			return EXTFUSE_LOOKUP_LONG;
		if (strcmp(name, "REMOVE_LONG") == 0)
			return EXTFUSE_REMOVE_LONG;
		for (op = 0; op < EXTFUSE_MAX_OPS; op++)
			if (ebpf_op_name(op) &&
			    strcmp(ebpf_op_name(op), name) == 0)
				return op;
	}
	ladder_say(ctx, "object %s: section %s names no opcode", ctx->path,
		   section);
	return -EPROTO;
}

static enum bpf_prog_type prog_type(const struct ebpf_ctx *ctx)
{
	return ctx->road == EBPF_ROAD_MODULE ? BPF_PROG_TYPE_STRUCT_OPS :
	       (enum bpf_prog_type)EXTFUSE_PROG_TYPE;
}

static int rung_programs(struct ebpf_ctx *ctx)
{
	struct bpf_program *prog;
	int op;

	bpf_object__for_each_program(prog, ctx->obj) {
		op = ladder_opcode(ctx, bpf_program__section_name(prog));
		if (op == -EPROTO)
			return op;
		if (op == -1)
			ctx->main_prog = prog;
		bpf_program__set_type(prog, prog_type(ctx));
	}
	if (!ctx->main_prog) {
		ladder_say(ctx, "object %s: no program in section extfuse",
			   ctx->path);
		return -EPROTO;
	}
	return 0;
}

static int rung_kernel(const struct ebpf_ctx *ctx)
{
	int abi = ebpf_kernel_abi();

	if (abi < 0) {
		ladder_say(ctx, "this kernel has no ExtFUSE: install extfuse-kernel, or the module extfuse for this kernel");
		return -EOPNOTSUPP;
	}
	if (abi != EXTFUSE_ABI) {
		ladder_say(ctx, "%s ExtFUSE has ABI %d, this program needs ABI %d: %s of this version",
			   ctx->road == EBPF_ROAD_MODULE ? "the module's" :
			   "this kernel's", abi, EXTFUSE_ABI,
			   ctx->road == EBPF_ROAD_MODULE ? "load the module" :
			   "boot the kernel package");
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
static int rung_btf(const struct ebpf_ctx *ctx)
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
		ladder_say(ctx, "this kernel's BTF cannot be read: %s",
			   strerror(-err));
		return -EOPNOTSUPP;
	}
	for (i = 0; i < sizeof(needed) / sizeof(needed[0]) && !err; i++) {
		int value = enum_value(btf, needed[i].type, needed[i].name);

		if (value == needed[i].value)
			continue;
		ladder_say(ctx, "this kernel's %s is %d, this program needs %d",
			   needed[i].name, value, needed[i].value);
		err = -EOPNOTSUPP;
	}
	btf__free(btf);
	return err;
}

int ladder_object(struct ebpf_ctx *ctx)
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

/* Deadlines in rows are by the kernel's clock. */
static int rung_clock(const struct ebpf_ctx *ctx)
{
	FILE *f = fopen("/proc/self/timens_offsets", "re");
	char clock[16];
	long long sec, nsec;
	int err = 0;

	while (f && fscanf(f, "%15s %lld %lld", clock, &sec, &nsec) == 3)
		if (!strcmp(clock, "monotonic") && (sec || nsec))
			err = -EOPNOTSUPP;
	if (f)
		fclose(f);
	if (err)
		ladder_say(ctx, "the monotonic clock is not the kernel's (a time namespace)");
	return err;
}

int ladder_kernel(struct ebpf_ctx *ctx)
{
	int err = rung_kernel(ctx);

	if (!err)
		err = rung_clock(ctx);
	if (err)
		return err;
	return ctx->road == EBPF_ROAD_MODULE ? ops_find(ctx) : rung_btf(ctx);
}
