// SPDX-License-Identifier: GPL-2.0-only
/*
 * /dev/fuse without a library.
 */
#include "server.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

int server_reply(int fd, uint64_t unique, int error, const void *data,
		 size_t size)
{
	struct fuse_out_header out = {
		.len = sizeof(out) + (error ? 0 : size),
		.error = error,
		.unique = unique,
	};
	struct iovec iov[] = {
		{ &out, sizeof(out) }, { (void *)data, error ? 0 : size },
	};

	return writev(fd, iov, 2) < 0 ? -errno : 0;
}

static void serve_init(struct server *s, const struct fuse_in_header *in)
{
	const struct fuse_init_in *init = (const void *)(in + 1);
	struct fuse_init_out out = {
		.major = FUSE_KERNEL_VERSION,
		.minor = 31,
		.max_write = 65536,
		.flags = FUSE_INIT_EXT | (uint32_t)s->want,
		.flags2 = s->want >> 32,
	};
	uint32_t fd = s->prog_fd;

	s->init_flags = init->flags | (uint64_t)init->flags2 << 32;
	s->init_unique = in->unique;
	memcpy(&s->init_abi, (char *)init + EXTFUSE_INIT_WORD_OFFSET, 4);
	if (s->set_flag)
		out.flags2 |= FUSE_FS_EXTFUSE >> 32;
	memcpy((char *)&out + EXTFUSE_INIT_WORD_OFFSET, &fd, 4);
	if (s->init)
		s->init(s, &out);
	server_reply(s->fd, in->unique, 0, &out, sizeof(out));
	__atomic_store_n(&s->initialized, 1, __ATOMIC_SEQ_CST);
}

void server_refuse(struct server *s, const struct fuse_in_header *in)
{
	struct fuse_attr_out out = {
		.attr = { .ino = in->nodeid, .mode = S_IFDIR | 0755, .nlink = 2 },
	};

	if (in->opcode == FUSE_GETATTR)
		server_reply(s->fd, in->unique, 0, &out, sizeof(out));
	else
		server_reply(s->fd, in->unique,
			     in->opcode == FUSE_LOOKUP ? -ENOENT : -EIO, NULL,
			     0);
}

bool server_once(struct server *s)
{
	static __thread char buf[1 << 18];
	struct fuse_in_header *in = (void *)buf;
	ssize_t n = read(s->fd, buf, sizeof(buf));

	/* ENOENT: the request was interrupted while it was read */
	if (n <= 0)
		return n < 0 && (errno == ENOENT || errno == EINTR);
	if (in->opcode < EXTFUSE_MAX_OPS)
		s->seen[in->opcode]++;
	if (in->opcode == FUSE_INIT)
		serve_init(s, in);
	else if (in->opcode != FUSE_FORGET && in->opcode != FUSE_BATCH_FORGET &&
		 in->opcode != FUSE_INTERRUPT)
		s->answer(s, in);
	return true;
}

void *server_loop(void *server)
{
	while (server_once(server))
		;
	return NULL;
}

int server_mount(struct server *s, const char *options)
{
	char opts[256];

	if (!s->answer)
		s->answer = server_refuse;
	mkdir(s->mnt, 0755);
	s->fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	if (s->fd < 0)
		return -errno;
	snprintf(opts, sizeof(opts),
		 "fd=%d,rootmode=40000,user_id=0,group_id=0%s%s", s->fd,
		 *options ? "," : "", options);
	/* programs make up device nodes, too */
	if (mount("extfuse-test", s->mnt, "fuse.test", MS_NODEV | MS_NOSUID,
		  opts) < 0) {
		close(s->fd);
		return -errno;
	}
	return 0;
}

bool server_wait(const struct server *s)
{
	int i;

	for (i = 0; i < 30000; i++) {
		if (__atomic_load_n(&s->initialized, __ATOMIC_SEQ_CST))
			return true;
		usleep(1000);
	}
	return false;
}

struct extfuse_status server_fd_status(int fd)
{
	struct extfuse_status st = { .attached = ~0U };

	if (ioctl(fd, EXTFUSE_DEV_IOC_STATUS, &st) < 0)
		st.attached = ~0U;
	return st;
}
