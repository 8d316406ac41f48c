// SPDX-License-Identifier: GPL-2.0-only
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
	ch->epoch = cache_end(fs->cache, ch->dir.node->id, ch->epoch);
}

void change_put(struct stackfs *fs, struct change *ch)
{
	ref_put(fs, &ch->dir);
}

void victim_begin(struct stackfs *fs, const struct change *ch,
		  struct victim *v)
{
	v->there = fs->cache && !entry_find(fs, &ch->dir, ch->name, &v->r);
	if (v->there)
		v->epoch = cache_begin(fs->cache, v->r.node->id);
}

void victim_end(struct stackfs *fs, struct victim *v)
{
	if (v->there)
		cache_end(fs->cache, v->r.node->id, v->epoch);
}

void victim_put(struct stackfs *fs, struct victim *v)
{
	if (v->there)
		ref_put(fs, &v->r);
}
