// SPDX-License-Identifier: GPL-2.0-only
/*
 * lower DIR    a file system at DIR that does what no other here does, for
 *              StackFS to be mounted over: names longer than NAME_MAX, an
 *              attribute that is not listed, and one in the system namespace
 *              that anybody may set
 *
 * It has one file, f; of the others there are but the names.
 */
#define FUSE_USE_VERSION 31

#include <errno.h>
#include <fuse.h>
#include <pthread.h>
#include <string.h>

#define TEXT "lower\n"
#define LONGEST 1024	/* that FUSE takes, since ever */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char value[64];
static size_t value_len;

static int do_getattr(const char *path, struct stat *st,
		      struct fuse_file_info *fi)
{
	(void)fi;
	*st = (struct stat) { .st_mode = S_IFDIR | 0755, .st_nlink = 2 };
	if (strcmp(path, "/"))
		*st = (struct stat) {
			.st_mode = S_IFREG | 0644,
			.st_nlink = 1,
			.st_size = strlen(TEXT),
		};
	return 0;
}

static int do_readdir(const char *path, void *buf, fuse_fill_dir_t fill,
		      off_t off, struct fuse_file_info *fi,
		      enum fuse_readdir_flags flags)
{
	static const size_t lens[] = { 1, 255, 256, 300, LONGEST };
	char name[LONGEST + 1];
	size_t i;

	(void)path;
	(void)off;
	(void)fi;
	(void)flags;
	for (i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
		memset(name, 'f', lens[i]);
		name[lens[i]] = '\0';
		fill(buf, name, NULL, 0, 0);
	}
	return 0;
}

static int do_read(const char *path, char *buf, size_t size, off_t off,
		   struct fuse_file_info *fi)
{
	size_t len = strlen(TEXT);

	(void)path;
	(void)fi;
	if ((size_t)off >= len)
		return 0;
	if (size > len - off)
		size = len - off;
	memcpy(buf, TEXT + off, size);
	return size;
}

static int do_setxattr(const char *path, const char *name, const char *data,
		       size_t size, int flags)
{
	(void)path;
	(void)flags;
	if (strcmp(name, "system.test"))
		return -EOPNOTSUPP;
	if (size > sizeof(value))
		return -ENOSPC;
	pthread_mutex_lock(&lock);
	memcpy(value, data, size);
	value_len = size;
	pthread_mutex_unlock(&lock);
	return 0;
}

static int do_removexattr(const char *path, const char *name)
{
	return do_setxattr(path, name, "", 0, 0);
}

static int give(char *buf, size_t size, const char *data, size_t len)
{
	if (!size)
		return len;
	if (size < len)
		return -ERANGE;
	memcpy(buf, data, len);
	return len;
}

static int do_getxattr(const char *path, const char *name, char *buf,
		       size_t size)
{
	int ret = -ENODATA;

	(void)path;
	pthread_mutex_lock(&lock);
	if (!strcmp(name, "user.unlisted"))
		ret = give(buf, size, "there", strlen("there"));
	else if (!strcmp(name, "system.test") && value_len)
		ret = give(buf, size, value, value_len);
	pthread_mutex_unlock(&lock);
	return ret;
}

static int do_listxattr(const char *path, char *buf, size_t size)
{
	int ret;

	(void)path;
	pthread_mutex_lock(&lock);
	ret = give(buf, size, "system.test",
		   value_len ? sizeof("system.test") : 0);
	pthread_mutex_unlock(&lock);
	return ret;
}

static const struct fuse_operations ops = {
	.getattr = do_getattr,
	.readdir = do_readdir,
	.read = do_read,
	.setxattr = do_setxattr,
	.getxattr = do_getxattr,
	.listxattr = do_listxattr,
	.removexattr = do_removexattr,
};

int main(int argc, char **argv)
{
	return fuse_main(argc, argv, &ops, NULL);
}
