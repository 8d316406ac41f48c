// SPDX-License-Identifier: GPL-2.0-only
#include "inject.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FAIL_NTH "/proc/thread-self/fail-nth"

static bool put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);
	bool good = fd >= 0 &&
		    write(fd, text, strlen(text)) == (ssize_t)strlen(text);

	close(fd);
	return good;
}

bool inject_init(int percent)
{
	static const char *const dirs[] = { "failslab", "fail_page_alloc" };
	static const char *const values[][2] = {
		{ "task-filter", "Y" }, { "ignore-gfp-wait", "N" },
		{ "verbose", "0" }, { "times", "-1" }, { "interval", "1" },
	};
	char path[128], number[16];
	size_t i, j;

	snprintf(number, sizeof(number), "%d", percent);
	for (i = 0; i < 2; i++) {
		for (j = 0; j < sizeof(values) / sizeof(values[0]); j++) {
			snprintf(path, sizeof(path), "/sys/kernel/debug/%s/%s",
				 dirs[i], values[j][0]);
			if (!put(path, values[j][1]))
				return false;
		}
		snprintf(path, sizeof(path), "/sys/kernel/debug/%s/probability",
			 dirs[i]);
		if (!put(path, number))
			return false;
	}
	return put("/sys/kernel/debug/fail_page_alloc/min-order", "0");
}

bool inject_me(void)
{
	return put("/proc/self/make-it-fail", "1");
}

bool inject_nth(unsigned int n)
{
	char number[16];

	snprintf(number, sizeof(number), "%u", n);
	/* the one failure may have been waiting for this very open() */
	return put(FAIL_NTH, number) || put(FAIL_NTH, number);
}

bool inject_done(void)
{
	char number[16] = "";
	int fd = open(FAIL_NTH, O_RDONLY);

	if (read(fd, number, sizeof(number) - 1) < 0)
		number[0] = 0;
	close(fd);
	return atoi(number) == 0;
}
