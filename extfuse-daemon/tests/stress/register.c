// SPDX-License-Identifier: GPL-2.0-only
/*
 * Registers: names that one process changes, each change between two steps of
 * a sequence number.  What anybody is told between two changes must be what the
 * lower directory said after the first: linearizability of one writer and many
 * readers (C1).
 */
#include <dirent.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "shared.h"

static void name_of(char *name, int owner, int i)
{
	sprintf(name, "%d/p%d-%d", i % 2, owner, i);
}

void register_start(int self)
{
	(void)self;
	if (fchdir(shared_mnt))
		err(2, "shared");
}

static void begin(int self)
{
	int i;

	for (i = 0; i < REGISTERS; i++)
		shm->reg[self][i].seq++;
}

/* A writeback cache knows more than the lower directory does. */
static void end(int self)
{
	int dir = cfg.writeback ? shared_mnt : shared_lower, i;
	struct reg *reg;
	char name[32];

	for (i = 0; i < REGISTERS; i++) {
		reg = &shm->reg[self][i];
		name_of(name, self, i);
		if (fstatat(dir, name, &reg->st, AT_SYMLINK_NOFOLLOW))
			memset(&reg->st, 0, sizeof(reg->st));
		reg->seq++;
	}
}

/* Contents follow the name; the sequence numbers stay where they are. */
static void move(struct reg *to, const struct reg *from)
{
	to->type = from->type;
	to->fill = from->fill;
	to->tag = from->tag;
}

static int put(int fd, const struct reg *reg, size_t len)
{
	unsigned char buf[8192];

	memset(buf, reg->fill, len);
	return write(fd, buf, len) == (ssize_t)len ? 0 : -1;
}

static int rewrite(const char *name, struct reg *reg, uint64_t r)
{
	int fd, ret;

	if (reg->type != REG_FILE) {
		if (reg->type != REG_NONE && remove(name))
			return -1;
		reg->tag = 0;
	}
	fd = open(name, O_CREAT | O_TRUNC | O_WRONLY, 0644);
	reg->type = REG_FILE;
	reg->fill = r;
	ret = fd < 0 ? -1 : put(fd, reg, r / 256 % 8192);
	close(fd);
	return ret;
}

static int change_file(const char *name, struct reg *reg, uint64_t r)
{
	char value[16];
	int fd, ret;

	switch (r % 6) {
	case 0:
		return chmod(name, 0600 | (r / 6 & 077));
	case 1:
		return utimensat(AT_FDCWD, name, (struct timespec[2]){
			{ .tv_sec = r / 6 % 1000000 }, { .tv_sec = r % 999983 },
		}, 0);
	case 2:
		reg->tag = r / 6 % 1000000 + 1;
		sprintf(value, "%u", reg->tag);
		return setxattr(name, "user.tag", value, strlen(value), 0);
	case 3:
		return truncate(name, reg->st.st_size / 2);
	case 4:
		return chown(name, r / 6 % 3, r / 18 % 3);
	default:
		fd = open(name, O_WRONLY | O_APPEND);
		ret = put(fd, reg, r / 6 % 3000);
		close(fd);
		return ret;
	}
}

static int make_other(const char *name, struct reg *reg, uint64_t r)
{
	if (reg->type != REG_NONE && remove(name))
		return -1;
	reg->tag = 0;
	if (r % 3 == 0) {
		reg->type = REG_NONE;
		return 0;
	}
	reg->type = r % 3 == 1 ? REG_LINK : REG_DIR;
	return r % 3 == 1 ? symlink("nowhere", name) : mkdir(name, 0755);
}

/* rename() leaves two names of one file as they are, and a directory alone. */
static int move_names(const char *from, const char *to, struct reg *a,
		      struct reg *b, uint64_t r)
{
	struct reg old;

	if (a == b || a->type == REG_NONE)
		return 0;
	if (b->type != REG_NONE && r % 3 == 0) {
		old = *a;
		move(a, b);
		move(b, &old);
		return renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_EXCHANGE);
	}
	if (b->type != REG_NONE && (b->type == REG_DIR || a->type == REG_DIR ||
				    a->st.st_ino == b->st.st_ino)) {
		if (remove(to))
			return -1;
		b->type = REG_NONE;
	}
	if (a->type == REG_FILE && r % 3 == 1) {
		if (b->type != REG_NONE && remove(to))
			return -1;
		move(b, a);
		return link(from, to);
	}
	move(b, a);
	a->type = REG_NONE;
	a->tag = 0;
	return rename(from, to);
}

/* What one name of a file is given, its other names have, too. */
static void tell_links(int self, const struct reg *reg)
{
	struct reg *other;
	int i;

	for (i = 0; i < REGISTERS; i++) {
		other = &shm->reg[self][i];
		if (other->type == REG_FILE && other != reg &&
		    other->st.st_ino == reg->st.st_ino)
			move(other, reg);
	}
}

int register_change(int self, uint64_t index)
{
	uint64_t r = rnd(index, 1);
	int i = r % REGISTERS, j = r / 8 % REGISTERS, ret;
	struct reg *a = &shm->reg[self][i];
	bool was_file = a->type == REG_FILE;
	char from[32], to[32];

	if (fchdir(shared_mnt))
		return 1;
	name_of(from, self, i);
	name_of(to, self, j);
	begin(self);
	r /= 512;
	if (r % 8 < 2)
		ret = move_names(from, to, a, &shm->reg[self][j], r / 8);
	else if (r % 8 == 2)
		ret = make_other(from, a, r / 8);
	else if (!was_file || r % 8 == 3)
		ret = rewrite(from, a, r / 8);
	else
		ret = change_file(from, a, r / 8);
	if (was_file && r % 8 > 2)
		tell_links(self, a);
	if (ret)
		fprintf(stderr, "# %s %s: change %lu: %s\n", from, to, r % 8,
			strerrorname_np(errno));
	end(self);
	return ret != 0;
}

/* An answer about the one register @reg, to be compared with a copy of it. */
struct look {
	int kind;
	int err;
	struct stat st;
	ssize_t len;
	unsigned char data[65536];
};

static void ask(const char *name, struct look *l)
{
	ssize_t n = 0;
	int fd;

	switch (l->kind) {
	case 0:
		n = lstat(name, &l->st);
		break;
	case 1:
		fd = open(name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
		n = fd < 0 ? -1 : fstat(fd, &l->st);
		if (!n && S_ISREG(l->st.st_mode))
			n = pread(fd, l->data, sizeof(l->data), 0);
		l->err = n < 0 ? errno : 0;
		close(fd);
		break;
	case 2:
		n = lgetxattr(name, "user.tag", l->data, 64);
		break;
	default:
		n = readlink(name, (char *)l->data, 64);
	}
	if (l->kind != 1)
		l->err = n < 0 ? errno : 0;
	l->len = n;
}

static int expected(const struct reg *reg, int kind)
{
	if (reg->type == REG_NONE)
		return ENOENT;
	switch (kind) {
	case 0:
		return 0;
	case 1:
		return reg->type == REG_LINK ? ELOOP : 0;
	case 2:
		return reg->type == REG_LINK || !reg->tag ? ENODATA : 0;
	default:
		return reg->type == REG_LINK ? 0 : EINVAL;
	}
}

static int judge_data(const struct reg *reg, const struct look *l)
{
	char value[16];
	ssize_t i;

	if (l->kind == 2) {
		sprintf(value, "%u", reg->tag);
		return l->len != (ssize_t)strlen(value) ||
		       memcmp(l->data, value, l->len);
	}
	if (l->kind == 3)
		return l->len != 7;
	if (l->kind != 1 || reg->type != REG_FILE)
		return 0;
	for (i = 0; i < l->len && l->data[i] == reg->fill; i++)
		;
	return i < l->len || l->len != l->st.st_size;
}

static int judge(const char *name, const struct reg *reg, struct look *l)
{
	int want = expected(reg, l->kind);
	struct stat st = reg->st;

	shm->judged++;
	if (l->err != want) {
		fprintf(stderr, "# %s: look %d: %s, not %s\n", name, l->kind,
			strerrorname_np(l->err), strerrorname_np(want));
		return 1;
	}
	if (want)
		return 0;
	if (judge_data(reg, l)) {
		fprintf(stderr, "# %s: look %d: %zd wrong bytes\n", name,
			l->kind, l->len);
		return 1;
	}
	/* whoever looks may move it */
	st.st_atim = l->st.st_atim;
	return l->kind < 2 && check_truth(name, &l->st, &st);
}

static int look_at_one(int owner, int i, int kind)
{
	static struct look l;
	struct reg *reg = &shm->reg[owner][i], copy = *reg;
	uint32_t seq = reg->seq;
	char name[32];

	copy = *reg;
	if (seq % 2)
		return 0;
	name_of(name, owner, i);
	l.kind = kind;
	ask(name, &l);
	return reg->seq == seq && judge(name, &copy, &l);
}

/* A name that was there all the time is listed, one that was not is not. */
static int look_at_names(int which)
{
	uint32_t seq[MAX_PROCS][REGISTERS];
	enum reg_type type[MAX_PROCS][REGISTERS];
	bool there[MAX_PROCS][REGISTERS] = { 0 };
	struct dirent *de;
	int p, i, bad = 0;
	DIR *d;

	for (p = 0; p < cfg.procs; p++)
		for (i = 0; i < REGISTERS; i++) {
			seq[p][i] = shm->reg[p][i].seq;
			type[p][i] = shm->reg[p][i].type;
		}
	d = opendir(which ? "1" : "0");
	while (d && (de = readdir(d)))
		if (sscanf(de->d_name, "p%d-%d", &p, &i) == 2)
			there[p][i] = true;
	if (!d)
		return 1;
	closedir(d);
	for (p = 0; p < cfg.procs; p++)
		for (i = which; i < REGISTERS; i += 2) {
			if (seq[p][i] % 2 || shm->reg[p][i].seq != seq[p][i])
				continue;
			shm->judged++;
			if (there[p][i] == (type[p][i] != REG_NONE))
				continue;
			fprintf(stderr, "# %d/p%d-%d: %s\n", which, p, i,
				there[p][i] ? "listed, but gone" : "not listed");
			bad = 1;
		}
	return bad;
}

int register_look(uint64_t index)
{
	uint64_t r = rnd(index, 2);

	if (fchdir(shared_mnt))
		return 1;
	if (r % 8 == 7)
		return look_at_names(r / 8 % 2);
	return look_at_one(r / 8 % cfg.procs, r / 1024 % REGISTERS, r % 4);
}
