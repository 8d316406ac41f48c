// SPDX-License-Identifier: GPL-2.0
/*
 * Does an access move the atime?  The rules of fs/inode.c, which keeps them to
 * itself; touch_atime() goes by its own, so a difference would cost a run of the
 * program and never a wrong time.
 */
#include <linux/fs.h>
#include <linux/mount.h>

#define EXTFUSE_DAY (24 * 60 * 60)

static bool extfuse_relatime(const struct inode *inode, struct timespec64 now)
{
	struct timespec64 atime = inode_get_atime(inode);
	struct timespec64 mtime = inode_get_mtime(inode);
	struct timespec64 ctime = inode_get_ctime(inode);

	return timespec64_compare(&mtime, &atime) >= 0 ||
	       timespec64_compare(&ctime, &atime) >= 0 ||
	       (long)(now.tv_sec - atime.tv_sec) >= EXTFUSE_DAY;
}

bool atime_needs_update(const struct path *path, struct inode *inode)
{
	struct vfsmount *mnt = path->mnt;
	struct timespec64 now, atime;

	if (IS_NOATIME(inode) || (mnt->mnt_flags & MNT_NOATIME) ||
	    HAS_UNMAPPED_ID(mnt_idmap(mnt), inode))
		return false;
	if (S_ISDIR(inode->i_mode) &&
	    ((inode->i_sb->s_flags & SB_NODIRATIME) ||
	     (mnt->mnt_flags & MNT_NODIRATIME)))
		return false;
	now = current_time(inode);
	if ((mnt->mnt_flags & MNT_RELATIME) && !extfuse_relatime(inode, now))
		return false;
	atime = inode_get_atime(inode);
	return !timespec64_equal(&atime, &now);
}
