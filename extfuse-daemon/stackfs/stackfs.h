/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * StackFS: a FUSE file system that is a lower directory.
 */
#ifndef STACKFS_H
#define STACKFS_H

#define FUSE_USE_VERSION 312

#include <dirent.h>
#include <fuse_lowlevel.h>
#include <stdio.h>
#include <sys/statvfs.h>

#include "../lib/cache.h"
#include "node.h"
#include "uapi.h"

/* Exit codes of mount(8). */
#define EXIT_USAGE	1
#define EXIT_SYSTEM	2
#define EXIT_BUG	4
#define EXIT_INTR	8
#define EXIT_MOUNT	32

enum extfuse_mode {
	EXTFUSE_OFF,
	EXTFUSE_AUTO,
	EXTFUSE_REQUIRE,
};

enum watch_mode {
	WATCH_AUTO,
	WATCH_ON,
	WATCH_OFF,
};

#define TIMEOUT_UNSAID UINT64_MAX

/**
 * struct options - the command line; timeouts in ns, TIMEOUT_UNSAID until
 *	opts_timeouts()
 * @lower:	the directory as given, later its real path; so @mountpoint
 * @object:	NULL: the packaged one
 * @passthrough: -1: not said
 * @exclusive:	nobody changes @lower but through the mount
 * @ms_flags:	MS_* for mount(2)
 * @of_table:	an option that only a remount may have, NULL: none
 */
struct options {
	char *lower;
	char *mountpoint;
	char *object;
	enum extfuse_mode extfuse;
	int passthrough;
	bool writeback;
	enum watch_mode watch;
	bool exclusive;
	bool lock_lower;
	bool allow_other;
	bool foreground;
	bool debug;
	bool fake;
	bool sloppy;
	bool help;
	bool version;
	uint64_t attr_timeout;
	uint64_t entry_timeout;
	uint64_t negative_timeout;
	uint32_t max_entries;
	unsigned long ms_flags;
	const char *of_table;
};

/**
 * struct watch - the lower file system is watched (watch.c)
 * @tree_fd:	our own mount of the lower directory
 * @fan_fd:	fanotify group, -1: it is not watched
 * @stop_fd:	the thread is to end
 * @abort_fd:	writing here aborts the connection
 * @guard:	process that does so when we are killed
 * @pid:	our own
 * @events:	changes that others made
 * @overflows:	how often all was dropped because events were lost
 */
struct watch {
	int tree_fd;
	int fan_fd;
	int stop_fd;
	int abort_fd;
	pid_t guard;
	pid_t pid;
	pthread_t thread;
	bool running;
	char *buf;
	_Atomic uint64_t events;
	_Atomic uint64_t overflows;
};

/* Opcodes that the daemon counts; larger ones do not exist. */
#define STACKFS_MAX_OPS EXTFUSE_MAX_OPS

#define STACKFS_MAX_DATA (1 << 20)	/* of a request */
#define STACKFS_STREAMS 32
#define STACKFS_THREADS 10	/* that answer requests */

struct dirhandle;
struct locks;

/**
 * struct stackfs - one mounted file system
 *
 * @cache:	NULL: plain FUSE
 * @root_fd:	the lower root, opened for reading
 * @road:	how programs get into this kernel
 * @dev_fd:	/dev/fuse or /dev/extfuse, owned by @se
 * @object_fd:	the ExtFUSE object, -1: none
 * @covered_fd:	the directory under the mount (session.c)
 * @covered_dev: its parent, @covered_ino and @covered_name: where it is
 * @mnt_id:	which mount is ours, 0: not mounted
 * @init_unique: request number of INIT until it was replied
 * @init_flags, @init_flags2: what the kernel offered
 * @init_abi:	its EXTFUSE_ABI or 0
 * @passthrough: agreed with the kernel, as is @setxattr_ext (creds.c)
 * @noxattr:	an empty list of extended attributes means ENODATA for each
 * @st_flags:	ST_* of the lower mount
 * @splice:	files of the lower root's device may be spliced from (io.c)
 * @handles:	open files and directories
 * @locks:	that are the lower files' (lock.c), NULL: the kernel keeps them
 * @pipes:	that nobody uses now (pipe.c)
 * @streams:	directories that are read without being open (dir.c)
 * @ops:	requests that reached the daemon, by opcode
 */
struct stackfs {
	struct options opts;
	struct nodes nodes;
	struct cache *cache;
	struct ebpf_ctx *ebpf;
	enum ebpf_road road;
	struct fuse_session *se;
	int root_fd;
	int dev_fd;
	int object_fd;
	int covered_fd;
	dev_t covered_dev;
	ino_t covered_ino;
	char *covered_name;
	uint64_t mnt_id;
	uint64_t init_unique;
	uint32_t init_flags;
	uint32_t init_flags2;
	uint32_t init_abi;
	bool passthrough;
	bool setxattr_ext;
	bool noxattr;
	unsigned long st_flags;
	struct watch watch;
	bool splice;
	pthread_mutex_t handles_lock;
	struct handle *handles;
	struct locks *locks;
	struct pipe *pipes;
	struct dirhandle *streams[STACKFS_STREAMS];
	unsigned int stream_hand;
	_Atomic uint64_t ops[STACKFS_MAX_OPS];
};

/* A node in use and its descriptor. */
struct ref {
	struct node *node;
	int fd;
};

/* attr.c */

/** ref_get() - use a node: 0, -ESTALE, or why it could not be opened */
int ref_get(struct stackfs *fs, fuse_ino_t ino, struct ref *r);
/** ref_node() - likewise, of a node that is referenced already (taken over) */
int ref_node(struct stackfs *fs, struct node *n, struct ref *r);
void ref_put(struct stackfs *fs, struct ref *r);

/** attr_read() - fstat() and publish, as a reply to GETATTR */
int attr_read(struct stackfs *fs, const struct ref *r,
	      struct fuse_attr_out *out);
/** attr_publish() - likewise, when @st was read after @epoch was taken */
void attr_publish(struct stackfs *fs, const struct node *n, uint64_t epoch,
		  const struct stat *st, struct fuse_attr_out *out);
/** attr_end() - cache_end(), and publish what the change came to; @fd is of the
 *  lower inode */
uint64_t attr_end(struct stackfs *fs, const struct node *n, int fd,
		  uint64_t epoch);

/* entry.c */

/** name_check() - 0, -EINVAL or -ENAMETOOLONG */
int name_check(const char *name);
/** entry_find() - look a name up in the lower directory, nothing published */
int entry_find(struct stackfs *fs, const struct ref *dir, const char *name,
	       struct ref *r);
/** entry_insert() - publish that @name leads to a node, which the row pins */
void entry_insert(struct stackfs *fs, const struct node *dir, uint64_t epoch,
		  const char *name, struct node *n);
/** entry_publish() - fill an entry for a reply and count it as replied
 *  @epoch: of the directory @dir, from before @name was looked up or made;
 *	    @dir NULL: no name leads there */
int entry_publish(struct stackfs *fs, const struct node *dir, uint64_t epoch,
		  const char *name, const struct ref *r,
		  struct fuse_entry_out *out);
/** entry_lookup() - LOOKUP: *@np is the node, NULL without an entry */
int entry_lookup(struct stackfs *fs, const struct ref *dir, const char *name,
		 struct fuse_entry_out *out, struct node **np);
/** entry_reply() - reply and take the count back if nobody took the reply */
void entry_reply(fuse_req_t req, struct node *n, const void *out, size_t size);
void entry_negative(struct stackfs *fs, const struct node *dir, uint64_t epoch,
		    const char *name);

/* names.c */
/** make_sgid() - may what is made in @dir lose the setgid bit of @mode?  @dir's attributes, or
 *  NULL: nobody asks for the bit */
const struct stat *make_sgid(const struct ref *dir, mode_t mode, struct stat *st);

/* creds.c */
struct creds {
	bool switched;
	bool groups;
};

/** creds_init() - give up what no request needs, before there are threads */
int creds_init(void);

/** creds_request() - take from a request what libfuse does not: its new length */
ssize_t creds_request(const struct stackfs *fs, struct fuse_in_header *in, size_t len);

/** creds_make() - act as the caller who makes something, until creds_leave()
 *  @dir: directory whose setgid bit is at stake, or NULL */
int creds_make(struct creds *cr, const struct fuse_ctx *ctx, const struct stat *dir);
/** creds_change() - who changes the data of @fd, for setuid and setgid bits
 *  @judged: the kernel has seen them, if they are not new, and whether they go */
int creds_change(struct creds *cr, const struct fuse_ctx *ctx, int fd, bool judged);
/** creds_acl() - who sets an ACL of @fd, for the setgid bit */
int creds_acl(struct creds *cr, int fd);
void creds_leave(const struct creds *cr);
/** creds_capable() - has the caller the capability (below 32), and not only in a user
 *  namespace of its own?  In doubt it has not, but who is not to be seen has if it is root. */
bool creds_capable(const struct fuse_ctx *ctx, int cap);
/** creds_enter_capable() - without the capability if the caller lacks it */
int creds_enter_capable(struct creds *cr, const struct fuse_ctx *ctx, int cap);

/* handle.c */

/* What open files and directories begin with. */
struct handle {
	struct handle *next;
	struct handle **pprev;
	void (*free)(struct stackfs *fs, struct handle *h);
};

void handle_add(struct stackfs *fs, struct handle *h,
		void (*free)(struct stackfs *fs, struct handle *h));
void handle_free(struct stackfs *fs, struct handle *h);
/** handles_free() - all of them, when no thread is left that uses one */
void handles_free(struct stackfs *fs);

/* backing.c */

/* An open file; @backing_id 0: its data goes through the daemon; @flushes: the
 * daemon must hear of FLUSH; @appends: @fd is open for appending, as the lower file
 * is good for nothing else; @direct: the caller's is O_DIRECT, or was when it was
 * opened; @noatime: O_NOATIME of @fd */
struct file {
	struct handle handle;
	int fd;
	int32_t backing_id;
	bool writes;
	bool flushes;
	bool appends;
	bool direct;
	atomic_int noatime;
	struct node *node;
};

/** file_of() - NULL: the kernel opened the file without us */
static inline struct file *file_of(const struct fuse_file_info *fi)
{
	return (struct file *)(uintptr_t)fi->fh;
}

/** backing_attach() - decide how the file does its I/O */
void backing_attach(struct stackfs *fs, struct file *f);
void backing_detach(struct stackfs *fs, struct file *f);
/** backing_used() - does the kernel have the node's lower file? */
bool backing_used(struct stackfs *fs, const struct node *n);
/** backing_freed() - nodes_init()'s callback */
void backing_freed(void *stackfs, struct node *n);

/* file.c */

/** noatime_flag() - O_NOATIME if reading a file of this type through the mount
 *  shall not move the lower one's atime */
int noatime_flag(const struct stackfs *fs, mode_t type);

/** node_open() - open(2) the inode of an O_PATH descriptor, or -errno */
int node_open(struct stackfs *fs, int node_fd, int flags);
/** file_fd_get() - the descriptor of an open file or -errno; until put.  A file
 *  that the kernel opened without us has none but for the time of a request */
int file_fd_get(struct stackfs *fs, fuse_ino_t ino,
		const struct fuse_file_info *fi);
void file_fd_put(const struct fuse_file_info *fi, int fd);

/* lock.c */

/** locks_start() - after fork: 0 or -errno; locks_stop() when no request is answered
 *  any more */
int locks_start(struct stackfs *fs);
void locks_stop(struct stackfs *fs);
/** locks_flush() - @owner has closed the file: his POSIX locks go */
void locks_flush(struct stackfs *fs, const struct file *f, uint64_t owner);
/** locks_release() - the file is closed for good: all that came by it go */
void locks_release(struct stackfs *fs, const struct file *f);

/* pipe.c */

struct pipe {
	struct pipe *next;
	int fd[2];
};

/** pipe_get() - an empty pipe until put, or NULL */
struct pipe *pipe_get(struct stackfs *fs);
/** pipe_put() - @empty: what was put in has been taken out */
void pipe_put(struct stackfs *fs, struct pipe *p, bool empty);
void pipes_free(struct stackfs *fs);
/** pipe_fill() - from a file until the end of it: how much, or -errno, -EAGAIN if
 *  it does not fit */
ssize_t pipe_fill(struct pipe *p, int fd, size_t size, off_t off);

/* io.c */

#define CAPS_XATTR "security.capability"

/** caps_lock() - taken by who changes the capabilities of a node's file */
pthread_mutex_t *caps_lock(const struct node *n);

/* xattr.c */
void xattr_probe(struct stackfs *fs);
/** xattr_new() - publish that a new file has no attributes, if it has none:
 *  the kernel asks for one at the first write */
void xattr_new(struct stackfs *fs, const struct ref *r);

/* dir.c */

/** syncfs_seen() - make of a SYNCFS what libfuse hands to op_fsyncdir() */
void syncfs_seen(struct fuse_in_header *in);

/* statx.c */

/** statx_seen() - make of a STATX what libfuse hands to op_statx() */
void statx_seen(struct fuse_in_header *in);

/* stat.c */

#define STAT_XATTR "trusted.extfuse.stat"

/** stat_json() - the statistics, to be freed; NULL: no memory */
char *stat_json(struct stackfs *fs);
void stat_count(struct stackfs *fs, uint32_t opcode);

/* session.c: 0 or an exit code, the message printed */

/** reply_err() - fuse_reply_err() to a request after whose ENOSYS the kernel would
 *  ask no more, for any file: what one below says is of that one */
void reply_err(fuse_req_t req, int err);
int session_open(struct stackfs *fs);
int session_mount(struct stackfs *fs);
int session_init(struct stackfs *fs);
int session_run(struct stackfs *fs);
/** session_unmount() - unless something else is mounted there by now (-ENOENT)
 *  Returns -EBUSY if it lives on, unmounted, because files are open. */
int session_unmount(struct stackfs *fs);
/** session_status() - is the program attached, what was rejected? */
int session_status(const struct stackfs *fs, struct extfuse_status *st);

/* extfuse.c: 0 or an exit code, the message printed */

/** extfuse_check() - what can be checked without mounting */
int extfuse_check(struct stackfs *fs);
/** extfuse_start() - load the object; fs->cache stays NULL for plain FUSE */
int extfuse_start(struct stackfs *fs);
/** extfuse_attached() - after INIT: did the kernel take the program? */
int extfuse_attached(struct stackfs *fs);
void extfuse_stop(struct stackfs *fs);

/* watch.c: 0 or an exit code, the message printed */

/** watch_open() - watch the lower directory if it is to be and can be: then
 *  fs->root_fd is one of a mount of our own, and events are kept */
int watch_open(struct stackfs *fs);
/** watch_guard() - after the mount, while there is but one thread */
int watch_guard(struct stackfs *fs);
/** watch_start() - 0 or -errno; watch_stop() aborts the connection */
int watch_start(struct stackfs *fs);
void watch_stop(struct stackfs *fs);

/* signals.c: SIGINT and SIGTERM unmount */
void signals_block(void);
bool signals_pending(void);
int signals_start(struct stackfs *fs);
void signals_stop(void);

/* opts.c: 0 or an exit code, the message printed */
int opts_parse(int argc, char **argv, struct options *o);
/** opts_timeouts() - those that were not said: what they are depends */
void opts_timeouts(struct options *o, bool watched);
void opts_free(struct options *o);
void opts_usage(FILE *f);

/* check.c: 0 or an exit code, the message printed */
int check_mount(struct stackfs *fs);
/** check_remount() - change the mount flags of a mount that is there */
int check_remount(struct stackfs *fs);

/* log.c */
void log_init(bool debug);
void log_to_syslog(void);
void log_err(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* The operations, for ops.c. */
void op_init(void *userdata, struct fuse_conn_info *conn);
void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name);
void op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t nlookup);
void op_forget_multi(fuse_req_t req, size_t count,
		     struct fuse_forget_data *forgets);
void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set,
		struct fuse_file_info *fi);
void op_readlink(fuse_req_t req, fuse_ino_t ino);
void op_statfs(fuse_req_t req, fuse_ino_t ino);
void op_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
	      dev_t rdev);
void op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name,
	      mode_t mode);
void op_symlink(fuse_req_t req, const char *link, fuse_ino_t parent,
		const char *name);
void op_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t newparent,
	     const char *newname);
void op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name);
void op_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name);
void op_rename(fuse_req_t req, fuse_ino_t parent, const char *name,
	       fuse_ino_t newparent, const char *newname, unsigned int flags);
void op_create(fuse_req_t req, fuse_ino_t parent, const char *name,
	       mode_t mode, struct fuse_file_info *fi);
void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
	     struct fuse_file_info *fi);
void op_write(fuse_req_t req, fuse_ino_t ino, const char *buf, size_t size,
	      off_t off, struct fuse_file_info *fi);
void op_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_fsync(fuse_req_t req, fuse_ino_t ino, int datasync,
	      struct fuse_file_info *fi);
void op_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t off,
		  off_t len, struct fuse_file_info *fi);
void op_lseek(fuse_req_t req, fuse_ino_t ino, off_t off, int whence,
	      struct fuse_file_info *fi);
void op_copy_file_range(fuse_req_t req, fuse_ino_t ino_in, off_t off_in,
			struct fuse_file_info *fi_in, fuse_ino_t ino_out,
			off_t off_out, struct fuse_file_info *fi_out,
			size_t len, int flags);
void op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		struct fuse_file_info *fi);
void op_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		    struct fuse_file_info *fi);
void op_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_fsyncdir(fuse_req_t req, fuse_ino_t ino, int datasync,
		 struct fuse_file_info *fi);
void op_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name,
		 const char *value, size_t size, int flags);
void op_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name,
		 size_t size);
void op_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size);
void op_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name);
void op_ioctl(fuse_req_t req, fuse_ino_t ino, unsigned int cmd, void *arg,
	      struct fuse_file_info *fi, unsigned int flags, const void *in,
	      size_t in_size, size_t out_size);
void op_statx(fuse_req_t req, fuse_ino_t ino, size_t blocksize, uint64_t block);

void op_getlk(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi,
	      struct flock *range);
void op_setlk(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi,
	      struct flock *range, int sleep);
void op_flock(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi, int op);

extern const struct fuse_lowlevel_ops stackfs_ops;

#endif /* STACKFS_H */
