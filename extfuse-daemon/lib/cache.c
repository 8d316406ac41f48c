// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The only writer of the maps.
 *
 * Rows are in memory shared with the kernel.  A program reads them at any time,
 * so a row is written between two moves of its sequence; a node's validity is
 * decided by comparing epochs when it is read, which is why nothing here has to
 * hold anything while the lower file system is asked.  See struct extfuse_node.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cache.h"

#define LOAD(p)		__atomic_load_n(p, __ATOMIC_ACQUIRE)
#define STORE(p, v)	__atomic_store_n(p, v, __ATOMIC_RELEASE)
#define ADD(p, v)	__atomic_add_fetch(p, v, __ATOMIC_SEQ_CST)

/* Longer than a read takes: one that ends later may meet another day. */
#define READ_NS		60000000000ULL

/* entry_map, entry_long_map or xattr_map */
struct table {
	char *mem;
	size_t row_size;
	size_t max_name;
	uint32_t mask;
	uint64_t used;
	uint32_t hand;
	pthread_mutex_t lock;
};

struct cache {
	struct ebpf_ctx *ctx;
	struct extfuse_node *nodes;
	uint32_t max_nodes;
	uint64_t used_nodes;
	uint64_t seed;
	struct table entries;
	struct table long_entries;
	struct table xattrs;
	void (*unpin)(void *user, uint64_t nodeid);
	void *user;
};

/* A name as a program has it: whole words, zero padded. */
struct key {
	uint64_t owner;
	uint64_t hash;
	size_t len;
	uint64_t name[(EXTFUSE_NAME_MAX + 1) / 8];
};

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

static uint64_t now_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC_COARSE);
}

static uint64_t deadline_in(uint64_t timeout)
{
	uint64_t now = now_ns();

	return timeout > UINT64_MAX - now ? UINT64_MAX : now + timeout;
}

static void table_init(struct table *t, struct ebpf_ctx *ctx, enum ebpf_map map,
		       size_t row_size, size_t max_name)
{
	t->mem = ebpf_map_mem(ctx, map);
	t->row_size = row_size;
	t->max_name = max_name;
	t->mask = ebpf_map_max(ctx, map) - 1;
	pthread_mutex_init(&t->lock, NULL);
}

struct cache *cache_new(struct ebpf_ctx *ctx,
			void (*unpin)(void *user, uint64_t nodeid), void *user)
{
	struct cache *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->ctx = ctx;
	c->nodes = ebpf_map_mem(ctx, EBPF_ATTR_MAP);
	c->max_nodes = ebpf_map_max(ctx, EBPF_ATTR_MAP);
	c->seed = ebpf_hash_seed(ctx);
	c->unpin = unpin;
	c->user = user;
	table_init(&c->entries, ctx, EBPF_ENTRY_MAP,
		   sizeof(struct extfuse_entry_short), EXTFUSE_SHORT_NAME);
	table_init(&c->long_entries, ctx, EBPF_ENTRY_LONG_MAP,
		   sizeof(struct extfuse_entry_long), EXTFUSE_NAME_MAX);
	table_init(&c->xattrs, ctx, EBPF_XATTR_MAP,
		   sizeof(struct extfuse_xattr), EXTFUSE_SHORT_NAME);
	return c;
}

void cache_free(struct cache *c)
{
	if (!c)
		return;
	pthread_mutex_destroy(&c->entries.lock);
	pthread_mutex_destroy(&c->long_entries.lock);
	pthread_mutex_destroy(&c->xattrs.lock);
	free(c);
}

/* Nodes */

uint32_t cache_max_nodes(const struct cache *c)
{
	return c ? c->max_nodes : 0;
}

static struct extfuse_node *node_of(const struct cache *c, uint64_t nodeid)
{
	struct extfuse_node *node;

	if (!c || (uint32_t)nodeid >= c->max_nodes)
		return NULL;
	node = &c->nodes[(uint32_t)nodeid];
	return LOAD(&node->nodeid) == nodeid ? node : NULL;
}

void cache_node_add(struct cache *c, uint64_t nodeid)
{
	struct extfuse_node *node;

	if (!c || (uint32_t)nodeid >= c->max_nodes)
		return;
	node = &c->nodes[(uint32_t)nodeid];
	/* epochs go on from where the row's last node left them */
	ADD(&node->epoch, 1);
	ADD(&node->xattr_epoch, 1);
	STORE(&node->served, 0);
	STORE(&node->flags, 0);
	STORE(&node->writers, 0);
	STORE(&node->readers, 0);
	STORE(&node->changing, 0);
	STORE(&node->xattr_changing, 0);
	STORE(&node->backing_id, 0);
	STORE(&node->attr.ino, 0);
	ADD(&c->used_nodes, 1);
	STORE(&node->nodeid, nodeid);
}

void cache_node_del(struct cache *c, uint64_t nodeid)
{
	struct extfuse_node *node = node_of(c, nodeid);

	if (!node)
		return;
	STORE(&node->nodeid, 0);
	ADD(&node->epoch, 1);
	ADD(&node->xattr_epoch, 1);
	ADD(&c->used_nodes, -1);
}

bool cache_has_node(const struct cache *c, uint64_t nodeid)
{
	return node_of(c, nodeid);
}

uint64_t cache_served(const struct cache *c, uint64_t nodeid)
{
	struct extfuse_node *node = node_of(c, nodeid);

	return node ? LOAD(&node->served) : 0;
}

int cache_grace(struct cache *c)
{
	return c ? ebpf_grace(c->ctx) : 0;
}

uint64_t cache_epoch(const struct cache *c, uint64_t nodeid)
{
	struct extfuse_node *node = node_of(c, nodeid);

	return node ? __atomic_load_n(&node->epoch, __ATOMIC_SEQ_CST) : 0;
}

uint64_t cache_xattr_epoch(const struct cache *c, uint64_t nodeid)
{
	struct extfuse_node *node = node_of(c, nodeid);

	return node ? __atomic_load_n(&node->xattr_epoch, __ATOMIC_SEQ_CST) : 0;
}

static uint64_t change_begin(__u32 *changing, __u64 *epoch)
{
	ADD(changing, 1);
	return __atomic_load_n(epoch, __ATOMIC_SEQ_CST);
}

/* C2: the epoch moves before the change is counted out. */
static uint64_t change_end(__u32 *changing, __u64 *epoch, uint64_t begun)
{
	ADD(epoch, 1);
	ADD(changing, -1);
	return begun + 1;
}

uint64_t cache_begin(struct cache *c, uint64_t nodeid)
{
	struct extfuse_node *node = node_of(c, nodeid);

	return node ? change_begin(&node->changing, &node->epoch) : 0;
}

uint64_t cache_end(struct cache *c, uint64_t nodeid, uint64_t epoch)
{
	struct extfuse_node *node = node_of(c, nodeid);

	/* no epoch: the node had no row, and was not counted, when it began */
	return node && epoch ? change_end(&node->changing, &node->epoch, epoch)
			     : 0;
}

uint64_t cache_xattr_begin(struct cache *c, uint64_t nodeid)
{
	struct extfuse_node *node = node_of(c, nodeid);

	return node ? change_begin(&node->xattr_changing, &node->xattr_epoch)
		    : 0;
}

uint64_t cache_xattr_end(struct cache *c, uint64_t nodeid, uint64_t epoch)
{
	struct extfuse_node *node = node_of(c, nodeid);

	return node && epoch ? change_end(&node->xattr_changing,
					  &node->xattr_epoch, epoch) : 0;
}

void cache_put_backing(struct cache *c, uint64_t nodeid, int32_t backing_id)
{
	struct extfuse_node *node = node_of(c, nodeid);

	if (node)
		STORE(&node->backing_id, backing_id);
}

void cache_put_opendir(struct cache *c, uint64_t nodeid)
{
	struct extfuse_node *node = node_of(c, nodeid);

	if (node)
		__atomic_fetch_or(&node->flags, EXTFUSE_NODE_OPENDIR,
				  __ATOMIC_RELEASE);
}

void cache_writers(struct cache *c, uint64_t nodeid, int change)
{
	struct extfuse_node *node = node_of(c, nodeid);

	if (node)
		ADD(&node->writers, change);
}

/* Is @epoch the node's, and nobody about to move it? (C2) */
static bool quiet_at(const struct extfuse_node *node, uint64_t epoch)
{
	return epoch && !__atomic_load_n(&node->changing, __ATOMIC_SEQ_CST) &&
	       __atomic_load_n(&node->epoch, __ATOMIC_SEQ_CST) == epoch;
}

/* What the row says if it is @epoch's; 0: any read may move atime */
static uint64_t atime_until(const struct extfuse_node *node, uint64_t epoch)
{
	uint32_t seq = __atomic_load_n(&node->seq, __ATOMIC_ACQUIRE);
	uint64_t until = LOAD(&node->atime_until);
	bool same = LOAD(&node->attr_epoch) == epoch;

	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	return same && !(seq & 1) && LOAD(&node->seq) == seq ? until : 0;
}

/*
 * A read that leaves atime alone, by what the row says, is no change; but a
 * change under way may make it one.  So it counts itself in before it looks,
 * which keeps others from publishing an atime that reads move, and if anything
 * was not quiet all the time it voids what was published since it looked.
 */
struct cache_read cache_read_begin(struct cache *c, uint64_t nodeid)
{
	struct extfuse_node *node = node_of(c, nodeid);
	struct cache_read r = { 0 };
	uint64_t until;

	if (!node)
		return r;
	ADD(&node->readers, 1);
	r.epoch = __atomic_load_n(&node->epoch, __ATOMIC_SEQ_CST);
	until = atime_until(node, r.epoch);
	if (until == CACHE_FOREVER) {
		ADD(&node->readers, -1);
		r.epoch = 0;
	} else if (until < clock_ns(CLOCK_REALTIME_COARSE) + READ_NS) {
		r.change = true;
		r.epoch = change_begin(&node->changing, &node->epoch);
	}
	return r;
}

void cache_read_end(struct cache *c, uint64_t nodeid, struct cache_read r)
{
	struct extfuse_node *node = node_of(c, nodeid);

	if (!node || !r.epoch)
		return;
	if (r.change)
		change_end(&node->changing, &node->epoch, r.epoch);
	else if (!quiet_at(node, r.epoch))
		attr_delete(c, nodeid);
	ADD(&node->readers, -1);
}

/* A row's even sequence becomes odd for one writer; others give way. */
static bool row_lock(__u32 *seqp)
{
	__u32 seq = __atomic_load_n(seqp, __ATOMIC_RELAXED);

	if ((seq & 1) ||
	    !__atomic_compare_exchange_n(seqp, &seq, seq + 1, false,
					 __ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
		return false;
	__atomic_thread_fence(__ATOMIC_RELEASE);
	return true;
}

/* The same under a table's lock; what is stored next is seen after it. */
static void row_open(__u32 *seqp)
{
	ADD(seqp, 1);
	__atomic_thread_fence(__ATOMIC_RELEASE);
}

static void row_unlock(__u32 *seqp)
{
	ADD(seqp, 1);
}

void attr_insert(struct cache *c, uint64_t nodeid, uint64_t epoch,
		 const struct fuse_attr *attr, uint64_t timeout,
		 uint64_t atime_until)
{
	struct extfuse_node *node = node_of(c, nodeid);

	/* an older epoch would do no harm, only overwrite a newer one's */
	if (!node || !epoch || !timeout || LOAD(&node->epoch) != epoch)
		return;
	if (atime_until < clock_ns(CLOCK_REALTIME_COARSE))
		atime_until = 0;
	/* see cache_read_begin() */
	if ((!atime_until &&
	     __atomic_load_n(&node->readers, __ATOMIC_SEQ_CST)) ||
	    !row_lock(&node->seq))
		return;
	memcpy(&node->attr, attr, sizeof(*attr));
	STORE(&node->attr_deadline, deadline_in(timeout));
	STORE(&node->atime_until, atime_until);
	STORE(&node->attr_epoch, epoch);
	row_unlock(&node->seq);
}

bool attr_fetch(const struct cache *c, uint64_t nodeid, struct fuse_attr *attr)
{
	struct extfuse_node *node = node_of(c, nodeid);
	uint64_t epoch;
	__u32 seq;

	if (!node)
		return false;
	seq = LOAD(&node->seq);
	epoch = LOAD(&node->epoch);
	if ((seq & 1) || LOAD(&node->attr_epoch) != epoch ||
	    LOAD(&node->attr_deadline) <= now_ns() ||
	    (LOAD(&node->flags) & EXTFUSE_NODE_MMAPPED))
		return false;
	memcpy(attr, &node->attr, sizeof(*attr));
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	return !LOAD(&node->changing) && LOAD(&node->epoch) == epoch &&
	       LOAD(&node->seq) == seq;
}

void attr_delete(struct cache *c, uint64_t nodeid)
{
	cache_end(c, nodeid, cache_begin(c, nodeid));
}

/*
 * A row without a number is one that programs leave alone.  Whoever has the row now
 * may be about to publish, and will be done in a moment; what is in the maps may be
 * anything, so there is an end to waiting, and then at least that is void.
 */
void attr_refuse(struct cache *c, uint64_t nodeid)
{
	struct extfuse_node *node = node_of(c, nodeid);
	int tries = 1000;

	if (!node)
		return;
	while (!row_lock(&node->seq)) {
		if (!--tries) {
			attr_delete(c, nodeid);
			return;
		}
		sched_yield();
	}
	STORE(&node->attr_deadline, 0);
	STORE(&node->attr.ino, 0);
	row_unlock(&node->seq);
}

void cache_put_noxattr(struct cache *c, uint64_t nodeid, uint64_t epoch,
		       uint64_t timeout)
{
	struct extfuse_node *node = node_of(c, nodeid);

	if (!node || !epoch || !timeout)
		return;
	/* both orders of these two stores are safe for the same epoch */
	STORE(&node->noxattr_deadline, deadline_in(timeout));
	STORE(&node->noxattr_epoch, epoch);
}

/* Rows */

static int key_init(const struct cache *c, struct key *k, uint64_t owner,
		    const char *name)
{
	size_t i;

	k->len = strlen(name);
	if (k->len > EXTFUSE_NAME_MAX)
		return -ENAMETOOLONG;
	k->owner = owner;
	memset(k->name, 0, sizeof(k->name));
	memcpy(k->name, name, k->len);
	k->hash = extfuse_hash_step(c->seed, owner);
	for (i = 0; i < (k->len + 7) / 8; i++)
		k->hash = extfuse_hash_step(k->hash, k->name[i]);
	return 0;
}

static struct extfuse_row *table_row(const struct table *t, uint32_t set, int way)
{
	return (void *)(t->mem +
			((size_t)set * EXTFUSE_WAYS + way) * t->row_size);
}

static uint64_t *row_name(struct extfuse_row *row)
{
	return (uint64_t *)(row + 1);
}

static bool row_is(struct extfuse_row *row, const struct key *k)
{
	return row->hash == (uint32_t)k->hash && row->owner == k->owner &&
	       row->name_len == k->len &&
	       memcmp(row_name(row), k->name, k->len) == 0;
}

static struct extfuse_row *table_find(const struct table *t, const struct key *k)
{
	uint32_t sets[2] = { EXTFUSE_SET_A(k->hash, t->mask),
			     EXTFUSE_SET_B(k->hash, t->mask) };
	int s, w;

	for (s = 0; s < 2; s++)
		for (w = 0; w < EXTFUSE_WAYS; w++)
			if (row_is(table_row(t, sets[s], w), k))
				return table_row(t, sets[s], w);
	return NULL;
}

static int set_free(const struct table *t, uint32_t set)
{
	int w, n = 0;

	for (w = 0; w < EXTFUSE_WAYS; w++)
		n += !table_row(t, set, w)->owner;
	return n;
}

/* A row of either set: free, in the emptier one; out of date; or unused. */
static struct extfuse_row *table_victim(struct table *t, const struct key *k)
{
	uint32_t a = EXTFUSE_SET_A(k->hash, t->mask);
	uint32_t b = EXTFUSE_SET_B(k->hash, t->mask);
	uint32_t sets[2] = { a, b };
	uint64_t now = now_ns();
	struct extfuse_row *row;
	int i;

	if (set_free(t, b) > set_free(t, a)) {
		sets[0] = b;
		sets[1] = a;
	}
	for (i = 0; i < 2 * EXTFUSE_WAYS; i++) {
		row = table_row(t, sets[i / EXTFUSE_WAYS], i % EXTFUSE_WAYS);
		if (!row->owner || row->deadline <= now || row->stale)
			return row;
	}
	for (i = 0; i < 4 * EXTFUSE_WAYS; i++) {
		uint32_t n = t->hand++;

		row = table_row(t, sets[n / EXTFUSE_WAYS % 2],
				n % EXTFUSE_WAYS);
		if (!LOAD(&row->used))
			return row;
		STORE(&row->used, 0);
	}
	return row;
}

/* Owner 0 makes a row free; programs see the odd sequence and pass on. */
static void table_clear_row(struct cache *c, struct table *t,
			    struct extfuse_row *row)
{
	uint64_t target = row->target;

	row_open(&row->seq);
	STORE(&row->owner, 0);
	row_unlock(&row->seq);
	t->used--;
	if (t != &c->xattrs && target)
		c->unpin(c->user, target);
}

static struct extfuse_row *table_begin_row(struct cache *c, struct table *t,
					   const struct key *k)
{
	struct extfuse_row *row = table_find(t, k);

	if (!row)
		row = table_victim(t, k);
	if (row->owner)
		table_clear_row(c, t, row);
	row_open(&row->seq);
	row->hash = (uint32_t)k->hash;
	row->owner = k->owner;
	row->name_len = k->len;
	row->stale = 0;
	row->used = 0;
	row->value_len = 0;
	row->error = 0;
	memcpy(row_name(row), k->name, (k->len + 7) & ~(size_t)7);
	t->used++;
	return row;
}

static struct table *entry_table(struct cache *c, const struct key *k)
{
	return k->len <= c->entries.max_name ? &c->entries : &c->long_entries;
}

bool cache_quiet(const struct cache *c, uint64_t nodeid, uint64_t epoch)
{
	struct extfuse_node *node = node_of(c, nodeid);

	return node && quiet_at(node, epoch);
}

int lookup_insert(struct cache *c, uint64_t parent, uint64_t epoch,
		  const char *name, uint64_t nodeid, uint64_t timeout)
{
	struct extfuse_node *dir = node_of(c, parent);
	struct extfuse_row *row;
	struct table *t;
	struct key k;
	int pinned = 0;

	if (!dir || !timeout || (nodeid && !node_of(c, nodeid)) ||
	    key_init(c, &k, parent, name) < 0 || !k.len)
		return 0;
	t = entry_table(c, &k);
	pthread_mutex_lock(&t->lock);
	/*
	 * Who changes a name counts itself in before it takes this lock to drop
	 * the row: so either it is seen here, or it will see this row.
	 */
	if (quiet_at(dir, epoch)) {
		row = table_begin_row(c, t, &k);
		row->target = nodeid;
		row->deadline = deadline_in(timeout);
		row_unlock(&row->seq);
		pinned = nodeid != 0;
	}
	pthread_mutex_unlock(&t->lock);
	return pinned;
}

bool lookup_delete(struct cache *c, uint64_t parent, const char *name)
{
	struct extfuse_row *row;
	struct table *t;
	struct key k;

	if (!c || key_init(c, &k, parent, name) < 0)
		return false;
	t = entry_table(c, &k);
	pthread_mutex_lock(&t->lock);
	row = table_find(t, &k);
	if (row)
		table_clear_row(c, t, row);
	pthread_mutex_unlock(&t->lock);
	return row;
}

bool lookup_fetch(struct cache *c, uint64_t parent, const char *name,
		  uint64_t *nodeid)
{
	uint64_t now = now_ns();
	struct extfuse_row *row;
	struct fuse_attr attr;
	bool found;
	struct table *t;
	struct key k;

	if (!node_of(c, parent) || key_init(c, &k, parent, name) < 0)
		return false;
	t = entry_table(c, &k);
	pthread_mutex_lock(&t->lock);
	row = table_find(t, &k);
	found = row && !row->stale && row->deadline > now;
	if (found)
		*nodeid = row->target;
	pthread_mutex_unlock(&t->lock);
	return found && (!*nodeid || attr_fetch(c, *nodeid, &attr));
}

static void table_drop(struct cache *c, struct table *t, uint64_t target)
{
	uint32_t set = 0;
	int w;

	pthread_mutex_lock(&t->lock);
	do {
		for (w = 0; w < EXTFUSE_WAYS; w++) {
			struct extfuse_row *row = table_row(t, set, w);

			if (row->owner && (!target || row->target == target))
				table_clear_row(c, t, row);
		}
	} while (set++ != t->mask);
	pthread_mutex_unlock(&t->lock);
}

void cache_drop_node(struct cache *c, uint64_t nodeid)
{
	if (!c || !nodeid)
		return;
	table_drop(c, &c->entries, nodeid);
	table_drop(c, &c->long_entries, nodeid);
}

void cache_clear(struct cache *c)
{
	uint32_t i;

	if (!c)
		return;
	/* first: who read before it inserts no row behind the sweep */
	for (i = 0; i < c->max_nodes; i++) {
		if (!LOAD(&c->nodes[i].nodeid))
			continue;
		ADD(&c->nodes[i].epoch, 1);
		ADD(&c->nodes[i].xattr_epoch, 1);
	}
	table_drop(c, &c->entries, 0);
	table_drop(c, &c->long_entries, 0);
	table_drop(c, &c->xattrs, 0);
}

void cache_put_xattr(struct cache *c, uint64_t nodeid, uint64_t epoch,
		     const char *name, const void *value, int size,
		     uint64_t timeout)
{
	int max = *name ? EXTFUSE_VALUE_MAX : EXTFUSE_LINK_MAX;
	struct extfuse_node *node = node_of(c, nodeid);
	struct extfuse_xattr *row;
	struct table *t;
	struct key k;

	if (!node || !epoch || !timeout || size < 0 || (value && size > max) ||
	    key_init(c, &k, nodeid, name) < 0 || k.len > EXTFUSE_SHORT_NAME)
		return;
	t = &c->xattrs;
	pthread_mutex_lock(&t->lock);
	row = (struct extfuse_xattr *)table_begin_row(c, t, &k);
	row->target = epoch;
	row->deadline = deadline_in(timeout);
	if (value) {
		row->value_len = size;
		memcpy(*name ? row->value : row->name, value, size);
	} else {
		row->error = size;
	}
	row_unlock(&row->seq);
	pthread_mutex_unlock(&t->lock);
}

struct cache_usage cache_usage(const struct cache *c, enum ebpf_map map)
{
	struct cache_usage u = {};
	const struct table *t;

	if (!c)
		return u;
	if (map == EBPF_ATTR_MAP) {
		u.used = LOAD(&c->used_nodes);
		u.max = c->max_nodes;
		return u;
	}
	t = map == EBPF_ENTRY_MAP ? &c->entries :
	    map == EBPF_ENTRY_LONG_MAP ? &c->long_entries : &c->xattrs;
	u.used = LOAD(&t->used);
	u.max = ((uint64_t)t->mask + 1) * EXTFUSE_WAYS;
	return u;
}
