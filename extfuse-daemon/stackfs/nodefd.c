// SPDX-License-Identifier: GPL-2.0-only
/*
 * A node's descriptor of its lower inode, and how many of them are open.
 *
 * When there are too many, the hand of a clock closes those not used lately;
 * a closed node is opened again by its file handle.  Nodes whose inode cannot
 * be found by a handle stay open: those of a device without.
 *
 * An open descriptor keeps the space of a removed file.  So those of files are closed
 * when they were not used for a while, and for good when the last name is gone and
 * no file is open: what is left to ask then is what the inode was like.
 *
 * To open a handle takes a descriptor of the same mount: the lower root, or a
 * directory that is kept for each mount below, as long as it has nodes.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "node.h"
#include "uapi.h"

/* Closed in one go when the bound is passed. */
#define EVICT_BATCH 64

union handle_space {
	struct file_handle h;
	char space[sizeof(struct file_handle) + MAX_HANDLE_SZ];
};

static int handle_get(int fd, union handle_space *u, int flags)
{
	int mount_id;

	memset(u, 0, sizeof(*u));
	u->h.handle_bytes = MAX_HANDLE_SZ;
	return name_to_handle_at(fd, "", &u->h, &mount_id,
				 AT_EMPTY_PATH | flags);
}

uint64_t handle_hash(const struct file_handle *h)
{
	uint64_t hash = lower_hash(extfuse_hash_step(0, h->handle_type),
				   h->f_handle, h->handle_bytes);

	return hash ? hash : 1;
}

/* The handle need not be one that can be opened. */
uint64_t node_fid(int fd)
{
	union handle_space u;

	if (handle_get(fd, &u, 0) && handle_get(fd, &u, AT_HANDLE_FID))
		return 1;
	return handle_hash(&u.h);
}

static struct file_handle *handle_read(int fd)
{
	union handle_space u;
	struct file_handle *h;

	if (handle_get(fd, &u, 0))
		return NULL;
	h = malloc(sizeof(*h) + u.h.handle_bytes);
	if (h)
		memcpy(h, &u, sizeof(*h) + u.h.handle_bytes);
	return h;
}

static bool handle_equal(const struct file_handle *a,
			 const struct file_handle *b)
{
	return a->handle_type == b->handle_type &&
	       a->handle_bytes == b->handle_bytes &&
	       !memcmp(a->f_handle, b->f_handle, a->handle_bytes);
}

void node_fd_set(struct nodes *t, struct node *n, int fd)
{
	atomic_store(&n->recent, true);
	atomic_store(&n->fd, fd);
	atomic_fetch_add(&t->open_fds, 1);
}

/* Where the node's handle is opened, -1: nowhere */
static int handle_fd(const struct nodes *t, const struct node *n)
{
	if (n->mnt == t->root_mnt)
		return t->root_fd;
	if (n->device)
		return n->device->fd;
	/* one mount too many, or a bound file: any that forbids no more will do */
	return n->dev == t->root_dev && !n->limits ? t->root_fd : -1;
}

static int fd_reopen(struct nodes *t, struct node *n)
{
	pthread_mutex_t *stripe = node_stripe(t, n->index);
	int fd;

	pthread_mutex_lock(stripe);
	fd = atomic_load(&n->fd);
	if (fd < 0 && !n->handle) {
		fd = -ESTALE;
	} else if (fd < 0) {
		fd = open_by_handle_at(handle_fd(t, n), n->handle,
				       O_PATH | O_NOFOLLOW | O_CLOEXEC);
		if (fd < 0)
			fd = -errno;
		else
			node_fd_set(t, n, fd);
	}
	pthread_mutex_unlock(stripe);
	return fd;
}

int node_fd_get(struct nodes *t, struct node *n)
{
	int fd;

	/* Counted before looked at: fd_evict() does it the other way round. */
	atomic_fetch_add(&n->fd_users, 1);
	fd = atomic_load(&n->fd);
	if (fd >= 0) {
		if (!atomic_load_explicit(&n->recent, memory_order_relaxed))
			atomic_store(&n->recent, true);
		return fd;
	}
	do
		fd = fd_reopen(t, n);
	while (fd < 0 && nodes_fd_relieve(t, -fd));
	if (fd < 0)
		node_fd_put(n);
	else
		nodes_fd_bound(t);
	return fd;
}

void node_fd_put(struct node *n)
{
	atomic_fetch_sub(&n->fd_users, 1);
}

/*
 * An open inode keeps its number, but for one that is a server's, as in NFS: who
 * has it open there, that has none.
 */
static bool open_same(const struct node *n, int open_fd, int fd)
{
	union handle_space a, b;

	return (n->traits & LOWER_NATIVE) || handle_get(open_fd, &a, 0) ||
	       handle_get(fd, &b, 0) || handle_equal(&a.h, &b.h);
}

bool node_fd_same(struct nodes *t, struct node *n, int fd, uint64_t mnt)
{
	pthread_mutex_t *stripe = node_stripe(t, n->index);
	int open_fd;
	struct file_handle *h;
	bool same = true;

	pthread_mutex_lock(stripe);
	open_fd = atomic_load(&n->fd);
	if (open_fd >= 0) {
		same = open_same(n, open_fd, fd);
		if (same)
			close(fd);
	} else {
		h = handle_read(fd);
		same = h && n->handle && handle_equal(h, n->handle);
		free(h);
		/* what can be done with it is its mount's to say */
		if (same && mnt != n->mnt)
			close(fd);
		else if (same)
			node_fd_set(t, n, fd);
	}
	pthread_mutex_unlock(stripe);
	return same;
}

void node_fd_close(struct nodes *t, struct node *n)
{
	pthread_mutex_t *stripe = node_stripe(t, n->index);
	int fd;

	pthread_mutex_lock(stripe);
	fd = atomic_exchange(&n->fd, -1);
	free(n->handle);
	n->handle = NULL;
	free(n->last);
	n->last = NULL;
	pthread_mutex_unlock(stripe);
	if (fd < 0)
		return;
	close(fd);
	atomic_fetch_sub(&t->open_fds, 1);
}

/* Called with the node's stripe locked; -1: others than @users use it. */
static int fd_take(struct node *n, int users)
{
	int fd = atomic_exchange(&n->fd, -1);

	if (fd < 0 || atomic_load(&n->fd_users) <= users)
		return fd;
	atomic_store(&n->fd, fd);
	return -1;
}

/* The kernel may have files open of which we do not know, and ask about them. */
static bool last_keep(struct node *n, const struct stat *st)
{
	if (!S_ISREG(n->type) || n->backing_kept || n->last)
		return false;
	n->last = malloc(sizeof(*n->last));
	if (n->last)
		*n->last = *st;
	return n->last;
}

static void last_forget(struct node *n)
{
	free(n->last);
	n->last = NULL;
}

/* Called with the node's stripe locked.  Returns what is to be closed, or -1. */
static int fd_evict(struct nodes *t, struct node *n)
{
	int fd = atomic_load(&n->fd);
	struct stat st;

	if (fd < 0 || !atomic_load(&n->id) || handle_fd(t, n) < 0 ||
	    atomic_load(&n->id) == NODE_ROOT_ID || atomic_load(&n->refs))
		return -1;
	/* Served by the cache alone, the kernel's count is 0: first to go. */
	if (atomic_exchange(&n->recent, false) && atomic_load(&n->lookups) > 0)
		return -1;
	if (fstat(fd, &st))
		return -1;
	if (!st.st_nlink) {
		if (!last_keep(n, &st))
			return -1;
		fd = fd_take(n, 0);
		if (fd < 0)
			last_forget(n);
		return fd;
	}
	if (!n->handle)
		n->handle = handle_read(fd);
	return n->handle ? fd_take(n, 0) : -1;
}

static bool fd_closed(struct nodes *t, int fd)
{
	if (fd < 0)
		return false;
	close(fd);
	atomic_fetch_sub(&t->open_fds, 1);
	return true;
}

bool node_fd_removed(struct nodes *t, struct node *n, int fd)
{
	pthread_mutex_t *stripe = node_stripe(t, n->index);
	struct stat st;

	if (!S_ISREG(n->type) || fstat(fd, &st) || st.st_nlink)
		return false;
	atomic_store(&n->removed, true);
	fd = -1;
	pthread_mutex_lock(stripe);
	if (atomic_load(&n->refs) == 1 && last_keep(n, &st)) {
		fd = fd_take(n, 1);
		if (fd < 0)
			last_forget(n);
	}
	pthread_mutex_unlock(stripe);
	/* Unlocked: the last close of a large file takes its time. */
	return fd_closed(t, fd);
}

bool node_last_stat(struct nodes *t, uint64_t id, struct stat *st)
{
	struct node *n = node_get(t, id);
	pthread_mutex_t *stripe;
	bool gone;

	if (!n)
		return false;
	stripe = node_stripe(t, n->index);
	pthread_mutex_lock(stripe);
	gone = n->last;
	if (gone)
		*st = *n->last;
	pthread_mutex_unlock(stripe);
	node_put(t, n);
	return gone;
}

void nodes_fd_age(struct nodes *t)
{
	uint32_t i, max = atomic_load(&t->nchunks) * NODES_PER_CHUNK;
	int fd;

	if (!t->handles || atomic_load(&t->open_fds) <= 1)
		return;
	for (i = 0; i < max; i++) {
		struct node *n = node_slot(t, i);

		if (atomic_load(&n->fd) < 0 || !S_ISREG(n->type))
			continue;
		pthread_mutex_lock(node_stripe(t, i));
		fd = fd_evict(t, n);
		pthread_mutex_unlock(node_stripe(t, i));
		fd_closed(t, fd);
	}
}

/* Twice round at most: the first time may only clear @recent. */
static int clock_run(struct nodes *t, int want)
{
	uint32_t max = atomic_load(&t->nchunks) * NODES_PER_CHUNK;
	uint64_t steps = 2ULL * max;
	int fd, done = 0;

	if (!t->handles)
		return 0;
	pthread_mutex_lock(&t->clock_lock);
	for (; steps && done < want; steps--) {
		struct node *n = node_slot(t, t->hand);
		pthread_mutex_t *stripe = node_stripe(t, t->hand);

		t->hand = (t->hand + 1) % max;
		if (atomic_load(&n->fd) < 0)
			continue;
		pthread_mutex_lock(stripe);
		fd = fd_evict(t, n);
		pthread_mutex_unlock(stripe);
		done += fd_closed(t, fd);
	}
	pthread_mutex_unlock(&t->clock_lock);
	return done;
}

void nodes_fd_bound(struct nodes *t)
{
	if (atomic_load(&t->open_fds) > t->max_fds)
		clock_run(t, EVICT_BATCH);
}

bool nodes_fd_relieve(struct nodes *t, int err)
{
	return (err == EMFILE || err == ENFILE) && clock_run(t, EVICT_BATCH);
}

bool nodes_handles_work(int root_fd)
{
	struct file_handle *h = handle_read(root_fd);
	int fd;

	if (!h)
		return false;
	fd = open_by_handle_at(root_fd, h, O_PATH | O_CLOEXEC);
	free(h);
	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

/* The mount's slot; with @dir, a directory there, one that was free. */
static struct node_device *device_hold(struct nodes *t, uint64_t mnt,
				       const int *dir)
{
	struct node_device *d, *spare = NULL;

	for (d = t->device; d < t->device + NODES_DEVICES; d++) {
		if (!d->users)
			spare = d;
		else if (d->mnt == mnt)
			break;
	}
	if (d == t->device + NODES_DEVICES) {
		d = dir ? spare : NULL;
		if (d)
			*d = (struct node_device) { .mnt = mnt, .fd = *dir };
	}
	if (d)
		d->users++;
	return d;
}

/* The way to what is mounted below leads through its root, mostly a directory. */
static struct node_device *device_new(struct nodes *t, int fd, uint64_t mnt)
{
	char path[PROC_FD_LEN];
	struct node_device *d;
	int dir;

	do
		dir = open(proc_fd(path, fd), O_RDONLY | O_DIRECTORY | O_NOATIME | O_CLOEXEC);
	while (dir < 0 && nodes_fd_relieve(t, errno));
	if (dir < 0)
		return NULL;
	if (!nodes_handles_work(dir)) {
		close(dir);
		dir = -1;
	}
	pthread_mutex_lock(&t->lock);
	d = device_hold(t, mnt, &dir);
	pthread_mutex_unlock(&t->lock);
	if (dir >= 0 && (!d || d->fd != dir))
		close(dir);
	return d;
}

struct node_device *node_device_get(struct nodes *t, int fd,
				    const struct lower *l)
{
	struct node_device *d;

	if (!t->handles || l->mnt == t->root_mnt)
		return NULL;
	pthread_mutex_lock(&t->lock);
	d = device_hold(t, l->mnt, NULL);
	pthread_mutex_unlock(&t->lock);
	return d || l->type != S_IFDIR ? d : device_new(t, fd, l->mnt);
}

void node_device_put(struct nodes *t, struct node_device *d)
{
	int fd = -1;

	if (!d)
		return;
	pthread_mutex_lock(&t->lock);
	if (--d->users == 0)
		fd = d->fd;
	pthread_mutex_unlock(&t->lock);
	if (fd >= 0)
		close(fd);
}

int nodes_sync(struct nodes *t)
{
	int i, err = syncfs(t->root_fd) ? -errno : 0;

	for (i = 0; i < NODES_DEVICES; i++) {
		struct node_device *d = &t->device[i];

		pthread_mutex_lock(&t->lock);
		if (d->users && d->fd >= 0)
			d->users++;
		else
			d = NULL;
		pthread_mutex_unlock(&t->lock);
		if (d && syncfs(d->fd) && !err)
			err = -errno;
		node_device_put(t, d);
	}
	return err;
}

static rlim_t nr_open(void)
{
	unsigned long long max = 0;
	FILE *f = fopen("/proc/sys/fs/nr_open", "re");

	if (f) {
		if (fscanf(f, "%llu", &max) != 1)
			max = 0;
		fclose(f);
	}
	return max;
}

/* A quarter of the descriptors is left to open files. */
void nodes_fd_limit(struct nodes *t)
{
	const char *test = secure_getenv("EXTFUSE_TEST_NODE_FDS");
	struct rlimit rl, max;

	t->handles = nodes_handles_work(t->root_fd);
	getrlimit(RLIMIT_NOFILE, &rl);
	max.rlim_cur = max.rlim_max = nr_open();
	if (max.rlim_max > rl.rlim_max && !setrlimit(RLIMIT_NOFILE, &max))
		rl = max;
	if (rl.rlim_cur < rl.rlim_max) {
		rl.rlim_cur = rl.rlim_max;
		setrlimit(RLIMIT_NOFILE, &rl);
	}
	t->max_fds = rl.rlim_cur / 4 * 3;
	if (test)
		t->max_fds = strtol(test, NULL, 10);
}
