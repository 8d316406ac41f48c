// SPDX-License-Identifier: GPL-2.0-only
/*
 * Operations on an inode alone: forget, attributes, link target.
 */
#include <errno.h>
#include <limits.h>
#include <unistd.h>

#include "stackfs.h"

void op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t nlookup)
{
	struct stackfs *fs = fuse_req_userdata(req);

	node_forget(&fs->nodes, ino, nlookup);
	fuse_reply_none(req);
}

void op_forget_multi(fuse_req_t req, size_t count,
		     struct fuse_forget_data *forgets)
{
	struct stackfs *fs = fuse_req_userdata(req);
	size_t i;

	for (i = 0; i < count; i++)
		node_forget(&fs->nodes, forgets[i].ino, forgets[i].nlookup);
	fuse_reply_none(req);
}

/* The last name is gone, and the descriptor with it: not so what it was like. */
static int attr_last(struct stackfs *fs, fuse_ino_t ino,
		     struct fuse_attr_out *out)
{
	struct node *n;
	struct stat st;

	if (!node_last_stat(&fs->nodes, ino, &st))
		return -ESTALE;
	n = node_get(&fs->nodes, ino);
	if (!n)
		return -ESTALE;
	attr_publish(fs, n, 0, &st, out);
	node_put(&fs->nodes, n);
	return 0;
}

void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct stackfs *fs = fuse_req_userdata(req);
	struct fuse_attr_out out;
	struct ref r;
	int err;

	(void)fi;
	err = ref_get(fs, ino, &r);
	if (!err) {
		err = attr_read(fs, &r, &out);
		ref_put(fs, &r);
	} else if (err == -ESTALE) {
		err = attr_last(fs, ino, &out);
	}
	if (err)
		fuse_reply_err(req, -err);
	else
		fuse_reply_buf(req, (char *)&out, sizeof(out));
}

static void set_time(struct timespec *ts, struct timespec value, bool set,
		     bool now)
{
	*ts = value;
	if (now)
		ts->tv_nsec = UTIME_NOW;
	else if (!set)
		ts->tv_nsec = UTIME_OMIT;
}

/* chown() to nobody and no group: the kernel sends no more than the request. */
static bool sets_nothing(int to_set)
{
	return !(to_set & ~FUSE_SET_ATTR_CTIME);
}

/*
 * It moves ctime.  Bits that go with it would have come as a mode; a write that
 * costs capabilities sends nothing, too, and may be root's: there they stay.
 */
static int set_nothing(const struct ref *r)
{
	struct stat st;

	if (fstat(r->fd, &st))
		return -1;
	if (!S_ISDIR(st.st_mode) && (st.st_mode & (S_ISUID | S_ISGID)))
		return 0;
	return fchownat(r->fd, "", -1, -1, AT_EMPTY_PATH);
}

/*
 * Who has the file open for writing need not wait for leases.  ftruncate(2) would
 * move times where truncate(2) does not.
 */
static int truncate_node(struct stackfs *fs, int node_fd, off_t size)
{
	int ret, fd = node_open(fs, node_fd, O_WRONLY | O_CLOEXEC);
	char path[PROC_FD_LEN];

	if (fd < 0) {
		errno = -fd;
		return -1;
	}
	ret = truncate(proc_fd(path, node_fd), size);
	close(fd);
	return ret;
}

/*
 * Owner before mode: a change of owner takes setuid and setgid away, and the
 * mode that the kernel sends says what shall be left of them.  Times come last
 * because truncation moves them.
 */
static int setattr_lower(struct stackfs *fs, const struct ref *r,
			 const struct stat *attr, int to_set,
			 const struct fuse_file_info *fi)
{
	char path[PROC_FD_LEN];
	struct timespec ts[2];
	int ret = 0;

	proc_fd(path, r->fd);
	if (sets_nothing(to_set))
		ret = set_nothing(r);
	if (to_set & (FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID))
		ret = fchownat(r->fd, "",
			       to_set & FUSE_SET_ATTR_UID ? attr->st_uid :
							    (uid_t)-1,
			       to_set & FUSE_SET_ATTR_GID ? attr->st_gid :
							    (gid_t)-1,
			       AT_EMPTY_PATH);
	if (!ret && (to_set & FUSE_SET_ATTR_MODE))
		ret = chmod(path, attr->st_mode & 07777);
	if (!ret && (to_set & FUSE_SET_ATTR_SIZE))
		ret = fi && file_of(fi) ?
			ftruncate(file_of(fi)->fd, attr->st_size) :
			truncate_node(fs, r->fd, attr->st_size);
	if (!ret && (to_set & (FUSE_SET_ATTR_ATIME | FUSE_SET_ATTR_MTIME |
			       FUSE_SET_ATTR_ATIME_NOW |
			       FUSE_SET_ATTR_MTIME_NOW))) {
		set_time(&ts[0], attr->st_atim, to_set & FUSE_SET_ATTR_ATIME,
			 to_set & FUSE_SET_ATTR_ATIME_NOW);
		set_time(&ts[1], attr->st_mtim, to_set & FUSE_SET_ATTR_MTIME,
			 to_set & FUSE_SET_ATTR_MTIME_NOW);
		ret = utimensat(r->fd, "", ts, AT_EMPTY_PATH);
	}
	return ret ? -errno : 0;
}

/*
 * A writeback cache keeps the times of what was written, and tells them when the
 * inode goes, or at syncfs(2): nobody will see those of a file that is gone.
 */
static void setattr_last(fuse_req_t req, fuse_ino_t ino, int to_set, int err)
{
	const int times = FUSE_SET_ATTR_ATIME | FUSE_SET_ATTR_MTIME |
			  FUSE_SET_ATTR_CTIME;
	struct fuse_attr_out out;

	if (err == -ESTALE && to_set && !(to_set & ~times))
		err = attr_last(fuse_req_userdata(req), ino, &out);
	if (err)
		fuse_reply_err(req, -err);
	else
		fuse_reply_buf(req, (char *)&out, sizeof(out));
}

void op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set,
		struct fuse_file_info *fi)
{
	struct stackfs *fs = fuse_req_userdata(req);
	/* C6: a new mode is in the ACL, a new owner or size costs file
	 * capabilities. */
	bool xattrs = sets_nothing(to_set) ||
		      (to_set & (FUSE_SET_ATTR_MODE | FUSE_SET_ATTR_UID |
				 FUSE_SET_ATTR_GID | FUSE_SET_ATTR_SIZE));
	uint64_t epoch, xepoch = 0;
	struct fuse_attr_out out;
	struct creds cr = { 0 };
	struct stat st;
	struct ref r;
	int err;

	err = ref_get(fs, ino, &r);
	if (err) {
		setattr_last(req, ino, to_set, err);
		return;
	}
	epoch = cache_begin(fs->cache, ino);
	if (xattrs)
		xepoch = cache_xattr_begin(fs->cache, ino);
	if (to_set & FUSE_SET_ATTR_SIZE)
		err = creds_change(&cr, fuse_req_ctx(req), r.fd,
				   !(r.node->limits & ST_NOSUID));
	if (!err)
		err = setattr_lower(fs, &r, attr, to_set, fi);
	creds_leave(&cr);
	if (!err && fstat(r.fd, &st))
		err = -errno;
	if (xattrs)
		cache_xattr_end(fs->cache, ino, xepoch);
	epoch = cache_end(fs->cache, ino, epoch);
	if (err) {
		fuse_reply_err(req, -err);
	} else {
		attr_publish(fs, r.node, epoch, &st, &out);
		fuse_reply_buf(req, (char *)&out, sizeof(out));
	}
	ref_put(fs, &r);
}

void op_readlink(fuse_req_t req, fuse_ino_t ino)
{
	struct stackfs *fs = fuse_req_userdata(req);
	struct fuse_attr_out attr;
	struct cache_read watch;
	char target[PATH_MAX];
	uint64_t xepoch;
	struct ref r;
	int len;

	len = ref_get(fs, ino, &r);
	if (len < 0) {
		fuse_reply_err(req, -len);
		return;
	}
	xepoch = cache_xattr_epoch(fs->cache, ino);
	watch = cache_read_begin(fs->cache, ino);
	len = readlinkat(r.fd, "", target, sizeof(target));
	if (len < 0)
		len = -errno;
	cache_read_end(fs->cache, ino, watch);
	/* the new atime will last: the kernel may answer from now on */
	if (watch.change)
		attr_read(fs, &r, &attr);
	if (len >= 0 && fs->opts.attr_timeout)
		cache_put_xattr(fs->cache, ino, xepoch, "", target, len,
				fs->opts.attr_timeout);
	if (len < 0)
		fuse_reply_err(req, -len);
	else
		fuse_reply_buf(req, target, len);
	ref_put(fs, &r);
}

void op_statfs(fuse_req_t req, fuse_ino_t ino)
{
	struct stackfs *fs = fuse_req_userdata(req);
	struct statvfs sv;
	struct ref r;
	int err;

	err = ref_get(fs, ino, &r);
	if (!err) {
		if (fstatvfs(r.fd, &sv))
			err = -errno;
		ref_put(fs, &r);
	}
	if (err)
		fuse_reply_err(req, -err);
	else
		fuse_reply_statfs(req, &sv);
}
