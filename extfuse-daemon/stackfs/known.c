// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which lower inodes are nodes, by what their file handles come to.
 *
 * Who is told of every change in the lower file system (watch.c) is told mostly of
 * files that are nothing to us, and to open their handles takes several times as long
 * as to take the event.  So nodes are counted in places chosen by the handle: where
 * there is none, none is meant.  Where there is one, it may be another.
 *
 * A node is counted before anything of its inode is read that is published: what
 * changes after that has an event that meets the node (C2).
 */
#include <errno.h>
#include <stdlib.h>

#include "node.h"

#define PLACES (1U << 21)
#define FULL UINT16_MAX		/* more were counted once: never empty again */

int known_init(struct nodes *t)
{
	t->known = calloc(PLACES, sizeof(*t->known));
	return t->known ? 0 : -ENOMEM;
}

/* Never 0, which is no place. */
static uint32_t place_of(uint64_t hash)
{
	return (hash >> 32) % (PLACES - 1) + 1;
}

/* Elsewhere handles may be others for fanotify than for name_to_handle_at(). */
uint32_t known_place(const struct nodes *t, const struct lower *l, int fd)
{
	return t->known && (l->traits & LOWER_NATIVE) ? place_of(node_fid(fd)) : 0;
}

void known_add(struct nodes *t, uint32_t place)
{
	if (place && atomic_load(&t->known[place]) != FULL)
		atomic_fetch_add(&t->known[place], 1);
}

void known_del(struct nodes *t, uint32_t place)
{
	if (place && atomic_load(&t->known[place]) != FULL)
		atomic_fetch_sub(&t->known[place], 1);
}

bool known_has(const struct nodes *t, const struct file_handle *h)
{
	return !t->known || atomic_load(&t->known[place_of(handle_hash(h))]);
}
