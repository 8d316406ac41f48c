// SPDX-License-Identifier: GPL-2.0-only
/*
 * Operations: the data of open files, locks.
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/uio.h>
#include <unistd.h>

#include "stress.h"

/* Aligned, as O_DIRECT wants it. */
static unsigned char *buffer(void)
{
	static unsigned char *buf;

	if (!buf && posix_memalign((void **)&buf, PAGE, MAX_DATA))
		err(2, "memory");
	return buf;
}

/* Goes only with whole blocks, but StackFS takes others, too. */
static bool direct(const struct side *s, int slot)
{
	int flags = fcntl(s->fd[slot], F_GETFL);

	return flags >= 0 && (flags & O_DIRECT);
}

struct io {
	int fd;
	off_t off;
	size_t len;
};

static struct io io_of(const struct op *o, const struct side *s)
{
	struct io io = { s->fd[o->slot], o->off, o->len };

	if (direct(s, o->slot)) {
		io.off &= ~(PAGE - 1);
		io.len &= ~(PAGE - 1);
		lseek(io.fd, io.off, SEEK_SET);
	}
	return io;
}

static void answer(struct result *res, ssize_t n, const void *data)
{
	ret_set(res, n);
	if (n > 0) {
		memcpy(res->data, data, n);
		res->len = n;
	}
}

void run_read(const struct op *o, struct side *s, struct result *res)
{
	struct io io = io_of(o, s);

	answer(res, read(io.fd, buffer(), io.len), buffer());
}

void run_pread(const struct op *o, struct side *s, struct result *res)
{
	struct io io = io_of(o, s);

	answer(res, pread(io.fd, buffer(), io.len, io.off), buffer());
}

void run_write(const struct op *o, struct side *s, struct result *res)
{
	struct io io = io_of(o, s);

	fill(buffer(), io.len, o->index);
	ret_set(res, write(io.fd, buffer(), io.len));
}

void run_pwrite(const struct op *o, struct side *s, struct result *res)
{
	struct io io = io_of(o, s);

	fill(buffer(), io.len, o->index);
	ret_set(res, pwrite(io.fd, buffer(), io.len, io.off));
}

void run_writev(const struct op *o, struct side *s, struct result *res)
{
	unsigned char *buf = buffer();
	struct iovec iov[2] = {
		{ buf, o->len / 3 }, { buf + o->len / 2, o->len - o->len / 2 },
	};

	if (direct(s, o->slot))
		return;
	fill(buf, o->len, o->index);
	ret_set(res, pwritev(s->fd[o->slot], iov, 2, o->off));
}

void run_sendfile(const struct op *o, struct side *s, struct result *res)
{
	off_t off = o->off;

	struct stat st;

	/* of nothing, or of what is no file, it only moves the access time */
	if (direct(s, o->slot) || direct(s, o->slot2) ||
	    fstat(s->fd[o->slot], &st) || !S_ISREG(st.st_mode))
		return;
	ret_set(res, sendfile(s->fd[o->slot2], s->fd[o->slot], &off,
			      o->len % 16384 + 1));
}

void run_splice(const struct op *o, struct side *s, struct result *res)
{
	off_t off = o->off;
	ssize_t n;
	int p[2];

	if (direct(s, o->slot) || direct(s, o->slot2))
		return;
	if (pipe2(p, O_NONBLOCK))
		err(2, "pipe");
	n = splice(s->fd[o->slot], &off, p[1], NULL, o->len % 16384 + 1,
		   SPLICE_F_NONBLOCK);
	ret_set(res, n);
	off = o->r[0] % MAX_SIZE;
	if (n > 0 && o->r[1] % 2)
		ret_set(res, splice(p[0], NULL, s->fd[o->slot2], &off, n,
				    SPLICE_F_NONBLOCK));
	else if (n > 0)
		answer(res, read(p[0], buffer(), n), buffer());
	close(p[0]);
	close(p[1]);
}

void run_lseek(const struct op *o, struct side *s, struct result *res)
{
	off_t off = o->off;
	int whence = o->r[0] % 3;

	if (whence == SEEK_END)
		off = -(off % 3000);
	ret_set(res, lseek(s->fd[o->slot], off, whence));
}

void run_seek_data(const struct op *o, struct side *s, struct result *res)
{
	/* what was not written back is no hole, but the daemon cannot know */
	if (cfg.writeback)
		return;
	ret_set(res, lseek(s->fd[o->slot], o->off,
			   o->r[0] % 2 ? SEEK_DATA : SEEK_HOLE));
	/* holes need not be the same ones; what follows must be */
	lseek(s->fd[o->slot], o->off, SEEK_SET);
}

/*
 * Copies by the kernel: what lies behind the end of a mapped file is EFAULT
 * then, not SIGBUS.
 */
static long copy_in(void *to, const void *from, size_t len)
{
	int fd = memfd_create("copy", 0);
	ssize_t n;

	if (fd < 0 || pwrite(fd, from, len, 0) != (ssize_t)len)
		err(2, "memfd");
	n = pread(fd, to, len, 0);
	if (n < 0)
		n = -errno;
	close(fd);
	return n;
}

static long copy_out(const void *from, size_t len)
{
	int fd = memfd_create("copy", 0);
	ssize_t n = pwrite(fd, from, len, 0);

	if (n < 0)
		n = -errno;
	else if (pread(fd, buffer(), n, 0) != n)
		err(2, "memfd");
	close(fd);
	return n;
}

static void *map_slot(const struct op *o, struct side *s, struct result *res,
		      int prot, size_t *size)
{
	struct stat st;
	void *p;

	if (fstat(s->fd[o->slot], &st)) {
		res->ret = -errno;
		return NULL;
	}
	*size = (st.st_size + PAGE - 1) & ~(PAGE - 1);
	p = mmap(NULL, *size, prot, MAP_SHARED, s->fd[o->slot], 0);
	if (p != MAP_FAILED)
		return p;
	res->ret = -errno;
	return NULL;
}

/*
 * How much of @size mapped bytes from @off on is to be used.  What is behind the
 * end of the file, in its last page, is no content: how long a store there stays
 * is up to the page cache, of FUSE and of ext4.
 */
static size_t mapped_len(const struct op *o, const struct side *s, size_t size,
			 size_t off)
{
	size_t end, len = o->len < size - off ? o->len : size - off;
	struct stat st;

	if (fstat(s->fd[o->slot], &st))
		return len;
	end = st.st_size;
	if (off + len <= end || off >= ((end + PAGE - 1) & ~(PAGE - 1)))
		return len;
	return off < end ? end - off : 0;
}

static void store(const struct op *o, const struct side *s, unsigned char *p,
		  size_t size, struct result *res)
{
	size_t off = o->off % size;
	size_t len = mapped_len(o, s, size, off);

	fill(buffer(), len, o->index);
	res->ret = copy_in(p + off, buffer(), len);
}

void run_mmap_write(const struct op *o, struct side *s, struct result *res)
{
	unsigned char *p;
	size_t size;

	p = map_slot(o, s, res, PROT_READ | PROT_WRITE, &size);
	if (!p)
		return;
	store(o, s, p, size, res);
	if (!cfg.passthrough || o->r[0] % 2)
		msync(p, size, MS_SYNC);
	munmap(p, size);
}

void run_mmap_read(const struct op *o, struct side *s, struct result *res)
{
	unsigned char *p;
	size_t size, off, len;
	long n;

	p = map_slot(o, s, res, PROT_READ, &size);
	if (!p)
		return;
	off = o->off % size;
	len = mapped_len(o, s, size, off);
	n = copy_out(p + off, len);
	munmap(p, size);
	if (n >= 0)
		answer(res, n, buffer());
	res->ret = n;
}

/*
 * A mapping that stays: without passthrough FUSE writes such stores back when
 * it likes, and times differ until then.
 */
void run_map(const struct op *o, struct side *s, struct result *res)
{
	size_t size;
	void *p;

	if (!cfg.passthrough || s->map[o->slot])
		return;
	p = map_slot(o, s, res, PROT_READ | PROT_WRITE, &size);
	s->map[o->slot] = p;
	s->map_len[o->slot] = size;
}

void run_store(const struct op *o, struct side *s, struct result *res)
{
	unsigned char *p = s->map[o->slot];
	size_t size = s->map_len[o->slot];

	if (!p)
		return;
	store(o, s, p, size, res);
	if (o->r[0] % 4 == 0)
		msync(p, size, MS_SYNC);
}

void run_unmap(const struct op *o, struct side *s, struct result *res)
{
	if (!s->map[o->slot])
		return;
	ret_set(res, munmap(s->map[o->slot], s->map_len[o->slot]));
	s->map[o->slot] = NULL;
}

void run_ftruncate(const struct op *o, struct side *s, struct result *res)
{
	ret_set(res, ftruncate(s->fd[o->slot], o->off));
}

void run_fallocate(const struct op *o, struct side *s, struct result *res)
{
	static const int modes[] = {
		0, FALLOC_FL_KEEP_SIZE,
		FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		FALLOC_FL_ZERO_RANGE,
		FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE,
	};

	ret_set(res, fallocate(s->fd[o->slot], modes[o->r[0] % 5], o->off,
			       o->len));
}

void run_copy_range(const struct op *o, struct side *s, struct result *res)
{
	off_t in = o->off, out = o->r[0] % MAX_SIZE;
	struct statx stx;

	if (direct(s, o->slot) || direct(s, o->slot2))
		return;
	ret_set(res, copy_file_range(s->fd[o->slot], &in, s->fd[o->slot2],
				     &out, o->len, 0));
	/* FUSE without our patches does not see the source's access time move */
	if (access("/sys/fs/fuse/extfuse_abi", F_OK))
		statx(s->fd[o->slot], "", AT_EMPTY_PATH | AT_STATX_FORCE_SYNC,
		      STATX_BASIC_STATS, &stx);
}

void run_fsync(const struct op *o, struct side *s, struct result *res)
{
	int fd = s->fd[o->slot];

	ret_set(res, o->r[0] % 2 ? fsync(fd) : fdatasync(fd));
}

/* Of the tree, not of one slot; the whole machine would pay for more. */
void run_syncfs(const struct op *o, struct side *s, struct result *res)
{
	(void)o;
	ret_set(res, fsync(s->root));
}

void run_flock(const struct op *o, struct side *s, struct result *res)
{
	ret_set(res, flock(s->fd[o->slot],
			   LOCK_NB | (int[]){ LOCK_SH, LOCK_EX, LOCK_UN }
				     [o->r[0] % 3]));
}

static struct flock lock_of(const struct op *o)
{
	return (struct flock){
		.l_type = (short[]){ F_RDLCK, F_WRLCK, F_UNLCK }[o->r[0] % 3],
		.l_start = o->r[1] % 8 * 10,
		.l_len = o->r[2] % 4 * 10,
	};
}

void run_lock(const struct op *o, struct side *s, struct result *res)
{
	struct flock fl = lock_of(o);

	ret_set(res, fcntl(s->fd[o->slot], F_SETLK, &fl));
}

void run_ofdlock(const struct op *o, struct side *s, struct result *res)
{
	struct flock fl = lock_of(o);

	ret_set(res, fcntl(s->fd[o->slot], F_OFD_SETLK, &fl));
}

void run_getlk(const struct op *o, struct side *s, struct result *res)
{
	struct flock fl = lock_of(o);

	if (fl.l_type == F_UNLCK)
		fl.l_type = F_WRLCK;
	ret_set(res, fcntl(s->fd[o->slot], F_OFD_GETLK, &fl));
	res->len = sprintf((char *)res->data, "%d %ld %ld", fl.l_type,
			   (long)fl.l_start, (long)fl.l_len);
}
