// SPDX-License-Identifier: GPL-2.0-only
/*
 * Command line: LOWER MOUNTPOINT [-sfnv] [-o options], as mount(8) calls it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>

#include "stackfs.h"

#define NS 1000000000ULL
#define MAX_SECONDS 4294967295ULL

/* When changes made below are seen at once, or there are none; and when not */
#define LONG_TIMEOUT (3600 * NS)
#define SHORT_TIMEOUT NS

/* Not known to mount(2) are: "user" and its kin, which mount(8) has seen to. */
static const char *const ignored[] = {
	"defaults", "_netdev", "nofail", "noauto", "auto", "user", "nouser",
	"users", "nousers", "owner", "noowner", "group", "nogroup",
	"default_permissions", "silent", "loud", "nolazytime", "noiversion", "nomand",
};

static const char *const ignored_prefixes[] = { "comment=", "x-", "X-" };

/* Of the mount table: mount(8) hands them over for a remount, and nothing else would act */
static const char *const table_prefixes[] = {
	"user_id=", "group_id=", "rootmode=", "fd=", "max_read=", "blksize=",
};

static const struct {
	const char *name;
	unsigned long set;
	unsigned long clear;
} ms_options[] = {
	{ "ro", MS_RDONLY, 0 },		 { "rw", 0, MS_RDONLY },
	{ "nosuid", MS_NOSUID, 0 },	 { "suid", 0, MS_NOSUID },
	{ "nodev", MS_NODEV, 0 },	 { "dev", 0, MS_NODEV },
	{ "noexec", MS_NOEXEC, 0 },	 { "exec", 0, MS_NOEXEC },
	{ "noatime", MS_NOATIME, 0 },	 { "atime", 0, MS_NOATIME },
	{ "nodiratime", MS_NODIRATIME, 0 }, { "diratime", 0, MS_NODIRATIME },
	{ "relatime", MS_RELATIME, 0 },	 { "norelatime", 0, MS_RELATIME },
	{ "strictatime", MS_STRICTATIME, 0 },
	{ "nostrictatime", 0, MS_STRICTATIME },
	{ "nosymfollow", MS_NOSYMFOLLOW, 0 }, { "symfollow", 0, MS_NOSYMFOLLOW },
	{ "remount", MS_REMOUNT, 0 },
	{ "sync", MS_SYNCHRONOUS, 0 },	 { "async", 0, MS_SYNCHRONOUS },
	{ "dirsync", MS_DIRSYNC, 0 },	 { "nodirsync", 0, MS_DIRSYNC },
};

static bool parse_ms(struct options *o, const char *arg)
{
	size_t i;

	for (i = 0; i < sizeof(ms_options) / sizeof(ms_options[0]); i++)
		if (!strcmp(arg, ms_options[i].name)) {
			o->ms_flags &= ~ms_options[i].clear;
			o->ms_flags |= ms_options[i].set;
			return true;
		}
	return false;
}

static const char *prefix_find(const char *const *prefixes, size_t n, const char *arg)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (!strncmp(arg, prefixes[i], strlen(prefixes[i])))
			return prefixes[i];
	return NULL;
}

static bool is_ignored(struct options *o, const char *arg)
{
	const char *of_table;
	size_t i;

	for (i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
		if (!strcmp(arg, ignored[i]))
			return true;
	of_table = prefix_find(table_prefixes, sizeof(table_prefixes) / sizeof(table_prefixes[0]),
			       arg);
	if (of_table)
		o->of_table = of_table;
	return of_table || prefix_find(ignored_prefixes,
				       sizeof(ignored_prefixes) / sizeof(ignored_prefixes[0]), arg);
}

static bool parse_switch(struct options *o, const char *arg)
{
	if (!strcmp(arg, "passthrough") || !strcmp(arg, "nopassthrough"))
		o->passthrough = *arg == 'p';
	else if (!strcmp(arg, "writeback"))
		o->writeback = true;
	else if (!strcmp(arg, "allow_other") || !strcmp(arg, "noallow_other"))
		o->allow_other = *arg == 'a';
	else if (!strcmp(arg, "watch"))
		o->watch = WATCH_ON;
	else if (!strcmp(arg, "exclusive"))
		o->exclusive = true;
	else if (!strcmp(arg, "foreground"))
		o->foreground = true;
	else if (!strcmp(arg, "debug"))
		o->debug = o->foreground = true;
	else
		return false;
	return true;
}

static int bad_value(const char *arg, const char *what)
{
	log_err("-o %s: %s", arg, what);
	return -1;
}

/* Decimal seconds; strtod() would take infinity and 0x10 as well. */
static int parse_timeout(const char *arg, const char *value, uint64_t *ns)
{
	double seconds;
	char *end;

	seconds = strtod(value, &end);
	if (!*value || *end || value[strspn(value, "0123456789.")] ||
	    seconds > MAX_SECONDS)
		return bad_value(arg, "not a number of seconds from 0 to 4294967295");
	*ns = (uint64_t)seconds * NS +
	      (uint64_t)((seconds - (uint64_t)seconds) * NS + 0.5);
	return 0;
}

static int parse_entries(struct options *o, const char *arg, const char *value)
{
	unsigned long n;
	char *end;

	errno = 0;
	n = strtoul(value, &end, 10);
	if (!*value || value[strspn(value, "0123456789")] || errno ||
	    n < EBPF_MIN_ENTRIES || n > EBPF_MAX_ENTRIES)
		return bad_value(arg, "not a number from 16 to 16777216");
	o->max_entries = n;
	return 0;
}

static int parse_extfuse(struct options *o, const char *arg, const char *value)
{
	if (!strcmp(value, "off"))
		o->extfuse = EXTFUSE_OFF;
	else if (!strcmp(value, "auto") || !strcmp(value, "on"))
		o->extfuse = EXTFUSE_AUTO;
	else if (!strcmp(value, "require"))
		o->extfuse = EXTFUSE_REQUIRE;
	else
		return bad_value(arg, "not one of off, auto, on, require");
	return 0;
}

static int parse_lock(struct options *o, const char *arg, const char *value)
{
	o->lock_lower = !strcmp(value, "lower");
	return o->lock_lower || !strcmp(value, "mount") ? 0 :
	       bad_value(arg, "not one of mount, lower");
}

static int parse_watch(struct options *o, const char *arg, const char *value)
{
	if (!strcmp(value, "auto"))
		o->watch = WATCH_AUTO;
	else if (!strcmp(value, "on"))
		o->watch = WATCH_ON;
	else if (!strcmp(value, "off"))
		o->watch = WATCH_OFF;
	else
		return bad_value(arg, "not one of auto, on, off");
	return 0;
}

static int parse_object(struct options *o, const char *arg, const char *value)
{
	if (*value != '/')
		return bad_value(arg, "not an absolute path");
	free(o->object);
	o->object = strdup(value);
	return o->object ? 0 : -1;
}

static int parse_unknown(const struct options *o, const char *arg)
{
	if (o->sloppy)
		return 0;
	log_err("unknown option '%s'", arg);
	return -1;
}

static int parse_value(struct options *o, const char *arg)
{
	const char *value = strchr(arg, '=');
	size_t len;

	if (!value)
		return parse_unknown(o, arg);
	len = ++value - arg;
	if (!strncmp(arg, "extfuse=", len))
		return parse_extfuse(o, arg, value);
	if (!strncmp(arg, "watch=", len))
		return parse_watch(o, arg, value);
	if (!strncmp(arg, "object=", len))
		return parse_object(o, arg, value);
	if (!strncmp(arg, "attr_timeout=", len))
		return parse_timeout(arg, value, &o->attr_timeout);
	if (!strncmp(arg, "entry_timeout=", len))
		return parse_timeout(arg, value, &o->entry_timeout);
	if (!strncmp(arg, "negative_timeout=", len))
		return parse_timeout(arg, value, &o->negative_timeout);
	if (!strncmp(arg, "max_entries=", len))
		return parse_entries(o, arg, value);
	if (!strncmp(arg, "lock=", len))
		return parse_lock(o, arg, value);
	return parse_unknown(o, arg);
}

static bool parse_letter(struct options *o, char letter)
{
	switch (letter) {
	case 's':	/* seen to by find_sloppy() */
	case 'n':	/* there is no /etc/mtab to leave alone */
	case 'v':	/* what there is to say is said */
		return true;
	case 'f':
		return o->fake = true;
	case 'r':
		return parse_ms(o, "ro");
	case 'w':
		return parse_ms(o, "rw");
	case 'd':
		return o->debug = o->foreground = true;
	case 'h':
		return o->help = true;
	case 'V':
		return o->version = true;
	}
	return false;
}

static int parse_dashed(struct options *o, const char *arg)
{
	const char *p;

	if (!strcmp(arg, "--help"))
		return o->help = true, 0;
	if (!strcmp(arg, "--version"))
		return o->version = true, 0;
	for (p = arg + 1; *p; p++)
		if (!parse_letter(o, *p)) {
			log_err("unknown option '%s'", arg);
			return -1;
		}
	return 0;
}

static int parse_operand(struct options *o, const char *arg)
{
	char **to = !o->lower ? &o->lower :
		    !o->mountpoint ? &o->mountpoint : NULL;

	if (!to) {
		log_err("one operand too many: '%s'", arg);
		return -1;
	}
	*to = strdup(arg);
	return *to ? 0 : -1;
}

/* For fuse_opt: 0: taken, -1: wrong. */
static int parse_arg(void *data, const char *arg, int key,
		     struct fuse_args *outargs)
{
	struct options *o = data;

	(void)outargs;
	if (key == FUSE_OPT_KEY_NONOPT)
		return parse_operand(o, arg);
	if (*arg == '-')
		return parse_dashed(o, arg);
	/* between two commas */
	if (!*arg)
		return 0;
	if (parse_ms(o, arg) || parse_switch(o, arg) || is_ignored(o, arg))
		return 0;
	return parse_value(o, arg);
}

/* -s speaks of options before it, too. */
static bool find_sloppy(int argc, char **argv)
{
	int i;

	for (i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "-o") || !strcmp(argv[i], "-t"))
			i++;
		else if (argv[i][0] == '-' &&
			 argv[i][strspn(argv[i], "-sfnvrwd")] == '\0' &&
			 strchr(argv[i], 's'))
			return true;
	}
	return false;
}

static int check_options(struct options *o)
{
	if (!o->mountpoint) {
		log_err("missing operand: %s",
			o->lower ? "MOUNTPOINT" : "LOWER");
		opts_usage(stderr);
		return EXIT_USAGE;
	}
	if (o->of_table && !(o->ms_flags & MS_REMOUNT) && !o->sloppy) {
		log_err("-o %s...: for a remount only", o->of_table);
		return EXIT_USAGE;
	}
	if (o->writeback && o->passthrough == 1) {
		log_err("-o writeback and -o passthrough exclude each other");
		return EXIT_USAGE;
	}
	/* With a writeback cache FUSE knows sizes and times better than anybody. */
	if (o->watch == WATCH_ON && (o->writeback || o->exclusive)) {
		log_err("-o %s and -o watch exclude each other",
			o->writeback ? "writeback" : "exclusive");
		return EXIT_USAGE;
	}
	if (o->writeback || o->exclusive)
		o->watch = WATCH_OFF;
	o->passthrough = o->passthrough && !o->writeback;
	return 0;
}

int opts_parse(int argc, char **argv, struct options *o)
{
	static const struct fuse_opt spec[] = {
		FUSE_OPT_KEY("-t %s", FUSE_OPT_KEY_DISCARD),
		FUSE_OPT_END
	};
	struct fuse_args args = FUSE_ARGS_INIT(argc, argv);
	int err;

	*o = (struct options) {
		.extfuse = EXTFUSE_AUTO,
		.passthrough = -1,
		.allow_other = true,
		.attr_timeout = TIMEOUT_UNSAID,
		.entry_timeout = TIMEOUT_UNSAID,
		.negative_timeout = TIMEOUT_UNSAID,
		.sloppy = find_sloppy(argc, argv),
	};
	err = fuse_opt_parse(&args, o, spec, parse_arg);
	fuse_opt_free_args(&args);
	if (err)
		return EXIT_USAGE;
	return o->help || o->version ? 0 : check_options(o);
}

void opts_timeouts(struct options *o, bool watched)
{
	uint64_t *const all[] = {
		&o->attr_timeout, &o->entry_timeout, &o->negative_timeout,
	};
	size_t i;

	for (i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		if (*all[i] == TIMEOUT_UNSAID)
			*all[i] = watched || o->exclusive ? LONG_TIMEOUT :
							    SHORT_TIMEOUT;
}

void opts_free(struct options *o)
{
	free(o->lower);
	free(o->mountpoint);
	free(o->object);
}

void opts_usage(FILE *f)
{
	fputs("usage: mount.extfuse LOWER MOUNTPOINT [-sfnvrw] [-o OPTION,...]\n"
	      "\n"
	      "Shows the directory LOWER at MOUNTPOINT.\n"
	      "\n"
	      "  extfuse=auto|off|require  answer requests in the kernel: if possible,\n"
	      "                         never, or not mount at all (auto)\n"
	      "  object=PATH            the eBPF object (/usr/lib/extfuse/extfuse.o)\n"
	      "  passthrough, nopassthrough\n"
	      "                         let the kernel read and write the lower files\n"
	      "                         itself (if the kernel can)\n"
	      "  writeback              let the kernel collect writes; no passthrough\n"
	      "  watch=auto|on|off      see changes made in LOWER itself at once: if\n"
	      "                         possible, or not mount at all, never (auto)\n"
	      "  exclusive              nobody changes LOWER itself\n"
	      "  attr_timeout=SECONDS   how long attributes may be cached: the bound\n"
	      "                         within which changes made in LOWER itself are\n"
	      "                         seen if it is not watched (3600 if it is, or\n"
	      "                         exclusive, else 1)\n"
	      "  entry_timeout=SECONDS  likewise names\n"
	      "  negative_timeout=SECONDS  likewise names that do not exist\n"
	      "  max_entries=NUMBER     names and nodes that the kernel may know\n"
	      "  lock=mount|lower       whether locks are the lower file's, too (mount)\n"
	      "  noallow_other          root only\n"
	      "  foreground, debug      do not go to the background; log requests\n"
	      "and the options of mount(8) that suit any file system.\n"
	      "\n"
	      "  -f  check everything, mount nothing   -s  tolerate unknown options\n"
	      "  -h  help                              -V  version\n", f);
}
