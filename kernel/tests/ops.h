/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Ordinary file operations at random, on a mount of tinyfs.
 */
#ifndef EXTFUSE_TEST_OPS_H
#define EXTFUSE_TEST_OPS_H

#include <stdbool.h>
#include <stdint.h>

/* xorshift64*: the same numbers from the same seed everywhere */
static inline uint64_t random_next(uint64_t *rng)
{
	*rng ^= *rng >> 12;
	*rng ^= *rng << 25;
	*rng ^= *rng >> 27;
	return *rng * 0x2545f4914f6cdd1dULL;
}

static inline uint32_t random_below(uint64_t *rng, uint32_t n)
{
	return (random_next(rng) >> 33) % n;
}

/* Each seed and each number of it has a sequence of its own, never 0. */
static inline uint64_t random_start(uint64_t seed, uint64_t number)
{
	uint64_t rng = (seed + 1) * 0x9e3779b97f4a7c15ULL ^
		       (number + 1) * 0xbf58476d1ce4e5b9ULL;

	random_next(&rng);
	return rng ? rng : 1;
}

/**
 * ops_run() - operate on files of a mount
 * @dir: its root, a descriptor
 * @seed: what to do
 * @end: until this is set
 *
 * What comes of it is of no interest here: answers may be nonsense.
 * Returns the number of operations.
 */
uint64_t ops_run(int dir, uint64_t seed, const volatile int *end);

#endif /* EXTFUSE_TEST_OPS_H */
