/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A file system of constants, for tests that need every request to succeed.
 *
 * The root holds the directories d0, d1, ..., each of them the same files f0,
 * f1, ... and links l0, l1, ...: so every file has hard links.  Files with odd
 * numbers are passed through to one lower file, others are read and written
 * with FUSE's page cache or, every second of them, without.  Whatever is made
 * is there for whoever made it only.
 */
#ifndef EXTFUSE_TEST_TINYFS_H
#define EXTFUSE_TEST_TINYFS_H

#include "server.h"

#define TINYFS_WANT (FUSE_ASYNC_READ | FUSE_POSIX_LOCKS | FUSE_FLOCK_LOCKS | \
		     FUSE_ATOMIC_O_TRUNC | FUSE_BIG_WRITES |		     \
		     FUSE_DO_READDIRPLUS | FUSE_PASSTHROUGH)

/** tinyfs_init() - a struct server's @init: allow passthrough */
void tinyfs_init(struct server *s, struct fuse_init_out *out);
/** tinyfs_answer() - a struct server's @answer */
void tinyfs_answer(struct server *s, const struct fuse_in_header *in);
/** tinyfs_nodeid() - what a name leads to, 0: nothing */
uint64_t tinyfs_nodeid(const char *name);
/** tinyfs_attr() - what the file system says of a node; false: it has none */
bool tinyfs_attr(uint64_t nodeid, struct fuse_attr *attr);

#endif /* EXTFUSE_TEST_TINYFS_H */
