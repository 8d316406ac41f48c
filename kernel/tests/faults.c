// SPDX-License-Identifier: GPL-2.0-only
/*
 * K1, K4 without memory: each step of a mount's life is done again and again,
 * and of its allocations first the first fails, then the second, until all
 * have failed once.  After each failure the step works.
 *
 * Needs a kernel built with --debug.
 */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/xattr.h>

#include "inject.h"
#include "mounted.h"
#include "tinyfs.h"

#define MAX_ALLOCATIONS 1000

/* Does @step until none of its allocations is left to fail; how many did. */
static unsigned int fail_each(bool (*step)(void *), void *arg)
{
	unsigned int n;
	bool done;

	for (n = 1; n < MAX_ALLOCATIONS; n++) {
		assert_true(inject_nth(n));
		step(arg);
		done = inject_done();
		assert_true(inject_nth(0));
		assert_true(step(arg));
		if (!done)
			break;
	}
	assert_in_range(n, 2, MAX_ALLOCATIONS - 1);
	return n - 1;
}

/* What fails for lack of memory fails once. */
static void unmount(void)
{
	if (umount2(MNT, MNT_DETACH) < 0 && errno == ENOMEM)
		umount2(MNT, MNT_DETACH);
}

static bool mount_step(void *arg)
{
	int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	char opts[128];
	bool good;

	(void)arg;
	snprintf(opts, sizeof(opts), "fd=%d,rootmode=40000,user_id=0,group_id=0",
		 fd);
	good = fd >= 0 && mount("test", MNT, "fuse.test", 0, opts) == 0;
	if (good)
		unmount();
	if (fd >= 0)
		close(fd);
	return good;
}

static void mount_without_memory(void **state)
{
	(void)state;
	mkdir(MNT, 0755);
	fail_each(mount_step, NULL);
}

static bool load_step(void *arg)
{
	int fd = prog_returning(EXTFUSE_UPCALL);

	(void)arg;
	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

static void load_without_memory(void **state)
{
	(void)state;
	fail_each(load_step, NULL);
}

static bool test_run_step(void *arg)
{
	struct run r = request(FUSE_LOOKUP, 1);

	add_name(&r, "abc");
	add_out(&r, sizeof(r.out.entry));
	return prog_run(*(int *)arg, &r) >= 0;
}

static void test_run_without_memory(void **state)
{
	int fd = returning(EXTFUSE_UPCALL);

	(void)state;
	fail_each(test_run_step, &fd);
	close(fd);
}

/* The whole of it, in one thread: the reply to INIT is written with failures. */
static bool attach_step(void *arg)
{
	struct server s = { .mnt = MNT, .prog_fd = *(int *)arg,
			    .set_flag = true };
	struct pollfd ready = { .events = POLLIN };
	bool good;

	if (server_mount(&s, "") < 0)
		return false;
	/* one request, INIT; none, if there was no memory for that */
	ready.fd = s.fd;
	if (poll(&ready, 1, 5000) == 1)
		server_once(&s);
	good = server_fd_status(s.fd).attached == 1;
	unmount();
	close(s.fd);
	return good;
}

static void attach_without_memory(void **state)
{
	int fd = returning(-EPERM);

	(void)state;
	fail_each(attach_step, &fd);
	close(fd);
}

/* Requests, served, sent up, and passed through */

static bool use_step(void *arg)
{
	char buf[4096], path[64];
	struct stat st;
	bool good;
	void *mem;
	int fd;

	snprintf(path, sizeof(path), MNT "/%s", (const char *)arg);
	good = lstat(path, &st) == 0;
	getxattr(path, "user.a", buf, sizeof(buf));
	listxattr(path, buf, sizeof(buf));
	fd = open(path, O_RDWR);
	if (fd < 0)
		return false;
	good = pread(fd, buf, sizeof(buf), 0) > 0 && good;
	good = pwrite(fd, buf, sizeof(buf), 0) > 0 && good;
	mem = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	good = mem != MAP_FAILED && good;
	if (mem != MAP_FAILED)
		munmap(mem, 4096);
	close(fd);
	return good;
}

static void use_without_memory(int verdict, const char *name)
{
	struct server *s = server_shared();
	pid_t child;

	server_prepare(s, returning(verdict), true);
	s->want = TINYFS_WANT;
	s->init = tinyfs_init;
	s->answer = tinyfs_answer;
	child = fork();
	if (child == 0) {
		server_loop(s);
		_exit(0);
	}
	assert_true(server_wait(s));
	assert_int_equal(status(s).attached, 1);
	fail_each(use_step, (void *)name);
	close(s->prog_fd);
	server_end_child(s, child);
}

static void requests_without_memory(void **state)
{
	(void)state;
	use_without_memory(EXTFUSE_UPCALL, "d0/f0");
}

static void passthrough_without_memory(void **state)
{
	(void)state;
	use_without_memory(EXTFUSE_PASSTHRU_EXIT, "d0/f1");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mount_without_memory),
		cmocka_unit_test(load_without_memory),
		cmocka_unit_test(test_run_without_memory),
		cmocka_unit_test(attach_without_memory),
		cmocka_unit_test(requests_without_memory),
		cmocka_unit_test(passthrough_without_memory),
	};

	setvbuf(stdout, NULL, _IOLBF, 0);
	libbpf_set_strict_mode(LIBBPF_STRICT_ALL);
	cmocka_set_message_output(CM_OUTPUT_TAP);
	if (!inject_init(0)) {
		printf("SKIP faults: the kernel has no fault injection\n");
		return 0;
	}
	return cmocka_run_group_tests_name("faults", tests, NULL, NULL) != 0;
}
