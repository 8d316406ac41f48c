// SPDX-License-Identifier: GPL-2.0
/*
 * ExtFUSE: a program of BPF_PROG_TYPE_EXTFUSE comes with the INIT reply.
 */
#include "fuse_i.h"
#include "extfuse.h"

#include <linux/capability.h>
#include <linux/extfuse.h>

/**
 * extfuse_init_prog() - attach the program that an INIT reply names
 * @fc: the connection, not yet initialized
 * @fd: the word of the reply
 *
 * Runs in the context of whoever wrote the reply, and takes the program from
 * that task's file descriptors: a fd that is not the daemon's own means
 * nothing here (K5).
 *
 * Return: 0 or -errno
 */
int extfuse_init_prog(struct fuse_conn *fc, u32 fd)
{
	struct extfuse_prog *prog;

	if (!bpf_capable())
		return -EPERM;
	prog = extfuse_prog_get(fd);
	if (IS_ERR(prog))
		return PTR_ERR(prog);
	if (extfuse_attach(fc, prog))
		return 0;
	prog->release(prog);
	return -ENOTCONN;
}
