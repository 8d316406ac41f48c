// SPDX-License-Identifier: GPL-2.0-only
/*
 * K1..K5 from below: a FUSE server of a few lines that attaches programs of a
 * few instructions, right ones and wrong ones, while files are used.
 *
 * Runs in the VM, as root.  Output is TAP.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <cmocka.h>
#include <linux/extfuse.h>

#define MNT "/run/extfuse-attach"
#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

#define INSN(c, d, s, o, i) \
	((struct bpf_insn){ .code = (c), .dst_reg = (d), .src_reg = (s), \
			    .off = (o), .imm = (i) })
#define MOV_IMM(d, i)	INSN(BPF_ALU64 | BPF_MOV | BPF_K, d, 0, 0, i)
#define MOV_REG(d, s)	INSN(BPF_ALU64 | BPF_MOV | BPF_X, d, s, 0, 0)
#define ADD_IMM(d, i)	INSN(BPF_ALU64 | BPF_ADD | BPF_K, d, 0, 0, i)
#define STORE_IMM(d, o, i) INSN(BPF_ST | BPF_MEM | BPF_DW, d, 0, o, i)
#define LOAD32(d, s, o)	INSN(BPF_LDX | BPF_MEM | BPF_W, d, s, o, 0)
#define LOAD64(d, s, o)	INSN(BPF_LDX | BPF_MEM | BPF_DW, d, s, o, 0)
#define STORE32(d, s, o) INSN(BPF_STX | BPF_MEM | BPF_W, d, s, o, 0)
#define CALL(f)		INSN(BPF_JMP | BPF_CALL, 0, 0, 0, f)
#define EXIT()		INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0)

struct server {
	int fd;
	int prog_fd;
	uint64_t init_flags;
	uint32_t init_abi;
	bool set_flag;
	_Atomic uint32_t seen[EXTFUSE_MAX_OPS];
	pthread_t thread;
	int initialized;
};

static void reply(int fd, uint64_t unique, int error, const void *data,
		  size_t size)
{
	char buf[512];
	struct fuse_out_header *out = (void *)buf;

	if (error)
		size = 0;
	out->len = sizeof(*out) + size;
	out->error = error;
	out->unique = unique;
	if (size)
		memcpy(buf + sizeof(*out), data, size);
	/* a request may be interrupted, a connection aborted: not our test */
	if (write(fd, buf, out->len) < 0)
		return;
}

static void serve_init(struct server *s, const struct fuse_in_header *in)
{
	const struct fuse_init_in *init = (const void *)(in + 1);
	struct fuse_init_out out = {
		.major = FUSE_KERNEL_VERSION,
		.minor = 31,
		.max_write = 65536,
		.flags = FUSE_INIT_EXT,
	};
	uint32_t fd = s->prog_fd;

	s->init_flags = init->flags | (uint64_t)init->flags2 << 32;
	memcpy(&s->init_abi, (char *)init + EXTFUSE_INIT_WORD_OFFSET, 4);
	if (s->set_flag)
		out.flags2 = FUSE_FS_EXTFUSE >> 32;
	memcpy((char *)&out + EXTFUSE_INIT_WORD_OFFSET, &fd, 4);
	reply(s->fd, in->unique, 0, &out, sizeof(out));
	__atomic_store_n(&s->initialized, 1, __ATOMIC_SEQ_CST);
}

static void serve_getattr(struct server *s, const struct fuse_in_header *in)
{
	struct fuse_attr_out out = {
		.attr = { .ino = in->nodeid, .mode = S_IFDIR | 0755, .nlink = 2 },
	};

	reply(s->fd, in->unique, 0, &out, sizeof(out));
}

/* The daemon's own answers differ from any that a program here gives. */
static void *serve(void *arg)
{
	struct server *s = arg;
	static char buf[1 << 18];
	struct fuse_in_header *in = (void *)buf;

	while (read(s->fd, buf, sizeof(buf)) > 0) {
		if (in->opcode < EXTFUSE_MAX_OPS)
			s->seen[in->opcode]++;
		if (in->opcode == FUSE_INIT)
			serve_init(s, in);
		else if (in->opcode == FUSE_GETATTR)
			serve_getattr(s, in);
		else if (in->opcode == FUSE_LOOKUP)
			reply(s->fd, in->unique, -ENOENT, NULL, 0);
		else if (in->opcode != FUSE_FORGET &&
			 in->opcode != FUSE_BATCH_FORGET &&
			 in->opcode != FUSE_INTERRUPT)
			reply(s->fd, in->unique, -EIO, NULL, 0);
	}
	return NULL;
}

static void server_start(struct server *s, int prog_fd, bool set_flag)
{
	char opts[128];

	memset(s, 0, sizeof(*s));
	s->prog_fd = prog_fd;
	s->set_flag = set_flag;
	mkdir(MNT, 0755);
	s->fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	assert_true(s->fd >= 0);
	snprintf(opts, sizeof(opts), "fd=%d,rootmode=40000,user_id=0,group_id=0",
		 s->fd);
	assert_int_equal(mount("attach", MNT, "fuse.attach", 0, opts), 0);
	pthread_create(&s->thread, NULL, serve, s);
	while (!__atomic_load_n(&s->initialized, __ATOMIC_SEQ_CST))
		usleep(1000);
}

static void server_stop(struct server *s)
{
	assert_int_equal(umount2(MNT, MNT_DETACH), 0);
	pthread_join(s->thread, NULL);
	close(s->fd);
}

static struct extfuse_status status(const struct server *s)
{
	struct extfuse_status st = {};

	assert_int_equal(ioctl(s->fd, EXTFUSE_DEV_IOC_STATUS, &st), 0);
	return st;
}

static int prog_type_load(int type, const struct bpf_insn *insns, size_t n)
{
	return bpf_prog_load(type, "attach", "GPL", insns, n, NULL);
}

#define LOAD(insns) prog_type_load(EXTFUSE_PROG_TYPE, insns, ARRAY_SIZE(insns))

static int prog_returning(int value)
{
	struct bpf_insn insns[] = { MOV_IMM(BPF_REG_0, value), EXIT() };
	int fd = LOAD(insns);

	assert_true(fd >= 0);
	return fd;
}

static int stat_errno(const char *name)
{
	char path[64];
	struct stat st;

	snprintf(path, sizeof(path), MNT "/%s", name);
	return stat(path, &st) < 0 ? errno : 0;
}

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
	int file = open("/dev/null", O_RDWR);
	struct {
		int fd;
		int error;
	} cases[] = {
		{ -1, -EBADF }, { 9999, -EBADF }, { file, -EINVAL },
		{ other, -EINVAL },
	};
	struct server s;
	size_t i;

	(void)state;
	assert_true(other >= 0);
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		server_start(&s, cases[i].fd, true);
		assert_int_equal(status(&s).attached, 0);
		assert_int_equal(status(&s).error, cases[i].error);
		assert_int_equal(stat_errno("x"), ENOENT);
		assert_true(s.seen[FUSE_LOOKUP] > 0);
		server_stop(&s);
	}
	close(other);
	close(file);
}

static void ignores_a_program_without_the_flag(void **state)
{
	int fd = prog_returning(-EPERM);
	struct server s;

	(void)state;
	server_start(&s, fd, false);
	assert_int_equal(status(&s).attached, 0);
	assert_int_equal(stat_errno("x"), ENOENT);
	server_stop(&s);
	close(fd);
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
		int fd = prog_returning(cases[i].value);

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
	int fd = prog_returning(0);
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

/* Lifetime (K4) */

static uint32_t prog_id(int fd)
{
	struct bpf_prog_info info = {};
	uint32_t len = sizeof(info);

	assert_int_equal(bpf_obj_get_info_by_fd(fd, &info, &len), 0);
	return info.id;
}

static bool prog_exists(uint32_t id)
{
	int fd = bpf_prog_get_fd_by_id(id);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

static void serves_nothing_after_the_daemon(void **state)
{
	int fd = prog_returning(-EPERM);
	uint32_t id = prog_id(fd);
	struct server s;
	int i, dup_fd;

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
	for (i = 0; i < 200 && prog_exists(id); i++)
		usleep(10000);
	assert_false(prog_exists(id));
}

/* BPF_PROG_TEST_RUN */

static void test_run_checks_and_clamps(void **state)
{
	struct extfuse_req req = {
		.opcode = FUSE_LOOKUP, .nodeid = 1, .in_numargs = 1,
		.out_numargs = 1, .in_size = { 4 },
		.out_size = { sizeof(struct fuse_entry_out) },
	};
	char out[sizeof(struct fuse_entry_out)];
	LIBBPF_OPTS(bpf_test_run_opts, opts, .ctx_in = &req,
		    .ctx_size_in = sizeof(req), .data_in = "abc",
		    .data_size_in = 4, .data_out = out,
		    .data_size_out = sizeof(out));
	int fd = prog_writing(sizeof(struct fuse_entry_out));

	(void)state;
	memset(out, 1, sizeof(out));
	assert_int_equal(bpf_prog_test_run_opts(fd, &opts), 0);
	assert_int_equal(opts.retval, 0);
	assert_int_equal(opts.data_size_out, sizeof(out));
	assert_int_equal(out[0], 0);
	req.opcode = FUSE_MKDIR;
	opts.data_size_out = sizeof(out);
	assert_int_equal(bpf_prog_test_run_opts(fd, &opts), 0);
	assert_int_equal(opts.retval, EXTFUSE_UPCALL);
	req.opcode = 63;
	assert_int_equal(bpf_prog_test_run_opts(fd, &opts), -EINVAL);
	req.opcode = FUSE_LOOKUP;
	req.in_size[0] = 5;
	assert_int_equal(bpf_prog_test_run_opts(fd, &opts), -EINVAL);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(offers_its_abi),
		cmocka_unit_test(refuses_what_is_no_program),
		cmocka_unit_test(ignores_a_program_without_the_flag),
		cmocka_unit_test(clamps_what_programs_return),
		cmocka_unit_test(never_swallows_a_change),
		cmocka_unit_test(wants_outputs_complete),
		cmocka_unit_test(context_is_read_only_and_bounded),
		cmocka_unit_test(helper_fills_its_buffer),
		cmocka_unit_test(serves_nothing_after_the_daemon),
		cmocka_unit_test(test_run_checks_and_clamps),
	};

	setvbuf(stdout, NULL, _IOLBF, 0);
	libbpf_set_strict_mode(LIBBPF_STRICT_ALL);
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("attach", tests, NULL, NULL) != 0;
}
