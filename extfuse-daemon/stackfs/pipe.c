// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pipes through which data goes from a lower file to the kernel.  Who needs one
 * takes one that nobody uses, so there are never more than threads.
 */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "stackfs.h"

static void pipe_free(struct pipe *p)
{
	close(p->fd[0]);
	close(p->fd[1]);
	free(p);
}

static struct pipe *pipe_new(void)
{
	struct pipe *p = malloc(sizeof(*p));

	if (!p || pipe2(p->fd, O_CLOEXEC)) {
		free(p);
		return NULL;
	}
	/* What does not fit is read without it. */
	fcntl(p->fd[1], F_SETPIPE_SZ, STACKFS_MAX_DATA);
	return p;
}

struct pipe *pipe_get(struct stackfs *fs)
{
	struct pipe *p;

	pthread_mutex_lock(&fs->handles_lock);
	p = fs->pipes;
	if (p)
		fs->pipes = p->next;
	pthread_mutex_unlock(&fs->handles_lock);
	return p ? p : pipe_new();
}

void pipe_put(struct stackfs *fs, struct pipe *p, bool empty)
{
	if (!empty) {
		pipe_free(p);
		return;
	}
	pthread_mutex_lock(&fs->handles_lock);
	p->next = fs->pipes;
	fs->pipes = p;
	pthread_mutex_unlock(&fs->handles_lock);
}

void pipes_free(struct stackfs *fs)
{
	struct pipe *p;

	while ((p = fs->pipes)) {
		fs->pipes = p->next;
		pipe_free(p);
	}
}

ssize_t pipe_fill(struct pipe *p, int fd, size_t size, off_t off)
{
	size_t done = 0;
	ssize_t n;

	while (done < size) {
		n = splice(fd, &off, p->fd[1], NULL, size - done,
			   SPLICE_F_NONBLOCK);
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		done += n;
	}
	return done;
}
