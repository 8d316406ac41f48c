// SPDX-License-Identifier: GPL-2.0-only
/*
 * What FUSE itself makes of replies that are late, or short, and of what was not
 * asked for.  C1 in its own cache: attributes that were on their way while they
 * changed are not believed afterwards.
 *
 * Runs in the VM, as root.  Output is TAP.
 */
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/capability.h>
#include <linux/falloc.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/xattr.h>

#include "mounted.h"

#define FILE_ID 2ULL	/* "f", used with FOPEN_DIRECT_IO */
#define CACHED_ID 3ULL	/* "c", with the page cache */
#define LINK_ID 4ULL	/* "l" */
#define SIZE 65536

/* What <sys/uio.h> lacks */
#ifndef RWF_NOAPPEND
#define RWF_NOAPPEND 0x20
#endif

/* The one request that is not answered at once */
static struct {
	_Atomic uint32_t opcode;
	_Atomic uint64_t unique;
	uint64_t nodeid;
} held;

/* The one that is refused, with everything changed all the same */
static _Atomic uint32_t failing;
static _Atomic uint32_t links;
static _Atomic uint32_t permissions;	/* of "c" */

static bool halves;			/* of what is written are written */
static struct fuse_setattr_in told;	/* by the last SETATTR */
static _Atomic uint32_t write_flags;	/* of the last WRITE */
static _Atomic uint32_t written;	/* WRITEs that came before LSEEK */

static void fill(uint64_t nodeid, struct fuse_attr *attr)
{
	*attr = (struct fuse_attr) {
		.ino = nodeid,
		.mode = nodeid == FUSE_ROOT_ID ? S_IFDIR | 0755 :
			nodeid == LINK_ID ? S_IFLNK | 0777 :
			nodeid == CACHED_ID ? S_IFREG | permissions : S_IFREG | 0644,
		.nlink = links,
		.size = nodeid == FILE_ID || nodeid == CACHED_ID ? SIZE : 1,
		.blksize = 4096,
	};
}

static void reply_attr(struct server *s, uint64_t unique, uint64_t nodeid)
{
	struct fuse_attr_out out = { .attr_valid = 3600 };

	fill(nodeid, &out.attr);
	server_reply(s->fd, unique, 0, &out, sizeof(out));
}

static void reply_entry(struct server *s, uint64_t unique, uint64_t nodeid)
{
	struct fuse_entry_out out = {
		.nodeid = nodeid, .entry_valid = 3600, .attr_valid = 3600,
	};

	fill(nodeid, &out.attr);
	server_reply(s->fd, unique, nodeid ? 0 : -ENOENT, &out, sizeof(out));
}

static void answer(struct server *s, const struct fuse_in_header *in)
{
	static const char zeros[SIZE];
	const struct fuse_read_in *rd = (const void *)(in + 1);
	const char *name = (const char *)(in + 1);
	struct fuse_open_out open = { 0 };
	struct fuse_write_out wrote = { .size = halves ? rd->size / 2 : rd->size };
	struct fuse_lseek_out found = { .offset = 0 };

	if (in->opcode == held.opcode && !held.unique) {
		held.nodeid = in->nodeid;
		held.unique = in->unique;
		return;
	}
	if (in->opcode == failing) {
		server_reply(s->fd, in->unique, -ENOSPC, NULL, 0);
		return;
	}
	switch (in->opcode) {
	case FUSE_LOOKUP:
		reply_entry(s, in->unique,
			    *name == 'f' || *name == 'g' ? FILE_ID :
			    *name == 'c' ? CACHED_ID :
			    *name == 'l' ? LINK_ID : 0);
		break;
	case FUSE_LINK:
		reply_entry(s, in->unique, FILE_ID);
		break;
	case FUSE_GETATTR:
		reply_attr(s, in->unique, in->nodeid);
		break;
	case FUSE_OPEN:
	case FUSE_OPENDIR:
		open.open_flags = in->nodeid == FILE_ID ? FOPEN_DIRECT_IO : 0;
		server_reply(s->fd, in->unique, 0, &open, sizeof(open));
		break;
	case FUSE_READ:
		server_reply(s->fd, in->unique, 0, zeros, rd->size);
		break;
	case FUSE_READLINK:
		server_reply(s->fd, in->unique, 0, "f", 1);
		break;
	case FUSE_WRITE:
		write_flags = ((const struct fuse_write_in *)rd)->flags;
		server_reply(s->fd, in->unique, 0, &wrote, sizeof(wrote));
		break;
	case FUSE_LSEEK:
		written = s->seen[FUSE_WRITE];
		server_reply(s->fd, in->unique, 0, &found, sizeof(found));
		break;
	case FUSE_SETATTR:
		memcpy(&told, in + 1, sizeof(told));
		reply_attr(s, in->unique, in->nodeid);
		break;
	case FUSE_GETXATTR:
		server_reply(s->fd, in->unique, -ENODATA, NULL, 0);
		break;
	default:
		server_reply(s->fd, in->unique, 0, NULL, 0);
	}
}

static void late_prepare(struct server *s, int prog_fd)
{
	held.opcode = 0;
	held.unique = 0;
	failing = 0;
	links = 1;
	permissions = 0644;
	halves = false;
	server_prepare(s, prog_fd, prog_fd >= 0);
	s->want = FUSE_ASYNC_DIO;
	s->answer = answer;
}

static void late_start(struct server *s, int prog_fd)
{
	late_prepare(s, prog_fd);
	server_run(s);
}

static void hold(uint32_t opcode)
{
	held.unique = 0;
	held.opcode = opcode;
}

static void held_wait(void)
{
	int i;

	for (i = 0; i < 30000 && !held.unique; i++)
		usleep(1000);
	assert_true(held.unique);
}

/* Does it ask the server what @mask says of @path? */
static bool asks_for(struct server *s, const char *path, unsigned int mask,
		     struct statx *stx)
{
	uint32_t before = s->seen[FUSE_GETATTR];

	assert_int_equal(statx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, mask, stx),
			 0);
	return s->seen[FUSE_GETATTR] != before;
}

static bool asks(struct server *s, const char *path)
{
	struct statx stx;

	return asks_for(s, path, STATX_BASIC_STATS, &stx);
}

static void *stat_anew(void *path)
{
	struct statx stx;

	return (void *)(long)statx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW |
				   AT_STATX_FORCE_SYNC, STATX_BASIC_STATS, &stx);
}

/* What changes attributes, or has the server read */

static void list(void)
{
	char buf[4096];
	int fd = open(MNT, O_RDONLY | O_DIRECTORY);

	assert_int_equal(syscall(SYS_getdents64, fd, buf, sizeof(buf)), 0);
	close(fd);
}

static void read_link(void)
{
	char buf[8];

	assert_int_equal(readlink(MNT "/l", buf, sizeof(buf)), 1);
}

static void read_file(const char *path)
{
	char buf[16];
	int fd = open(path, O_RDONLY);

	assert_int_equal(read(fd, buf, sizeof(buf)), sizeof(buf));
	close(fd);
}

static void read_direct(void)
{
	read_file(MNT "/f");
}

static void read_cached(void)
{
	read_file(MNT "/c");
}

static void punch_hole(void)
{
	int fd = open(MNT "/f", O_RDWR);

	assert_int_equal(fallocate(fd, FALLOC_FL_KEEP_SIZE |
				   FALLOC_FL_PUNCH_HOLE, 0, 4096), 0);
	close(fd);
}

static void store(void)
{
	int fd = open(MNT "/c", O_RDWR);
	char *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	assert_ptr_not_equal(p, MAP_FAILED);
	*p = 1;
	/* the page is known to be dirty: nothing invalidates at the store */
	assert_int_equal(msync(p, 4096, MS_SYNC), 0);
	munmap(p, 4096);
	close(fd);
}

static void an_older_reply_is_not_believed(void **state)
{
	static const struct {
		char *path;
		void (*change)(void);
	} cases[] = {
		{ MNT, list }, { MNT "/l", read_link }, { MNT "/f", read_direct },
		{ MNT "/c", read_cached }, { MNT "/f", punch_hole },
		{ MNT "/c", store },
	};
	pthread_t other;
	struct server s;
	int believed = 0;
	void *result;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		late_start(&s, -1);
		asks(&s, cases[i].path);
		assert_false(asks(&s, cases[i].path));
		hold(FUSE_GETATTR);
		pthread_create(&other, NULL, stat_anew, cases[i].path);
		held_wait();
		cases[i].change();
		reply_attr(&s, held.unique, held.nodeid);
		pthread_join(other, &result);
		assert_null(result);
		if (!asks(&s, cases[i].path)) {
			print_error("%s, case %zu\n", cases[i].path, i);
			believed++;
		}
		server_stop(&s);
	}
	assert_int_equal(believed, 0);
}

/* Attributes that were asked for before an asynchronous write was done */
static void a_write_that_is_done_later_is_noticed(void **state)
{
	struct fuse_write_out wrote = { .size = 4096 };
	struct io_event event;
	aio_context_t ctx = 0;
	struct server s;
	struct iocb iocb = {
		.aio_lio_opcode = IOCB_CMD_PWRITE, .aio_nbytes = 4096,
	}, *iocbs = &iocb;
	void *buf = NULL;

	(void)state;
	late_start(&s, -1);
	assert_int_equal(posix_memalign(&buf, 4096, 4096), 0);
	memset(buf, 1, 4096);
	iocb.aio_buf = (uintptr_t)buf;
	iocb.aio_fildes = open(MNT "/c", O_RDWR | O_DIRECT);
	assert_int_equal(syscall(SYS_io_setup, 1, &ctx), 0);
	hold(FUSE_WRITE);
	assert_int_equal(syscall(SYS_io_submit, ctx, 1, &iocbs), 1);
	held_wait();
	asks(&s, MNT "/c");
	assert_false(asks(&s, MNT "/c"));
	server_reply(s.fd, held.unique, 0, &wrote, sizeof(wrote));
	assert_int_equal(syscall(SYS_io_getevents, ctx, 1, 1, &event, NULL), 1);
	assert_int_equal(event.res, 4096);
	assert_true(asks(&s, MNT "/c"));
	syscall(SYS_io_destroy, ctx);
	close(iocb.aio_fildes);
	free(buf);
	server_stop(&s);
}

/* LINK's reply may be older than a mapping or a read of the file */
static void link_tells_no_attributes(void **state)
{
	int fd = returning(EXTFUSE_UPCALL);
	struct server s;

	(void)state;
	late_start(&s, fd);
	assert_int_equal(status(&s).attached, 1);
	asks(&s, MNT "/f");
	assert_false(asks(&s, MNT "/f"));
	assert_int_equal(link(MNT "/f", MNT "/new"), 0);
	assert_true(asks(&s, MNT "/f"));
	server_stop(&s);
	close(fd);
}

/* What failed may have done a part of it */
static void chmod_file(void)
{
	assert_int_equal(chmod(MNT "/c", 0600), -1);
}

static void prealloc(void)
{
	int fd = open(MNT "/c", O_RDWR);

	assert_int_equal(fallocate(fd, 0, 0, 2 * SIZE), -1);
	close(fd);
}

static void copy(void)
{
	int from = open(MNT "/f", O_RDONLY), to = open(MNT "/c", O_RDWR);

	assert_int_equal(syscall(SYS_copy_file_range, from, NULL, to, NULL, 4096,
				 0), -1);
	close(from);
	close(to);
}

static void what_failed_is_looked_at(void **state)
{
	static const struct {
		uint32_t opcode;
		void (*run)(void);
	} cases[] = {
		{ FUSE_SETATTR, chmod_file }, { FUSE_FALLOCATE, prealloc },
		{ FUSE_COPY_FILE_RANGE, copy },
	};
	int believed = 0;
	struct server s;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		late_start(&s, -1);
		failing = cases[i].opcode;
		asks(&s, MNT "/c");
		assert_false(asks(&s, MNT "/c"));
		cases[i].run();
		assert_int_not_equal(s.seen[failing], 0);
		if (!asks(&s, MNT "/c")) {
			print_error("operation %u\n", failing);
			believed++;
		}
		server_stop(&s);
	}
	assert_int_equal(believed, 0);
}

static void an_attribute_may_take_a_block(void **state)
{
	struct statx stx;
	struct server s;

	(void)state;
	late_start(&s, -1);
	asks(&s, MNT "/c");
	assert_false(asks_for(&s, MNT "/c", STATX_BLOCKS, &stx));
	assert_int_equal(setxattr(MNT "/c", "user.x", "x", 1, 0), 0);
	assert_true(asks_for(&s, MNT "/c", STATX_BLOCKS, &stx));
	server_stop(&s);
}

static void *take_away(void *path)
{
	return (void *)(long)unlink(path);
}

/* Another process is told of the count when the name is gone below, and not yet here */
static void a_link_is_counted_out_once(void **state)
{
	struct statx stx;
	pthread_t other;
	struct server s;
	void *result;

	(void)state;
	late_start(&s, -1);
	links = 2;
	asks(&s, MNT "/f");
	asks(&s, MNT "/g");
	hold(FUSE_UNLINK);
	pthread_create(&other, NULL, take_away, MNT "/f");
	held_wait();
	links = 1;
	assert_null(stat_anew(MNT "/g"));
	server_reply(s.fd, held.unique, 0, NULL, 0);
	pthread_join(other, &result);
	assert_null(result);
	asks_for(&s, MNT "/g", STATX_NLINK, &stx);
	assert_int_equal(stx.stx_nlink, 1);
	links = 2;
	assert_int_equal(link(MNT "/g", MNT "/new"), 0);
	/* and without being told */
	hold(0);
	links = 5;
	assert_int_equal(unlink(MNT "/new"), 0);
	asks_for(&s, MNT "/g", STATX_NLINK, &stx);
	assert_int_equal(stx.stx_nlink, 1);
	server_stop(&s);
}

static void *stat_new(void *path)
{
	struct stat st;

	return (void *)(long)lstat(path, &st);
}

/* How often are the attributes of "f" asked for, if @ino changes during its look-up? */
static uint32_t asked_after_notification(uint64_t ino, int error)
{
	struct {
		struct fuse_out_header head;
		struct fuse_notify_inval_inode_out inode;
	} note = {
		.head = { .len = sizeof(note), .error = FUSE_NOTIFY_INVAL_INODE },
		.inode = { .ino = ino },
	};
	pthread_t other;
	struct server s;
	uint32_t asked;
	void *result;

	late_start(&s, -1);
	asks(&s, MNT);
	asks(&s, MNT "/c");
	asked = s.seen[FUSE_GETATTR];
	hold(FUSE_LOOKUP);
	pthread_create(&other, NULL, stat_new, MNT "/f");
	held_wait();
	errno = 0;
	assert_int_equal(write(s.fd, &note, sizeof(note)), error ? -1 : (int)sizeof(note));
	assert_int_equal(errno, error);
	reply_entry(&s, held.unique, FILE_ID);
	pthread_join(other, &result);
	assert_null(result);
	/* by that stat() */
	asked = s.seen[FUSE_GETATTR] - asked;
	assert_false(asks(&s, MNT "/f"));
	server_stop(&s);
	return asked;
}

/* The server says that a file has changed while the reply that makes it is on its way */
static void a_notification_reaches_what_is_about_to_be(void **state)
{
	(void)state;
	assert_int_equal(asked_after_notification(FILE_ID, ENOENT), 1);
}

static void a_notification_leaves_others_alone(void **state)
{
	(void)state;
	assert_int_equal(asked_after_notification(CACHED_ID, 0), 0);
}

static void a_part_of_a_page_is_an_error(void **state)
{
	struct server s;
	char *p;
	int fd;

	(void)state;
	late_start(&s, -1);
	fd = open(MNT "/c", O_RDWR);
	p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(p, MAP_FAILED);
	halves = true;
	*p = 1;
	assert_int_equal(msync(p, 4096, MS_SYNC), -1);
	assert_int_equal(errno, EIO);
	munmap(p, 4096);
	close(fd);
	server_stop(&s);
}

/* The server is asked for holes when it has what was written */
static void seek_sees_dirty_pages(void **state)
{
	struct server s;
	int fd;

	(void)state;
	late_prepare(&s, -1);
	s.want |= FUSE_WRITEBACK_CACHE;
	server_run(&s);
	fd = open(MNT "/c", O_RDWR);
	assert_int_equal(pwrite(fd, "data", 4, 0), 4);
	assert_int_equal(lseek(fd, 0, SEEK_DATA), 0);
	assert_int_equal(written, 1);
	close(fd);
	server_stop(&s);
}

/* Of this thread only */
static void drop_fsetid(void)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct caps[2];

	assert_int_equal(syscall(SYS_capget, &head, caps), 0);
	caps[0].effective &= ~(1U << CAP_FSETID);
	assert_int_equal(syscall(SYS_capset, &head, caps), 0);
}

static void *shorten(void *fd)
{
	drop_fsetid();
	return (void *)(long)ftruncate(*(int *)fd, 10);
}

/* Another reply, an older one, is put into the inode meanwhile */
static void setuid_goes_by_the_reply(void **state)
{
	pthread_t other;
	struct server s;
	void *result;
	int fd;

	(void)state;
	late_start(&s, -1);
	permissions = 04755;
	asks(&s, MNT "/c");
	fd = open(MNT "/c", O_RDWR);
	hold(FUSE_GETATTR);
	pthread_create(&other, NULL, shorten, &fd);
	held_wait();
	assert_null(stat_anew(MNT "/c"));
	permissions = 0600;
	reply_attr(&s, held.unique, held.nodeid);
	pthread_join(other, &result);
	assert_null(result);
	assert_int_equal(told.valid & FATTR_SIZE, FATTR_SIZE);
	assert_int_equal(told.valid & FATTR_MODE, 0);
	close(fd);
	server_stop(&s);
}

static void a_write_says_whether_it_appends(void **state)
{
	struct iovec iov = { "x", 1 };
	struct server s;
	int fd;

	(void)state;
	late_start(&s, -1);
	fd = open(MNT "/f", O_WRONLY | O_APPEND);
	assert_int_equal(pwritev2(fd, &iov, 1, 0, 0), 1);
	assert_int_equal(write_flags & O_APPEND, O_APPEND);
	assert_int_equal(pwritev2(fd, &iov, 1, 0, RWF_NOAPPEND), 1);
	assert_int_equal(write_flags & O_APPEND, 0);
	assert_int_equal(fcntl(fd, F_SETFL, 0), 0);
	assert_int_equal(pwritev2(fd, &iov, 1, 0, 0), 1);
	assert_int_equal(write_flags & O_APPEND, 0);
	assert_int_equal(pwritev2(fd, &iov, 1, 0, RWF_APPEND), 1);
	assert_int_equal(write_flags & O_APPEND, O_APPEND);
	close(fd);
	server_stop(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_older_reply_is_not_believed),
		cmocka_unit_test(a_write_that_is_done_later_is_noticed),
		cmocka_unit_test(link_tells_no_attributes),
		cmocka_unit_test(what_failed_is_looked_at),
		cmocka_unit_test(an_attribute_may_take_a_block),
		cmocka_unit_test(a_link_is_counted_out_once),
		cmocka_unit_test(a_notification_reaches_what_is_about_to_be),
		cmocka_unit_test(a_notification_leaves_others_alone),
		cmocka_unit_test(a_part_of_a_page_is_an_error),
		cmocka_unit_test(seek_sees_dirty_pages),
		cmocka_unit_test(setuid_goes_by_the_reply),
		cmocka_unit_test(a_write_says_whether_it_appends),
	};

	setvbuf(stdout, NULL, _IOLBF, 0);
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("late", tests, NULL, NULL) != 0;
}
