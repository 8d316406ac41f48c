// SPDX-License-Identifier: GPL-2.0-only
/*
 * STATX: attributes with the birth time.
 *
 * libfuse 3.14 does not know it.  So the request goes through libfuse as a BMAP,
 * which the kernel sends to mounts of block devices only and never to us.
 */
#include <errno.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "stackfs.h"

void statx_seen(struct fuse_in_header *in)
{
	const struct fuse_bmap_in none = { 0 };

	_Static_assert(sizeof(none) <= sizeof(struct fuse_statx_in), "as much as is there");
	in->opcode = FUSE_BMAP;
	memcpy(in + 1, &none, sizeof(none));
}

static void statx_fill(struct fuse_statx *sx, const struct fuse_attr *a)
{
	*sx = (struct fuse_statx) {
		.mask = STATX_BASIC_STATS,
		.blksize = a->blksize,
		.nlink = a->nlink,
		.uid = a->uid,
		.gid = a->gid,
		.mode = a->mode,
		.ino = a->ino,
		.size = a->size,
		.blocks = a->blocks,
		.atime = { a->atime, a->atimensec, 0 },
		.mtime = { a->mtime, a->mtimensec, 0 },
		.ctime = { a->ctime, a->ctimensec, 0 },
		.rdev_major = major((dev_t)a->rdev),
		.rdev_minor = minor((dev_t)a->rdev),
	};
}

/* That a file has a birth time does not change, and so needs no epoch. */
static int statx_read(struct stackfs *fs, const struct ref *r,
		      struct fuse_statx_out *out)
{
	struct fuse_attr_out attr;
	struct statx stx;
	int err;

	if (statx(r->fd, "", AT_EMPTY_PATH, STATX_BTIME, &stx))
		return -errno;
	/* Told so, the kernel does not ask any more, which spares it this. */
	if (!(stx.stx_mask & STATX_BTIME) && r->node->dev == fs->nodes.root_dev)
		return -ENOSYS;
	err = attr_read(fs, r, &attr);
	if (err)
		return err;
	*out = (struct fuse_statx_out) {
		.attr_valid = attr.attr_valid,
		.attr_valid_nsec = attr.attr_valid_nsec,
	};
	statx_fill(&out->stat, &attr.attr);
	if (stx.stx_mask & STATX_BTIME) {
		out->stat.mask |= STATX_BTIME;
		out->stat.btime.tv_sec = stx.stx_btime.tv_sec;
		out->stat.btime.tv_nsec = stx.stx_btime.tv_nsec;
	}
	return 0;
}

void op_statx(fuse_req_t req, fuse_ino_t ino, size_t blocksize, uint64_t block)
{
	struct stackfs *fs = fuse_req_userdata(req);
	struct fuse_statx_out out;
	struct ref r;
	int err;

	(void)blocksize;
	(void)block;
	err = ref_get(fs, ino, &r);
	if (!err) {
		err = statx_read(fs, &r, &out);
		ref_put(fs, &r);
	}
	if (err)
		fuse_reply_err(req, -err);
	else
		fuse_reply_buf(req, (char *)&out, sizeof(out));
}
