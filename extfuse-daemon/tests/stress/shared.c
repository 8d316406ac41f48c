// SPDX-License-Identifier: GPL-2.0-only
/*
 * Several processes.  Each has a tree of its own, as if it were alone, and all
 * meet in one: registers (register.c), which one process changes and all look
 * at, and files that only ever grow.
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shared.h"

struct shm *shm;
int shared_mnt, shared_lower;

static int log_fd, counter_fd, page_fd;
static _Atomic uint64_t *page;

static uint64_t ns(struct timespec t)
{
	return t.tv_sec * 1000000000ULL + t.tv_nsec;
}

static void raise_to(_Atomic uint64_t *max, uint64_t value)
{
	uint64_t old = *max;

	while (old < value && !atomic_compare_exchange_weak(max, &old, value))
		;
}

/* What somebody has seen before this look began must not be undone in it. */
static int not_before(const char *what, uint64_t floor, uint64_t seen)
{
	if (seen >= floor)
		return 0;
	fprintf(stderr, "# %s: %lu, but %lu was seen before\n", what, seen,
		floor);
	return 1;
}

static int look_at(const char *name, struct growing *g)
{
	uint64_t size = g->size, mtime = g->mtime, ctime = g->ctime;
	struct stat st;

	if (fstatat(shared_mnt, name, &st, 0)) {
		perror(name);
		return 1;
	}
	if (not_before("size", size, S_ISREG(st.st_mode) ? (uint64_t)st.st_size : size) ||
	    not_before("mtime", mtime, ns(st.st_mtim)) ||
	    not_before("ctime", ctime, ns(st.st_ctim))) {
		fprintf(stderr, "# of %s\n", name);
		return 1;
	}
	raise_to(&g->mtime, ns(st.st_mtim));
	raise_to(&g->ctime, ns(st.st_ctim));
	return 0;
}

static int append(int self)
{
	struct record rec = { .self = self, .number = shm->appended[self] };

	if (write(log_fd, &rec, sizeof(rec)) != sizeof(rec)) {
		perror("# append");
		return 1;
	}
	shm->appended[self]++;
	shm->log.size += sizeof(rec);
	return look_at("log", &shm->log);
}

/* Exact, since it is read and written under a lock. */
static int count_one(bool whole)
{
	struct flock fl = { .l_type = F_WRLCK };
	uint64_t value = 0, want;
	int bad;

	if (whole ? flock(counter_fd, LOCK_EX) :
		    fcntl(counter_fd, F_OFD_SETLKW, &fl)) {
		perror("# lock");
		return 1;
	}
	want = shm->counter[whole];
	bad = pread(counter_fd, &value, sizeof(value), whole * sizeof(value)) !=
		      sizeof(value) || value != want;
	if (bad)
		fprintf(stderr, "# counter: %lu, not %lu\n", value, want);
	value++;
	if (pwrite(counter_fd, &value, sizeof(value), whole * sizeof(value)) !=
	    sizeof(value))
		bad = 1;
	shm->counter[whole] = value;
	fl.l_type = F_UNLCK;
	if (whole)
		flock(counter_fd, LOCK_UN);
	else
		fcntl(counter_fd, F_OFD_SETLK, &fl);
	return bad;
}

static int store(int self)
{
	page[self]++;
	shm->stored[self] = page[self];
	return 0;
}

static int look_at_stored(int other)
{
	uint64_t floor = shm->stored[other], value = 0;

	if (pread(page_fd, &value, sizeof(value), other * sizeof(value)) !=
	    sizeof(value)) {
		perror("# stored");
		return 1;
	}
	return not_before("stored word", floor, value);
}

static int shared_step(int self, uint64_t index)
{
	uint64_t r = rnd(index, 0);

	switch (r % 10) {
	case 0:
		return append(self);
	case 1:
		return count_one(r / 10 % 2);
	case 2:
		return r / 10 % 2 ? store(self) :
				    look_at_stored(r / 20 % cfg.procs);
	case 3:
		return r / 10 % 2 ? look_at("0", &shm->dir[0]) :
				    look_at("1", &shm->dir[1]);
	case 4:
	case 5:
	case 6:
		return register_change(self, index);
	default:
		return register_look(index);
	}
}

static int open_shared(const char *name, int flags)
{
	int fd = openat(shared_mnt, name, flags | O_CREAT, 0666);

	if (fd < 0)
		err(2, "%s", name);
	return fd;
}

static void worker(int self)
{
	uint64_t base = (uint64_t)(self + 1) << 40, i, n = cfg.ops / cfg.procs;
	struct run r;
	char sub[16];
	int bad = 0;

	log_fd = open_shared("log", O_RDWR | O_APPEND);
	counter_fd = open_shared("counter", O_RDWR);
	snprintf(sub, sizeof(sub), "own%d", self);
	run_start(&r, sub);
	register_start(self);
	for (i = 0; i < n && !bad && !shm->failed; i++) {
		if (rnd(base + i, 60) % 2) {
			bad = run_op(&r, base + i);
		} else {
			bad = shared_step(self, base + i);
			shm->shared++;
		}
	}
	if (!bad && !shm->failed)
		bad = run_audit(&r);
	for (i = 0; i < NKINDS; i++) {
		shm->count[i] += r.count[i];
		shm->good[i] += r.good[i];
	}
	if (bad) {
		shm->failed = 1;
		fprintf(stderr, "# process %d\n", self);
	}
	run_end(&r);
	_exit(bad);
}

static int check_log(void)
{
	uint64_t next[MAX_PROCS] = { 0 };
	struct record rec;
	off_t off = 0;
	int i, fd = openat(shared_lower, "log", O_RDONLY), bad = 0;

	for (; pread(fd, &rec, sizeof(rec), off) == sizeof(rec);
	     off += sizeof(rec))
		if (rec.self >= (unsigned int)cfg.procs ||
		    rec.number != next[rec.self]++)
			bad = 1;
	for (i = 0; i < cfg.procs; i++)
		bad |= next[i] != shm->appended[i];
	if (bad)
		fprintf(stderr, "# log: records are missing, damaged or too many\n");
	close(fd);
	return bad;
}

static void shared_start(void)
{
	uint64_t zero[512] = { 0 };
	char path[MAX_PATH];

	shm = mmap(NULL, sizeof(*shm), PROT_READ | PROT_WRITE,
		   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	snprintf(path, sizeof(path), "%s/shared", cfg.mount);
	if (shm == MAP_FAILED || mkdir(path, 0755))
		err(2, "%s", path);
	shared_mnt = open(path, O_RDONLY | O_DIRECTORY);
	/* a link to "." leads up to here: as many directories there as here */
	snprintf(path, sizeof(path), "%s/shared", cfg.ref);
	if (mkdir(path, 0755))
		err(2, "%s", path);
	snprintf(path, sizeof(path), "%s/shared", cfg.lower);
	shared_lower = open(path, O_RDONLY | O_DIRECTORY);
	if (mkdirat(shared_mnt, "0", 0755) || mkdirat(shared_mnt, "1", 0755))
		err(2, "shared");
	close(open_shared("log", O_WRONLY));
	counter_fd = open_shared("counter", O_RDWR);
	page_fd = open_shared("page", O_RDWR);
	if (pwrite(counter_fd, zero, 16, 0) != 16 ||
	    pwrite(page_fd, zero, sizeof(zero), 0) != sizeof(zero))
		err(2, "shared");
	page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, page_fd, 0);
	if (page == MAP_FAILED)
		err(2, "mmap");
}

int shared_run(void)
{
	int i, status, bad = 0;
	uint64_t count[NKINDS], good[NKINDS];

	if (cfg.procs > MAX_PROCS)
		errx(2, "at most %d processes", MAX_PROCS);
	shared_start();
	for (i = 0; i < cfg.procs; i++) {
		fflush(NULL);
		if (!fork())
			worker(i);
	}
	while (wait(&status) > 0)
		bad |= status;
	if (cfg.writeback)
		syncfs(shared_mnt);
	bad = bad || check_log();
	for (i = 0; i < NKINDS; i++) {
		count[i] = shm->count[i];
		good[i] = shm->good[i];
	}
	report(count, good);
	printf("shared: %lu, of them %lu looks that could be judged\n",
	       (uint64_t)shm->shared, (uint64_t)shm->judged);
	return bad;
}
