// SPDX-License-Identifier: GPL-2.0-only
/*
 * A lower file system where every close fails: tinyfs that answers FLUSH with
 * an error.
 *
 * usage: lower DIRECTORY ERRNO
 *
 * Prints a line when it is mounted; ends when it is unmounted.
 */
#include <stdio.h>
#include <stdlib.h>

#include "tinyfs.h"

static int flush_errno;

static void answer(struct server *s, const struct fuse_in_header *in)
{
	if (in->opcode == FUSE_FLUSH)
		server_reply(s->fd, in->unique, -flush_errno, NULL, 0);
	else
		tinyfs_answer(s, in);
}

int main(int argc, char **argv)
{
	struct server s = {
		.answer = answer,
		.init = tinyfs_init,
		.want = TINYFS_WANT & ~(FUSE_PASSTHROUGH | FUSE_POSIX_LOCKS |
					FUSE_FLOCK_LOCKS),
	};

	if (argc != 3) {
		fprintf(stderr, "usage: lower DIRECTORY ERRNO\n");
		return 1;
	}
	s.mnt = argv[1];
	flush_errno = atoi(argv[2]);
	if (server_mount(&s, "default_permissions") < 0) {
		perror(argv[1]);
		return 1;
	}
	puts("mounted");
	fflush(stdout);
	server_loop(&s);
	return 0;
}
