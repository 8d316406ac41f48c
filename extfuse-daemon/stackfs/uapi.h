/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What <linux/fuse.h> of a build host before Linux 6.12 lacks.
 */
#ifndef STACKFS_UAPI_H
#define STACKFS_UAPI_H

#include <linux/types.h>
#include <sys/ioctl.h>

#include <linux/extfuse.h>

#if FUSE_KERNEL_MINOR_VERSION < 39	/* Linux 6.6 */
#define FUSE_STATX 52

struct fuse_sx_time {
	__s64	tv_sec;
	__u32	tv_nsec;
	__s32	__reserved;
};

struct fuse_statx {
	__u32	mask;
	__u32	blksize;
	__u64	attributes;
	__u32	nlink;
	__u32	uid;
	__u32	gid;
	__u16	mode;
	__u16	__spare0[1];
	__u64	ino;
	__u64	size;
	__u64	blocks;
	__u64	attributes_mask;
	struct fuse_sx_time	atime;
	struct fuse_sx_time	btime;
	struct fuse_sx_time	ctime;
	struct fuse_sx_time	mtime;
	__u32	rdev_major;
	__u32	rdev_minor;
	__u32	dev_major;
	__u32	dev_minor;
	__u64	__spare2[14];
};

struct fuse_statx_in {
	__u32	getattr_flags;
	__u32	reserved;
	__u64	fh;
	__u32	sx_flags;
	__u32	sx_mask;
};

struct fuse_statx_out {
	__u64	attr_valid;
	__u32	attr_valid_nsec;
	__u32	flags;
	__u64	spare[2];
	struct fuse_statx stat;
};
#endif

#ifndef FUSE_CREATE_SUPP_GROUP
#define FUSE_CREATE_SUPP_GROUP	(1ULL << 34)
#define FUSE_EXT_GROUPS		32
#endif

#ifndef FUSE_PASSTHROUGH
#define FUSE_PASSTHROUGH	(1ULL << 37)
#endif

#ifndef FUSE_NO_EXPORT_SUPPORT
#define FUSE_NO_EXPORT_SUPPORT	(1ULL << 38)
#endif

#ifndef FUSE_ALLOW_IDMAP
#define FUSE_ALLOW_IDMAP	(1ULL << 40)
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
