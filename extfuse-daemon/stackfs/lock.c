// SPDX-License-Identifier: GPL-2.0-only
/*
 * -o lock=lower: locks of the mount are locks of the lower file.
 *
 * The lower file system takes the daemon for one owner.  So each owner above has
 * an open file description of its own below: there a POSIX lock is one of the
 * description, and whoever closes it gives all of them up, as FLUSH (of POSIX
 * locks) and RELEASE (of all) want it.
 *
 * Who waits holds no request thread.  One thread tries for all of them: again and
 * again, for nobody tells us of a lock below that is given up, and at once when it
 * was one of ours.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "stackfs.h"

/* Descriptors that locks may take: beyond that ENOLCK */
#define MAX_OWNERS 4096

#define RETRY_MIN_MS 1
#define RETRY_MAX_MS 50

struct locks;

/**
 * struct lock_owner - who locks, and the description that he has below
 * @owner:	as the kernel calls him
 * @fh:		the open file above by which he came; it ends, and he with it
 * @flocks:	the description carries a flock(2), not ranges
 * @pid:	of the process that came first
 * @refs:	the list, and threads that use @fd
 */
struct lock_owner {
	struct lock_owner *next;
	struct node *node;
	uint64_t owner;
	uint64_t fh;
	bool flocks;
	int fd;
	pid_t pid;
	int refs;
};

/* @op: of flock(2), without LOCK_NB; @range: of fcntl(2) */
struct lock_want {
	int op;
	struct flock range;
};

struct lock_wait {
	struct lock_wait *next;
	struct locks *locks;
	fuse_req_t req;
	struct lock_owner *owner;
	struct lock_want want;
	bool interrupted;
};

/**
 * struct locks - of one mount
 * @lock:	guards all but what a thread does with an owner's @fd; no system call
 *		that may wait is made under it
 * @retry:	a lock of ours was given up, or somebody waits who did not before
 */
struct locks {
	pthread_mutex_t lock;
	pthread_cond_t wake;
	pthread_t thread;
	struct lock_owner *owners;
	unsigned int count;
	struct lock_wait *waits;
	bool retry;
	bool stop;
};

/* Called locked */
static void wake(struct locks *l)
{
	l->retry = true;
	pthread_cond_signal(&l->wake);
}

static void retry(struct locks *l)
{
	pthread_mutex_lock(&l->lock);
	wake(l);
	pthread_mutex_unlock(&l->lock);
}

static void owner_put(struct stackfs *fs, struct lock_owner *o)
{
	struct locks *l = fs->locks;
	bool last;

	pthread_mutex_lock(&l->lock);
	last = --o->refs == 0;
	l->count -= last;
	pthread_mutex_unlock(&l->lock);
	if (!last)
		return;
	close(o->fd);
	node_put(&fs->nodes, o->node);
	free(o);
	/* only now are its locks free */
	retry(l);
}

/* Called locked */
static struct lock_owner *owner_find(struct locks *l, const struct lock_owner *key)
{
	struct lock_owner *o;

	for (o = l->owners; o; o = o->next)
		if (o->node == key->node && o->owner == key->owner &&
		    o->flocks == key->flocks) {
			o->refs++;
			return o;
		}
	return NULL;
}

/* A range that is locked for writing needs a description that may write. */
static int owner_open(struct stackfs *fs, const struct ref *r, bool flocks)
{
	int fd = flocks ? -EACCES : node_open(fs, r->fd, O_RDWR | O_CLOEXEC);

	return fd < 0 ? node_open(fs, r->fd, O_RDONLY | O_CLOEXEC) : fd;
}

static int owner_new(struct stackfs *fs, const struct lock_owner *key,
		     const struct ref *r, struct lock_owner **op)
{
	struct locks *l = fs->locks;
	struct lock_owner *o = malloc(sizeof(*o)), *other;

	if (!o)
		return -ENOMEM;
	*o = *key;
	o->refs = 2;
	o->fd = owner_open(fs, r, o->flocks);
	if (o->fd < 0) {
		int err = o->fd;

		free(o);
		return err;
	}
	pthread_mutex_lock(&l->lock);
	other = owner_find(l, key);
	if (!other && l->count < MAX_OWNERS) {
		o->node = node_get(&fs->nodes, key->node->id);
		o->next = l->owners;
		l->owners = o;
		l->count++;
		*op = o;
		o = NULL;
	}
	pthread_mutex_unlock(&l->lock);
	if (!o)
		return 0;
	close(o->fd);
	free(o);
	*op = other;
	return other ? 0 : -ENOLCK;
}

/* @make: where he is not known yet; without, *@op may be NULL */
static int owner_get(fuse_req_t req, fuse_ino_t ino, const struct fuse_file_info *fi,
		     bool flocks, bool make, struct lock_owner **op)
{
	struct stackfs *fs = fuse_req_userdata(req);
	struct lock_owner key = {
		.owner = fi->lock_owner,
		.fh = fi->fh,
		.flocks = flocks,
		.pid = fuse_req_ctx(req)->pid,
	};
	struct ref r;
	int err;

	err = ref_get(fs, ino, &r);
	if (err)
		return err;
	key.node = r.node;
	pthread_mutex_lock(&fs->locks->lock);
	*op = owner_find(fs->locks, &key);
	pthread_mutex_unlock(&fs->locks->lock);
	if (!*op && make)
		err = owner_new(fs, &key, &r, op);
	ref_put(fs, &r);
	return err;
}

static int owner_try(const struct lock_owner *o, const struct lock_want *w)
{
	struct flock range = w->range;

	if (o->flocks ? !flock(o->fd, w->op | LOCK_NB) :
			!fcntl(o->fd, F_OFD_SETLK, &range))
		return 0;
	return errno == EACCES ? -EAGAIN : -errno;
}

/* Forget owners of @node: those of @fh, or with @flush whose POSIX locks are @owner's */
static void owners_drop(struct stackfs *fs, const struct node *node, uint64_t fh,
			uint64_t owner, bool flush)
{
	struct lock_owner **p, *o, *gone = NULL;
	struct locks *l = fs->locks;

	pthread_mutex_lock(&l->lock);
	for (p = &l->owners; (o = *p);) {
		if (o->node != node ||
		    (flush ? o->flocks || o->owner != owner : o->fh != fh)) {
			p = &o->next;
			continue;
		}
		*p = o->next;
		o->next = gone;
		gone = o;
	}
	pthread_mutex_unlock(&l->lock);
	while ((o = gone)) {
		gone = o->next;
		owner_put(fs, o);
	}
}

void locks_flush(struct stackfs *fs, const struct file *f, uint64_t owner)
{
	if (fs->locks)
		owners_drop(fs, f->node, 0, owner, true);
}

void locks_release(struct stackfs *fs, const struct file *f)
{
	if (fs->locks)
		owners_drop(fs, f->node, (uintptr_t)f, 0, false);
}

/* Waiting */

static void wait_interrupted(fuse_req_t req, void *data)
{
	struct lock_wait *w = data;

	(void)req;
	pthread_mutex_lock(&w->locks->lock);
	w->interrupted = true;
	wake(w->locks);
	pthread_mutex_unlock(&w->locks->lock);
}

/* Takes @o over, unless without memory.  The first to wait is the first to be tried. */
static int wait_add(fuse_req_t req, struct lock_owner *o, const struct lock_want *want)
{
	struct stackfs *fs = fuse_req_userdata(req);
	struct lock_wait *w = malloc(sizeof(*w)), **p;
	struct locks *l = fs->locks;

	if (!w)
		return -ENOMEM;
	*w = (struct lock_wait) {
		.locks = l, .req = req, .owner = o, .want = *want,
	};
	fuse_req_interrupt_func(req, wait_interrupted, w);
	pthread_mutex_lock(&l->lock);
	for (p = &l->waits; *p; p = &(*p)->next)
		;
	*p = w;
	wake(l);
	pthread_mutex_unlock(&l->lock);
	return 0;
}

static void wait_end(struct stackfs *fs, struct lock_wait *w, int err)
{
	fuse_req_interrupt_func(w->req, NULL, NULL);
	owner_put(fs, w->owner);
	reply_err(w->req, -err);
	free(w);
}

/* Only this thread takes waits from the list, and others add them at its end. */
static void waits_try(struct stackfs *fs)
{
	struct locks *l = fs->locks;
	struct lock_wait **p = &l->waits, *w;
	int err;

	while ((w = *p)) {
		err = w->interrupted ? -EINTR : 0;
		pthread_mutex_unlock(&l->lock);
		if (!err)
			err = owner_try(w->owner, &w->want);
		pthread_mutex_lock(&l->lock);
		if (err == -EAGAIN) {
			p = &w->next;
			continue;
		}
		*p = w->next;
		pthread_mutex_unlock(&l->lock);
		wait_end(fs, w, err);
		pthread_mutex_lock(&l->lock);
	}
}

static void wait_for(struct locks *l, unsigned int ms)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_nsec += ms * 1000000L;
	until.tv_sec += until.tv_nsec / 1000000000L;
	until.tv_nsec %= 1000000000L;
	pthread_cond_timedwait(&l->wake, &l->lock, &until);
}

static void *locks_main(void *stackfs)
{
	struct stackfs *fs = stackfs;
	struct locks *l = fs->locks;
	unsigned int ms = RETRY_MIN_MS;

	pthread_mutex_lock(&l->lock);
	while (!l->stop) {
		if (!l->waits) {
			pthread_cond_wait(&l->wake, &l->lock);
			l->retry = true;
		} else if (!l->retry) {
			wait_for(l, ms);
			ms = ms * 2 < RETRY_MAX_MS ? ms * 2 : RETRY_MAX_MS;
		}
		if (l->retry)
			ms = RETRY_MIN_MS;
		l->retry = false;
		waits_try(fs);
	}
	pthread_mutex_unlock(&l->lock);
	return NULL;
}

/* The operations */

static void lock_set(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi,
		     const struct lock_want *want, bool flocks, bool unlock, bool wait)
{
	struct stackfs *fs = fuse_req_userdata(req);
	struct lock_owner *o = NULL;
	int err;

	err = owner_get(req, ino, fi, flocks, !unlock, &o);
	if (err || !o) {
		reply_err(req, -err);
		return;
	}
	err = owner_try(o, want);
	if (err == -EAGAIN && wait) {
		err = wait_add(req, o, want);
		if (!err)
			return;
	}
	owner_put(fs, o);
	if (unlock)
		retry(fs->locks);
	reply_err(req, -err);
}

void op_setlk(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi,
	      struct flock *range, int sleep)
{
	struct lock_want want = { .range = *range };

	want.range.l_pid = 0;
	lock_set(req, ino, fi, &want, false, range->l_type == F_UNLCK, sleep);
}

void op_flock(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi, int op)
{
	struct lock_want want = { .op = op & ~LOCK_NB };

	lock_set(req, ino, fi, &want, true, want.op == LOCK_UN, !(op & LOCK_NB));
}

/* Below, it is a description's: whose, if there is but one other than @o's? */
static pid_t owner_other(struct locks *l, const struct lock_owner *o)
{
	const struct lock_owner *p;
	pid_t pid = -1;
	int n = 0;

	pthread_mutex_lock(&l->lock);
	for (p = l->owners; p; p = p->next)
		if (p != o && p->node == o->node && !p->flocks) {
			pid = p->pid;
			n++;
		}
	pthread_mutex_unlock(&l->lock);
	return n == 1 ? pid : -1;
}

void op_getlk(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi,
	      struct flock *range)
{
	struct stackfs *fs = fuse_req_userdata(req);
	struct lock_owner *o;
	int err;

	err = owner_get(req, ino, fi, false, true, &o);
	if (err) {
		reply_err(req, -err);
		return;
	}
	range->l_pid = 0;
	if (fcntl(o->fd, F_OFD_GETLK, range))
		err = errno;
	else if (range->l_type != F_UNLCK && range->l_pid == -1)
		range->l_pid = owner_other(fs->locks, o);
	owner_put(fs, o);
	if (err)
		reply_err(req, err);
	else
		fuse_reply_lock(req, range);
}

/* Where others than this machine lock, too */
static void warn_shared(const struct stackfs *fs)
{
	static const struct {
		uint32_t magic;
		const char *name;
	} shared[] = {
		{ 0x6969, "NFS" },	  { 0xff534d42, "CIFS" },
		{ 0xfe534d42, "SMB" },	  { 0x0bd00bd0, "Lustre" },
		{ 0x01161970, "GFS2" },	  { 0x7461636f, "OCFS2" },
		{ 0x00c36400, "Ceph" },
	};
	struct statfs sf;
	size_t i;

	if (fstatfs(fs->root_fd, &sf))
		return;
	for (i = 0; i < sizeof(shared) / sizeof(shared[0]); i++)
		if ((uint32_t)sf.f_type == shared[i].magic)
			log_warn("%s is on %s: locks stay in this mount, other machines do not see them (lock=lower hands them down)",
				 fs->opts.lower, shared[i].name);
}

int locks_start(struct stackfs *fs)
{
	struct locks *l;

	if (!fs->opts.lock_lower) {
		warn_shared(fs);
		return 0;
	}
	l = calloc(1, sizeof(*l));
	if (!l)
		return -ENOMEM;
	pthread_mutex_init(&l->lock, NULL);
	pthread_cond_init(&l->wake, NULL);
	fs->locks = l;
	if (!pthread_create(&l->thread, NULL, locks_main, fs))
		return 0;
	fs->locks = NULL;
	free(l);
	return -EAGAIN;
}

void locks_stop(struct stackfs *fs)
{
	struct locks *l = fs->locks;
	struct lock_wait *w;

	if (!l)
		return;
	pthread_mutex_lock(&l->lock);
	l->stop = true;
	pthread_cond_signal(&l->wake);
	pthread_mutex_unlock(&l->lock);
	pthread_join(l->thread, NULL);
	while ((w = l->waits)) {
		l->waits = w->next;
		wait_end(fs, w, -EINTR);
	}
	while (l->owners) {
		struct lock_owner *o = l->owners;

		l->owners = o->next;
		owner_put(fs, o);
	}
	free(l);
	fs->locks = NULL;
}
