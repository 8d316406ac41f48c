// SPDX-License-Identifier: GPL-2.0-only
/*
 * Creating things as the caller would (C7).
 *
 * The kernel has already decided that the caller may do it, so the lower call
 * keeps all capabilities: repeating the decision here, with groups that may be
 * others by now, could only differ.  CAP_FSETID is the exception, because it
 * decides what becomes of setuid and setgid bits: the caller's counts, and its
 * groups, as /proc has them or, where it is not to be seen there, as the kernel
 * says.  In doubt it has neither, and bits go.  CAP_SYS_RESOURCE, by which
 * data would be written beyond the owner's quota, is given up for good.
 *
 * umask, fsuid, fsgid, groups and capabilities are the thread's: the C
 * library's setgroups() would change them for all.
 */
#include <errno.h>
#include <inttypes.h>
#include <linux/capability.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "stackfs.h"

#define NO_ID ((uid_t)-1)
#define NOBODY 65534
#define NO_GROUP ((gid_t)-1)
#define NO_CAP -1

static _Thread_local bool own_umask;

static struct __user_cap_header_struct head = {
	.version = _LINUX_CAPABILITY_VERSION_3,
};

int creds_init(void)
{
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];

	if (syscall(SYS_capget, &head, data))
		return -errno;
	data[0].permitted &= ~(1U << CAP_SYS_RESOURCE);
	data[0].effective &= ~(1U << CAP_SYS_RESOURCE);
	return syscall(SYS_capset, &head, data) ? -errno : 0;
}

/* All that is permitted but one, or NO_CAP */
static int caps_drop(int cap)
{
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];

	if (syscall(SYS_capget, &head, data))
		return -errno;
	data[0].effective = data[0].permitted;
	data[1].effective = data[1].permitted;
	if (cap != NO_CAP)
		data[0].effective &= ~(1U << cap);
	return syscall(SYS_capset, &head, data) ? -errno : 0;
}

/* What the kernel says of a request's caller, read with it by the same thread. */
static _Thread_local struct {
	gid_t group;
	bool kill_sgid;
} said;

/* The group of the parent directory, if the caller is in it: the only extension */
static gid_t said_group(const struct fuse_in_header *in, size_t len)
{
	size_t ext = in->total_extlen * 8UL;
	uint32_t words[4];	/* size, type, number of groups, the first */

	if (ext < sizeof(words) || ext > len - sizeof(*in))
		return NO_GROUP;
	memcpy(words, (const char *)in + len - ext, sizeof(words));
	return words[1] == FUSE_EXT_GROUPS && words[2] ? words[3] : NO_GROUP;
}

/* libfuse knows the shorter structure only, so this is what it is given. */
static ssize_t setxattr_shorten(struct fuse_in_header *in, size_t len)
{
	char *flags = (char *)(in + 1) + FUSE_COMPAT_SETXATTR_IN_SIZE;
	char *rest = flags + 2 * sizeof(uint32_t), *end = (char *)in + len;
	uint32_t word;

	if (rest > end)
		return len;
	memcpy(&word, flags, sizeof(word));
	said.kill_sgid = word & FUSE_SETXATTR_ACL_KILL_SGID;
	memmove(flags, rest, end - rest);
	in->len -= rest - flags;
	return len - (rest - flags);
}

ssize_t creds_request(const struct stackfs *fs, struct fuse_in_header *in, size_t len)
{
	said.group = said_group(in, len);
	said.kill_sgid = true;
	return in->opcode == FUSE_SETXATTR && fs->setxattr_ext ?
		setxattr_shorten(in, len) : (ssize_t)len;
}

/* Who asks: what /proc/PID/status says of the rights to a file */
struct caller {
	uid_t uid;
	gid_t gid;
	uint64_t caps;
	gid_t *groups;
	int ngroups;
};

static bool groups_parse(const char *s, struct caller *c)
{
	gid_t *list = malloc((strlen(s) / 2 + 1) * sizeof(*list));
	char *end;
	int n;

	for (n = 0; list; n++, s = end) {
		list[n] = strtoul(s, &end, 10);
		if (end == s)
			break;
	}
	c->groups = list;
	c->ngroups = list ? n : 0;
	return list;
}

/* The last of four ids is the file system's. */
static bool line_parse(const char *line, struct caller *c)
{
	if (!strncmp(line, "Groups:", 7))
		return groups_parse(line + 7, c);
	sscanf(line, "Uid: %*u %*u %*u %u", &c->uid);
	sscanf(line, "Gid: %*u %*u %*u %u", &c->gid);
	sscanf(line, "CapEff: %" SCNx64, &c->caps);
	return true;
}

/* Who is not to be found is nobody, has no groups and may do nothing. */
static int caller_read(pid_t pid, struct caller *c)
{
	char path[PROC_FD_LEN], *line = NULL;
	size_t size = 0;
	int err = 0;
	FILE *f;

	*c = (struct caller) { .uid = NOBODY, .gid = NOBODY };
	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	f = pid ? fopen(path, "re") : NULL;
	if (!f)
		return 0;
	while (!err && getline(&line, &size, f) > 0)
		err = line_parse(line, c) ? 0 : -ENOMEM;
	fclose(f);
	free(line);
	return err;
}

static bool same_user_namespace(pid_t pid)
{
	char path[PROC_FD_LEN];
	struct stat own, st;

	snprintf(path, sizeof(path), "/proc/%d/ns/user", pid);
	return !stat("/proc/self/ns/user", &own) && !stat(path, &st) &&
	       own.st_dev == st.st_dev && own.st_ino == st.st_ino;
}

/* Has the process's user namespace an id for this one of ours? */
static bool id_mapped(pid_t pid, const char *map, uint32_t id)
{
	uint32_t first, count;
	char path[PROC_FD_LEN];
	bool is = false;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, map);
	f = fopen(path, "re");
	while (f && !is && fscanf(f, "%*u %u %u", &first, &count) == 2)
		is = id - first < count;
	if (f)
		fclose(f);
	return is;
}

/* As the kernel's capable_wrt_inode_uidgid() */
static bool has_fsetid(pid_t pid, const struct caller *c, const struct stat *st)
{
	if (!(c->caps >> CAP_FSETID & 1))
		return false;
	return same_user_namespace(pid) ||
	       (id_mapped(pid, "uid_map", st->st_uid) &&
		id_mapped(pid, "gid_map", st->st_gid));
}

bool creds_capable(const struct fuse_ctx *ctx, int cap)
{
	struct caller c;
	bool capable;

	if (!ctx->pid)
		return ctx->uid == 0;
	capable = !caller_read(ctx->pid, &c) && (c.caps >> cap & 1) &&
		  same_user_namespace(ctx->pid);
	free(c.groups);
	return capable;
}

static int fsids_set(uid_t uid, gid_t gid)
{
	setfsgid(gid);
	setfsuid(uid);
	/* They report no errors; an invalid id changes nothing. */
	return (uid_t)setfsuid(NO_ID) == uid && (gid_t)setfsgid(NO_ID) == gid ?
	       0 : -EPERM;
}

static int groups_set(struct creds *cr, const gid_t *groups, int n)
{
	cr->groups = true;
	return syscall(SYS_setgroups, n, groups) ? -errno : 0;
}

static int creds_switch(struct creds *cr, const struct caller *c, bool fsetid)
{
	int err;

	cr->switched = true;
	err = c->ngroups ? groups_set(cr, c->groups, c->ngroups) : 0;
	if (!err)
		err = fsids_set(c->uid, c->gid);
	if (!err)
		err = caps_drop(fsetid ? NO_CAP : CAP_FSETID);
	if (err)
		creds_leave(cr);
	return err;
}

static int own_umask_set(mode_t mask)
{
	if (!own_umask && unshare(CLONE_FS))
		return -errno;
	own_umask = true;
	umask(mask);
	return 0;
}

/*
 * @judged: the kernel knew of the bits, and has taken those that the caller may not keep.
 * Of one in a PID namespace that is not ours no more is known than whether it is root.
 */
static int caller_judge(const struct fuse_ctx *ctx, const struct stat *st, bool judged,
			struct caller *c, bool *keeps)
{
	int err = caller_read(ctx->pid, c);

	*keeps = ctx->pid ? has_fsetid(ctx->pid, c, st) : judged && ctx->uid == 0;
	return err;
}

int creds_change(struct creds *cr, const struct fuse_ctx *ctx, int fd, bool judged)
{
	struct caller c;
	struct stat st;
	bool keeps;
	int err;

	*cr = (struct creds) { 0 };
	if (fstat(fd, &st))
		return -errno;
	if (!(st.st_mode & (S_ISUID | S_ISGID)))
		return 0;
	err = caller_judge(ctx, &st, judged, &c, &keeps);
	if (!err && !keeps)
		err = creds_switch(cr, &c, false);
	free(c.groups);
	return err;
}

int creds_acl(struct creds *cr, int fd)
{
	struct caller c = { .uid = NOBODY, .gid = NOBODY };
	struct stat st;

	*cr = (struct creds) { 0 };
	if (fstat(fd, &st))
		return -errno;
	if (!(st.st_mode & S_ISGID) || !said.kill_sgid)
		return 0;
	if (st.st_gid == c.gid)
		c.gid--;
	return creds_switch(cr, &c, false);
}

int creds_make(struct creds *cr, const struct fuse_ctx *ctx, const struct stat *dir)
{
	struct caller c = { 0 };
	bool keeps = false;
	int err;

	*cr = (struct creds) { 0 };
	err = own_umask_set(ctx->umask);
	if (!err && dir && said.group == dir->st_gid)
		err = groups_set(cr, &said.group, 1);
	else if (!err && dir)
		err = caller_judge(ctx, dir, true, &c, &keeps);
	c.uid = ctx->uid;
	c.gid = ctx->gid;
	if (!err && (c.uid || c.gid || (dir && !keeps)))
		err = creds_switch(cr, &c, keeps);
	free(c.groups);
	return err;
}

int creds_enter_capable(struct creds *cr, const struct fuse_ctx *ctx, int cap)
{
	*cr = (struct creds) { .switched = !creds_capable(ctx, cap) };
	return cr->switched ? caps_drop(cap) : 0;
}

void creds_leave(const struct creds *cr)
{
	if (!cr->switched)
		return;
	/* Going on as somebody else would be a hole. */
	if (fsids_set(0, 0) || caps_drop(NO_CAP) ||
	    (cr->groups && syscall(SYS_setgroups, 0, NULL)))
		abort();
}
