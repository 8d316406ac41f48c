// SPDX-License-Identifier: GPL-2.0-only
/*
 * K4: mounts that come and go leave no memory behind.
 *
 * usage: cycles N [COMMAND [ARG]...]
 *
 * N times: mount, attach a program with maps, use the mount, end it in one of
 * three ways; or run COMMAND, which must mount and unmount.  What leaks once
 * in a cycle, be it a program, a map or an object of any slab cache, shows
 * after some hundred of them beside what a kernel has in use anyway.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <bpf/libbpf.h>

#include "gen.h"
#include "insn.h"
#include "tinyfs.h"

#define MNT "/run/extfuse-cycles"
#define MAX_COUNTERS 512

/*
 * How much of something is in use; how much of it a cycle may not leave, beside
 * what changes anyway
 */
struct counter {
	char name[64];
	long value;
	long slack;
	double per_cycle;
};

struct sample {
	struct counter c[MAX_COUNTERS];
	int n;
};

static struct server *s;

static void fail(const char *what)
{
	printf("FAIL cycles: %s\n", what);
	umount2(MNT, MNT_DETACH);
	exit(1);
}

static void add(struct sample *m, const char *name, long value, long slack,
		double per_cycle)
{
	struct counter *c = &m->c[m->n];

	if (m->n == MAX_COUNTERS)
		return;
	snprintf(c->name, sizeof(c->name), "%.63s", name);
	c->value = value;
	c->slack = slack;
	c->per_cycle = per_cycle;
	m->n++;
}

static void put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);

	if (fd >= 0 && write(fd, text, strlen(text)) < 0)
		perror(path);
	close(fd);
}

/* Empty per-CPU slabs: slabinfo counts all of such a slab as in use */
static void shrink(const char *cache)
{
	char path[128];

	snprintf(path, sizeof(path), "/sys/kernel/slab/%s/shrink", cache);
	put(path, "1");
}

static void sample_slabs(struct sample *m, bool only_shrink)
{
	long active, per_slab, cpus = sysconf(_SC_NPROCESSORS_ONLN);
	FILE *f = fopen("/proc/slabinfo", "r");
	char line[512], name[64];

	if (!f)
		fail("no /proc/slabinfo");
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%63s %ld %*d %*d %ld", name, &active,
			   &per_slab) != 3)
			continue;
		/*
		 * Freed lazily, many at a time: VmallocUsed shows their pages.
		 * kmemleak keeps an object and a scan area of each.
		 */
		if (strcmp(name, "vmap_area") == 0 ||
		    strncmp(name, "kmemleak_", 9) == 0)
			continue;
		if (only_shrink)
			shrink(name);
		else
			add(m, name, active, 2 * cpus * per_slab, 0.9);
	}
	fclose(f);
}

static void sample_meminfo(struct sample *m)
{
	/* in kB; one page, or for Percpu one word on each CPU of it, a cycle */
	static const struct {
		const char *name;
		double per_cycle;
	} lines[] = {
		{ "Percpu", 1 }, { "PageTables", 3.6 }, { "KernelStack", 3.6 },
		{ "VmallocUsed", 3.6 },
	};
	char line[128], name[32];
	FILE *f = fopen("/proc/meminfo", "r");
	long value;
	size_t i;

	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%31[^:]: %ld", name, &value) != 2)
			continue;
		for (i = 0; i < ARRAY_SIZE(lines); i++)
			if (strcmp(name, lines[i].name) == 0)
				add(m, name, value, 64,
				    lines[i].per_cycle);
	}
	if (f)
		fclose(f);
}

static void sample_bpf(struct sample *m)
{
	unsigned int id = 0;
	long n = 0;

	while (bpf_prog_get_next_id(id, &id) == 0)
		n++;
	add(m, "BPF programs", n, 0, 0);
	id = 0;
	n = 0;
	while (bpf_map_get_next_id(id, &id) == 0)
		n++;
	add(m, "BPF maps", n, 0, 0);
}

/* After all that is freed later is freed, and caches are dropped */
static void sample(struct sample *m)
{
	int i;

	m->n = 0;
	for (i = 0; i < 3; i++) {
		sync();
		put("/proc/sys/vm/drop_caches", "3");
		sleep(1);
	}
	sample_slabs(m, true);
	sample_slabs(m, false);
	sample_meminfo(m);
	sample_bpf(m);
}

static const struct counter *find(const struct sample *m, const char *name)
{
	int i;

	for (i = 0; i < m->n; i++)
		if (strcmp(m->c[i].name, name) == 0)
			return &m->c[i];
	return NULL;
}

static bool compare(const struct sample *before, const struct sample *after,
		    int cycles, bool say)
{
	bool good = true;
	int i;

	for (i = 0; i < after->n; i++) {
		const struct counter *now = &after->c[i];
		const struct counter *was = find(before, now->name);
		long grown = now->value - (was ? was->value : 0);

		if (grown > now->slack + now->per_cycle * cycles) {
			if (say)
				printf("FAIL cycles: %s grew by %ld in %d cycles\n",
				       now->name, grown, cycles);
			good = false;
		}
	}
	return good;
}

static void use_mount(void)
{
	static const char *const names[] = { "d0/f0", "d1/f1", "d0/l0", "nothing" };
	char path[64], buf[4096];
	struct stat st;
	size_t i;
	int fd;

	for (i = 0; i < ARRAY_SIZE(names); i++) {
		snprintf(path, sizeof(path), MNT "/%s", names[i]);
		lstat(path, &st);
		fd = open(path, O_RDWR | O_NOFOLLOW);
		if (fd < 0)
			continue;
		if (read(fd, buf, sizeof(buf)) > 0 &&
		    write(fd, buf, sizeof(buf)) < 0)
			perror(path);
		close(fd);
	}
}

static void close_maps(const struct gen_maps *maps)
{
	const int fds[] = { maps->array, maps->percpu, maps->hash, maps->lru,
			    maps->ring, maps->progs, maps->counts };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(fds); i++)
		close(fds[i]);
}

static void cycle(int n)
{
	struct gen_maps maps;
	uint32_t slot = 5;
	pid_t child;

	memset(s, 0, sizeof(*s));
	s->mnt = MNT;
	s->want = TINYFS_WANT;
	s->init = tinyfs_init;
	s->answer = tinyfs_answer;
	s->set_flag = true;
	if (gen_maps_new(&maps) < 0)
		fail("no maps");
	s->prog_fd = gen_prog(&maps, n, true);
	if (s->prog_fd < 0)
		s->prog_fd = prog_returning(EXTFUSE_UPCALL);
	/* a program in a map that it uses: they must not keep each other */
	bpf_map_update_elem(maps.progs, &slot, &s->prog_fd, BPF_ANY);
	if (server_mount(s, "") < 0)
		fail("cannot mount");
	child = fork();
	if (child == 0) {
		server_loop(s);
		_exit(0);
	}
	if (!server_wait(s) || server_fd_status(s->fd).attached != 1)
		fail("not attached");
	close(s->prog_fd);
	close_maps(&maps);
	use_mount();
	close(s->fd);
	if (n % 3 == 1)
		kill(child, SIGKILL);
	else if (n % 3 == 2)
		umount2(MNT, MNT_FORCE);
	umount2(MNT, MNT_DETACH);
	waitpid(child, NULL, 0);
}

static void run_cycle(int n, char **command)
{
	pid_t child;
	int status;

	if (!command) {
		cycle(n);
		return;
	}
	child = fork();
	if (child == 0) {
		execvp(command[0], command);
		_exit(127);
	}
	if (waitpid(child, &status, 0) != child || status)
		fail("the command failed");
}

int main(int argc, char **argv)
{
	static struct sample before, after;
	char **command = argc > 2 ? argv + 2 : NULL;
	int i, n = argc > 1 ? atoi(argv[1]) : 0;

	setvbuf(stdout, NULL, _IOLBF, 0);
	libbpf_set_strict_mode(LIBBPF_STRICT_ALL);
	if (n < 1) {
		fprintf(stderr, "usage: cycles N [COMMAND [ARG]...]\n");
		return 1;
	}
	s = mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE,
		 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	/* what is made once is made now */
	for (i = 0; i < 1 + n / 10; i++)
		run_cycle(i, command);
	sample(&before);
	for (i = 0; i < n; i++)
		run_cycle(i, command);
	/* kworkers, which come with the load, end when idle for 5 minutes */
	for (i = 0;; i++) {
		sample(&after);
		if (compare(&before, &after, n, i == 11))
			break;
		if (i == 11)
			return 1;
		sleep(30);
	}
	printf("ok cycles: %d of %s, %d counters back to where they were\n", n,
	       command ? command[0] : "raw mounts", after.n);
	return 0;
}
