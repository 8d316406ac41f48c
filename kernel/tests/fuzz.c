// SPDX-License-Identifier: GPL-2.0-only
/*
 * K1..K3 under programs at random: each round attaches some to a mount that is
 * used meanwhile, changes their maps under them, and ends the mount in one of
 * four ways.  The kernel's log tells the rest: a complaint fails the VM's run.
 *
 * usage: fuzz [-s SEED] [-r FIRST_ROUND] [-n ROUNDS | -t SECONDS] [-m MS] [-f]
 *
 * The seed and the round make the programs and what is done; with -f memory
 * allocations of those who use the mount fail now and then.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <bpf/libbpf.h>

#include "gen.h"
#include "inject.h"
#include "insn.h"
#include "ops.h"
#include "tinyfs.h"

#define MNT "/run/extfuse-fuzz"
#define USERS 3
#define PROGS 6
/* For how long round 0 has a program that counts and forbids nothing */
#define TAME_MS 3000
/* Rounds after which one of them must have answered something */
#define MIN_SERVING 10

enum ending { GRACEFUL, ABORT, DETACH, KILL, NUM_ENDINGS };

struct shared {
	struct server server;
	volatile int end;
	_Atomic uint64_t ops;
};

static struct {
	uint64_t seed;
	unsigned int first, rounds, seconds, ms;
	bool faults;
} opt = { .rounds = ~0U, .seconds = 30, .ms = 300 };

static struct {
	uint64_t runs[GEN_COUNTS];
	uint64_t served;
	unsigned int rounds, progs;
} total;

static struct shared *shared;
static struct gen_maps maps;
static uint64_t *counts;
static unsigned int round_no;

static const struct {
	const char *name;
	uint8_t policy;
} ops[EXTFUSE_MAX_OPS] = {
#define OP(op, nr, flags, name1, name2) [nr] = { #op, flags },
	EXTFUSE_OPS(OP)
#undef OP
};

static void fail(const char *what)
{
	printf("FAIL fuzz: %s (replay: fuzz -s %llu -r %u -n 1)\n", what,
	       (unsigned long long)opt.seed, round_no);
	umount2(MNT, MNT_DETACH);
	exit(1);
}

static pid_t start_server(int dir)
{
	struct server *s = &shared->server;
	pid_t child = fork();

	if (child)
		return child;
	/* the mount must not live by a descriptor of its server */
	close(dir);
	pthread_create(&s->thread, NULL, server_loop, s);
	server_loop(s);
	pthread_join(s->thread, NULL);
	_exit(0);
}

static pid_t start_user(int dir, uint64_t seed)
{
	pid_t child = fork();

	if (child)
		return child;
	/* the connection must not live by a copy of ours */
	close(shared->server.fd);
	if (opt.faults)
		inject_me();
	shared->ops += ops_run(dir, seed, &shared->end);
	_exit(0);
}

/* A hang of the kernel's shows where */
static void wait_for(pid_t child, const char *who)
{
	char path[64], stack[2048];
	ssize_t n;
	int i, fd;

	for (i = 0; i < 6000; i++) {
		if (waitpid(child, NULL, WNOHANG) == child)
			return;
		usleep(10000);
	}
	snprintf(path, sizeof(path), "/proc/%d/stack", child);
	fd = open(path, O_RDONLY);
	n = read(fd, stack, sizeof(stack));
	fwrite(stack, n > 0 ? n : 0, 1, stderr);
	fail(who);
}

static int new_prog(uint64_t *rng, bool main)
{
	int fd, tries;

	for (tries = 0; tries < 20; tries++) {
		fd = gen_prog(&maps, random_next(rng), main);
		if (fd >= 0) {
			total.progs++;
			return fd;
		}
	}
	fail("no program passes the verifier");
	return -1;
}

/* Some values of some map, from here */
static void poke_map(uint64_t *rng, int map)
{
	uint64_t value[GEN_VALUE_SIZE / 8 * 64];
	uint64_t key = random_below(rng, GEN_ENTRIES);
	size_t i;

	for (i = 0; i < ARRAY_SIZE(value); i++)
		value[i] = random_next(rng) >> random_below(rng, 64);
	bpf_map_update_elem(map, &key, value, BPF_ANY);
	if (random_below(rng, 4) == 0)
		bpf_map_delete_elem(map, &key);
}

/* Any program but the first, the main one: its runs are counted. */
static void fill_slot(uint64_t *rng, const int *progs, uint32_t slot)
{
	bpf_map_update_elem(maps.progs, &slot,
			    &progs[1 + random_below(rng, PROGS - 1)], BPF_ANY);
}

static void poke(uint64_t *rng, const int *progs)
{
	uint32_t slot = random_below(rng, EXTFUSE_MAX_OPS);

	switch (random_below(rng, 6)) {
	case 0:
		poke_map(rng, maps.array);
		break;
	case 1:
		poke_map(rng, maps.percpu);
		break;
	case 2:
		poke_map(rng, maps.hash);
		break;
	case 3:
		poke_map(rng, maps.lru);
		break;
	case 4:
		bpf_map_delete_elem(maps.progs, &slot);
		break;
	default:
		fill_slot(rng, progs, slot);
	}
}

static void poke_for(uint64_t *rng, const int *progs, unsigned int ms)
{
	unsigned int i;

	for (i = 0; i < ms; i += 2) {
		poke(rng, progs);
		usleep(2000);
	}
}

/*
 * K3: whatever programs may only watch has reached the server, each time, and
 * what they may answer has reached them: @exact, where no request was cut off.
 * But of some requests there are those that pass programs by (C8).
 */
static void check_counts(bool exact)
{
	char what[128];
	int op;

	for (op = 0; op < EXTFUSE_MAX_OPS; op++) {
		uint64_t runs = counts[op], seen = shared->server.seen[op];

		if (!ops[op].name || (ops[op].policy & EXTFUSE_OP_PASSTHRU))
			continue;
		if (ops[op].policy & EXTFUSE_OP_SERVE && runs > seen)
			total.served += runs - seen;
		if (!exact)
			continue;
		if (op == FUSE_LOOKUP || op == FUSE_GETATTR ||
		    op == FUSE_GETXATTR || !strcmp(ops[op].name, "STATX"))
			continue;
		if (ops[op].policy & EXTFUSE_OP_SERVE ? seen > runs :
							seen != runs) {
			snprintf(what, sizeof(what),
				 "%s: %llu runs, %llu requests", ops[op].name,
				 (unsigned long long)runs,
				 (unsigned long long)seen);
			fail(what);
		}
	}
}

static void add_counts(void)
{
	int i;

	for (i = 0; i < GEN_COUNTS; i++)
		total.runs[i] += counts[i];
	memset(counts, 0, GEN_COUNTS * sizeof(*counts));
}

static void end_round(enum ending ending, pid_t server, const pid_t *users,
		      int dir)
{
	struct server *s = &shared->server;
	int i;

	if (ending == ABORT) {
		umount2(MNT, MNT_FORCE);
		usleep(50000);
	} else if (ending == DETACH) {
		umount2(MNT, MNT_DETACH);
		usleep(50000);
	} else if (ending == KILL) {
		close(s->fd);
		kill(server, SIGKILL);
		usleep(50000);
	}
	shared->end = 1;
	for (i = 0; i < USERS; i++)
		wait_for(users[i], "who uses the mount hangs");
	check_counts(ending == GRACEFUL && !opt.faults);
	close(dir);
	umount2(MNT, MNT_DETACH);
	if (ending != KILL)
		close(s->fd);
	wait_for(server, "the server hangs");
}

static void fuzz_round(void)
{
	uint64_t rng = random_start(opt.seed, round_no);
	enum ending ending = round_no ? random_below(&rng, NUM_ENDINGS) :
					GRACEFUL;
	const char *options = random_below(&rng, 2) ? "" : "default_permissions";
	struct server *s = &shared->server;
	pid_t server, users[USERS];
	int progs[PROGS], dir, i;
	uint32_t slot;

	for (i = 0; i < PROGS; i++)
		progs[i] = i || round_no ? new_prog(&rng, i == 0) :
					   gen_tame(&maps);
	for (slot = 0; slot < EXTFUSE_MAX_OPS; slot++)
		fill_slot(&rng, progs, slot);
	memset(shared, 0, sizeof(*shared));
	s->mnt = MNT;
	s->prog_fd = progs[0];
	s->set_flag = true;
	/* of which READDIRPLUS alone would be all that is used */
	s->want = TINYFS_WANT | FUSE_READDIRPLUS_AUTO;
	s->init = tinyfs_init;
	s->answer = tinyfs_answer;
	if (server_mount(s, options) < 0)
		fail("cannot mount");
	dir = open(MNT, O_PATH | O_DIRECTORY);
	server = start_server(dir);
	if (!server_wait(s) || server_fd_status(s->fd).attached != 1)
		fail("not attached");
	for (i = 0; i < USERS; i++)
		users[i] = start_user(dir, random_next(&rng));
	poke_for(&rng, progs, round_no ? opt.ms : TAME_MS);
	end_round(ending, server, users, dir);
	add_counts();
	for (i = 0; i < PROGS; i++)
		close(progs[i]);
	total.rounds++;
}

static unsigned int num_progs(void)
{
	unsigned int id = 0, n = 0;

	while (bpf_prog_get_next_id(id, &id) == 0)
		n++;
	return n;
}

/* Nothing that was attached is left when its maps let go of it, too. */
static void check_progs(unsigned int before)
{
	uint32_t slot;
	int i;

	for (slot = 0; slot < EXTFUSE_MAX_OPS; slot++)
		bpf_map_delete_elem(maps.progs, &slot);
	for (i = 0; i < 1000 && num_progs() > before; i++)
		usleep(10000);
	if (num_progs() > before)
		fail("programs remain");
	printf("ok fuzz: no program remains\n");
}

static bool ran(uint32_t op, uint32_t phase)
{
	return total.runs[phase * EXTFUSE_MAX_OPS + op] > 0;
}

/* What no file operation of this kernel makes: BMAP wants a block device,
 * SYNCFS virtiofs, COPY_FILE_RANGE_64 a newer kernel. */
static bool expected(uint32_t op)
{
	return ops[op].name && op != 37 && op != 50 && op != 53;
}

/* How many of what must run did not yet. */
static unsigned int uncovered(bool say)
{
	static const struct {
		uint32_t op, phase;
		const char *name;
	} io[] = {
		{ FUSE_READ, EXTFUSE_PHASE_ENTER, "READ, ENTER" },
		{ FUSE_READ, EXTFUSE_PHASE_ATIME, "READ, ATIME" },
		{ FUSE_READ, EXTFUSE_PHASE_EXIT, "READ, EXIT" },
		{ FUSE_WRITE, EXTFUSE_PHASE_ENTER, "WRITE, ENTER" },
		{ FUSE_WRITE, EXTFUSE_PHASE_EXIT, "WRITE, EXIT" },
		{ FUSE_WRITE, EXTFUSE_PHASE_MMAP, "WRITE, MMAP" },
	};
	unsigned int missing = 0;
	uint32_t op;
	size_t i;

	for (op = 0; op < EXTFUSE_MAX_OPS; op++)
		if (expected(op) && !ran(op, EXTFUSE_PHASE_REQUEST)) {
			if (say)
				printf("FAIL fuzz: no program ran for %s\n",
				       ops[op].name);
			missing++;
		}
	for (i = 0; i < ARRAY_SIZE(io); i++)
		if (!ran(io[i].op, io[i].phase)) {
			if (say)
				printf("FAIL fuzz: no program ran for %s\n",
				       io[i].name);
			missing++;
		}
	return missing;
}

static void check_coverage(void)
{
	if (uncovered(true))
		exit(1);
	if (!total.served && total.rounds >= MIN_SERVING)
		fail("no program answered anything");
	printf("ok fuzz: every opcode and phase\n");
}

/* On a busy machine, or where allocations fail, a rare opcode may need longer. */
static bool time_is_up(time_t start)
{
	time_t ran_for = time(NULL) - start;

	return ran_for >= opt.seconds &&
	       (!uncovered(false) || ran_for >= 3 * opt.seconds);
}

static void say_kmsg(void)
{
	int fd = open("/dev/kmsg", O_WRONLY);

	dprintf(fd, "fuzz: seed %llu round %u\n", (unsigned long long)opt.seed,
		round_no);
	close(fd);
}

static void parse(int argc, char **argv)
{
	struct timespec ts;
	int c;

	clock_gettime(CLOCK_REALTIME, &ts);
	opt.seed = ts.tv_sec ^ ts.tv_nsec << 12 % 1000000;
	while ((c = getopt(argc, argv, "s:r:n:t:m:f")) != -1) {
		switch (c) {
		case 's':
			opt.seed = strtoull(optarg, NULL, 0);
			break;
		case 'r':
			opt.first = atoi(optarg);
			break;
		case 'n':
			opt.rounds = atoi(optarg);
			opt.seconds = 0;
			break;
		case 't':
			opt.seconds = atoi(optarg);
			break;
		case 'm':
			opt.ms = atoi(optarg);
			break;
		case 'f':
			opt.faults = true;
			break;
		default:
			fprintf(stderr, "usage: fuzz [-s SEED] [-r FIRST_ROUND] [-n ROUNDS | -t SECONDS] [-m MS] [-f]\n");
			exit(1);
		}
	}
}

int main(int argc, char **argv)
{
	time_t start = time(NULL);
	unsigned int before, i;
	uint64_t runs = 0;

	setvbuf(stdout, NULL, _IOLBF, 0);
	libbpf_set_strict_mode(LIBBPF_STRICT_ALL);
	parse(argc, argv);
	printf("# fuzz: seed %llu\n", (unsigned long long)opt.seed);
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	before = num_progs();
	if (shared == MAP_FAILED || gen_maps_new(&maps) < 0)
		fail("no memory or no maps");
	counts = mmap(NULL, GEN_COUNTS * sizeof(*counts),
		      PROT_READ | PROT_WRITE, MAP_SHARED, maps.counts, 0);
	if (counts == MAP_FAILED)
		fail("a map that cannot be mapped");
	if (opt.faults && !inject_init(1))
		fail("the kernel has no fault injection");
	for (i = 0; i < opt.rounds; i++) {
		if (opt.seconds && time_is_up(start))
			break;
		round_no = opt.first + i;
		say_kmsg();
		fuzz_round();
	}
	for (i = 0; i < GEN_COUNTS; i++)
		runs += total.runs[i];
	printf("ok fuzz: %u rounds, %u programs (%u refused), %llu runs, %llu served, seed %llu\n",
	       total.rounds, total.progs, gen_refused, (unsigned long long)runs,
	       (unsigned long long)total.served, (unsigned long long)opt.seed);
	check_progs(before);
	if (opt.first == 0)
		check_coverage();
	return 0;
}
