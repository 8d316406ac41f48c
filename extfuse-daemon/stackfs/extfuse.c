// SPDX-License-Identifier: GPL-2.0-only
/*
 * -o extfuse=: from an object in a file to a program in the kernel.
 *
 * What fails means plain FUSE and one warning, or with extfuse=require no
 * mount.  An object that others than root can write is never loaded and never
 * passed over: somebody means harm or made a mistake.
 */
#include <errno.h>
#include <linux/limits.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "stackfs.h"

#define DEFAULT_OBJECT "/usr/lib/extfuse/extfuse.o"
#define MODULE_SUFFIX "-ops.o"

/* Without max_entries=: what an entry takes, and which part of memory all may */
#define ENTRY_BYTES 360
#define MEMORY_SHARE 64
#define FEWEST_ENTRIES 16384
#define USUAL_ENTRIES 131072

static bool has_suffix(const char *s, size_t len, const char *suffix)
{
	size_t n = strlen(suffix);

	return len >= n && !memcmp(s + len - n, suffix, n);
}

/* The module has the object's twin beside it: the same handlers, entered otherwise. */
static const char *object_path(const struct stackfs *fs)
{
	const char *path = fs->opts.object ? fs->opts.object : DEFAULT_OBJECT;
	static char twin[PATH_MAX];
	size_t len = strlen(path);

	if (fs->road != EBPF_ROAD_MODULE || !has_suffix(path, len, ".o") ||
	    has_suffix(path, len, MODULE_SUFFIX) ||
	    len + sizeof(MODULE_SUFFIX) > sizeof(twin))
		return path;
	snprintf(twin, sizeof(twin), "%.*s" MODULE_SUFFIX, (int)len - 2, path);
	return twin;
}

static int fail(const struct stackfs *fs, const char *why)
{
	if (fs->opts.extfuse == EXTFUSE_REQUIRE) {
		log_err("%s (extfuse=require)", why);
		return EXIT_MOUNT;
	}
	log_warn("%s; going on as plain FUSE", why);
	return 0;
}

/* The ladder's line names the object by the descriptor that we gave it. */
static char rung[512];
static char rung_path[PROC_FD_LEN];
static const char *rung_name;

static void rung_log(const char *line)
{
	const char *at = strstr(line, rung_path);

	if (at)
		snprintf(rung, sizeof(rung), "%.*s%s%s", (int)(at - line),
			 line, rung_name, at + strlen(rung_path));
	else
		snprintf(rung, sizeof(rung), "%s", line);
}

static int rung_fail(const struct stackfs *fs, int err)
{
	if (!*rung)
		snprintf(rung, sizeof(rung), "%s: %s", object_path(fs),
			 strerror(-err));
	return fail(fs, rung);
}

/* Opened once: what was checked is what is loaded. */
static int object_open(struct stackfs *fs)
{
	const char *path = object_path(fs);
	char why[512];
	struct stat st;

	fs->object_fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fs->object_fd < 0 || fstat(fs->object_fd, &st)) {
		snprintf(why, sizeof(why), "%s: %s", path, strerror(errno));
		return fail(fs, why);
	}
	if (!S_ISREG(st.st_mode) || st.st_uid != 0 || (st.st_mode & 022)) {
		log_err("%s: must be a regular file of root that nobody else can write (it has mode %06o and owner %u)",
			path, st.st_mode, st.st_uid);
		return EXIT_MOUNT;
	}
	return 0;
}

/* Twice the inodes that are there, so that the lower file system may grow */
static uint32_t default_entries(const struct stackfs *fs)
{
	uint64_t memory = (uint64_t)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE);
	uint64_t most = memory / MEMORY_SHARE / ENTRY_BYTES;
	uint64_t n = USUAL_ENTRIES;
	struct statvfs sv;

	if (most > EBPF_MAX_ENTRIES)
		most = EBPF_MAX_ENTRIES;
	while (n > most && n > FEWEST_ENTRIES)
		n /= 2;
	if (!fstatvfs(fs->root_fd, &sv) && sv.f_files > sv.f_ffree)
		while (n < 2 * (sv.f_files - sv.f_ffree) && n * 2 <= most)
			n *= 2;
	return n;
}

static struct ebpf_opts object_opts(const struct stackfs *fs)
{
	rung_name = object_path(fs);
	proc_fd(rung_path, fs->object_fd);
	return (struct ebpf_opts) {
		.size = sizeof(struct ebpf_opts),
		.max_entries = fs->opts.max_entries ? fs->opts.max_entries :
						      default_entries(fs),
		.attr_timeout = fs->opts.attr_timeout,
		.log = rung_log,
	};
}

int extfuse_check(struct stackfs *fs)
{
	struct ebpf_opts opts;
	int err;

	if (fs->opts.extfuse == EXTFUSE_OFF)
		return 0;
	fs->road = ebpf_road(!fs->opts.fake);
	err = object_open(fs);
	if (err || fs->object_fd < 0 || !fs->opts.fake)
		return err;
	opts = object_opts(fs);
	err = ebpf_check(rung_path, &opts);
	return err ? rung_fail(fs, err) : 0;
}

int extfuse_start(struct stackfs *fs)
{
	struct ebpf_opts opts;
	int err;

	if (fs->object_fd < 0) {
		fs->road = EBPF_ROAD_NONE;
		return 0;
	}
	opts = object_opts(fs);
	err = ebpf_init(rung_path, &opts, &fs->ebpf);
	if (err) {
		/* what goes on as plain FUSE is the kernel's own */
		fs->road = EBPF_ROAD_NONE;
		return rung_fail(fs, err);
	}
	fs->cache = cache_new(fs->ebpf, node_unpin, &fs->nodes);
	if (!fs->cache) {
		log_err("no memory for the cache");
		return EXIT_SYSTEM;
	}
	nodes_publish(&fs->nodes, fs->cache);
	return 0;
}

int extfuse_attached(struct stackfs *fs)
{
	struct extfuse_status st = { 0 };
	char why[256];
	int err;

	if (!fs->ebpf)
		return 0;
	if (fs->init_abi != EXTFUSE_ABI) {
		snprintf(why, sizeof(why), "the kernel offers ExtFUSE ABI %u, this is %u",
			 fs->init_abi, EXTFUSE_ABI);
	} else {
		err = ebpf_attach(fs->ebpf, fs->dev_fd);
		if (!err)
			err = session_status(fs, &st);
		if (!err && st.attached)
			return 0;
		snprintf(why, sizeof(why), "the kernel refused the ExtFUSE program: %s",
			 strerror(err ? -err : -st.error));
	}
	extfuse_stop(fs);
	return fail(fs, why);
}

void extfuse_stop(struct stackfs *fs)
{
	cache_free(fs->cache);
	fs->cache = NULL;
	fs->nodes.cache = NULL;
	ebpf_fini(fs->ebpf);
	fs->ebpf = NULL;
}
