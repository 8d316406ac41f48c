// SPDX-License-Identifier: GPL-2.0-only
/*
 * bench prepare DIR          what the workloads read, in the lower file system
 * bench prepare-tree DIR N   a tree of N empty files
 * bench list                 the workloads' names
 * bench run NAME MOUNT WORK  one workload: DIR seen through MOUNT is MOUNT/data,
 *                            WORK is a directory of its own to write in
 * bench loop NAME MOUNT S    a system call again and again for S seconds
 * bench time MOUNT COMMAND   a command as a workload, its output to stderr
 *
 * Each prints one line of JSON: how many operations, how long they took, and
 * how many requests reached the daemon meanwhile, by opcode.
 *
 * Under QEMU's -icount the clock counts instructions.  Waiting for a disk
 * executes none, but moves that clock: the time that the CPU was idle is taken
 * off (BENCH_IDLE=1), which makes a wait free.
 */
#include <dirent.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#define NFILES		1000
#define NMANY		10000
#define SMALL		4096
#define LARGE		(128 * 1024)
#define BIG_FILE	(16 * 1024 * 1024)
#define STAT_XATTR	"trusted.extfuse.stat"
#define MAX_OPS		64
#define JSON_MAX	65536

/* Requests by opcode, as the daemon counts them. */
struct requests {
	unsigned int n;
	struct {
		char name[24];
		long count;
	} op[MAX_OPS];
};

struct run {
	const char *mount;
	char data[PATH_MAX / 2];
	const char *work;
	unsigned int scale;
	uint64_t start, idle, ns, ops;
	struct requests before, after;
};

static void die_unless(bool ok, const char *what)
{
	if (!ok)
		err(1, "%s", what);
}

/* Measuring */

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * UINT64_C(1000000000) + ts.tv_nsec;
}

static uint64_t idle_ns(void)
{
	uint64_t sum = 0, ns;
	char line[256];
	FILE *f;

	if (!getenv("BENCH_IDLE"))
		return 0;
	f = fopen("/proc/timer_list", "re");
	die_unless(f, "/proc/timer_list");
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, " .idle_sleeptime : %" SCNu64, &ns) == 1 ||
		    sscanf(line, " .iowait_sleeptime: %" SCNu64, &ns) == 1)
			sum += ns;
	fclose(f);
	return sum;
}

/* "NAME":{"served":1,"upcall":2, ... : no need of a JSON parser for that */
static void requests_get(const char *mount, struct requests *r)
{
	static char json[JSON_MAX];
	const char *p, *name;
	ssize_t len;

	r->n = 0;
	len = getxattr(mount, STAT_XATTR, json, sizeof(json) - 1);
	if (len < 0)
		return;
	json[len] = '\0';
	for (p = json; (p = strstr(p, "\":{\"served\":")) && r->n < MAX_OPS; p++) {
		for (name = p; name[-1] != '"'; name--)
			;
		snprintf(r->op[r->n].name, sizeof(r->op[0].name), "%.*s",
			 (int)(p - name), name);
		name = strstr(p, "\"upcall\":");
		r->op[r->n++].count = strtol(name + strlen("\"upcall\":"),
					     NULL, 10);
	}
}

static void lap_begin(struct run *r)
{
	requests_get(r->mount, &r->before);
	r->idle = idle_ns();
	r->start = now_ns();
}

/*
 * What was removed is the daemon's to let go of, which StackFS does after 50 ms
 * (LINGER_NS): nobody waits for that, but it is work.
 */
static void settle(void)
{
	if (getenv("BENCH_IDLE"))
		usleep(500000);
}

static void lap_end(struct run *r, uint64_t ops)
{
	uint64_t end = now_ns();

	r->ns = end - r->start - (idle_ns() - r->idle);
	r->ops = ops;
	requests_get(r->mount, &r->after);
}

static void report(const struct run *r)
{
	const char *sep = "";
	unsigned int i;
	long n;

	printf("{\"ns\":%" PRIu64 ",\"ops\":%" PRIu64 ",\"requests\":{", r->ns, r->ops);
	for (i = 0; i < r->after.n && r->before.n; i++) {
		n = r->after.op[i].count - r->before.op[i].count;
		/* the question for these numbers is one itself */
		n -= !strcmp(r->after.op[i].name, "GETXATTR");
		if (n <= 0)
			continue;
		printf("%s\"%s\":%ld", sep, r->after.op[i].name, n);
		sep = ",";
	}
	puts("}}");
}

/* Drop the dentries; what is forgotten is then the daemon's to work off. */
static void drop_dentries(void)
{
	int fd = open("/proc/sys/vm/drop_caches", O_WRONLY);

	die_unless(fd >= 0 && write(fd, "2", 1) == 1, "drop_caches");
	close(fd);
	usleep(200000);
}

/* Files */

static int xopen(const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC, 0644);

	die_unless(fd >= 0, path);
	return fd;
}

/* Made once for all names of a kind: printing takes as long as a small stat(). */
static const char *name_of(const struct run *r, const char *kind, unsigned int i)
{
	static char paths[NMANY][128];
	static const char *made;
	unsigned int n;

	if (made != kind) {
		for (n = 0; n < NMANY; n++)
			snprintf(paths[n], sizeof(paths[0]), "%.90s/%.10s/n%06u",
				 r->data, kind, n);
		made = kind;
	}
	return paths[i];
}

static const char *work_name(const struct run *r, const char *kind, unsigned int i)
{
	static char path[2][PATH_MAX];
	static int which;

	which ^= 1;
	snprintf(path[which], sizeof(path[0]), "%s/%s%06u", r->work, kind, i);
	return path[which];
}

static void fill(const char *path, size_t size)
{
	static char block[LARGE];
	int fd = xopen(path, O_CREAT | O_WRONLY);
	size_t at, n;

	for (at = 0; at < size; at += n) {
		n = size - at < sizeof(block) ? size - at : sizeof(block);
		die_unless(write(fd, block, n) == (ssize_t)n, path);
	}
	close(fd);
}

/* Attributes and names */

static void stat_all(struct run *r, const char *kind, int expect)
{
	struct stat st;
	unsigned int i;

	for (i = 0; i < NFILES; i++)
		if ((stat(name_of(r, kind, i), &st) ? errno : 0) != expect)
			err(1, "stat %s", name_of(r, kind, i));
}

static void w_stat(struct run *r)
{
	stat_all(r, "files", 0);
	lap_begin(r);
	stat_all(r, "files", 0);
	stat_all(r, "files", 0);
	lap_end(r, 2 * NFILES);
}

/*
 * After a read by passthrough, though it has nothing to read, the access time is
 * not in the kernel's own cache of attributes: the next stat() is a GETATTR.  (With
 * AT_STATX_FORCE_SYNC it is the daemon that is asked.)
 */
static void read_nothing(int fd)
{
	char c;

	die_unless(!pread(fd, &c, 1, 1LL << 40), "pread");
}

/* Past the kernel's own cache of attributes: what a served GETATTR costs. */
static void stat_sync_all(const struct run *r)
{
	const char *p = name_of(r, "files", 0);
	int fd = xopen(p, O_RDONLY);
	struct statx stx;
	unsigned int i;

	for (i = 0; i < NFILES; i++) {
		read_nothing(fd);
		die_unless(!statx(AT_FDCWD, p, 0, STATX_BASIC_STATS, &stx),
			   "statx");
	}
	close(fd);
}

static void w_stat_sync(struct run *r)
{
	stat_all(r, "files", 0);
	lap_begin(r);
	stat_sync_all(r);
	lap_end(r, NFILES);
}

/* The same files in two processes at once: half as long where two CPUs help. */
static void w_stat_sync_two(struct run *r)
{
	int status, i;

	stat_all(r, "files", 0);
	lap_begin(r);
	for (i = 0; i < 2; i++) {
		pid_t pid = fork();

		die_unless(pid >= 0, "fork");
		if (!pid) {
			stat_sync_all(r);
			stat_sync_all(r);
			_exit(0);
		}
	}
	while (wait(&status) > 0)
		die_unless(!status, "child");
	lap_end(r, 4 * NFILES);
}

static void w_stat_late(struct run *r)
{
	stat_all(r, "files", 0);
	usleep(1200000);
	lap_begin(r);
	stat_all(r, "files", 0);
	lap_end(r, NFILES);
}

static void w_lookup(struct run *r)
{
	stat_all(r, "files", 0);
	drop_dentries();
	lap_begin(r);
	stat_all(r, "files", 0);
	lap_end(r, NFILES);
}

static void w_negative(struct run *r)
{
	stat_all(r, "none", ENOENT);
	lap_begin(r);
	stat_all(r, "none", ENOENT);
	stat_all(r, "none", ENOENT);
	lap_end(r, 2 * NFILES);
}

static void w_negative_lookup(struct run *r)
{
	stat_all(r, "none", ENOENT);
	drop_dentries();
	lap_begin(r);
	stat_all(r, "none", ENOENT);
	lap_end(r, NFILES);
}

static void do_fstat(struct run *r, bool again)
{
	int fd = xopen(name_of(r, "files", 0), O_RDONLY);
	struct statx stx;
	unsigned int i;

	lap_begin(r);
	for (i = 0; i < NFILES; i++) {
		if (again)
			read_nothing(fd);
		die_unless(!statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS,
				  &stx), "statx");
	}
	lap_end(r, NFILES);
	close(fd);
}

static void w_fstat(struct run *r)
{
	do_fstat(r, false);
}

static void w_fstat_sync(struct run *r)
{
	do_fstat(r, true);
}

static void readlink_all(struct run *r)
{
	char target[64];
	unsigned int i;

	for (i = 0; i < NFILES; i++)
		die_unless(readlink(name_of(r, "links", i), target,
				    sizeof(target)) > 0, "readlink");
}

static void w_readlink(struct run *r)
{
	readlink_all(r);
	lap_begin(r);
	readlink_all(r);
	lap_end(r, NFILES);
}

static void w_readlink_lookup(struct run *r)
{
	readlink_all(r);
	drop_dentries();
	lap_begin(r);
	readlink_all(r);
	lap_end(r, NFILES);
}

static void getxattr_all(struct run *r, const char *name, ssize_t expect)
{
	char value[64];
	unsigned int i;

	for (i = 0; i < NFILES; i++)
		die_unless(getxattr(name_of(r, "files", i), name, value,
				    sizeof(value)) == expect, name);
}

static void do_getxattr(struct run *r, const char *name, ssize_t expect)
{
	getxattr_all(r, name, expect);
	lap_begin(r);
	getxattr_all(r, name, expect);
	lap_end(r, NFILES);
}

static void w_getxattr(struct run *r)
{
	do_getxattr(r, "user.bench", 16);
}

static void w_getxattr_absent(struct run *r)
{
	do_getxattr(r, "user.none", -1);
}

/* Opening */

static void open_all(struct run *r, bool read_it)
{
	char buf[SMALL];
	unsigned int i;
	int fd;

	for (i = 0; i < NFILES; i++) {
		fd = xopen(name_of(r, "files", i), O_RDONLY);
		die_unless(!read_it || read(fd, buf, sizeof(buf)) == SMALL,
			   "read");
		close(fd);
	}
}

static void w_open(struct run *r)
{
	open_all(r, false);
	lap_begin(r);
	open_all(r, false);
	lap_end(r, NFILES);
}

static void w_open_read(struct run *r)
{
	open_all(r, true);
	lap_begin(r);
	open_all(r, true);
	lap_end(r, NFILES);
}

/* Data */

struct data {
	size_t size;
	bool write;
	bool random;
	bool direct;
};

static void data_pass(int fd, const struct data *d, unsigned int n, void *buf)
{
	const unsigned int blocks = BIG_FILE / d->size;
	unsigned int i, at;
	ssize_t done;

	for (i = 0; i < n; i++) {
		/* an odd factor walks through all blocks of a power of two */
		at = d->random ? (i * 2654435761U >> 4) % blocks : i % blocks;
		done = d->write ? pwrite(fd, buf, d->size, (off_t)at * d->size) :
				  pread(fd, buf, d->size, (off_t)at * d->size);
		die_unless(done == (ssize_t)d->size, "read or write");
	}
}

static void do_data(struct run *r, const struct data *d)
{
	const unsigned int n = d->direct ? 256 : d->size == SMALL ? 2048 : 256;
	int flags = (d->write ? O_WRONLY : O_RDONLY) | (d->direct ? O_DIRECT : 0);
	void *buf = aligned_alloc(SMALL, d->size);
	char path[PATH_MAX];
	int fd;

	die_unless(buf, "memory");
	memset(buf, 1, d->size);
	if (d->write) {
		snprintf(path, sizeof(path), "%s/big", r->work);
		fill(path, BIG_FILE);
		sync();
	} else {
		snprintf(path, sizeof(path), "%s/big", r->data);
	}
	fd = xopen(path, flags);
	data_pass(fd, d, n, buf);
	lap_begin(r);
	data_pass(fd, d, n, buf);
	lap_end(r, n);
	close(fd);
	free(buf);
	if (d->write)
		unlink(path);
}

#define DATA(name, ...)						\
static void w_##name(struct run *r)				\
{								\
	do_data(r, &(struct data){ __VA_ARGS__ });		\
}

DATA(read_4k, .size = SMALL)
DATA(read_128k, .size = LARGE)
DATA(read_random_4k, .size = SMALL, .random = true)
DATA(read_random_128k, .size = LARGE, .random = true)
DATA(read_direct_4k, .size = SMALL, .direct = true)
DATA(read_direct_128k, .size = LARGE, .direct = true)
DATA(write_4k, .size = SMALL, .write = true)
DATA(write_128k, .size = LARGE, .write = true)
DATA(write_random_4k, .size = SMALL, .write = true, .random = true)
DATA(write_random_128k, .size = LARGE, .write = true, .random = true)
DATA(write_direct_4k, .size = SMALL, .write = true, .direct = true)
DATA(write_direct_128k, .size = LARGE, .write = true, .direct = true)

/* Changing names */

static void create_all(struct run *r)
{
	unsigned int i;

	for (i = 0; i < NFILES; i++)
		close(xopen(work_name(r, "c", i), O_CREAT | O_EXCL | O_WRONLY));
}

static void unlink_all(struct run *r, const char *kind)
{
	unsigned int i;

	for (i = 0; i < NFILES; i++)
		die_unless(!unlink(work_name(r, kind, i)), "unlink");
}

static void w_create(struct run *r)
{
	lap_begin(r);
	create_all(r);
	lap_end(r, NFILES);
	unlink_all(r, "c");
}

static void w_unlink(struct run *r)
{
	create_all(r);
	lap_begin(r);
	unlink_all(r, "c");
	settle();
	lap_end(r, NFILES);
}

static void w_rename(struct run *r)
{
	unsigned int i;

	create_all(r);
	lap_begin(r);
	for (i = 0; i < NFILES; i++)
		die_unless(!rename(work_name(r, "c", i), work_name(r, "d", i)),
			   "rename");
	lap_end(r, NFILES);
	unlink_all(r, "d");
}

static void w_mkdir(struct run *r)
{
	unsigned int i;

	lap_begin(r);
	for (i = 0; i < NFILES; i++)
		die_unless(!mkdir(work_name(r, "m", i), 0755), "mkdir");
	lap_end(r, NFILES);
	for (i = 0; i < NFILES; i++)
		rmdir(work_name(r, "m", i));
}

static unsigned int list(const char *dir)
{
	unsigned int n = 0;
	DIR *d = opendir(dir);

	die_unless(d, dir);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static void w_readdir(struct run *r)
{
	char dir[PATH_MAX];

	snprintf(dir, sizeof(dir), "%s/many", r->data);
	list(dir);
	lap_begin(r);
	die_unless(list(dir) == NMANY + 2, dir);
	lap_end(r, NMANY);
}

/*
 * Scaling: NAMES names in the kernel's map, of which some are asked for after
 * the dentries were dropped.  Hard links, because inodes take long to make.
 */
static void scale_path(const struct run *r, char *path, unsigned int i)
{
	snprintf(path, PATH_MAX, "%s/scale/d%u/n%06u", r->mount, i / 1000, i);
}

static void w_scale(struct run *r)
{
	const unsigned int asked = 5000;
	char path[PATH_MAX];
	unsigned int i, step;
	struct stat st;

	for (i = 0; i < r->scale; i++) {
		scale_path(r, path, i);
		die_unless(!stat(path, &st), path);
	}
	drop_dentries();
	step = r->scale / 1000;
	/* the directories' own look-ups are not what is asked for */
	for (i = 0; i < r->scale; i += 1000) {
		snprintf(path, sizeof(path), "%s/scale/d%u", r->mount, i / 1000);
		die_unless(!stat(path, &st), path);
	}
	lap_begin(r);
	for (i = 0; i < asked && i < r->scale; i++) {
		scale_path(r, path, (i * 7919ULL * step) % r->scale);
		die_unless(!stat(path, &st), path);
	}
	lap_end(r, i);
}

static void scale_prepare(const char *dir, unsigned int names)
{
	const struct run r = { .mount = dir };
	char path[PATH_MAX];
	unsigned int i;

	snprintf(path, sizeof(path), "%s/scale", dir);
	die_unless(!mkdir(path, 0755), path);
	for (i = 0; i < names; i++) {
		if (i % 1000 == 0) {
			snprintf(path, sizeof(path), "%s/scale/d%u", dir, i / 1000);
			die_unless(!mkdir(path, 0755), path);
		}
		scale_path(&r, path, i);
		close(xopen(path, O_CREAT | O_WRONLY));
	}
}

static const struct {
	const char *name;
	void (*run)(struct run *r);
} workloads[] = {
#define W(name) { #name, w_##name }
	W(stat), W(stat_sync), W(stat_sync_two), W(stat_late), W(lookup),
	W(negative), W(negative_lookup), W(fstat), W(fstat_sync), W(readlink),
	W(readlink_lookup), W(getxattr), W(getxattr_absent), W(open),
	W(open_read), W(read_4k), W(read_128k), W(read_random_4k),
	W(read_random_128k), W(read_direct_4k), W(read_direct_128k),
	W(write_4k), W(write_128k), W(write_random_4k), W(write_random_128k),
	W(write_direct_4k), W(write_direct_128k), W(create), W(unlink),
	W(rename), W(mkdir), W(readdir),
#undef W
};

static void make_dir(const char *dir, const char *name)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	die_unless(!mkdir(path, 0755), path);
}

static void prepare(const char *dir)
{
	struct run r = { .mount = dir };
	unsigned int i;
	char path[PATH_MAX];

	snprintf(r.data, sizeof(r.data), "%s", dir);
	make_dir(dir, "files");
	make_dir(dir, "links");
	make_dir(dir, "none");
	make_dir(dir, "many");
	for (i = 0; i < NFILES; i++) {
		fill(name_of(&r, "files", i), SMALL);
		die_unless(!setxattr(name_of(&r, "files", i), "user.bench",
				     "sixteen bytes...", 16, 0), "setxattr");
	}
	for (i = 0; i < NFILES; i++)
		die_unless(!symlink("../files/n000000",
				    name_of(&r, "links", i)), "symlink");
	for (i = 0; i < NMANY; i++)
		die_unless(!mknod(name_of(&r, "many", i), S_IFREG | 0644, 0),
			   "mknod");
	snprintf(path, sizeof(path), "%s/big", dir);
	fill(path, BIG_FILE);
	/* with relatime the first access after the last change moves atime */
	usleep(20000);
	open_all(&r, true);
	readlink_all(&r);
	snprintf(path, sizeof(path), "%s/many", dir);
	list(path);
}

static void prepare_tree(const char *dir, unsigned int n)
{
	char path[PATH_MAX];
	unsigned int i;

	die_unless(!mkdir(dir, 0755), dir);
	for (i = 0; i < n; i++) {
		snprintf(path, sizeof(path), "%s/d%04u", dir, i / 100);
		die_unless(i % 100 || !mkdir(path, 0755), path);
		snprintf(path, sizeof(path), "%s/d%04u/file-%u.c", dir, i / 100, i);
		die_unless(!mknod(path, S_IFREG | 0644, 0), path);
	}
}

static int run(const char *name, const char *mount, const char *work, const char *scale)
{
	struct run r = { .mount = mount, .work = work,
			 .scale = scale ? strtoul(scale, NULL, 10) : 0 };
	unsigned int i;

	snprintf(r.data, sizeof(r.data), "%s/data", mount);
	if (!strcmp(name, "scale") && r.scale) {
		w_scale(&r);
		report(&r);
		return 0;
	}
	for (i = 0; i < sizeof(workloads) / sizeof(workloads[0]); i++)
		if (!strcmp(name, workloads[i].name)) {
			workloads[i].run(&r);
			report(&r);
			return 0;
		}
	errx(2, "no workload %s", name);
}

/* For tools/bench-profile: one operation again and again, and nothing else. */
static int loop(const char *name, const char *mount, unsigned int seconds)
{
	const uint64_t end = now_ns() + seconds * UINT64_C(1000000000);
	struct run r = { .mount = mount };
	char buf[SMALL] __attribute__((aligned(SMALL)));
	struct statx stx;
	unsigned int i;
	int fd;

	snprintf(r.data, sizeof(r.data), "%s/data", mount);
	open_all(&r, true);
	fd = xopen(name_of(&r, "files", 0), (strncmp(name, "write", 5) ? O_RDONLY : O_RDWR) |
					    (strstr(name, "direct") ? O_DIRECT : 0));
	for (i = 0; now_ns() < end; i++) {
		const char *p = name_of(&r, "files", i % NFILES);

		if (!strcmp(name, "stat"))
			statx(AT_FDCWD, p, 0, STATX_BASIC_STATS, &stx);
		else if (!strcmp(name, "stat_sync")) {
			read_nothing(fd);
			statx(AT_FDCWD, name_of(&r, "files", 0), 0,
			      STATX_BASIC_STATS, &stx);
		}
		else if (!strcmp(name, "getxattr"))
			getxattr(p, "user.bench", buf, sizeof(buf));
		else if (!strcmp(name, "read_4k") || !strcmp(name, "read_direct_4k"))
			die_unless(pread(fd, buf, SMALL, 0) == SMALL, "pread");
		else if (!strcmp(name, "write_4k") || !strcmp(name, "write_direct_4k"))
			die_unless(pwrite(fd, buf, SMALL, 0) == SMALL, "pwrite");
		else if (!strcmp(name, "open"))
			close(xopen(p, O_RDONLY));
		else
			errx(2, "cannot loop %s", name);
	}
	return 0;
}

static int time_command(const char *mount, char **argv)
{
	struct run r = { .mount = mount };
	int status = 0;
	pid_t pid;

	lap_begin(&r);
	pid = fork();
	die_unless(pid >= 0, "fork");
	if (!pid) {
		dup2(STDERR_FILENO, STDOUT_FILENO);
		execvp(argv[0], argv);
		err(127, "%s", argv[0]);
	}
	die_unless(waitpid(pid, &status, 0) == pid, "wait");
	settle();
	lap_end(&r, 1);
	if (status)
		errx(1, "%s failed, status %#x", argv[0], status);
	report(&r);
	return 0;
}

int main(int argc, char **argv)
{
	unsigned int i;

	if (argc == 2 && !strcmp(argv[1], "list")) {
		for (i = 0; i < sizeof(workloads) / sizeof(workloads[0]); i++)
			puts(workloads[i].name);
		return 0;
	}
	if (argc == 3 && !strcmp(argv[1], "prepare"))
		return prepare(argv[2]), 0;
	if (argc == 4 && !strcmp(argv[1], "prepare-tree"))
		return prepare_tree(argv[2], strtoul(argv[3], NULL, 10)), 0;
	if (argc == 4 && !strcmp(argv[1], "prepare-scale"))
		return scale_prepare(argv[2], strtoul(argv[3], NULL, 10)), 0;
	if ((argc == 5 || argc == 6) && !strcmp(argv[1], "run"))
		return run(argv[2], argv[3], argv[4], argv[5]);
	if (argc == 5 && !strcmp(argv[1], "loop"))
		return loop(argv[2], argv[3], strtoul(argv[4], NULL, 10));
	if (argc > 3 && !strcmp(argv[1], "time"))
		return time_command(argv[2], argv + 3);
	fputs("usage: bench list | prepare DIR | run NAME MOUNT WORK | time MOUNT COMMAND...\n", stderr);
	return 2;
}
