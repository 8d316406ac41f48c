// SPDX-License-Identifier: GPL-2.0-only
#include "ops.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

/* A path through a descriptor works on a detached mount, too. */
#define PREFIX "/proc/self/fd/%d/"

struct ops {
	uint64_t rng;
	int dir;
	char path[256];
	char other[256];
	char buf[65536];
};

static uint32_t below(struct ops *o, uint32_t n)
{
	return random_below(&o->rng, n);
}

/* Names that are there, names that are not, long ones, and nonsense */
static void some_path(struct ops *o, char *path)
{
	switch (below(o, 12)) {
	case 0:
		sprintf(path, PREFIX "d%u", o->dir, below(o, 2));
		break;
	case 1:
		sprintf(path, PREFIX "d%u/l%u", o->dir, below(o, 2), below(o, 4));
		break;
	case 2:
		sprintf(path, PREFIX "d%u/new%u", o->dir, below(o, 2),
			below(o, 8));
		break;
	case 3:
		sprintf(path, PREFIX "d%u/%0*d", o->dir, below(o, 2),
			1 + below(o, 100), 0);
		break;
	case 4:
		sprintf(path, PREFIX, o->dir);
		break;
	default:
		sprintf(path, PREFIX "d%u/f%u", o->dir, below(o, 2),
			below(o, 16));
	}
}

static void op_names(struct ops *o)
{
	switch (below(o, 12)) {
	case 0:
		mkdir(o->path, 0755);
		break;
	case 1:
		rmdir(o->path);
		break;
	case 2:
		unlink(o->path);
		break;
	case 3:
		rename(o->path, o->other);
		break;
	case 4:
		renameat2(AT_FDCWD, o->path, AT_FDCWD, o->other, 1 << below(o, 3));
		break;
	case 5:
		link(o->path, o->other);
		break;
	case 6:
		symlink("f0", o->path);
		break;
	case 7:
		mknod(o->path, S_IFREG | 0644, 0);
		break;
	case 8:
		close(open(o->path, O_CREAT | O_RDWR | O_EXCL, 0644));
		break;
	case 9:
		close(open(o->path, O_TMPFILE | O_RDWR, 0600));
		break;
	default:
		access(o->path, below(o, 8));
	}
}

static void op_attributes(struct ops *o)
{
	struct statvfs vfs;
	struct statx sx;
	struct stat st;

	switch (below(o, 9)) {
	case 0:
		chmod(o->path, below(o, 07777));
		break;
	case 1:
		lchown(o->path, below(o, 3), below(o, 3));
		break;
	case 2:
		truncate(o->path, below(o, 1 << 17));
		break;
	case 3:
		utimensat(AT_FDCWD, o->path, NULL, AT_SYMLINK_NOFOLLOW);
		break;
	case 4:
		statvfs(o->path, &vfs);
		break;
	case 5:
		/* the one asks for what is not known, the other past programs */
		statx(AT_FDCWD, o->path, 0, STATX_ALL, &sx);
		statx(AT_FDCWD, o->path, AT_STATX_FORCE_SYNC, STATX_ALL, &sx);
		break;
	case 6:
		readlink(o->path, o->buf, 4096);
		break;
	default:
		lstat(o->path, &st);
	}
}

static void op_xattrs(struct ops *o)
{
	static const char *const names[] = {
		"user.a", "user.bc", "trusted.x", "security.capability",
		"system.posix_acl_access",
	};
	const char *name = names[below(o, 5)];
	size_t size = below(o, 3) ? 1 << below(o, 14) : 0;

	switch (below(o, 5)) {
	case 0:
		setxattr(o->path, name, o->buf, size, below(o, 3));
		break;
	case 1:
		removexattr(o->path, name);
		break;
	case 2:
		listxattr(o->path, o->buf, size);
		break;
	default:
		getxattr(o->path, name, o->buf, size);
	}
}

static void op_directory(struct ops *o)
{
	DIR *dir = opendir(o->path);

	if (!dir)
		return;
	while (readdir(dir))
		;
	fsync(dirfd(dir));
	closedir(dir);
}

static void op_mmap(struct ops *o, int fd)
{
	int prot = PROT_READ | (below(o, 2) ? PROT_WRITE : 0);
	int flags = below(o, 3) ? MAP_SHARED : MAP_PRIVATE;
	char *mem = mmap(NULL, 8192, prot, flags, fd, 0);

	if (mem == MAP_FAILED)
		return;
	/* no store: the file may be shorter by now, which would be SIGBUS */
	msync(mem, 8192, MS_SYNC);
	munmap(mem, 8192);
}

static void op_lock(struct ops *o, int fd)
{
	struct flock lock = {
		.l_type = below(o, 3),
		.l_start = below(o, 100),
		.l_len = 1,
	};

	fcntl(fd, below(o, 2) ? F_GETLK : F_SETLK, &lock);
	if (below(o, 4) == 0)
		fcntl(fd, F_SETLKW, &lock);
	flock(fd, (below(o, 2) ? LOCK_SH : LOCK_UN) | LOCK_NB);
}

static void op_splice(struct ops *o, int fd)
{
	static int lockdep = -1;
	loff_t off = below(o, 65536);
	int pipes[2];

	/*
	 * lockdep takes the inode that is passed through, which is locked before
	 * the pipe, for the one that is not, which is locked after it
	 */
	if (lockdep < 0)
		lockdep = access("/proc/lockdep", F_OK) == 0;

	if (pipe2(pipes, O_NONBLOCK) < 0)
		return;
	if (splice(fd, &off, pipes[1], NULL, 4096, SPLICE_F_NONBLOCK) > 0 &&
	    !lockdep)
		splice(pipes[0], NULL, fd, &off, 4096, SPLICE_F_NONBLOCK);
	close(pipes[0]);
	close(pipes[1]);
}

static void op_odd(struct ops *o, int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN | POLLOUT };
	loff_t off = 0;
	int other;

	switch (below(o, 6)) {
	case 0:
		fallocate(fd, below(o, 4), below(o, 8192), 1 + below(o, 8192));
		break;
	case 1:
		lseek(fd, below(o, 8192), below(o, 2) ? SEEK_DATA : SEEK_HOLE);
		break;
	case 2:
		poll(&p, 1, 0);
		break;
	case 3:
		ioctl(fd, FIOQSIZE, o->buf);
		ioctl(fd, _IOWR('x', below(o, 8), int), o->buf);
		break;
	case 4:
		other = open(o->other, O_RDWR);
		copy_file_range(fd, &off, other, NULL, 4096, 0);
		close(other);
		break;
	default:
		syncfs(fd);
	}
}

static void op_file(struct ops *o)
{
	static const int flags[] = { O_RDWR, O_RDWR, O_RDONLY, O_WRONLY,
				     O_RDWR | O_TRUNC, O_RDWR | O_APPEND,
				     O_RDWR | O_DIRECT };
	int fd = open(o->path, flags[below(o, 7)] | O_NONBLOCK);
	int i, copy, n = 1 + below(o, 4);

	if (fd < 0)
		return;
	for (i = 0; i < n; i++) {
		size_t size = 1 + below(o, 16384);
		off_t off = below(o, 65536);

		switch (below(o, 10)) {
		case 0:
			op_mmap(o, fd);
			break;
		case 1:
			op_lock(o, fd);
			break;
		case 2:
			op_splice(o, fd);
			break;
		case 3:
			op_odd(o, fd);
			break;
		case 4:
			below(o, 2) ? fsync(fd) : fdatasync(fd);
			break;
		case 5:
		case 6:
		case 7:
			pread(fd, o->buf, size, off);
			break;
		default:
			pwrite(fd, o->buf, size, off);
		}
	}
	/* each close of a descriptor is a FLUSH */
	copy = dup(fd);
	close(copy);
	close(fd);
}

uint64_t ops_run(int dir, uint64_t seed, const volatile int *end)
{
	static struct ops o;
	uint64_t n;

	o.dir = dir;
	o.rng = random_start(seed, 77);
	for (n = 0; !*end; n++) {
		some_path(&o, o.path);
		some_path(&o, o.other);
		switch (below(&o, 8)) {
		case 0:
			op_names(&o);
			break;
		case 1:
		case 2:
			op_attributes(&o);
			break;
		case 3:
			op_xattrs(&o);
			break;
		case 4:
			op_directory(&o);
			break;
		default:
			op_file(&o);
		}
	}
	return n;
}
