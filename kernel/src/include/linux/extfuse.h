/* SPDX-License-Identifier: GPL-2.0 */
/*
 * ExtFUSE: running BPF programs on file system requests.
 *
 * This half is always in vmlinux and knows nothing of the FUSE driver: whoever
 * has a request describes it in a struct extfuse_kern and calls extfuse_run().
 */
#ifndef _LINUX_EXTFUSE_H
#define _LINUX_EXTFUSE_H

#include <uapi/linux/extfuse.h>

/**
 * struct extfuse_kern - one request as helpers see it
 * @req:	what the program reads through its context; must come first
 * @may_write:	the policy lets the program answer this request
 * @argvar:	the reply's length varies: the last output may be short
 * @written:	bit n: output n is complete
 * @in:		input arguments
 * @out:	output arguments; a program shortens out[n].size when @argvar
 * @name:	NAME and NAME2, of req.name_len[] bytes, no NUL needed
 */
struct extfuse_kern {
	struct extfuse_req req;
	bool may_write;
	bool argvar;
	u8 written;
	struct {
		const void *value;
	} in[EXTFUSE_MAX_IN];
	struct {
		void *value;
		u32 size;
	} out[EXTFUSE_MAX_OUT];
	const char *name[2];
};

/**
 * struct extfuse_op - an opcode's row of EXTFUSE_OPS
 * @known:	a program may run for it
 * @policy:	EXTFUSE_OP_* flags
 * @name:	indices of the input arguments that are names, or -1
 */
struct extfuse_op {
	bool known;
	u8 policy;
	s8 name[2];
};

extern const struct extfuse_op extfuse_ops[EXTFUSE_MAX_OPS];

/**
 * struct extfuse_prog - a program, whatever it takes to run it
 * @run:	run it on a request, and return what it returned
 * @release:	give it back; it may be running until an RCU grace period is over.
 *		NULL: the connection has no reference
 */
struct extfuse_prog {
	int (*run)(struct extfuse_prog *prog, struct extfuse_kern *k);
	void (*release)(struct extfuse_prog *prog);
};

int extfuse_args_read(struct extfuse_kern *k, u32 type, void *dst, u32 size);
int extfuse_args_write(struct extfuse_kern *k, u32 type, const void *src,
		       u32 size);
int extfuse_run(struct extfuse_prog *prog, struct extfuse_kern *k,
		bool *rejected);

/* By the program type */
struct extfuse_prog *extfuse_prog_get(u32 fd);

#endif /* _LINUX_EXTFUSE_H */
