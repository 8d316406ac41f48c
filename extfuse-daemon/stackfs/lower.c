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

/* Of other trees, and of no header */
#define ZFS_SUPER_MAGIC		0x2fc12fc1
#define BCACHEFS_SUPER_MAGIC	0xca451a4e
#define LUSTRE_SUPER_MAGIC	0x0bd00bd0
#define GPFS_SUPER_MAGIC	0x47504653
#define BEEGFS_SUPER_MAGIC	0x19830326
#define ORANGEFS_SUPER_MAGIC	0x20030528
#define VBOXSF_SUPER_MAGIC	0x786f4256
#define AUFS_SUPER_MAGIC	0x61756673
#define UBIFS_SUPER_MAGIC	0x24051905

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

uint64_t lower_hash(uint64_t hash, const void *bytes, size_t size)
{
	const char *at = bytes, *end = at + size;
	uint64_t word;

	for (; at < end; at += sizeof(word)) {
		word = 0;
		memcpy(&word, at, end - at < 8 ? end - at : 8);
		hash = extfuse_hash_step(hash, word);
	}
	return hash;
}

static unsigned int type_traits(const struct statfs *sf)
{
	switch ((uint32_t)sf->f_type) {
	case EXT4_SUPER_MAGIC:
	case XFS_SUPER_MAGIC:
	case TMPFS_MAGIC:
		return LOWER_NATIVE | LOWER_SEEKS;
	case BTRFS_SUPER_MAGIC:
		/* a listing ends with what was there when it was opened */
		return LOWER_NATIVE;
	case FUSE_SUPER_MAGIC:
		return LOWER_BY_HANDLE;
	case OVERLAYFS_SUPER_MAGIC:
		return LOWER_BY_NAME;
	case MSDOS_SUPER_MAGIC:
	case EXFAT_SUPER_MAGIC:
	case NTFS3_SUPER_MAGIC:
	case HFS_SUPER_MAGIC:
	case HFSPLUS_SUPER_MAGIC:
	case CIFS_SUPER_MAGIC:
	case SMB2_SUPER_MAGIC:
	case SMB_SUPER_MAGIC:
		return LOWER_FOLDS;
	}
	return 0;
}

unsigned int lower_traits(int fd, const struct statfs *sf)
{
	unsigned int traits = type_traits(sf);

	if (!(traits & LOWER_FOLDS) && has_casefold_flag(fd))
		traits |= LOWER_FOLDS;
	return traits;
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
		     (strstr(line, " - fuse.extfuse ") ||
		      strstr(line, " - extfuse "));
	free(line);
	fclose(f);
	return is;
}

/*
 * Another ExtFUSE mount, or ours once more, may lead back here, and each time
 * round takes a thread.
 */
static int may_enter(int fd)
{
	struct statfs sf;
	int err = is_extfuse(fd);

	if (err)
		return err < 0 ? err : -ELOOP;
	if (fstatfs(fd, &sf))
		return -errno;
	return lower_stores(fd, &sf) ? 0 : -EACCES;
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

/* Those that keep files, but not on one block device of their own, which tells it */
static bool type_stores(uint32_t type)
{
	static const uint32_t types[] = {
		TMPFS_MAGIC, RAMFS_MAGIC, OVERLAYFS_SUPER_MAGIC, FUSE_SUPER_MAGIC,
		BTRFS_SUPER_MAGIC, BCACHEFS_SUPER_MAGIC, ZFS_SUPER_MAGIC, UBIFS_SUPER_MAGIC,
		NFS_SUPER_MAGIC, CIFS_SUPER_MAGIC, SMB2_SUPER_MAGIC, SMB_SUPER_MAGIC,
		CEPH_SUPER_MAGIC, LUSTRE_SUPER_MAGIC, GPFS_SUPER_MAGIC, BEEGFS_SUPER_MAGIC,
		ORANGEFS_SUPER_MAGIC, AFS_FS_MAGIC, AFS_SUPER_MAGIC, CODA_SUPER_MAGIC,
		V9FS_MAGIC, VBOXSF_SUPER_MAGIC, HOSTFS_SUPER_MAGIC, ECRYPTFS_SUPER_MAGIC,
		AUFS_SUPER_MAGIC, EROFS_SUPER_MAGIC_V1, AUTOFS_SUPER_MAGIC,
	};
	size_t i;

	for (i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (types[i] == type)
			return true;
	return false;
}

/*
 * Whatever their modes say, files of the kernel's interfaces act by the rights of who
 * opened them, or writes, which would be root's.  New ones come with every kernel, so what
 * is known is the other kind.
 */
bool lower_stores(int fd, const struct statfs *sf)
{
	struct statx stx;

	if (type_stores(sf->f_type))
		return true;
	return !statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, 0, &stx) &&
	       stx.stx_dev_major;
}

/*
 * overlayfs without an index: hard links in a lower layer have one number, and are
 * files of their own as soon as one is changed.  Not even handles differ.
 */
static uint64_t name_fid(const struct lower *l, const struct node *dir,
			 const char *name)
{
	uint64_t place[2] = { dir->dev, dir->ino };

	if (!name || l->type == S_IFDIR)
		return 0;
	return lower_hash(lower_hash(0, place, sizeof(place)), name,
			  strlen(name));
}

/* The mount is asked, which may be slow, only where a name leads into it. */
int lower_read(const struct nodes *t, const struct node *dir, const char *name,
	       int fd, struct lower *l)
{
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
		l->traits = dir->traits;
	} else if (fstatfs(fd, &sf)) {
		return -errno;
	} else {
		l->limits = sf.f_flags & LOWER_LIMITS & ~t->root_flags;
		l->traits = lower_traits(fd, &sf);
	}
	if (l->traits & LOWER_BY_HANDLE)
		l->fid = node_fid(fd);
	else if ((l->traits & LOWER_BY_NAME) && stx.stx_nlink > 1)
		l->fid = name_fid(l, dir, name);
	l->known = known_place(t, l, fd);
	return 0;
}

void lower_restrict(const struct node *n, struct fuse_attr *a)
{
	if ((n->limits & ST_NOSUID) && S_ISREG(a->mode))
		a->mode &= ~(S_ISUID | S_ISGID);
	if ((n->limits & ST_NODEV) && (S_ISCHR(a->mode) || S_ISBLK(a->mode)))
		a->rdev = 0;
}
