/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libextfuse: load an ExtFUSE object for a FUSE connection.
 *
 * All functions return 0 or a count on success and -errno on failure, unless
 * said otherwise; on failure nothing that was passed in has been changed.
 */
#ifndef EXTFUSE_EBPF_H
#define EXTFUSE_EBPF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <linux/extfuse.h>

struct ebpf_ctx;

enum ebpf_map {
	EBPF_ATTR_MAP,
	EBPF_ENTRY_MAP,
	EBPF_ENTRY_LONG_MAP,
	EBPF_XATTR_MAP,
	EBPF_STATS_MAP,
	EBPF_NUM_MAPS,
};

/* Of struct ebpf_opts: the fewest and the most entries. */
#define EBPF_MIN_ENTRIES 16
#define EBPF_MAX_ENTRIES (1U << 24)

/**
 * enum ebpf_road - how a program gets into the kernel
 *
 * @EBPF_ROAD_NONE:	not at all: plain FUSE
 * @EBPF_ROAD_TYPE:	a kernel with the program type; the program's fd goes
 *			into the INIT reply
 * @EBPF_ROAD_MODULE:	module extfuse, a FUSE of its own beside the kernel's;
 *			ebpf_attach()
 */
enum ebpf_road {
	EBPF_ROAD_NONE,
	EBPF_ROAD_TYPE,
	EBPF_ROAD_MODULE,
};

/**
 * ebpf_road() - what the running kernel has
 * @load: if it has nothing, try to load the module (root only)
 */
enum ebpf_road ebpf_road(bool load);

/** ebpf_road_name() - "program type", "module" or "none" */
const char *ebpf_road_name(enum ebpf_road road);

/** ebpf_road_device() - the device to open: /dev/fuse or /dev/extfuse */
const char *ebpf_road_device(enum ebpf_road road);

/** ebpf_road_type() - the file system type for mount(2) */
const char *ebpf_road_type(enum ebpf_road road);

/**
 * struct ebpf_opts - how an object is loaded
 * @size:	sizeof(struct ebpf_opts) of the caller
 * @max_entries: names and nodes that the maps hold (rounded up to a power of
 *		two), 0: 131072
 * @attr_timeout: for how many ns the program may serve attributes that it read
 *		itself, after I/O on a passthrough file; 0: not at all
 * @log:	takes one line without newline for each rung of the version ladder
 *		that fails; NULL: silence
 */
struct ebpf_opts {
	size_t size;
	uint32_t max_entries;
	uint64_t attr_timeout;
	void (*log)(const char *line);
};

/**
 * ebpf_init() - open, check and load an ExtFUSE object
 * @path:	the object; NULL: /usr/lib/extfuse/extfuse.o, or extfuse-ops.o there
 *		for the module
 * @opts:	NULL: defaults
 * @ctxp:	receives the context
 *
 * The ladder: object is readable BPF, its ABI number, its map layout, the
 * kernel's ABI number (/sys/fs/fuse/extfuse_abi, of the module
 * /sys/fs/extfuse/extfuse_abi), the numbers of program type and helpers in the
 * kernel's BTF or the module's struct_ops in its own, load.  The rung that fails says so in one
 * line naming both numbers.
 *
 * Errors: -ENOENT no object, -ENOEXEC not a BPF object or an incomplete one,
 * -EPROTO another ABI number or layout, -EOPNOTSUPP a kernel without ExtFUSE,
 * -EPERM no privilege, others from bpf(2).
 */
int ebpf_init(const char *path, const struct ebpf_opts *opts,
	      struct ebpf_ctx **ctxp);

/**
 * ebpf_check() - the rungs of the ladder that need no kernel with ExtFUSE
 *
 * Object readable, ABI number, layout.  Same errors as ebpf_init().
 */
int ebpf_check(const char *path, const struct ebpf_opts *opts);

/** ebpf_fini() - unload; the connection must be gone.  NULL is allowed. */
void ebpf_fini(struct ebpf_ctx *ctx);

/** ebpf_prog_fd() - fd of the main program, for the INIT reply */
int ebpf_prog_fd(const struct ebpf_ctx *ctx);

/**
 * ebpf_attach() - have the program answer requests of a connection
 * @ctx: the context
 * @dev_fd: the open device, after the INIT reply was written
 *
 * For the module only: with the program type there is nothing left to do, and
 * this returns 0.  The program is detached by ebpf_fini(), or sooner when the
 * connection ends.
 */
int ebpf_attach(struct ebpf_ctx *ctx, int dev_fd);

/** ebpf_kernel_abi() - ABI number of the running kernel, -EOPNOTSUPP: none */
int ebpf_kernel_abi(void);

/*
 * The maps by name, as bpf(2) would have them: keys are __u32 indices, values
 * the structures of <linux/extfuse.h>.  For inspection and tests; the
 * calls of cache.h know the protocol.
 */
int ebpf_data_next(struct ebpf_ctx *ctx, enum ebpf_map map, const void *key,
		   void *next);
int ebpf_data_lookup(struct ebpf_ctx *ctx, enum ebpf_map map, const void *key,
		     void *value);
int ebpf_data_update(struct ebpf_ctx *ctx, enum ebpf_map map, const void *key,
		     const void *value, uint64_t flags);
int ebpf_data_delete(struct ebpf_ctx *ctx, enum ebpf_map map, const void *key);

/* The handlers array: which program answers an opcode. */
int ebpf_ctrl_update(struct ebpf_ctx *ctx, uint32_t opcode, int prog_fd);
int ebpf_ctrl_delete(struct ebpf_ctx *ctx, uint32_t opcode);

/** ebpf_map_max() - entries of a map; ebpf_map_mem() - its memory here */
uint32_t ebpf_map_max(const struct ebpf_ctx *ctx, enum ebpf_map map);
void *ebpf_map_mem(const struct ebpf_ctx *ctx, enum ebpf_map map);

/** ebpf_hash_seed() - what extfuse_hash_step() starts from in this object */
uint64_t ebpf_hash_seed(const struct ebpf_ctx *ctx);

/** ebpf_op_name() - "LOOKUP" for 1, NULL for a number not in EXTFUSE_OPS */
const char *ebpf_op_name(uint32_t opcode);

/**
 * ebpf_grace() - wait until every program that was running has returned
 *
 * What such a program read from the maps before the call is of no consequence
 * after it.
 */
int ebpf_grace(struct ebpf_ctx *ctx);

/** ebpf_counts() - sum over all CPUs of the program's counters of an opcode */
int ebpf_counts(struct ebpf_ctx *ctx, uint32_t opcode,
		struct extfuse_count *sum);

#endif /* EXTFUSE_EBPF_H */
