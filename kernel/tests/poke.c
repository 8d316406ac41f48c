// SPDX-License-Identifier: GPL-2.0-only
/*
 * K1 with arbitrary map content: random words in the maps of a mount of the
 * real object while it is used, and its handlers exchanged for each other.
 * What the mount answers is nonsense then; the kernel must not mind.
 *
 * usage: poke DIRECTORY SECONDS [SEED]
 *
 * Prints the seed, and how much was done.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "insn.h"
#include "ops.h"

#define USERS 3
#define MAX_HANDLERS 64

struct memory {
	uint64_t *words;
	size_t n;
};

static struct memory memory[4];
static int handlers = -1;
static int progs[MAX_HANDLERS];
static int num_progs;

static void add_memory(int fd, const struct bpf_map_info *info)
{
	size_t size = (size_t)info->value_size * info->max_entries;
	struct memory *m;
	int i;

	for (i = 0; i < 4 && memory[i].words; i++)
		;
	if (i == 4)
		return;
	m = &memory[i];
	m->words = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (m->words == MAP_FAILED)
		m->words = NULL;
	m->n = size / sizeof(*m->words);
}

/* The last mount's are the last that were made */
static int find_maps(void)
{
	static const char *const names[] = { "attr_map", "entry_map",
					     "entry_long_map", "xattr_map" };
	struct bpf_map_info info;
	uint32_t id = 0, len;
	int fd, n = 0;
	size_t i;

	while (bpf_map_get_next_id(id, &id) == 0) {
		fd = bpf_map_get_fd_by_id(id);
		len = sizeof(info);
		memset(&info, 0, sizeof(info));
		if (fd < 0 || bpf_obj_get_info_by_fd(fd, &info, &len) < 0)
			continue;
		if (strcmp(info.name, "handlers") == 0)
			handlers = fd;
		for (i = 0; i < ARRAY_SIZE(names); i++)
			if (strcmp(info.name, names[i]) == 0) {
				add_memory(fd, &info);
				n++;
			}
	}
	return n;
}

static void find_progs(void)
{
	struct bpf_prog_info info;
	uint32_t id = 0, len;
	int fd;

	while (num_progs < MAX_HANDLERS && bpf_prog_get_next_id(id, &id) == 0) {
		fd = bpf_prog_get_fd_by_id(id);
		len = sizeof(info);
		memset(&info, 0, sizeof(info));
		if (fd >= 0 && bpf_obj_get_info_by_fd(fd, &info, &len) == 0 &&
		    info.type == EXTFUSE_PROG_TYPE)
			progs[num_progs++] = fd;
	}
}

/* In the first rows, which are the ones in use; half the words from others */
static void poke(uint64_t *rng)
{
	struct memory *m = &memory[random_below(rng, 4)];
	size_t used = m->n < 8192 ? m->n : 8192;
	uint64_t word = random_next(rng) >> random_below(rng, 64);
	uint32_t slot = random_below(rng, EXTFUSE_MAX_OPS);

	if (random_below(rng, 64) == 0 && num_progs)
		bpf_map_update_elem(handlers, &slot,
				    &progs[random_below(rng, num_progs)],
				    BPF_ANY);
	if (!m->words)
		return;
	if (random_below(rng, 2))
		word = m->words[random_below(rng, used)];
	__atomic_store_n(&m->words[random_below(rng, used)], word,
			 __ATOMIC_RELAXED);
}

int main(int argc, char **argv)
{
	uint64_t seed = argc > 3 ? strtoull(argv[3], NULL, 0) :
				   (uint64_t)time(NULL);
	time_t end = time(NULL) + (argc > 2 ? atoi(argv[2]) : 0);
	uint64_t rng = random_start(seed, 0), n;
	volatile int *stop;
	int dir, i;
	pid_t users[USERS];

	if (argc < 3) {
		fprintf(stderr, "usage: poke DIRECTORY SECONDS [SEED]\n");
		return 1;
	}
	libbpf_set_strict_mode(LIBBPF_STRICT_ALL);
	stop = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	dir = open(argv[1], O_PATH | O_DIRECTORY);
	if (dir < 0 || find_maps() != 4 || handlers < 0) {
		fprintf(stderr, "poke: no mount, or not its four maps\n");
		return 1;
	}
	find_progs();
	for (i = 0; i < USERS; i++) {
		users[i] = fork();
		if (users[i] == 0) {
			ops_run(dir, random_next(&rng) + i, stop);
			_exit(0);
		}
	}
	for (n = 0; time(NULL) < end; n++) {
		poke(&rng);
		if (n % 16 == 0)
			usleep(100);
	}
	*stop = 1;
	/* who waits for a daemon that the nonsense has confused is let go by its end */
	usleep(500000);
	for (i = 0; i < USERS; i++)
		kill(users[i], SIGKILL);
	printf("%llu words, %d programs, seed %llu\n", (unsigned long long)n,
	       num_progs, (unsigned long long)seed);
	return 0;
}
