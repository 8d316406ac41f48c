// SPDX-License-Identifier: GPL-2.0-only
/*
 * A program is a sequence of statements over three registers of numbers (R7 to
 * R9), the context in R6 and a stack that is written first.  Statements may
 * hold others: conditions and loops.
 */
#include "gen.h"

#include <errno.h>
#include <linux/fuse.h>
#include <stdlib.h>
#include <string.h>

#include "insn.h"
#include "ops.h"
#include "tinyfs.h"

#define MAX_INSNS 2048
#define STACK 384
#define MAX_DEPTH 3
#define CTX BPF_REG_6

unsigned int gen_refused;

struct gen {
	struct bpf_insn insn[MAX_INSNS];
	int n;
	int depth;
	uint64_t rng;
	const struct gen_maps *maps;
};

static uint32_t below(struct gen *g, uint32_t n)
{
	return random_below(&g->rng, n);
}

static void emit_all(struct gen *g, const struct bpf_insn *insns, int n)
{
	if (g->n + n > MAX_INSNS)
		return;
	memcpy(&g->insn[g->n], insns, n * sizeof(*insns));
	g->n += n;
}

#define EMIT(g, ...) do {						\
	struct bpf_insn insns_[] = { __VA_ARGS__ };			\
	emit_all(g, insns_, ARRAY_SIZE(insns_));			\
} while (0)

static int number_reg(struct gen *g)
{
	return BPF_REG_7 + below(g, 3);
}

/* Numbers at which things change, and others */
static uint64_t some_number(struct gen *g)
{
	static const uint64_t edges[] = {
		0, 1, 2, 3, 4, 7, 8, 40, 104, 128, 255, 4095, 4096, 65536,
		INT32_MAX, 1ULL << 31, UINT32_MAX, 1ULL << 32, INT64_MAX,
		1ULL << 63, UINT64_MAX, -1ULL, -4096ULL, 0x1f0, 0x201, 0x202,
	};

	if (below(g, 3))
		return edges[below(g, ARRAY_SIZE(edges))];
	return random_next(&g->rng) >> below(g, 64);
}

/* Aligned, below the frame pointer, with room for @size bytes */
static int stack_slot(struct gen *g, int size)
{
	int room = STACK - size;

	return -STACK + (room > 0 ? (int)below(g, room / 8 + 1) * 8 : 0);
}

static void context_field(struct gen *g)
{
	static const int widths[] = { BPF_B, BPF_H, BPF_W, BPF_DW };
	int log = below(g, 4);
	int size = 1 << log;
	int off = below(g, sizeof(struct extfuse_req) / size) * size;

	EMIT(g, INSN(BPF_LDX | BPF_MEM | widths[log], number_reg(g), CTX, off, 0));
}

static void arithmetic(struct gen *g)
{
	static const int ops[] = {
		BPF_ADD, BPF_SUB, BPF_MUL, BPF_DIV, BPF_OR, BPF_AND, BPF_LSH,
		BPF_RSH, BPF_MOD, BPF_XOR, BPF_MOV, BPF_ARSH,
	};
	int op = ops[below(g, ARRAY_SIZE(ops))];
	int class = below(g, 2) ? BPF_ALU64 : BPF_ALU;
	int imm = some_number(g);

	if (below(g, 2)) {
		EMIT(g, INSN(class | op | BPF_X, number_reg(g), number_reg(g),
			     0, 0));
		return;
	}
	if (op == BPF_LSH || op == BPF_RSH || op == BPF_ARSH)
		imm &= class == BPF_ALU64 ? 63 : 31;
	else if ((op == BPF_DIV || op == BPF_MOD) && !imm)
		imm = 1;
	EMIT(g, INSN(class | op | BPF_K, number_reg(g), 0, 0, imm));
}

static void number(struct gen *g)
{
	EMIT(g, LOAD_IMM64(number_reg(g), some_number(g)));
}

static void spill_or_fill(struct gen *g)
{
	int off = stack_slot(g, 8);

	if (below(g, 2))
		EMIT(g, STORE64(BPF_REG_10, number_reg(g), off));
	else
		EMIT(g, LOAD64(number_reg(g), BPF_REG_10, off));
}

static int some_node(struct gen *g)
{
	static const int nodes[] = { 1, 0x100, 0x101, 0x200, 0x201, 0x202,
				     0x203, 0x300, 0x301, 0x280 };

	return nodes[below(g, ARRAY_SIZE(nodes))];
}

/* A reply as a server would give it, mostly: into the stack */
static int reply_template(struct gen *g)
{
	union {
		uint64_t words[sizeof(struct fuse_entry_out) / 8];
		struct fuse_entry_out entry;
		struct fuse_attr_out attr;
	} r = {};
	size_t i, n = sizeof(r.entry) / 8;
	uint64_t node = some_node(g);
	int off;

	if (below(g, 2)) {
		r.entry.nodeid = below(g, 4) ? node : 0;
		r.entry.generation = below(g, 2);
		r.entry.entry_valid = below(g, 2);
		tinyfs_attr(node, &r.entry.attr);
	} else {
		n = sizeof(r.attr) / 8;
		r.attr.attr_valid = below(g, 2);
		tinyfs_attr(node, &r.attr.attr);
	}
	if (below(g, 3) == 0)
		r.words[below(g, n)] = some_number(g);
	off = stack_slot(g, n * 8);
	for (i = 0; i < n; i++) {
		if (r.words[i] == (uint64_t)(int64_t)(int32_t)r.words[i])
			EMIT(g, STORE_IMM(BPF_REG_10, off + i * 8, r.words[i]));
		else
			EMIT(g, LOAD_IMM64(BPF_REG_1, r.words[i]),
			     STORE64(BPF_REG_10, BPF_REG_1, off + i * 8));
	}
	return off;
}

static void template(struct gen *g)
{
	reply_template(g);
}

static void read_args(struct gen *g)
{
	int size = 1 + below(g, below(g, 2) ? 16 : STACK);
	int off = stack_slot(g, size);

	EMIT(g, MOV_REG(BPF_REG_1, CTX));
	if (below(g, 8))
		EMIT(g, MOV_IMM(BPF_REG_2, below(g, 16)));
	else
		EMIT(g, MOV_REG(BPF_REG_2, number_reg(g)));
	EMIT(g, MOV_REG(BPF_REG_3, BPF_REG_10), ADD_IMM(BPF_REG_3, off),
	     MOV_IMM(BPF_REG_4, size), CALL(EXTFUSE_FUNC_READ_ARGS),
	     MOV_REG(number_reg(g), BPF_REG_0));
}

static int some_output(struct gen *g)
{
	return below(g, 10) ? EXTFUSE_OUT_PARAM_0 + (below(g, 6) == 0) :
			      (int)below(g, 20);
}

/* Of a size that a reply may have, or of any */
static void write_args(struct gen *g)
{
	static const int sizes[] = { 0, 4, 8, 16, 48, 80, 104, 128, 144, 288 };
	int size = below(g, 4) ? sizes[below(g, ARRAY_SIZE(sizes))] :
				 (int)below(g, STACK + 1);
	int off = size == 104 || size == 128 ? reply_template(g) :
					       stack_slot(g, size);

	if (off > -size)
		off = -size & ~7;
	EMIT(g, MOV_REG(BPF_REG_1, CTX), MOV_IMM(BPF_REG_2, some_output(g)),
	     MOV_REG(BPF_REG_3, BPF_REG_10), ADD_IMM(BPF_REG_3, off),
	     MOV_IMM(BPF_REG_4, size), CALL(EXTFUSE_FUNC_WRITE_ARGS));
	if (below(g, 2))
		EMIT(g, MOV_REG(number_reg(g), BPF_REG_0));
}

/* As much as the request wants, if the stack has it, or a bit less */
static void write_exactly(struct gen *g)
{
	int n = below(g, 5) == 0;
	int off = below(g, 2) ? reply_template(g) : -STACK;
	int field = offsetof(struct extfuse_req, out_size) + 4 * n;

	EMIT(g, LOAD32(BPF_REG_4, CTX, field));
	if (below(g, 4) == 0)
		EMIT(g, INSN(BPF_ALU64 | BPF_RSH | BPF_K, BPF_REG_4, 0, 0, 1));
	EMIT(g, JUMP_IMM(BPF_JGT, BPF_REG_4, -off, 5),
	     MOV_REG(BPF_REG_1, CTX),
	     MOV_IMM(BPF_REG_2, EXTFUSE_OUT_PARAM_0 + n),
	     MOV_REG(BPF_REG_3, BPF_REG_10), ADD_IMM(BPF_REG_3, off),
	     CALL(EXTFUSE_FUNC_WRITE_ARGS));
}

/* What makes an answer, if the request is one that may be answered */
static void serve(struct gen *g)
{
	write_exactly(g);
	EMIT(g, MOV_IMM(BPF_REG_0, 0), EXIT());
}

/* As the real object's main program does */
static void dispatch(struct gen *g)
{
	EMIT(g, MOV_REG(BPF_REG_1, CTX), LOAD_MAP(BPF_REG_2, g->maps->progs),
	     LOAD32(BPF_REG_3, CTX, offsetof(struct extfuse_req, opcode)),
	     CALL(BPF_FUNC_tail_call));
}

static int some_map(struct gen *g)
{
	const int fds[] = { g->maps->array, g->maps->percpu, g->maps->hash,
			    g->maps->lru };

	return fds[below(g, ARRAY_SIZE(fds))];
}

/* The key, mostly of an entry, at the top of the stack; R1 and R2 of a call */
static void map_key(struct gen *g)
{
	if (below(g, 4))
		EMIT(g, STORE_IMM(BPF_REG_10, -8, below(g, GEN_ENTRIES)));
	EMIT(g, LOAD_MAP(BPF_REG_1, some_map(g)),
	     MOV_REG(BPF_REG_2, BPF_REG_10), ADD_IMM(BPF_REG_2, -8));
}

static void map_lookup(struct gen *g)
{
	int off = below(g, GEN_VALUE_SIZE / 8) * 8;
	int reg = number_reg(g);

	map_key(g);
	EMIT(g, CALL(BPF_FUNC_map_lookup_elem),
	     JUMP_IMM(BPF_JEQ, BPF_REG_0, 0, 1));
	switch (below(g, 4)) {
	case 0:
		EMIT(g, STORE64(BPF_REG_0, reg, off));
		break;
	case 1:
		EMIT(g, XADD64(BPF_REG_0, reg, off));
		break;
	case 2:
		EMIT(g, INSN(BPF_STX | BPF_ATOMIC | BPF_DW, BPF_REG_0, reg, off,
			     BPF_XCHG));
		break;
	default:
		EMIT(g, LOAD64(reg, BPF_REG_0, off));
	}
}

static void map_update(struct gen *g)
{
	map_key(g);
	EMIT(g, MOV_REG(BPF_REG_3, BPF_REG_10),
	     ADD_IMM(BPF_REG_3, stack_slot(g, GEN_VALUE_SIZE)),
	     MOV_IMM(BPF_REG_4, below(g, 4)), CALL(BPF_FUNC_map_update_elem),
	     MOV_REG(number_reg(g), BPF_REG_0));
}

static void map_delete(struct gen *g)
{
	map_key(g);
	EMIT(g, CALL(BPF_FUNC_map_delete_elem));
}

static void tail_call(struct gen *g)
{
	EMIT(g, MOV_REG(BPF_REG_1, CTX), LOAD_MAP(BPF_REG_2, g->maps->progs));
	if (below(g, 2))
		EMIT(g, MOV_REG(BPF_REG_3, number_reg(g)));
	else
		EMIT(g, MOV_IMM(BPF_REG_3, below(g, EXTFUSE_MAX_OPS + 2)));
	EMIT(g, CALL(BPF_FUNC_tail_call));
}

static void helper(struct gen *g)
{
	static const int funcs[] = {
		BPF_FUNC_ktime_get_ns, BPF_FUNC_ktime_get_coarse_ns,
		BPF_FUNC_ktime_get_boot_ns, BPF_FUNC_get_smp_processor_id,
	};

	EMIT(g, CALL(funcs[below(g, ARRAY_SIZE(funcs))]),
	     MOV_REG(number_reg(g), BPF_REG_0));
}

static void ring(struct gen *g)
{
	int size = 8 * (1 + below(g, 16));

	if (below(g, 2)) {
		EMIT(g, LOAD_MAP(BPF_REG_1, g->maps->ring),
		     MOV_REG(BPF_REG_2, BPF_REG_10),
		     ADD_IMM(BPF_REG_2, stack_slot(g, size)),
		     MOV_IMM(BPF_REG_3, size), MOV_IMM(BPF_REG_4, below(g, 3)),
		     CALL(BPF_FUNC_ringbuf_output));
		return;
	}
	EMIT(g, LOAD_MAP(BPF_REG_1, g->maps->ring), MOV_IMM(BPF_REG_2, size),
	     MOV_IMM(BPF_REG_3, 0), CALL(BPF_FUNC_ringbuf_reserve),
	     JUMP_IMM(BPF_JEQ, BPF_REG_0, 0, 3), MOV_REG(BPF_REG_1, BPF_REG_0),
	     MOV_IMM(BPF_REG_2, 0),
	     CALL(below(g, 2) ? BPF_FUNC_ringbuf_submit :
				BPF_FUNC_ringbuf_discard));
}

static void some_return(struct gen *g)
{
	int64_t value;

	switch (below(g, 8)) {
	case 0:
	case 1:
		value = 0;
		break;
	case 2:
	case 3:
		value = 1 + below(g, 4);
		break;
	case 4:
		value = -(int)(1 + below(g, 600));
		break;
	case 5:
		value = -(int)below(g, 5000);
		break;
	case 6:
		EMIT(g, MOV_REG(BPF_REG_0, number_reg(g)), EXIT());
		return;
	default:
		value = some_number(g);
	}
	EMIT(g, LOAD_IMM64(BPF_REG_0, value), EXIT());
}

static void statement(struct gen *g);

static void statements(struct gen *g, int n)
{
	g->depth++;
	while (n--)
		statement(g);
	g->depth--;
}

static void condition(struct gen *g)
{
	static const int ops[] = { BPF_JEQ, BPF_JGT, BPF_JGE, BPF_JSET, BPF_JNE,
				   BPF_JSGT, BPF_JSGE, BPF_JLT, BPF_JSLT };
	int class = below(g, 2) ? BPF_JMP : BPF_JMP32;
	int op = ops[below(g, ARRAY_SIZE(ops))];
	int jump = g->n;

	if (below(g, 3) == 0) {
		/* by opcode or phase: conditions that hold now and then */
		EMIT(g, LOAD32(number_reg(g), CTX, below(g, 2) * 4));
		jump = g->n;
		EMIT(g, JUMP_IMM(op, number_reg(g), below(g, 54), 0));
	} else if (below(g, 2)) {
		EMIT(g, INSN(class | op | BPF_X, number_reg(g), number_reg(g),
			     0, 0));
	} else {
		EMIT(g, INSN(class | op | BPF_K, number_reg(g), 0, 0,
			     (int)some_number(g)));
	}
	statements(g, 1 + below(g, 4));
	if (below(g, 4) == 0)
		some_return(g);
	if (jump < MAX_INSNS)
		g->insn[jump].off = g->n - jump - 1;
}

/* The counter is below the rest of the stack. */
static void loop(struct gen *g)
{
	int counter = -STACK - 8;
	int times = 1 + below(g, 8), top, depth = g->depth;

	EMIT(g, STORE_IMM(BPF_REG_10, counter, times));
	top = g->n;
	/* nothing in it that branches: the verifier would take hours */
	g->depth = MAX_DEPTH;
	statements(g, 1 + below(g, 3));
	g->depth = depth;
	EMIT(g, LOAD64(BPF_REG_1, BPF_REG_10, counter), ADD_IMM(BPF_REG_1, -1),
	     STORE64(BPF_REG_10, BPF_REG_1, counter),
	     JUMP_IMM(BPF_JNE, BPF_REG_1, 0, top - g->n - 4));
}

static void statement(struct gen *g)
{
	static void (*const kinds[])(struct gen *) = {
		context_field, context_field, arithmetic, arithmetic, number,
		spill_or_fill, spill_or_fill, read_args, read_args, read_args,
		write_args, write_args, write_exactly, write_exactly,
		map_lookup, map_lookup, map_update, map_delete, tail_call,
		helper, ring, template, condition, condition, loop,
	};
	uint32_t n = ARRAY_SIZE(kinds);

	/* not too deep: the verifier takes all ways */
	if (g->depth >= MAX_DEPTH)
		n -= 3;
	kinds[below(g, n)](g);
}

static void prologue(struct gen *g, bool main)
{
	int off;

	/* all of one depth: an interpreter has no more for those tail-called */
	EMIT(g, MOV_REG(CTX, BPF_REG_1), STORE_IMM(BPF_REG_10, -512, 0));
	for (off = -STACK; off < 0; off += 8)
		EMIT(g, STORE_IMM(BPF_REG_10, off, (int)some_number(g)));
	EMIT(g, LOAD64(BPF_REG_7, CTX, 8), LOAD32(BPF_REG_8, CTX, 0),
	     LOAD32(BPF_REG_9, CTX, 4));
	if (!main)
		return;
	EMIT(g, MOV_REG(BPF_REG_1, BPF_REG_9), LSH_IMM(BPF_REG_1, 6),
	     ADD_REG(BPF_REG_1, BPF_REG_8), STORE32(BPF_REG_10, BPF_REG_1, -8),
	     LOAD_MAP(BPF_REG_1, g->maps->counts),
	     MOV_REG(BPF_REG_2, BPF_REG_10), ADD_IMM(BPF_REG_2, -8),
	     CALL(BPF_FUNC_map_lookup_elem),
	     JUMP_IMM(BPF_JEQ, BPF_REG_0, 0, 2), MOV_IMM(BPF_REG_1, 1),
	     XADD64(BPF_REG_0, BPF_REG_1, 0));
}

/*
 * One field of one instruction or two, but not of the count at the start.
 * Jumps go forward as they did: the verifier takes long to give up a loop.
 */
static void mutate(struct gen *g, int start)
{
	int times = 1 + below(g, 2);

	while (times--) {
		struct bpf_insn *insn = &g->insn[start + below(g, g->n - start)];
		bool jump = BPF_CLASS(insn->code) == BPF_JMP ||
			    BPF_CLASS(insn->code) == BPF_JMP32;

		switch (below(g, 5)) {
		case 0:
			insn->code ^= 1 << below(g, 8);
			break;
		case 1:
			insn->dst_reg = below(g, 11);
			break;
		case 2:
			insn->src_reg = below(g, 11);
			break;
		case 3:
			insn->off = jump ? (int)below(g, 64) :
				    insn->off + (int)below(g, 64) - 32;
			break;
		default:
			insn->imm = some_number(g);
		}
	}
}

static int load(struct gen *g)
{
	return bpf_prog_load(EXTFUSE_PROG_TYPE, "fuzz", "GPL", g->insn, g->n,
			     NULL);
}

int gen_prog(const struct gen_maps *maps, uint64_t seed, bool main)
{
	static struct gen g, mutant;
	int start, fd;

	g.n = 0;
	g.depth = 0;
	g.rng = random_start(seed, 1);
	g.maps = maps;
	prologue(&g, main);
	start = g.n;
	statements(&g, 2 + below(&g, 20));
	if (main)
		dispatch(&g);
	if (below(&g, 3) == 0)
		serve(&g);
	else
		some_return(&g);
	if (below(&g, 2)) {
		mutant = g;
		mutate(&mutant, start);
		fd = load(&mutant);
		if (fd >= 0)
			return fd;
		gen_refused++;
	}
	fd = load(&g);
	gen_refused += fd < 0;
	return fd;
}

int gen_tame(const struct gen_maps *maps)
{
	struct gen *g = calloc(1, sizeof(*g));
	int fd;

	if (!g)
		return -ENOMEM;
	g->rng = 1;
	g->maps = maps;
	prologue(g, true);
	EMIT(g, LOAD32(BPF_REG_1, CTX, offsetof(struct extfuse_req, phase)),
	     MOV_IMM(BPF_REG_0, EXTFUSE_UPCALL),
	     JUMP_IMM(BPF_JEQ, BPF_REG_1, EXTFUSE_PHASE_REQUEST, 1),
	     MOV_IMM(BPF_REG_0, EXTFUSE_PASSTHRU_EXIT), EXIT());
	fd = load(g);
	free(g);
	return fd;
}

int gen_maps_new(struct gen_maps *maps)
{
	LIBBPF_OPTS(bpf_map_create_opts, mmapable,
		    .map_flags = BPF_F_MMAPABLE);
	struct {
		int *fd;
		enum bpf_map_type type;
		uint32_t key, value, max;
		const struct bpf_map_create_opts *opts;
	} kinds[] = {
		{ &maps->array, BPF_MAP_TYPE_ARRAY, 4, GEN_VALUE_SIZE,
		  GEN_ENTRIES, NULL },
		{ &maps->percpu, BPF_MAP_TYPE_PERCPU_ARRAY, 4, GEN_VALUE_SIZE,
		  GEN_ENTRIES, NULL },
		{ &maps->hash, BPF_MAP_TYPE_HASH, 8, GEN_VALUE_SIZE,
		  GEN_ENTRIES, NULL },
		{ &maps->lru, BPF_MAP_TYPE_LRU_HASH, 8, GEN_VALUE_SIZE,
		  GEN_ENTRIES, NULL },
		{ &maps->ring, BPF_MAP_TYPE_RINGBUF, 0, 0, 4096, NULL },
		{ &maps->progs, BPF_MAP_TYPE_PROG_ARRAY, 4, 4, EXTFUSE_MAX_OPS,
		  NULL },
		{ &maps->counts, BPF_MAP_TYPE_ARRAY, 4, 8, GEN_COUNTS,
		  &mmapable },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(kinds); i++) {
		*kinds[i].fd = bpf_map_create(kinds[i].type, "fuzz",
					      kinds[i].key, kinds[i].value,
					      kinds[i].max, kinds[i].opts);
		if (*kinds[i].fd < 0)
			return *kinds[i].fd;
	}
	return 0;
}
