// SPDX-License-Identifier: GPL-2.0-only
/*
 * Lower inodes: which one it is, and what its mount forbids (C7).
 *
 * Our mount has the nosuid, nodev and noexec of the lower root's.  What is
 * mounted below, or a bind mount, may have more of them.  There setuid and
 * setgid bits and file capabilities are not shown, devices have the number 0,
 * which nothing answers to, and files are not opened to be executed.
 */
#include <errno.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>

#include "node.h"
#include "uapi.h"

#define LIMITS (ST_NOSUID | ST_NODEV | ST_NOEXEC)

int lower_flags(int fd, unsigned long *flags)
{
	struct statvfs sv;

	if (fstatvfs(fd, &sv))
		return -errno;
	*flags = sv.f_flag & LIMITS;
	return 0;
}

/* The mount is asked, which may be slow, only where a name leads into it. */
int lower_read(const struct nodes *t, const struct node *dir, int fd,
	       struct lower *l)
{
	unsigned long flags;
	struct statx stx;
	int err;

	if (statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS | STATX_MNT_ID,
		  &stx))
		return -errno;
	*l = (struct lower) {
		.dev = makedev(stx.stx_dev_major, stx.stx_dev_minor),
		.ino = stx.stx_ino,
		.type = stx.stx_mode & S_IFMT,
		.mnt = stx.stx_mnt_id,
	};
	if (dir && dir->mnt == l->mnt) {
		l->limits = dir->limits;
		return 0;
	}
	err = lower_flags(fd, &flags);
	if (!err)
		l->limits = flags & ~t->root_flags;
	return err;
}

void lower_restrict(const struct node *n, struct fuse_attr *a)
{
	if ((n->limits & ST_NOSUID) && S_ISREG(a->mode))
		a->mode &= ~(S_ISUID | S_ISGID);
	if ((n->limits & ST_NODEV) && (S_ISCHR(a->mode) || S_ISBLK(a->mode)))
		a->rdev = 0;
}
