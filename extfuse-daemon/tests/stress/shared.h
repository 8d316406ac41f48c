/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the processes of shared.c and register.c have in common.
 */
#ifndef STRESS_SHARED_H
#define STRESS_SHARED_H

#include "stress.h"

#define MAX_PROCS	16
#define REGISTERS	6	/* of each process */

enum reg_type { REG_NONE, REG_FILE, REG_LINK, REG_DIR };

/**
 * struct reg - a name that one process changes
 *
 * @seq:	odd: it is changing; an answer counts if it was given while this
 *		was even and the same
 * @fill:	each byte of the file
 * @tag:	value of its extended attribute, 0: none
 * @st:		what the lower directory said after the last change
 */
struct reg {
	_Atomic uint32_t seq;
	enum reg_type type;
	unsigned char fill;
	uint32_t tag;
	struct stat st;
};

/* Something that only ever grows: the least that there is to be seen. */
struct growing {
	_Atomic uint64_t size;
	_Atomic uint64_t mtime;
	_Atomic uint64_t ctime;
};

struct record {
	uint32_t self;
	uint32_t pad;
	uint64_t number;
};

struct shm {
	struct reg reg[MAX_PROCS][REGISTERS];
	struct growing log;
	struct growing dir[2];
	_Atomic uint64_t counter[2];
	_Atomic uint64_t appended[MAX_PROCS];
	_Atomic uint64_t stored[MAX_PROCS];
	_Atomic uint64_t count[NKINDS];
	_Atomic uint64_t good[NKINDS];
	_Atomic uint64_t shared;
	_Atomic uint64_t judged;
	atomic_int failed;
};

extern struct shm *shm;
extern int shared_mnt, shared_lower;

/* register.c */
void register_start(int self);
int register_change(int self, uint64_t index);
int register_look(uint64_t index);

#endif /* STRESS_SHARED_H */
