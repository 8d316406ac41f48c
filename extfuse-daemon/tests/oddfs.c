// SPDX-License-Identifier: GPL-2.0-only
/*
 * oddfs MODE MOUNTPOINT: a lower file system as it is seldom met.
 *
 *	short	a file "f" of 100000 bytes, not cached, of which each read
 *		returns 1000 bytes at most
 *
 * Goes to the background when it is mounted, and ends with umount.
 */
#define FUSE_USE_VERSION 312
#include <errno.h>
#include <fuse_lowlevel.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILE_INO	2
#define FILE_SIZE	100000
#define SHORT_READ	1000
#define TIMEOUT		3600.0

static bool attr_of(fuse_ino_t ino, struct stat *st)
{
	*st = (struct stat) { .st_ino = ino, .st_nlink = 1 };
	if (ino == FUSE_ROOT_ID) {
		st->st_mode = S_IFDIR | 0755;
	} else if (ino == FILE_INO) {
		st->st_mode = S_IFREG | 0644;
		st->st_size = FILE_SIZE;
	}
	return st->st_mode;
}

static void odd_getattr(fuse_req_t req, fuse_ino_t ino,
			struct fuse_file_info *fi)
{
	struct stat st;

	(void)fi;
	if (attr_of(ino, &st))
		fuse_reply_attr(req, &st, TIMEOUT);
	else
		fuse_reply_err(req, ENOENT);
}

static void odd_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct fuse_entry_param e = {
		.ino = FILE_INO,
		.attr_timeout = TIMEOUT,
		.entry_timeout = TIMEOUT,
	};

	if (parent == FUSE_ROOT_ID && !strcmp(name, "f") &&
	    attr_of(FILE_INO, &e.attr))
		fuse_reply_entry(req, &e);
	else
		fuse_reply_err(req, ENOENT);
}

static void odd_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ino;
	fi->direct_io = 1;
	fuse_reply_open(req, fi);
}

/* The byte at each offset is the offset's. */
static void odd_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		     struct fuse_file_info *fi)
{
	char buf[SHORT_READ];
	size_t n;

	(void)ino;
	(void)fi;
	for (n = 0; n < SHORT_READ && n < size && off < FILE_SIZE; n++, off++)
		buf[n] = off % 251;
	fuse_reply_buf(req, buf, n);
}

static const struct fuse_lowlevel_ops odd_ops = {
	.lookup = odd_lookup,
	.getattr = odd_getattr,
	.open = odd_open,
	.read = odd_read,
};

int main(int argc, char **argv)
{
	char *fuse_argv[] = { "oddfs", "-oallow_other", NULL };
	struct fuse_args args = FUSE_ARGS_INIT(2, fuse_argv);
	struct fuse_session *se;
	int err = 1;

	if (argc != 3 || strcmp(argv[1], "short")) {
		fputs("usage: oddfs short MOUNTPOINT\n", stderr);
		return 255;
	}
	se = fuse_session_new(&args, &odd_ops, sizeof(odd_ops), NULL);
	if (!se)
		return 1;
	if (!fuse_session_mount(se, argv[2])) {
		fuse_daemonize(0);
		err = fuse_session_loop(se) != 0;
		fuse_session_unmount(se);
	}
	fuse_session_destroy(se);
	return err;
}
