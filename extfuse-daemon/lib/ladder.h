/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The version ladder: object, ABI, maps, programs, kernel, BTF.
 */
#ifndef EXTFUSE_LADDER_H
#define EXTFUSE_LADDER_H

#include <bpf/libbpf.h>

#include "ebpf.h"

/**
 * struct ebpf_ops - the module's struct_ops (ops.c)
 * @btf_fd:	the module's BTF, -1: none
 * @link_fd:	attaches the program to its connection, -1: not yet
 * @type:	BTF id of what a program implements, @member of it
 * @value:	BTF id of the map's value, of @value_size bytes; in it are at
 *		@request, @abi and @dev_fd the members that are ours to fill
 */
struct ebpf_ops {
	int btf_fd;
	int link_fd;
	int type;
	int member;
	uint32_t value;
	uint32_t value_size;
	uint32_t request;
	uint32_t abi;
	uint32_t dev_fd;
};

struct ebpf_ctx {
	const char *path;
	enum ebpf_road road;
	struct ebpf_ops ops;
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

/** ladder_say() - one line to the caller's log */
void ladder_say(const struct ebpf_ctx *ctx, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
/** ladder_libbpf_line() - libbpf's first complaint since ladder_libbpf_watch() */
const char *ladder_libbpf_line(void);
void ladder_libbpf_watch(void);
/** ladder_object() - open the object and check all that is in it */
int ladder_object(struct ebpf_ctx *ctx);
/** ladder_kernel() - check that the running kernel is one for this ABI */
int ladder_kernel(struct ebpf_ctx *ctx);
/** ladder_rodata() - a variable of the object before it is loaded */
const void *ladder_rodata(const struct ebpf_ctx *ctx, const char *name,
			  size_t size);
/** ladder_opcode() - the entry of handlers that a section's program is for;
 *  -1: the main program, -EPROTO: unknown, said so */
int ladder_opcode(const struct ebpf_ctx *ctx, const char *section);
const char *ladder_map_name(enum ebpf_map map);
/** ops_find() - what the module's BTF says; the rung that takes the place of the
 *  numbers of program type and helpers */
int ops_find(struct ebpf_ctx *ctx);
/** ops_register() - have libbpf load programs as those of the module; the number
 *  for libbpf_unregister_prog_handler() */
int ops_register(struct ebpf_ctx *ctx);
void ops_close(struct ebpf_ops *ops);

#endif /* EXTFUSE_LADDER_H */
