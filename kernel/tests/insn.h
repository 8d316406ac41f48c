/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * BPF instructions by hand, and how to load and run what they make.
 */
#ifndef EXTFUSE_TEST_INSN_H
#define EXTFUSE_TEST_INSN_H

#include <bpf/bpf.h>
#include <linux/extfuse.h>
#include <linux/fuse.h>
#include <string.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

#define INSN(c, d, s, o, i) \
	((struct bpf_insn){ .code = (c), .dst_reg = (d), .src_reg = (s), \
			    .off = (o), .imm = (i) })
#define MOV_IMM(d, i)	INSN(BPF_ALU64 | BPF_MOV | BPF_K, d, 0, 0, i)
#define MOV_REG(d, s)	INSN(BPF_ALU64 | BPF_MOV | BPF_X, d, s, 0, 0)
#define ADD_IMM(d, i)	INSN(BPF_ALU64 | BPF_ADD | BPF_K, d, 0, 0, i)
#define LSH_IMM(d, i)	INSN(BPF_ALU64 | BPF_LSH | BPF_K, d, 0, 0, i)
#define ADD_REG(d, s)	INSN(BPF_ALU64 | BPF_ADD | BPF_X, d, s, 0, 0)
#define STORE_IMM(d, o, i) INSN(BPF_ST | BPF_MEM | BPF_DW, d, 0, o, i)
#define LOAD32(d, s, o)	INSN(BPF_LDX | BPF_MEM | BPF_W, d, s, o, 0)
#define LOAD64(d, s, o)	INSN(BPF_LDX | BPF_MEM | BPF_DW, d, s, o, 0)
#define STORE32(d, s, o) INSN(BPF_STX | BPF_MEM | BPF_W, d, s, o, 0)
#define STORE64(d, s, o) INSN(BPF_STX | BPF_MEM | BPF_DW, d, s, o, 0)
#define XADD64(d, s, o)	INSN(BPF_STX | BPF_ATOMIC | BPF_DW, d, s, o, BPF_ADD)
#define JUMP_IMM(op, d, i, o) INSN(BPF_JMP | (op) | BPF_K, d, 0, o, i)
#define CALL(f)		INSN(BPF_JMP | BPF_CALL, 0, 0, 0, f)
#define EXIT()		INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0)
/* Two instructions */
#define LOAD_IMM64(d, v) \
	INSN(BPF_LD | BPF_IMM | BPF_DW, d, 0, 0, (__u32)(v)), \
	INSN(0, 0, 0, 0, (__u64)(v) >> 32)
#define LOAD_MAP(d, fd) \
	INSN(BPF_LD | BPF_IMM | BPF_DW, d, BPF_PSEUDO_MAP_FD, 0, fd), \
	INSN(0, 0, 0, 0, 0)

static inline int prog_type_load(int type, const struct bpf_insn *insns,
				 size_t n)
{
	return bpf_prog_load(type, "attach", "GPL", insns, n, NULL);
}

#define LOAD(insns) prog_type_load(EXTFUSE_PROG_TYPE, insns, ARRAY_SIZE(insns))

/* A program that does nothing but return @value. */
static inline int prog_returning(int value)
{
	struct bpf_insn insns[] = { MOV_IMM(BPF_REG_0, value), EXIT() };

	return LOAD(insns);
}

static inline __u32 prog_id(int fd)
{
	struct bpf_prog_info info = {};
	__u32 len = sizeof(info);

	return bpf_obj_get_info_by_fd(fd, &info, &len) ? 0 : info.id;
}

/* A request for BPF_PROG_TEST_RUN, and what came of it */
struct run {
	struct extfuse_req req;
	char in[1024];
	size_t in_size;
	union {
		char bytes[1024];
		struct fuse_entry_out entry;
		struct fuse_attr_out attr;
		struct fuse_getxattr_out xattr;
		struct fuse_open_out open;
		uint64_t word;
	} out;
	size_t out_size;
	int verdict;
};

static inline struct run request(uint32_t opcode, uint64_t nodeid)
{
	return (struct run){ .req = { .opcode = opcode, .nodeid = nodeid } };
}

static inline void add_in(struct run *r, const void *data, size_t size)
{
	memcpy(r->in + r->in_size, data, size);
	r->in_size += size;
	r->req.in_size[r->req.in_numargs++] = size;
}

static inline void add_name(struct run *r, const char *name)
{
	add_in(r, name, strlen(name) + 1);
}

static inline void add_out(struct run *r, size_t size)
{
	r->out_size += size;
	r->req.out_size[r->req.out_numargs++] = size;
}

/*
 * The size of the reply, or -errno.  What the output held before is all ones,
 * so that nothing passes for zeros.
 */
static inline int prog_run(int fd, struct run *r)
{
	LIBBPF_OPTS(bpf_test_run_opts, opts, .ctx_in = &r->req,
		    .ctx_size_in = sizeof(r->req), .data_in = r->in,
		    .data_size_in = r->in_size, .data_out = &r->out,
		    .data_size_out = r->out_size);
	int err;

	memset(&r->out, 0xff, sizeof(r->out));
	err = bpf_prog_test_run_opts(fd, &opts);
	r->verdict = opts.retval;
	return err ? err : (int)opts.data_size_out;
}

#endif /* EXTFUSE_TEST_INSN_H */
