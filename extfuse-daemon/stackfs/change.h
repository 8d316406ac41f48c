/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A change of one name in a directory, coherent with the cache (C2, C3):
 *
 *	change_begin()		the directory is changing, the name has no row
 *	the lower call
 *	change_end()		before anything is published or replied
 *	change_put()
 */
#ifndef STACKFS_CHANGE_H
#define STACKFS_CHANGE_H

#include "stackfs.h"

struct change {
	struct ref dir;
	const char *name;
	uint64_t epoch;
};

int change_begin(struct stackfs *fs, fuse_ino_t parent, const char *name,
		 struct change *ch);
void change_end(struct stackfs *fs, struct change *ch);
void change_put(struct stackfs *fs, struct change *ch);

/**
 * struct victim - the inode behind a name that is about to change
 *
 * Its link count and ctime will change with the name.  It is looked up even
 * if the kernel does not know it: another thread may be about to publish its
 * attributes under another name.
 */
struct victim {
	struct ref r;
	uint64_t epoch;
	bool there;
};

/** victim_begin() - 0, also when there is nothing, or why it is not known: then
 *  the change must not be made, since its other names would not be told */
int victim_begin(struct stackfs *fs, const struct change *ch, struct victim *v);
void victim_end(struct stackfs *fs, struct victim *v);
void victim_put(struct stackfs *fs, struct victim *v);

#endif /* STACKFS_CHANGE_H */
