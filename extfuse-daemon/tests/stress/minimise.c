// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which operations of a failing run are needed to make it fail?  Leave out
 * ever smaller parts, each time in new trees.
 */
#include <err.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "stress.h"

/* The operation that failed first: other failures are not the one looked for. */
static uint64_t *failed_at;
static uint64_t target;

static int replay(const bool *on, uint64_t n, int number, bool show)
{
	char sub[32];
	struct run r;
	uint64_t i;
	int bad = 0;

	snprintf(sub, sizeof(sub), "trial%d", number);
	run_start(&r, sub);
	cfg.verbose = show;
	for (i = 0; i < n && !bad; i++)
		if (on[i])
			bad = run_op(&r, i);
	if (!bad) {
		bad = run_audit(&r);
		i = n + 1;
	}
	*failed_at = i;
	run_end(&r);
	return bad;
}

/* In a process of its own: whatever a trial leaves behind ends with it. */
static bool fails(const bool *on, uint64_t n, bool show)
{
	static int number;
	int status;
	pid_t pid;

	number++;
	fflush(NULL);
	pid = fork();
	if (pid < 0)
		err(2, "fork");
	if (!pid) {
		if (!show && !freopen("/dev/null", "w", stderr))
			_exit(2);
		_exit(replay(on, n, number, show) ? 1 : 0);
	}
	if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status) ||
	    WEXITSTATUS(status) > 1)
		errx(2, "trial %d ended with %x", number, status);
	return WEXITSTATUS(status) == 1 && (!target || *failed_at == target);
}

static uint64_t count(const bool *on, uint64_t n)
{
	uint64_t i, c = 0;

	for (i = 0; i < n; i++)
		c += on[i];
	return c;
}

static bool without(bool *on, uint64_t n, uint64_t from, uint64_t len)
{
	bool *try = malloc(n);
	uint64_t i;
	bool bad;

	memcpy(try, on, n);
	for (i = from; i < from + len && i < n; i++)
		try[i] = false;
	bad = count(try, n) < count(on, n) && fails(try, n, false);
	if (bad)
		memcpy(on, try, n);
	free(try);
	return bad;
}

int minimise(uint64_t n)
{
	bool *on = malloc(n);
	uint64_t len, from, before;

	failed_at = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	memset(on, true, n);
	if (!fails(on, n, false)) {
		printf("# %lu operations do not fail in new trees\n", n);
		return 0;
	}
	target = *failed_at;
	do {
		before = count(on, n);
		for (len = (n + 1) / 2; len; len /= 2)
			for (from = 0; from < n; from += len)
				without(on, n, from, len);
		fprintf(stderr, "# %lu of %lu operations\n", count(on, n), n);
	} while (count(on, n) < before);
	fails(on, n, true);
	fputs("# --only ", stderr);
	for (from = 0; from < n; from++)
		if (on[from])
			fprintf(stderr, "%lu,", from);
	fputc('\n', stderr);
	free(on);
	return 1;
}
