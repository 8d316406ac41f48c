// SPDX-License-Identifier: GPL-2.0-only
/*
 * K4: the end of a connection is the end of its program, however it ends and
 * whoever is in the middle of a request.
 *
 * Runs in the VM, as root.  Output is TAP.
 */
#include <fcntl.h>
#include <signal.h>

#include "mounted.h"

static bool prog_exists(uint32_t id)
{
	int fd = bpf_prog_get_fd_by_id(id);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

static void assert_prog_goes(uint32_t id)
{
	int i;

	for (i = 0; i < 500 && prog_exists(id); i++)
		usleep(10000);
	assert_false(prog_exists(id));
}

static void serves_nothing_after_the_daemon(void **state)
{
	int fd = returning(-EPERM);
	uint32_t id = prog_id(fd);
	struct server s;
	int dup_fd;

	(void)state;
	server_start(&s, fd, true);
	close(fd);
	assert_int_equal(stat_errno("x"), EPERM);
	assert_true(prog_exists(id));
	dup_fd = open(MNT, O_RDONLY | O_DIRECTORY);
	/* abort as the control file system would: force the umount */
	assert_int_equal(umount2(MNT, MNT_FORCE) == 0 ||
			 umount2(MNT, MNT_DETACH) == 0, true);
	if (dup_fd >= 0)
		close(dup_fd);
	pthread_join(s.thread, NULL);
	close(s.fd);
	assert_prog_goes(id);
}

#define USERS 4

static pthread_t users[USERS];
static int users_dir;
static _Atomic bool users_end;
static _Atomic unsigned int users_served;

/* Uses the mount until told to end; counts what only the program says. */
static void *use(void *arg)
{
	struct stat st;

	(void)arg;
	while (!users_end)
		if (fstatat(users_dir, "x", &st, 0) < 0 && errno == EPERM)
			users_served++;
	return NULL;
}

static void users_start(void)
{
	int i;

	users_dir = open(MNT, O_PATH | O_DIRECTORY);
	users_end = false;
	users_served = 0;
	for (i = 0; i < USERS; i++)
		pthread_create(&users[i], NULL, use, NULL);
	while (users_served < 100)
		usleep(1000);
}

static void users_stop(void)
{
	int i;

	users_end = true;
	for (i = 0; i < USERS; i++)
		pthread_join(users[i], NULL);
	close(users_dir);
}

/* A request that runs the program already may still end as it says. */
static void assert_nothing_served(void)
{
	unsigned int served;
	int i;

	for (i = 0; i < 50; i++) {
		served = users_served;
		usleep(200000);
		if (users_served == served)
			return;
	}
	fail_msg("served after the end: %u", users_served);
}

/* Some milliseconds of work, so that whatever happens, happens during it. */
static int prog_slow(int value)
{
	struct bpf_insn insns[] = {
		MOV_IMM(BPF_REG_1, 20000),
		ADD_IMM(BPF_REG_1, -1),
		JUMP_IMM(BPF_JNE, BPF_REG_1, 0, -2),
		MOV_IMM(BPF_REG_0, value),
		EXIT(),
	};
	int fd = LOAD(insns);

	assert_true(fd >= 0);
	return fd;
}

/* Returns the program, which nobody but the mount has any more. */
static uint32_t served_start(struct server *s)
{
	int fd = prog_slow(-EPERM);
	uint32_t id = prog_id(fd);

	server_start(s, fd, true);
	close(fd);
	users_start();
	return id;
}

static void abort_during_served_requests(void **state)
{
	struct server s;
	uint32_t id = served_start(&s);

	(void)state;
	/* the mount is busy: forced, it is aborted all the same */
	umount2(MNT, MNT_FORCE);
	assert_nothing_served();
	assert_int_equal(status(&s).attached, 0);
	pthread_join(s.thread, NULL);
	assert_prog_goes(id);
	users_stop();
	umount2(MNT, MNT_DETACH);
	close(s.fd);
}

/* Detached, the mount lives, and is served, until its last user leaves. */
static void unmount_while_programs_run(void **state)
{
	unsigned int served;
	struct server s;
	uint32_t id = served_start(&s);

	(void)state;
	assert_int_equal(umount2(MNT, MNT_DETACH), 0);
	served = users_served;
	usleep(50000);
	assert_true(users_served > served);
	users_stop();
	pthread_join(s.thread, NULL);
	close(s.fd);
	assert_prog_goes(id);
}

static void daemon_killed_during_served_requests(void **state)
{
	struct server *s = server_shared();
	int fd = prog_slow(-EPERM);
	uint32_t id = prog_id(fd);
	pid_t child;

	(void)state;
	server_prepare(s, fd, true);
	child = fork();
	if (child == 0) {
		server_loop(s);
		_exit(0);
	}
	assert_true(server_wait(s));
	close(fd);
	close(s->fd);
	users_start();
	kill(child, SIGKILL);
	assert_int_equal(waitpid(child, NULL, 0), child);
	assert_nothing_served();
	assert_int_equal(stat_errno("x"), ENOTCONN);
	assert_prog_goes(id);
	users_stop();
	umount2(MNT, MNT_DETACH);
	munmap(s, sizeof(*s));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(serves_nothing_after_the_daemon),
		cmocka_unit_test(abort_during_served_requests),
		cmocka_unit_test(unmount_while_programs_run),
		cmocka_unit_test(daemon_killed_during_served_requests),
	};

	setvbuf(stdout, NULL, _IOLBF, 0);
	libbpf_set_strict_mode(LIBBPF_STRICT_ALL);
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("teardown", tests, NULL, NULL) != 0;
}
