/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A FUSE server of a few lines, for tests that need to send replies that no
 * library would send.
 */
#ifndef EXTFUSE_TEST_SERVER_H
#define EXTFUSE_TEST_SERVER_H

#include <linux/fuse.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include <linux/extfuse.h>

/* What <linux/fuse.h> of a build host before Linux 6.9 lacks */
#ifndef FUSE_PASSTHROUGH
#define FUSE_PASSTHROUGH	(1ULL << 37)
#endif
#ifndef FUSE_ALLOW_IDMAP
#define FUSE_ALLOW_IDMAP	(1ULL << 40)
#endif

/**
 * struct server - one mount and its server
 * @mnt:	where
 * @fd:		/dev/fuse
 * @prog_fd:	what the INIT reply says is the program
 * @set_flag:	whether it says that there is one
 * @want:	other flags of the INIT reply
 * @answer:	replies to everything but INIT
 * @init:	called before the INIT reply, which it may change
 * @init_flags:	flags of the INIT request
 * @init_abi:	its last word
 * @init_unique: its number
 * @seen:	requests read, by opcode
 * @initialized: the INIT reply was written
 */
struct server {
	const char *mnt;
	int fd;
	int prog_fd;
	bool set_flag;
	uint64_t want;
	void (*answer)(struct server *s, const struct fuse_in_header *in);
	void (*init)(struct server *s, struct fuse_init_out *out);
	uint64_t init_flags;
	uint32_t init_abi;
	uint64_t init_unique;
	_Atomic uint32_t seen[EXTFUSE_MAX_OPS];
	int backing_id;
	pthread_t thread;
	int initialized;
};

/** server_mount() - mount without anybody to serve; 0 or -errno */
int server_mount(struct server *s, const char *options);
/** server_once() - read and answer one request; false: there will be no more */
bool server_once(struct server *s);
/** server_loop() - read and answer requests until the connection ends */
void *server_loop(void *server);
/** server_wait() - until INIT is done; false: it is not after half a minute */
bool server_wait(const struct server *s);
/** server_reply() - 0, or -errno of the write */
int server_reply(int fd, uint64_t unique, int error, const void *data,
		 size_t size);
/** server_refuse() - an @answer that differs from any that a program gives */
void server_refuse(struct server *s, const struct fuse_in_header *in);
/** server_fd_status() - the connection's, or attached == ~0 on failure */
struct extfuse_status server_fd_status(int fd);

#endif /* EXTFUSE_TEST_SERVER_H */
