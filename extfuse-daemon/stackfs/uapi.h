/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What <linux/fuse.h> of a build host before Linux 6.9 lacks.
 */
#ifndef STACKFS_UAPI_H
#define STACKFS_UAPI_H

#include <linux/types.h>
#include <sys/ioctl.h>

#include <linux/extfuse.h>

#ifndef FUSE_PASSTHROUGH
#define FUSE_PASSTHROUGH	(1ULL << 37)
#endif

#ifndef FOPEN_PASSTHROUGH
#define FOPEN_PASSTHROUGH	(1 << 7)
#endif

#ifndef AT_HANDLE_FID
#define AT_HANDLE_FID		0x200	/* Linux 6.5 */
#endif

/* struct fuse_init_out.max_stack_depth */
#define INIT_STACK_DEPTH_OFFSET	36

#ifndef FUSE_DEV_IOC_BACKING_OPEN
struct fuse_backing_map {
	__s32	fd;
	__u32	flags;
	__u64	padding;
};
#define FUSE_DEV_IOC_BACKING_OPEN	_IOW(229, 1, struct fuse_backing_map)
#define FUSE_DEV_IOC_BACKING_CLOSE	_IOW(229, 2, __u32)
#endif

#endif /* STACKFS_UAPI_H */
