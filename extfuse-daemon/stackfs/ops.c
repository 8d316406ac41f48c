// SPDX-License-Identifier: GPL-2.0-only
/*
 * The table of operations, and what is agreed on with the kernel.
 *
 * ACCESS is not here: with default_permissions the kernel decides by mode and ACL
 * (C7).  Locks are kept by the kernel unless lock=lower.
 */
#include "stackfs.h"

void op_init(void *userdata, struct fuse_conn_info *conn)
{
	struct stackfs *fs = userdata;
	unsigned int want = FUSE_CAP_DONT_MASK | FUSE_CAP_ASYNC_READ |
			    FUSE_CAP_ASYNC_DIO | FUSE_CAP_PARALLEL_DIROPS |
			    FUSE_CAP_READDIRPLUS | FUSE_CAP_READDIRPLUS_AUTO |
			    FUSE_CAP_SPLICE_WRITE | FUSE_CAP_ATOMIC_O_TRUNC |
			    FUSE_CAP_AUTO_INVAL_DATA | FUSE_CAP_POSIX_ACL |
			    FUSE_CAP_IOCTL_DIR;

	if (fs->opts.entry_timeout)
		want |= FUSE_CAP_CACHE_SYMLINKS;
	if (fs->opts.writeback)
		want |= FUSE_CAP_WRITEBACK_CACHE;
	if (fs->opts.lock_lower)
		want |= FUSE_CAP_POSIX_LOCKS | FUSE_CAP_FLOCK_LOCKS;
	/*
	 * Exactly these: libfuse's own choice has HANDLE_KILLPRIV, by which the
	 * kernel would leave it to us to clear setuid bits.
	 */
	conn->want = want & conn->capable;
	conn->max_write = STACKFS_MAX_DATA;
}

const struct fuse_lowlevel_ops stackfs_ops = {
	.init = op_init,
	.lookup = op_lookup,
	.forget = op_forget,
	.forget_multi = op_forget_multi,
	.getattr = op_getattr,
	.setattr = op_setattr,
	.readlink = op_readlink,
	.statfs = op_statfs,
	.mknod = op_mknod,
	.mkdir = op_mkdir,
	.symlink = op_symlink,
	.link = op_link,
	.unlink = op_unlink,
	.rmdir = op_rmdir,
	.rename = op_rename,
	.create = op_create,
	.open = op_open,
	.read = op_read,
	.write = op_write,
	.flush = op_flush,
	.release = op_release,
	.fsync = op_fsync,
	.fallocate = op_fallocate,
	.lseek = op_lseek,
	.copy_file_range = op_copy_file_range,
	.opendir = op_opendir,
	.readdir = op_readdir,
	.readdirplus = op_readdirplus,
	.releasedir = op_releasedir,
	.fsyncdir = op_fsyncdir,
	.setxattr = op_setxattr,
	.getxattr = op_getxattr,
	.listxattr = op_listxattr,
	.removexattr = op_removexattr,
	.getlk = op_getlk,
	.setlk = op_setlk,
	.flock = op_flock,
	.ioctl = op_ioctl,
	.bmap = op_statx,
};
