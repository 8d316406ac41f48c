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

static _Atomic bool users_end;
static _Atomic unsigned int users_served;

/* Uses the mount until told to end; counts what only the program says. */
static void *use(void *arg)
{
	int dir = (int)(intptr_t)arg;
	struct stat st;

	while (!users_end)
		if (fstatat(dir, "x", &st, 0) < 0 && errno == EPERM)
			users_served++;
	return NULL;
}

#define USERS 4

static void users_start(pthread_t *users, int dir)
{
	int i;

	users_end = false;
	users_served = 0;
	for (i = 0; i < USERS; i++)
		pthread_create(&users[i], NULL, use, (void *)(intptr_t)dir);
	while (users_served < 100)
		usleep(1000);
}

static void users_stop(pthread_t *users)
{
	int i;

	users_end = true;
	for (i = 0; i < USERS; i++)
		pthread_join(users[i], NULL);
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

static void abort_during_served_requests(void **state)
{
	int fd = prog_slow(-EPERM), dir;
	uint32_t id = prog_id(fd);
	pthread_t users[USERS];
	struct server s;

	(void)state;
	server_start(&s, fd, true);
	close(fd);
	dir = open(MNT, O_PATH | O_DIRECTORY);
	users_start(users, dir);
	/* the mount is busy: forced, it is aborted all the same */
	umount2(MNT, MNT_FORCE);
	assert_nothing_served();
	assert_int_equal(status(&s).attached, 0);
	pthread_join(s.thread, NULL);
	assert_prog_goes(id);
	users_stop(users);
	close(dir);
	umount2(MNT, MNT_DETACH);
	close(s.fd);
}

/* Detached, the mount lives, and is served, until its last user leaves. */
static void unmount_while_programs_run(void **state)
{
	int fd = prog_slow(-EPERM), dir;
	uint32_t id = prog_id(fd);
	pthread_t users[USERS];
	unsigned int served;
	struct server s;

	(void)state;
	server_start(&s, fd, true);
	close(fd);
	dir = open(MNT, O_PATH | O_DIRECTORY);
	users_start(users, dir);
	assert_int_equal(umount2(MNT, MNT_DETACH), 0);
	served = users_served;
	usleep(50000);
	assert_true(users_served > served);
	users_stop(users);
	close(dir);
	pthread_join(s.thread, NULL);
	close(s.fd);
	assert_prog_goes(id);
}

static void daemon_killed_during_served_requests(void **state)
{
	int fd = prog_slow(-EPERM), dir;
	struct server *s = server_shared();
	uint32_t id = prog_id(fd);
	pthread_t users[USERS];
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
	dir = open(MNT, O_PATH | O_DIRECTORY);
	users_start(users, dir);
	kill(child, SIGKILL);
	assert_int_equal(waitpid(child, NULL, 0), child);
	assert_nothing_served();
	assert_int_equal(stat_errno("x"), ENOTCONN);
	assert_prog_goes(id);
	users_stop(users);
	close(dir);
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
