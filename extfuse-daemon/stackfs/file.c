// SPDX-License-Identifier: GPL-2.0-only
/*
 * Files: open, create, close.  Reading and writing is in io.c.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "change.h"

/* The kernel's name of a file without one (vfs_tmpfile()): see op_create(). */
#define TMPFILE_NAME "/"

/* The kernel's FMODE_EXEC, which FUSE hands on: the file shall be executed. */
#define OPEN_EXEC 0x20

/*
 * O_APPEND is dropped: each write tells it of its own (io.c), unless the file is
 * append-only.  O_DIRECT is only tried (see direct_tried()).  With passthrough the
 * kernel opens the lower file once more, with the caller's flags.  With a
 * writeback cache the kernel reads what it writes.
 */
static int open_flags(const struct stackfs *fs, int flags)
{
	flags &= ~(O_CREAT | O_EXCL | O_NOCTTY | O_NOFOLLOW | O_APPEND);
	if (fs->opts.writeback && (flags & O_ACCMODE) == O_WRONLY)
		flags = (flags & ~O_ACCMODE) | O_RDWR;
	return flags | noatime_flag(fs, S_IFREG) | O_CLOEXEC;
}

int noatime_flag(const struct stackfs *fs, mode_t type)
{
	unsigned long flags = MS_NOATIME | MS_RDONLY;

	if (S_ISDIR(type))
		flags |= MS_NODIRATIME;
	return fs->opts.ms_flags & flags ? O_NOATIME : 0;
}

/* What lost its last name while it was open is gone now. */
static void node_closed(struct stackfs *fs, struct node *n)
{
	int fd = atomic_load(&n->removed) ? node_fd_get(&fs->nodes, n) : -1;

	if (fd < 0)
		return;
	node_fd_removed(&fs->nodes, n, fd);
	node_fd_put(n);
}

static void file_destroy(struct stackfs *fs, struct handle *h)
{
	struct file *f = (struct file *)h;

	locks_release(fs, f);
	backing_detach(fs, f);
	if (f->flushes)
		cache_writers(fs->cache, f->node->id, -1);
	/* whoever closed it has had its answer, of FLUSH */
	if (close(f->fd) && f->writes)
		log_warn("closing a file that was written to: %s",
			 strerror(errno));
	node_closed(fs, f->node);
	node_put(&fs->nodes, f->node);
	free(f);
}

/*
 * That the lower file system has it is all that was to be known: requests carry
 * data at no particular alignment.
 */
static bool direct_tried(int fd, int flags)
{
	if (!(flags & O_DIRECT))
		return false;
	fcntl(fd, F_SETFL, flags & ~O_DIRECT);
	return true;
}

/* Takes over @fd, and a reference to the node of its own. */
static struct file *file_new(struct stackfs *fs, struct node *n, int fd)
{
	struct file *f = malloc(sizeof(*f));
	int flags = fcntl(fd, F_GETFL);

	if (!f)
		return NULL;
	f->fd = fd;
	f->writes = (flags & O_ACCMODE) != O_RDONLY;
	f->appends = flags & O_APPEND;
	f->noatime = flags & O_NOATIME;
	f->direct = direct_tried(fd, flags);
	f->node = node_get(&fs->nodes, n->id);
	f->flushes = f->writes || fs->locks;
	if (f->flushes)
		cache_writers(fs->cache, n->id, 1);
	backing_attach(fs, f);
	handle_add(fs, &f->handle, file_destroy);
	return f;
}

/*
 * C6: FLUSH is worth a trip only where the lower close may have something to
 * report, which it has not of a file that is open for reading, or where it gives
 * up locks.
 */
static uint32_t flush_flag(const struct stackfs *fs, const struct file *f)
{
	if (fs->locks)
		return 0;
	return !f->writes || (f->node->traits & LOWER_NATIVE) ? FOPEN_NOFLUSH : 0;
}

/* The program publishes what a write or a moved atime comes to; reads just go down. */
static uint32_t passthrough_flags(const struct stackfs *fs, const struct file *f)
{
	if (!f->backing_id)
		return 0;
	return FOPEN_PASSTHROUGH |
	       (fs->cache ? EXTFUSE_FOPEN_READ_PASSTHRU : 0);
}

static struct fuse_open_out file_open_out(const struct stackfs *fs,
					  const struct file *f)
{
	/* by position: what is backing_id since Linux 6.9 was padding */
	return (struct fuse_open_out) {
		(uintptr_t)f,
		flush_flag(fs, f) | passthrough_flags(fs, f),
		f->backing_id,
	};
}

/*
 * Whoever has a lease on the file lets an open wait, for lease-break-time: half
 * of the threads may, so that no user can stop them all.
 */
static int open_waiting(const char *path, int flags)
{
	static atomic_int waiting;
	int fd;

	fd = open(path, flags | O_NONBLOCK);
	if (fd >= 0 && !(flags & (O_NONBLOCK | O_PATH)))
		fcntl(fd, F_SETFL, flags);
	if (fd >= 0 || errno != EWOULDBLOCK || (flags & O_NONBLOCK))
		return fd;
	if (atomic_fetch_add(&waiting, 1) < STACKFS_THREADS / 2) {
		fd = open(path, flags);
		atomic_fetch_sub(&waiting, 1);
		return fd;
	}
	atomic_fetch_sub(&waiting, 1);
	errno = EWOULDBLOCK;
	return -1;
}

int node_open(struct stackfs *fs, int node_fd, int flags)
{
	char path[PROC_FD_LEN];
	int fd;

	proc_fd(path, node_fd);
	do
		fd = open_waiting(path, flags);
	while (fd < 0 && nodes_fd_relieve(&fs->nodes, errno));
	return fd < 0 ? -errno : fd;
}

int file_fd_get(struct stackfs *fs, fuse_ino_t ino,
		const struct fuse_file_info *fi)
{
	struct ref r;
	int fd;

	if (file_of(fi))
		return file_of(fi)->fd;
	fd = ref_get(fs, ino, &r);
	if (fd)
		return fd;
	fd = node_open(fs, r.fd, open_flags(fs, O_RDONLY));
	ref_put(fs, &r);
	return fd;
}

void file_fd_put(const struct fuse_file_info *fi, int fd)
{
	if (!file_of(fi))
		close(fd);
}

/* As the caller, without whose CAP_FSETID setuid and setgid go with the data */
static int open_truncate(fuse_req_t req, const struct ref *r, int flags)
{
	struct stackfs *fs = fuse_req_userdata(req);
	uint64_t epoch, xepoch, id = r->node->id;
	struct creds cr;
	int fd;

	fd = creds_change(&cr, fuse_req_ctx(req), r->fd, false);
	if (fd)
		return fd;
	epoch = cache_begin(fs->cache, id);
	xepoch = cache_xattr_begin(fs->cache, id);
	fd = node_open(fs, r->fd, flags);
	cache_xattr_end(fs->cache, id, xepoch);
	attr_end(fs, r->node, r->fd, epoch);
	creds_leave(&cr);
	return fd;
}

/*
 * A lower file that can only be appended to opens for nothing else.  What the
 * kernel writes back later, or has mapped by passthrough, would have no such bounds.
 */
static bool may_append(struct stackfs *fs, const struct node *n, int flags)
{
	return (flags & O_APPEND) && !fs->opts.writeback &&
	       !backing_used(fs, n);
}

static int open_lower(fuse_req_t req, const struct ref *r, int flags)
{
	struct stackfs *fs = fuse_req_userdata(req);
	int lower = open_flags(fs, flags), fd;

	/* Opening a FIFO or a device is the kernel's own business. */
	if (!S_ISREG(r->node->type))
		return -EINVAL;
	/* C7: with permission, but not from that mount. */
	if ((flags & OPEN_EXEC) && (r->node->limits & ST_NOEXEC))
		return -EACCES;
	if (lower & O_TRUNC)
		return open_truncate(req, r, lower);
	fd = node_open(fs, r->fd, lower);
	if (fd == -EPERM && may_append(fs, r->node, flags))
		fd = node_open(fs, r->fd, lower | O_APPEND);
	return fd;
}

void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct stackfs *fs = fuse_req_userdata(req);
	struct fuse_open_out out;
	struct file *f;
	struct ref r;
	int fd;

	fd = ref_get(fs, ino, &r);
	if (fd) {
		reply_err(req, -fd);
		return;
	}
	fd = open_lower(req, &r, fi->flags);
	f = fd < 0 ? NULL : file_new(fs, r.node, fd);
	ref_put(fs, &r);
	if (!f) {
		reply_err(req, fd < 0 ? -fd : ENOMEM);
		if (fd >= 0)
			close(fd);
		return;
	}
	out = file_open_out(fs, f);
	if (fuse_reply_buf(req, (char *)&out, sizeof(out)))
		handle_free(fs, &f->handle);
}

/*
 * C7: always exclusive.  The kernel found no such name and so has checked the
 * permission to make one, not to open one; what was made in the lower directory
 * meanwhile must be looked up and checked, which ESTALE makes the kernel do.
 */
static int create_lower(fuse_req_t req, const struct ref *dir,
			const char *name, mode_t mode, int flags)
{
	struct stackfs *fs = fuse_req_userdata(req);
	char path[PROC_FD_LEN];
	struct creds cr;
	struct stat st;
	int fd;

	fd = creds_make(&cr, fuse_req_ctx(req), make_sgid(dir, mode, &st));
	if (fd)
		return fd;
	do {
		if (name)
			fd = openat(dir->fd, name, open_flags(fs, flags) |
				    O_CREAT | O_EXCL | O_NOFOLLOW, mode);
		else
			fd = open(proc_fd(path, dir->fd),
				  open_flags(fs, flags) | O_TMPFILE |
				  (flags & O_EXCL), mode);
	} while (fd < 0 && nodes_fd_relieve(&fs->nodes, errno));
	if (fd < 0)
		fd = -errno;
	creds_leave(&cr);
	if (fd == -EEXIST && !(flags & O_EXCL))
		fd = -ESTALE;
	return fd;
}

static int create_node(struct stackfs *fs, const struct node *dir, int fd,
		       struct ref *r)
{
	struct node *n;
	struct lower l;
	int path_fd, err;

	err = lower_read(&fs->nodes, dir, NULL, fd, &l);
	if (err)
		return err;
	path_fd = node_open(fs, fd, O_PATH | O_CLOEXEC);
	if (path_fd < 0)
		return path_fd;
	err = node_make(&fs->nodes, path_fd, &l, &n);
	return err ? err : ref_node(fs, n, r);
}

static void create_reply(fuse_req_t req, const struct ref *r, struct file *f,
			 const struct fuse_entry_out *entry)
{
	struct stackfs *fs = fuse_req_userdata(req);
	const struct {
		struct fuse_entry_out entry;
		struct fuse_open_out open;
	} out = { .entry = *entry, .open = file_open_out(fs, f) };

	if (fuse_reply_buf(req, (char *)&out, sizeof(out))) {
		node_replied(r->node, -1);
		handle_free(fs, &f->handle);
	}
}

/* Makes the node and the file of @fd, which it takes over. */
static int create_finish(fuse_req_t req, const struct change *ch,
			 const char *name, int fd)
{
	struct stackfs *fs = fuse_req_userdata(req);
	struct fuse_entry_out entry;
	struct file *f;
	struct ref r;
	int err;

	err = create_node(fs, ch->dir.node, fd, &r);
	if (err)
		goto fail_fd;
	f = file_new(fs, r.node, fd);
	err = f ? 0 : -ENOMEM;
	if (err)
		goto fail_ref;
	xattr_new(fs, &r);
	err = entry_publish(fs, name ? ch->dir.node : NULL, ch->epoch, name,
			    &r, &entry);
	if (err)
		handle_free(fs, &f->handle);
	else
		create_reply(req, &r, f, &entry);
	ref_put(fs, &r);
	return err;

fail_ref:
	ref_put(fs, &r);
fail_fd:
	close(fd);
	return err;
}

/* O_TMPFILE changes no name and no directory. */
static int create_tmpfile(fuse_req_t req, fuse_ino_t parent, mode_t mode,
			  int flags)
{
	struct stackfs *fs = fuse_req_userdata(req);
	struct change ch = { 0 };
	int fd;

	fd = ref_get(fs, parent, &ch.dir);
	if (fd)
		return fd;
	fd = create_lower(req, &ch.dir, NULL, mode, flags);
	if (fd >= 0)
		fd = create_finish(req, &ch, NULL, fd);
	change_put(fs, &ch);
	return fd;
}

static int create_named(fuse_req_t req, fuse_ino_t parent, const char *name,
			mode_t mode, int flags)
{
	struct stackfs *fs = fuse_req_userdata(req);
	struct change ch;
	int fd;

	fd = change_begin(fs, parent, name, &ch);
	if (fd)
		return fd;
	fd = create_lower(req, &ch.dir, name, mode, flags);
	change_end(fs, &ch);
	if (fd >= 0)
		fd = create_finish(req, &ch, name, fd);
	change_put(fs, &ch);
	return fd;
}

/*
 * libfuse 3.14 has no TMPFILE; its arguments are those of CREATE, so session.c
 * hands it to us as one.  A real CREATE never has a slash in its name.
 */
void op_create(fuse_req_t req, fuse_ino_t parent, const char *name,
	       mode_t mode, struct fuse_file_info *fi)
{
	int err;

	if (!strcmp(name, TMPFILE_NAME))
		err = create_tmpfile(req, parent, mode, fi->flags);
	else
		err = create_named(req, parent, name, mode, fi->flags);
	if (err)
		reply_err(req, -err);
}

/*
 * What the lower file system reports when a file is closed.  Without a descriptor
 * that can be, what is dirty is written and waited for, which says if that
 * failed; unheard is then what it would have reported of the close alone.
 */
static int close_error(struct stackfs *fs, int fd)
{
	int copy, err;

	do
		copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	while (copy < 0 && nodes_fd_relieve(&fs->nodes, errno));
	if (copy >= 0)
		err = close(copy);
	else
		err = sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE_AND_WAIT);
	return err ? errno : 0;
}

void op_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct stackfs *fs = fuse_req_userdata(req);
	struct file *f = file_of(fi);
	int err = 0;

	(void)ino;
	if (f)
		locks_flush(fs, f, fi->lock_owner);
	if (f && f->writes)
		err = close_error(fs, f->fd);
	reply_err(req, err);
}

void op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ino;
	if (file_of(fi))
		handle_free(fuse_req_userdata(req), &file_of(fi)->handle);
	reply_err(req, 0);
}
