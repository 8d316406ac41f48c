// SPDX-License-Identifier: GPL-2.0-only
/*
 * What chattr(1) and lsattr(1) ask: flags, project ids, versions.
 *
 * The kernel decodes these few; of any other ioctl nobody knows whose rights it
 * takes, so there is none.
 */
#include <errno.h>
#include <linux/capability.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "stackfs.h"

/* What the lower calls write, whatever size their numbers speak of */
union ioctl_value {
	unsigned int flags;
	int version;
	struct fsxattr attr;
};

/* Nothing that is open already is used: what is asked is the inode's. */
static int ioctl_open(struct stackfs *fs, const struct ref *r)
{
	mode_t type = r->node->type;

	if (!S_ISREG(type) && !S_ISDIR(type))
		return -ENOTTY;
	return node_open(fs, r->fd, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
}

static void get_value(fuse_req_t req, int fd, unsigned long cmd, size_t size)
{
	union ioctl_value v = { 0 };

	if (ioctl(fd, cmd, &v))
		reply_err(req, errno);
	else
		fuse_reply_ioctl(req, 0, &v, size);
}

/* C1: names of such a directory would have to be forgotten, and none be kept. */
static int fold_check(int fd, unsigned int flags)
{
	unsigned int old;

	if (!(flags & FS_CASEFOLD_FL))
		return 0;
	if (ioctl(fd, FS_IOC_GETFLAGS, &old))
		return -errno;
	return old & FS_CASEFOLD_FL ? 0 : -EOPNOTSUPP;
}

/*
 * C7: the kernel has asked whose file it is, and who may change what makes a file
 * immutable; but before it had our answer what that is.
 */
static int set_as_caller(fuse_req_t req, int fd, unsigned long cmd,
			 const union ioctl_value *v)
{
	struct creds cr;
	int err;

	err = creds_enter_capable(&cr, fuse_req_ctx(req), CAP_LINUX_IMMUTABLE);
	if (!err && ioctl(fd, cmd, v))
		err = -errno;
	creds_leave(&cr);
	return err;
}

/* It moves ctime, which the kernel does not expect. */
static void set_value(fuse_req_t req, const struct ref *r, int fd,
		      unsigned long cmd, const union ioctl_value *v)
{
	struct stackfs *fs = fuse_req_userdata(req);
	uint64_t epoch, id = r->node->id;
	int err = 0;

	if (cmd == FS_IOC_SETFLAGS)
		err = fold_check(fd, v->flags);
	if (!err) {
		epoch = cache_begin(fs->cache, id);
		err = set_as_caller(req, fd, cmd, v);
		attr_end(fs, r->node, r->fd, epoch);
		fuse_lowlevel_notify_inval_inode(fs->se, id, -1, 0);
	}
	if (err)
		reply_err(req, -err);
	else
		fuse_reply_ioctl(req, 0, NULL, 0);
}

static void run(fuse_req_t req, const struct ref *r, int fd, unsigned int cmd,
		const void *in, size_t size)
{
	union ioctl_value v = { 0 };

	if (size)
		memcpy(&v, in, size < sizeof(v) ? size : sizeof(v));
	switch (cmd) {
	case FS_IOC_GETFLAGS:
		get_value(req, fd, cmd, sizeof(v.flags));
		break;
	case FS_IOC_FSGETXATTR:
		get_value(req, fd, cmd, sizeof(v.attr));
		break;
	case FS_IOC_GETVERSION:
	case FS_IOC32_GETVERSION:
		get_value(req, fd, FS_IOC_GETVERSION, sizeof(v.version));
		break;
	case FS_IOC_SETFLAGS:
	case FS_IOC_FSSETXATTR:
		set_value(req, r, fd, cmd, &v);
		break;
	default:
		reply_err(req, ENOTTY);
	}
}

void op_ioctl(fuse_req_t req, fuse_ino_t ino, unsigned int cmd, void *arg,
	      struct fuse_file_info *fi, unsigned int flags, const void *in,
	      size_t in_size, size_t out_size)
{
	struct stackfs *fs = fuse_req_userdata(req);
	struct ref r;
	int fd;

	(void)arg;
	(void)fi;
	(void)flags;
	(void)out_size;
	fd = ref_get(fs, ino, &r);
	if (fd) {
		reply_err(req, -fd);
		return;
	}
	fd = ioctl_open(fs, &r);
	if (fd < 0) {
		reply_err(req, -fd);
	} else {
		run(req, &r, fd, cmd, in, in_size);
		close(fd);
	}
	ref_put(fs, &r);
}
