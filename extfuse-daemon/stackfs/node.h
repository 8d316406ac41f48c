/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Node table: which lower inode a nodeid stands for.
 *
 * A nodeid is generation << 32 | slot; slots are reused, nodeids never (L1).
 * A node lives while the kernel counts lookups of it, a cache row leads to it
 * or a thread or open file of the daemon uses it (L3, see reaper.c).  Slots
 * are never given back to the allocator, so a nodeid out of nowhere finds a
 * slot that is not its own, and no freed memory.
 */
#ifndef STACKFS_NODE_H
#define STACKFS_NODE_H

#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

struct cache;

#define NODE_ROOT_ID	1ULL

#define NODES_PER_CHUNK	1024
#define NODES_CHUNKS	65536
#define NODES_STRIPES	64
#define NODES_DEVICES	64

/**
 * struct node_device - what is mounted below
 *
 * @mnt:	the mount
 * @fd:		a directory there, by which handles are opened; -1: it has none
 * @users:	nodes, and threads that make one; 0: the slot is free
 */
struct node_device {
	uint64_t mnt;
	int fd;
	uint32_t users;
};

/**
 * struct node - a lower inode that the kernel, the cache or the daemon knows
 *
 * @id:		nodeid, 0: the slot is free
 * @lookups:	lookups replied less lookups forgotten; those that the kernel
 *		served itself are counted by the cache, so this may be negative
 * @refs:	threads and open files of the daemon that use the node
 * @pins:	cache rows that lead to the node
 * @fd:		O_PATH descriptor of the inode, -1: closed (nodefd.c)
 * @fd_users:	threads that use @fd now
 * @recent:	@fd was used since the clock's hand came by
 * @removed:	the last name went while others used the node
 * @queued:	the node is on the reaper's queue
 * @dying:	the reaper waits a grace period for it; a lookup clears this
 * @loose:	the lower file may change without notice to the kernel
 * @hashed:	found by (dev, ino)
 * @known:	by which its events are told from others (known.c)
 * @index:	the slot
 * @generation:	how often the slot was used before
 * @type:	S_IFMT bits of the mode
 * @mnt:	the lower mount through which it was reached
 * @limits:	what that forbids and the lower root's does not: ST_NOSUID,
 *		ST_NODEV, ST_NOEXEC.  An inode that can be reached with and
 *		without them is several nodes (lower.c).
 * @traits:	what its file system is like, enum lower_traits
 * @linked:	has or had other names, which may be nodes of their own: with @fid
 * @fid:	where several inodes may have the same numbers, by what else they are
 *		told apart (lower.c); 0 elsewhere
 * @device:	where @handle is opened, NULL: at the lower root or nowhere
 * @handle:	file handle, kept since @fd was first closed
 * @last:	what the inode was like when @fd was closed for good, with no name left
 * @backing_id:	passthrough: the kernel's number of the lower file (backing.c)
 * @backing_opens: open files that use it and that the daemon knows
 * @backing_kept: the kernel uses it for files that the daemon does not know
 * @cached_opens: open files that do not
 */
struct node {
	_Atomic uint64_t id;
	_Atomic int64_t lookups;
	atomic_int refs;
	atomic_int pins;
	atomic_int fd;
	atomic_int fd_users;
	atomic_bool recent;
	atomic_bool removed;
	atomic_bool queued;
	atomic_bool dying;
	atomic_bool loose;
	bool hashed;
	uint32_t known;
	uint32_t index;
	uint32_t generation;
	mode_t type;
	dev_t dev;
	ino_t ino;
	uint64_t mnt;
	unsigned long limits;
	unsigned int traits;
	atomic_bool linked;
	uint64_t fid;
	struct node *hash_next;
	struct node *queue_next;
	struct node_device *device;
	struct file_handle *handle;
	struct stat *last;
	int32_t backing_id;
	uint32_t backing_opens;
	bool backing_kept;
	uint32_t cached_opens;
};

/* What makes a node; see there. */
struct lower {
	dev_t dev;
	ino_t ino;
	mode_t type;
	uint64_t mnt;
	unsigned long limits;
	unsigned int traits;
	uint64_t fid;
	uint32_t known;
};

struct node_chunk {
	uint64_t free[NODES_PER_CHUNK / 64];
	uint32_t nfree;
	struct node node[NODES_PER_CHUNK];
};

/**
 * struct nodes - the table
 *
 * @lock:	guards hash, slots, @count and @device
 * @known:	known.c; NULL: nobody asks, or all may be
 * @root_flags:	what the lower root's mount forbids
 * @warned:	the log says that there are more nodes than rows
 * @stripe:	guard a node's descriptor, handle and passthrough state; leaf
 *		locks, taken without or inside @lock
 */
struct nodes {
	void (*freed)(void *user, struct node *n);
	void *user;
	pthread_mutex_t lock;
	pthread_mutex_t stripe[NODES_STRIPES];
	pthread_mutex_t clock_lock;
	_Atomic(struct node_chunk *) chunk[NODES_CHUNKS];
	atomic_uint nchunks;
	uint32_t first_free;
	struct node **hash;
	size_t hash_size;
	size_t count;
	atomic_bool warned;

	struct cache *cache;
	atomic_ushort *known;
	int root_fd;
	dev_t root_dev;
	uint64_t root_mnt;
	unsigned long root_flags;
	struct node_device device[NODES_DEVICES];
	bool handles;
	uint32_t hand;
	long max_fds;
	atomic_long open_fds;

	_Atomic(struct node *) queue;
	sem_t wake;
	atomic_bool stop;
	bool reaping;
	pthread_t reaper;
};

struct nodes_usage {
	uint64_t total;
	uint64_t rowless;
	uint64_t pinned;
	uint64_t fds;
};

/**
 * nodes_init() - an empty table but for the root
 * @root_fd: the lower root, a directory opened for reading; stays the caller's
 * @watched: known_has() will be asked
 * @freed: called for a node that goes, when nothing leads to it any more
 *
 * nodes_fini() closes and frees all nodes, whoever still counts on them.
 */
int nodes_init(struct nodes *t, int root_fd, bool watched,
	       void (*freed)(void *user, struct node *n), void *user);
void nodes_fini(struct nodes *t);
struct nodes_usage nodes_usage(struct nodes *t);

/** nodes_publish() - from now on nodes have rows in the cache, the root has */
void nodes_publish(struct nodes *t, struct cache *c);

/** nodes_reaper_start() - after fork; nodes_reaper_stop() before the end */
int nodes_reaper_start(struct nodes *t);
void nodes_reaper_stop(struct nodes *t);

/** node_get() - the node of a nodeid, referenced; NULL: ESTALE */
struct node *node_get(struct nodes *t, uint64_t id);
void node_put(struct nodes *t, struct node *n);
/** node_find() - the node, without limits, of an inode if there is one,
 *  referenced */
struct node *node_find(struct nodes *t, dev_t dev, ino_t ino);

/** node_make() - the node of an inode, referenced, made if there is none
 *  @fd: O_PATH descriptor of the inode, taken over in any case */
int node_make(struct nodes *t, int fd, const struct lower *l,
	      struct node **np);

/** nodes_ino() - the number by which the mount shows a lower inode: its own on the
 *  lower root's device.  Other devices have the same numbers, and the mount shows
 *  all of them as one: there the device is mixed in */
uint64_t nodes_ino(const struct nodes *t, dev_t dev, ino_t ino);

/** node_replied() - an entry is about to be replied (or was not: -1) */
static inline void node_replied(struct node *n, int64_t count)
{
	atomic_fetch_add(&n->lookups, count);
}

void node_forget(struct nodes *t, uint64_t id, uint64_t count);

/** node_pin() - before lookup_insert(); node_unpin() is the cache's callback
 *  and takes no lock */
static inline void node_pin(struct node *n)
{
	atomic_fetch_add(&n->pins, 1);
}

void node_unpin(void *nodes, uint64_t id);

/* lower.c */

#define LOWER_LIMITS (ST_NOSUID | ST_NODEV | ST_NOEXEC)

struct fuse_attr;
struct statfs;

/**
 * enum lower_traits - what is known of some file systems
 * @LOWER_NATIVE:	closes files without an error and lists all extended
 *			attributes; an open inode keeps its number
 * @LOWER_SEEKS:	positions in a directory, and its end, are the same for
 *			everybody who opens it, whenever that was
 * @LOWER_FOLDS:	two names in a directory may be one: none is cached
 * @LOWER_BY_HANDLE:	may show several inodes with one number, which have
 *			handles of their own
 * @LOWER_BY_NAME:	likewise, hard links, without such handles
 */
enum lower_traits {
	LOWER_NATIVE = 1 << 0,
	LOWER_SEEKS = 1 << 1,
	LOWER_FOLDS = 1 << 2,
	LOWER_BY_HANDLE = 1 << 3,
	LOWER_BY_NAME = 1 << 4,
};

/** lower_traits() - of the file system of @fd, or of the directory */
unsigned int lower_traits(int fd, const struct statfs *sf);
/** lower_hash() - add bytes to a hash */
uint64_t lower_hash(uint64_t hash, const void *bytes, size_t size);
/** lower_stores() - does the file system of @fd keep files?  Others may look at the process
 *  that asks, which is us. */
bool lower_stores(int fd, const struct statfs *sf);
/** lower_enter() - open what is mounted on a name, O_PATH
 *  Returns -EACCES or -ELOOP for what must not be shown. */
int lower_enter(int dir, const char *name);
/** lower_read() - which inode @fd is
 *  @dir: in which it was found, NULL for the root, whose limits are for
 *  @t->root_flags, 0 until then; @name: by which, NULL: it is new */
int lower_read(const struct nodes *t, const struct node *dir, const char *name,
	       int fd, struct lower *l);
/** lower_restrict() - take from attributes what the node's mount forbids */
void lower_restrict(const struct node *n, struct fuse_attr *a);

/* The path of an O_PATH descriptor's inode, for calls that take only paths. */
#define PROC_FD_LEN 32

static inline const char *proc_fd(char *path, int fd)
{
	snprintf(path, PROC_FD_LEN, "/proc/self/fd/%d", fd);
	return path;
}

/* node.c for reaper.c and nodefd.c */
struct node *node_slot(struct nodes *t, uint32_t index);
void node_unhash(struct nodes *t, struct node *n);
void node_slot_free(struct nodes *t, struct node *n);
bool node_idle(struct nodes *t, struct node *n);
void node_queue(struct nodes *t, struct node *n);

static inline pthread_mutex_t *node_stripe(struct nodes *t, uint64_t id)
{
	return &t->stripe[(uint32_t)id % NODES_STRIPES];
}

/* nodefd.c */

/** node_fd_get() - the node's O_PATH descriptor or -errno; until put */
int node_fd_get(struct nodes *t, struct node *n);
void node_fd_put(struct node *n);
/** node_fd_same() - is @fd, reached through @mnt, the node's inode?  Takes it over
 *  if so. */
bool node_fd_same(struct nodes *t, struct node *n, int fd, uint64_t mnt);
/** node_fid() - what the file handle of an inode comes to, never 0 */
uint64_t node_fid(int fd);
uint64_t handle_hash(const struct file_handle *h);
/** node_fd_set() - @fd, newly opened, is the node's */
void node_fd_set(struct nodes *t, struct node *n, int fd);
void node_fd_close(struct nodes *t, struct node *n);
/** node_fd_removed() - a file has lost a name: if that was the last, @fd, which is the
 *  node's and used by the caller, is closed, as soon as nobody else uses the node.
 *  True: @fd is closed. */
bool node_fd_removed(struct nodes *t, struct node *n, int fd);
/** node_last_stat() - of a node whose descriptor was closed so */
bool node_last_stat(struct nodes *t, uint64_t id, struct stat *st);
/** nodes_fd_age() - close the descriptors of files that were not used since the last
 *  time, or have no name any more */
void nodes_fd_age(struct nodes *t);
/** node_device_get() - the mount of an inode that is about to be a node, until
 *  put; NULL: the lower root's, or one too many.  @fd: O_PATH, of the inode */
struct node_device *node_device_get(struct nodes *t, int fd,
				    const struct lower *l);
void node_device_put(struct nodes *t, struct node_device *d);
/** nodes_sync() - syncfs(2) the lower root's file system and those below that nodes
 *  are of: 0 or the first -errno */
int nodes_sync(struct nodes *t);
/** nodes_fd_limit() - raise the descriptor limit, set the bound of nodes */
void nodes_fd_limit(struct nodes *t);
void nodes_fd_bound(struct nodes *t);
/** nodes_handles_work() - can inodes be opened by their file handles? */
bool nodes_handles_work(int root_fd);
/** nodes_fd_relieve() - after an open failed with @err: is another try worth
 *  it, because descriptors were the reason and some were closed? */
bool nodes_fd_relieve(struct nodes *t, int err);

/* known.c */

/** known_init() - 0 or -errno */
int known_init(struct nodes *t);
/** known_place() - of the inode of a descriptor, 0: its file system is one of which
 *  known_has() cannot tell */
uint32_t known_place(const struct nodes *t, const struct lower *l, int fd);
/** known_add() - called with the table locked, as is known_del() */
void known_add(struct nodes *t, uint32_t place);
void known_del(struct nodes *t, uint32_t place);
/** known_has() - may the inode of a file handle be a node? */
bool known_has(const struct nodes *t, const struct file_handle *h);

#endif /* STACKFS_NODE_H */
