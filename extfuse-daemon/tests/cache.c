// SPDX-License-Identifier: GPL-2.0-only
/*
 * The cache over maps that are ordinary memory: what is published, what is
 * refused, what is pinned.  The reader here is the program's in C.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "../lib/cache.h"

#define ENTRIES 64
#define DIR_ID 1ULL
#define FILE_ID 2ULL
#define SEC 1000000000ULL

struct ebpf_ctx {
	struct extfuse_node nodes[ENTRIES];
	struct extfuse_entry_set entries[ENTRIES / EXTFUSE_WAYS];
	struct extfuse_entry_long_set longs[2];
	struct extfuse_xattr_set xattrs[ENTRIES / EXTFUSE_WAYS / 4];
};

/* What the loader would give. */
uint32_t ebpf_map_max(const struct ebpf_ctx *ctx, enum ebpf_map map)
{
	(void)ctx;
	return map == EBPF_ATTR_MAP ? ENTRIES :
	       map == EBPF_ENTRY_MAP ? ENTRIES / EXTFUSE_WAYS :
	       map == EBPF_ENTRY_LONG_MAP ? 2 : ENTRIES / EXTFUSE_WAYS / 4;
}

void *ebpf_map_mem(const struct ebpf_ctx *ctx, enum ebpf_map map)
{
	return (void *)(map == EBPF_ATTR_MAP ? (void *)ctx->nodes :
			map == EBPF_ENTRY_MAP ? (void *)ctx->entries :
			map == EBPF_ENTRY_LONG_MAP ? (void *)ctx->longs :
			(void *)ctx->xattrs);
}

uint64_t ebpf_hash_seed(const struct ebpf_ctx *ctx)
{
	(void)ctx;
	return 42;
}

int ebpf_grace(struct ebpf_ctx *ctx)
{
	(void)ctx;
	return 0;
}

static struct ebpf_ctx maps;
static struct cache *c;
static int unpinned;
static void (*in_unpin)(void);

static void unpin(void *user, uint64_t nodeid)
{
	void (*f)(void) = in_unpin;

	(void)user;
	(void)nodeid;
	unpinned++;
	in_unpin = NULL;
	if (f)
		f();
}

static int setup(void **state)
{
	(void)state;
	memset(&maps, 0, sizeof(maps));
	unpinned = 0;
	c = cache_new(&maps, unpin, NULL);
	cache_node_add(c, DIR_ID);
	cache_node_add(c, FILE_ID);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	cache_free(c);
	return 0;
}

static struct extfuse_row *find(uint64_t dir, const char *name)
{
	bool is_long = strlen(name) > EXTFUSE_SHORT_NAME;
	size_t i, w;

	for (i = 0; i < ebpf_map_max(&maps, is_long ? EBPF_ENTRY_LONG_MAP :
						      EBPF_ENTRY_MAP); i++)
		for (w = 0; w < EXTFUSE_WAYS; w++) {
			struct extfuse_row *row = is_long ?
				(void *)&maps.longs[i].row[w] :
				(void *)&maps.entries[i].row[w];

			if (row->owner == dir && row->name_len == strlen(name) &&
			    memcmp(row + 1, name, row->name_len) == 0)
				return row;
		}
	return NULL;
}

static bool attr_valid(uint64_t nodeid)
{
	const struct extfuse_node *n = &maps.nodes[nodeid];

	return n->nodeid == nodeid && n->attr_epoch == n->epoch &&
	       !n->changing && n->attr_deadline;
}

static void attributes_are_valid_until_changed(void **state)
{
	struct fuse_attr attr = { .size = 7 };
	uint64_t epoch = cache_epoch(c, FILE_ID), begun;

	(void)state;
	assert_false(attr_valid(FILE_ID));
	attr_insert(c, FILE_ID, epoch, &attr, SEC, 0);
	assert_true(attr_valid(FILE_ID));
	begun = cache_begin(c, FILE_ID);
	assert_false(attr_valid(FILE_ID));
	epoch = cache_end(c, FILE_ID, begun);
	assert_false(attr_valid(FILE_ID));
	attr_insert(c, FILE_ID, epoch, &attr, SEC, 0);
	assert_true(attr_valid(FILE_ID));
}

/* C2: read before or during a change, published after it. */
static void late_publication_is_void(void **state)
{
	struct fuse_attr attr = {};
	uint64_t before = cache_epoch(c, FILE_ID), begun, during;

	(void)state;
	begun = cache_begin(c, FILE_ID);
	during = cache_epoch(c, FILE_ID);
	attr_insert(c, FILE_ID, during, &attr, SEC, 0);
	assert_false(attr_valid(FILE_ID));
	cache_end(c, FILE_ID, begun);
	attr_insert(c, FILE_ID, before, &attr, SEC, 0);
	attr_insert(c, FILE_ID, during, &attr, SEC, 0);
	assert_false(attr_valid(FILE_ID));
}

static void overlapping_changes_publish_nothing(void **state)
{
	struct fuse_attr attr = {};
	uint64_t a = cache_begin(c, FILE_ID), b = cache_begin(c, FILE_ID);

	(void)state;
	a = cache_end(c, FILE_ID, a);
	attr_insert(c, FILE_ID, a, &attr, SEC, 0);
	assert_false(attr_valid(FILE_ID));
	b = cache_end(c, FILE_ID, b);
	attr_insert(c, FILE_ID, b, &attr, SEC, 0);
	assert_false(attr_valid(FILE_ID));
}

/* As an access time says it */
static uint64_t in_an_hour(void)
{
	return (time(NULL) + 3600) * SEC;
}

/* A read that moves no atime is no change, unless something else is one. */
static void a_read_voids_only_what_it_met(void **state)
{
	uint64_t epoch = cache_epoch(c, FILE_ID), begun;
	struct fuse_attr attr = {};
	struct cache_read r;

	(void)state;
	r = cache_read_begin(c, FILE_ID);
	assert_true(r.change);
	cache_read_end(c, FILE_ID, r);
	assert_int_not_equal(cache_epoch(c, FILE_ID), epoch);

	attr_insert(c, FILE_ID, cache_epoch(c, FILE_ID), &attr, SEC,
		    CACHE_FOREVER);
	assert_int_equal(cache_read_begin(c, FILE_ID).epoch, 0);

	attr_insert(c, FILE_ID, cache_epoch(c, FILE_ID), &attr, SEC, in_an_hour());
	r = cache_read_begin(c, FILE_ID);
	assert_false(r.change);
	cache_read_end(c, FILE_ID, r);
	assert_true(attr_valid(FILE_ID));

	attr_insert(c, FILE_ID, cache_epoch(c, FILE_ID), &attr, SEC, SEC);
	assert_int_equal(maps.nodes[FILE_ID].atime_until, 0);
	attr_insert(c, FILE_ID, cache_epoch(c, FILE_ID), &attr, SEC, in_an_hour());

	/* somebody is writing the row */
	maps.nodes[FILE_ID].seq++;
	r = cache_read_begin(c, FILE_ID);
	maps.nodes[FILE_ID].seq++;
	assert_true(r.change);
	cache_read_end(c, FILE_ID, r);
	attr_insert(c, FILE_ID, cache_epoch(c, FILE_ID), &attr, SEC, in_an_hour());

	r = cache_read_begin(c, FILE_ID);
	begun = cache_begin(c, FILE_ID);
	cache_read_end(c, FILE_ID, r);
	epoch = cache_end(c, FILE_ID, begun);
	assert_int_not_equal(cache_epoch(c, FILE_ID), epoch);
	assert_int_equal(maps.nodes[FILE_ID].readers, 0);
	assert_int_equal(maps.nodes[FILE_ID].changing, 0);
}

static void refused_is_not_served(void **state)
{
	struct fuse_attr attr = { .ino = 1 };

	(void)state;
	attr_insert(c, FILE_ID, cache_epoch(c, FILE_ID), &attr, SEC, 0);
	assert_true(attr_valid(FILE_ID));
	attr_refuse(c, FILE_ID);
	assert_false(attr_valid(FILE_ID));
	assert_int_equal(maps.nodes[FILE_ID].attr.ino, 0);
}

static void *publish_and_unlock(void *arg)
{
	(void)arg;
	usleep(1000);
	maps.nodes[FILE_ID].attr.ino = 1;
	__atomic_add_fetch(&maps.nodes[FILE_ID].seq, 1, __ATOMIC_SEQ_CST);
	return NULL;
}

/* Nor what somebody is publishing at that moment, even if he never ends. */
static void refused_beside_a_publication(void **state)
{
	struct fuse_attr attr = { .ino = 1 };
	pthread_t other;

	(void)state;
	attr_insert(c, FILE_ID, cache_epoch(c, FILE_ID), &attr, SEC, 0);
	maps.nodes[FILE_ID].seq++;
	assert_int_equal(pthread_create(&other, NULL, publish_and_unlock, NULL), 0);
	attr_refuse(c, FILE_ID);
	pthread_join(other, NULL);
	assert_false(attr_valid(FILE_ID));

	attr_insert(c, FILE_ID, cache_epoch(c, FILE_ID), &attr, SEC, 0);
	maps.nodes[FILE_ID].seq++;
	attr_refuse(c, FILE_ID);
	maps.nodes[FILE_ID].seq++;
	assert_false(attr_valid(FILE_ID));
}

/* What a read under way may make wrong is not published. */
static void no_moving_atime_beside_a_read(void **state)
{
	struct fuse_attr attr = {};
	struct cache_read r;
	uint64_t epoch;

	(void)state;
	attr_insert(c, FILE_ID, cache_epoch(c, FILE_ID), &attr, SEC, in_an_hour());
	r = cache_read_begin(c, FILE_ID);
	epoch = cache_end(c, FILE_ID, cache_begin(c, FILE_ID));
	attr_insert(c, FILE_ID, epoch, &attr, SEC, 0);
	assert_false(attr_valid(FILE_ID));
	attr_insert(c, FILE_ID, epoch, &attr, SEC, in_an_hour());
	assert_true(attr_valid(FILE_ID));
	cache_read_end(c, FILE_ID, r);
	assert_false(attr_valid(FILE_ID));
}

static uint64_t old_epoch;

/* Another thread's look-up, made before the clear, while it clears long names */
static void late_lookup(void)
{
	assert_int_equal(lookup_insert(c, DIR_ID, old_epoch, "x", FILE_ID, SEC),
			 0);
}

static void clear_leaves_nothing_older(void **state)
{
	char name[100] = { 0 };

	(void)state;
	memset(name, 'n', sizeof(name) - 1);
	old_epoch = cache_epoch(c, DIR_ID);
	assert_int_equal(lookup_insert(c, DIR_ID, old_epoch, name, FILE_ID, SEC),
			 1);
	in_unpin = late_lookup;
	cache_clear(c);
	assert_null(in_unpin);
	assert_int_equal(cache_usage(c, EBPF_ENTRY_MAP).used, 0);
}

static void entries_pin_and_unpin(void **state)
{
	uint64_t epoch = cache_epoch(c, DIR_ID);

	(void)state;
	assert_int_equal(lookup_insert(c, DIR_ID, epoch, "a", FILE_ID, SEC), 1);
	assert_int_equal(find(DIR_ID, "a")->target, FILE_ID);
	/* the new row's pin replaces the old one's */
	assert_int_equal(lookup_insert(c, DIR_ID, epoch, "a", FILE_ID, SEC), 1);
	assert_int_equal(unpinned, 1);
	assert_int_equal(lookup_insert(c, DIR_ID, epoch, "gone", 0, SEC), 0);
	assert_true(lookup_delete(c, DIR_ID, "a"));
	assert_int_equal(unpinned, 2);
	assert_null(find(DIR_ID, "a"));
	assert_false(lookup_delete(c, DIR_ID, "a"));
	assert_int_equal(cache_usage(c, EBPF_ENTRY_MAP).used, 1);
	cache_clear(c);
	assert_int_equal(cache_usage(c, EBPF_ENTRY_MAP).used, 0);
}

static void no_entry_across_a_change(void **state)
{
	uint64_t epoch = cache_epoch(c, DIR_ID), begun;

	(void)state;
	begun = cache_begin(c, DIR_ID);
	assert_int_equal(lookup_insert(c, DIR_ID, epoch, "a", FILE_ID, SEC), 0);
	assert_null(find(DIR_ID, "a"));
	begun = cache_end(c, DIR_ID, begun);
	assert_int_equal(lookup_insert(c, DIR_ID, epoch, "a", FILE_ID, SEC), 0);
	assert_int_equal(lookup_insert(c, DIR_ID, begun, "a", FILE_ID, SEC), 1);
}

static void names_of_every_length(void **state)
{
	uint64_t epoch = cache_epoch(c, DIR_ID);
	char name[300];
	size_t len;

	(void)state;
	for (len = 1; len <= EXTFUSE_NAME_MAX; len++) {
		memset(name, 'n', len);
		name[len] = '\0';
		assert_int_equal(lookup_insert(c, DIR_ID, epoch, name, FILE_ID,
						 SEC), 1);
		assert_non_null(find(DIR_ID, name));
		assert_true(lookup_delete(c, DIR_ID, name));
	}
	memset(name, 'n', 256);
	name[256] = '\0';
	assert_int_equal(lookup_insert(c, DIR_ID, epoch, name, FILE_ID, SEC), 0);
	assert_int_equal(lookup_insert(c, DIR_ID, epoch, "", FILE_ID, SEC), 0);
}

/* C4: a full map forgets, and says of each row that it did. */
static void full_map_evicts(void **state)
{
	uint64_t epoch = cache_epoch(c, DIR_ID);
	int i, pinned = 0;
	char name[16];

	(void)state;
	for (i = 0; i < 10 * ENTRIES; i++) {
		snprintf(name, sizeof(name), "f%d", i);
		pinned += lookup_insert(c, DIR_ID, epoch, name, FILE_ID, SEC);
		assert_non_null(find(DIR_ID, name));
		assert_true(cache_usage(c, EBPF_ENTRY_MAP).used <= ENTRIES);
		assert_int_equal(pinned - unpinned,
				 cache_usage(c, EBPF_ENTRY_MAP).used);
	}
	cache_drop_node(c, FILE_ID);
	assert_int_equal(pinned, unpinned);
}

/* How many of @n names, two of three rows' worth, find both of their sets full */
static int names_without_room(const char *format, unsigned int n)
{
	static unsigned char used[32768];
	const uint32_t mask = sizeof(used) - 1;
	uint64_t word[4], hash;
	unsigned int i, w;
	uint32_t a, b;
	int full = 0;

	memset(used, 0, sizeof(used));
	for (i = 0; i < n; i++) {
		memset(word, 0, sizeof(word));
		snprintf((char *)word, sizeof(word), format, i);
		hash = extfuse_hash_step(42, DIR_ID);
		for (w = 0; w < (strlen((char *)word) + 7) / 8; w++)
			hash = extfuse_hash_step(hash, word[w]);
		a = EXTFUSE_SET_A(hash, mask);
		b = EXTFUSE_SET_B(hash, mask);
		if (used[b] < used[a])
			a = b;
		if (used[a] < EXTFUSE_WAYS)
			used[a]++;
		else
			full++;
	}
	return full;
}

static void numbered_names_spread_over_the_sets(void **state)
{
	static const char *const formats[] = {
		"%u", "n%06u", "f%u", "%08u.jpg", "file-%u.c", "IMG_%04u.JPG",
		"part-r-%09u",
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(formats) / sizeof(formats[0]); i++)
		assert_in_range(names_without_room(formats[i], 87000), 0, 300);
}

static void nodes_beyond_the_map_are_not_cached(void **state)
{
	uint64_t id = ENTRIES + 5;

	(void)state;
	cache_node_add(c, id);
	assert_false(cache_has_node(c, id));
	assert_int_equal(cache_epoch(c, id), 0);
	assert_int_equal(cache_begin(c, id), 0);
	assert_int_equal(lookup_insert(c, DIR_ID, cache_epoch(c, DIR_ID), "a",
					 id, SEC), 0);
}

/* The same row, another generation: the old nodeid means nothing any more. */
static void row_of_a_new_node(void **state)
{
	uint64_t next = FILE_ID | 1ULL << 32, epoch = cache_epoch(c, FILE_ID);
	struct fuse_attr attr = {};

	(void)state;
	attr_insert(c, FILE_ID, epoch, &attr, SEC, 0);
	maps.nodes[FILE_ID].served = 3;
	cache_node_del(c, FILE_ID);
	cache_node_add(c, next);
	assert_int_equal(cache_served(c, next), 0);
	assert_false(cache_has_node(c, FILE_ID));
	assert_false(maps.nodes[FILE_ID].attr_epoch ==
		     maps.nodes[FILE_ID].epoch);
	attr_insert(c, FILE_ID, epoch, &attr, SEC, 0);
	assert_int_equal(cache_begin(c, FILE_ID), 0);
}

static void xattrs_have_an_epoch_of_their_own(void **state)
{
	uint64_t epoch = cache_xattr_epoch(c, FILE_ID), begun;
	struct extfuse_node *n = &maps.nodes[FILE_ID];

	(void)state;
	cache_put_noxattr(c, FILE_ID, epoch, SEC);
	cache_end(c, FILE_ID, cache_begin(c, FILE_ID));
	assert_int_equal(n->noxattr_epoch, n->xattr_epoch);
	begun = cache_xattr_begin(c, FILE_ID);
	assert_int_equal(n->xattr_changing, 1);
	cache_xattr_end(c, FILE_ID, begun);
	assert_int_not_equal(n->noxattr_epoch, n->xattr_epoch);
	assert_int_equal(n->xattr_changing, 0);
}

static void what_is_published_can_be_fetched(void **state)
{
	struct fuse_attr attr = { .size = 7 }, got = {};
	uint64_t id = 99;

	(void)state;
	lookup_insert(c, DIR_ID, cache_epoch(c, DIR_ID), "a", FILE_ID, SEC);
	lookup_insert(c, DIR_ID, cache_epoch(c, DIR_ID), "b", 0, SEC);
	assert_false(lookup_fetch(c, DIR_ID, "a", &id));
	attr_insert(c, FILE_ID, cache_epoch(c, FILE_ID), &attr, SEC, 0);
	assert_true(lookup_fetch(c, DIR_ID, "a", &id));
	assert_int_equal(id, FILE_ID);
	assert_true(lookup_fetch(c, DIR_ID, "b", &id));
	assert_int_equal(id, 0);
	assert_false(lookup_fetch(c, DIR_ID, "c", &id));
	assert_true(attr_fetch(c, FILE_ID, &got));
	assert_int_equal(got.size, 7);
	attr_delete(c, FILE_ID);
	assert_false(attr_fetch(c, FILE_ID, &got));
	assert_false(attr_fetch(c, DIR_ID, &got));
}

static void no_cache_is_a_cache(void **state)
{
	(void)state;
	cache_node_add(NULL, 1);
	assert_int_equal(cache_begin(NULL, 1), 0);
	assert_int_equal(cache_end(NULL, 1, 0), 0);
	assert_int_equal(lookup_insert(NULL, 1, 1, "a", 2, SEC), 0);
	assert_false(lookup_delete(NULL, 1, "a"));
	cache_clear(NULL);
	cache_free(NULL);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(attributes_are_valid_until_changed),
		TEST(late_publication_is_void),
		TEST(overlapping_changes_publish_nothing),
		TEST(a_read_voids_only_what_it_met),
		TEST(no_moving_atime_beside_a_read),
		TEST(refused_is_not_served),
		TEST(refused_beside_a_publication),
		TEST(entries_pin_and_unpin),
		TEST(clear_leaves_nothing_older),
		TEST(no_entry_across_a_change),
		TEST(names_of_every_length),
		TEST(full_map_evicts),
		TEST(numbered_names_spread_over_the_sets),
		TEST(nodes_beyond_the_map_are_not_cached),
		TEST(row_of_a_new_node),
		TEST(xattrs_have_an_epoch_of_their_own),
		TEST(what_is_published_can_be_fetched),
		TEST(no_cache_is_a_cache),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("cache", tests, NULL, NULL) != 0;
}
