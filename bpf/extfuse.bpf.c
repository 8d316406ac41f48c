// SPDX-License-Identifier: GPL-2.0-only
/*
 * The handlers: what of a FUSE daemon's work is done in the kernel.
 *
 * The maps are written by the daemon (extfuse-daemon/lib/cache.c) and read
 * here, both at any time; struct extfuse_node in <linux/extfuse.h> has the
 * protocol.  In doubt a handler leaves the request to the daemon.
 */
#include <linux/bpf.h>
#include <linux/errno.h>
#include <linux/fcntl.h>
#include <stdbool.h>
#include <bpf/bpf_helpers.h>
#include <linux/extfuse.h>

#include "rows.h"
#include "road.h"

/* Flags of struct fuse_open_out that an older <linux/fuse.h> lacks. */
#ifndef FOPEN_PASSTHROUGH
#define FOPEN_PASSTHROUGH	(1 << 7)
#endif

char LICENSE[] SEC("license") = "GPL";

const struct extfuse_layout extfuse_layout SEC(".rodata") = EXTFUSE_LAYOUT_INIT;

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, EXTFUSE_MAX_OPS);
	__type(key, __u32);
	__type(value, __u32);
} handlers SEC(".maps");

/* Runs for each request: opcodes without a handler are the daemon's. */
PROGRAM("extfuse", extfuse_main)
{
	CONTINUE(req->opcode);
	return upcall(req);
}

/* C4: what is left, never the full timeout again. */
#define FILL_VALID(out, field, deadline, now) do {	\
	__u64 __left = (deadline) - (now);		\
	(out)->field = __left / 1000000000;		\
	(out)->field##_nsec = __left % 1000000000;	\
} while (0)

static __always_inline int reply_entry(struct extfuse_req *req,
				       struct fuse_entry_out *out)
{
	if (bpf_extfuse_write_args(req, EXTFUSE_OUT_PARAM_0, out, sizeof(*out)))
		return failed(req);
	return served(req, 0);
}

/*
 * The entry's row is @e, seen at sequence @seq.  The node's lookup is counted
 * before the reply exists (L3); a program that finds afterwards that it cannot
 * reply takes its count back.
 */
static __always_inline int serve_entry(struct extfuse_req *req,
				       struct extfuse_row *e, __u32 seq)
{
	struct fuse_entry_out out = {};
	__u64 now = bpf_ktime_get_coarse_ns();
	__u64 deadline = READ_ONCE(e->deadline);
	__u64 nodeid = READ_ONCE(e->target);
	struct extfuse_node *node;
	__u64 attr_deadline;
	int ret;

	if (READ_ONCE(e->stale) || deadline <= now)
		return stale(req);
	if (!READ_ONCE(e->used))
		WRITE_ONCE(e->used, 1);
	FILL_VALID(&out, entry_valid, deadline, now);
	if (!nodeid) {
		if (!row_unchanged(&e->seq, seq))
			return stale(req);
		return reply_entry(req, &out);
	}

	node = node_get(nodeid);
	if (!node)
		return stale(req);
	attr_deadline = node_read_attr(node, now, &out.attr);
	if (!attr_deadline || !row_unchanged(&e->seq, seq) ||
	    READ_ONCE(e->stale))
		return stale(req);
	out.nodeid = nodeid;
	FILL_VALID(&out, attr_valid, attr_deadline, now);
	__sync_fetch_and_add(&node->served, 1);
	ret = reply_entry(req, &out);
	if (ret)
		__sync_fetch_and_add(&node->served, -1);
	return ret;
}

/* A program of its own: two frames with names and a reply pass 512 bytes. */
PROGRAM("extfuse/LOOKUP_LONG", handle_lookup_long)
{
	__u64 name[LONG_WORDS];
	struct extfuse_row *e;
	__u32 seq = 0;

	if (bpf_extfuse_read_args(req, EXTFUSE_NAME, name, sizeof(name)) < 0)
		return failed(req);
	e = entry_long_find(req->nodeid, name, req->name_len[0], &seq);
	if (!e)
		return upcall(req);
	return serve_entry(req, e, seq);
}

HANDLER(LOOKUP)
{
	__u64 name[SHORT_WORDS];
	struct extfuse_row *e;
	__u32 len = req->name_len[0];
	__u32 seq = 0;

	if (!len || len > EXTFUSE_NAME_MAX)
		return upcall(req);
	if (len > EXTFUSE_SHORT_NAME) {
		CONTINUE(EXTFUSE_LOOKUP_LONG);
		return failed(req);
	}
	if (bpf_extfuse_read_args(req, EXTFUSE_NAME, name, sizeof(name)) < 0)
		return failed(req);
	e = entry_short_find(req->nodeid, name, len, &seq);
	if (!e)
		return upcall(req);
	return serve_entry(req, e, seq);
}

HANDLER(GETATTR)
{
	struct fuse_attr_out out = {};
	__u64 now = bpf_ktime_get_coarse_ns();
	struct extfuse_node *node;
	__u64 deadline;

	node = node_get(req->nodeid);
	if (!node)
		return upcall(req);
	deadline = node_read_attr(node, now, &out.attr);
	if (!deadline)
		return stale(req);
	FILL_VALID(&out, attr_valid, deadline, now);
	if (bpf_extfuse_write_args(req, EXTFUSE_OUT_PARAM_0, &out, sizeof(out)))
		return failed(req);
	return served(req, 0);
}

/* Reply with @len bytes of a value, or its length where that was asked for. */
static __always_inline int reply_value(struct extfuse_req *req,
				       const void *value, __u32 len, bool sized)
{
	struct fuse_getxattr_in in = {};
	struct fuse_getxattr_out out = {};
	long err;

	if (sized) {
		if (bpf_extfuse_read_args(req, EXTFUSE_IN_PARAM_0_VALUE, &in,
					  sizeof(in)) < 0)
			return failed(req);
		if (!in.size) {
			out.size = len;
			err = bpf_extfuse_write_args(req, EXTFUSE_OUT_PARAM_0,
						     &out, sizeof(out));
			return err ? failed(req) : 0;
		}
		if (in.size < len)
			return -ERANGE;
	}
	if (len > (sized ? EXTFUSE_VALUE_MAX : EXTFUSE_LINK_MAX))
		return failed(req);
	err = bpf_extfuse_write_args(req, EXTFUSE_OUT_PARAM_0, value, len);
	return err ? failed(req) : 0;
}

/* Serve a row of xattr_map; its data are copied out before @seq is checked. */
static __always_inline int serve_xattr(struct extfuse_req *req,
				       struct extfuse_node *node,
				       struct extfuse_xattr *x, __u32 seq,
				       bool sized)
{
	__u32 len = READ_ONCE(x->value_len);
	__u64 epoch = READ_ONCE(x->target);
	int ret = -READ_ONCE(x->error);

	if (READ_ONCE(x->deadline) <= bpf_ktime_get_coarse_ns() ||
	    !xattr_current(node, epoch))
		return stale(req);
	if (!READ_ONCE(x->used))
		WRITE_ONCE(x->used, 1);
	if (!ret) {
		ret = reply_value(req, sized ? x->value : x->name, len, sized);
		if (ret > 0)
			return ret;
	}
	if (!row_unchanged(&x->seq, seq) || !xattr_current(node, epoch))
		return stale(req);
	return served(req, ret);
}

HANDLER(READLINK)
{
	__u64 name[1] = {};
	struct extfuse_node *node;
	struct extfuse_xattr *x;
	__u32 seq = 0;

	node = node_get(req->nodeid);
	if (!node || !atime_stable(node))
		return upcall(req);
	x = xattr_find(req->nodeid, name, 0, &seq);
	if (!x)
		return upcall(req);
	return serve_xattr(req, node, x, seq, false);
}

HANDLER(GETXATTR)
{
	__u64 name[SHORT_WORDS];
	struct extfuse_node *node;
	struct extfuse_xattr *x;
	__u32 len = req->name_len[0];
	__u32 seq = 0;

	node = node_get(req->nodeid);
	if (!node || !len || len > EXTFUSE_SHORT_NAME)
		return upcall(req);
	if (bpf_extfuse_read_args(req, EXTFUSE_NAME, name, sizeof(name)) < 0)
		return failed(req);
	if (noxattr(node) && xattr_namespace(name))
		return served(req, -ENODATA);
	x = xattr_find(req->nodeid, name, len, &seq);
	if (!x)
		return upcall(req);
	return serve_xattr(req, node, x, seq, true);
}

HANDLER(LISTXATTR)
{
	struct extfuse_node *node;
	int ret;

	node = node_get(req->nodeid);
	if (!node || !noxattr(node))
		return upcall(req);
	ret = reply_value(req, node, 0, true);
	return ret > 0 ? ret : served(req, ret);
}

/* C6: only where the daemon's flush could not report anything. */
HANDLER(FLUSH)
{
	struct extfuse_node *node;

	node = node_get(req->nodeid);
	if (!node || READ_ONCE(node->writers) || READ_ONCE(node->changing))
		return upcall(req);
	return served(req, 0);
}

/*
 * C2: counted in before, out after, and in between the epoch moves.  What the
 * attributes are at the end is published if nobody else ended a change since
 * the begin; who began one will void it.
 */
static __always_inline int change_begin(struct extfuse_req *req,
					struct extfuse_node *node)
{
	__u64 epoch;

	ADD_ORDERED(&node->changing, 1);
	epoch = READ_ONCE(node->epoch);
	/* refused: the end finds no epoch, and publishes nothing */
	bpf_extfuse_write_args(req, EXTFUSE_OUT_PARAM_0, &epoch, sizeof(epoch));
	return EXTFUSE_PASSTHRU_EXIT;
}

static __always_inline int change_end(struct extfuse_req *req,
				      struct extfuse_node *node)
{
	__u64 epoch = __sync_fetch_and_add(&node->epoch, 1);
	struct fuse_attr attr;
	__u64 begun;

	if (bpf_extfuse_read_args(req, EXTFUSE_IN_PARAM_0_VALUE, &begun,
				  sizeof(begun)) == sizeof(begun) &&
	    begun == epoch &&
	    bpf_extfuse_read_args(req, EXTFUSE_IN_PARAM_1_VALUE, &attr,
				  sizeof(attr)) == sizeof(attr))
		node_publish(node, epoch + 1, &attr);
	__sync_fetch_and_add(&node->changing, -1);
	return EXTFUSE_PASSTHRU;
}

/* A node beyond the end of the map: nothing is published that I/O makes untrue. */
static __always_inline int io_rowless(struct extfuse_req *req)
{
	if (req->phase == EXTFUSE_PHASE_ENTER)
		COUNT(req, passthru);
	return EXTFUSE_PASSTHRU;
}

/* Passthrough I/O.  A read is a change where it moves the lower atime. */
HANDLER(READ)
{
	struct extfuse_node *node;

	if (req->phase == EXTFUSE_PHASE_REQUEST)
		return upcall(req);
	node = node_get(req->nodeid);
	if (!node)
		return io_rowless(req);
	switch (req->phase) {
	case EXTFUSE_PHASE_ATIME:
		return change_begin(req, node);
	case EXTFUSE_PHASE_EXIT:
		return change_end(req, node);
	default:
		return passthru(req, EXTFUSE_PASSTHRU);
	}
}

HANDLER(WRITE)
{
	struct extfuse_node *node;

	if (req->phase == EXTFUSE_PHASE_REQUEST)
		return upcall(req);
	node = node_get(req->nodeid);
	if (!node)
		return io_rowless(req);
	switch (req->phase) {
	case EXTFUSE_PHASE_MMAP:
		/* stores have no request: its times are not served any more, ever */
		__sync_fetch_and_or(&node->flags, EXTFUSE_NODE_MMAPPED);
		ADD_ORDERED(&node->epoch, 1);
		return EXTFUSE_PASSTHRU;
	case EXTFUSE_PHASE_EXIT:
		return change_end(req, node);
	default:
		return passthru(req, change_begin(req, node));
	}
}

/*
 * Changes are the daemon's to make and to announce; these mark what will
 * change as soon as the call begins, so that even a daemon that publishes more
 * than it should is not believed.
 */
static __always_inline void touch(__u64 nodeid)
{
	struct extfuse_node *node = node_get(nodeid);

	if (node)
		__sync_fetch_and_add(&node->epoch, 1);
}

/* The name changes, and with it its directory.  True: the name is a long one. */
static __always_inline bool remove(struct extfuse_req *req, __u64 parent,
				   __u32 which)
{
	__u32 len = which ? req->name_len[1] : req->name_len[0];
	__u64 name[SHORT_WORDS];
	struct extfuse_row *e;
	__u32 seq = 0;

	touch(parent);
	if (len > EXTFUSE_SHORT_NAME)
		return true;
	if (bpf_extfuse_read_args(req, EXTFUSE_NAME + which, name,
				  sizeof(name)) < 0)
		return false;
	e = entry_short_find(parent, name, len, &seq);
	if (e)
		WRITE_ONCE(e->stale, 1);
	return false;
}

static __noinline int remove_long(struct extfuse_req *req, __u64 parent,
				  __u32 which, __u32 len)
{
	__u64 name[LONG_WORDS];
	struct extfuse_row *e;
	__u32 seq = 0;

	if (bpf_extfuse_read_args(req, EXTFUSE_NAME + which, name,
				  sizeof(name)) < 0)
		return 0;
	e = entry_long_find(parent, name, len, &seq);
	if (e)
		WRITE_ONCE(e->stale, 1);
	return 0;
}

/* struct fuse_rename_in and fuse_rename2_in both begin with the new parent. */
static __always_inline bool read_newdir(struct extfuse_req *req, __u64 *newdir)
{
	return bpf_extfuse_read_args(req, EXTFUSE_IN_PARAM_0_VALUE, newdir,
				     sizeof(*newdir)) >= 0;
}

/* Once for all handlers: verifying the search for a long name takes time. */
PROGRAM("extfuse/REMOVE_LONG", handle_remove_long)
{
	__u64 newdir;

	if (req->name_len[0] > EXTFUSE_SHORT_NAME)
		remove_long(req, req->nodeid, 0, req->name_len[0]);
	if (req->name_len[1] > EXTFUSE_SHORT_NAME && read_newdir(req, &newdir))
		remove_long(req, newdir, 1, req->name_len[1]);
	return upcall(req);
}

#define HANDLER_REMOVES(op)						\
HANDLER(op)								\
{									\
	if (remove(req, req->nodeid, 0))				\
		CONTINUE(EXTFUSE_REMOVE_LONG);			\
	return upcall(req);						\
}

HANDLER_REMOVES(UNLINK)
HANDLER_REMOVES(RMDIR)
HANDLER_REMOVES(CREATE)
HANDLER_REMOVES(MKNOD)
HANDLER_REMOVES(MKDIR)
HANDLER_REMOVES(SYMLINK)
HANDLER_REMOVES(LINK)

#define HANDLER_RENAMES(op)						\
HANDLER(op)								\
{									\
	bool more;							\
	__u64 newdir;							\
									\
	if (!read_newdir(req, &newdir))					\
		return failed(req);					\
	more = remove(req, req->nodeid, 0);				\
	if (remove(req, newdir, 1) || more)				\
		CONTINUE(EXTFUSE_REMOVE_LONG);			\
	return upcall(req);						\
}

HANDLER_RENAMES(RENAME)
HANDLER_RENAMES(RENAME2)

#define HANDLER_TOUCHES(op)				\
HANDLER(op)						\
{							\
	touch(req->nodeid);				\
	return upcall(req);				\
}

HANDLER_TOUCHES(SETATTR)
HANDLER_TOUCHES(SETXATTR)
HANDLER_TOUCHES(REMOVEXATTR)
HANDLER_TOUCHES(FALLOCATE)
HANDLER_TOUCHES(COPY_FILE_RANGE)
HANDLER_TOUCHES(COPY_FILE_RANGE_64)
HANDLER_TOUCHES(TMPFILE)

/* Reply that there is a file which the daemon does not know of. */
static __always_inline int reply_opened(struct extfuse_req *req, __u32 flags,
					__s32 backing_id)
{
	/* by position: what is backing_id since Linux 6.9 was padding */
	struct fuse_open_out out = { 0, flags | EXTFUSE_FOPEN_UNOPENED, backing_id };

	if (bpf_extfuse_write_args(req, EXTFUSE_OUT_PARAM_0, &out, sizeof(out)))
		return failed(req);
	return served(req, 0);
}

/*
 * Of a file whose lower file the kernel has already, the daemon's handle would
 * have nothing to do but be closed again.
 */
HANDLER(OPEN)
{
	struct fuse_open_in in = {};
	struct extfuse_node *node;
	__s32 id;

	if (bpf_extfuse_read_args(req, EXTFUSE_IN_PARAM_0_VALUE, &in,
				  sizeof(in)) < 0)
		return failed(req);
	if (in.flags & O_TRUNC)
		touch(req->nodeid);
	node = node_get(req->nodeid);
	if (!node || (in.flags & (O_TRUNC | O_ACCMODE)))	/* O_RDONLY is 0 */
		return upcall(req);
	id = READ_ONCE(node->backing_id);
	if (!id)
		return upcall(req);
	return reply_opened(req, FOPEN_PASSTHROUGH | FOPEN_NOFLUSH |
			    EXTFUSE_FOPEN_READ_PASSTHRU, id);
}

HANDLER(OPENDIR)
{
	struct extfuse_node *node = node_get(req->nodeid);
	struct fuse_open_in in = {};

	if (bpf_extfuse_read_args(req, EXTFUSE_IN_PARAM_0_VALUE, &in,
				  sizeof(in)) < 0)
		return failed(req);
	if (!node || (in.flags & O_NOATIME) ||
	    !(READ_ONCE(node->flags) & EXTFUSE_NODE_OPENDIR))
		return upcall(req);
	return reply_opened(req, 0, 0);
}
