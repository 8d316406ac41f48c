// SPDX-License-Identifier: GPL-2.0-only
/*
 * Passthrough: the kernel reads and writes the lower file itself.
 *
 * The kernel refuses an open in one mode while the inode has one in the other,
 * and all passthrough opens of an inode must name the same lower file.  So
 * the first open decides for the node, and the last release ends it.
 *
 * Unless it is kept: from then on the kernel opens the file for reading without
 * us, and we cannot know when it closes it.  A lower file that was opened for
 * writing is not kept, because it would forbid to execute it or to make the
 * lower file system read-only.
 */
#include <errno.h>
#include <string.h>

#include "stackfs.h"

static int32_t backing_open(struct stackfs *fs, int fd)
{
	static atomic_bool warned;
	struct fuse_backing_map map = { .fd = fd };
	int id = ioctl(fs->dev_fd, FUSE_DEV_IOC_BACKING_OPEN, &map);

	if (id > 0)
		return id;
	if (!atomic_exchange(&warned, true))
		log_warn("passthrough: the kernel does not take a lower file: %s; such files are read and written by the daemon",
			 strerror(errno));
	return 0;
}

/*
 * Where no program marks the node's row, nobody sees stores to a shared mapping
 * of the lower file: from now on the kernel has to ask for the attributes.
 */
static void node_loosen(struct stackfs *fs, struct node *n)
{
	if (cache_has_node(fs->cache, n->id) || atomic_exchange(&n->loose, true))
		return;
	fuse_lowlevel_notify_inval_inode(fs->se, n->id, -1, 0);
}

/* Bounds the lower files that the kernel has open for nobody. */
#define MAX_KEPT 32768

static atomic_uint kept;

static void backing_keep(struct stackfs *fs, const struct file *f)
{
	struct node *n = f->node;

	if (!n->backing_id || f->flushes || !cache_has_node(fs->cache, n->id) ||
	    atomic_load(&kept) >= MAX_KEPT)
		return;
	atomic_fetch_add(&kept, 1);
	n->backing_kept = true;
	cache_put_backing(fs->cache, n->id, n->backing_id);
}

/* The kernel has forgotten the node, so no file of it is open. */
void backing_freed(void *stackfs, struct node *n)
{
	struct stackfs *fs = stackfs;

	if (!n->backing_kept)
		return;
	ioctl(fs->dev_fd, FUSE_DEV_IOC_BACKING_CLOSE, &n->backing_id);
	n->backing_id = 0;
	n->backing_kept = false;
	atomic_fetch_sub(&kept, 1);
}

bool backing_used(struct stackfs *fs, const struct node *n)
{
	pthread_mutex_t *stripe = node_stripe(&fs->nodes, n->index);
	bool used;

	pthread_mutex_lock(stripe);
	used = n->backing_id;
	pthread_mutex_unlock(stripe);
	return used;
}

/* By passthrough what is there could be stored over, through a mapping. */
static bool append_only(const struct file *f)
{
	struct statx stx;

	return f->appends ||
	       (!statx(f->fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, 0, &stx) &&
		(stx.stx_attributes & STATX_ATTR_APPEND));
}

/*
 * A backing file of plain FUSE keeps the flags of open(2), and O_DIRECT may be
 * taken away for the last block; what is open by passthrough goes on with it.
 */
static bool fixed_direct(const struct stackfs *fs, const struct file *f)
{
	return !fs->cache && f->direct;
}

void backing_attach(struct stackfs *fs, struct file *f)
{
	pthread_mutex_t *stripe = node_stripe(&fs->nodes, f->node->index);
	struct node *n = f->node;

	f->backing_id = 0;
	if (!fs->passthrough)
		return;
	pthread_mutex_lock(stripe);
	/*
	 * The program would publish bits that are hidden, and open files to be
	 * executed (C7).
	 */
	if (!n->backing_id && !n->cached_opens && !n->limits &&
	    !append_only(f) && !fixed_direct(fs, f)) {
		n->backing_id = backing_open(fs, f->fd);
		backing_keep(fs, f);
	}
	f->backing_id = n->backing_id;
	if (f->backing_id)
		n->backing_opens++;
	else
		n->cached_opens++;
	pthread_mutex_unlock(stripe);
	if (f->backing_id && (fcntl(f->fd, F_GETFL) & O_ACCMODE) == O_RDWR)
		node_loosen(fs, n);
}

void backing_detach(struct stackfs *fs, struct file *f)
{
	pthread_mutex_t *stripe = node_stripe(&fs->nodes, f->node->index);
	struct node *n = f->node;
	bool last = false;

	if (!fs->passthrough)
		return;
	pthread_mutex_lock(stripe);
	if (!f->backing_id)
		n->cached_opens--;
	else
		last = --n->backing_opens == 0 && !n->backing_kept;
	if (last)
		n->backing_id = 0;
	pthread_mutex_unlock(stripe);
	if (last)
		ioctl(fs->dev_fd, FUSE_DEV_IOC_BACKING_CLOSE, &f->backing_id);
}
