// SPDX-License-Identifier: GPL-2.0-only
/*
 * Messages: stderr until the mount is live, syslog from then on.
 */
#include <stdarg.h>
#include <syslog.h>

#include "stackfs.h"

#define NAME "mount.extfuse"

static bool to_syslog;
static bool log_debug;

static void log_line(int priority, const char *fmt, va_list ap)
{
	char line[1024];

	vsnprintf(line, sizeof(line), fmt, ap);
	if (to_syslog)
		syslog(priority, "%s", line);
	else
		fprintf(stderr, NAME ": %s\n", line);
}

void log_err(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	log_line(LOG_ERR, fmt, ap);
	va_end(ap);
}

void log_warn(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	log_line(LOG_WARNING, fmt, ap);
	va_end(ap);
}

/* libfuse ends its lines itself. */
static void log_fuse(enum fuse_log_level level, const char *fmt, va_list ap)
{
	if (level == FUSE_LOG_DEBUG && !log_debug)
		return;
	if (to_syslog)
		vsyslog(level, fmt, ap);
	else
		vfprintf(stderr, fmt, ap);
}

void log_init(bool debug)
{
	log_debug = debug;
	fuse_set_log_func(log_fuse);
}

void log_to_syslog(void)
{
	openlog(NAME, LOG_PID, LOG_DAEMON);
	to_syslog = true;
}
