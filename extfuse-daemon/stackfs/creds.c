// SPDX-License-Identifier: GPL-2.0-only
/*
 * Creating things as the caller would (C7).
 *
 * The kernel has already decided that the caller may do it, so the lower call
 * keeps all capabilities: repeating the decision here, with groups that may be
 * others by now, could only differ.  CAP_FSETID is the exception, because it
 * decides what becomes of setuid and setgid bits.  CAP_SYS_RESOURCE, by which
 * data would be written beyond the owner's quota, is given up for good.
 *
 * umask, fsuid, fsgid, groups and capabilities are the thread's: the C
 * library's setgroups() would change them for all.
 */
#include <errno.h>
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

/* What follows a key in /proc/PID/status, to be freed; NULL: not to be found */
static char *status_value(pid_t pid, const char *key)
{
	char path[PROC_FD_LEN], *line = NULL, *value = NULL;
	size_t size = 0, len = strlen(key);
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	f = fopen(path, "re");
	while (f && !value && getline(&line, &size, f) > 0)
		if (!strncmp(line, key, len))
			value = strdup(line + len);
	if (f)
		fclose(f);
	free(line);
	return value;
}

static bool same_user_namespace(pid_t pid)
{
	char path[PROC_FD_LEN];
	struct stat own, st;

	snprintf(path, sizeof(path), "/proc/%d/ns/user", pid);
	return !stat("/proc/self/ns/user", &own) && !stat(path, &st) &&
	       own.st_dev == st.st_dev && own.st_ino == st.st_ino;
}

bool creds_capable(pid_t pid, int cap)
{
	char *caps = status_value(pid, "CapEff:");
	bool capable;

	capable = caps && (strtoull(caps, NULL, 16) >> cap & 1) &&
		  same_user_namespace(pid);
	free(caps);
	return capable;
}

/* Takes the numbers after "Groups:" of /proc/PID/status. */
static int groups_parse(const char *s, gid_t **list)
{
	char *end;
	int n;

	*list = malloc((strlen(s) / 2 + 1) * sizeof(**list));
	if (!*list)
		return -ENOMEM;
	for (n = 0;; n++, s = end) {
		(*list)[n] = strtoul(s, &end, 10);
		if (end == s)
			return n;
	}
}

/* A caller that is not to be found has no groups: bits go, none stay. */
static int groups_enter(pid_t pid)
{
	char *groups = status_value(pid, "Groups:");
	gid_t *list = NULL;
	int n = 0, err;

	if (groups)
		n = groups_parse(groups, &list);
	free(groups);
	if (n < 0)
		return n;
	err = syscall(SYS_setgroups, n, list) ? -errno : 0;
	free(list);
	return err;
}

static int fsids_set(uid_t uid, gid_t gid)
{
	setfsgid(gid);
	setfsuid(uid);
	/* They report no errors; an invalid id changes nothing. */
	return (uid_t)setfsuid(NO_ID) == uid && (gid_t)setfsgid(NO_ID) == gid ?
	       0 : -EPERM;
}

gid_t creds_sgid_group(int fd)
{
	struct stat st;

	return !fstat(fd, &st) && (st.st_mode & S_ISGID) ? st.st_gid :
							   CREDS_NO_GROUP;
}

int creds_enter_change(struct creds *cr, const struct fuse_ctx *ctx, int fd)
{
	struct fuse_ctx nobody = { .uid = NOBODY, .gid = NOBODY };

	if (!ctx->pid)
		return creds_enter(cr, &nobody, CREDS_NO_GROUP);
	return creds_enter(cr, ctx, creds_sgid_group(fd));
}

int creds_enter(struct creds *cr, const struct fuse_ctx *ctx, gid_t group)
{
	int err = 0;

	*cr = (struct creds) { 0 };
	if (!own_umask) {
		if (unshare(CLONE_FS))
			return -errno;
		own_umask = true;
	}
	umask(ctx->umask);
	if (ctx->uid == 0 && ctx->gid == 0)
		return 0;
	if (ctx->uid != 0 && group != CREDS_NO_GROUP && group != ctx->gid) {
		cr->groups = true;
		err = groups_enter(ctx->pid);
	}
	cr->switched = true;
	if (!err)
		err = fsids_set(ctx->uid, ctx->gid);
	if (!err)
		err = caps_drop(ctx->uid == 0 ? NO_CAP : CAP_FSETID);
	if (err)
		creds_leave(cr);
	return err;
}

int creds_enter_capable(struct creds *cr, const struct fuse_ctx *ctx, int cap)
{
	*cr = (struct creds) { .switched = !creds_capable(ctx->pid, cap) };
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
