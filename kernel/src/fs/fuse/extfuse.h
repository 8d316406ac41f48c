/* SPDX-License-Identifier: GPL-2.0 */
/*
 * ExtFUSE hooks of the FUSE driver.
 */
#ifndef _FS_FUSE_EXTFUSE_H
#define _FS_FUSE_EXTFUSE_H

#include <linux/extfuse.h>

#include "fuse_i.h"

#ifdef CONFIG_FUSE_EXTFUSE

u64 extfuse_init_in(struct fuse_mount *fm, struct fuse_init_in *in);
void extfuse_load_prog(struct fuse_mount *fm, struct fuse_init_out *out);
void extfuse_init_flags(struct fuse_mount *fm, u64 flags);
int extfuse_init_prog(struct fuse_conn *fc, u32 fd);
bool extfuse_attach(struct fuse_conn *fc, struct extfuse_prog *prog);
void extfuse_unload_prog(struct fuse_conn *fc);
bool extfuse_request_send(struct fuse_mount *fm, struct fuse_args *args,
			  ssize_t *ret);
int extfuse_read_ask(struct file *file);
int extfuse_write_enter(struct file *file, u64 *cookie);
void extfuse_write_exit(struct file *file, int verdict, u64 cookie);
void extfuse_move_atime(struct file *file, bool publish);
void extfuse_submit_begin(struct inode *inode);
void extfuse_submit_end(struct inode *inode);
void extfuse_end_write(struct inode *inode);
void extfuse_mmap(struct inode *inode, struct vm_area_struct *vma);
long extfuse_status(struct fuse_conn *fc, void __user *argp);
int extfuse_sysfs_init(struct kobject *kobj);

static inline bool extfuse_attached(struct fuse_conn *fc)
{
	return rcu_access_pointer(fc->extfuse_prog);
}

/**
 * extfuse_read_enter() - before a read of a passthrough file
 * @file: the file
 *
 * Return: EXTFUSE_UPCALL to have the daemon do it, else EXTFUSE_PASSTHRU
 */
static inline int extfuse_read_enter(struct file *file)
{
	struct fuse_file *ff = file->private_data;

	if (ff->extfuse_read_passthru || !extfuse_attached(ff->fm->fc))
		return EXTFUSE_PASSTHRU;
	return extfuse_read_ask(file);
}

/**
 * extfuse_accessed() - after a read or mmap of a passthrough file
 * @file: the file
 * @publish: let the program have the attributes; not under mmap_lock, where a
 *	lower file system may not ask for them
 *
 * A backing file of a connection with a program is opened with O_NOATIME, and
 * its atime is moved here, by the rules of the lower mount and unless the mount
 * itself is noatime or read-only: so the program sees it before and after, and
 * reads that do not move it cost nothing.
 */
static inline void extfuse_accessed(struct file *file, bool publish)
{
	if (fuse_file_passthrough(file->private_data)->f_flags & O_NOATIME)
		extfuse_move_atime(file, publish);
}

/* Take our flags off before the driver looks at those that it knows. */
static inline void extfuse_opened(struct fuse_file *ff)
{
	if (!ff->fm->fc->extfuse_agreed)
		return;
	ff->extfuse_unopened = ff->open_flags & EXTFUSE_FOPEN_UNOPENED;
	ff->extfuse_read_passthru = ff->open_flags & EXTFUSE_FOPEN_READ_PASSTHRU;
	ff->open_flags &= ~(EXTFUSE_FOPEN_UNOPENED |
			    EXTFUSE_FOPEN_READ_PASSTHRU);
}

static inline bool extfuse_unopened(const struct fuse_file *ff)
{
	return ff->extfuse_unopened;
}

/* Which attributes no reply makes known: see extfuse_mmap(). */
static inline u32 extfuse_unknown(const struct fuse_inode *fi)
{
	return READ_ONCE(fi->extfuse_mapped) ?
	       STATX_BLOCKS | STATX_MTIME | STATX_CTIME : 0;
}

#else

static inline u64 extfuse_init_in(struct fuse_mount *fm,
				  struct fuse_init_in *in)
{
	return 0;
}

static inline void extfuse_load_prog(struct fuse_mount *fm,
				     struct fuse_init_out *out)
{
}

static inline void extfuse_init_flags(struct fuse_mount *fm, u64 flags)
{
}

static inline void extfuse_unload_prog(struct fuse_conn *fc)
{
}

static inline bool extfuse_request_send(struct fuse_mount *fm,
					struct fuse_args *args, ssize_t *ret)
{
	return false;
}

static inline int extfuse_read_enter(struct file *file)
{
	return EXTFUSE_PASSTHRU;
}

static inline int extfuse_write_enter(struct file *file, u64 *cookie)
{
	return EXTFUSE_PASSTHRU;
}

static inline void extfuse_write_exit(struct file *file, int verdict, u64 cookie)
{
}

static inline void extfuse_accessed(struct file *file, bool publish)
{
}

static inline void extfuse_submit_begin(struct inode *inode)
{
}

static inline void extfuse_submit_end(struct inode *inode)
{
}

static inline void extfuse_end_write(struct inode *inode)
{
}

static inline void extfuse_mmap(struct inode *inode, struct vm_area_struct *vma)
{
}

static inline long extfuse_status(struct fuse_conn *fc, void __user *argp)
{
	return -ENOTTY;
}

static inline int extfuse_sysfs_init(struct kobject *kobj)
{
	return 0;
}

static inline bool extfuse_attached(struct fuse_conn *fc)
{
	return false;
}

static inline void extfuse_opened(struct fuse_file *ff)
{
}

static inline bool extfuse_unopened(const struct fuse_file *ff)
{
	return false;
}

static inline u32 extfuse_unknown(const struct fuse_inode *fi)
{
	return 0;
}

#endif /* CONFIG_FUSE_EXTFUSE */

/*
 * How backing files are opened: see extfuse_accessed().  A file system that moves
 * no atime by itself hands the flag on, to a server that may not use it.
 */
static inline unsigned int extfuse_open_flags(struct fuse_conn *fc,
					      struct file *lower)
{
	return extfuse_attached(fc) && !(file_inode(lower)->i_flags & S_NOATIME) ?
	       O_NOATIME : 0;
}

/*
 * What a write takes away of setuid and setgid is decided by the mode in our inode,
 * not by the lower one, which is written to with the server's rights: it must not
 * be older than attributes may be.
 */
static inline int extfuse_update_mode(struct file *file)
{
	struct inode *inode = file_inode(file);

	return extfuse_attached(get_fuse_conn(inode)) ?
	       fuse_update_attributes(inode, file, STATX_MODE) : 0;
}

#endif /* _FS_FUSE_EXTFUSE_H */
