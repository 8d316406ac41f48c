// SPDX-License-Identifier: GPL-2.0-only
/*
 * What must be right before anything is mounted.
 */
#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <linux/magic.h>
#include <mntent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/vfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "stackfs.h"

static int check_environment(void)
{
	if (geteuid() != 0) {
		log_err("only root can mount");
		return EXIT_USAGE;
	}
	/* Some system calls take paths only: see proc_fd(). */
	if (access("/proc/self/fd", F_OK)) {
		log_err("/proc is not mounted");
		return EXIT_SYSTEM;
	}
	return 0;
}

static int real_path(char **path)
{
	char *real = realpath(*path, NULL);

	if (!real) {
		log_err("%s: %s", *path, strerror(errno));
		return EXIT_MOUNT;
	}
	free(*path);
	*path = real;
	return 0;
}

/* What is known of some file systems only. */
static int check_type(struct stackfs *fs)
{
	unsigned int traits;
	struct statfs sf;

	if (fstatfs(fs->root_fd, &sf)) {
		log_err("%s: %s", fs->opts.lower, strerror(errno));
		return EXIT_MOUNT;
	}
	if (!lower_stores(fs->root_fd, &sf)) {
		log_err("%s: not a file system that keeps files (type 0x%lx): the kernel's interfaces judge the process that asks, which here would be root",
			fs->opts.lower, (unsigned long)sf.f_type);
		return EXIT_MOUNT;
	}
	traits = lower_traits(fs->root_fd, &sf);
	fs->noxattr = traits & LOWER_NATIVE;
	fs->splice = sf.f_type != FUSE_SUPER_MAGIC;
	if (traits & LOWER_FOLDS)
		log_warn("%s: takes upper and lower case for one, so that no name is cached",
			 fs->opts.lower);
	return 0;
}

/*
 * What only the mount of LOWER can do: who asks for it must have it there.
 */
static int check_asked(unsigned long asked, unsigned long lower)
{
	static const struct {
		const char *name;
		unsigned long flag;
		unsigned long needs;
		unsigned long forbids;
	} of_lower[] = {
		{ "relatime", MS_RELATIME, ST_RELATIME, 0 },
		{ "strictatime", MS_STRICTATIME, 0, ST_RELATIME | ST_NOATIME },
		{ "sync", MS_SYNCHRONOUS, ST_SYNCHRONOUS, 0 },
		{ "dirsync", MS_DIRSYNC, ST_SYNCHRONOUS, 0 },
	};
	size_t i;

	for (i = 0; i < sizeof(of_lower) / sizeof(of_lower[0]); i++) {
		if (!(asked & of_lower[i].flag) ||
		    ((lower & of_lower[i].needs) == of_lower[i].needs &&
		     !(lower & of_lower[i].forbids)))
			continue;
		log_err("-o %s: the mount of the lower directory would have to be so",
			of_lower[i].name);
		return EXIT_USAGE;
	}
	return 0;
}

static int check_lower(struct stackfs *fs)
{
	struct statvfs sv;
	int err;

	err = real_path(&fs->opts.lower);
	if (err)
		return err;
	fs->root_fd = open(fs->opts.lower, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fs->root_fd < 0 || fstatvfs(fs->root_fd, &sv)) {
		log_err("%s: %s", fs->opts.lower, strerror(errno));
		return EXIT_MOUNT;
	}
	fs->st_flags = sv.f_flag;
	/* C7: what the lower mount forbids; MS_* and ST_* are the same. */
	fs->opts.ms_flags |= sv.f_flag & (LOWER_LIMITS | ST_RDONLY);
	err = check_asked(fs->opts.ms_flags, sv.f_flag);
	if (!err)
		err = check_type(fs);
	if (err)
		return err;
	xattr_probe(fs);
	err = watch_open(fs);
	opts_timeouts(&fs->opts, fs->watch.fan_fd >= 0);
	return err;
}

static bool is_extfuse_type(const char *type)
{
	return !strcmp(type, ebpf_road_type(EBPF_ROAD_TYPE)) ||
	       !strcmp(type, ebpf_road_type(EBPF_ROAD_MODULE));
}

/* The source of the topmost mount at the mount point if it is one of ours. */
static char *mounted_source(const char *mountpoint)
{
	/* Two paths, all of whose bytes may be written as \040, and options */
	char *source = NULL, buf[2 * 4 * PATH_MAX + BUFSIZ];
	FILE *f = setmntent("/proc/self/mounts", "re");
	struct mntent m;

	while (f && getmntent_r(f, &m, buf, sizeof(buf))) {
		if (strcmp(m.mnt_dir, mountpoint))
			continue;
		free(source);
		source = is_extfuse_type(m.mnt_type) ?
			 strdup(m.mnt_fsname) : NULL;
	}
	if (f)
		endmntent(f);
	return source;
}

static int check_mountpoint(struct stackfs *fs)
{
	const char *mp;
	char *source;
	struct stat st;
	int err;

	err = real_path(&fs->opts.mountpoint);
	if (err)
		return err;
	mp = fs->opts.mountpoint;
	source = mounted_source(mp);
	if (source) {
		log_err("%s: busy: %s is mounted there", mp, source);
		free(source);
		return EXIT_MOUNT;
	}
	if (!stat(mp, &st) && !S_ISDIR(st.st_mode))
		errno = ENOTDIR;
	else if (access(mp, F_OK) == 0)
		return 0;
	log_err("%s: %s", mp, strerror(errno));
	return EXIT_MOUNT;
}

/*
 * C7: what the lower mount forbids stays forbidden.  The daemon knows: something
 * else may be mounted on the lower directory by now.  That it was read-only may
 * be over.
 */
static int lower_limits(const char *mountpoint, const char *lower, unsigned long *flags)
{
	char *text = calloc(1, XATTR_SIZE_MAX + 1);
	json_t *j = NULL, *v;
	struct statvfs sv;
	int err = 0;

	if (text && getxattr(mountpoint, STAT_XATTR, text, XATTR_SIZE_MAX) > 0)
		j = json_loads(text, 0, NULL);
	v = json_object_get(j, "lower_flags");
	if (json_is_integer(v))
		*flags = json_integer_value(v) & ~ST_RDONLY;
	else
		err = -EPROTO;
	if (!err && !statvfs(lower, &sv))
		*flags |= sv.f_flag & ST_RDONLY;
	json_decref(j);
	free(text);
	return err;
}

/* mount(8) gives the options of the first mount too: only flags can change. */
int check_remount(struct stackfs *fs)
{
	const struct options *o = &fs->opts;
	unsigned long limits;
	char *source;
	int err;

	err = check_environment();
	if (!err)
		err = real_path(&fs->opts.mountpoint);
	if (err)
		return err;
	source = mounted_source(o->mountpoint);
	if (!source) {
		log_err("%s: no ExtFUSE mount to remount", o->mountpoint);
		return EXIT_MOUNT;
	}
	err = lower_limits(o->mountpoint, source, &limits);
	free(source);
	if (err) {
		log_err("%s: remount: the daemon does not say what the lower mount allows",
			o->mountpoint);
		return EXIT_MOUNT;
	}
	/* the mount table has it of every mount */
	err = check_asked(o->ms_flags & ~MS_RELATIME, limits);
	if (err)
		return err;
	limits &= LOWER_LIMITS | ST_RDONLY;
	if (!o->fake && mount(NULL, o->mountpoint, NULL, o->ms_flags | limits,
			      NULL)) {
		log_err("%s: remount: %s", o->mountpoint, strerror(errno));
		return EXIT_MOUNT;
	}
	return 0;
}

int check_mount(struct stackfs *fs)
{
	int err;

	err = check_environment();
	if (!err)
		err = check_lower(fs);
	if (!err)
		err = check_mountpoint(fs);
	if (!err)
		err = extfuse_check(fs);
	return err;
}
