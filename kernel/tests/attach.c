// SPDX-License-Identifier: GPL-2.0-only
/*
 * K1..K5 from below: a FUSE server of a few lines that attaches programs of a
 * few instructions, right ones and wrong ones, while files are used.
 *
 * Runs in the VM, as root.  Output is TAP.
 */
#include <fcntl.h>
#include <stddef.h>
#include <sys/xattr.h>

#include "mounted.h"
#include "ops.h"
#include "tinyfs.h"

/* Flags, fds and the ABI number */

static void offers_its_abi(void **state)
{
	struct server s;

	(void)state;
	server_start(&s, -1, false);
	assert_true(s.init_flags & FUSE_FS_EXTFUSE);
	assert_int_equal(s.init_abi, EXTFUSE_ABI);
	assert_int_equal(status(&s).abi, EXTFUSE_ABI);
	assert_int_equal(status(&s).attached, 0);
	assert_int_equal(status(&s).error, 0);
	server_stop(&s);
}

static void refuses_what_is_no_program(void **state)
{
	struct bpf_insn insns[] = { MOV_IMM(BPF_REG_0, 0), EXIT() };
	int other = prog_type_load(BPF_PROG_TYPE_SOCKET_FILTER, insns, 2);
	int map = bpf_map_create(BPF_MAP_TYPE_ARRAY, "attach", 4, 4, 1, NULL);
	int file = open("/dev/null", O_RDWR);
	int prog = returning(-EPERM);
	int gone = fcntl(prog, F_DUPFD, 500);
	struct {
		int fd;
		int error;
	} cases[] = {
		{ -1, -EBADF }, { 9999, -EBADF }, { file, -EINVAL },
		{ other, -EINVAL }, { map, -EINVAL }, { gone, -EBADF },
	};
	struct server s;
	size_t i;

	(void)state;
	assert_true(other >= 0 && map >= 0 && gone >= 0);
	close(gone);
	close(prog);
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		server_start(&s, cases[i].fd, true);
		assert_int_equal(status(&s).attached, 0);
		assert_int_equal(status(&s).error, cases[i].error);
		assert_int_equal(stat_errno("x"), ENOENT);
		assert_true(s.seen[FUSE_LOOKUP] > 0);
		server_stop(&s);
	}
	close(other);
	close(map);
	close(file);
}

static void ignores_a_program_without_the_flag(void **state)
{
	int fd = returning(-EPERM);
	struct server s;

	(void)state;
	server_start(&s, fd, false);
	assert_int_equal(status(&s).attached, 0);
	assert_int_equal(stat_errno("x"), ENOENT);
	server_stop(&s);
	close(fd);
}

/* Replies to INIT that no library would send */

static void init_old_minor(struct server *s, struct fuse_init_out *out)
{
	(void)s;
	out->minor = 22;
}

/* The end of the reply, with the fd in it, is missing: it reads as 0 (stdin). */
static void init_short(struct server *s, struct fuse_init_out *out)
{
	server_reply(s->fd, s->init_unique, 0, out, EXTFUSE_INIT_WORD_OFFSET);
}

static void refuses_odd_replies(void **state)
{
	static const struct {
		void (*init)(struct server *, struct fuse_init_out *);
		int error;
	} cases[] = { { init_old_minor, -EPROTO }, { init_short, -EINVAL } };
	int fd = returning(-EPERM);
	int null = open("/dev/null", O_RDWR);
	struct server s;
	size_t i;

	(void)state;
	dup2(null, 0);
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		server_prepare(&s, fd, true);
		s.init = cases[i].init;
		server_run(&s);
		assert_int_equal(status(&s).attached, 0);
		assert_int_equal(status(&s).error, cases[i].error);
		assert_int_equal(stat_errno("x"), ENOENT);
		server_stop(&s);
	}
	close(null);
	close(fd);
}

/* Idmapped mounts without default_permissions: FUSE refuses the connection. */
static void serves_nothing_on_a_refused_connection(void **state)
{
	int fd = returning(-EPERM);
	struct server s;

	(void)state;
	server_prepare(&s, fd, true);
	s.want = FUSE_ALLOW_IDMAP;
	server_run(&s);
	assert_int_equal(status(&s).attached, 0);
	assert_int_equal(stat_errno("x"), ECONNREFUSED);
	server_stop(&s);
	close(fd);
}

static void answers_init_once(void **state)
{
	struct fuse_init_out out = {
		.major = FUSE_KERNEL_VERSION,
		.minor = 31,
		.flags = FUSE_INIT_EXT,
		.flags2 = FUSE_FS_EXTFUSE >> 32,
	};
	int first = returning(-EPERM), second = returning(-EXDEV);
	struct server s;

	(void)state;
	memcpy((char *)&out + EXTFUSE_INIT_WORD_OFFSET, &second, 4);
	server_start(&s, first, true);
	assert_int_equal(server_reply(s.fd, s.init_unique, 0, &out,
				      sizeof(out)), -ENOENT);
	/* nor does a number that was never given find anything */
	assert_int_equal(server_reply(s.fd, 1 << 30, 0, &out, sizeof(out)),
			 -ENOENT);
	assert_int_equal(stat_errno("x"), EPERM);
	assert_int_equal(status(&s).attached, 1);
	server_stop(&s);
	close(first);
	close(second);
}

/* K5: who replies does not have the program, whatever number it knows. */
static void takes_no_program_of_another_task(void **state)
{
	struct server *s = server_shared();
	int go[2];
	pid_t child;
	char c;

	(void)state;
	assert_int_equal(pipe(go), 0);
	server_prepare(s, -1, true);
	child = fork();
	if (child == 0) {
		if (read(go[0], &c, 1) == 1)
			server_loop(s);
		_exit(0);
	}
	s->prog_fd = returning(-EPERM);
	assert_int_equal(write(go[1], "g", 1), 1);
	assert_true(server_wait(s));
	assert_int_equal(status(s).attached, 0);
	assert_int_equal(status(s).error, -EBADF);
	assert_int_equal(stat_errno("x"), ENOENT);
	close(s->prog_fd);
	server_end_child(s, child);
	close(go[0]);
	close(go[1]);
}

/* K5: nor does one who could not have loaded it. */
static void takes_no_program_without_privilege(void **state)
{
	struct server *s = server_shared();
	pid_t child;

	(void)state;
	server_prepare(s, returning(-EPERM), true);
	child = fork();
	if (child == 0) {
		if (setuid(65534) == 0)
			server_loop(s);
		_exit(0);
	}
	assert_true(server_wait(s));
	assert_int_equal(status(s).attached, 0);
	assert_int_equal(status(s).error, -EPERM);
	assert_int_equal(stat_errno("x"), ENOENT);
	close(s->prog_fd);
	server_end_child(s, child);
}

/* What a daemon asks for beside a program */

static void sync_reaches_who_asks(void **state)
{
	struct server s;
	int i;

	(void)state;
	for (i = 0; i < 2; i++) {
		server_prepare(&s, -1, false);
		s.want = i ? FUSE_FS_SYNCFS : 0;
		server_run(&s);
		assert_true(s.init_flags & FUSE_FS_SYNCFS);
		sync();
		assert_int_equal(s.seen[FUSE_SYNCFS] > 0, i);
		server_stop(&s);
	}
}

/* Who could not stop the machine otherwise has nobody's sync() wait for it */
static void sync_does_not_wait_for_anybody(void **state)
{
	struct server *s = server_shared();
	pid_t child;

	(void)state;
	server_prepare(s, -1, false);
	s->want = FUSE_FS_SYNCFS;
	child = fork();
	if (child == 0) {
		if (setuid(65534) == 0)
			server_loop(s);
		_exit(0);
	}
	assert_true(server_wait(s));
	sync();
	assert_int_equal(s->seen[FUSE_SYNCFS], 0);
	server_end_child(s, child);
}

/* Verdicts */

static void clamps_what_programs_return(void **state)
{
	static const struct {
		int value;
		int error;
		bool rejected;
	} cases[] = {
		{ EXTFUSE_UPCALL, ENOENT, false },
		{ -EPERM, EPERM, false }, { -EXDEV, EXDEV, false },
		{ 0, ENOENT, true }, { EXTFUSE_PASSTHRU, ENOENT, true },
		{ EXTFUSE_PASSTHRU_EXIT, ENOENT, true }, { 4, ENOENT, true },
		{ INT32_MAX, ENOENT, true }, { INT32_MIN, ENOENT, true },
		{ -ENOSYS, ENOENT, true }, { -512, ENOENT, true },
		{ -4095, ENOENT, true }, { -4096, ENOENT, true },
	};
	struct server s;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		int fd = returning(cases[i].value);

		server_start(&s, fd, true);
		assert_int_equal(status(&s).attached, 1);
		close(fd);
		assert_int_equal(stat_errno("x"), cases[i].error);
		assert_int_equal(status(&s).rejected > 0, cases[i].rejected);
		server_stop(&s);
	}
}

/* K3: a program that says yes to everything changes nothing. */
static void never_swallows_a_change(void **state)
{
	int fd = returning(0);
	struct server s;

	(void)state;
	server_start(&s, fd, true);
	assert_int_equal(mkdir(MNT "/d", 0755), -1);
	assert_true(s.seen[FUSE_MKDIR] > 0);
	assert_int_equal(unlink(MNT "/d"), -1);
	assert_int_equal(setxattr(MNT, "user.a", "b", 1, 0), -1);
	assert_true(s.seen[FUSE_SETXATTR] > 0);
	assert_int_equal(chmod(MNT, 0700), -1);
	assert_true(s.seen[FUSE_SETATTR] > 0);
	assert_int_equal(status(&s).rejected > 0, true);
	server_stop(&s);
	close(fd);
}

/* Answers @opcode with an error, and nothing else. */
static int prog_refusing(uint32_t opcode)
{
	struct bpf_insn insns[] = {
		LOAD32(BPF_REG_2, BPF_REG_1, offsetof(struct extfuse_req, opcode)),
		MOV_IMM(BPF_REG_0, EXTFUSE_UPCALL),
		JUMP_IMM(BPF_JNE, BPF_REG_2, opcode, 1),
		MOV_IMM(BPF_REG_0, -EXDEV),
		EXIT(),
	};

	return LOAD(insns);
}

/* C8: who asks past what is known is not told what was known before. */
static void is_passed_by_where_caches_are(void **state)
{
	int attrs = prog_refusing(FUSE_GETATTR), names = prog_refusing(FUSE_LOOKUP);
	struct statx stx;
	struct server s;

	(void)state;
	assert_true(attrs >= 0 && names >= 0);
	server_start(&s, attrs, true);
	assert_int_equal(statx(AT_FDCWD, MNT, 0, STATX_BASIC_STATS, &stx), -1);
	assert_int_equal(errno, EXDEV);
	assert_int_equal(statx(AT_FDCWD, MNT, AT_STATX_FORCE_SYNC, STATX_BASIC_STATS,
			       &stx), 0);
	assert_int_equal(s.seen[FUSE_GETATTR], 1);
	server_stop(&s);
	server_start(&s, names, true);
	assert_int_equal(stat_errno("x"), EXDEV);
	assert_int_equal(s.seen[FUSE_LOOKUP], 0);
	assert_int_equal(mkdir(MNT "/x", 0755), -1);
	assert_int_equal(errno, EIO);
	assert_int_equal(s.seen[FUSE_LOOKUP], 1);
	server_stop(&s);
	close(attrs);
	close(names);
}

/* An exclusive create is not looked up: it is too long all the same. */
static void creates_no_name_that_is_too_long(void **state)
{
	int fd = returning(EXTFUSE_UPCALL);
	char path[2000] = MNT "/";
	struct server s;

	(void)state;
	memset(path + strlen(path), 'a', 1025);
	server_start(&s, fd, true);
	assert_int_equal(open(path, O_CREAT | O_EXCL | O_WRONLY, 0644), -1);
	assert_int_equal(errno, ENAMETOOLONG);
	assert_int_equal(s.seen[FUSE_CREATE], 0);
	server_stop(&s);
	close(fd);
}

/* Writes @size zero bytes to output 0 and returns 0. */
static int prog_writing(int size)
{
	struct bpf_insn insns[64];
	int n = 0, off;

	insns[n++] = MOV_REG(BPF_REG_6, BPF_REG_1);
	for (off = -128; off < 0; off += 8)
		insns[n++] = STORE_IMM(BPF_REG_10, off, 0);
	insns[n++] = MOV_REG(BPF_REG_1, BPF_REG_6);
	insns[n++] = MOV_IMM(BPF_REG_2, EXTFUSE_OUT_PARAM_0);
	insns[n++] = MOV_REG(BPF_REG_3, BPF_REG_10);
	insns[n++] = ADD_IMM(BPF_REG_3, -128);
	insns[n++] = MOV_IMM(BPF_REG_4, size);
	insns[n++] = CALL(EXTFUSE_FUNC_WRITE_ARGS);
	insns[n++] = MOV_IMM(BPF_REG_0, 0);
	insns[n++] = EXIT();
	return prog_type_load(EXTFUSE_PROG_TYPE, insns, n);
}

/* K2: an entry of zeros is "no such name"; less than an entry is nothing. */
static void wants_outputs_complete(void **state)
{
	int whole = prog_writing(sizeof(struct fuse_entry_out));
	int part = prog_writing(sizeof(struct fuse_entry_out) - 8);
	struct server s;

	(void)state;
	assert_true(whole >= 0 && part >= 0);
	server_start(&s, whole, true);
	assert_int_equal(stat_errno("x"), ENOENT);
	assert_int_equal(s.seen[FUSE_LOOKUP], 0);
	server_stop(&s);
	server_start(&s, part, true);
	assert_int_equal(stat_errno("x"), ENOENT);
	assert_int_equal(s.seen[FUSE_LOOKUP], 1);
	assert_true(status(&s).rejected > 0);
	server_stop(&s);
	close(whole);
	close(part);
}

/* The verifier */

static void context_is_read_only_and_bounded(void **state)
{
	struct bpf_insn write[] = {
		MOV_IMM(BPF_REG_2, 0), STORE32(BPF_REG_1, BPF_REG_2, 0),
		MOV_IMM(BPF_REG_0, 1), EXIT(),
	};
	struct bpf_insn beyond[] = {
		LOAD64(BPF_REG_0, BPF_REG_1, sizeof(struct extfuse_req)), EXIT(),
	};
	struct bpf_insn unaligned[] = {
		LOAD64(BPF_REG_0, BPF_REG_1, 12), EXIT(),
	};
	struct bpf_insn inside[] = {
		LOAD32(BPF_REG_0, BPF_REG_1, sizeof(struct extfuse_req) - 4),
		EXIT(),
	};
	struct bpf_insn pid[] = { CALL(BPF_FUNC_get_current_pid_tgid), EXIT() };
	int fd;

	(void)state;
	assert_true(LOAD(write) < 0);
	assert_true(LOAD(beyond) < 0);
	assert_true(LOAD(unaligned) < 0);
	assert_true(LOAD(pid) < 0);
	fd = LOAD(inside);
	assert_true(fd >= 0);
	close(fd);
}

/* What the helper is asked for is not there: its buffer is zeros all the same. */
static void helper_fills_its_buffer(void **state)
{
	struct bpf_insn insns[] = {
		STORE_IMM(BPF_REG_10, -8, -1),
		STORE_IMM(BPF_REG_10, -16, -1),
		MOV_IMM(BPF_REG_2, 99),
		MOV_REG(BPF_REG_3, BPF_REG_10),
		ADD_IMM(BPF_REG_3, -16),
		MOV_IMM(BPF_REG_4, 16),
		CALL(EXTFUSE_FUNC_READ_ARGS),
		LOAD64(BPF_REG_1, BPF_REG_10, -8),
		LOAD64(BPF_REG_2, BPF_REG_10, -16),
		INSN(BPF_ALU64 | BPF_OR | BPF_X, BPF_REG_1, BPF_REG_2, 0, 0),
		MOV_IMM(BPF_REG_0, -EXDEV),
		INSN(BPF_JMP | BPF_JNE | BPF_K, BPF_REG_1, 0, 1, 0),
		MOV_IMM(BPF_REG_0, -EPERM),
		EXIT(),
	};
	int fd = LOAD(insns);
	struct server s;

	(void)state;
	assert_true(fd >= 0);
	server_start(&s, fd, true);
	assert_int_equal(stat_errno("x"), EPERM);
	server_stop(&s);
	close(fd);
}

/*
 * K1: all that a program can read, at every request of ordinary use, has no
 * word that looks like a kernel address.
 */

struct spy {
	struct bpf_insn insns[1024];
	size_t n;
	int map;
};

static void emit(struct spy *p, struct bpf_insn insn)
{
	assert_true(p->n < ARRAY_SIZE(p->insns));
	p->insns[p->n++] = insn;
}

/* R1, if it is in the upper half but no small negative number, to the map */
static void emit_check(struct spy *p)
{
	emit(p, MOV_REG(BPF_REG_2, BPF_REG_1));
	emit(p, INSN(BPF_ALU64 | BPF_RSH | BPF_K, BPF_REG_2, 0, 0, 47));
	emit(p, JUMP_IMM(BPF_JNE, BPF_REG_2, 0x1ffff, 2));
	emit(p, JUMP_IMM(BPF_JGE, BPF_REG_1, -(1 << 24), 1));
	emit(p, STORE64(BPF_REG_7, BPF_REG_1, 0));
}

static void emit_args(struct spy *p)
{
	int type, off;

	for (type = EXTFUSE_OPCODE; type <= EXTFUSE_NAME2; type++) {
		emit(p, MOV_REG(BPF_REG_1, BPF_REG_6));
		emit(p, MOV_IMM(BPF_REG_2, type));
		emit(p, MOV_REG(BPF_REG_3, BPF_REG_10));
		emit(p, ADD_IMM(BPF_REG_3, -128));
		emit(p, MOV_IMM(BPF_REG_4, 64));
		emit(p, CALL(EXTFUSE_FUNC_READ_ARGS));
		for (off = -128; off < -64; off += 8) {
			emit(p, LOAD64(BPF_REG_1, BPF_REG_10, off));
			emit_check(p);
		}
	}
}

static int prog_spying(int map)
{
	/* their arguments have lock owners, which are random numbers */
	static const uint32_t owners[] = { FUSE_SETATTR, FUSE_READ, FUSE_WRITE,
					   FUSE_FLUSH, FUSE_GETLK, FUSE_SETLK,
					   FUSE_SETLKW };
	const struct bpf_insn load_map[] = { LOAD_MAP(BPF_REG_1, map) };
	static struct spy p;
	size_t i, jumps;
	int off;

	p.n = 0;
	emit(&p, MOV_REG(BPF_REG_6, BPF_REG_1));
	emit(&p, STORE_IMM(BPF_REG_10, -8, 0));
	emit(&p, load_map[0]);
	emit(&p, load_map[1]);
	emit(&p, MOV_REG(BPF_REG_2, BPF_REG_10));
	emit(&p, ADD_IMM(BPF_REG_2, -8));
	emit(&p, CALL(BPF_FUNC_map_lookup_elem));
	emit(&p, JUMP_IMM(BPF_JNE, BPF_REG_0, 0, 2));
	emit(&p, MOV_IMM(BPF_REG_0, EXTFUSE_UPCALL));
	emit(&p, EXIT());
	emit(&p, MOV_REG(BPF_REG_7, BPF_REG_0));
	emit(&p, MOV_IMM(BPF_REG_1, 1));
	emit(&p, XADD64(BPF_REG_7, BPF_REG_1, 8));
	for (off = 0; off < (int)sizeof(struct extfuse_req); off += 8) {
		emit(&p, LOAD64(BPF_REG_1, BPF_REG_6, off));
		emit_check(&p);
	}
	emit(&p, LOAD32(BPF_REG_1, BPF_REG_6, 0));
	jumps = p.n;
	for (i = 0; i < ARRAY_SIZE(owners); i++)
		emit(&p, JUMP_IMM(BPF_JEQ, BPF_REG_1, owners[i], 0));
	emit_args(&p);
	for (i = 0; i < ARRAY_SIZE(owners); i++)
		p.insns[jumps + i].off = p.n - (jumps + i) - 1;
	emit(&p, MOV_IMM(BPF_REG_0, EXTFUSE_UPCALL));
	emit(&p, EXIT());
	return prog_type_load(EXTFUSE_PROG_TYPE, p.insns, p.n);
}

static void shows_no_kernel_address(void **state)
{
	int map = bpf_map_create(BPF_MAP_TYPE_ARRAY, "spy", 4, 16, 1, NULL);
	struct server *s = server_shared();
	volatile int *end = (void *)server_shared();
	uint64_t found[2];
	uint32_t key = 0;
	pid_t server, user;
	int dir;

	(void)state;
	server_prepare(s, prog_spying(map), true);
	assert_true(s->prog_fd >= 0);
	s->want = TINYFS_WANT;
	s->init = tinyfs_init;
	s->answer = tinyfs_answer;
	dir = open(MNT, O_PATH | O_DIRECTORY);
	server = fork();
	if (server == 0) {
		close(dir);
		server_loop(s);
		_exit(0);
	}
	assert_true(server_wait(s));
	assert_int_equal(status(s).attached, 1);
	user = fork();
	if (user == 0) {
		ops_run(dir, 1, end);
		_exit(0);
	}
	sleep(2);
	*end = 1;
	assert_int_equal(waitpid(user, NULL, 0), user);
	assert_int_equal(bpf_map_lookup_elem(map, &key, found), 0);
	assert_true(found[1] > 100);
	assert_int_equal(found[0], 0);
	close(dir);
	close(map);
	close(s->prog_fd);
	server_end_child(s, server);
}

/* BPF_PROG_TEST_RUN */

static void test_run_checks_and_clamps(void **state)
{
	struct run r = request(FUSE_LOOKUP, 1);
	int fd = prog_writing(sizeof(r.out.entry));

	(void)state;
	add_name(&r, "abc");
	add_out(&r, sizeof(r.out.entry));
	assert_int_equal(prog_run(fd, &r), sizeof(r.out.entry));
	assert_int_equal(r.verdict, 0);
	assert_int_equal(r.out.bytes[0], 0);
	r.req.opcode = FUSE_MKDIR;
	assert_true(prog_run(fd, &r) >= 0);
	assert_int_equal(r.verdict, EXTFUSE_UPCALL);
	r.req.opcode = 63;
	assert_int_equal(prog_run(fd, &r), -EINVAL);
	r.req.opcode = FUSE_LOOKUP;
	r.req.in_size[0] = 5;
	assert_int_equal(prog_run(fd, &r), -EINVAL);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(offers_its_abi),
		cmocka_unit_test(refuses_what_is_no_program),
		cmocka_unit_test(ignores_a_program_without_the_flag),
		cmocka_unit_test(refuses_odd_replies),
		cmocka_unit_test(serves_nothing_on_a_refused_connection),
		cmocka_unit_test(answers_init_once),
		cmocka_unit_test(takes_no_program_of_another_task),
		cmocka_unit_test(takes_no_program_without_privilege),
		cmocka_unit_test(sync_reaches_who_asks),
		cmocka_unit_test(sync_does_not_wait_for_anybody),
		cmocka_unit_test(clamps_what_programs_return),
		cmocka_unit_test(never_swallows_a_change),
		cmocka_unit_test(is_passed_by_where_caches_are),
		cmocka_unit_test(creates_no_name_that_is_too_long),
		cmocka_unit_test(wants_outputs_complete),
		cmocka_unit_test(context_is_read_only_and_bounded),
		cmocka_unit_test(helper_fills_its_buffer),
		cmocka_unit_test(shows_no_kernel_address),
		cmocka_unit_test(test_run_checks_and_clamps),
	};

	setvbuf(stdout, NULL, _IOLBF, 0);
	libbpf_set_strict_mode(LIBBPF_STRICT_ALL);
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("attach", tests, NULL, NULL) != 0;
}
