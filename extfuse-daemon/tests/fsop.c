// SPDX-License-Identifier: GPL-2.0-only
/*
 * fsop: system calls that the shell has no command for.  Prints the result;
 * exits with the errno of what failed.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/xattr.h>
#include <unistd.h>

#ifndef AT_HANDLE_FID
#define AT_HANDLE_FID	0x200	/* Linux 6.5 */
#endif

static void must(int ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "fsop: %s: %s\n", what, strerror(errno));
	exit(errno);
}

static int xopen(const char *path, int flags)
{
	int fd = open(path, flags, 0666);

	must(fd >= 0, path);
	return fd;
}

static void op_rename(char **a)
{
	must(!renameat2(AT_FDCWD, a[0], AT_FDCWD, a[1], atoi(a[2])), "rename");
}

/* An unnamed file in the directory a[0] that gets the name a[1] */
static void op_tmpfile(char **a)
{
	int fd = xopen(a[0], O_TMPFILE | O_RDWR);
	char path[64];

	must(write(fd, "tmp\n", 4) == 4, "write");
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	must(!linkat(AT_FDCWD, path, AT_FDCWD, a[1], AT_SYMLINK_FOLLOW),
	     "linkat");
}

/* Nothing but that: getfattr looks at attributes before */
static void op_getxattr(char **a)
{
	char value[256];

	must(getxattr(a[0], a[1], value, sizeof(value)) >= 0, a[1]);
}

static void op_fallocate(char **a)
{
	must(!fallocate(xopen(a[0], O_RDWR), atoi(a[1]), atol(a[2]),
			atol(a[3])), "fallocate");
}

static void op_copy(char **a)
{
	int in = xopen(a[0], O_RDONLY), out = xopen(a[1], O_RDWR | O_CREAT);
	ssize_t n = copy_file_range(in, NULL, out, NULL, atol(a[2]), 0);

	must(n >= 0, "copy_file_range");
	printf("%zd\n", n);
}

static void op_seek(char **a)
{
	int whence = strcmp(a[2], "data") ? SEEK_HOLE : SEEK_DATA;
	off_t off = lseek(xopen(a[0], O_RDONLY), atol(a[1]), whence);

	must(off >= 0, "lseek");
	printf("%ld\n", (long)off);
}

/* Writes a[1] at the start of a[0], opened with the flags a[2] if they are given,
 * through a mapping, closed before the store;
 * prints whether fstat() by name saw the time move. */
static void op_mmap(char **a)
{
	struct stat before, after;
	int fd = xopen(a[0], O_RDWR | (a[2] ? strtol(a[2], NULL, 0) : 0));
	char *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	must(p != MAP_FAILED, "mmap");
	close(fd);
	must(!stat(a[0], &before), "stat");
	usleep(20000);
	memcpy(p, a[1], strlen(a[1]));
	must(!msync(p, 4096, MS_SYNC), "msync");
	must(!stat(a[0], &after), "stat");
	puts(before.st_mtim.tv_sec != after.st_mtim.tv_sec ||
	     before.st_mtim.tv_nsec != after.st_mtim.tv_nsec ? "moved" :
							       "same");
	munmap(p, 4096);
}

static void op_sendfile(char **a)
{
	int in = xopen(a[0], O_RDONLY), out = xopen("/dev/null", O_WRONLY);

	must(sendfile(out, in, NULL, 4096) >= 0, "sendfile");
}

/* Uses a[0] after its last name went. */
static void op_unlinked(char **a)
{
	int fd = xopen(a[0], O_RDWR | O_CREAT);
	char buf[8] = "";
	struct stat st;

	must(!unlink(a[0]), "unlink");
	must(write(fd, "gone", 4) == 4, "write");
	must(pread(fd, buf, 4, 0) == 4, "pread");
	must(!ftruncate(fd, 2) && !fchmod(fd, 0600) && !fstat(fd, &st),
	     "fstat");
	printf("%s %ld %lu\n", buf, (long)st.st_size,
	       (unsigned long)st.st_nlink);
}

/* Opens a[0] with the flags a[1] and does nothing. */
static void op_open(char **a)
{
	close(xopen(a[0], strtol(a[1], NULL, 0)));
}

/* Reads all names of a[0], going back to each position once more. */
static void op_seekdir(char **a)
{
	long pos[4096];
	char *name[4096];
	struct dirent *de;
	int n = 0, i;
	DIR *d;

	d = opendir(a[0]);
	must(d != NULL, a[0]);
	while (n < 4096) {
		pos[n] = telldir(d);
		de = readdir(d);
		if (!de)
			break;
		name[n++] = strdup(de->d_name);
	}
	for (i = n - 1; i >= 0; i--) {
		seekdir(d, pos[i]);
		de = readdir(d);
		if (!de || strcmp(de->d_name, name[i])) {
			printf("at %d: %s, not %s\n", i,
			       de ? de->d_name : "end", name[i]);
			exit(1);
		}
	}
	printf("%d\n", n);
}

static void map_store(int fd)
{
	char *p = mmap(NULL, 10, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	must(p != MAP_FAILED, "mmap");
	*p = 'x';
	must(!msync(p, 10, MS_SYNC), "msync");
}

/* Changes the content of a[1] in the way a[0]; the source is the file "from" */
static void op_change(char **a)
{
	const char *how = a[0], *path = a[1];
	struct iovec iov[] = { { "x", 1 }, { "y", 1 } };
	int fd, from = xopen("from", O_RDONLY), ret = 0;

	fd = xopen(path, O_RDWR | (strcmp(how, "otrunc") ? 0 : O_TRUNC) |
			 (strcmp(how, "append") ? 0 : O_APPEND));
	if (getenv("STOP")) {
		must(write(fd, "x", 1) == 1, "write");
		raise(SIGSTOP);
	}
	if (!strcmp(how, "write") || !strcmp(how, "append"))
		ret = write(fd, "x", 1);
	else if (!strcmp(how, "pwritev"))
		ret = pwritev(fd, iov, 2, 5);
	else if (!strcmp(how, "empty"))
		ret = write(fd, "", 0);
	else if (!strcmp(how, "ftruncate"))
		ret = ftruncate(fd, 3);
	else if (!strcmp(how, "truncate"))
		ret = truncate(path, 3);
	else if (!strcmp(how, "fallocate"))
		ret = fallocate(fd, 0, 0, 9999);
	else if (!strcmp(how, "copy"))
		ret = copy_file_range(from, NULL, fd, NULL, 10, 0);
	else if (!strcmp(how, "sendfile"))
		ret = sendfile(fd, from, NULL, 10);
	else if (!strcmp(how, "mmap"))
		map_store(fd);
	must(ret >= 0, how);
}

static const char *result(long ret)
{
	return ret < 0 ? strerrorname_np(errno) : "OK";
}

/* All that can be asked about a path */
static void probe(const char *path)
{
	char buf[64] = "";
	struct stat st;
	int fd = open(path, O_RDONLY | O_NONBLOCK);
	DIR *d;

	printf("%s open=%s", path, result(fd));
	if (fd >= 0)
		printf(" read=%s '%.3s'", result(read(fd, buf, 60)), buf);
	d = opendir(path);
	printf(" list=%s", d ? "OK" : strerrorname_np(errno));
	if (lstat(path, &st))
		printf(" stat=%s", result(-1));
	else
		printf(" stat=%o %u:%u %ld", st.st_mode, st.st_uid, st.st_gid,
		       S_ISDIR(st.st_mode) ? 0 : (long)st.st_size);
	printf(" link=%s", result(readlink(path, buf, 1)));
	printf(" names=%zd", llistxattr(path, buf, sizeof(buf)));
	printf(" user=%s", result(lgetxattr(path, "user.k", buf, 60)));
	printf(" acl=%s", result(lgetxattr(path, "system.posix_acl_access",
					   buf, 60)));
	printf(" cap=%s", result(lgetxattr(path, "security.capability", buf,
					   60)));
	printf(" trusted=%s", result(lgetxattr(path, "trusted.k", buf, 60)));
	printf(" may=%d%d%d\n", eaccess(path, R_OK), eaccess(path, W_OK),
	       eaccess(path, X_OK));
	if (fd >= 0)
		close(fd);
	if (d)
		closedir(d);
}

/* probe() of all names in the current directory, and names below */
static void op_probe(char **a)
{
	static const char *const below[] = { "f", "priv", "l", "none" };
	struct dirent **list;
	char path[600];
	int i, n = scandir(a[0], &list, NULL, alphasort);
	size_t k;

	must(n >= 0, a[0]);
	for (i = 0; i < n; i++) {
		if (!strcmp(list[i]->d_name, ".."))
			continue;
		probe(list[i]->d_name);
		for (k = 0; k < sizeof(below) / sizeof(below[0]); k++) {
			snprintf(path, sizeof(path), "%s/%s", list[i]->d_name,
				 below[k]);
			probe(path);
		}
	}
}

static void tamper_names(const char *dir)
{
	char path[600];
#define TRY(call) (snprintf(path, sizeof(path), "%s/t%u", dir, getuid()), \
		   printf(" %s", result(call)), unlink(path), rmdir(path))

	TRY(mknod(path, S_IFREG | 0644, 0));
	TRY(mknod(path, S_IFIFO | 0644, 0));
	TRY(mknod(path, S_IFCHR | 0644, 0x103));
	TRY(mkdir(path, 0755));
	TRY(symlink("x", path));
	TRY(link("f604", path));
	TRY(rename("f604", path));
#undef TRY
}

/* Changes of the file a[0] in all ways, what others must not, and does not
 * undo; then of names in the directory a[0] */
static void op_tamper(char **a)
{
	const char *p = a[0];
	const struct timespec then[2] = { { 1, 0 }, { 1, 0 } };
	int fd = open(p, O_WRONLY | O_APPEND);

	printf("%s: %s", p, result(fd));
	printf(" %s", result(fd < 0 ? -1 : write(fd, "x", 1)));
	printf(" %s", result(open(p, O_WRONLY | O_TRUNC)));
	printf(" %s", result(truncate(p, 3)));
	printf(" %s", result(chmod(p, 0777)));
	printf(" %s", result(chown(p, getuid(), -1)));
	printf(" %s", result(chown(p, -1, getgid())));
	printf(" %s", result(utimensat(AT_FDCWD, p, NULL, 0)));
	printf(" %s", result(utimensat(AT_FDCWD, p, then, 0)));
	printf(" %s", result(setxattr(p, "user.k", "w", 1, 0)));
	printf(" %s", result(removexattr(p, "user.k")));
	printf(" %s", result(removexattr(p, "system.posix_acl_access")));
	printf(" %s", result(setxattr(p, "trusted.k", "w", 1, 0)));
	printf(" %s", result(setxattr(p, "security.k", "w", 1, 0)));
	tamper_names(p);
	printf(" %s", result(rmdir(p)));
	printf(" %s\n", result(unlink(p)));
}

/* Opens a[0] until it fails: prints how often it went well, and why not more */
static void op_openmany(char **a)
{
	int n, fd = 0, max = atoi(a[1]);

	for (n = 0; n < max; n++) {
		fd = open(a[0], O_RDONLY);
		if (fd < 0)
			break;
	}
	printf("%d %s\n", n, fd < 0 ? strerrorname_np(errno) : "OK");
}

/* Writes records of a number to a[0], for ever, fsync()ed before they are
 * printed; a[1] bytes each */
static void op_journal(char **a)
{
	int fd = xopen(a[0], O_WRONLY | O_CREAT | O_APPEND), size = atoi(a[1]);
	char *rec = malloc(size + 1);
	int n;

	for (n = 1;; n++) {
		snprintf(rec, size + 1, "%0*d\n", size - 1, n);
		must(write(fd, rec, size) == size && !fsync(fd), "write");
		printf("%d\n", n);
		fflush(stdout);
	}
}

/* Stats a[0] a[1] times */
static void op_stats(char **a)
{
	long n = atol(a[1]);
	struct stat st;

	while (n--)
		must(!lstat(a[0], &st), a[0]);
}

/* Nodeids like those of StackFS, and others, as file handles in a[0] */
static void op_handles(char **a)
{
	static const uint64_t high[] = { 0, 1, 2, 1ULL << 31, 0xffffffff };
	union {
		struct file_handle h;
		char space[sizeof(struct file_handle) + MAX_HANDLE_SZ];
	} u = { .h.handle_bytes = MAX_HANDLE_SZ };
	uint32_t *fh = (uint32_t *)u.h.f_handle;
	int mnt, fd, opened = 0, tried = 0;
	struct stat st, top;
	uint32_t low;
	size_t i;

	/* where there are none, such as only tells two files apart */
	if (name_to_handle_at(AT_FDCWD, a[0], &u.h, &mnt, 0)) {
		must(errno == EOPNOTSUPP, "handle");
		must(!name_to_handle_at(AT_FDCWD, a[0], &u.h, &mnt, AT_HANDLE_FID), "fid");
		puts("no handles");
	}
	must(!stat(a[0], &top), a[0]);
	mnt = xopen(a[0], O_RDONLY);
	for (i = 0; i < sizeof(high) / sizeof(high[0]); i++)
		for (low = 0; low < 5000; low++) {
			fh[0] = high[i];
			fh[1] = low < 4000 ? low : -low;
			tried++;
			fd = open_by_handle_at(mnt, &u.h, O_PATH);
			must(fd >= 0 || errno == ESTALE, "open");
			if (fd < 0)
				continue;
			opened++;
			must(!fstat(fd, &st), "fstat");
			if (st.st_dev != top.st_dev) {
				printf("%u: of another file system\n", low);
				exit(1);
			}
			close(fd);
		}
	printf("opened %d of %d\n", opened, tried);
}

/* Reads the first names of a[0] and no more, with requests of a page each. */
static void op_readsome(char **a)
{
	char buf[1024];

	must(syscall(SYS_getdents64, xopen(a[0], O_RDONLY), buf,
		     sizeof(buf)) > 0, "getdents64");
}

/* a[0] is leased to us, who never give it back; until a signal */
static void op_lease(char **a)
{
	int fd = xopen(a[0], O_RDWR);

	signal(SIGIO, SIG_IGN);
	must(!fcntl(fd, F_SETLEASE, F_WRLCK), a[0]);
	puts("leased");
	fclose(stdout);
	pause();
}

/* A user namespace in which the ids from @base on are those from 0 on */
static int user_namespace(long base)
{
	int go[2], dead[2], fd;
	char path[64], map[64];
	pid_t pid;

	must(!pipe(go) && !pipe(dead), "pipe");
	pid = fork();
	must(pid >= 0, "fork");
	if (!pid) {
		must(!unshare(CLONE_NEWUSER) && close(go[0]) == 0, "unshare");
		must(write(go[1], "x", 1) == 1 && !close(dead[1]), "write");
		exit(read(dead[0], map, 1));
	}
	must(read(go[0], map, 1) == 1, "read");
	snprintf(map, sizeof(map), "0 %ld 65536", base);
	snprintf(path, sizeof(path), "/proc/%d/uid_map", pid);
	fd = xopen(path, O_WRONLY);
	must(write(fd, map, strlen(map)) > 0, path);
	snprintf(path, sizeof(path), "/proc/%d/gid_map", pid);
	fd = xopen(path, O_WRONLY);
	must(write(fd, map, strlen(map)) > 0, path);
	snprintf(path, sizeof(path), "/proc/%d/ns/user", pid);
	return xopen(path, O_RDONLY);
}

/* Mount a[0] at a[1], too, where its ids are higher by a[2] */
static void op_idmap(char **a)
{
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_IDMAP };
	int tree = open_tree(AT_FDCWD, a[0], OPEN_TREE_CLONE);

	must(tree >= 0, a[0]);
	attr.userns_fd = user_namespace(atol(a[2]));
	must(!mount_setattr(tree, "", AT_EMPTY_PATH, &attr, sizeof(attr)), "mount_setattr");
	must(!move_mount(tree, "", AT_FDCWD, a[1], MOVE_MOUNT_F_EMPTY_PATH), a[1]);
}

static const struct {
	const char *name;
	int args;
	void (*run)(char **a);
} ops[] = {
	{ "rename", 3, op_rename },	{ "tmpfile", 2, op_tmpfile },
	{ "getxattr", 2, op_getxattr },
	{ "fallocate", 4, op_fallocate }, { "copy", 3, op_copy },
	{ "seek", 3, op_seek },		{ "mmap", 2, op_mmap },
	{ "mmap", 3, op_mmap },
	{ "unlinked", 1, op_unlinked },	{ "open", 2, op_open },
	{ "seekdir", 1, op_seekdir },	{ "sendfile", 1, op_sendfile },
	{ "handles", 1, op_handles },
	{ "change", 2, op_change },	{ "probe", 1, op_probe },
	{ "tamper", 1, op_tamper },	{ "openmany", 2, op_openmany },
	{ "journal", 2, op_journal },	{ "stats", 2, op_stats },
	{ "readsome", 1, op_readsome },	{ "lease", 1, op_lease },
	{ "idmap", 3, op_idmap },
};

int main(int argc, char **argv)
{
	size_t i;

	for (i = 0; argc > 1 && i < sizeof(ops) / sizeof(ops[0]); i++)
		if (!strcmp(argv[1], ops[i].name) && argc == ops[i].args + 2) {
			ops[i].run(argv + 2);
			return 0;
		}
	fputs("usage: fsop OPERATION ARG...\n", stderr);
	return 255;
}
