// SPDX-License-Identifier: GPL-2.0-only
/*
 * Directories: open, read, close.
 *
 * The kernel may read a directory without opening it (fh 0).  Then a stream is
 * opened for the first request, and left for the next one, which goes on where
 * it ended.  What a file system has read ahead for a stream is older than the next
 * request, which may be another reader's: so it serves only while the directory did
 * not change (C1), and for a second (C5).
 *
 * An open directory has no buffer: there may be as many as there are descriptors.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "stackfs.h"

/* Of a longer name FUSE makes an error of the whole listing. */
#define LISTED_NAME_MAX 1024

/**
 * struct dirhandle - an open directory
 * @node:	the directory, referenced; not while the stream is left
 * @id:		its nodeid
 * @epoch:	of the node, from before anything was read
 * @born:	when that was
 * @pos:	where @fd is, for the reader that comes back elsewhere; -1: past what
 *		was replied
 */
struct dirhandle {
	struct handle handle;
	pthread_mutex_t lock;
	struct node *node;
	uint64_t id;
	uint64_t epoch;
	time_t born;
	int fd;
	off_t pos;
};

/* A reply that is being filled. */
struct dirbuf {
	char *mem;
	size_t size;
	size_t used;
	bool plus;
};

static struct dirhandle *dir_of(const struct fuse_file_info *fi)
{
	return (struct dirhandle *)(uintptr_t)fi->fh;
}

static void dir_destroy(struct stackfs *fs, struct handle *h)
{
	struct dirhandle *d = (struct dirhandle *)h;

	close(d->fd);
	pthread_mutex_destroy(&d->lock);
	if (d->node)
		node_put(&fs->nodes, d->node);
	free(d);
}

static time_t now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
	return ts.tv_sec;
}

static int dir_new(struct stackfs *fs, const struct ref *r, int flags,
		   struct dirhandle **dp)
{
	struct dirhandle *d = calloc(1, sizeof(*d));
	int err;

	if (!d)
		return -ENOMEM;
	do
		d->fd = openat(r->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC |
			    noatime_flag(fs, S_IFDIR) | (flags & O_NOATIME));
	while (d->fd < 0 && nodes_fd_relieve(&fs->nodes, errno));
	if (d->fd < 0) {
		err = -errno;
		free(d);
		return err;
	}
	pthread_mutex_init(&d->lock, NULL);
	d->id = r->node->id;
	d->epoch = cache_epoch(fs->cache, d->id);
	d->born = now();
	d->node = node_get(&fs->nodes, d->id);
	handle_add(fs, &d->handle, dir_destroy);
	*dp = d;
	return 0;
}

static bool stream_fits(const struct stackfs *fs, const struct dirhandle *d,
			uint64_t id, off_t off)
{
	return d && d->id == id && d->pos == off && now() - d->born <= 1 &&
	       cache_quiet(fs->cache, id, d->epoch);
}

static struct dirhandle *stream_take(struct stackfs *fs, uint64_t id, off_t off)
{
	struct dirhandle *d = NULL;
	int i;

	pthread_mutex_lock(&fs->handles_lock);
	for (i = 0; off && !d && i < STACKFS_STREAMS; i++) {
		if (!stream_fits(fs, fs->streams[i], id, off))
			continue;
		d = fs->streams[i];
		fs->streams[i] = NULL;
	}
	pthread_mutex_unlock(&fs->handles_lock);
	return d;
}

static int stream_get(struct stackfs *fs, uint64_t id, off_t off,
		      struct dirhandle **dp)
{
	struct ref r;
	int err;

	*dp = stream_take(fs, id, off);
	if (*dp) {
		(*dp)->node = node_get(&fs->nodes, id);
		if ((*dp)->node)
			return 0;
		handle_free(fs, &(*dp)->handle);
		return -ESTALE;
	}
	err = ref_get(fs, id, &r);
	if (!err) {
		err = dir_new(fs, &r, 0, dp);
		ref_put(fs, &r);
	}
	return err;
}

/* Left streams hold no node: a nodeid is as good, and does not keep it (L2). */
static void stream_leave(struct stackfs *fs, struct dirhandle *d)
{
	struct dirhandle *old;
	unsigned int at;

	node_put(&fs->nodes, d->node);
	d->node = NULL;
	pthread_mutex_lock(&fs->handles_lock);
	at = fs->stream_hand++ % STACKFS_STREAMS;
	old = fs->streams[at];
	fs->streams[at] = d;
	pthread_mutex_unlock(&fs->handles_lock);
	if (old)
		handle_free(fs, &old->handle);
}

void op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct stackfs *fs = fuse_req_userdata(req);
	struct dirhandle *d = NULL;
	struct ref r;
	int err;

	err = ref_get(fs, ino, &r);
	if (!err) {
		err = dir_new(fs, &r, fi->flags, &d);
		ref_put(fs, &r);
	}
	if (err) {
		reply_err(req, -err);
		return;
	}
	fi->fh = (uintptr_t)d;
	if (fuse_reply_open(req, fi))
		handle_free(fs, &d->handle);
}

void op_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ino;
	if (dir_of(fi))
		handle_free(fuse_req_userdata(req), &dir_of(fi)->handle);
	reply_err(req, 0);
}

/* No handle of ours: a FSYNCDIR with it was a SYNCFS, which libfuse 3.14 does not know. */
#define ALL_HANDLES UINT64_MAX

void syncfs_seen(struct fuse_in_header *in)
{
	const struct fuse_fsync_in all = { .fh = ALL_HANDLES };

	in->opcode = FUSE_FSYNCDIR;
	/* more than was there: the buffer is for the largest of requests */
	memcpy(in + 1, &all, sizeof(all));
}

void op_fsyncdir(fuse_req_t req, fuse_ino_t ino, int datasync,
		 struct fuse_file_info *fi)
{
	struct stackfs *fs = fuse_req_userdata(req);
	struct dirhandle *d = dir_of(fi);
	int err = 0;

	if (fi->fh == ALL_HANDLES) {
		reply_err(req, -nodes_sync(&fs->nodes));
		return;
	}
	if (!d)
		err = stream_get(fs, ino, 0, &d);
	if (err) {
		reply_err(req, -err);
		return;
	}
	reply_err(req, (datasync ? fdatasync(d->fd) : fsync(d->fd)) ? errno : 0);
	if (!dir_of(fi))
		handle_free(fs, &d->handle);
}

static size_t head_size(const struct dirbuf *b)
{
	return b->plus ? FUSE_NAME_OFFSET_DIRENTPLUS : FUSE_NAME_OFFSET;
}

static bool has_room(const struct dirbuf *b, const struct dirent *de)
{
	return FUSE_DIRENT_ALIGN(head_size(b) + strlen(de->d_name)) <=
	       b->size - b->used;
}

static void add_entry(struct dirbuf *b, const struct dirent *de, uint64_t ino)
{
	size_t len = strlen(de->d_name);
	size_t size = FUSE_DIRENT_ALIGN(head_size(b) + len);
	char *at = b->mem + b->used;
	struct fuse_dirent *out = (struct fuse_dirent *)at;

	memset(at, 0, size);
	if (b->plus)
		out = &((struct fuse_direntplus *)at)->dirent;
	out->ino = ino;
	out->off = de->d_off;
	out->namelen = len;
	out->type = de->d_type;
	memcpy(out->name, de->d_name, len);
	b->used += size;
}

/*
 * A name that is gone by now is listed without an entry: nodeid 0.  So is one
 * that the kernel can look up by itself, cheaper than we could, and one that is
 * too long to be looked up (vfat has them, and FUSE).
 */
static void plus_lookup(struct stackfs *fs, const struct ref *dir,
			const char *name, struct fuse_entry_out *entry)
{
	struct node *n = NULL;
	uint64_t known;

	if (!strcmp(name, ".") || !strcmp(name, "..") ||
	    lookup_fetch(fs->cache, dir->node->id, name, &known))
		return;
	if (entry_lookup(fs, dir, name, entry, &n) || !n)
		*entry = (struct fuse_entry_out) { 0 };
	if (n)
		node_put(&fs->nodes, n);
}

static void plus_fill(struct stackfs *fs, const struct ref *dir,
		      const struct dirbuf *b)
{
	char name[EXTFUSE_NAME_MAX + 1];
	struct fuse_direntplus *plus;
	size_t at;

	for (at = 0; at < b->used; at += FUSE_DIRENTPLUS_SIZE(plus)) {
		plus = (struct fuse_direntplus *)(b->mem + at);
		if (plus->dirent.namelen > EXTFUSE_NAME_MAX)
			continue;
		memcpy(name, plus->dirent.name, plus->dirent.namelen);
		name[plus->dirent.namelen] = '\0';
		plus_lookup(fs, dir, name, &plus->entry_out);
	}
}

/*
 * So much of getdents64(2) surely fits into the reply, where the shortest name takes
 * 32 bytes for its 24, and 160 with an entry.
 */
static size_t names_size(const struct dirbuf *b)
{
	size_t room = b->size - b->used;

	return b->plus ? room * 24 / 160 : room * 24 / 32;
}

/* A long name may need more, of which what follows does not fit then. */
static ssize_t names_read(struct dirhandle *d, const struct dirbuf *b, char *names)
{
	ssize_t n = getdents64(d->fd, names, names_size(b));

	if (n < 0 && errno == EINVAL)
		n = b->used ? 0 : getdents64(d->fd, names, b->size);
	return n < 0 ? -errno : n;
}

/* A mount point is listed with what it covers, as readdir(3) does it anywhere. */
static void names_add(const struct stackfs *fs, struct dirhandle *d, struct dirbuf *b,
		      const char *names, size_t size)
{
	const struct dirent *de;
	size_t at;

	for (at = 0; at < size; at += de->d_reclen) {
		de = (const struct dirent *)(names + at);
		if (strlen(de->d_name) > LISTED_NAME_MAX)
			continue;
		if (!has_room(b, de)) {
			d->pos = -1;
			return;
		}
		add_entry(b, de, nodes_ino(&fs->nodes, d->node->dev, de->d_ino));
		d->pos = de->d_off;
	}
}

static int dir_fill(const struct stackfs *fs, struct dirhandle *d,
		    struct dirbuf *b, off_t off)
{
	char *names = malloc(b->size);
	ssize_t n = names ? 0 : -ENOMEM;

	if (names && off != d->pos) {
		if (lseek(d->fd, off, SEEK_SET) < 0)
			n = -errno;
		d->pos = off;
	}
	while (n >= 0) {
		n = names_read(d, b, names);
		if (n <= 0)
			break;
		names_add(fs, d, b, names, n);
		if (d->pos < 0 || b->used > b->size / 4 * 3)
			break;
	}
	free(names);
	return n < 0 && !b->used ? n : 0;
}

/* The reply was not taken, so nothing in it will be forgotten. */
static void plus_take_back(struct stackfs *fs, const struct dirbuf *b)
{
	struct fuse_direntplus *plus;
	size_t at;

	for (at = 0; at < b->used; at += FUSE_DIRENTPLUS_SIZE(plus)) {
		plus = (struct fuse_direntplus *)(b->mem + at);
		if (plus->entry_out.nodeid)
			node_forget(&fs->nodes, plus->entry_out.nodeid, 1);
	}
}

/* The reading may move atime (C2); looking up what was read does not. */
static int dir_read_names(struct stackfs *fs, const struct ref *r,
			  struct dirhandle *d, struct dirbuf *b, off_t off)
{
	uint64_t id = d->node->id;
	struct fuse_attr_out attr;
	struct cache_read watch;
	int err;

	watch = cache_read_begin(fs->cache, id);
	err = dir_fill(fs, d, b, off);
	cache_read_end(fs->cache, id, watch);
	return err || !watch.change ? err : attr_read(fs, r, &attr);
}

static int dir_read(struct stackfs *fs, struct dirhandle *d, struct dirbuf *b,
		    off_t off)
{
	struct ref r;
	int err;

	err = ref_node(fs, node_get(&fs->nodes, d->node->id), &r);
	if (err)
		return err;
	pthread_mutex_lock(&d->lock);
	err = dir_read_names(fs, &r, d, b, off);
	pthread_mutex_unlock(&d->lock);
	if (!err && b->plus)
		plus_fill(fs, &r, b);
	ref_put(fs, &r);
	return err;
}

static int read_stream(struct stackfs *fs, fuse_ino_t ino, struct dirbuf *b,
		       off_t off)
{
	struct dirhandle *d;
	int err;

	err = stream_get(fs, ino, off, &d);
	if (err)
		return err;
	err = dir_read(fs, d, b, off);
	/* an empty reply is the end */
	if (err || !b->used)
		handle_free(fs, &d->handle);
	else
		stream_leave(fs, d);
	return err;
}

static void read_entries(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
			 struct fuse_file_info *fi, bool plus)
{
	struct stackfs *fs = fuse_req_userdata(req);
	struct dirbuf b = { .mem = malloc(size), .size = size, .plus = plus };
	int err = -ENOMEM;

	if (b.mem)
		err = dir_of(fi) ? dir_read(fs, dir_of(fi), &b, off) :
				   read_stream(fs, ino, &b, off);
	if (err)
		reply_err(req, -err);
	else if (fuse_reply_buf(req, b.mem, b.used) && plus)
		plus_take_back(fs, &b);
	free(b.mem);
}

void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		struct fuse_file_info *fi)
{
	read_entries(req, ino, size, off, fi, false);
}

void op_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		    struct fuse_file_info *fi)
{
	read_entries(req, ino, size, off, fi, true);
}
