// SPDX-License-Identifier: GPL-2.0-only
/*
 * What must be equal.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#include "stress.h"

static void print_ret(const char *who, long ret)
{
	if (ret < 0)
		fprintf(stderr, " %s %s", who, strerrorname_np(-ret));
	else
		fprintf(stderr, " %s %ld", who, ret);
}

int check_answer(const struct op *o, const struct result *a,
		 const struct result *b)
{
	size_t i;

	if (a->ret != b->ret && o->kind != OP_seek_data) {
		fprintf(stderr, "# answer:");
		print_ret("mount", a->ret);
		print_ret("reference", b->ret);
		fputc('\n', stderr);
		return 1;
	}
	if (a->len == b->len && !memcmp(a->data, b->data, a->len))
		return a->has_stat && check_attr(kind_name[o->kind], &a->st, &b->st);
	for (i = 0; i < a->len && i < b->len && a->data[i] == b->data[i]; i++)
		;
	fprintf(stderr, "# data of %s: %zu and %zu bytes, differ at %zu\n",
		kind_name[o->kind], a->len, b->len, i);
	return 1;
}

static int differ(const char *what, const char *field, long a, long b,
		  const char *who)
{
	if (a == b)
		return 0;
	fprintf(stderr, "# %s: %s: mount %ld (0%lo) %s %ld (0%lo)\n", what,
		field, a, a, who, b, b);
	return 1;
}

/* Both of this run, whenever, or the same time of long ago or far ahead. */
static int differ_class(const char *what, const char *field,
			struct timespec a, struct timespec b)
{
	const time_t year = 365 * 24 * 3600L, now = time(NULL);
	bool fresh_a = a.tv_sec > now - year && a.tv_sec < now + year;
	bool fresh_b = b.tv_sec > now - year && b.tv_sec < now + year;

	if (fresh_a && fresh_b)
		return 0;
	return differ(what, field, a.tv_sec, b.tv_sec, "reference") ||
	       differ(what, field, a.tv_nsec, b.tv_nsec, "reference (ns)");
}

/*
 * ext4 accounts for a block of its extent tree when it writes a file back, on
 * its own account and unseen by anybody above.
 */
static bool blocks_alike(const struct stat *a, const struct stat *b)
{
	return a->st_blocks == b->st_blocks ||
	       (S_ISREG(a->st_mode) && labs(a->st_blocks - b->st_blocks) <= 8);
}

/* With a writeback cache the kernel is ahead of the lower file. */
static bool ahead(const struct stat *a)
{
	return cfg.writeback && S_ISREG(a->st_mode);
}

#define DIFFER(field, b, who) \
	differ(what, #field, (long)a->st_##field, (long)(b)->st_##field, who)

/* Equal in all three trees, whatever the mode. */
static int differ_common(const char *what, const struct stat *a,
			 const struct stat *b, const char *who)
{
	return DIFFER(mode, b, who) | DIFFER(nlink, b, who) |
	       DIFFER(uid, b, who) | DIFFER(gid, b, who) | DIFFER(rdev, b, who);
}

int check_attr(const char *what, const struct stat *a, const struct stat *b)
{
	const char *who = "reference";
	int bad = differ_common(what, a, b, who);

	bad |= DIFFER(size, b, who);
	/* where the holes of a file are is left to the lower file system */
	if (!S_ISREG(a->st_mode))
		bad |= DIFFER(blocks, b, who);
	/* FUSE does not tell the daemon who uses a FIFO */
	if (S_ISFIFO(a->st_mode))
		return bad;
	/* a writeback cache ignores truncation to the size that is */
	if (!ahead(a))
		bad |= differ_class(what, "mtime", a->st_mtim, b->st_mtim);
	bad |= differ_class(what, "ctime", a->st_ctim, b->st_ctim);
	/* what FUSE has in its page cache it reads without a trace: so links */
	if (cfg.atime && !S_ISLNK(a->st_mode) &&
	    (cfg.passthrough || !S_ISREG(a->st_mode)))
		bad |= differ_class(what, "atime", a->st_atim, b->st_atim);
	return bad;
}

static int differ_time(const char *what, const char *field, struct timespec a,
		       struct timespec t)
{
	if (a.tv_sec == t.tv_sec && a.tv_nsec == t.tv_nsec)
		return 0;
	fprintf(stderr, "# %s: %s: mount %ld.%09ld lower %ld.%09ld\n", what,
		field, a.tv_sec, a.tv_nsec, t.tv_sec, t.tv_nsec);
	return 1;
}

int check_truth(const char *what, const struct stat *a, const struct stat *t)
{
	const char *who = "lower";
	int bad = differ_common(what, a, t, who);

	bad |= DIFFER(ino, t, who);
	bad |= DIFFER(blksize, t, who);
	if (!ahead(a)) {
		bad |= DIFFER(size, t, who);
		if (!blocks_alike(a, t))
			bad |= DIFFER(blocks, t, who);
		bad |= differ_time(what, "mtime", a->st_mtim, t->st_mtim);
		bad |= differ_time(what, "ctime", a->st_ctim, t->st_ctim);
	}
	if (cfg.atime && !ahead(a))
		bad |= differ_time(what, "atime", a->st_atim, t->st_atim);
	return bad;
}

/* What a name in a directory can be asked without a mode to change. */
static int check_xattrs(const char *path, int a, int b)
{
	char la[8192], lb[8192], va[4096], vb[4096], *name;
	ssize_t na, nb, i, ma, mb;

	if (fchdir(a))
		return 1;
	na = llistxattr(path, la, sizeof(la));
	if (fchdir(b))
		return 1;
	nb = llistxattr(path, lb, sizeof(lb));
	if (differ(path, "listxattr", na, nb, "other"))
		return 1;
	if (na > 0 && memcmp(la, lb, na))
		return differ(path, "names of xattrs", 0, 1, "other");
	for (i = 0; i < na; i += strlen(name) + 1) {
		name = la + i;
		if (fchdir(a))
			return 1;
		ma = lgetxattr(path, name, va, sizeof(va));
		if (fchdir(b))
			return 1;
		mb = lgetxattr(path, name, vb, sizeof(vb));
		if (differ(path, name, ma, mb, "other"))
			return 1;
		if (ma > 0 && memcmp(va, vb, ma))
			return differ(path, "value", 0, 1, "other");
	}
	return 0;
}

/* Where the first @n bytes differ. */
static off_t first_difference(const unsigned char *a, const unsigned char *b,
			      ssize_t n)
{
	ssize_t i = 0;

	while (i < n && a[i] == b[i])
		i++;
	return i;
}

static int check_content(const char *path, int a, int b, int flags,
			 const char *other)
{
	static unsigned char ba[65536], bb[65536];
	int fa = openat(a, path, O_RDONLY | O_NOFOLLOW);
	int fb = openat(b, path, O_RDONLY | O_NOFOLLOW | flags);
	ssize_t na, nb;
	off_t off = 0;
	int bad = fa < 0 || fb < 0;

	do {
		na = pread(fa, ba, sizeof(ba), off);
		nb = pread(fb, bb, sizeof(bb), off);
		if (na != nb || (na > 0 && memcmp(ba, bb, na)))
			bad = 1;
		off += bad ? first_difference(ba, bb, na < nb ? na : nb) : na;
	} while (!bad && na > 0);
	if (bad)
		fprintf(stderr, "# %s: content differs from the %s's at %ld (read: %zd, there %zd)\n",
			path, other, (long)off, na, nb);
	close(fa);
	close(fb);
	return bad;
}

static int check_target(const char *path, int a, int b)
{
	char ta[1024] = "", tb[1024] = "";

	if (readlinkat(a, path, ta, sizeof(ta) - 1) < 0 ||
	    readlinkat(b, path, tb, sizeof(tb) - 1) < 0 || strcmp(ta, tb)) {
		fprintf(stderr, "# %s: -> '%s', not '%s'\n", path, ta, tb);
		return 1;
	}
	return 0;
}

static int compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The names of a directory in order, each followed by a slash. */
static char *names(int dir, int flags)
{
	DIR *d = fdopendir(openat(dir, ".", O_RDONLY | O_DIRECTORY | flags));
	char *list[1024], *all;
	size_t len = 1;
	int n = 0, i;
	struct dirent *de;

	while (d && n < 1024 && (de = readdir(d))) {
		len += strlen(de->d_name) + 1;
		list[n++] = strdup(de->d_name);
	}
	closedir(d);
	qsort(list, n, sizeof(list[0]), compare);
	all = calloc(1, len);
	for (i = 0; i < n; i++) {
		strcat(strcat(all, list[i]), "/");
		free(list[i]);
	}
	return all;
}

/* Reading the lower directory must not leave a trace: nobody would know. */
static int check_names(int a, int b, int t)
{
	char *la = names(a, 0), *lb = names(b, 0), *lt = names(t, O_NOATIME);
	int bad = strcmp(la, lb) || strcmp(la, lt);

	if (bad)
		fprintf(stderr, "# names: mount %.300s\n#   reference %.300s\n#   lower %.300s\n",
			la, lb, lt);
	free(la);
	free(lb);
	free(lt);
	return bad;
}

static int check_object(const char *path, int a, int b, int t);

/* All but the attributes of the directories themselves. */
int check_tree(int a, int b, int t)
{
	struct dirent *de;
	int bad = check_names(a, b, t);
	DIR *d = fdopendir(openat(a, ".", O_RDONLY | O_DIRECTORY));

	while (d && !bad && (de = readdir(d)))
		if (strcmp(de->d_name, ".") && strcmp(de->d_name, ".."))
			bad = check_object(de->d_name, a, b, t);
	if (d)
		closedir(d);
	return bad || !d;
}

static int check_subdir(const char *path, int a, int b, int t)
{
	int fa = openat(a, path, O_RDONLY | O_DIRECTORY);
	int fb = openat(b, path, O_RDONLY | O_DIRECTORY);
	int ft = openat(t, path, O_RDONLY | O_DIRECTORY);
	int bad = check_tree(fa, fb, ft);

	close(fa);
	close(fb);
	close(ft);
	return bad;
}

static int check_object(const char *path, int a, int b, int t)
{
	struct stat sa, sb, st;
	int bad;

	if (fstatat(a, path, &sa, AT_SYMLINK_NOFOLLOW) ||
	    fstatat(b, path, &sb, AT_SYMLINK_NOFOLLOW) ||
	    fstatat(t, path, &st, AT_SYMLINK_NOFOLLOW)) {
		perror(path);
		return 1;
	}
	bad = check_attr(path, &sa, &sb) | check_truth(path, &sa, &st);
	bad = bad || check_xattrs(path, a, b) || check_xattrs(path, a, t);
	if (S_ISREG(sa.st_mode))
		bad = bad || check_content(path, a, b, 0, "reference") ||
		      check_content(path, a, t, O_NOATIME, "lower");
	if (S_ISLNK(sa.st_mode))
		bad = bad || check_target(path, a, b);
	if (S_ISDIR(sa.st_mode))
		bad = bad || check_subdir(path, a, b, t);
	if (bad)
		fprintf(stderr, "# in '%s'\n", path);
	return bad;
}
