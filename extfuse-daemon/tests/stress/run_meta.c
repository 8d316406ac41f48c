// SPDX-License-Identifier: GPL-2.0-only
/*
 * Operations: attributes and extended attributes.
 */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "stress.h"

static mode_t chmod_mode(uint32_t r)
{
	static const mode_t modes[] = {
		0644, 0666, 0600, 0755, 0777, 0444, 0, 02755, 04755, 06777,
		01777, 0111,
	};

	return modes[r % (sizeof(modes) / sizeof(modes[0]))];
}

void run_chmod(const struct op *o, struct side *s, struct result *res)
{
	(void)s;
	ret_set(res, chmod(o->path, chmod_mode(o->r[0])));
}

void run_fchmod(const struct op *o, struct side *s, struct result *res)
{
	ret_set(res, fchmod(s->fd[o->slot], chmod_mode(o->r[0])));
}

static int pick_id(uint32_t r)
{
	return (int[]){ 0, 1000, 1001, 2000, -1 }[r % 5];
}

void run_chown(const struct op *o, struct side *s, struct result *res)
{
	(void)s;
	ret_set(res, fchownat(AT_FDCWD, o->path, pick_id(o->r[0]),
			      pick_id(o->r[1]),
			      o->r[2] % 2 ? AT_SYMLINK_NOFOLLOW : 0));
}

void run_fchown(const struct op *o, struct side *s, struct result *res)
{
	ret_set(res, fchown(s->fd[o->slot], pick_id(o->r[0]),
			    pick_id(o->r[1])));
}

/* Times long ago or far ahead can be told from those of this run. */
static struct timespec pick_time(uint32_t r)
{
	struct timespec ts = {
		.tv_sec = 1000000000 + r / 8 % 100000,
		.tv_nsec = r % 1000 * 1000 + 1,
	};

	switch (r % 8) {
	case 0:
		ts.tv_nsec = UTIME_NOW;
		break;
	case 1:
		ts.tv_nsec = UTIME_OMIT;
		break;
	case 2:
		ts.tv_sec += 3000000000L;
		break;
	}
	return ts;
}

void run_utimens(const struct op *o, struct side *s, struct result *res)
{
	struct timespec ts[2] = { pick_time(o->r[0]), pick_time(o->r[1]) };

	(void)s;
	ret_set(res, utimensat(AT_FDCWD, o->path, ts,
			       o->r[2] % 2 ? AT_SYMLINK_NOFOLLOW : 0));
}

void run_futimens(const struct op *o, struct side *s, struct result *res)
{
	struct timespec ts[2] = { pick_time(o->r[0]), pick_time(o->r[1]) };

	ret_set(res, futimens(s->fd[o->slot], ts));
}

void run_truncate(const struct op *o, struct side *s, struct result *res)
{
	(void)s;
	ret_set(res, truncate(o->path, o->off));
}

void run_stat(const struct op *o, struct side *s, struct result *res)
{
	(void)s;
	ret_set(res, stat(o->path, &res->st));
	res->has_stat = !res->ret;
}

void run_lstat(const struct op *o, struct side *s, struct result *res)
{
	(void)s;
	ret_set(res, lstat(o->path, &res->st));
	res->has_stat = !res->ret;
}

void run_fstat(const struct op *o, struct side *s, struct result *res)
{
	ret_set(res, fstat(s->fd[o->slot], &res->st));
	res->has_stat = !res->ret;
}

void run_statx(const struct op *o, struct side *s, struct result *res)
{
	int flags = AT_SYMLINK_NOFOLLOW;
	struct statx stx;

	(void)s;
	flags |= o->r[0] % 2 ? AT_STATX_FORCE_SYNC : AT_STATX_SYNC_AS_STAT;
	ret_set(res, statx(AT_FDCWD, o->path, flags, STATX_BASIC_STATS, &stx));
	if (res->ret)
		return;
	res->st = (struct stat){
		.st_ino = stx.stx_ino,
		.st_mode = stx.stx_mode,
		.st_nlink = stx.stx_nlink,
		.st_uid = stx.stx_uid,
		.st_gid = stx.stx_gid,
		.st_size = stx.stx_size,
		.st_blocks = stx.stx_blocks,
		.st_blksize = stx.stx_blksize,
		.st_rdev = makedev(stx.stx_rdev_major, stx.stx_rdev_minor),
		.st_atim = { stx.stx_atime.tv_sec, stx.stx_atime.tv_nsec },
		.st_mtim = { stx.stx_mtime.tv_sec, stx.stx_mtime.tv_nsec },
		.st_ctim = { stx.stx_ctime.tv_sec, stx.stx_ctime.tv_nsec },
	};
	res->has_stat = true;
}

void run_access(const struct op *o, struct side *s, struct result *res)
{
	(void)s;
	ret_set(res, faccessat(AT_FDCWD, o->path, o->r[0] % 8, AT_EACCESS));
}

static const char *pick_xattr(uint32_t r)
{
	static const char *const names[] = {
		"user.a", "user.a", "user.b", "user.c", "trusted.t",
		"user.012345678901234567890123456789012345678901234567890",
		"user.0123456789012345678901234567890123456789012345678901",
		"security.capability", "system.posix_acl_access",
		"system.posix_acl_default", "security.extfuse", "wrong.space",
		"user.",
	};

	return names[r % (sizeof(names) / sizeof(names[0]))];
}

/* As long as one of the limits, or not. */
static size_t value_len(uint32_t r)
{
	static const unsigned short len[] = {
		0, 1, 5, 20, 40, 152, 153, 200, 208, 256, 257, 900, 3000,
	};

	return len[r % (sizeof(len) / sizeof(len[0]))];
}

static int flags_of(uint32_t r)
{
	return (int[]){ 0, 0, 0, XATTR_CREATE, XATTR_REPLACE }[r % 5];
}

void run_setxattr(const struct op *o, struct side *s, struct result *res)
{
	const char *name = pick_xattr(o->r[0]);
	size_t len = value_len(o->r[1]);
	char value[4096];

	(void)s;
	if (!strcmp(name, "security.capability"))
		name = "user.a";	/* setcap's */
	fill(value, len, o->index);
	ret_set(res, lsetxattr(o->path, name, value, len, flags_of(o->r[2])));
}

void run_fsetxattr(const struct op *o, struct side *s, struct result *res)
{
	size_t len = value_len(o->r[1]);
	char value[4096];

	fill(value, len, o->index);
	ret_set(res, fsetxattr(s->fd[o->slot], o->r[0] % 2 ? "user.a" :
							     "user.b",
			       value, len, flags_of(o->r[2])));
}

void run_getxattr(const struct op *o, struct side *s, struct result *res)
{
	size_t size = (size_t[]){ 8192, 8192, 8192, 0, 3, 152 }[o->r[1] % 6];
	ssize_t n = lgetxattr(o->path, pick_xattr(o->r[0]), res->data, size);

	(void)s;
	ret_set(res, n);
	res->len = n < 0 || !size ? 0 : n;
}

void run_fgetxattr(const struct op *o, struct side *s, struct result *res)
{
	ssize_t n = fgetxattr(s->fd[o->slot], pick_xattr(o->r[0]), res->data,
			      8192);

	ret_set(res, n);
	res->len = n < 0 ? 0 : n;
}

void run_listxattr(const struct op *o, struct side *s, struct result *res)
{
	size_t size = o->r[0] % 4 ? 8192 : 0;
	ssize_t n = llistxattr(o->path, (char *)res->data, size);

	(void)s;
	ret_set(res, n);
	res->len = n < 0 || !size ? 0 : n;
}

void run_removexattr(const struct op *o, struct side *s, struct result *res)
{
	(void)s;
	ret_set(res, lremovexattr(o->path, pick_xattr(o->r[0])));
}

struct acl_entry {
	uint16_t tag;
	uint16_t perm;
	uint32_t id;
};

static size_t make_acl(const struct op *o, void *buf)
{
	const struct acl_entry all[] = {
		{ 0x01, o->r[0] % 8, -1 },		/* owner */
		{ 0x02, o->r[1] % 8, 1000 + o->r[1] / 8 % 2 },
		{ 0x04, o->r[2] % 8, -1 },		/* group */
		{ 0x08, o->r[3] % 8, 2000 },
		{ 0x10, o->r[0] / 8 % 8, -1 },		/* mask */
		{ 0x20, o->r[1] / 16 % 8, -1 },		/* others */
	};
	struct acl_entry *e = (struct acl_entry *)((char *)buf + 4);
	bool small = o->r[2] / 8 % 4 == 0;
	int i, n = 0;

	*(uint32_t *)buf = htole32(2);
	for (i = 0; i < 6; i++)
		if (!small || all[i].tag == 1 || all[i].tag == 4 ||
		    all[i].tag == 0x20)
			e[n++] = (struct acl_entry){ htole16(all[i].tag),
				htole16(all[i].perm), htole32(all[i].id) };
	return 4 + n * sizeof(*e);
}

static const char *acl_name(const struct op *o)
{
	return o->r[3] / 8 % 3 ? "system.posix_acl_access" :
				 "system.posix_acl_default";
}

/*
 * The kernel's FUSE leaves setgid without execution by the group to a writer
 * for whom other file systems take it away, so no such mode is left by an ACL.
 */
static void drop_setgid(const char *path)
{
	struct stat st;

	if (!stat(path, &st) && S_ISREG(st.st_mode) &&
	    (st.st_mode & (S_ISGID | S_IXGRP)) == S_ISGID)
		chmod(path, st.st_mode & 0777);
}

void run_setacl(const struct op *o, struct side *s, struct result *res)
{
	uint32_t buf[64];
	size_t len = make_acl(o, buf);

	(void)s;
	ret_set(res, setxattr(o->path, acl_name(o), buf, len, 0));
	drop_setgid(o->path);
}

void run_getacl(const struct op *o, struct side *s, struct result *res)
{
	ssize_t n = getxattr(o->path, acl_name(o), res->data, 8192);

	(void)s;
	ret_set(res, n);
	res->len = n < 0 ? 0 : n;
}

void run_delacl(const struct op *o, struct side *s, struct result *res)
{
	(void)s;
	ret_set(res, removexattr(o->path, acl_name(o)));
	drop_setgid(o->path);
}

void run_setcap(const struct op *o, struct side *s, struct result *res)
{
	const uint32_t cap[5] = { htole32(0x02000000), htole32(1 << 10) };

	(void)s;
	ret_set(res, setxattr(o->path, "security.capability", cap, sizeof(cap),
			      0));
}
