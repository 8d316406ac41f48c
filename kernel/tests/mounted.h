/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A mount with a program for a cmocka test; what fails here fails the test.
 */
#ifndef EXTFUSE_TEST_MOUNTED_H
#define EXTFUSE_TEST_MOUNTED_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <bpf/libbpf.h>
#include <cmocka.h>

#include "insn.h"
#include "server.h"

#define MNT "/run/extfuse-attach"

static inline void server_prepare(struct server *s, int prog_fd, bool set_flag)
{
	memset(s, 0, sizeof(*s));
	s->mnt = MNT;
	s->prog_fd = prog_fd;
	s->set_flag = set_flag;
	assert_int_equal(server_mount(s, ""), 0);
}

static inline void server_run(struct server *s)
{
	pthread_create(&s->thread, NULL, server_loop, s);
	assert_true(server_wait(s));
}

static inline void server_start(struct server *s, int prog_fd, bool set_flag)
{
	server_prepare(s, prog_fd, set_flag);
	server_run(s);
}

static inline void server_stop(struct server *s)
{
	assert_int_equal(umount2(MNT, MNT_DETACH), 0);
	pthread_join(s->thread, NULL);
	close(s->fd);
}

static inline struct extfuse_status status(const struct server *s)
{
	struct extfuse_status st = server_fd_status(s->fd);

	assert_int_not_equal(st.attached, ~0U);
	return st;
}

/* For a server in another process */
static inline struct server *server_shared(void)
{
	void *mem = mmap(NULL, sizeof(struct server), PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(mem, MAP_FAILED);
	return mem;
}

static inline void server_end_child(struct server *s, pid_t child)
{
	assert_int_equal(umount2(MNT, MNT_DETACH), 0);
	close(s->fd);
	assert_int_equal(waitpid(child, NULL, 0), child);
	munmap(s, sizeof(*s));
}

static inline int returning(int value)
{
	int fd = prog_returning(value);

	assert_true(fd >= 0);
	return fd;
}

static inline int stat_errno(const char *name)
{
	char path[64];
	struct stat st;

	snprintf(path, sizeof(path), MNT "/%s", name);
	return stat(path, &st) < 0 ? errno : 0;
}

#endif /* EXTFUSE_TEST_MOUNTED_H */
