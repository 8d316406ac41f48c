// SPDX-License-Identifier: GPL-2.0-only
/*
 * tree make DIR N    a tree of N objects: files with and without extended
 *                    attributes, symbolic and hard links, long names
 * tree walk DIR      print all that can be asked about each object, in an order
 *                    that does not depend on the file system; no access times
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#define PER_DIR 100

static void make_file(const char *path, int i)
{
	int fd = open(path, O_CREAT | O_EXCL | O_WRONLY, 0600 + i % 64);
	char value[64];

	if (fd < 0)
		err(1, "%s", path);
	if (dprintf(fd, "%d", i) < 0)
		err(1, "%s", path);
	snprintf(value, sizeof(value), "value of %d", i);
	if (i % 3 == 0 && fsetxattr(fd, "user.tag", value, strlen(value), 0))
		err(1, "%s: user.tag", path);
	close(fd);
}

static void make_object(const char *dir, int i)
{
	char path[PATH_MAX], other[PATH_MAX];
	int r = 0;

	snprintf(path, sizeof(path), "%s/d%d/f%d", dir, i / PER_DIR, i);
	snprintf(other, sizeof(other), "%s/d%d/f%d", dir, i / PER_DIR,
		 i / PER_DIR * PER_DIR);
	if (i % PER_DIR == 0) {
		snprintf(path, sizeof(path), "%s/d%d", dir, i / PER_DIR);
		if (mkdir(path, 0755))
			err(1, "%s", path);
		make_file(other, i);
		return;
	}
	if (i % 20 == 1)
		r = symlink(i % 40 == 1 ? "f0" : "/nowhere/to/be/found", path);
	else if (i % 50 == 2)
		r = link(other, path);
	else
		make_file(path, i);
	if (r)
		err(1, "%s", path);
	if (i % PER_DIR == 3) {
		/* the longest name there may be */
		snprintf(path, sizeof(path), "%s/d%d/%0255d", dir, i / PER_DIR, i);
		make_file(path, i);
	}
}

static void print_xattr(const char *path, const char *name)
{
	char value[256];
	ssize_t n = lgetxattr(path, name, value, sizeof(value));

	if (n < 0)
		printf(" %s=%s", name, strerrorname_np(errno));
	else
		printf(" %s=%.*s", name, (int)n, value);
}

static const char *walked;

static int show(const char *path, const struct stat *st, int flag, struct FTW *f)
{
	char link[PATH_MAX], missing[PATH_MAX];
	struct stat again;
	ssize_t n;

	(void)flag;
	(void)f;
	if (lstat(path, &again))
		err(1, "%s", path);
	printf("%s %lu %o %lu %u %u %ld %ld %u:%u %ld.%09ld %ld.%09ld",
	       path + strlen(walked), st->st_ino, st->st_mode, st->st_nlink,
	       st->st_uid, st->st_gid, st->st_size, st->st_blocks,
	       major(st->st_rdev), minor(st->st_rdev), st->st_mtim.tv_sec,
	       st->st_mtim.tv_nsec, st->st_ctim.tv_sec, st->st_ctim.tv_nsec);
	if (again.st_mtim.tv_nsec != st->st_mtim.tv_nsec)
		printf(" CHANGED");
	if (S_ISLNK(st->st_mode)) {
		n = readlink(path, link, sizeof(link));
		printf(" -> %.*s", n < 0 ? 0 : (int)n, link);
	}
	print_xattr(path, "user.tag");
	print_xattr(path, "security.capability");
	print_xattr(path, "system.posix_acl_access");
	if (S_ISDIR(st->st_mode)) {
		snprintf(missing, sizeof(missing), "%s/missing", path);
		printf(" missing=%d", lstat(missing, &again) ? errno : 0);
	}
	putchar('\n');
	return 0;
}

int main(int argc, char **argv)
{
	int i;

	if (argc == 4 && strcmp(argv[1], "make") == 0) {
		umask(0);
		for (i = 0; i < atoi(argv[3]); i++)
			make_object(argv[2], i);
		return 0;
	}
	if (argc == 3 && strcmp(argv[1], "walk") == 0) {
		walked = argv[2];
		if (nftw(argv[2], show, 64, FTW_PHYS))
			err(1, "%s", argv[2]);
		return ferror(stdout) || fclose(stdout);
	}
	errx(1, "usage: tree make DIR N | tree walk DIR");
}
