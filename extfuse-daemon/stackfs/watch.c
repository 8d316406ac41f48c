// SPDX-License-Identifier: GPL-2.0-only
/*
 * What changes in the lower directory behind the mount is seen at once (C5) where
 * the lower file system can be watched.  fanotify tells of every change in the lower file system; what
 * the cache and the kernel know of it is dropped.
 *
 * Our own changes need no telling.  System calls of the daemon are known by
 * its process number.  Passthrough I/O runs in any process, but on files that
 * we opened: so everything is opened through a mount of our own, which nobody
 * else has, and that mount is marked as one to ignore.
 *
 * The kernel invalidates a name under its directory's lock, which a process may
 * hold that waits for the daemon: never from a thread that answers requests,
 * and the connection is aborted before anybody waits for the watching thread.
 * If the daemon is killed that thread may stay in the lock, and /dev/fuse open:
 * a guard process sees the daemon die and aborts the connection.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/fanotify.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "stackfs.h"

#define NAME_EVENTS (FAN_CREATE | FAN_DELETE | FAN_MOVED_FROM | FAN_MOVED_TO)
/* The last close is all that tells of stores to a shared mapping. */
#define DATA_EVENTS (FAN_MODIFY | FAN_CLOSE_WRITE)
#define EVENTS (NAME_EVENTS | DATA_EVENTS | FAN_ATTRIB | FAN_ONDIR)

#define BUF_SIZE (64 * 1024)

/*
 * After a batch no more is read for so long, or who writes somewhere would wake us for
 * each change.  The queue holds 16384 events, and what is the same is one.
 */
#define PAUSE_NS (2 * 1000 * 1000)

/* Newer than the kernel headers of most build hosts (Linux 6.16). */
#define NOTIFY_INC_EPOCH 8

/* What an event speaks of; none of it need be known to us. */
struct event {
	uint64_t mask;
	struct node *dir;
	const char *name;
	struct node *node;
};

static const char *why_not(int err)
{
	switch (err) {
	case EOPNOTSUPP:
	case ENODEV:
	case EXDEV:
		return "its file system has no file handles that fanotify can report";
	case EINVAL:
	case ENOSYS:
		return "the kernel's fanotify is too old, or not there";
	}
	return strerror(err);
}

/* The control file system need not be mounted: a mount for ourselves does. */
static int control_open(const char *type)
{
	int mnt = -1, fs = fsopen(type, FSOPEN_CLOEXEC);

	if (fs >= 0 && !fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0))
		mnt = fsmount(fs, FSMOUNT_CLOEXEC, 0);
	if (fs >= 0)
		close(fs);
	return mnt;
}

/* A mount of the lower directory of our own: its root, or -1 */
static int clone_open(struct watch *w, const char *lower)
{
	w->tree_fd = open_tree(AT_FDCWD, lower, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC |
			       AT_RECURSIVE);
	/* Kept: with its last close the clone would be taken apart. */
	return w->tree_fd < 0 ? -1 :
	       openat(w->tree_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static int group_open(struct watch *w, int root)
{
	w->fan_fd = fanotify_init(FAN_CLASS_NOTIF | FAN_CLOEXEC | FAN_NONBLOCK |
				  FAN_REPORT_DFID_NAME_TARGET, 0);
	if (w->fan_fd < 0 ||
	    fanotify_mark(w->fan_fd, FAN_MARK_ADD | FAN_MARK_FILESYSTEM, EVENTS,
			  root, NULL) ||
	    fanotify_mark(w->fan_fd, FAN_MARK_ADD | FAN_MARK_MOUNT |
			  FAN_MARK_IGNORED_MASK | FAN_MARK_IGNORED_SURV_MODIFY,
			  DATA_EVENTS, root, NULL))
		return -errno;
	return nodes_handles_work(root) ? 0 : -EOPNOTSUPP;
}

static void fd_drop(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static int try_watch(struct stackfs *fs)
{
	struct watch *w = &fs->watch;
	int err, ctl, root = clone_open(w, fs->opts.lower);

	err = root < 0 ? -errno : group_open(w, root);
	if (!err) {
		/* without, there is no guard; whose it will be is not known yet */
		ctl = control_open("fusectl");
		err = ctl < 0 ? -errno : 0;
		fd_drop(&ctl);
	}
	if (err) {
		fd_drop(&w->fan_fd);
		fd_drop(&root);
		fd_drop(&w->tree_fd);
		return err;
	}
	close(fs->root_fd);
	fs->root_fd = root;
	return 0;
}

/*
 * Unasked, only where all changes are made by this kernel, in the file system itself:
 * not on a network, in layers or by a server.
 */
static bool sees_all(int root_fd)
{
	struct statfs sf;

	return !fstatfs(root_fd, &sf) &&
	       (lower_traits(root_fd, &sf) & LOWER_NATIVE);
}

int watch_open(struct stackfs *fs)
{
	enum watch_mode mode = fs->opts.watch;
	int err;

	if (mode == WATCH_OFF || (mode == WATCH_AUTO && !sees_all(fs->root_fd)))
		return 0;
	err = try_watch(fs);
	if (!err || mode == WATCH_AUTO)
		return 0;
	log_err("-o watch: %s: %s", fs->opts.lower, why_not(-err));
	return EXIT_MOUNT;
}

static int abort_open(const struct stackfs *fs)
{
	char path[32];
	struct statx stx;
	int ctl, fd;

	if (statx(AT_FDCWD, fs->opts.mountpoint,
		  AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT, STATX_MNT_ID, &stx))
		return -1;
	ctl = control_open(fs->road == EBPF_ROAD_MODULE ? "extfusectl" : "fusectl");
	snprintf(path, sizeof(path), "%u/abort", stx.stx_dev_minor);
	fd = openat(ctl, path, O_WRONLY | O_CLOEXEC);
	fd_drop(&ctl);
	return fd;
}

static void abort_connection(int fd)
{
	/* Fails if the connection is gone, which will do. */
	if (write(fd, "1", 1) < 0)
		return;
}

/* Nobody shall take us for the daemon; the operands stay, to tell of what. */
static void guard_rename(void)
{
	static const char name[] = "extfuse-guard";
	char *arg0 = program_invocation_name;

	prctl(PR_SET_NAME, name);
	strncpy(arg0, name, strlen(arg0));
}

/* /dev/fuse, above all, must not stay open here. */
static void guard_main(pid_t daemon, int abort_fd)
{
	sigset_t set;
	int sig;

	guard_rename();
	if (dup2(abort_fd, STDIN_FILENO) < 0)
		_exit(EXIT_SYSTEM);
	close_range(STDIN_FILENO + 1, ~0U, 0);
	sigfillset(&set);
	sigprocmask(SIG_BLOCK, &set, NULL);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	prctl(PR_SET_PDEATHSIG, SIGUSR1);
	while (getppid() == daemon && sigwait(&set, &sig))
		;
	abort_connection(STDIN_FILENO);
	_exit(0);
}

int watch_guard(struct stackfs *fs)
{
	pid_t daemon = getpid(), pid;

	fs->watch.abort_fd = abort_open(fs);
	if (fs->watch.abort_fd < 0)
		goto fail;
	pid = fork();
	if (pid < 0)
		goto fail;
	if (!pid)
		guard_main(daemon, fs->watch.abort_fd);
	fs->watch.guard = pid;
	return 0;
fail:
	log_err("-o watch: cannot guard the connection: %s", strerror(errno));
	return EXIT_SYSTEM;
}

static void inode_forget(struct stackfs *fs, uint64_t id)
{
	attr_delete(fs->cache, id);
	cache_xattr_end(fs->cache, id, cache_xattr_begin(fs->cache, id));
}

static void name_forget(struct stackfs *fs, uint64_t dir, const char *name)
{
	uint64_t epoch = cache_begin(fs->cache, dir);

	lookup_delete(fs->cache, dir, name);
	cache_end(fs->cache, dir, epoch);
}

static int tell_name(struct stackfs *fs, uint64_t dir, const char *name)
{
	return fuse_lowlevel_notify_inval_entry(fs->se, dir, name,
						strlen(name));
}

/* @data: drop pages, too */
static int tell_inode(struct stackfs *fs, uint64_t id, bool data)
{
	return fuse_lowlevel_notify_inval_inode(fs->se, id, data ? 0 : -1, 0);
}

/*
 * C2: a look-up on its way may be about to give the kernel old attributes of
 * an inode that it does not know yet.  It holds the directory's lock until it
 * has: telling of the name waits for that.
 */
static void tell_changed(struct stackfs *fs, const struct event *ev)
{
	bool data = ev->mask & DATA_EVENTS;
	uint64_t id = ev->node->id;

	if (tell_inode(fs, id, data) != -ENOENT || !ev->dir || !ev->name)
		return;
	tell_name(fs, ev->dir->id, ev->name);
	tell_inode(fs, id, data);
}

/* C4: the rows first, or the kernel would fill its caches from them again. */
static void event_apply(struct stackfs *fs, const struct event *ev)
{
	bool names = ev->mask & NAME_EVENTS && ev->dir && ev->name;

	if (names)
		name_forget(fs, ev->dir->id, ev->name);
	if (ev->node)
		inode_forget(fs, ev->node->id);
	if (names) {
		tell_name(fs, ev->dir->id, ev->name);
		tell_inode(fs, ev->dir->id, false);
	}
	if (ev->node)
		tell_changed(fs, ev);
}

/* Before Linux 6.16 the names of files in use keep their timeout. */
static void tell_all_names(struct stackfs *fs)
{
	struct fuse_out_header head = {
		.len = sizeof(head),
		.error = NOTIFY_INC_EPOCH,
	};
	int fd;

	if (write(fs->dev_fd, &head, sizeof(head)) == sizeof(head))
		return;
	/* To reconfigure nothing drops all entries that are not in use. */
	fd = fspick(AT_FDCWD, fs->opts.mountpoint,
		    FSPICK_CLOEXEC | FSPICK_NO_AUTOMOUNT);
	if (fd < 0)
		return;
	fsconfig(fd, FSCONFIG_CMD_RECONFIGURE, NULL, NULL, 0);
	close(fd);
}

static void each_node(struct stackfs *fs,
		      void (*tell)(struct stackfs *fs, const struct node *n,
				   uint64_t id))
{
	uint32_t i, max = atomic_load(&fs->nodes.nchunks) * NODES_PER_CHUNK;
	const struct node *n;
	uint64_t id;

	for (i = 0; i < max; i++) {
		n = node_slot(&fs->nodes, i);
		id = atomic_load(&n->id);
		if (id)
			tell(fs, n, id);
	}
}

/* There is no such name: what counts is to wait for the directory's lock. */
static void wait_for_names(struct stackfs *fs, const struct node *n, uint64_t id)
{
	if (S_ISDIR(n->type) && n->dev == fs->nodes.root_dev)
		tell_name(fs, id, "/");
}

static void tell_changed_inode(struct stackfs *fs, const struct node *n,
			       uint64_t id)
{
	(void)n;
	tell_inode(fs, id, true);
}

/*
 * Something changed, and nobody knows what.  What is on its way to the kernel's
 * caches, and may be older, is let in first, to be thrown out with the rest.
 */
static void forget_all(struct stackfs *fs)
{
	atomic_fetch_add(&fs->watch.overflows, 1);
	cache_clear(fs->cache);
	each_node(fs, wait_for_names);
	tell_all_names(fs);
	each_node(fs, tell_changed_inode);
}

/* 0, also for an inode that is nobody's any more or not known to us: most are not */
static int node_of_handle(struct stackfs *fs, void *handle, struct node **np)
{
	struct stat st;
	int fd, err = 0;

	*np = NULL;
	if (!known_has(&fs->nodes, handle))
		return 0;
	do
		fd = open_by_handle_at(fs->root_fd, handle,
				       O_PATH | O_NOFOLLOW | O_CLOEXEC);
	while (fd < 0 && nodes_fd_relieve(&fs->nodes, errno));
	if (fd < 0)
		return errno == ESTALE ? 0 : -errno;
	if (fstat(fd, &st))
		err = -errno;
	else
		*np = node_find(&fs->nodes, st.st_dev, st.st_ino);
	close(fd);
	return err;
}

static int event_info(struct stackfs *fs, struct event *ev,
		      struct fanotify_event_info_fid *info)
{
	struct file_handle *fh = (struct file_handle *)info->handle;
	const char *name = (char *)fh->f_handle + fh->handle_bytes;

	switch (info->hdr.info_type) {
	case FAN_EVENT_INFO_TYPE_FID:
		return ev->node ? 0 : node_of_handle(fs, fh, &ev->node);
	case FAN_EVENT_INFO_TYPE_DFID_NAME:
		/* a directory itself */
		if (!strcmp(name, "."))
			return ev->node ? 0 : node_of_handle(fs, fh, &ev->node);
		ev->name = name;
		return node_of_handle(fs, fh, &ev->dir);
	}
	return 0;
}

static int event_read(struct stackfs *fs, struct event *ev, char *at,
		      const struct fanotify_event_metadata *m)
{
	char *end = at + m->event_len;
	struct fanotify_event_info_fid *info;
	int err = 0;

	*ev = (struct event) { .mask = m->mask };
	for (at += m->metadata_len; at < end && !err; at += info->hdr.len) {
		info = (struct fanotify_event_info_fid *)at;
		err = event_info(fs, ev, info);
	}
	return err;
}

static void event_put(struct stackfs *fs, const struct event *ev)
{
	if (ev->dir)
		node_put(&fs->nodes, ev->dir);
	if (ev->node)
		node_put(&fs->nodes, ev->node);
}

static void event_handle(struct stackfs *fs, char *at,
			 const struct fanotify_event_metadata *m)
{
	struct event ev;
	int err;

	if (m->mask & FAN_Q_OVERFLOW) {
		forget_all(fs);
		return;
	}
	if (m->pid == fs->watch.pid)
		return;
	atomic_fetch_add(&fs->watch.events, 1);
	err = event_read(fs, &ev, at, m);
	if (err)
		forget_all(fs);
	else
		event_apply(fs, &ev);
	event_put(fs, &ev);
}

/* Was the buffer full, so that there may be more? */
static bool events_handle(struct stackfs *fs, char *buf)
{
	ssize_t len = read(fs->watch.fan_fd, buf, BUF_SIZE);
	struct fanotify_event_metadata m;	/* events are but 4 bytes apart */
	bool more = len > BUF_SIZE / 2;
	char *at;

	for (at = buf; len >= (ssize_t)sizeof(m); at += m.event_len) {
		memcpy(&m, at, sizeof(m));
		event_handle(fs, at, &m);
		len -= m.event_len;
	}
	return more;
}

static void *watch_main(void *arg)
{
	struct stackfs *fs = arg;
	const struct timespec pause = { .tv_nsec = PAUSE_NS };
	struct pollfd fds[] = {
		{ .fd = fs->watch.fan_fd, .events = POLLIN },
		{ .fd = fs->watch.stop_fd, .events = POLLIN },
	};

	while (!fds[1].revents) {
		if (poll(fds, 2, -1) <= 0 || !fds[0].revents)
			continue;
		if (!events_handle(fs, fs->watch.buf))
			nanosleep(&pause, NULL);
	}
	return NULL;
}

int watch_start(struct stackfs *fs)
{
	struct watch *w = &fs->watch;
	int err;

	w->pid = getpid();
	w->stop_fd = eventfd(0, EFD_CLOEXEC);
	w->buf = malloc(BUF_SIZE);
	err = w->stop_fd < 0 || !w->buf ? ENOMEM :
	      pthread_create(&w->thread, NULL, watch_main, fs);
	w->running = !err;
	return -err;
}

void watch_stop(struct stackfs *fs)
{
	struct watch *w = &fs->watch;

	if (w->running) {
		eventfd_write(w->stop_fd, 1);
		abort_connection(w->abort_fd);
		pthread_join(w->thread, NULL);
	}
	free(w->buf);
	if (w->guard) {
		kill(w->guard, SIGKILL);
		waitpid(w->guard, NULL, 0);
	}
}
