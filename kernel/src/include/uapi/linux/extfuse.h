/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * ExtFUSE: what the kernel, the BPF object and the daemon have in common.
 *
 * This header is compiled three times (kernel, BPF object, daemon); nothing
 * that two of them must agree on is written anywhere else.
 *
 * How a request is answered
 * -------------------------
 * The daemon loads a program of type BPF_PROG_TYPE_EXTFUSE and puts its file
 * descriptor into the INIT reply.  From then on the FUSE driver runs it for
 * each synchronous request, before the request is even allocated.  The program
 * returns
 *
 *	0 or -errno		the request is answered, the daemon never sees it
 *	EXTFUSE_UPCALL		the request goes to the daemon as usual
 *	EXTFUSE_PASSTHRU	READ and WRITE of a passthrough file: the kernel
 *				does the I/O on the lower file
 *	EXTFUSE_PASSTHRU_EXIT	likewise, and the program runs once more, in
 *				phase EXTFUSE_PHASE_EXIT, when it is over
 *
 * Which of these is allowed depends on the opcode (EXTFUSE_OPS below).  The
 * driver turns all else into EXTFUSE_UPCALL and counts it as rejected.  No
 * program runs for a request by which the kernel asks past its caches, as it
 * does before it takes setuid away, after EACCES and ESTALE, before it fails for
 * a name that is there, and for AT_STATX_FORCE_SYNC.
 *
 * How the cache stays true
 * ------------------------
 * A nodeid carries, in its low 32 bits, the index of its row in attr_map.  A
 * row is written by the daemon and read by the program; see struct
 * extfuse_node for the protocol, docs/coherence.md for the reasons.
 */
#ifndef _UAPI_LINUX_EXTFUSE_H
#define _UAPI_LINUX_EXTFUSE_H

#include <linux/types.h>
#include <linux/fuse.h>

/* Number of this interface: any change of this file's meaning moves it. */
#define EXTFUSE_ABI		5

/* Free in 6.12 as in 7.x: upstream froze both lists. */
#define EXTFUSE_PROG_TYPE	33
#define EXTFUSE_FUNC_READ_ARGS	212
#define EXTFUSE_FUNC_WRITE_ARGS	213

/* INIT flag, bit 28 of flags2: far from upstream's growing edge. */
#define FUSE_FS_EXTFUSE		(1ULL << 60)

/*
 * INIT flags that a daemon with CAP_SYS_ADMIN may reply where they are offered.
 * SYNCFS: sync(2) and syncfs(2) reach it, and wait for its reply.
 * NOSEC: a file seen to have no security.capability is not asked again at each
 * write until its attributes are read anew; the daemon sees to it that a write
 * takes away one that was put there behind the mount.
 */
#define FUSE_FS_SYNCFS		(1ULL << 59)
#define FUSE_FS_NOSEC		(1ULL << 58)

/*
 * The kernel's ABI number is the last word of struct fuse_init_in, the
 * program's fd the last word of struct fuse_init_out.  Both are the last four
 * bytes of a 64-byte structure, whatever upstream puts before them.
 */
#define EXTFUSE_INIT_WORD_OFFSET 60

/* What a program may return beside 0 and -errno. */
#define EXTFUSE_UPCALL		1
#define EXTFUSE_PASSTHRU	2
#define EXTFUSE_PASSTHRU_EXIT	3

/*
 * Policy of an opcode: no flag at all means that a program may watch it only.
 * Whatever changes the file system can never be answered without the daemon.
 */
#define EXTFUSE_OP_SERVE	1	/* may be answered: 0 or -errno */
#define EXTFUSE_OP_PASSTHRU	2	/* lower file I/O may be chosen */

/*
 * In open_flags of an answer to OPEN or OPENDIR: the daemon has no handle for
 * this file.  Requests carry the fh of the answer, and no release is sent.
 */
#define EXTFUSE_FOPEN_UNOPENED	(1U << 31)

/*
 * In open_flags of an answer to OPEN: reads of the backing file go there without
 * running the program before each (EXTFUSE_PHASE_ENTER of FUSE_READ).
 */
#define EXTFUSE_FOPEN_READ_PASSTHRU	(1U << 30)

/*
 * The opcode table: X(name, number, policy, argument that is the name,
 * argument that is the second name).  -1: the request has no such argument.
 * A program runs for no other opcode.  Numbers are those of enum fuse_opcode.
 */
#define EXTFUSE_OPS(X)							\
	X(LOOKUP,		1,  EXTFUSE_OP_SERVE,	 0, -1)		\
	X(GETATTR,		3,  EXTFUSE_OP_SERVE,	-1, -1)		\
	X(SETATTR,		4,  0,			-1, -1)		\
	X(READLINK,		5,  EXTFUSE_OP_SERVE,	-1, -1)		\
	X(SYMLINK,		6,  0,			 0, -1)		\
	X(MKNOD,		8,  0,			 1, -1)		\
	X(MKDIR,		9,  0,			 1, -1)		\
	X(UNLINK,		10, 0,			 0, -1)		\
	X(RMDIR,		11, 0,			 0, -1)		\
	X(RENAME,		12, 0,			 1,  2)		\
	X(LINK,			13, 0,			 1, -1)		\
	X(OPEN,			14, EXTFUSE_OP_SERVE,	-1, -1)		\
	X(READ,			15, EXTFUSE_OP_PASSTHRU, -1, -1)	\
	X(WRITE,		16, EXTFUSE_OP_PASSTHRU, -1, -1)	\
	X(STATFS,		17, 0,			-1, -1)		\
	X(FSYNC,		20, 0,			-1, -1)		\
	X(SETXATTR,		21, 0,			 1, -1)		\
	X(GETXATTR,		22, EXTFUSE_OP_SERVE,	 1, -1)		\
	X(LISTXATTR,		23, EXTFUSE_OP_SERVE,	-1, -1)		\
	X(REMOVEXATTR,		24, 0,			 0, -1)		\
	X(FLUSH,		25, EXTFUSE_OP_SERVE,	-1, -1)		\
	X(OPENDIR,		27, EXTFUSE_OP_SERVE,	-1, -1)		\
	X(READDIR,		28, 0,			-1, -1)		\
	X(FSYNCDIR,		30, 0,			-1, -1)		\
	X(GETLK,		31, 0,			-1, -1)		\
	X(SETLK,		32, 0,			-1, -1)		\
	X(SETLKW,		33, 0,			-1, -1)		\
	X(ACCESS,		34, EXTFUSE_OP_SERVE,	-1, -1)		\
	X(CREATE,		35, 0,			 1, -1)		\
	X(BMAP,			37, 0,			-1, -1)		\
	X(IOCTL,		39, 0,			-1, -1)		\
	X(POLL,			40, 0,			-1, -1)		\
	X(FALLOCATE,		43, 0,			-1, -1)		\
	X(READDIRPLUS,		44, 0,			-1, -1)		\
	X(RENAME2,		45, 0,			 1,  2)		\
	X(LSEEK,		46, 0,			-1, -1)		\
	X(COPY_FILE_RANGE,	47, 0,			-1, -1)		\
	X(SYNCFS,		50, 0,			-1, -1)		\
	X(TMPFILE,		51, 0,			-1, -1)		\
	X(STATX,		52, EXTFUSE_OP_SERVE,	-1, -1)		\
	X(COPY_FILE_RANGE_64,	53, 0,			-1, -1)

/* Entries of the handlers array; more than any opcode of the table. */
#define EXTFUSE_MAX_OPS		64

/* Not opcodes: where programs continue for names of entry_long_map. */
#define EXTFUSE_REMOVE_LONG	62
#define EXTFUSE_LOOKUP_LONG	63

/* Names up to NAME_MAX bytes, without a NUL. */
#define EXTFUSE_NAME_MAX	255

#define EXTFUSE_MAX_IN		3
#define EXTFUSE_MAX_OUT		2

/*
 * When the program runs.
 *
 * Lower file I/O is not a request and has other arguments: in ENTER and ATIME
 * the only output is a __u64 that the program sees again in EXIT; in EXIT the
 * inputs are that __u64 and the lower file's attributes (struct fuse_attr), read
 * when the change was over.  An asynchronous write, or a mapping, ends without
 * arguments.
 */
enum extfuse_phase {
	EXTFUSE_PHASE_REQUEST	= 0,	/* a request, before it is sent */
	EXTFUSE_PHASE_ENTER	= 1,	/* READ, WRITE: before lower file I/O */
	EXTFUSE_PHASE_EXIT	= 2,	/* READ, WRITE: the change is over */
	EXTFUSE_PHASE_MMAP	= 3,	/* WRITE: a shared writable mapping */
	EXTFUSE_PHASE_ATIME	= 4,	/* READ: before the lower atime moves */
};

/* I/O on lower files asks for every read and write: it does not say who does it. */
#define EXTFUSE_NO_ID		(~0U)

/**
 * struct extfuse_req - the context of a program, read-only
 *
 * @opcode:	opcode of the request (enum fuse_opcode)
 * @phase:	why the program runs (enum extfuse_phase)
 * @nodeid:	node that the request is about
 * @unique:	0: a request has no number before it is allocated
 * @uid:	file system uid of the caller, as the daemon would see it;
 *		EXTFUSE_NO_ID in other phases than REQUEST
 * @gid:	file system gid of the caller; likewise
 * @pid:	pid of the caller in the mount's pid namespace; 0 likewise
 * @in_numargs:	input arguments that bpf_extfuse_read_args() can read
 * @out_numargs: output arguments to be written for an answer
 * @in_size:	their sizes in bytes
 * @out_size:	their sizes in bytes; a maximum where the reply's length varies
 * @name_len:	lengths of NAME and NAME2 in bytes without NUL, 0: no such name
 */
struct extfuse_req {
	__u32	opcode;
	__u32	phase;
	__u64	nodeid;
	__u64	unique;
	__u32	uid;
	__u32	gid;
	__u32	pid;
	__u16	in_numargs;
	__u16	out_numargs;
	__u32	in_size[EXTFUSE_MAX_IN];
	__u32	out_size[EXTFUSE_MAX_OUT];
	__u32	name_len[2];
	__u32	padding;
};

/* What bpf_extfuse_read_args() reads and bpf_extfuse_write_args() writes. */
enum extfuse_arg {
	EXTFUSE_OPCODE			= 0,	/* __u32 */
	EXTFUSE_NODEID			= 1,	/* __u64 */
	EXTFUSE_NUM_IN_ARGS		= 2,	/* __u32 */
	EXTFUSE_NUM_OUT_ARGS		= 3,	/* __u32 */
	EXTFUSE_IN_PARAM_0_SIZE		= 4,	/* __u32 */
	EXTFUSE_IN_PARAM_0_VALUE	= 5,
	EXTFUSE_IN_PARAM_1_SIZE		= 6,
	EXTFUSE_IN_PARAM_1_VALUE	= 7,
	EXTFUSE_IN_PARAM_2_SIZE		= 8,
	EXTFUSE_IN_PARAM_2_VALUE	= 9,
	EXTFUSE_OUT_PARAM_0		= 10,	/* write only */
	EXTFUSE_OUT_PARAM_1		= 11,	/* write only */
	EXTFUSE_NAME			= 12,	/* without NUL, zero padded */
	EXTFUSE_NAME2			= 13,	/* new name of RENAME, RENAME2 */
};

/**
 * struct extfuse_status - reply to EXTFUSE_DEV_IOC_STATUS on /dev/fuse
 *
 * @abi:	EXTFUSE_ABI of the kernel
 * @attached:	1 while a program answers requests of this connection
 * @error:	0, or the -errno with which the INIT reply's program was refused
 * @padding:	0
 * @rejected:	return values that the driver had to turn into UPCALL
 */
struct extfuse_status {
	__u32	abi;
	__u32	attached;
	__s32	error;
	__u32	padding;
	__u64	rejected;
};

#define EXTFUSE_DEV_IOC_STATUS	_IOR(229, 96, struct extfuse_status)

/*
 * Maps.  All are arrays that the daemon maps into its memory: no update costs
 * a system call.  Times are CLOCK_MONOTONIC_COARSE in ns, but for one.
 */

/* flags of struct extfuse_node */
#define EXTFUSE_NODE_MMAPPED	1	/* times may change without notice: not served */
#define EXTFUSE_NODE_OPENDIR	2	/* a directory that needs no OPENDIR */

/**
 * struct extfuse_node - row of attr_map, index: low 32 bits of the nodeid
 *
 * @nodeid:	whose row this is, 0: nobody's
 * @epoch:	moved after each change of the node's attributes or, for a
 *		directory, of its names; never 0 and never set back
 * @attr_epoch:	@epoch from before @attr was read from the lower file
 * @attr_deadline: time after which @attr is not served
 * @atime_until: reads by the daemon before that time, in ns of CLOCK_REALTIME
 *		as access times are, leave the lower file's atime alone (those
 *		by the kernel say when they do not); a program compares it with
 *		CLOCK_TAI, which is never behind
 * @served:	lookups of this node answered by a program so far
 * @xattr_epoch: moved after each change of the node's extended attributes
 * @noxattr_epoch: @xattr_epoch from before the node was seen to have none
 * @noxattr_deadline: time after which that is not believed
 * @changing:	changes of the attributes under way
 * @xattr_changing: changes of the extended attributes under way
 * @seq:	odd while the row's cached part is written, by the daemon or by
 *		a program in EXTFUSE_PHASE_EXIT
 * @flags:	EXTFUSE_NODE_*
 * @writers:	files open for writing
 * @readers:	reads by the daemon under way that may meet a moving atime
 * @attr:	the attributes
 * @backing_id:	file that the kernel may open for reading as it reads it, 0:
 *		by the daemon only; constant while a kernel inode has the nodeid
 * @reserved:	0
 *
 * @attr may be served while @changing is 0, @attr_epoch == @epoch, the
 * deadline has not come and @seq is even and the same before and after it was
 * read.  Who changes the node counts itself in @changing before, moves @epoch
 * after, and only then counts itself out; so an attribute that was read before
 * or during a change can be published at any later time without harm.
 */
struct extfuse_node {
	__u64	nodeid;
	__u64	epoch;
	__u64	attr_epoch;
	__u64	attr_deadline;
	__u64	atime_until;
	__u64	served;
	__u64	xattr_epoch;
	__u64	noxattr_epoch;
	__u64	noxattr_deadline;
	__u32	changing;
	__u32	xattr_changing;
	__u32	seq;
	__u32	flags;
	__u32	writers;
	__u32	readers;
	struct fuse_attr attr;
	__s32	backing_id;
	__u32	reserved;
};

/* Rows in a set: a key may be in any row of either of its two sets. */
#define EXTFUSE_WAYS		4
/* Longest name in entry_map; longer ones are in entry_long_map. */
#define EXTFUSE_SHORT_NAME	56
/* Longest target of a symbolic link, and longest value, in xattr_map. */
#define EXTFUSE_LINK_MAX	208
#define EXTFUSE_VALUE_MAX	(EXTFUSE_LINK_MAX - EXTFUSE_SHORT_NAME)

/**
 * EXTFUSE_ROW_HEAD - head of a row of entry_map, entry_long_map and xattr_map
 *
 * @seq:	odd while the daemon writes the row
 * @hash:	low half of extfuse_hash_step() over owner and name
 * @owner:	nodeid of the directory, or of the node whose attribute this is;
 *		0: the row is free
 * @target:	entries: nodeid of what the name leads to, 0: there is no such
 *		name; xattr_map: the owner's xattr_epoch from before the value
 *		was read
 * @deadline:	time after which the row is not served
 * @stale:	not 0: not served; set by programs, cleared by a new row
 * @used:	set by programs when the row is served, cleared by eviction
 * @name_len:	length of the name in bytes
 * @value_len:	xattr_map: length of the value in bytes
 * @error:	xattr_map: 0, or the errno that is the answer (ENODATA)
 */
#define EXTFUSE_ROW_HEAD						\
	__u32	seq;							\
	__u32	hash;							\
	__u64	owner;							\
	__u64	target;							\
	__u64	deadline;						\
	__u8	stale;							\
	__u8	used;							\
	__u16	name_len;						\
	__u16	value_len;						\
	__u16	error;

struct extfuse_row {
	EXTFUSE_ROW_HEAD
};

/* The name, padded with zeros. */
struct extfuse_entry_short {
	EXTFUSE_ROW_HEAD
	__u64	name[EXTFUSE_SHORT_NAME / 8];
};

struct extfuse_entry_long {
	EXTFUSE_ROW_HEAD
	__u64	name[(EXTFUSE_NAME_MAX + 1) / 8];
};

/*
 * The name, padded with zeros, and the value; or, without a name, the target of
 * a symbolic link, which begins where the name would.
 */
struct extfuse_xattr {
	EXTFUSE_ROW_HEAD
	__u64	name[EXTFUSE_SHORT_NAME / 8];
	__u64	value[EXTFUSE_VALUE_MAX / 8];
};

struct extfuse_entry_set {
	struct extfuse_entry_short row[EXTFUSE_WAYS];
};

struct extfuse_entry_long_set {
	struct extfuse_entry_long row[EXTFUSE_WAYS];
};

struct extfuse_xattr_set {
	struct extfuse_xattr row[EXTFUSE_WAYS];
};

/**
 * struct extfuse_count - value of stats_map (per CPU), index: opcode
 *
 * @served:	answered by the program
 * @upcall:	left to the daemon
 * @passthru:	done on the lower file
 * @error:	a helper failed, which made an upcall of it
 * @stale:	a row was there but could not be served
 */
struct extfuse_count {
	__u64	served;
	__u64	upcall;
	__u64	passthru;
	__u64	error;
	__u64	stale;
};

/**
 * struct extfuse_layout - the object's read-only description of itself
 *
 * Symbol extfuse_layout in section .rodata; the daemon compares every word
 * with its own before it loads the object.
 */
struct extfuse_layout {
	__u32	abi;
	__u32	node_size;
	__u32	entry_set_size;
	__u32	entry_long_set_size;
	__u32	xattr_set_size;
	__u32	count_size;
	__u32	req_size;
	__u32	max_ops;
};

#define EXTFUSE_LAYOUT_INIT {						\
	EXTFUSE_ABI, sizeof(struct extfuse_node),			\
	sizeof(struct extfuse_entry_set),				\
	sizeof(struct extfuse_entry_long_set),				\
	sizeof(struct extfuse_xattr_set), sizeof(struct extfuse_count),	\
	sizeof(struct extfuse_req), EXTFUSE_MAX_OPS }

/* One round of the keyed hash over 64 bits. */
#define EXTFUSE_HASH_MUL	0x9e3779b97f4a7c15ULL

/**
 * extfuse_hash_step() - add eight bytes to a hash
 * @hash: the hash so far
 * @word: the next eight bytes of the key, zero padded at its end
 */
static inline __u64 extfuse_hash_step(__u64 hash, __u64 word)
{
	/* a product's low bits know nothing of the word's high ones: twice */
	hash = (hash ^ word) * EXTFUSE_HASH_MUL;
	hash = (hash ^ (hash >> 32)) * EXTFUSE_HASH_MUL;
	return hash ^ (hash >> 32);
}

/* Both of a key's sets; @mask is the number of sets less one. */
#define EXTFUSE_SET_A(hash, mask)	((__u32)(hash) & (mask))
#define EXTFUSE_SET_B(hash, mask)	((__u32)((hash) >> 32) & (mask))

#define EXTFUSE_ASSERT(cond) _Static_assert(cond, #cond)
EXTFUSE_ASSERT(sizeof(struct extfuse_req) == 72);
EXTFUSE_ASSERT(sizeof(struct extfuse_status) == 24);
EXTFUSE_ASSERT(sizeof(struct fuse_attr) == 88);
EXTFUSE_ASSERT(sizeof(struct fuse_init_in) == 64);
EXTFUSE_ASSERT(sizeof(struct fuse_init_out) == 64);
EXTFUSE_ASSERT(sizeof(struct extfuse_node) == 192);
EXTFUSE_ASSERT(sizeof(struct extfuse_row) == 40);
EXTFUSE_ASSERT(sizeof(struct extfuse_entry_short) == 96);
EXTFUSE_ASSERT(sizeof(struct extfuse_entry_long) == 296);
EXTFUSE_ASSERT(sizeof(struct extfuse_xattr) == 248);
EXTFUSE_ASSERT(sizeof(struct extfuse_count) == 40);

#endif /* _UAPI_LINUX_EXTFUSE_H */
