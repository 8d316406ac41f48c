// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The module's road: programs are members of a struct_ops of the module, and a
 * link attaches it to a connection.
 *
 * libbpf 1.1 knows struct_ops of vmlinux only, so what the kernel wants to know is
 * looked up in the module's BTF here.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/btf.h>

#include "ladder.h"

#define MODULE "extfuse"
#define OPS "extfuse_bpf_ops"
#define OPS_VALUE "bpf_struct_ops_" OPS

/* Names that an older <linux/bpf.h> lacks, and the end of what it knows */
#define OPS_F_LINK (1U << 13)
#define OPS_F_VALUE_BTF (1U << 15)
#define OPS_ATTACH_TYPE 44

struct ops_map_attr {
	uint32_t map_type;
	uint32_t key_size;
	uint32_t value_size;
	uint32_t max_entries;
	uint32_t map_flags;
	uint32_t inner_map_fd;
	uint32_t numa_node;
	char map_name[16];
	uint32_t map_ifindex;
	uint32_t btf_fd;
	uint32_t btf_key_type_id;
	uint32_t btf_value_type_id;
	uint32_t btf_vmlinux_value_type_id;
	uint64_t map_extra;
	int32_t value_type_btf_obj_fd;
	int32_t map_token_fd;
};

static int btf_open(const char *name)
{
	uint32_t id = 0;

	while (!bpf_btf_get_next_id(id, &id)) {
		char own[64] = "";
		struct bpf_btf_info info = {
			.name = (uintptr_t)own,
			.name_len = sizeof(own),
		};
		uint32_t len = sizeof(info);
		int fd = bpf_btf_get_fd_by_id(id);

		if (fd < 0)
			continue;
		if (!bpf_obj_get_info_by_fd(fd, &info, &len) &&
		    info.kernel_btf && !strcmp(own, name))
			return fd;
		close(fd);
	}
	return -ENOENT;
}

/* A member's number, -1: none; @at receives its offset in bytes. */
static int member(const struct btf *btf, int type, const char *name,
		  uint32_t *at)
{
	const struct btf_type *t = btf__type_by_id(btf, type);
	int i;

	for (i = 0; i < btf_vlen(t); i++) {
		const struct btf_member *m = btf_members(t) + i;

		if (strcmp(btf__name_by_offset(btf, m->name_off), name))
			continue;
		*at = btf_member_bit_offset(t, i) / 8;
		return i;
	}
	return -1;
}

static int ops_read(struct ebpf_ops *ops, const struct btf *btf)
{
	uint32_t data;
	int value;

	ops->type = btf__find_by_name_kind(btf, OPS, BTF_KIND_STRUCT);
	value = btf__find_by_name_kind(btf, OPS_VALUE, BTF_KIND_STRUCT);
	if (ops->type < 0 || value < 0 || member(btf, value, "data", &data) < 0)
		return -ENOENT;
	ops->member = member(btf, ops->type, "request", &ops->request);
	if (ops->member < 0 || member(btf, ops->type, "abi", &ops->abi) < 0 ||
	    member(btf, ops->type, "dev_fd", &ops->dev_fd) < 0)
		return -ENOENT;
	ops->request += data;
	ops->abi += data;
	ops->dev_fd += data;
	ops->value = value;
	ops->value_size = btf__type_by_id(btf, value)->size;
	return 0;
}

int ops_find(struct ebpf_ctx *ctx)
{
	struct btf *vmlinux = btf__load_vmlinux_btf(), *btf = NULL;
	int err = libbpf_get_error(vmlinux);

	if (!err) {
		btf = btf__load_module_btf(MODULE, vmlinux);
		err = libbpf_get_error(btf);
	}
	if (!err) {
		err = ops_read(&ctx->ops, btf);
		btf__free(btf);
	}
	btf__free(libbpf_get_error(vmlinux) ? NULL : vmlinux);
	if (!err) {
		ctx->ops.btf_fd = btf_open(MODULE);
		err = ctx->ops.btf_fd < 0 ? ctx->ops.btf_fd : 0;
	}
	if (err)
		ladder_say(ctx, "module extfuse: no struct " OPS " in its BTF (%s): build it where pahole is",
			   strerror(-err));
	return err ? -EOPNOTSUPP : 0;
}

/* Each handler runs in place of the member, which tail-calls it. */
static int ops_prepare(struct bpf_program *prog,
		       struct bpf_prog_load_opts *opts, long cookie)
{
	const struct ebpf_ctx *ctx = (const void *)cookie;

	(void)prog;
	opts->attach_btf_obj_fd = ctx->ops.btf_fd;
	opts->attach_btf_id = ctx->ops.type;
	opts->expected_attach_type = ctx->ops.member;
	return 0;
}

int ops_register(struct ebpf_ctx *ctx)
{
	LIBBPF_OPTS(libbpf_prog_handler_opts, opts,
		    .cookie = (long)ctx,
		    .prog_prepare_load_fn = ops_prepare);

	return libbpf_register_prog_handler("extfuse+", BPF_PROG_TYPE_STRUCT_OPS,
					    0, &opts);
}

static int map_create(const struct ebpf_ctx *ctx)
{
	const struct ebpf_ops *ops = &ctx->ops;
	struct ops_map_attr attr = {
		.map_type = BPF_MAP_TYPE_STRUCT_OPS,
		.key_size = sizeof(uint32_t),
		.value_size = ops->value_size,
		.max_entries = 1,
		.map_flags = OPS_F_LINK | OPS_F_VALUE_BTF,
		.map_name = "extfuse",
		/* not used, but the kernel wants an object that has some */
		.btf_fd = bpf_object__btf_fd(ctx->obj),
		.btf_vmlinux_value_type_id = ops->value,
		.value_type_btf_obj_fd = ops->btf_fd,
	};
	int fd = syscall(SYS_bpf, BPF_MAP_CREATE, &attr, sizeof(attr));

	return fd < 0 ? -errno : fd;
}

/* The map's only row: which program, of which ABI, for which connection. */
static int map_fill(const struct ebpf_ctx *ctx, int map, int dev_fd)
{
	const uint64_t prog_fd = ebpf_prog_fd(ctx);
	const uint32_t key = 0, abi = EXTFUSE_ABI;
	char *value = calloc(1, ctx->ops.value_size);
	int err;

	if (!value)
		return -ENOMEM;
	memcpy(value + ctx->ops.request, &prog_fd, sizeof(prog_fd));
	memcpy(value + ctx->ops.abi, &abi, sizeof(abi));
	memcpy(value + ctx->ops.dev_fd, &dev_fd, sizeof(dev_fd));
	err = bpf_map_update_elem(map, &key, value, BPF_ANY);
	free(value);
	return err;
}

int ebpf_attach(struct ebpf_ctx *ctx, int dev_fd)
{
	int map, link;

	if (ctx->road != EBPF_ROAD_MODULE)
		return 0;
	map = map_create(ctx);
	if (map < 0)
		return map;
	link = map_fill(ctx, map, dev_fd);
	if (!link)
		link = bpf_link_create(map, 0, (enum bpf_attach_type)OPS_ATTACH_TYPE,
				       NULL);
	close(map);
	if (link < 0)
		return link;
	ctx->ops.link_fd = link;
	return 0;
}

void ops_close(struct ebpf_ops *ops)
{
	if (ops->link_fd >= 0)
		close(ops->link_fd);
	if (ops->btf_fd >= 0)
		close(ops->btf_fd);
}
