// SPDX-License-Identifier: GPL-2.0-only
/*
 * extfuse-stat: what an ExtFUSE mount answers where.
 */
#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <linux/limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <linux/extfuse.h>

#define STAT_XATTR "trusted.extfuse.stat"

#define EXIT_USAGE 1
#define EXIT_FAILED 2

static void usage(FILE *f)
{
	fputs("usage: extfuse-stat [--json] [--watch SECONDS] MOUNTPOINT\n"
	      "       extfuse-stat --version | --help\n", f);
}

static int fail(const char *mountpoint, int err)
{
	const char *why = strerror(err);

	if (err == ENODATA && geteuid())
		why = "needs CAP_SYS_ADMIN (root)";
	else if (err == ENODATA || err == EOPNOTSUPP)
		why = "not the root of an ExtFUSE mount";
	else if (err == ENOTCONN)
		why = "the mount is dead: its daemon is gone (umount it)";
	fprintf(stderr, "extfuse-stat: %s: %s\n", mountpoint, why);
	return EXIT_FAILED;
}

static json_int_t num(const json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}

static const char *text(const json_t *object, const char *key)
{
	const char *s = json_string_value(json_object_get(object, key));

	return s ? s : "-";
}

static void print_ops(json_t *ops)
{
	json_int_t n[5];
	const char *name;
	json_t *op;

	printf("%-16s %12s %12s %12s %10s %10s\n", "operation", "kernel",
	       "daemon", "passthrough", "stale", "error");
	json_object_foreach(ops, name, op) {
		n[0] = num(op, "served");
		n[1] = num(op, "upcall");
		n[2] = num(op, "passthru");
		n[3] = num(op, "stale");
		n[4] = num(op, "error");
		if (n[0] | n[1] | n[2] | n[3] | n[4])
			printf("%-16s %12lld %12lld %12lld %10lld %10lld\n",
			       name, (long long)n[0], (long long)n[1],
			       (long long)n[2], (long long)n[3],
			       (long long)n[4]);
	}
}

static void print_watch(const json_t *j)
{
	const json_t *watch = json_object_get(j, "watch");
	const json_t *t = json_object_get(j, "timeouts");
	const char *mode = text(watch, "mode");

	printf("changes below ");
	if (!strcmp(mode, "on"))
		printf("watched, %lld seen, lost %lld times\n",
		       (long long)num(watch, "events"),
		       (long long)num(watch, "overflows"));
	else
		puts(!strcmp(mode, "exclusive") ? "none (exclusive)" :
						  "not watched");
	printf("timeouts     %g s (attributes), %g s (names), %g s (none)\n",
	       json_number_value(json_object_get(t, "attr")),
	       json_number_value(json_object_get(t, "entry")),
	       json_number_value(json_object_get(t, "negative")));
}

static void print_table(const json_t *j)
{
	json_t *kernel_abi = json_object_get(j, "kernel_abi");
	json_t *nodes = json_object_get(j, "nodes");
	const char *name;
	json_t *map;

	printf("mount        %s\nversion      %s (ABI %lld, kernel's ",
	       text(j, "mount"), text(j, "version"), (long long)num(j, "abi"));
	if (json_is_integer(kernel_abi))
		printf("%lld)\n", (long long)json_integer_value(kernel_abi));
	else
		printf("none)\n");
	printf("mode         %s%s\nroad         %s\nrejected     %lld\n",
	       text(j, "mode"), json_is_true(json_object_get(j, "passthrough")) ?
	       ", passthrough" : "", text(j, "road"),
	       (long long)num(j, "rejected"));
	printf("nodes        %lld, %lld of them pinned, %lld open, %lld without a row\n",
	       (long long)num(nodes, "total"), (long long)num(nodes, "pinned"),
	       (long long)num(nodes, "fds"), (long long)num(nodes, "rowless"));
	print_watch(j);
	json_object_foreach(json_object_get(j, "maps"), name, map)
		if (num(map, "max"))
			printf("%-15s %lld of %lld\n", name,
			       (long long)num(map, "used"),
			       (long long)num(map, "max"));
	putchar('\n');
	print_ops(json_object_get(j, "ops"));
}

static int print(const char *mountpoint, bool raw)
{
	static char value[XATTR_SIZE_MAX + 1];
	json_t *j;
	ssize_t n;

	n = lgetxattr(mountpoint, STAT_XATTR, value, XATTR_SIZE_MAX);
	if (n < 0)
		return fail(mountpoint, errno);
	value[n] = '\0';
	if (raw) {
		puts(value);
		return 0;
	}
	j = json_loads(value, 0, NULL);
	if (!j) {
		fprintf(stderr, "extfuse-stat: %s: the answer is not JSON\n",
			mountpoint);
		return EXIT_FAILED;
	}
	print_table(j);
	json_decref(j);
	return 0;
}

static int watch(const char *mountpoint, bool raw, unsigned int seconds)
{
	int err;

	for (;;) {
		err = print(mountpoint, raw);
		if (err || !seconds)
			return err;
		if (!raw)
			putchar('\n');
		fflush(stdout);
		sleep(seconds);
	}
}

static int parse_seconds(const char *arg, unsigned int *seconds)
{
	unsigned long n = strtoul(arg, NULL, 10);

	if (!*arg || arg[strspn(arg, "0123456789")] || n < 1 || n > 86400) {
		fprintf(stderr, "extfuse-stat: --watch %s: not a number of seconds from 1 to 86400\n",
			arg);
		return EXIT_USAGE;
	}
	*seconds = n;
	return 0;
}

int main(int argc, char **argv)
{
	static const struct option longopts[] = {
		{ "json", no_argument, NULL, 'j' },
		{ "watch", required_argument, NULL, 'w' },
		{ "version", no_argument, NULL, 'V' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	unsigned int seconds = 0;
	bool raw = false;
	int c;

	while ((c = getopt_long(argc, argv, "jw:Vh", longopts, NULL)) != -1) {
		switch (c) {
		case 'j':
			raw = true;
			break;
		case 'w':
			if (parse_seconds(optarg, &seconds))
				return EXIT_USAGE;
			break;
		case 'V':
			printf("extfuse-stat %s (ABI %d)\n", EXTFUSE_VERSION,
			       EXTFUSE_ABI);
			return 0;
		case 'h':
			usage(stdout);
			return 0;
		default:
			usage(stderr);
			return EXIT_USAGE;
		}
	}
	if (argc - optind != 1) {
		usage(stderr);
		return EXIT_USAGE;
	}
	return watch(argv[optind], raw, seconds);
}
