// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Which ExtFUSE the running kernel has: its own, the module's, or none.
 */
#include <errno.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ebpf.h"

static const struct {
	const char *abi;
	const char *device;
	const char *type;
	const char *name;
} roads[] = {
	[EBPF_ROAD_NONE] = { NULL, "/dev/fuse", "fuse.extfuse", "none" },
	[EBPF_ROAD_TYPE] = { "/sys/fs/fuse/extfuse_abi", "/dev/fuse",
			     "fuse.extfuse", "program type" },
	[EBPF_ROAD_MODULE] = { "/sys/fs/extfuse/extfuse_abi", "/dev/extfuse",
			       "extfuse", "module" },
};

static enum ebpf_road road_there(void)
{
	int road;

	for (road = EBPF_ROAD_TYPE; road <= EBPF_ROAD_MODULE; road++)
		if (!access(roads[road].abi, F_OK))
			return road;
	return EBPF_ROAD_NONE;
}

/* Without a module of that name modprobe says nothing, and nothing happens. */
static void module_load(void)
{
	char *argv[] = { "modprobe", "-q", "extfuse", NULL };
	char *env[] = { "PATH=/usr/sbin:/usr/bin:/sbin:/bin", NULL };
	pid_t pid;

	if (!posix_spawn(&pid, "/sbin/modprobe", NULL, NULL, argv, env))
		while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
			;
}

enum ebpf_road ebpf_road(bool load)
{
	enum ebpf_road road = road_there();

	if (road != EBPF_ROAD_NONE || !load || geteuid())
		return road;
	module_load();
	return road_there();
}

const char *ebpf_road_name(enum ebpf_road road)
{
	return roads[road].name;
}

const char *ebpf_road_device(enum ebpf_road road)
{
	return roads[road].device;
}

const char *ebpf_road_type(enum ebpf_road road)
{
	return roads[road].type;
}

int ebpf_kernel_abi(void)
{
	enum ebpf_road road = road_there();
	int abi;
	FILE *f;

	f = roads[road].abi ? fopen(roads[road].abi, "re") : NULL;
	if (!f)
		return -EOPNOTSUPP;
	if (fscanf(f, "%d", &abi) != 1 || abi < 0)
		abi = -EOPNOTSUPP;
	fclose(f);
	return abi;
}
