// SPDX-License-Identifier: GPL-2.0-only
/*
 * oddfs DIR    a file system at DIR that does what no other here does, for
 *              StackFS to be mounted over: names longer than NAME_MAX, an
 *              attribute that is not listed, one in the system namespace that
 *              anybody may set, short reads, and no way to make or truncate files
 *
 * It has one file, f, of which there are more names, and one that is not
 * listed, short: not cached, and no read returns more than 1000 bytes.
 */
#define FUSE_USE_VERSION 31

#include <errno.h>
#include <fuse.h>
#include <pthread.h>
#include <string.h>

#define TEXT "lower\n"
#define LONGEST 1024	/* that FUSE takes, since ever */
#define SHORT_SIZE 100000
#define SHORT_READ 1000

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char value[64];
static size_t value_len;

static void *do_init(struct fuse_conn_info *conn, struct fuse_config *cfg)
{
	(void)cfg;
	/* O_TRUNC is a SETATTR then */
	conn->want &= ~FUSE_CAP_ATOMIC_O_TRUNC;
	return NULL;
}

static int do_getattr(const char *path, struct stat *st,
		      struct fuse_file_info *fi)
{
	(void)fi;
	*st = (struct stat) { .st_mode = S_IFDIR | 0755, .st_nlink = 2 };
	if (!strcmp(path, "/new") || !strcmp(path, "/x"))
		return -ENOENT;
	if (strcmp(path, "/"))
		*st = (struct stat) {
			.st_mode = S_IFREG | 0644,
			.st_nlink = 1,
			.st_size = strcmp(path, "/short") ? strlen(TEXT) :
							    SHORT_SIZE,
		};
	return 0;
}

static int do_open(const char *path, struct fuse_file_info *fi)
{
	fi->direct_io = !strcmp(path, "/short");
	return 0;
}

/* The byte at each offset is the offset's. */
static int read_short(char *buf, size_t size, off_t off)
{
	size_t n;

	for (n = 0; n < SHORT_READ && n < size && off < SHORT_SIZE; n++, off++)
		buf[n] = off % 251;
	return n;
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

	(void)fi;
	if (!strcmp(path, "/short"))
		return read_short(buf, size, off);
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
	.init = do_init,
	.getattr = do_getattr,
	.readdir = do_readdir,
	.open = do_open,
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
