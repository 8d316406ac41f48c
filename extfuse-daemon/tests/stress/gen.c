// SPDX-License-Identifier: GPL-2.0-only
/*
 * Operations from a seed.
 */
#include <string.h>

#include "stress.h"

const char *const kind_name[NKINDS] = {
#define X(name, weight) [OP_##name] = #name,
	KINDS(X)
#undef X
};

static const unsigned char weight_of[NKINDS] = {
#define X(name, weight) [OP_##name] = weight,
	KINDS(X)
#undef X
};

/* splitmix64 */
static uint64_t mix(uint64_t x)
{
	x += 0x9e3779b97f4a7c15ULL;
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ULL;
	x = (x ^ x >> 27) * 0x94d049bb133111ebULL;
	return x ^ x >> 31;
}

uint64_t rnd(uint64_t index, uint64_t n)
{
	return mix(mix(mix(cfg.seed) ^ index) ^ n);
}

/* Few names, so that operations meet; one at each length that is special. */
static void add_name(char *path, uint64_t r)
{
	static const char *const names[] = {
		"a", "b", "c", "d", "file", "some-longer-name.txt",
	};
	size_t len = strlen(path), n = 0;

	switch (r % 40) {
	case 0:
		n = 56;		/* the longest of the short names */
		break;
	case 1:
		n = 57;
		break;
	case 2:
		n = 255;
		break;
	case 3:
		n = r / 40 % 8 ? 3 : 256;
		break;
	default:
		strcat(path, names[r / 40 % 6]);
		return;
	}
	memset(path + len, 'x', n);
	path[len + n] = '\0';
}

void path_make(char *path, uint64_t index, uint64_t n)
{
	uint64_t r = rnd(index, n), depth = r % 8;

	*path = '\0';
	if (r / 8 % 100 == 0) {
		strcpy(path, ".");
		return;
	}
	depth = depth < 3 ? 1 : depth < 7 ? 2 : 3;
	/* at most one long name, so that MAX_PATH is enough */
	while (depth--) {
		if (depth)
			strcat(path, (const char *[]){ "a", "b", "c", "d" }
				     [rnd(index, n + 1 + depth) % 4]);
		else
			add_name(path, rnd(index, n + 1));
		if (depth)
			strcat(path, r / 800 % 30 ? "/" : "/../");
	}
	if (r / 24000 % 60 == 0)
		strcat(path, "/");
}

static enum kind pick_kind(uint64_t r)
{
	unsigned int total = 0, i;

	for (i = 0; i < NKINDS; i++)
		total += weight_of[i];
	r %= total;
	for (i = 0; r >= weight_of[i]; i++)
		r -= weight_of[i];
	return i;
}

/* Mostly below @usual; now and then the special ones: @odd, whole pages. */
static size_t pick(uint64_t r, size_t usual, size_t most, size_t pages,
		   size_t odd)
{
	switch (r % 8) {
	case 0:
		return 0;
	case 1:
		return r / 8 % pages * PAGE;
	case 2:
		return r / 8 % most;
	case 3:
		return odd;
	default:
		return r / 8 % usual;
	}
}

void op_make(struct op *o, uint64_t index)
{
	uint64_t r = rnd(index, 0);
	int i;

	memset(o, 0, offsetof(struct op, path));
	o->index = index;
	o->kind = pick_kind(r);
	o->user = (int[]){ 0, 0, 0, 0, 0, 0, 0, 1, 1, 2 }[rnd(index, 1) % 10];
	if (o->kind == OP_drop)
		o->user = 0;
	o->slot = rnd(index, 2) % SLOTS;
	o->slot2 = rnd(index, 3) % SLOTS;
	path_make(o->path, index, 10);
	path_make(o->path2, index, 20);
	r = rnd(index, 30);
	o->off = pick(r, 20000, MAX_SIZE, 32, r / 8 % 32 * PAGE + PAGE - 3);
	o->len = pick(rnd(index, 31), 5000, 48 * 1024, 8, 1);
	for (i = 0; i < 4; i++)
		o->r[i] = rnd(index, 40 + i);
}

void fill(void *buf, size_t len, uint64_t index)
{
	unsigned char *p = buf;
	uint64_t r = 0;
	size_t i;

	for (i = 0; i < len; i++) {
		if (i % 8 == 0)
			r = rnd(index, 1000 + i / 8);
		p[i] = r >> i % 8 * 8;
	}
}

void op_print(FILE *f, const struct op *o)
{
	fprintf(f, "%lu %s user %d slot %d,%d '%.40s' '%.40s' off %ld len %zu r %u,%u,%u,%u\n",
		o->index, kind_name[o->kind], o->user, o->slot, o->slot2,
		o->path, o->path2, (long)o->off, o->len, o->r[0] % 1000,
		o->r[1] % 1000, o->r[2] % 1000, o->r[3] % 1000);
}
