/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The maps, and how a row is read while the daemon may be writing it.
 */
#ifndef EXTFUSE_ROWS_H
#define EXTFUSE_ROWS_H

#define READ_ONCE(x) (*(const volatile typeof(x) *)&(x))
#define WRITE_ONCE(x, v) (*(volatile typeof(x) *)&(x) = (v))

/*
 * An atomic that orders what is before and after it: only one that returns a
 * value does, and without a use of that value clang makes one that does not.
 */
#define ADD_ORDERED(p, v) \
	__asm__ volatile("" :: "r"(__sync_fetch_and_add(p, v)) : "memory")

/*
 * Loads before it are done before those after it.  x86 keeps the order itself;
 * elsewhere BPF has no weaker barrier.
 */
#ifdef __TARGET_ARCH_x86
#define smp_rmb() __asm__ volatile("" ::: "memory")
#else
#define smp_rmb() do {				\
	__u64 __x = 0;				\
	ADD_ORDERED(&__x, 1);			\
} while (0)
#endif

#ifdef EXTFUSE_DEBUG
#define debug(what, req) \
	bpf_printk("extfuse: %s op %u node %llu", what, (req)->opcode, \
		   (req)->nodeid)
#else
#define debug(what, req) do { } while (0)
#endif

#define SHORT_WORDS	(EXTFUSE_SHORT_NAME / 8)
#define LONG_WORDS	((EXTFUSE_NAME_MAX + 1) / 8)

/* Sizes are the daemon's to set before it loads the object. */
#define MMAPPED_ARRAY(value_)				\
	__uint(type, BPF_MAP_TYPE_ARRAY);		\
	__uint(map_flags, BPF_F_MMAPABLE);		\
	__uint(max_entries, 1);				\
	__type(key, __u32);				\
	__type(value, value_)

struct {
	MMAPPED_ARRAY(struct extfuse_node);
} attr_map SEC(".maps");

struct {
	MMAPPED_ARRAY(struct extfuse_entry_set);
} entry_map SEC(".maps");

struct {
	MMAPPED_ARRAY(struct extfuse_entry_long_set);
} entry_long_map SEC(".maps");

struct {
	MMAPPED_ARRAY(struct extfuse_xattr_set);
} xattr_map SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, EXTFUSE_MAX_OPS);
	__type(key, __u32);
	__type(value, struct extfuse_count);
} stats_map SEC(".maps");

/* Set by the daemon before it loads the object: sets less one, hash start. */
const volatile __u32 entry_mask = 0;
const volatile __u32 entry_long_mask = 0;
const volatile __u32 xattr_mask = 0;
const volatile __u64 hash_seed = 0;
/* For how many ns attributes that a program read itself are served, 0: never. */
const volatile __u64 attr_timeout = 0;

#define COUNT(req, what) do {						\
	__u32 __op = (req)->opcode;					\
	struct extfuse_count *__c =					\
		bpf_map_lookup_elem(&stats_map, &__op);			\
	if (__c)							\
		/* programs are preempted by others, on the same CPU */	\
		__sync_fetch_and_add(&__c->what, 1);			\
	debug(#what, req);						\
} while (0)

static __always_inline int upcall(struct extfuse_req *req)
{
	COUNT(req, upcall);
	return EXTFUSE_UPCALL;
}

/* A row was there, and could not be believed. */
static __always_inline int stale(struct extfuse_req *req)
{
	COUNT(req, stale);
	return upcall(req);
}

/* A helper refused what should have worked. */
static __always_inline int failed(struct extfuse_req *req)
{
	COUNT(req, error);
	return upcall(req);
}

static __always_inline int served(struct extfuse_req *req, int ret)
{
	COUNT(req, served);
	return ret;
}

static __always_inline int passthru(struct extfuse_req *req, int ret)
{
	COUNT(req, passthru);
	return ret;
}

/* Has the row that was at the even sequence @seq been left alone? */
static __always_inline bool row_unchanged(const __u32 *row_seq, __u32 seq)
{
	smp_rmb();
	return READ_ONCE(*row_seq) == seq;
}

static __always_inline struct extfuse_node *node_get(__u64 nodeid)
{
	__u32 index = nodeid;
	struct extfuse_node *node = bpf_map_lookup_elem(&attr_map, &index);

	return node && READ_ONCE(node->nodeid) == nodeid ? node : NULL;
}

/*
 * C1, C2: the attributes are those of @epoch; at the second look nothing has
 * changed the node since they were read from the lower file.  Returns their
 * deadline, 0: not to be served.
 */
static __always_inline __u64 node_read_attr(struct extfuse_node *node,
					    __u64 now, struct fuse_attr *attr)
{
	__u32 seq = READ_ONCE(node->seq);
	__u64 epoch = READ_ONCE(node->epoch);
	__u64 deadline;

	smp_rmb();
	if ((seq & 1) || READ_ONCE(node->attr_epoch) != epoch)
		return 0;
	deadline = READ_ONCE(node->attr_deadline);
	if (deadline <= now || (READ_ONCE(node->flags) & EXTFUSE_NODE_MMAPPED))
		return 0;
	__builtin_memcpy(attr, &node->attr, sizeof(*attr));
	smp_rmb();
	if (READ_ONCE(node->changing))
		return 0;
	smp_rmb();
	if (READ_ONCE(node->epoch) != epoch || READ_ONCE(node->seq) != seq)
		return 0;
	return deadline;
}

/*
 * The one writer of a row's cached part; others give way.  So does it to reads by
 * the daemon: what is published here would be without the atime that one has
 * moved already, until its end voids it (cache_read_begin()).  The inode number
 * is the daemon's to choose, and not always the lower one: the row's stays, and
 * no other ever stands there.
 */
static __always_inline void node_publish(struct extfuse_node *node, __u64 epoch,
					 struct fuse_attr *attr)
{
	__u64 now = bpf_ktime_get_coarse_ns();
	__u32 seq = READ_ONCE(node->seq);

	attr->ino = READ_ONCE(node->attr.ino);
	if (!attr_timeout || !attr->ino || READ_ONCE(node->readers) || (seq & 1) ||
	    __sync_val_compare_and_swap(&node->seq, seq, seq + 1) != seq)
		return;
	__builtin_memcpy(&node->attr, attr, sizeof(*attr));
	WRITE_ONCE(node->attr_deadline,
		   attr_timeout > ~now ? ~0ULL : now + attr_timeout);
	WRITE_ONCE(node->atime_until, 0);
	WRITE_ONCE(node->attr_epoch, epoch);
	ADD_ORDERED(&node->seq, 1);
}

/* Nothing is about to change, and by the row's rules a read moves no atime. */
static __always_inline bool atime_stable(struct extfuse_node *node)
{
	__u32 seq = READ_ONCE(node->seq);
	__u64 epoch, until;

	smp_rmb();
	epoch = READ_ONCE(node->attr_epoch);
	until = READ_ONCE(node->atime_until);
	smp_rmb();
	if ((seq & 1) || READ_ONCE(node->seq) != seq ||
	    READ_ONCE(node->changing))
		return false;
	smp_rmb();
	return READ_ONCE(node->epoch) == epoch &&
	       until > bpf_ktime_get_tai_ns();
}

static __always_inline bool xattr_current(struct extfuse_node *node,
					  __u64 epoch)
{
	bool quiet = !READ_ONCE(node->xattr_changing);

	smp_rmb();
	return quiet && READ_ONCE(node->xattr_epoch) == epoch;
}

static __always_inline bool noxattr(struct extfuse_node *node)
{
	__u64 deadline = READ_ONCE(node->noxattr_deadline);

	return deadline > bpf_ktime_get_coarse_ns() &&
	       xattr_current(node, READ_ONCE(node->noxattr_epoch));
}

#define W8(a, b, c, d, e, f, g, h)					\
	((__u64)(a) | (__u64)(b) << 8 | (__u64)(c) << 16 |		\
	 (__u64)(d) << 24 | (__u64)(e) << 32 | (__u64)(f) << 40 |	\
	 (__u64)(g) << 48 | (__u64)(h) << 56)

/*
 * Name spaces of which "no extended attributes" says ENODATA: for others, and
 * unknown ones, and no name behind the point, the lower file system may say
 * something else.
 */
static __always_inline bool xattr_namespace(const __u64 *name)
{
	const __u64 five = 0xffffffffffULL;
	const __u8 *byte = (const __u8 *)name;

	if (name[0] == W8('s', 'e', 'c', 'u', 'r', 'i', 't', 'y'))
		return byte[8] == '.' && byte[9];
	if (name[0] == W8('t', 'r', 'u', 's', 't', 'e', 'd', '.'))
		return byte[8];
	if ((name[0] & five) == W8('u', 's', 'e', 'r', '.', 0, 0, 0))
		return byte[5];
	return name[0] == W8('s', 'y', 's', 't', 'e', 'm', '.', 'p') &&
	       name[1] == W8('o', 's', 'i', 'x', '_', 'a', 'c', 'l') &&
	       (name[2] == W8('_', 'a', 'c', 'c', 'e', 's', 's', 0) ||
		(name[2] == W8('_', 'd', 'e', 'f', 'a', 'u', 'l', 't') &&
		 !name[3]));
}

#define WORDS(len) (((len) + 7) / 8)

/* The hash of a key: its node, then its name's words up to its end. */
#define HASH_NAME(hash, node, name, len, max) do {			\
	hash = extfuse_hash_step(hash_seed, node);			\
	for (__u32 __i = 0; __i < (max); __i++) {				\
		if (__i >= WORDS(len))					\
			break;						\
		hash = extfuse_hash_step(hash, (name)[__i]);		\
	}								\
} while (0)

static __always_inline bool same_words(const __u64 *a, const __u64 *b,
				       __u32 len, __u32 max)
{
	for (__u32 i = 0; i < max; i++) {
		if (i >= WORDS(len))
			break;
		if (READ_ONCE(a[i]) != b[i])
			return false;
	}
	return true;
}

/*
 * A row is the key's if it was all the time while it was compared.  @seqp
 * receives the sequence at which it was.
 */
#define ROW_MATCHES(row, node, key, len, max, seqp) ({			\
	__u32 __seq = READ_ONCE((row)->seq);				\
	bool __same;							\
									\
	smp_rmb();							\
	__same = !(__seq & 1) && READ_ONCE((row)->owner) == (node) &&	\
		 READ_ONCE((row)->name_len) == (len) &&			\
		 same_words((row)->name, key, len, max) &&		\
		 row_unchanged(&(row)->seq, __seq);			\
	*(seqp) = __seq;						\
	__same;								\
})

/*
 * The only row of a key's two sets that can be the key's.  Two keys of one node
 * with the same 32 bits of hash would hide each other, which costs speed.
 */
#define SCAN_SET(found, map, index_, node, h) do {		\
	__u32 __index = (index_);					\
	typeof(*(map).value) *__set =					\
		bpf_map_lookup_elem(&(map), &__index);			\
									\
	if (!__set)							\
		break;							\
	_Pragma("unroll")						\
	for (int __w = 0; __w < EXTFUSE_WAYS; __w++) {			\
		if (READ_ONCE(__set->row[__w].hash) == (__u32)(h) &&	\
		    READ_ONCE(__set->row[__w].owner) == (node)) {	\
			found = &__set->row[__w];			\
			break;						\
		}							\
	}								\
} while (0)

#define FIND_ROW(found, map, mask, node, hash) do {		\
	found = NULL;							\
	SCAN_SET(found, map, EXTFUSE_SET_A(hash, mask), node, hash); \
	if (!found)							\
		SCAN_SET(found, map, EXTFUSE_SET_B(hash, mask), node,	\
			 hash);					\
} while (0)

static __always_inline struct extfuse_row *
entry_short_find(__u64 parent, const __u64 *name, __u32 len, __u32 *seq)
{
	struct extfuse_entry_short *row;
	__u64 hash;

	HASH_NAME(hash, parent, name, len, SHORT_WORDS);
	FIND_ROW(row, entry_map, entry_mask, parent, hash);
	if (!row || !ROW_MATCHES(row, parent, name, len, SHORT_WORDS, seq))
		return NULL;
	return (struct extfuse_row *)row;
}

static __always_inline struct extfuse_row *
entry_long_find(__u64 parent, const __u64 *name, __u32 len, __u32 *seq)
{
	struct extfuse_entry_long *row;
	__u64 hash;

	HASH_NAME(hash, parent, name, len, LONG_WORDS);
	FIND_ROW(row, entry_long_map, entry_long_mask, parent, hash);
	if (!row || !ROW_MATCHES(row, parent, name, len, LONG_WORDS, seq))
		return NULL;
	return (struct extfuse_row *)row;
}

static __always_inline struct extfuse_xattr *
xattr_find(__u64 nodeid, const __u64 *name, __u32 len, __u32 *seq)
{
	struct extfuse_xattr *row;
	__u64 hash;

	HASH_NAME(hash, nodeid, name, len, SHORT_WORDS);
	FIND_ROW(row, xattr_map, xattr_mask, nodeid, hash);
	if (!row || !ROW_MATCHES(row, nodeid, name, len, SHORT_WORDS, seq))
		return NULL;
	return row;
}

#endif /* EXTFUSE_ROWS_H */
