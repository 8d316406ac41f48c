// SPDX-License-Identifier: GPL-2.0-only
/*
 * libFuzzer: the command line.  Input: arguments, one a line.  Whatever is
 * accepted keeps what mount.extfuse(8) promises.
 */
#include <stdlib.h>
#include <string.h>

#include "../../stackfs/stackfs.h"

#define MAX_ARGS 32
#define MAX_TIMEOUT (4294967295ULL * 1000000000ULL)

static void must(bool ok)
{
	if (!ok)
		abort();
}

static bool timeout_ok(uint64_t ns)
{
	return ns <= MAX_TIMEOUT || ns == TIMEOUT_UNSAID;
}

static void check(const struct options *o)
{
	if (o->help || o->version)
		return;
	must(o->lower && o->mountpoint);
	must(!o->object || *o->object == '/');
	must(!o->writeback || (o->passthrough == 0 && o->watch == WATCH_OFF));
	must(!o->exclusive || o->watch == WATCH_OFF);
	must(timeout_ok(o->attr_timeout) && timeout_ok(o->entry_timeout) &&
	     timeout_ok(o->negative_timeout));
	must(!o->max_entries ||
	     (o->max_entries >= 16 && o->max_entries <= 16777216));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = strndup((const char *)data, size), *at = text;
	char *argv[MAX_ARGS + 2] = { "mount.extfuse" };
	struct options o;
	int argc = 1;

	while (at && argc <= MAX_ARGS)
		argv[argc++] = strsep(&at, "\n");
	if (!opts_parse(argc, argv, &o))
		check(&o);
	opts_free(&o);
	free(text);
	return 0;
}
