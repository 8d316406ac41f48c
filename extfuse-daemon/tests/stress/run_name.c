// SPDX-License-Identifier: GPL-2.0-only
/*
 * Operations: open and close, names.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "stress.h"

/* No setgid: with a default ACL it may stay without execution, see run_setacl() */
static mode_t mode_of(uint32_t r)
{
	static const mode_t modes[] = {
		0644, 0666, 0600, 0755, 0777, 0444, 0, 04755,
	};

	return modes[r % (sizeof(modes) / sizeof(modes[0]))];
}

static void open_slot(const struct op *o, struct side *s, struct result *res,
		      const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC | O_NONBLOCK, mode_of(o->r[3]));

	ret_set(res, fd);
	if (fd < 0)
		return;
	slot_free(s, o->slot);
	s->fd[o->slot] = fd;
	res->ret = 0;
}

static int access_of(uint32_t r)
{
	return (int[]){ O_RDWR, O_RDONLY, O_WRONLY, O_RDWR }[r % 4];
}

static int extra_of(uint32_t r)
{
	static const int extra[] = {
		0, 0, 0, 0, 0, 0, 0, O_NOFOLLOW, O_NOATIME, O_SYNC, O_DSYNC,
		O_DIRECTORY,
	};

	return extra[r % (sizeof(extra) / sizeof(extra[0]))];
}

void run_create(const struct op *o, struct side *s, struct result *res)
{
	int flags = O_CREAT | access_of(o->r[0]) | extra_of(o->r[1]);

	/* O_CREAT with O_DIRECTORY: kernels do not agree */
	flags &= ~O_DIRECTORY;
	if (o->r[2] % 4 == 0)
		flags |= O_EXCL;
	if (o->r[2] % 5 == 0)
		flags |= O_TRUNC;
	open_slot(o, s, res, o->path, flags);
}

void run_open(const struct op *o, struct side *s, struct result *res)
{
	open_slot(o, s, res, o->path, access_of(o->r[0]) | extra_of(o->r[1]));
}

void run_open_trunc(const struct op *o, struct side *s, struct result *res)
{
	int flags = O_TRUNC | access_of(o->r[0]);

	open_slot(o, s, res, o->path, flags | (o->r[1] % 2 ? O_CREAT : 0));
}

void run_open_append(const struct op *o, struct side *s, struct result *res)
{
	int flags = O_APPEND | (o->r[0] % 2 ? O_RDWR : O_WRONLY);

	open_slot(o, s, res, o->path, flags | (o->r[1] % 2 ? O_CREAT : 0));
}

void run_open_direct(const struct op *o, struct side *s, struct result *res)
{
	open_slot(o, s, res, o->path, O_DIRECT | access_of(o->r[0]));
}

void run_open_path(const struct op *o, struct side *s, struct result *res)
{
	open_slot(o, s, res, o->path, O_PATH | (o->r[0] % 2 ? O_NOFOLLOW : 0));
}

void run_open_dir(const struct op *o, struct side *s, struct result *res)
{
	open_slot(o, s, res, o->path, O_RDONLY | O_DIRECTORY);
}

void run_tmpfile(const struct op *o, struct side *s, struct result *res)
{
	int flags = O_TMPFILE | (o->r[0] % 4 ? O_RDWR : O_WRONLY);

	open_slot(o, s, res, o->r[2] % 4 ? "." : o->path,
		  flags | (o->r[1] % 4 ? 0 : O_EXCL));
}

void run_close(const struct op *o, struct side *s, struct result *res)
{
	if (s->fd[o->slot] < 0) {
		res->ret = -EBADF;
		return;
	}
	ret_set(res, close(s->fd[o->slot]));
	s->fd[o->slot] = -1;
	slot_free(s, o->slot);
}

void run_dup(const struct op *o, struct side *s, struct result *res)
{
	int fd = dup(s->fd[o->slot]);

	ret_set(res, fd < 0 ? -1 : 0);
	if (fd < 0)
		return;
	if (o->slot == o->slot2)
		close(fd);
	else {
		slot_free(s, o->slot2);
		s->fd[o->slot2] = fd;
	}
}

void run_mkdir(const struct op *o, struct side *s, struct result *res)
{
	(void)s;
	ret_set(res, mkdir(o->path, (mode_t[]){ 0755, 0777, 0700, 02775, 01777,
						0777 }[o->r[0] % 6]));
}

void run_rmdir(const struct op *o, struct side *s, struct result *res)
{
	(void)s;
	ret_set(res, rmdir(o->path));
}

void run_mknod(const struct op *o, struct side *s, struct result *res)
{
	mode_t type = (mode_t[]){ S_IFIFO, S_IFSOCK, S_IFCHR, S_IFREG }
		      [o->r[0] % 4];

	(void)s;
	ret_set(res, mknod(o->path, type | mode_of(o->r[1]), makedev(0, 0)));
}

void run_symlink(const struct op *o, struct side *s, struct result *res)
{
	const char *target = o->path2;

	/* a link must not lead out of the tree */
	if (strstr(target, ".."))
		target = "dangling";
	(void)s;
	ret_set(res, symlink(target, o->path));
}

void run_link(const struct op *o, struct side *s, struct result *res)
{
	(void)s;
	ret_set(res, linkat(AT_FDCWD, o->path, AT_FDCWD, o->path2,
			    o->r[0] % 4 ? 0 : AT_SYMLINK_FOLLOW));
}

void run_link_fd(const struct op *o, struct side *s, struct result *res)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", s->fd[o->slot]);
	ret_set(res, linkat(AT_FDCWD, path, AT_FDCWD, o->path,
			    AT_SYMLINK_FOLLOW));
}

void run_unlink(const struct op *o, struct side *s, struct result *res)
{
	(void)s;
	ret_set(res, unlink(o->path));
}

void run_rename(const struct op *o, struct side *s, struct result *res)
{
	(void)s;
	ret_set(res, rename(o->path, o->path2));
}

void run_rename_flags(const struct op *o, struct side *s, struct result *res)
{
	/*
	 * A whiteout only where the rename succeeds: one that fails moves the
	 * times of ext4's directory, for which no FUSE is prepared.
	 */
	static const unsigned int flags[] = {
		RENAME_NOREPLACE, RENAME_EXCHANGE, RENAME_EXCHANGE,
		RENAME_EXCHANGE | RENAME_WHITEOUT,
		RENAME_NOREPLACE | RENAME_WHITEOUT,
		RENAME_NOREPLACE | RENAME_EXCHANGE, 64,
	};

	(void)s;
	ret_set(res, renameat2(AT_FDCWD, o->path, AT_FDCWD, o->path2,
			       flags[o->r[0] % 7]));
}

void run_readlink(const struct op *o, struct side *s, struct result *res)
{
	ssize_t n = readlink(o->path, (char *)res->data,
			     o->r[0] % 8 ? 1024 : 3);

	(void)s;
	ret_set(res, n);
	res->len = n < 0 ? 0 : n;
}

static int compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The names in order, each with its type before it. */
static void list_dir(DIR *d, struct result *res)
{
	char *name[1024];
	struct dirent *de;
	int n = 0, i;

	errno = 0;
	while (n < 1024 && (de = readdir(d))) {
		name[n] = malloc(strlen(de->d_name) + 2);
		sprintf(name[n], "%s%c", de->d_name, '0' + de->d_type);
		n++;
	}
	res->ret = errno ? -errno : n;
	qsort(name, n, sizeof(name[0]), compare);
	for (i = 0; i < n; i++) {
		if (res->len + strlen(name[i]) + 1 < MAX_DATA)
			res->len += sprintf((char *)res->data + res->len,
					    "%s/", name[i]);
		free(name[i]);
	}
}

void run_readdir(const struct op *o, struct side *s, struct result *res)
{
	DIR *d = opendir(o->r[0] % 4 ? o->path : ".");

	(void)s;
	if (!d) {
		res->ret = -errno;
		return;
	}
	list_dir(d, res);
	closedir(d);
}

void run_readdir_fd(const struct op *o, struct side *s, struct result *res)
{
	int fd = dup(s->fd[o->slot]);
	DIR *d;

	if (fd < 0) {
		res->ret = -errno;
		return;
	}
	d = fdopendir(fd);
	if (!d) {
		res->ret = -errno;
		close(fd);
		return;
	}
	rewinddir(d);
	list_dir(d, res);
	closedir(d);
}

/*
 * The kernel lets go of all dentries and inodes of a file system that is
 * remounted, if nobody uses them: what follows is asked anew.
 */
void run_drop(const struct op *o, struct side *s, struct result *res)
{
	(void)o;
	if (s->mountpoint && cfg.drop && !geteuid() &&
	    mount("none", s->mountpoint, NULL, MS_REMOUNT, NULL))
		res->ret = -errno;
}
