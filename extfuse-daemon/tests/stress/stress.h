/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * stress: seeded operations on a mount, each compared with the same operation
 * on a directory beside it and with what the lower directory says.
 *
 * Everything about operation i follows from the seed and i alone, so a run can
 * be repeated, and repeated without some of its operations (minimise.c).
 */
#ifndef STRESS_H
#define STRESS_H

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>

#define SLOTS		8		/* open files */
#define MAX_SIZE	(192 * 1024)	/* of files, about */
#define MAX_DATA	(96 * 1024)	/* of an answer */
#define MAX_PATH	640
#define PAGE		4096UL

/* Kinds of operations: name, weight */
#define KINDS(X)							\
	X(create, 40) X(open, 30) X(open_trunc, 12) X(open_append, 10)	\
	X(open_direct, 6) X(open_path, 4) X(open_dir, 8) X(tmpfile, 6)	\
	X(close, 40) X(dup, 4)						\
	X(read, 20) X(pread, 25) X(write, 30) X(pwrite, 40)		\
	X(writev, 6) X(sendfile, 6) X(splice, 5)			\
	X(lseek, 10) X(seek_data, 8)					\
	X(mmap_write, 14) X(mmap_read, 8) X(map, 5) X(store, 12)	\
	X(unmap, 3)							\
	X(truncate, 12) X(ftruncate, 14) X(fallocate, 16)		\
	X(copy_range, 14) X(fsync, 3) X(syncfs, 1)			\
	X(mkdir, 20) X(rmdir, 12) X(mknod, 6) X(symlink, 14)		\
	X(link, 16) X(link_fd, 6) X(unlink, 30)				\
	X(rename, 30) X(rename_flags, 16)				\
	X(chmod, 14) X(fchmod, 8) X(chown, 12) X(fchown, 6)		\
	X(utimens, 12) X(futimens, 10)					\
	X(stat, 20) X(lstat, 30) X(fstat, 20) X(statx, 10) X(access, 12)	\
	X(readlink, 12) X(readdir, 14) X(readdir_fd, 8)			\
	X(setxattr, 16) X(fsetxattr, 6) X(getxattr, 16) X(fgetxattr, 6)	\
	X(listxattr, 10) X(removexattr, 12)				\
	X(setacl, 10) X(getacl, 6) X(delacl, 4) X(setcap, 4)		\
	X(flock, 6) X(lock, 8) X(getlk, 6) X(ofdlock, 6)		\
	X(drop, 2)

enum kind {
#define X(name, weight) OP_##name,
	KINDS(X)
#undef X
	NKINDS
};

/**
 * struct op - one operation, all chosen before it runs
 *
 * @user:	index of who does it
 * @slot, @slot2: open files
 * @path, @path2: relative
 * @r:		random numbers for what is special to the kind
 */
struct op {
	enum kind kind;
	uint64_t index;
	int user;
	int slot;
	int slot2;
	char path[MAX_PATH];
	char path2[MAX_PATH];
	off_t off;
	size_t len;
	uint32_t r[4];
};

/* What an operation answered. */
struct result {
	long ret;		/* >= 0, or -errno */
	bool has_stat;
	struct stat st;
	size_t len;
	unsigned char data[MAX_DATA];
};

/**
 * struct side - where operations are run: the mount or the reference
 *
 * @root:	the tree; operations run with it as the working directory
 * @fd, @map, @map_len: the slots, -1 and NULL: free
 * @mountpoint:	NULL, or what "drop" remounts to empty the kernel's caches
 */
struct side {
	const char *name;
	int root;
	int fd[SLOTS];
	void *map[SLOTS];
	size_t map_len[SLOTS];
	const char *mountpoint;
};

/**
 * struct config - what the command line says
 *
 * @passthrough, @writeback: how the mount was made: what may differ depends
 * @audit:	after so many operations compare the whole trees
 * @only:	these operations, NULL: all
 * @atime:	compare access times, too
 */
struct config {
	const char *mount;
	const char *lower;
	const char *ref;
	uint64_t seed;
	uint64_t ops;
	uint64_t audit;
	int procs;
	const char *only;
	bool passthrough;
	bool writeback;
	bool atime;
	bool drop;
	bool minimise;
	bool verbose;
};

extern struct config cfg;

/* gen.c */
extern const char *const kind_name[NKINDS];
/** rnd() - random number @n of operation @index */
uint64_t rnd(uint64_t index, uint64_t n);
/** op_make() - choose everything about operation @index */
void op_make(struct op *o, uint64_t index);
/** path_make() - path @n of operation @index */
void path_make(char *path, uint64_t index, uint64_t n);
/** fill() - the data that operation @index writes */
void fill(void *buf, size_t len, uint64_t index);
/** op_print() - for people */
void op_print(FILE *f, const struct op *o);

/* run.c */
/** op_run() - run it on one side; @wrong_user is never left behind */
void op_run(const struct op *o, struct side *s, struct result *res);
void side_open(struct side *s, const char *name, const char *dir,
	       const char *sub);
void side_close(struct side *s);

typedef void run_fn(const struct op *o, struct side *s, struct result *res);
/* one function for each kind: run_data.c, run_meta.c, run_name.c */
#define X(name, weight) run_fn run_##name;
KINDS(X)
#undef X

static inline void ret_set(struct result *res, long ret)
{
	res->ret = ret < 0 ? -errno : ret;
}

/** slot_free() - close what is in it */
void slot_free(struct side *s, int slot);

/* check.c: 0, or a difference, which was printed */
int check_answer(const struct op *o, const struct result *a,
		 const struct result *b);
/** check_attr() - @a of the mount against @b of the reference */
int check_attr(const char *what, const struct stat *a, const struct stat *b);
/** check_truth() - @a of the mount against @t of the lower directory */
int check_truth(const char *what, const struct stat *a, const struct stat *t);
/** check_tree() - everything below the three directories */
int check_tree(int a, int b, int t);

/* diff.c */

/**
 * struct run - one tree on the mount, and what it is compared with
 *
 * @lower:	root of the lower directory
 * @lower_fd:	the lower file of each slot, -1: not known
 * @count, @good: operations run, and those that returned no error
 */
struct run {
	struct side mnt;
	struct side ref;
	int lower;
	int lower_fd[SLOTS];
	uint64_t count[NKINDS];
	uint64_t good[NKINDS];
};

/** run_start() - make the tree @sub on both sides */
void run_start(struct run *r, const char *sub);
void run_end(struct run *r);
/** run_op() - one operation on both sides; 0, or a difference, printed */
int run_op(struct run *r, uint64_t index);
int run_audit(struct run *r);

/* main.c */
void report(const uint64_t *count, const uint64_t *good);

/* minimise.c: prints the shortest list of operations that still fails */
int minimise(uint64_t nops);

/* shared.c: several processes in one tree */
int shared_run(void);

#endif /* STRESS_H */
