/* SPDX-License-Identifier: GPL-2.0 */
/*
 * How programs come to a FUSE that is a module: struct_ops and kfuncs.
 */
#ifndef _EXTFUSE_OPS_H
#define _EXTFUSE_OPS_H

#include <linux/extfuse.h>

struct fuse_conn;

/**
 * struct extfuse_bpf_ops - what a daemon's object implements
 * @request:	runs for each request; returns what programs do
 *		(<uapi/linux/extfuse.h>)
 * @abi:	EXTFUSE_ABI of the object
 * @dev_fd:	open /dev/extfuse of the task that makes the link: which mount's
 *		program it is.  Nobody else has that descriptor (K5)
 * @prog:	the core's; zero in what the daemon writes
 * @fc:		the connection while this is attached; likewise
 */
struct extfuse_bpf_ops {
	int (*request)(struct extfuse_req *req);
	u32 abi;
	s32 dev_fd;
	struct extfuse_prog prog;
	struct fuse_conn *fc;
};

int extfuse_ops_init(void);

#endif /* _EXTFUSE_OPS_H */
