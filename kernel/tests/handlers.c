// SPDX-License-Identifier: GPL-2.0-only
/*
 * Each program of extfuse.o alone, by BPF_PROG_TEST_RUN: rows that the library
 * published, a request, and the verdict, the reply and the rows after it.
 *
 * usage: handlers OBJECT
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bpf/libbpf.h>
#include <cmocka.h>

#include "../../extfuse-daemon/lib/cache.h"
#include "../../extfuse-daemon/lib/ladder.h"
#include "insn.h"

#define SEC_NS 1000000000ULL
/* A nodeid: a generation, and the row's index */
#define DIR_ID 0x500000001ULL
#define DIR2_ID 0x500000002ULL
#define FILE_ID 0x500000003ULL
#define LONG_NAME "a-name-of-more-than-fifty-six-bytes-" \
		  "which-has-a-map-and-programs-of-its-own"

#define MAX_PROGS 64

static const char *object;
static struct ebpf_ctx *ctx;
static struct cache *c;
static struct extfuse_node *nodes;
static bool was_run[MAX_PROGS];

static const struct fuse_attr file_attr = {
	.ino = 33, .size = 12345, .blocks = 32, .mtime = 77, .mode = 0100640,
	.nlink = 2, .uid = 5, .gid = 6, .blksize = 4096,
};

static void unpin(void *user, uint64_t nodeid)
{
	(void)user;
	(void)nodeid;
}

static struct extfuse_node *node(uint64_t nodeid)
{
	return &nodes[(uint32_t)nodeid];
}

static int setup(void **state)
{
	static const uint64_t ids[] = { DIR_ID, DIR2_ID, FILE_ID };
	struct ebpf_opts opts = {
		.size = sizeof(opts),
		.max_entries = 64,
		.attr_timeout = 60 * SEC_NS,
	};
	size_t i;

	(void)state;
	if (!ctx && ebpf_init(object, &opts, &ctx) < 0)
		return -1;
	c = cache_new(ctx, unpin, NULL);
	nodes = ebpf_map_mem(ctx, EBPF_ATTR_MAP);
	for (i = 0; i < ARRAY_SIZE(ids); i++)
		cache_node_add(c, ids[i]);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	cache_clear(c);
	cache_node_del(c, DIR_ID);
	cache_node_del(c, DIR2_ID);
	cache_node_del(c, FILE_ID);
	cache_free(c);
	return 0;
}

static void put_attr(uint64_t nodeid, uint64_t timeout, uint64_t atime_until)
{
	attr_insert(c, nodeid, cache_epoch(c, nodeid), &file_attr, timeout,
		    atime_until);
}

static void put_name(uint64_t dir, const char *name, uint64_t target)
{
	assert_int_equal(lookup_insert(c, dir, cache_epoch(c, dir), name,
				       target, 60 * SEC_NS), target != 0);
}

static bool name_is_served(uint64_t dir, const char *name)
{
	uint64_t nodeid;

	return lookup_fetch(c, dir, name, &nodeid);
}

static struct bpf_program *program(const char *section)
{
	struct bpf_program *prog;
	int i = 0;

	bpf_object__for_each_program(prog, ctx->obj) {
		if (strcmp(bpf_program__section_name(prog), section) == 0) {
			was_run[i] = true;
			return prog;
		}
		i++;
	}
	fail_msg("no section %s", section);
	return NULL;
}

static int run_section(struct run *r, const char *section)
{
	assert_true(prog_run(bpf_program__fd(program(section)), r) >= 0);
	return r->verdict;
}

/* By the handler of that section, and by the main program: alike */
static int run(struct run *r, const char *op)
{
	char section[64];

	snprintf(section, sizeof(section), "extfuse/%s", op);
	return run_section(r, section);
}

static int run_main(struct run *r)
{
	return run_section(r, "extfuse");
}

/* Look-ups */

static struct run lookup_of(const char *name)
{
	struct run r = request(FUSE_LOOKUP, DIR_ID);

	add_name(&r, name);
	add_out(&r, sizeof(struct fuse_entry_out));
	return r;
}

static void assert_entry(const struct run *r)
{
	const struct fuse_entry_out *e = &r->out.entry;

	assert_int_equal(e->nodeid, FILE_ID);
	assert_memory_equal(&e->attr, &file_attr, sizeof(file_attr));
	assert_in_range(e->entry_valid, 58, 60);
	assert_in_range(e->attr_valid, 28, 30);
	assert_in_range(e->entry_valid_nsec, 0, 999999999);
	assert_in_range(e->attr_valid_nsec, 0, 999999999);
}

static void lookup_serves_what_is_published(void **state)
{
	uint64_t before = node(FILE_ID)->served;
	struct run r = lookup_of("f");

	(void)state;
	assert_int_equal(run(&r, "LOOKUP"), EXTFUSE_UPCALL);
	put_name(DIR_ID, "f", FILE_ID);
	/* no attributes yet */
	assert_int_equal(run(&r, "LOOKUP"), EXTFUSE_UPCALL);
	put_attr(FILE_ID, 30 * SEC_NS, 0);
	assert_int_equal(run(&r, "LOOKUP"), 0);
	assert_entry(&r);
	assert_int_equal(node(FILE_ID)->served, before + 1);
	assert_int_equal(run_main(&r), 0);
	assert_entry(&r);
	assert_int_equal(node(FILE_ID)->served, before + 2);
	/* of another directory the name is nothing */
	r.req.nodeid = DIR2_ID;
	assert_int_equal(run(&r, "LOOKUP"), EXTFUSE_UPCALL);
}

/* L3: a look-up that was not answered is not counted. */
static void lookup_counts_only_replies(void **state)
{
	uint64_t before = node(FILE_ID)->served;
	struct run r = request(FUSE_LOOKUP, DIR_ID);

	(void)state;
	put_name(DIR_ID, "f", FILE_ID);
	put_attr(FILE_ID, 30 * SEC_NS, 0);
	add_name(&r, "f");
	add_out(&r, sizeof(struct fuse_entry_out) - 8);
	assert_int_equal(run(&r, "LOOKUP"), EXTFUSE_UPCALL);
	assert_int_equal(node(FILE_ID)->served, before);
}

static void lookup_serves_nothing_in_doubt(void **state)
{
	struct run r = lookup_of("f");
	uint64_t epoch;

	(void)state;
	put_name(DIR_ID, "f", FILE_ID);
	put_attr(FILE_ID, 30 * SEC_NS, 0);
	assert_int_equal(run(&r, "LOOKUP"), 0);
	epoch = cache_begin(c, FILE_ID);
	assert_int_equal(run(&r, "LOOKUP"), EXTFUSE_UPCALL);
	cache_end(c, FILE_ID, epoch);
	assert_int_equal(run(&r, "LOOKUP"), EXTFUSE_UPCALL);
	put_attr(FILE_ID, 1, 0);
	usleep(20000);
	assert_int_equal(run(&r, "LOOKUP"), EXTFUSE_UPCALL);
	put_attr(FILE_ID, 30 * SEC_NS, 0);
	assert_int_equal(run(&r, "LOOKUP"), 0);
	node(FILE_ID)->flags |= EXTFUSE_NODE_MMAPPED;
	assert_int_equal(run(&r, "LOOKUP"), EXTFUSE_UPCALL);
	node(FILE_ID)->flags = 0;
	node(FILE_ID)->seq++;
	assert_int_equal(run(&r, "LOOKUP"), EXTFUSE_UPCALL);
	node(FILE_ID)->seq++;
	lookup_delete(c, DIR_ID, "f");
	assert_int_equal(run(&r, "LOOKUP"), EXTFUSE_UPCALL);
	lookup_insert(c, DIR_ID, cache_epoch(c, DIR_ID), "f", FILE_ID, 1);
	usleep(20000);
	assert_int_equal(run(&r, "LOOKUP"), EXTFUSE_UPCALL);
}

static void lookup_of_names_that_are_not(void **state)
{
	struct run r = lookup_of("g");

	(void)state;
	put_name(DIR_ID, "g", 0);
	assert_int_equal(run(&r, "LOOKUP"), 0);
	assert_int_equal(r.out.entry.nodeid, 0);
	assert_in_range(r.out.entry.entry_valid, 58, 60);
	/* no name is nobody's */
	r = lookup_of("");
	assert_int_equal(run(&r, "LOOKUP"), EXTFUSE_UPCALL);
}

static void lookup_of_long_names(void **state)
{
	static char longest[EXTFUSE_NAME_MAX + 2];
	struct run r = lookup_of(LONG_NAME);

	(void)state;
	put_name(DIR_ID, LONG_NAME, FILE_ID);
	put_attr(FILE_ID, 30 * SEC_NS, 0);
	assert_int_equal(run(&r, "LOOKUP"), 0);
	assert_entry(&r);
	assert_int_equal(run(&r, "LOOKUP_LONG"), 0);
	assert_entry(&r);
	r = lookup_of(LONG_NAME "x");
	assert_int_equal(run(&r, "LOOKUP"), EXTFUSE_UPCALL);
	memset(longest, 'n', EXTFUSE_NAME_MAX);
	put_name(DIR_ID, longest, FILE_ID);
	r = lookup_of(longest);
	assert_int_equal(run(&r, "LOOKUP"), 0);
	longest[EXTFUSE_NAME_MAX] = 'n';
	r = lookup_of(longest);
	assert_int_equal(run(&r, "LOOKUP"), EXTFUSE_UPCALL);
}

/* Attributes */

static void getattr_serves_until_changed(void **state)
{
	struct run r = request(FUSE_GETATTR, FILE_ID);
	uint64_t epoch;

	(void)state;
	add_out(&r, sizeof(struct fuse_attr_out));
	assert_int_equal(run(&r, "GETATTR"), EXTFUSE_UPCALL);
	put_attr(FILE_ID, 30 * SEC_NS, 0);
	assert_int_equal(run(&r, "GETATTR"), 0);
	assert_memory_equal(&r.out.attr.attr, &file_attr, sizeof(file_attr));
	assert_in_range(r.out.attr.attr_valid, 28, 30);
	assert_int_equal(run_main(&r), 0);
	epoch = cache_begin(c, FILE_ID);
	assert_int_equal(run(&r, "GETATTR"), EXTFUSE_UPCALL);
	cache_end(c, FILE_ID, epoch);
	assert_int_equal(run(&r, "GETATTR"), EXTFUSE_UPCALL);
	/* D22: another node that had the row before */
	put_attr(FILE_ID, 30 * SEC_NS, 0);
	r.req.nodeid = FILE_ID + (1ULL << 32);
	assert_int_equal(run(&r, "GETATTR"), EXTFUSE_UPCALL);
	/* a row that no map has */
	r.req.nodeid = 0x500000000ULL | 4096;
	assert_int_equal(run(&r, "GETATTR"), EXTFUSE_UPCALL);
}

static void flush_is_served_without_writers(void **state)
{
	struct run r = request(FUSE_FLUSH, FILE_ID);
	uint64_t epoch;

	(void)state;
	assert_int_equal(run(&r, "FLUSH"), 0);
	cache_writers(c, FILE_ID, 1);
	assert_int_equal(run(&r, "FLUSH"), EXTFUSE_UPCALL);
	cache_writers(c, FILE_ID, -1);
	epoch = cache_begin(c, FILE_ID);
	assert_int_equal(run(&r, "FLUSH"), EXTFUSE_UPCALL);
	cache_end(c, FILE_ID, epoch);
	assert_int_equal(run(&r, "FLUSH"), 0);
	r.req.nodeid = FILE_ID + (1ULL << 32);
	assert_int_equal(run(&r, "FLUSH"), EXTFUSE_UPCALL);
}

/* Links and extended attributes */

static void readlink_serves_targets(void **state)
{
	struct run r = request(FUSE_READLINK, FILE_ID);
	uint64_t epoch;

	(void)state;
	add_out(&r, 1000);
	cache_put_xattr(c, FILE_ID, cache_xattr_epoch(c, FILE_ID), "",
			"/some/where", 11, 60 * SEC_NS);
	/* reading may move its atime */
	put_attr(FILE_ID, 30 * SEC_NS, 0);
	assert_int_equal(run(&r, "READLINK"), EXTFUSE_UPCALL);
	put_attr(FILE_ID, 30 * SEC_NS, CACHE_FOREVER);
	assert_int_equal(run(&r, "READLINK"), 0);
	assert_memory_equal(r.out.bytes, "/some/where", 11);
	r.req.out_size[0] = r.out_size = 10;
	assert_int_equal(run(&r, "READLINK"), EXTFUSE_UPCALL);
	/* what is changing may make it one that reading moves */
	r.req.out_size[0] = r.out_size = 1000;
	epoch = cache_begin(c, FILE_ID);
	assert_int_equal(run(&r, "READLINK"), EXTFUSE_UPCALL);
	cache_end(c, FILE_ID, epoch);
}

static struct run getxattr_of(const char *name, uint32_t size)
{
	struct fuse_getxattr_in in = { .size = size };
	struct run r = request(FUSE_GETXATTR, FILE_ID);

	add_in(&r, &in, sizeof(in));
	add_name(&r, name);
	add_out(&r, size ? size : sizeof(struct fuse_getxattr_out));
	return r;
}

static void getxattr_serves_values(void **state)
{
	uint64_t epoch = cache_xattr_epoch(c, FILE_ID);
	struct run r = getxattr_of("user.a", 100);

	(void)state;
	assert_int_equal(run(&r, "GETXATTR"), EXTFUSE_UPCALL);
	cache_put_xattr(c, FILE_ID, epoch, "user.a", "value", 5, 60 * SEC_NS);
	cache_put_xattr(c, FILE_ID, epoch, "user.none", NULL, ENODATA,
			60 * SEC_NS);
	assert_int_equal(run(&r, "GETXATTR"), 0);
	assert_memory_equal(r.out.bytes, "value", 5);
	r = getxattr_of("user.a", 0);
	assert_int_equal(run(&r, "GETXATTR"), 0);
	assert_int_equal(r.out.xattr.size, 5);
	r = getxattr_of("user.a", 4);
	assert_int_equal(run(&r, "GETXATTR"), -ERANGE);
	r = getxattr_of("user.none", 100);
	assert_int_equal(run(&r, "GETXATTR"), -ENODATA);
	r = getxattr_of("user." LONG_NAME, 100);
	assert_int_equal(run(&r, "GETXATTR"), EXTFUSE_UPCALL);
	/* a change of the file's data says nothing of its attributes */
	cache_end(c, FILE_ID, cache_begin(c, FILE_ID));
	r = getxattr_of("user.a", 100);
	assert_int_equal(run(&r, "GETXATTR"), 0);
	epoch = cache_xattr_begin(c, FILE_ID);
	assert_int_equal(run(&r, "GETXATTR"), EXTFUSE_UPCALL);
	cache_xattr_end(c, FILE_ID, epoch);
	assert_int_equal(run(&r, "GETXATTR"), EXTFUSE_UPCALL);
}

static void getxattr_knows_that_there_are_none(void **state)
{
	static const char *const names[] = {
		"user.a", "security.capability", "trusted.b",
		"system.posix_acl_access",
	};
	struct run r = getxattr_of("btrfs.compression", 100);
	size_t i;

	(void)state;
	cache_put_noxattr(c, FILE_ID, cache_xattr_epoch(c, FILE_ID),
			  60 * SEC_NS);
	assert_int_equal(run(&r, "GETXATTR"), EXTFUSE_UPCALL);
	for (i = 0; i < ARRAY_SIZE(names); i++) {
		r = getxattr_of(names[i], i & 1 ? 100 : 0);
		assert_int_equal(run(&r, "GETXATTR"), -ENODATA);
	}
	r = getxattr_of("system.posix_acl_default", 0);
	assert_int_equal(run(&r, "GETXATTR"), -ENODATA);
	r = getxattr_of("system.posix_acl_defaults", 0);
	assert_int_equal(run(&r, "GETXATTR"), EXTFUSE_UPCALL);
	r = getxattr_of(names[0], 0);
	cache_xattr_end(c, FILE_ID, cache_xattr_begin(c, FILE_ID));
	assert_int_equal(run(&r, "GETXATTR"), EXTFUSE_UPCALL);
}

static void listxattr_serves_empty_lists(void **state)
{
	struct fuse_getxattr_in in = { .size = 0 };
	struct run r = request(FUSE_LISTXATTR, FILE_ID);

	(void)state;
	add_in(&r, &in, sizeof(in));
	add_out(&r, sizeof(struct fuse_getxattr_out));
	assert_int_equal(run(&r, "LISTXATTR"), EXTFUSE_UPCALL);
	cache_put_noxattr(c, FILE_ID, cache_xattr_epoch(c, FILE_ID),
			  60 * SEC_NS);
	assert_int_equal(run(&r, "LISTXATTR"), 0);
	assert_int_equal(r.out.xattr.size, 0);
	in.size = 100;
	r = request(FUSE_LISTXATTR, FILE_ID);
	add_in(&r, &in, sizeof(in));
	add_out(&r, 100);
	assert_int_equal(run(&r, "LISTXATTR"), 0);
}

/* I/O of passthrough files */

static const struct fuse_attr new_attr = {
	.ino = 33, .size = 99, .blocks = 8, .mtime = 78, .mode = 0100640,
	.nlink = 2, .uid = 5, .gid = 6, .blksize = 4096,
};

/* What the kernel hands over has the lower file's number, which is another. */
static struct fuse_attr lower_attr(void)
{
	struct fuse_attr attr = new_attr;

	attr.ino = 7;
	return attr;
}

static int begin_change(uint32_t opcode, uint32_t phase, uint64_t *cookie)
{
	struct run r = request(opcode, FILE_ID);
	int verdict;

	r.req.phase = phase;
	add_out(&r, sizeof(*cookie));
	verdict = run(&r, opcode == FUSE_READ ? "READ" : "WRITE");
	*cookie = r.out.word;
	return verdict;
}

/* Without a cookie: as an asynchronous write ends */
static int end_change(uint32_t opcode, const uint64_t *cookie)
{
	struct run r = request(opcode, FILE_ID);
	const struct fuse_attr attr = lower_attr();

	r.req.phase = EXTFUSE_PHASE_EXIT;
	if (cookie) {
		add_in(&r, cookie, sizeof(*cookie));
		add_in(&r, &attr, sizeof(attr));
	}
	return run(&r, opcode == FUSE_READ ? "READ" : "WRITE");
}

static bool attr_is_served(const struct fuse_attr *attr)
{
	struct run r = request(FUSE_GETATTR, FILE_ID);

	add_out(&r, sizeof(struct fuse_attr_out));
	return run(&r, "GETATTR") == 0 &&
	       memcmp(&r.out.attr.attr, attr, sizeof(*attr)) == 0;
}

static bool any_attr_is_served(void)
{
	return attr_is_served(&file_attr) || attr_is_served(&new_attr);
}

static void check_change(uint32_t opcode, uint32_t phase)
{
	uint64_t epoch = cache_epoch(c, FILE_ID), a, b;

	put_attr(FILE_ID, 30 * SEC_NS, 0);
	assert_true(attr_is_served(&file_attr));
	assert_int_equal(begin_change(opcode, phase, &a), EXTFUSE_PASSTHRU_EXIT);
	assert_int_equal(a, epoch);
	assert_false(any_attr_is_served());
	/* the change's own attributes are published at its end */
	assert_int_equal(end_change(opcode, &a), EXTFUSE_PASSTHRU);
	assert_int_equal(cache_epoch(c, FILE_ID), epoch + 1);
	assert_true(attr_is_served(&new_attr));
	/* but not if another ended meanwhile: which of them was last? */
	begin_change(opcode, phase, &a);
	begin_change(opcode, phase, &b);
	end_change(opcode, &b);
	assert_false(any_attr_is_served());
	end_change(opcode, &a);
	assert_false(any_attr_is_served());
	/* nor beside a read by the daemon, which may have moved atime since */
	put_attr(FILE_ID, 30 * SEC_NS, 0);
	begin_change(opcode, phase, &a);
	node(FILE_ID)->readers = 1;
	end_change(opcode, &a);
	node(FILE_ID)->readers = 0;
	assert_false(any_attr_is_served());
	/* and not without attributes */
	put_attr(FILE_ID, 30 * SEC_NS, 0);
	begin_change(opcode, phase, &a);
	assert_int_equal(end_change(opcode, NULL), EXTFUSE_PASSTHRU);
	assert_false(any_attr_is_served());
	assert_int_equal(node(FILE_ID)->changing, 0);
}

static void writes_are_changes(void **state)
{
	(void)state;
	check_change(FUSE_WRITE, EXTFUSE_PHASE_ENTER);
}

static void reads_are_where_atime_moves(void **state)
{
	uint64_t cookie;

	(void)state;
	put_attr(FILE_ID, 30 * SEC_NS, 0);
	assert_int_equal(begin_change(FUSE_READ, EXTFUSE_PHASE_ENTER, &cookie),
			 EXTFUSE_PASSTHRU);
	assert_true(attr_is_served(&file_attr));
	check_change(FUSE_READ, EXTFUSE_PHASE_ATIME);
}

static void mapped_files_are_not_served(void **state)
{
	uint64_t epoch = cache_epoch(c, FILE_ID);
	struct run r = request(FUSE_WRITE, FILE_ID);

	(void)state;
	put_attr(FILE_ID, 30 * SEC_NS, 0);
	r.req.phase = EXTFUSE_PHASE_MMAP;
	assert_int_equal(run(&r, "WRITE"), EXTFUSE_PASSTHRU);
	assert_true(cache_epoch(c, FILE_ID) > epoch);
	put_attr(FILE_ID, 30 * SEC_NS, 0);
	assert_false(any_attr_is_served());
}

static void io_of_unknown_nodes_goes_down(void **state)
{
	static const uint32_t ops[] = { FUSE_READ, FUSE_WRITE };
	uint32_t phase;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(ops); i++)
		for (phase = 0; phase <= EXTFUSE_PHASE_ATIME; phase++) {
			struct run r = request(ops[i], FILE_ID + (1ULL << 32));

			r.req.phase = phase;
			assert_int_equal(run(&r, i ? "WRITE" : "READ"),
					 phase == EXTFUSE_PHASE_REQUEST ?
					 EXTFUSE_UPCALL : EXTFUSE_PASSTHRU);
			/* a request to the daemon is no passthrough */
			r.req.nodeid = FILE_ID;
			r.req.phase = EXTFUSE_PHASE_REQUEST;
			assert_int_equal(run(&r, i ? "WRITE" : "READ"),
					 EXTFUSE_UPCALL);
		}
}

/* Changes: left to the daemon, and nothing that they touch is believed */

#define HANDLERS_TOUCH(X)						\
	X(SETATTR) X(SETXATTR) X(REMOVEXATTR) X(FALLOCATE)		\
	X(COPY_FILE_RANGE) X(COPY_FILE_RANGE_64) X(TMPFILE)

static const struct {
	const char *name;
	uint32_t opcode;
} all_ops[] = {
#define OP(op, nr, flags, name1, name2) { #op, nr },
	EXTFUSE_OPS(OP)
#undef OP
};

static uint32_t opcode_of(const char *name)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(all_ops); i++)
		if (strcmp(all_ops[i].name, name) == 0)
			return all_ops[i].opcode;
	fail_msg("no opcode %s", name);
	return 0;
}

static void changes_move_the_epoch(void **state)
{
	static const char *const ops[] = {
#define OP(op) #op,
		HANDLERS_TOUCH(OP)
#undef OP
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(ops); i++) {
		struct run r = request(opcode_of(ops[i]), FILE_ID);
		uint64_t epoch = cache_epoch(c, FILE_ID);

		assert_int_equal(run(&r, ops[i]), EXTFUSE_UPCALL);
		assert_true(cache_epoch(c, FILE_ID) > epoch);
		r.req.nodeid = FILE_ID + (1ULL << 32);
		epoch = cache_epoch(c, FILE_ID);
		assert_int_equal(run(&r, ops[i]), EXTFUSE_UPCALL);
		assert_int_equal(cache_epoch(c, FILE_ID), epoch);
	}
}

static void open_moves_it_if_it_truncates(void **state)
{
	struct fuse_open_in in = { .flags = 01 };
	struct run r = request(FUSE_OPEN, FILE_ID);
	uint64_t epoch = cache_epoch(c, FILE_ID);

	(void)state;
	add_in(&r, &in, sizeof(in));
	assert_int_equal(run(&r, "OPEN"), EXTFUSE_UPCALL);
	assert_int_equal(cache_epoch(c, FILE_ID), epoch);
	in.flags |= 01000;
	r = request(FUSE_OPEN, FILE_ID);
	add_in(&r, &in, sizeof(in));
	assert_int_equal(run(&r, "OPEN"), EXTFUSE_UPCALL);
	assert_true(cache_epoch(c, FILE_ID) > epoch);
}

static struct run open_of(uint32_t opcode, uint64_t nodeid, uint32_t flags)
{
	struct fuse_open_in in = { .flags = flags };
	struct run r = request(opcode, nodeid);

	add_in(&r, &in, sizeof(in));
	add_out(&r, sizeof(struct fuse_open_out));
	return r;
}

/* In struct fuse_open_out, where before Linux 6.9 it is padding */
#define OPEN_BACKING_OFFSET 12

/* Only to read, and only of a file that the kernel has */
static void open_is_served_with_a_backing_file(void **state)
{
	struct run r = open_of(FUSE_OPEN, FILE_ID, 0);
	int32_t backing_id;

	(void)state;
	assert_int_equal(run(&r, "OPEN"), EXTFUSE_UPCALL);
	cache_put_backing(c, FILE_ID, 7);
	assert_int_equal(run(&r, "OPEN"), 0);
	assert_int_equal(r.out.open.fh, 0);
	assert_true(r.out.open.open_flags & EXTFUSE_FOPEN_UNOPENED);
	assert_true(r.out.open.open_flags & EXTFUSE_FOPEN_READ_PASSTHRU);
	memcpy(&backing_id, (char *)&r.out.open + OPEN_BACKING_OFFSET, sizeof(backing_id));
	assert_int_equal(backing_id, 7);
	r = open_of(FUSE_OPEN, FILE_ID, 02);
	assert_int_equal(run(&r, "OPEN"), EXTFUSE_UPCALL);
	r = open_of(FUSE_OPEN, FILE_ID, 01000);
	assert_int_equal(run(&r, "OPEN"), EXTFUSE_UPCALL);
}

static void opendir_is_served_where_the_daemon_says_so(void **state)
{
	struct run r = open_of(FUSE_OPENDIR, DIR_ID, 0);

	(void)state;
	assert_int_equal(run(&r, "OPENDIR"), EXTFUSE_UPCALL);
	cache_put_opendir(c, DIR_ID);
	assert_int_equal(run(&r, "OPENDIR"), 0);
	assert_int_equal(r.out.open.open_flags, EXTFUSE_FOPEN_UNOPENED);
	r = open_of(FUSE_OPENDIR, DIR_ID, 01000000);	/* O_NOATIME */
	assert_int_equal(run(&r, "OPENDIR"), EXTFUSE_UPCALL);
}

/* With the arguments before the name as long as FUSE makes them */
static struct run removal(const char *op, size_t head, const char *name)
{
	static const char zeros[64];
	struct run r = request(opcode_of(op), DIR_ID);

	if (head)
		add_in(&r, zeros, head);
	add_name(&r, name);
	return r;
}

static void check_removal(const char *op, size_t head, const char *name)
{
	struct run r = removal(op, head, name);
	uint64_t epoch = cache_epoch(c, DIR_ID);

	put_name(DIR_ID, name, 0);
	put_name(DIR_ID, "other", 0);
	put_name(DIR2_ID, name, 0);
	assert_true(name_is_served(DIR_ID, name));
	assert_int_equal(run(&r, op), EXTFUSE_UPCALL);
	assert_false(name_is_served(DIR_ID, name));
	assert_true(name_is_served(DIR_ID, "other"));
	assert_true(name_is_served(DIR2_ID, name));
	assert_true(cache_epoch(c, DIR_ID) > epoch);
	/* the same by the main program */
	put_name(DIR_ID, name, 0);
	assert_int_equal(run_main(&r), EXTFUSE_UPCALL);
	assert_false(name_is_served(DIR_ID, name));
}

static void removals_hide_the_name(void **state)
{
	static const struct {
		const char *op;
		size_t head;
	} cases[] = {
		{ "UNLINK", 0 }, { "RMDIR", 0 }, { "SYMLINK", 0 },
		{ "CREATE", sizeof(struct fuse_create_in) },
		{ "MKNOD", sizeof(struct fuse_mknod_in) },
		{ "MKDIR", sizeof(struct fuse_mkdir_in) },
		{ "LINK", sizeof(struct fuse_link_in) },
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		check_removal(cases[i].op, cases[i].head, "name");
		check_removal(cases[i].op, cases[i].head, LONG_NAME);
	}
}

static void long_removals_have_a_program(void **state)
{
	struct run r = removal("UNLINK", 0, LONG_NAME);

	(void)state;
	put_name(DIR_ID, LONG_NAME, 0);
	assert_int_equal(run(&r, "REMOVE_LONG"), EXTFUSE_UPCALL);
	assert_false(name_is_served(DIR_ID, LONG_NAME));
}

static void check_rename(const char *op, size_t head, const char *from,
			 const char *to)
{
	struct fuse_rename2_in in = { .newdir = DIR2_ID };
	struct run r = request(opcode_of(op), DIR_ID);
	uint64_t epoch = cache_epoch(c, DIR_ID);
	uint64_t epoch2 = cache_epoch(c, DIR2_ID);

	add_in(&r, &in, head);
	add_name(&r, from);
	add_name(&r, to);
	put_name(DIR_ID, from, 0);
	put_name(DIR2_ID, to, 0);
	/* D12: neither name in the other directory */
	put_name(DIR_ID, to, 0);
	put_name(DIR2_ID, from, 0);
	assert_int_equal(run(&r, op), EXTFUSE_UPCALL);
	assert_false(name_is_served(DIR_ID, from));
	assert_false(name_is_served(DIR2_ID, to));
	assert_true(name_is_served(DIR_ID, to));
	assert_true(name_is_served(DIR2_ID, from));
	assert_true(cache_epoch(c, DIR_ID) > epoch);
	assert_true(cache_epoch(c, DIR2_ID) > epoch2);
}

static void renames_hide_both_names(void **state)
{
	static const struct {
		const char *op;
		size_t head;
	} cases[] = {
		{ "RENAME", sizeof(struct fuse_rename_in) },
		{ "RENAME2", sizeof(struct fuse_rename2_in) },
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		check_rename(cases[i].op, cases[i].head, "a", "b");
		check_rename(cases[i].op, cases[i].head, LONG_NAME, "b");
		check_rename(cases[i].op, cases[i].head, "a", LONG_NAME);
		check_rename(cases[i].op, cases[i].head, LONG_NAME "1",
			     LONG_NAME "2");
	}
}

/* The rest */

/* What has no handler, and what has one but no rows, is the daemon's. */
static void main_leaves_the_rest_to_the_daemon(void **state)
{
	size_t i;

	(void)state;
	cache_node_del(c, FILE_ID);
	for (i = 0; i < ARRAY_SIZE(all_ops); i++) {
		struct run r = request(all_ops[i].opcode, FILE_ID);

		assert_int_equal(run_main(&r), EXTFUSE_UPCALL);
	}
	cache_node_add(c, FILE_ID);
}

/* ebpf_data_*() and ebpf_ctrl_*(): rows and handlers as bpf(2) has them */
static void rows_and_handlers_by_number(void **state)
{
	struct run r = request(FUSE_GETATTR, FILE_ID);
	uint32_t key = (uint32_t)FILE_ID, next = ~0U;
	struct extfuse_node n;

	(void)state;
	assert_int_equal(ebpf_data_next(ctx, EBPF_ATTR_MAP, NULL, &next), 0);
	assert_int_equal(next, 0);
	assert_int_equal(ebpf_data_lookup(ctx, EBPF_ATTR_MAP, &key, &n), 0);
	assert_int_equal(n.nodeid, FILE_ID);
	n.served = 7;
	assert_int_equal(ebpf_data_update(ctx, EBPF_ATTR_MAP, &key, &n, 0), 0);
	assert_int_equal(cache_served(c, FILE_ID), 7);
	assert_int_equal(ebpf_data_delete(ctx, EBPF_ATTR_MAP, &key), -EINVAL);

	add_out(&r, sizeof(struct fuse_attr_out));
	put_attr(FILE_ID, 30 * SEC_NS, 0);
	assert_int_equal(run_main(&r), 0);
	assert_int_equal(ebpf_ctrl_delete(ctx, FUSE_GETATTR), 0);
	assert_int_equal(run_main(&r), EXTFUSE_UPCALL);
	assert_int_equal(ebpf_ctrl_update(ctx, FUSE_GETATTR,
			 bpf_program__fd(program("extfuse/GETATTR"))), 0);
	assert_int_equal(run_main(&r), 0);
}

/* Must be the last test */
static void every_program_was_run(void **state)
{
	struct bpf_program *prog;
	int i = 0;

	(void)state;
	bpf_object__for_each_program(prog, ctx->obj) {
		if (!was_run[i])
			fail_msg("no test runs %s",
				 bpf_program__section_name(prog));
		i++;
	}
	assert_in_range(i, 20, MAX_PROGS);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(lookup_serves_what_is_published),
		TEST(lookup_counts_only_replies),
		TEST(lookup_serves_nothing_in_doubt),
		TEST(lookup_of_names_that_are_not),
		TEST(lookup_of_long_names),
		TEST(getattr_serves_until_changed),
		TEST(flush_is_served_without_writers),
		TEST(readlink_serves_targets),
		TEST(getxattr_serves_values),
		TEST(getxattr_knows_that_there_are_none),
		TEST(listxattr_serves_empty_lists),
		TEST(writes_are_changes),
		TEST(reads_are_where_atime_moves),
		TEST(mapped_files_are_not_served),
		TEST(io_of_unknown_nodes_goes_down),
		TEST(changes_move_the_epoch),
		TEST(open_moves_it_if_it_truncates),
		TEST(open_is_served_with_a_backing_file),
		TEST(opendir_is_served_where_the_daemon_says_so),
		TEST(removals_hide_the_name),
		TEST(long_removals_have_a_program),
		TEST(renames_hide_both_names),
		TEST(main_leaves_the_rest_to_the_daemon),
		TEST(rows_and_handlers_by_number),
		TEST(every_program_was_run),
	};

	if (argc != 2) {
		fprintf(stderr, "usage: handlers OBJECT\n");
		return 1;
	}
	object = argv[1];
	setvbuf(stdout, NULL, _IOLBF, 0);
	libbpf_set_strict_mode(LIBBPF_STRICT_ALL);
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("handlers", tests, NULL, NULL) != 0;
}
