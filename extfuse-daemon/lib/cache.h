/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libextfuse: what the kernel may answer without the daemon.
 *
 * The daemon tells the cache what it learned from its lower file system and
 * what it is about to change.  Three rules make every answer of the kernel one
 * that the daemon could have given (docs/coherence.md):
 *
 *  1. Before reading anything that is to be published, take the node's epoch
 *     (cache_epoch(), cache_xattr_epoch()); for a name, the directory's.
 *     Publish with that epoch.  If anything changed meanwhile the publication
 *     has no effect.
 *  2. Wrap every change in cache_begin() and cache_end(), for each node whose
 *     attributes it touches: the file, and both directories for names.  The
 *     reply goes out after cache_end().
 *  3. Between begin and the lower call, lookup_delete() each name that
 *     changes.
 *
 * A nodeid's low 32 bits are the index of its row.  The daemon allots nodeids
 * with small indices and never uses one nodeid twice.  Nodes whose index is at
 * or above cache_max_nodes() are never cached: calls for them do nothing.
 *
 * A NULL cache is allowed everywhere and caches nothing.  All functions may be
 * called by any number of threads.
 */
#ifndef EXTFUSE_CACHE_H
#define EXTFUSE_CACHE_H

#include "ebpf.h"

struct cache;

/* Infinite timeout, in ns. */
#define CACHE_FOREVER UINT64_MAX

/**
 * cache_new() - a cache over the maps of a loaded object
 * @unpin: called when the last way from a name to @nodeid's row is dropped one
 *	   by one: once for each lookup_insert() that returned 1.  Must not
 *	   call the cache.
 *
 * Returns NULL without memory.
 */
struct cache *cache_new(struct ebpf_ctx *ctx,
			void (*unpin)(void *user, uint64_t nodeid), void *user);
void cache_free(struct cache *c);

uint32_t cache_max_nodes(const struct cache *c);

/** cache_node_add() - give a node its row, before its nodeid leaves the daemon */
void cache_node_add(struct cache *c, uint64_t nodeid);
/** cache_node_del() - take it away: only when nothing leads to it any more, a
 *  cache_grace() has passed and cache_served() was accounted for (L3) */
void cache_node_del(struct cache *c, uint64_t nodeid);
/** cache_has_node() - does the node have a row (and so can be cached)? */
bool cache_has_node(const struct cache *c, uint64_t nodeid);
/** cache_served() - lookups of the node that the kernel answered so far */
uint64_t cache_served(const struct cache *c, uint64_t nodeid);
/** cache_grace() - see ebpf_grace(); 0 or -errno: no grace period has passed */
int cache_grace(struct cache *c);

/** cache_epoch() - current epoch; 0: the node is not cached */
uint64_t cache_epoch(const struct cache *c, uint64_t nodeid);
uint64_t cache_xattr_epoch(const struct cache *c, uint64_t nodeid);
/** cache_quiet() - is @epoch the node's, and no change under way? */
bool cache_quiet(const struct cache *c, uint64_t nodeid, uint64_t epoch);

/**
 * cache_begin(), cache_end() - around a change of a node's attributes or names
 *
 * cache_end() returns the epoch with which the caller may publish attributes
 * read, or names made, between the two calls: it is void if anybody else
 * changed the node meanwhile.  @epoch is what cache_begin() returned.
 */
uint64_t cache_begin(struct cache *c, uint64_t nodeid);
uint64_t cache_end(struct cache *c, uint64_t nodeid, uint64_t epoch);
uint64_t cache_xattr_begin(struct cache *c, uint64_t nodeid);
uint64_t cache_xattr_end(struct cache *c, uint64_t nodeid, uint64_t epoch);

/**
 * cache_put_backing() - let the kernel open a file for reading by itself
 * @backing_id: of a lower file that is open for reading, from
 *	FUSE_DEV_IOC_BACKING_OPEN; valid until cache_node_del()
 *
 * READ, FSYNC, LSEEK and COPY_FILE_RANGE of such a file come with fh 0, and
 * there is no RELEASE.
 */
void cache_put_backing(struct cache *c, uint64_t nodeid, int32_t backing_id);
/** cache_put_opendir() - likewise a directory: READDIR, READDIRPLUS and
 *  FSYNCDIR come with fh 0, without OPENDIR and RELEASEDIR */
void cache_put_opendir(struct cache *c, uint64_t nodeid);

/** cache_writers() - a file of the node was opened (+1) or released (-1) for
 *  writing; while there are none, FLUSH is answered in the kernel */
void cache_writers(struct cache *c, uint64_t nodeid, int change);

/**
 * attr_insert() - publish attributes
 * @timeout:	ns from now for which they may be served
 * @atime_until: CLOCK_REALTIME in ns before which a read leaves atime alone (0:
 *		a read may change it at once, CACHE_FOREVER: never)
 */
void attr_insert(struct cache *c, uint64_t nodeid, uint64_t epoch,
		    const struct fuse_attr *attr, uint64_t timeout,
		    uint64_t atime_until);
/** attr_refuse() - until the next attr_insert() nobody serves attributes of the
 *  node, and programs publish none */
void attr_refuse(struct cache *c, uint64_t nodeid);
/** attr_fetch() - the attributes that the kernel would answer with now, if any */
bool attr_fetch(const struct cache *c, uint64_t nodeid, struct fuse_attr *attr);
/** attr_delete() - the published attributes are true no longer, for a reason
 *  other than a change between cache_begin() and cache_end() */
void attr_delete(struct cache *c, uint64_t nodeid);
/**
 * struct cache_read - a read of the lower inode that may move its atime
 * @epoch:	of the node, 0: nothing to watch
 * @change:	the read is treated as a change
 */
struct cache_read {
	uint64_t epoch;
	bool change;
};

/**
 * cache_read_begin(), cache_read_end() - around such a read, by the daemon
 *
 * The reply goes out after cache_read_end(), unless @epoch is 0.
 */
struct cache_read cache_read_begin(struct cache *c, uint64_t nodeid);
void cache_read_end(struct cache *c, uint64_t nodeid, struct cache_read r);

/**
 * lookup_insert() - publish that @name in @parent is @nodeid, 0: is nothing
 * @epoch:	of @parent
 *
 * Returns 1 if a row now leads to @nodeid (which is pinned until unpin() is
 * called), 0 if not.
 */
int lookup_insert(struct cache *c, uint64_t parent, uint64_t epoch,
		    const char *name, uint64_t nodeid, uint64_t timeout);
/** lookup_delete() - the name is about to change: no row answers for it.
 *  Returns true if there was a row. */
bool lookup_delete(struct cache *c, uint64_t parent, const char *name);
/** lookup_fetch() - would the kernel answer a look-up of the name by itself now?
 *  If so *@nodeid is what it would say. */
bool lookup_fetch(struct cache *c, uint64_t parent, const char *name,
		  uint64_t *nodeid);
/** cache_drop_node() - drop all names that lead to @nodeid (slow: all rows) */
void cache_drop_node(struct cache *c, uint64_t nodeid);

/**
 * cache_put_xattr() - publish an extended attribute
 * @name:	"" for the target of a symbolic link
 * @value:	NULL: the attribute's answer is -@size (ENODATA)
 */
void cache_put_xattr(struct cache *c, uint64_t nodeid, uint64_t epoch,
		     const char *name, const void *value, int size,
		     uint64_t timeout);
/** cache_put_noxattr() - publish that the node has no extended attribute */
void cache_put_noxattr(struct cache *c, uint64_t nodeid, uint64_t epoch,
		       uint64_t timeout);

/** cache_clear() - drop every row */
void cache_clear(struct cache *c);

struct cache_usage {
	uint64_t used;
	uint64_t max;
};

/** cache_usage() - rows in use and at most, of one of the maps */
struct cache_usage cache_usage(const struct cache *c, enum ebpf_map map);

#endif /* EXTFUSE_CACHE_H */
