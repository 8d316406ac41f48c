// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>

#include "change.h"

int change_begin(struct stackfs *fs, fuse_ino_t parent, const char *name,
		 struct change *ch)
{
	int err = name_check(name);

	if (!err)
		err = ref_get(fs, parent, &ch->dir);
	if (err)
		return err;
	ch->name = name;
	ch->epoch = cache_begin(fs->cache, parent);
	lookup_delete(fs->cache, parent, name);
	return 0;
}

void change_end(struct stackfs *fs, struct change *ch)
{
	ch->epoch = attr_end(fs, ch->dir.node, ch->dir.fd, ch->epoch);
}

void change_put(struct stackfs *fs, struct change *ch)
{
	ref_put(fs, &ch->dir);
}

/*
 * Nothing is cached, so only what we have open matters: its space is to be free
 * with its last name.
 */
static void victim_known(struct stackfs *fs, const struct change *ch,
			 struct victim *v)
{
	struct node *n;
	struct stat st;

	if (fstatat(ch->dir.fd, ch->name, &st, AT_SYMLINK_NOFOLLOW) ||
	    !S_ISREG(st.st_mode) || st.st_nlink > 1)
		return;
	n = node_find(&fs->nodes, st.st_dev, st.st_ino);
	v->there = n && !ref_node(fs, n, &v->r);
	v->epoch = 0;
}

int victim_begin(struct stackfs *fs, const struct change *ch, struct victim *v)
{
	int err;

	v->there = false;
	if (!fs->cache) {
		victim_known(fs, ch, v);
		return 0;
	}
	err = entry_find(fs, &ch->dir, ch->name, &v->r);
	if (err)
		return err == -ENOENT ? 0 : err;
	v->there = true;
	v->epoch = cache_begin(fs->cache, v->r.node->id);
	return 0;
}

void victim_end(struct stackfs *fs, struct victim *v)
{
	if (!v->there)
		return;
	cache_end(fs->cache, v->r.node->id, v->epoch);
	if (node_fd_removed(&fs->nodes, v->r.node, v->r.fd))
		v->r.fd = -1;
}

void victim_put(struct stackfs *fs, struct victim *v)
{
	if (v->there)
		ref_put(fs, &v->r);
}
