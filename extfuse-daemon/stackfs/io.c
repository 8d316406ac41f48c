// SPDX-License-Identifier: GPL-2.0-only
/*
 * Files: data.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "stackfs.h"

/*
 * No more is copied by one request: it holds a thread, and whoever asked cannot be
 * killed, until it is done.
 */
#define COPY_MAX (4 << 20)

/* Less is copied sooner. */
#define SPLICE_MIN 8192

/*
 * The kernel takes what is short for the end of the file: an error after a part is
 * an error.  It asks again for less, to give what there is.
 */
static ssize_t pread_all(int fd, char *buf, size_t size, off_t off)
{
	size_t done = 0;
	ssize_t n;

	while (done < size) {
		n = pread(fd, buf + done, size - done, off + done);
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		done += n;
	}
	return done;
}

/*
 * A short read of a FUSE file is no end, but the kernel takes it for one when it
 * splices.  Of what is mounted below nothing is known.
 */
static bool may_splice(const struct stackfs *fs, const struct file *f)
{
	return fs->splice && f && f->node->dev == fs->nodes.root_dev;
}

/* Whether it moved atime or not must be known before the reply (C2). */
static void read_copied(fuse_req_t req, fuse_ino_t ino, int fd, size_t size,
			off_t off, struct cache_read watch)
{
	struct stackfs *fs = fuse_req_userdata(req);
	char *buf = malloc(size);
	ssize_t n = -ENOMEM;

	if (buf)
		n = pread_all(fd, buf, size, off);
	cache_read_end(fs->cache, ino, watch);
	if (n < 0)
		reply_err(req, -n);
	else
		fuse_reply_buf(req, buf, n);
	free(buf);
}

/*
 * By way of a pipe of ours: of an error after a part libfuse would say nothing.
 * Returns -EAGAIN without a reply if it cannot be done.
 */
static int read_spliced(fuse_req_t req, int fd, size_t size, off_t off)
{
	struct stackfs *fs = fuse_req_userdata(req);
	struct fuse_bufvec buf = FUSE_BUFVEC_INIT(0);
	struct pipe *p = pipe_get(fs);
	int err = 0;
	ssize_t n;

	if (!p)
		return -EAGAIN;
	n = pipe_fill(p, fd, size, off);
	if (n >= 0) {
		buf.buf[0].flags = FUSE_BUF_IS_FD | FUSE_BUF_FD_RETRY;
		buf.buf[0].fd = p->fd[0];
		buf.buf[0].size = n;
		/* Copied: moved pages would leave the lower file's cache. */
		err = fuse_reply_data(req, &buf, 0);
	} else if (n != -EAGAIN) {
		reply_err(req, -n);
	}
	pipe_put(fs, p, n >= 0 && !err);
	return n == -EAGAIN ? -EAGAIN : 0;
}

/* fcntl(2) may have changed it since the file was opened. */
static void noatime_follow(const struct stackfs *fs, struct file *f, int flags)
{
	int wanted = (flags & O_NOATIME) | noatime_flag(fs, S_IFREG);

	if (!f || atomic_exchange(&f->noatime, wanted) == wanted)
		return;
	flags = fcntl(f->fd, F_GETFL);
	fcntl(f->fd, F_SETFL, (flags & ~O_NOATIME) | wanted);
}

void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
	     struct fuse_file_info *fi)
{
	struct stackfs *fs = fuse_req_userdata(req);
	int fd = file_fd_get(fs, ino, fi);
	struct cache_read watch;

	if (fd < 0) {
		reply_err(req, -fd);
		return;
	}
	noatime_follow(fs, file_of(fi), fi->flags);
	watch = cache_read_begin(fs->cache, ino);
	if (watch.epoch || size < SPLICE_MIN || !may_splice(fs, file_of(fi)) ||
	    read_spliced(req, fd, size, off))
		read_copied(req, ino, fd, size, off, watch);
	file_fd_put(fi, fd);
}

/* As the request says: the file may have been opened otherwise. */
static int sync_flags(int flags)
{
	if ((flags & O_SYNC) == O_SYNC)
		return RWF_SYNC;
	return flags & O_DSYNC ? RWF_DSYNC : 0;
}

/*
 * What is appended goes to the end that the lower file has now.  Pages that
 * were stored to through a mapping go where they belong, though the file that
 * they come from may be open for appending.  A writeback cache knows the end of
 * the file better than the lower file does.
 *
 * An append-only file takes all for appended: what is not must not get there.
 */
static ssize_t write_lower(const struct stackfs *fs, const char *buf,
			   size_t size, off_t off,
			   const struct fuse_file_info *fi)
{
	const struct iovec iov = { (char *)buf, size };
	bool append = (fi->flags & O_APPEND) && !fi->writepage &&
		      !fs->opts.writeback;
	ssize_t n;

	if (file_of(fi)->appends && !append)
		return -EPERM;
	n = pwritev2(file_of(fi)->fd, &iov, 1, off, sync_flags(fi->flags) |
		     (append ? RWF_APPEND : 0));
	return n < 0 ? -errno : n;
}

/*
 * Whoever wrote them has been told that they are written: a part is not enough,
 * and the kernel takes a short count for all.
 */
static ssize_t write_all(const struct stackfs *fs, const char *buf, size_t size,
			 off_t off, const struct fuse_file_info *fi)
{
	size_t done = 0;
	ssize_t n;

	while (done < size) {
		n = write_lower(fs, buf + done, size - done, off + done, fi);
		if (n <= 0)
			return n < 0 ? n : -EIO;
		done += n;
	}
	return done;
}

static pthread_mutex_t caps_locks[] = {
	[0 ... 15] = PTHREAD_MUTEX_INITIALIZER,
};

pthread_mutex_t *caps_lock(const struct node *n)
{
	return &caps_locks[n->index % 16];
}

/*
 * C6: pages that the kernel kept, or that were stored to through a mapping.
 * What was written took the file's capabilities when it was written, and what
 * was stored takes none: those that are there by now must stay.
 */
static ssize_t write_pages(const struct stackfs *fs, const char *buf,
			   size_t size, off_t off,
			   const struct fuse_file_info *fi)
{
	struct file *f = file_of(fi);
	uint64_t epoch = 0, id = f->node->id;
	char caps[64];
	ssize_t len, n;

	pthread_mutex_lock(caps_lock(f->node));
	/* hidden, they were not taken when it was written */
	len = f->node->limits & ST_NOSUID ? 0 :
	      fgetxattr(f->fd, CAPS_XATTR, caps, sizeof(caps));
	if (len > 0)
		epoch = cache_xattr_begin(fs->cache, id);
	n = write_all(fs, buf, size, off, fi);
	if (len > 0) {
		if (fsetxattr(f->fd, CAPS_XATTR, caps, len, 0))
			log_warn("capabilities of a file are lost: %s",
				 strerror(errno));
		cache_xattr_end(fs->cache, id, epoch);
	}
	pthread_mutex_unlock(caps_lock(f->node));
	return n;
}

/* Replies if it fails; whoever writes has opened the file with us. */
static int change_enter(fuse_req_t req, const struct fuse_file_info *fi,
			struct creds *cr)
{
	const struct file *f = file_of(fi);
	int err;

	err = f ? creds_change(cr, fuse_req_ctx(req), f->fd,
			       !(f->node->limits & ST_NOSUID)) : -EBADF;
	if (err)
		reply_err(req, -err);
	return err;
}

/* Before a write the kernel has looked at the mode, where that is the lower one. */
static int write_enter(fuse_req_t req, const struct fuse_file_info *fi,
		       struct creds *cr)
{
	if (file_of(fi) && !(file_of(fi)->node->limits & ST_NOSUID)) {
		*cr = (struct creds) { 0 };
		return 0;
	}
	return change_enter(req, fi, cr);
}

void op_write(fuse_req_t req, fuse_ino_t ino, const char *buf, size_t size,
	      off_t off, struct fuse_file_info *fi)
{
	struct stackfs *fs = fuse_req_userdata(req);
	struct creds cr;
	uint64_t epoch;
	ssize_t n;

	if (write_enter(req, fi, &cr))
		return;
	epoch = cache_begin(fs->cache, ino);
	n = fi->writepage ? write_pages(fs, buf, size, off, fi) :
			    write_lower(fs, buf, size, off, fi);
	cache_end(fs->cache, ino, epoch);
	creds_leave(&cr);
	if (n < 0)
		reply_err(req, -n);
	else
		fuse_reply_write(req, n);
}

void op_fsync(fuse_req_t req, fuse_ino_t ino, int datasync,
	      struct fuse_file_info *fi)
{
	int fd = file_fd_get(fuse_req_userdata(req), ino, fi);

	if (fd < 0) {
		reply_err(req, -fd);
		return;
	}
	reply_err(req, (datasync ? fdatasync(fd) : fsync(fd)) ? errno : 0);
	file_fd_put(fi, fd);
}

void op_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t off,
		  off_t len, struct fuse_file_info *fi)
{
	struct stackfs *fs = fuse_req_userdata(req);
	struct creds cr;
	uint64_t epoch;
	int err;

	if (change_enter(req, fi, &cr))
		return;
	epoch = cache_begin(fs->cache, ino);
	err = fallocate(file_of(fi)->fd, mode, off, len) ? errno : 0;
	attr_end(fs, file_of(fi)->node, file_of(fi)->fd, epoch);
	creds_leave(&cr);
	reply_err(req, err);
}

void op_lseek(fuse_req_t req, fuse_ino_t ino, off_t off, int whence,
	      struct fuse_file_info *fi)
{
	int fd = file_fd_get(fuse_req_userdata(req), ino, fi);
	off_t ret;

	if (fd < 0) {
		reply_err(req, -fd);
		return;
	}
	ret = lseek(fd, off, whence);
	if (ret < 0)
		reply_err(req, errno);
	else
		fuse_reply_lseek(req, ret);
	file_fd_put(fi, fd);
}

void op_copy_file_range(fuse_req_t req, fuse_ino_t ino_in, off_t off_in,
			struct fuse_file_info *fi_in, fuse_ino_t ino_out,
			off_t off_out, struct fuse_file_info *fi_out,
			size_t len, int flags)
{
	struct stackfs *fs = fuse_req_userdata(req);
	int fd_in = file_fd_get(fs, ino_in, fi_in);
	uint64_t in = 0, out;
	struct creds cr;
	ssize_t n;

	if (fd_in < 0) {
		reply_err(req, -fd_in);
		return;
	}
	if (change_enter(req, fi_out, &cr))
		goto put;
	/* The destination's attributes, and the source's atime. */
	if (ino_in != ino_out)
		in = cache_begin(fs->cache, ino_in);
	out = cache_begin(fs->cache, ino_out);
	n = copy_file_range(fd_in, &off_in, file_of(fi_out)->fd,
			    &off_out, len < COPY_MAX ? len : COPY_MAX, flags);
	if (n < 0)
		n = -errno;
	attr_end(fs, file_of(fi_out)->node, file_of(fi_out)->fd, out);
	if (ino_in != ino_out)
		cache_end(fs->cache, ino_in, in);
	creds_leave(&cr);
	if (n < 0)
		reply_err(req, -n);
	else
		fuse_reply_write(req, n);
put:
	file_fd_put(fi_in, fd_in);
}
