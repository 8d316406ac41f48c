// SPDX-License-Identifier: GPL-2.0-only
/*
 * Attributes: read from the lower inode, published, replied.
 */
#include <errno.h>
#include <time.h>

#include "stackfs.h"

#define NS 1000000000ULL
#define DAY (24 * 3600)

int ref_node(struct stackfs *fs, struct node *n, struct ref *r)
{
	r->node = n;
	r->fd = node_fd_get(&fs->nodes, n);
	if (r->fd >= 0)
		return 0;
	/* The kernel looks the name up once more: no row shall lead here again. */
	if (r->fd == -ESTALE)
		attr_delete(fs->cache, n->id);
	node_put(&fs->nodes, n);
	return r->fd;
}

int ref_get(struct stackfs *fs, fuse_ino_t ino, struct ref *r)
{
	struct node *n = node_get(&fs->nodes, ino);

	return n ? ref_node(fs, n, r) : -ESTALE;
}

void ref_put(struct stackfs *fs, struct ref *r)
{
	node_fd_put(r->node);
	node_put(&fs->nodes, r->node);
}

static void attr_fill(struct fuse_attr *a, const struct stat *st)
{
	*a = (struct fuse_attr) {
		.size = st->st_size,
		.blocks = st->st_blocks,
		.atime = st->st_atim.tv_sec,
		.mtime = st->st_mtim.tv_sec,
		.ctime = st->st_ctim.tv_sec,
		.atimensec = st->st_atim.tv_nsec,
		.mtimensec = st->st_mtim.tv_nsec,
		.ctimensec = st->st_ctim.tv_nsec,
		.mode = st->st_mode,
		.nlink = st->st_nlink,
		.uid = st->st_uid,
		.gid = st->st_gid,
		.rdev = st->st_rdev,
		.blksize = st->st_blksize,
	};
}

static bool later(struct timespec a, struct timespec b)
{
	return a.tv_sec != b.tv_sec ? a.tv_sec > b.tv_sec :
				      a.tv_nsec > b.tv_nsec;
}

/*
 * Until when (CLOCK_REALTIME, ns) reads leave the lower inode's atime alone: as
 * relatime does, in whole seconds.
 */
static uint64_t atime_until(const struct stackfs *fs, const struct node *n,
			    const struct stat *st)
{
	if (n->dev != fs->nodes.root_dev)
		return 0;
	if (fs->st_flags & (ST_NOATIME | ST_RDONLY))
		return CACHE_FOREVER;
	if ((fs->st_flags & ST_NODIRATIME) && S_ISDIR(n->type))
		return CACHE_FOREVER;
	if (!(fs->st_flags & ST_RELATIME) || st->st_atim.tv_sec < 0 ||
	    !later(st->st_atim, st->st_mtim) || !later(st->st_atim, st->st_ctim))
		return 0;
	if (st->st_atim.tv_sec >= (int64_t)(UINT64_MAX / NS) - DAY)
		return CACHE_FOREVER - 1;	/* until somebody sets it back */
	return (st->st_atim.tv_sec + DAY) * NS;
}

/* Each name of it may be a node of its own: nothing that one of them knows lasts. */
static bool many_nodes(const struct node *n, const struct stat *st)
{
	return (n->traits & (LOWER_BY_HANDLE | LOWER_BY_NAME)) &&
	       !S_ISDIR(n->type) &&
	       (st->st_nlink > 1 || atomic_load(&n->linked));
}

void attr_publish(struct stackfs *fs, const struct node *n, uint64_t epoch,
		  const struct stat *st, struct fuse_attr_out *out)
{
	uint64_t timeout = fs->opts.attr_timeout;

	*out = (struct fuse_attr_out) { 0 };
	attr_fill(&out->attr, st);
	out->attr.ino = nodes_ino(&fs->nodes, n->dev, n->ino);
	lower_restrict(n, &out->attr);
	if (many_nodes(n, st)) {
		attr_refuse(fs->cache, n->id);
		timeout = 0;
	}
	if (timeout)
		attr_insert(fs->cache, n->id, epoch, &out->attr, timeout,
			       atime_until(fs, n, st));
	if (atomic_load(&n->loose))
		timeout = 0;
	out->attr_valid = timeout / NS;
	out->attr_valid_nsec = timeout % NS;
}

/* C2: void if anybody else ended a change since cache_begin(). */
uint64_t attr_end(struct stackfs *fs, const struct node *n, int fd,
		  uint64_t epoch)
{
	struct fuse_attr_out out;
	struct stat st;
	bool known = epoch && !fstat(fd, &st);

	epoch = cache_end(fs->cache, n->id, epoch);
	if (known)
		attr_publish(fs, n, epoch, &st, &out);
	return epoch;
}

/* C2: the epoch is taken first, so a change in between voids what we read. */
int attr_read(struct stackfs *fs, const struct ref *r,
	      struct fuse_attr_out *out)
{
	uint64_t epoch = cache_epoch(fs->cache, r->node->id);
	struct stat st;

	if (fstat(r->fd, &st))
		return -errno;
	attr_publish(fs, r->node, epoch, &st, out);
	return 0;
}
