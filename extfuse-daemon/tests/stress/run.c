// SPDX-License-Identifier: GPL-2.0-only
/*
 * Run an operation on one side: as its user, in the side's tree.
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "stress.h"

static const struct {
	uid_t uid;
	gid_t gid;
	gid_t group;
} users[] = {
	{ 0, 0, 0 }, { 1000, 1000, 2000 }, { 1001, 2000, 2000 },
};

static run_fn *const run_of[NKINDS] = {
#define X(name, weight) [OP_##name] = run_##name,
	KINDS(X)
#undef X
};

static void become(int user)
{
	if (seteuid(0) || setgroups(1, &users[user].group) ||
	    setegid(users[user].gid) || seteuid(users[user].uid))
		err(2, "user %u", users[user].uid);
}

void op_run(const struct op *o, struct side *s, struct result *res)
{
	res->ret = 0;
	res->len = 0;
	res->has_stat = false;
	if (fchdir(s->root))
		err(2, "%s", s->name);
	if (o->user)
		become(o->user);
	run_of[o->kind](o, s, res);
	if (o->user)
		become(0);
}

void slot_free(struct side *s, int slot)
{
	if (s->map[slot])
		munmap(s->map[slot], s->map_len[slot]);
	s->map[slot] = NULL;
	if (s->fd[slot] >= 0)
		close(s->fd[slot]);
	s->fd[slot] = -1;
}

void side_open(struct side *s, const char *name, const char *dir,
	       const char *sub)
{
	char path[MAX_PATH];
	int i;

	memset(s, 0, sizeof(*s));
	s->name = name;
	for (i = 0; i < SLOTS; i++)
		s->fd[i] = -1;
	snprintf(path, sizeof(path), "%s/%s", dir, sub);
	if (mkdir(path, 0777) || chmod(path, 0777))
		err(2, "%s", path);
	s->root = open(path, O_RDONLY | O_DIRECTORY);
	if (s->root < 0)
		err(2, "%s", path);
}

void side_close(struct side *s)
{
	int i;

	for (i = 0; i < SLOTS; i++)
		slot_free(s, i);
	close(s->root);
}
