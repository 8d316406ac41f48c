/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How a program is entered, and how it gets at its request's arguments.
 *
 * The handlers are one source and two objects: extfuse.o for a kernel that has
 * BPF_PROG_TYPE_EXTFUSE, and extfuse-ops.o, compiled with EXTFUSE_MODULE, for the
 * module, where a program is a member of a struct_ops.
 */
#ifndef EXTFUSE_ROAD_H
#define EXTFUSE_ROAD_H

#ifdef EXTFUSE_MODULE

/* The context is the array of the member's arguments: the request is the first. */
typedef unsigned long long road_ctx;
#define ROAD_REQ(ctx) ((struct extfuse_req *)*(ctx))

extern int bpf_extfuse_read_args(struct extfuse_req *req, __u32 type, void *dst,
				 __u32 dst__sz) __ksym;
extern int bpf_extfuse_write_args(struct extfuse_req *req, __u32 type,
				  const void *src, __u32 src__sz) __ksym;

#else

typedef struct extfuse_req road_ctx;
#define ROAD_REQ(ctx) (ctx)

static long (*bpf_extfuse_read_args)(void *ctx, __u32 type, void *dst,
				     __u32 size) = (void *)EXTFUSE_FUNC_READ_ARGS;
static long (*bpf_extfuse_write_args)(void *ctx, __u32 type, const void *src,
				      __u32 size) = (void *)EXTFUSE_FUNC_WRITE_ARGS;

#endif

/* A program, whose body sees its context as ctx and its request as req. */
#define PROGRAM(section, name)						\
static __always_inline int name##_body(road_ctx *ctx,			\
				       struct extfuse_req *req);	\
SEC(section) int name(road_ctx *ctx)					\
{									\
	return name##_body(ctx, ROAD_REQ(ctx));				\
}									\
static __always_inline int name##_body(road_ctx *ctx, struct extfuse_req *req)

/* The program for an opcode; the loader finds it by its section's name. */
#define HANDLER(op) PROGRAM("extfuse/" #op, handle_##op)

/* Go on in the program for @op, if there is one. */
#define CONTINUE(op) bpf_tail_call(ctx, &handlers, op)

#endif /* EXTFUSE_ROAD_H */
