// SPDX-License-Identifier: GPL-2.0-only
/*
 * stress --mount DIR --lower DIR --ref DIR [--seed N] [--ops N] ...
 * DIR is empty but for what an earlier run left; tools/stress makes them.
 */
#include <err.h>
#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "stress.h"

struct config cfg = { .seed = 1, .ops = 10000, .audit = 2500, .procs = 1 };

enum { BOOL = 1000 };

static bool *const flags[] = {
	&cfg.passthrough, &cfg.writeback, &cfg.atime, &cfg.drop, &cfg.minimise,
	&cfg.verbose,
};

static const struct option options[] = {
	{ "mount", 1, NULL, 'm' },	{ "lower", 1, NULL, 'l' },
	{ "ref", 1, NULL, 'r' },	{ "seed", 1, NULL, 's' },
	{ "ops", 1, NULL, 'o' },	{ "audit", 1, NULL, 'a' },
	{ "procs", 1, NULL, 'p' },	{ "passthrough", 0, NULL, BOOL },
	{ "writeback", 0, NULL, BOOL + 1 }, { "atime", 0, NULL, BOOL + 2 },
	{ "only", 1, NULL, 'n' },
	{ "drop", 0, NULL, BOOL + 3 },	{ "minimise", 0, NULL, BOOL + 4 },
	{ "verbose", 0, NULL, BOOL + 5 }, { NULL, 0, NULL, 0 },
};

static void parse(int argc, char **argv)
{
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1)
		switch (c) {
		case 'm': cfg.mount = optarg; break;
		case 'l': cfg.lower = optarg; break;
		case 'r': cfg.ref = optarg; break;
		case 's': cfg.seed = strtoull(optarg, NULL, 0); break;
		case 'o': cfg.ops = strtoull(optarg, NULL, 0); break;
		case 'a': cfg.audit = strtoull(optarg, NULL, 0); break;
		case 'n': cfg.only = optarg; break;
		case 'p': cfg.procs = atoi(optarg); break;
		case '?': exit(2);
		default: *flags[c - BOOL] = true;
		}
	if (!cfg.mount || !cfg.lower || !cfg.ref || optind < argc)
		errx(2, "usage: stress --mount DIR --lower DIR --ref DIR [--seed N] [--ops N] [--procs N] [--audit N]\n"
		     "              [--only I,I,...] [--passthrough] [--writeback] [--atime] [--drop] [--minimise] [--verbose]");
}

void report(const uint64_t *count, const uint64_t *good)
{
	uint64_t total = 0;
	int i;

	for (i = 0; i < NKINDS; i++) {
		printf("%s %lu/%lu%s", kind_name[i], good[i], count[i],
		       i % 8 == 7 || i == NKINDS - 1 ? "\n" : ", ");
		total += count[i];
	}
	printf("operations: %lu\n", total);
}

/* Is @i one of "1,7,12"? */
static bool listed(uint64_t i)
{
	const char *p = cfg.only;
	char *end;

	while (p && *p) {
		if (strtoull(p, &end, 10) == i)
			return true;
		p = *end ? end + 1 : end;
	}
	return !cfg.only;
}

static int alone(void)
{
	struct run r;
	uint64_t i;
	int bad = 0;

	run_start(&r, "one");
	for (i = 0; i < cfg.ops && !bad; i++) {
		if (listed(i))
			bad = run_op(&r, i);
		if (!bad && !cfg.only && i % cfg.audit == cfg.audit - 1)
			bad = run_audit(&r);
	}
	if (!bad)
		bad = run_audit(&r);
	report(r.count, r.good);
	if (bad)
		printf("# seed %lu fails after %lu operations\n", cfg.seed, i);
	run_end(&r);
	return bad;
}

int main(int argc, char **argv)
{
	parse(argc, argv);
	umask(022);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
	if (cfg.minimise)
		return minimise(cfg.ops);
	return (cfg.procs > 1 ? shared_run() : alone()) ? 1 : 0;
}
