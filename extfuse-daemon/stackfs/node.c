// SPDX-License-Identifier: GPL-2.0-only
/*
 * Node table: slots, hash by (dev, ino), reference counts.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../lib/cache.h"
#include "stackfs.h"

#define HASH_MIN 1024

static size_t hash_index(const struct nodes *t, dev_t dev, ino_t ino)
{
	uint64_t h = ((uint64_t)ino ^ ((uint64_t)dev << 32)) * EXTFUSE_HASH_MUL;

	return (h ^ (h >> 32)) & (t->hash_size - 1);
}

static void hash_insert(struct nodes *t, struct node *n)
{
	size_t i = hash_index(t, n->dev, n->ino);

	n->hash_next = t->hash[i];
	t->hash[i] = n;
	n->hashed = true;
}

void node_unhash(struct nodes *t, struct node *n)
{
	struct node **p;

	if (!n->hashed)
		return;
	p = &t->hash[hash_index(t, n->dev, n->ino)];
	while (*p != n)
		p = &(*p)->hash_next;
	*p = n->hash_next;
	n->hashed = false;
}

static bool node_same(const struct node *n, const struct lower *l)
{
	return n->dev == l->dev && n->ino == l->ino && n->fid == l->fid &&
	       n->limits == l->limits;
}

static struct node *hash_find(struct nodes *t, const struct lower *l)
{
	struct node *n = t->hash[hash_index(t, l->dev, l->ino)];

	while (n && !node_same(n, l))
		n = n->hash_next;
	return n;
}

/* Without memory the chains just grow longer. */
static void hash_grow(struct nodes *t)
{
	struct node **old = t->hash;
	size_t i, old_size = t->hash_size;
	struct node *n, *next;

	if (t->count < old_size)
		return;
	t->hash = calloc(old_size * 2, sizeof(*t->hash));
	if (!t->hash) {
		t->hash = old;
		return;
	}
	t->hash_size = old_size * 2;
	for (i = 0; i < old_size; i++)
		for (n = old[i]; n; n = next) {
			next = n->hash_next;
			hash_insert(t, n);
		}
	free(old);
}

struct node *node_slot(struct nodes *t, uint32_t index)
{
	struct node_chunk *c;

	if (index / NODES_PER_CHUNK >= atomic_load(&t->nchunks))
		return NULL;
	c = atomic_load(&t->chunk[index / NODES_PER_CHUNK]);
	return &c->node[index % NODES_PER_CHUNK];
}

static int chunk_add(struct nodes *t)
{
	uint32_t i, at = atomic_load(&t->nchunks);
	struct node_chunk *c;

	if (at == NODES_CHUNKS)
		return -ENFILE;
	c = calloc(1, sizeof(*c));
	if (!c)
		return -ENOMEM;
	memset(c->free, 0xff, sizeof(c->free));
	c->nfree = NODES_PER_CHUNK;
	for (i = 0; i < NODES_PER_CHUNK; i++) {
		c->node[i].index = at * NODES_PER_CHUNK + i;
		atomic_init(&c->node[i].fd, -1);
	}
	atomic_store(&t->chunk[at], c);
	atomic_store(&t->nchunks, at + 1);
	return 0;
}

/* Lowest slot first: low slots are those that have a row in attr_map. */
static int slot_alloc(struct nodes *t, uint32_t *index)
{
	struct node_chunk *c;
	uint32_t i, bit, at;

	for (at = t->first_free;; at++) {
		if (at == atomic_load(&t->nchunks)) {
			int err = chunk_add(t);

			if (err)
				return err;
		}
		c = atomic_load(&t->chunk[at]);
		if (c->nfree)
			break;
	}
	t->first_free = at;
	for (i = 0; !c->free[i]; i++)
		;
	bit = __builtin_ctzll(c->free[i]);
	c->free[i] &= ~(1ULL << bit);
	c->nfree--;
	*index = at * NODES_PER_CHUNK + i * 64 + bit;
	return 0;
}

/* A slot whose generations are used up is never used again (L1). */
void node_slot_free(struct nodes *t, struct node *n)
{
	uint32_t at = n->index / NODES_PER_CHUNK;
	uint32_t i = n->index % NODES_PER_CHUNK;
	struct node_chunk *c = atomic_load(&t->chunk[at]);

	t->count--;
	known_del(t, n->known);
	if (++n->generation == 0)
		return;
	c->free[i / 64] |= 1ULL << (i % 64);
	c->nfree++;
	if (at < t->first_free)
		t->first_free = at;
}

/* Called with the table locked; the node is not to be found until hashed. */
static int node_new(struct nodes *t, int fd, const struct lower *l,
		    struct node_device *device, struct node **np)
{
	struct node *n;
	uint32_t index;
	int err;

	err = slot_alloc(t, &index);
	if (err)
		return err;
	n = node_slot(t, index);
	n->dev = l->dev;
	n->ino = l->ino;
	n->type = l->type;
	n->mnt = l->mnt;
	n->limits = l->limits;
	n->traits = l->traits;
	n->fid = l->fid;
	n->known = l->known;
	known_add(t, n->known);
	n->device = device;
	if (device)
		device->users++;
	n->handle = NULL;
	n->last = NULL;
	n->backing_id = 0;
	n->backing_opens = 0;
	n->backing_kept = false;
	n->cached_opens = 0;
	atomic_store(&n->lookups, 0);
	atomic_store(&n->pins, 0);
	atomic_store(&n->dying, false);
	atomic_store(&n->removed, false);
	atomic_store(&n->loose, false);
	atomic_store(&n->linked, false);
	/* Added, not set: a stale nodeid's node_get() may be counted there. */
	atomic_fetch_add(&n->refs, 1);
	node_fd_set(t, n, fd);
	atomic_store(&n->id, (uint64_t)n->generation << 32 | n->index);
	t->count++;
	hash_grow(t);
	hash_insert(t, n);
	*np = n;
	return 0;
}

static void nodes_locks_init(struct nodes *t)
{
	int i;

	pthread_mutex_init(&t->lock, NULL);
	pthread_mutex_init(&t->clock_lock, NULL);
	for (i = 0; i < NODES_STRIPES; i++)
		pthread_mutex_init(&t->stripe[i], NULL);
	sem_init(&t->wake, 0, 0);
}

int nodes_init(struct nodes *t, int root_fd, bool watched,
	       void (*freed)(void *user, struct node *n), void *user)
{
	struct node *root;
	struct lower l;
	uint32_t zero;
	int fd, err;

	memset(t, 0, sizeof(*t));
	nodes_locks_init(t);
	t->root_fd = root_fd;
	t->freed = freed;
	t->user = user;
	err = lower_read(t, NULL, NULL, root_fd, &l);
	if (err)
		return err;
	if (watched && (l.traits & LOWER_NATIVE)) {
		err = known_init(t);
		if (err)
			return err;
		l.known = known_place(t, &l, root_fd);
	}
	/* what it has is what others are measured by */
	t->root_flags = l.limits;
	l.limits = 0;
	t->root_dev = l.dev;
	t->root_mnt = l.mnt;
	nodes_fd_limit(t);
	fd = openat(root_fd, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	t->hash_size = HASH_MIN;
	t->hash = calloc(t->hash_size, sizeof(*t->hash));
	err = t->hash ? slot_alloc(t, &zero) : -ENOMEM;
	/* Slot 0 stays taken, so the root gets slot 1 and nodeid 1. */
	if (!err)
		err = node_new(t, fd, &l, NULL, &root);
	if (err)
		close(fd);
	return err;
}

void nodes_fini(struct nodes *t)
{
	uint32_t i, at;

	for (at = 0; at < atomic_load(&t->nchunks); at++) {
		struct node_chunk *c = atomic_load(&t->chunk[at]);

		for (i = 0; i < NODES_PER_CHUNK; i++)
			node_fd_close(t, &c->node[i]);
		free(c);
	}
	for (i = 0; i < NODES_DEVICES; i++)
		if (t->device[i].users && t->device[i].fd >= 0)
			close(t->device[i].fd);
	free(t->hash);
	free(t->known);
}

struct nodes_usage nodes_usage(struct nodes *t)
{
	struct nodes_usage u = { .fds = atomic_load(&t->open_fds) };
	uint32_t i, max = atomic_load(&t->nchunks) * NODES_PER_CHUNK;
	uint32_t rows = cache_max_nodes(t->cache);

	for (i = 0; i < max; i++) {
		struct node *n = node_slot(t, i);

		if (!atomic_load(&n->id))
			continue;
		u.total++;
		u.rowless += t->cache && i >= rows;
		u.pinned += atomic_load(&n->pins) > 0;
	}
	return u;
}

struct node *node_get(struct nodes *t, uint64_t id)
{
	struct node *n = node_slot(t, id);

	if (!n)
		return NULL;
	/* Counted before compared: the reaper does it the other way round. */
	atomic_fetch_add(&n->refs, 1);
	if (id && atomic_load(&n->id) == id) {
		atomic_store(&n->dying, false);
		return n;
	}
	node_put(t, n);
	return NULL;
}

/* L3: nothing leads to the node and the kernel has forgotten all it was told. */
bool node_idle(struct nodes *t, struct node *n)
{
	uint64_t id = atomic_load(&n->id);

	return id && id != NODE_ROOT_ID && atomic_load(&n->refs) == 0 &&
	       atomic_load(&n->pins) == 0 &&
	       atomic_load(&n->lookups) +
	       (int64_t)cache_served(t->cache, id) == 0;
}

void node_put(struct nodes *t, struct node *n)
{
	if (atomic_fetch_sub(&n->refs, 1) == 1 && node_idle(t, n))
		node_queue(t, n);
}

void node_forget(struct nodes *t, uint64_t id, uint64_t count)
{
	struct node *n = node_get(t, id);

	if (!n)
		return;
	atomic_fetch_sub(&n->lookups, count);
	node_put(t, n);
}

/* Runs under the cache's lock, so it leaves cache_served() to the reaper. */
void node_unpin(void *nodes, uint64_t id)
{
	struct nodes *t = nodes;
	struct node *n = node_slot(t, id);

	/* what is in the maps may be anything */
	if (!n || atomic_load(&n->id) != id)
		return;
	if (atomic_fetch_sub(&n->pins, 1) == 1 &&
	    atomic_load(&n->lookups) <= 0 && atomic_load(&n->refs) == 0)
		node_queue(t, n);
}

struct node *node_find(struct nodes *t, dev_t dev, ino_t ino)
{
	const struct lower l = { .dev = dev, .ino = ino };
	struct node *n;

	pthread_mutex_lock(&t->lock);
	n = hash_find(t, &l);
	if (n) {
		atomic_fetch_add(&n->refs, 1);
		atomic_store(&n->dying, false);
	}
	pthread_mutex_unlock(&t->lock);
	return n;
}

/* One to one on each device; two may meet by chance, once in some 2^32 inodes. */
uint64_t nodes_ino(const struct nodes *t, dev_t dev, ino_t ino)
{
	if (dev == t->root_dev)
		return ino;
	return extfuse_hash_step(extfuse_hash_step(0, dev), ino);
}

static void node_publish(struct nodes *t, struct node *n)
{
	cache_node_add(t->cache, n->id);
	if (S_ISDIR(n->type) && (n->traits & LOWER_SEEKS))
		cache_put_opendir(t->cache, n->id);
}

void nodes_publish(struct nodes *t, struct cache *c)
{
	t->cache = c;
	node_publish(t, node_slot(t, (uint32_t)NODE_ROOT_ID));
}

static int node_find_or_new(struct nodes *t, int fd, const struct lower *l,
			    struct node_device *device, struct node **np,
			    bool *found)
{
	struct node *n;
	int err = 0;

	pthread_mutex_lock(&t->lock);
	n = hash_find(t, l);
	*found = n;
	if (n) {
		atomic_fetch_add(&n->refs, 1);
		atomic_store(&n->dying, false);
	} else {
		err = node_new(t, fd, l, device, &n);
		if (!err)
			node_publish(t, n);
	}
	pthread_mutex_unlock(&t->lock);
	*np = n;
	return err;
}

static void warn_rowless(struct nodes *t, const struct node *n)
{
	uint32_t rows = cache_max_nodes(t->cache);

	if (!t->cache || n->index < rows || atomic_exchange(&t->warned, true))
		return;
	log_warn("the kernel uses more than %u files at once, as many as the map holds: it asks the daemon for the others (a larger max_entries= would help)",
		 rows);
}

int node_make(struct nodes *t, int fd, const struct lower *l,
	      struct node **np)
{
	struct node_device *device = node_device_get(t, fd, l);
	bool found;
	int err;

	for (;;) {
		err = node_find_or_new(t, fd, l, device, np, &found);
		if (err)
			close(fd);
		if (err || !found)
			break;
		if (node_fd_same(t, *np, fd, l->mnt))
			break;
		/* The inode number was reused while the node was closed. */
		pthread_mutex_lock(&t->lock);
		node_unhash(t, *np);
		pthread_mutex_unlock(&t->lock);
		node_put(t, *np);
	}
	node_device_put(t, device);
	if (err)
		return err;
	nodes_fd_bound(t);
	warn_rowless(t, *np);
	return 0;
}
