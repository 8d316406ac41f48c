/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Programs at random, of what the verifier takes.
 */
#ifndef EXTFUSE_TEST_GEN_H
#define EXTFUSE_TEST_GEN_H

#include <stdbool.h>
#include <stdint.h>

#include <linux/extfuse.h>

/* Runs are counted by phase and opcode. */
#define GEN_PHASES 8
#define GEN_COUNTS (GEN_PHASES * EXTFUSE_MAX_OPS)

/* Values of the maps that programs use */
#define GEN_VALUE_SIZE 64
#define GEN_ENTRIES 16

/**
 * struct gen_maps - fds of the maps that programs may use
 * @array, @percpu, @hash, @lru: of GEN_ENTRIES values
 * @ring:	a ring buffer, never emptied
 * @progs:	programs to tail-call, EXTFUSE_MAX_OPS of them
 * @counts:	runs of main programs, GEN_COUNTS of __u64, mmapable
 */
struct gen_maps {
	int array;
	int percpu;
	int hash;
	int lru;
	int ring;
	int progs;
	int counts;
};

/** gen_maps_new() - 0 or -errno */
int gen_maps_new(struct gen_maps *maps);

/**
 * gen_prog() - load the program that a seed leads to
 * @maps: the maps that it may use
 * @seed: which program
 * @main: count its runs
 *
 * Half of them are broken at random first; those that the verifier refuses
 * then are tried as they were.  Returns its fd, or -errno.
 */
int gen_prog(const struct gen_maps *maps, uint64_t seed, bool main);

/** gen_tame() - load one that leaves requests to the server, passes I/O through,
 *  and wants to know of its end; its runs are counted */
int gen_tame(const struct gen_maps *maps);

/** gen_refused - programs so far that the verifier did not take */
extern unsigned int gen_refused;

#endif /* EXTFUSE_TEST_GEN_H */
