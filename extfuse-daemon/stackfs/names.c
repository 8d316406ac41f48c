// SPDX-License-Identifier: GPL-2.0-only
/*
 * Operations that make, take away and move names.
 */
#include <errno.h>
#include <unistd.h>

#include "change.h"

/* What mknod, mkdir and symlink are told. */
struct make {
	mode_t mode;
	dev_t rdev;
	const char *target;
};

static int make_lower(int dir, const char *name, const struct make *m)
{
	int ret;

	if (m->target)
		ret = symlinkat(m->target, dir, name);
	else if (S_ISDIR(m->mode))
		ret = mkdirat(dir, name, m->mode & 07777);
	else
		ret = mknodat(dir, name, m->mode, m->rdev);
	return ret ? -errno : 0;
}

/*
 * The setgid bit of a new executable in a setgid directory stays only if the
 * caller is in the directory's group, or has CAP_FSETID (C7).
 */
const struct stat *make_sgid(const struct ref *dir, mode_t mode, struct stat *st)
{
	const mode_t sgid = S_ISGID | S_IXGRP;

	if (S_ISDIR(mode) || (mode & sgid) != sgid || fstat(dir->fd, st) ||
	    !(st->st_mode & S_ISGID))
		return NULL;
	return st;
}

static int make_as_caller(fuse_req_t req, const struct change *ch,
			  const struct make *m)
{
	struct creds cr;
	struct stat st;
	int err;

	err = creds_make(&cr, fuse_req_ctx(req), make_sgid(&ch->dir, m->mode, &st));
	if (err)
		return err;
	err = make_lower(ch->dir.fd, ch->name, m);
	creds_leave(&cr);
	return err;
}

static void make(fuse_req_t req, fuse_ino_t parent, const char *name,
		 const struct make *m)
{
	struct stackfs *fs = fuse_req_userdata(req);
	struct fuse_entry_out out;
	struct change ch;
	struct ref r;
	int err;

	err = change_begin(fs, parent, name, &ch);
	if (err) {
		fuse_reply_err(req, -err);
		return;
	}
	err = make_as_caller(req, &ch, m);
	if (!err)
		err = entry_find(fs, &ch.dir, name, &r);
	change_end(fs, &ch);
	if (err)
		goto fail;
	err = entry_publish(fs, ch.dir.node, ch.epoch, name, &r, &out);
	if (!err)
		entry_reply(req, r.node, &out, sizeof(out));
	ref_put(fs, &r);
fail:
	if (err)
		fuse_reply_err(req, -err);
	change_put(fs, &ch);
}

void op_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
	      dev_t rdev)
{
	make(req, parent, name,
	     &(struct make){ .mode = mode, .rdev = rdev });
}

void op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
	make(req, parent, name,
	     &(struct make){ .mode = (mode & 07777) | S_IFDIR });
}

void op_symlink(fuse_req_t req, const char *link, fuse_ino_t parent,
		const char *name)
{
	make(req, parent, name, &(struct make){ .target = link });
}

void op_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t newparent,
	     const char *newname)
{
	struct stackfs *fs = fuse_req_userdata(req);
	struct fuse_entry_out out;
	struct change ch;
	uint64_t epoch;
	struct ref r;
	int err;

	err = ref_get(fs, ino, &r);
	if (err)
		goto fail;
	err = change_begin(fs, newparent, newname, &ch);
	if (err)
		goto fail_ref;
	atomic_store(&r.node->linked, true);
	epoch = cache_begin(fs->cache, ino);
	if (linkat(r.fd, "", ch.dir.fd, newname, AT_EMPTY_PATH))
		err = -errno;
	cache_end(fs->cache, ino, epoch);
	change_end(fs, &ch);
	if (!err)
		err = entry_publish(fs, ch.dir.node, ch.epoch, newname, &r,
				    &out);
	if (!err)
		entry_reply(req, r.node, &out, sizeof(out));
	change_put(fs, &ch);
fail_ref:
	ref_put(fs, &r);
fail:
	if (err)
		fuse_reply_err(req, -err);
}

static void take_away(fuse_req_t req, fuse_ino_t parent, const char *name,
		      int flags)
{
	struct stackfs *fs = fuse_req_userdata(req);
	struct change ch;
	struct victim v;
	int err;

	err = change_begin(fs, parent, name, &ch);
	if (err) {
		fuse_reply_err(req, -err);
		return;
	}
	err = victim_begin(fs, &ch, &v);
	if (!err && unlinkat(ch.dir.fd, name, flags))
		err = -errno;
	victim_end(fs, &v);
	change_end(fs, &ch);
	if (!err)
		entry_negative(fs, ch.dir.node, ch.epoch, name);
	fuse_reply_err(req, -err);
	victim_put(fs, &v);
	change_put(fs, &ch);
}

void op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	take_away(req, parent, name, 0);
}

void op_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	take_away(req, parent, name, AT_REMOVEDIR);
}

/* Both names, both directories; one directory changes once (C2, C3). */
static int rename_begin(struct stackfs *fs, fuse_ino_t parent,
			fuse_ino_t newparent, const char *name,
			const char *newname, struct change ch[2])
{
	int err;

	err = change_begin(fs, parent, name, &ch[0]);
	if (err)
		return err;
	if (parent != newparent) {
		err = change_begin(fs, newparent, newname, &ch[1]);
	} else {
		err = name_check(newname);
		ch[1] = ch[0];
		ch[1].name = newname;
		if (!err)
			lookup_delete(fs->cache, parent, newname);
	}
	if (err) {
		change_end(fs, &ch[0]);
		change_put(fs, &ch[0]);
	}
	return err;
}

static void rename_end(struct stackfs *fs, struct change ch[2])
{
	change_end(fs, &ch[0]);
	if (ch[0].dir.node == ch[1].dir.node)
		ch[1].epoch = ch[0].epoch;
	else
		change_end(fs, &ch[1]);
}

static void rename_put(struct stackfs *fs, struct change ch[2])
{
	if (ch[0].dir.node != ch[1].dir.node)
		change_put(fs, &ch[1]);
	change_put(fs, &ch[0]);
}

/* Two names of one inode: rename() leaves both where they are. */
static void rename_publish(struct stackfs *fs, const struct change ch[2],
			   const struct victim v[2], unsigned int flags)
{
	struct node *n = v[0].r.node;
	struct fuse_attr_out attr;

	if (v[0].there)
		attr_read(fs, &v[0].r, &attr);
	if ((flags & ~RENAME_NOREPLACE) || !v[0].there ||
	    (v[1].there && v[1].r.node == n))
		return;
	entry_negative(fs, ch[0].dir.node, ch[0].epoch, ch[0].name);
	entry_insert(fs, ch[1].dir.node, ch[1].epoch, ch[1].name, n);
}

/* C7: a whiteout is made, and belongs to the caller. */
static int rename_lower(fuse_req_t req, const struct change ch[2],
			unsigned int flags)
{
	struct creds cr = { 0 };
	int err = 0;

	if (flags & RENAME_WHITEOUT)
		err = creds_make(&cr, fuse_req_ctx(req), NULL);
	if (err)
		return err;
	if (renameat2(ch[0].dir.fd, ch[0].name, ch[1].dir.fd, ch[1].name,
		      flags))
		err = -errno;
	creds_leave(&cr);
	return err;
}

void op_rename(fuse_req_t req, fuse_ino_t parent, const char *name,
	       fuse_ino_t newparent, const char *newname, unsigned int flags)
{
	struct stackfs *fs = fuse_req_userdata(req);
	struct change ch[2];
	struct victim v[2];
	int err;

	err = rename_begin(fs, parent, newparent, name, newname, ch);
	if (err) {
		reply_err(req, -err);
		return;
	}
	v[1].there = false;
	err = victim_begin(fs, &ch[0], &v[0]);
	if (!err)
		err = victim_begin(fs, &ch[1], &v[1]);
	if (!err)
		err = rename_lower(req, ch, flags);
	victim_end(fs, &v[1]);
	victim_end(fs, &v[0]);
	rename_end(fs, ch);
	if (!err)
		rename_publish(fs, ch, v, flags);
	reply_err(req, -err);
	victim_put(fs, &v[1]);
	victim_put(fs, &v[0]);
	rename_put(fs, ch);
}
