// SPDX-License-Identifier: GPL-2.0-only
/*
 * One process: the same on the mount and on the reference, and the truth.
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "stress.h"

void run_start(struct run *r, const char *sub)
{
	char path[MAX_PATH];
	int i;

	memset(r, 0, sizeof(*r));
	side_open(&r->mnt, "mount", cfg.mount, sub);
	side_open(&r->ref, "reference", cfg.ref, sub);
	r->mnt.mountpoint = cfg.mount;
	snprintf(path, sizeof(path), "%s/%s", cfg.lower, sub);
	r->lower = open(path, O_RDONLY | O_DIRECTORY);
	if (r->lower < 0)
		err(2, "%s", path);
	for (i = 0; i < SLOTS; i++)
		r->lower_fd[i] = -1;
}

/*
 * Look without a trace: whoever follows a link moves its access time, of which
 * the mount would not hear.
 */
static int quiet_open(int root, const char *path, int nofollow)
{
	struct open_how how = {
		.flags = O_PATH | O_CLOEXEC | nofollow,
		.resolve = RESOLVE_NO_SYMLINKS,
	};

	return syscall(SYS_openat2, root, path, &how, sizeof(how));
}

static int quiet_stat(int root, const char *path, int nofollow,
		      struct stat *st)
{
	int fd = quiet_open(root, path, nofollow), err = 0;

	if (fd < 0 || fstat(fd, st))
		err = errno;
	if (fd >= 0)
		close(fd);
	return err;
}

static void lower_set(struct run *r, int slot, int fd)
{
	if (r->lower_fd[slot] >= 0)
		close(r->lower_fd[slot]);
	r->lower_fd[slot] = fd;
}

void run_end(struct run *r)
{
	int i;

	side_close(&r->mnt);
	side_close(&r->ref);
	for (i = 0; i < SLOTS; i++)
		lower_set(r, i, -1);
	close(r->lower);
}

static bool opens(enum kind k)
{
	return k >= OP_create && k <= OP_tmpfile;
}

/* Which lower file a slot is: what fstat() must say of it, names or not. */
static void lower_follow(struct run *r, const struct op *o)
{
	int flags, fd = -1;

	if (o->kind == OP_dup && o->slot != o->slot2) {
		fd = r->lower_fd[o->slot];
		lower_set(r, o->slot2, fd < 0 ? -1 : dup(fd));
	} else if (o->kind == OP_close) {
		lower_set(r, o->slot, -1);
	} else if (opens(o->kind)) {
		flags = fcntl(r->mnt.fd[o->slot], F_GETFL);
		if (o->kind != OP_tmpfile)
			fd = quiet_open(r->lower, o->path,
					flags & O_PATH ? flags & O_NOFOLLOW : 0);
		lower_set(r, o->slot, fd);
	}
}

static void parent_of(char *dir, const char *path)
{
	char *slash;

	strcpy(dir, path);
	slash = strrchr(dir, '/');
	if (slash)
		*slash = '\0';
	else
		strcpy(dir, ".");
}

static int check_path(struct run *r, const char *path)
{
	struct stat a, b, t;
	int ea, eb, et;

	ea = fstatat(r->mnt.root, path, &a, AT_SYMLINK_NOFOLLOW) ? errno : 0;
	eb = fstatat(r->ref.root, path, &b, AT_SYMLINK_NOFOLLOW) ? errno : 0;
	et = quiet_stat(r->lower, path, O_NOFOLLOW, &t);
	if (ea != eb || (ea != et && et != ELOOP)) {
		fprintf(stderr, "# '%s' afterwards: mount %s, reference %s, lower %s\n",
			path, strerrorname_np(ea), strerrorname_np(eb),
			strerrorname_np(et));
		return 1;
	}
	if (ea)
		return 0;
	return check_attr(path, &a, &b) | (!et && check_truth(path, &a, &t));
}

static int check_parent(struct run *r, const char *path)
{
	char dir[MAX_PATH];

	parent_of(dir, path);
	return check_path(r, dir);
}

static int check_slot(struct run *r, int slot)
{
	struct stat a, b, t;

	if (r->mnt.fd[slot] < 0)
		return 0;
	if (fstat(r->mnt.fd[slot], &a) || fstat(r->ref.fd[slot], &b)) {
		perror("# fstat");
		return 1;
	}
	return check_attr("open file", &a, &b) |
	       (!fstat(r->lower_fd[slot], &t) &&
		check_truth("open file", &a, &t));
}

/* Half of the time: what is asked at once is not stale later. */
static int check_after(struct run *r, const struct op *o)
{
	int bad = 0;

	if (rnd(o->index, 50) % 2)
		return 0;
	bad |= check_path(r, o->path);
	bad |= check_parent(r, o->path);
	bad |= check_slot(r, o->slot);
	if (o->kind == OP_link || o->kind == OP_rename ||
	    o->kind == OP_rename_flags)
		bad |= check_path(r, o->path2) | check_parent(r, o->path2);
	if (rnd(o->index, 51) % 2)
		bad |= check_slot(r, o->slot2);
	return bad;
}

/* Holes are where the lower file has them. */
static int check_holes(struct run *r, const struct op *o, long ret)
{
	char path[64];
	long want;
	int fd;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", r->lower_fd[o->slot]);
	fd = open(path, O_RDONLY | O_NOATIME | O_NONBLOCK);
	if (fd < 0 || cfg.writeback || ret == -EBADF)
		goto out;
	want = lseek(fd, o->off, o->r[0] % 2 ? SEEK_DATA : SEEK_HOLE);
	if (want < 0)
		want = -errno;
	if (want != ret)
		fprintf(stderr, "# seek: mount %ld, lower %ld\n", ret, want);
	close(fd);
	return want != ret;
out:
	if (fd >= 0)
		close(fd);
	return 0;
}

/* What the lower says where the operation itself asked for attributes */
static int check_asked(struct run *r, const struct op *o,
		       const struct result *a)
{
	struct stat t;
	int err;

	if (o->kind == OP_seek_data)
		return check_holes(r, o, a->ret);
	if (!a->has_stat)
		return 0;
	if (o->kind == OP_fstat)
		err = fstat(r->lower_fd[o->slot], &t);
	else
		err = quiet_stat(r->lower, o->path,
				 o->kind == OP_stat ? 0 : O_NOFOLLOW, &t);
	return !err && check_truth(kind_name[o->kind], &a->st, &t);
}

/* What is empty on both sides answers nothing but EBADF. */
static int slot_used(const struct run *r, int slot)
{
	int i;

	for (i = 0; i < SLOTS; i++)
		if (r->mnt.fd[(slot + i) % SLOTS] >= 0)
			return (slot + i) % SLOTS;
	return slot;
}

static bool makes(enum kind k)
{
	return k == OP_create || k == OP_mkdir || k == OP_mknod ||
	       k == OP_symlink || k == OP_link_fd;
}

/* There, or not there where it could be made. */
static bool path_fits(const struct run *r, const char *path, bool there)
{
	int err = quiet_stat(r->ref.root, path, O_NOFOLLOW, &(struct stat){ 0 });
	char dir[MAX_PATH];
	struct stat st;

	if (there || err != ENOENT)
		return there && !err;
	parent_of(dir, path);
	return !quiet_stat(r->ref.root, dir, 0, &st) && S_ISDIR(st.st_mode);
}

/* Most operations shall do something: try other paths, usually. */
static void choose(const struct run *r, struct op *o)
{
	bool second = o->kind == OP_link || o->kind == OP_rename;
	struct stat st;
	int i;

	if (!opens(o->kind) && rnd(o->index, 52) % 16)
		o->slot = slot_used(r, o->slot);
	/* positions in a directory are the lower file system's own */
	if ((o->kind == OP_lseek || o->kind == OP_seek_data) &&
	    !fstat(r->ref.fd[o->slot], &st) && !S_ISREG(st.st_mode))
		o->kind = OP_readdir_fd;
	if (rnd(o->index, 53) % 8 == 0)
		return;
	for (i = 1; i < 8 && !path_fits(r, o->path, !makes(o->kind)); i++)
		path_make(o->path, o->index, 100 * i);
	if (!second || rnd(o->index, 54) % 2)
		return;
	for (i = 1; i < 4 && !path_fits(r, o->path2, false); i++)
		path_make(o->path2, o->index, 1000 + 100 * i);
}

int run_op(struct run *r, uint64_t index)
{
	static struct result a, b;
	struct op o;
	int bad;

	op_make(&o, index);
	choose(r, &o);
	if (cfg.verbose)
		op_print(stderr, &o);
	op_run(&o, &r->mnt, &a);
	op_run(&o, &r->ref, &b);
	r->count[o.kind]++;
	r->good[o.kind] += a.ret >= 0;
	bad = check_answer(&o, &a, &b);
	if (!bad && a.ret >= 0)
		lower_follow(r, &o);
	bad = bad || check_asked(r, &o, &a) || check_after(r, &o);
	if (bad) {
		fputs("# operation ", stderr);
		op_print(stderr, &o);
	}
	return bad;
}

int run_audit(struct run *r)
{
	if (cfg.writeback && syncfs(r->mnt.root))
		err(2, "syncfs");
	return check_tree(r->mnt.root, r->ref.root, r->lower);
}
