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
#include <linux/fs.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "node.h"
#include "uapi.h"

#ifndef NTFS3_SUPER_MAGIC
#define NTFS3_SUPER_MAGIC	0x7366746e	/* fs/ntfs3/ntfs_fs.h */
#endif
#define HFS_SUPER_MAGIC		0x4244		/* fs/hfs/hfs.h */
#define HFSPLUS_SUPER_MAGIC	0x482b		/* fs/hfsplus/hfsplus_raw.h */

bool lower_native(const struct statfs *sf)
{
	return sf->f_type == EXT4_SUPER_MAGIC || sf->f_type == XFS_SUPER_MAGIC ||
	       sf->f_type == BTRFS_SUPER_MAGIC || sf->f_type == TMPFS_MAGIC;
}

/* @fd may be O_PATH, which answers no ioctl(2). */
static bool has_casefold_flag(int fd)
{
	char path[PROC_FD_LEN];
	int flags = 0;

	fd = open(proc_fd(path, fd), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return false;
	if (ioctl(fd, FS_IOC_GETFLAGS, &flags))
		flags = 0;
	close(fd);
	return flags & FS_CASEFOLD_FL;
}

bool lower_folds_case(int fd, const struct statfs *sf)
{
	switch ((uint32_t)sf->f_type) {
	case MSDOS_SUPER_MAGIC:
	case EXFAT_SUPER_MAGIC:
	case NTFS3_SUPER_MAGIC:
	case HFS_SUPER_MAGIC:
	case HFSPLUS_SUPER_MAGIC:
	case CIFS_SUPER_MAGIC:
	case SMB2_SUPER_MAGIC:
	case SMB_SUPER_MAGIC:
		return true;
	}
	return has_casefold_flag(fd);
}

/* 1 or 0, without asking the daemon, which may wait for us */
static int is_extfuse(int fd)
{
	unsigned int major, minor;
	struct statx stx;
	char *line = NULL;
	size_t size = 0;
	int is = 0;
	FILE *f;

	if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, 0, &stx))
		return -errno;
	f = fopen("/proc/self/mountinfo", "re");
	if (!f)
		return -errno;
	while (!is && getline(&line, &size, f) > 0)
		is = sscanf(line, "%*u %*u %u:%u", &major, &minor) == 2 &&
		     major == stx.stx_dev_major && minor == stx.stx_dev_minor &&
		     strstr(line, " - fuse.extfuse ");
	free(line);
	fclose(f);
	return is;
}

/*
 * Another ExtFUSE mount, or ours once more, may lead back here, and each time
 * round takes a thread.  procfs decides by who asks, which would be root.
 */
static int may_enter(int fd)
{
	struct statfs sf;
	int err = is_extfuse(fd);

	if (err)
		return err < 0 ? err : -ELOOP;
	if (fstatfs(fd, &sf))
		return -errno;
	return lower_judges_caller(&sf) ? -EACCES : 0;
}

/*
 * No automount is set off: every listing would, and each that hangs would keep a
 * thread.
 */
int lower_enter(int dir, const char *name)
{
	int fd, err;

	fd = openat(dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	err = may_enter(fd);
	if (!err)
		return fd;
	close(fd);
	return err;
}

bool lower_judges_caller(const struct statfs *sf)
{
	return sf->f_type == PROC_SUPER_MAGIC;
}

/* The mount is asked, which may be slow, only where a name leads into it. */
int lower_read(const struct nodes *t, const struct node *dir, int fd,
	       struct lower *l)
{
	bool fids = dir && dir->fid;
	struct statfs sf;
	struct statx stx;

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
		l->folds = dir->folds;
		l->native = dir->native;
	} else if (fstatfs(fd, &sf)) {
		return -errno;
	} else {
		l->limits = sf.f_flags & LOWER_LIMITS & ~t->root_flags;
		l->folds = lower_folds_case(fd, &sf);
		l->native = lower_native(&sf);
		fids = sf.f_type == FUSE_SUPER_MAGIC;
	}
	if (fids)
		l->fid = node_fid(fd);
	return 0;
}

void lower_restrict(const struct node *n, struct fuse_attr *a)
{
	if ((n->limits & ST_NOSUID) && S_ISREG(a->mode))
		a->mode &= ~(S_ISUID | S_ISGID);
	if ((n->limits & ST_NODEV) && (S_ISCHR(a->mode) || S_ISBLK(a->mode)))
		a->rdev = 0;
}
