// SPDX-License-Identifier: GPL-2.0
/*
 * What programs may read of a request and write of its reply, and what of their
 * verdicts is taken.
 *
 * How a program comes here is not known to this file: see struct extfuse_prog.
 */
#include <linux/bits.h>
#include <linux/export.h>
#include <linux/extfuse.h>
#include <linux/minmax.h>
#include <linux/string.h>

static_assert(offsetof(struct extfuse_kern, req) == 0);

const struct extfuse_op extfuse_ops[EXTFUSE_MAX_OPS] = {
#define EXTFUSE_OP(op, nr, flags, name1, name2)		\
	[nr] = { .known = true, .policy = flags, .name = { name1, name2 } },
	EXTFUSE_OPS(EXTFUSE_OP)
#undef EXTFUSE_OP
};
EXPORT_SYMBOL_GPL(extfuse_ops);

/* Copy to a program's buffer; it never sees a byte that was there before. */
static int extfuse_copy(void *dst, u32 size, const void *src, u32 len)
{
	u32 n = min(size, len);

	if (n && !src) {
		memset(dst, 0, size);
		return -EFAULT;
	}
	memcpy(dst, src, n);
	memset(dst + n, 0, size - n);
	return len;
}

static int extfuse_copy_in(struct extfuse_kern *k, u32 type, void *dst,
			   u32 size)
{
	u32 n = (type - EXTFUSE_IN_PARAM_0_SIZE) / 2;
	bool value = (type - EXTFUSE_IN_PARAM_0_SIZE) % 2;

	if (n >= k->req.in_numargs) {
		memset(dst, 0, size);
		return -EINVAL;
	}
	if (value)
		return extfuse_copy(dst, size, k->in[n].value,
				    k->req.in_size[n]);
	return extfuse_copy(dst, size, &k->req.in_size[n], sizeof(u32));
}

static int extfuse_copy_name(struct extfuse_kern *k, u32 n, void *dst, u32 size)
{
	u32 len = k->req.name_len[n];
	int err = 0;

	if (!k->name[n])
		err = -EINVAL;
	else if (len > size)
		err = -ENAMETOOLONG;
	if (err) {
		memset(dst, 0, size);
		return err;
	}
	return extfuse_copy(dst, size, k->name[n], len);
}

/**
 * extfuse_args_read() - copy an argument to a program's buffer
 * @k: the request
 * @type: which one (enum extfuse_arg)
 * @dst: the buffer, all of which is written in any case
 * @size: its size in bytes
 *
 * Return: the length of what was asked for, which may be more than @size: then
 * its first @size bytes were copied (but a name is copied whole or not at all);
 * or -errno
 */
int extfuse_args_read(struct extfuse_kern *k, u32 type, void *dst, u32 size)
{
	u32 num;

	switch (type) {
	case EXTFUSE_OPCODE:
		return extfuse_copy(dst, size, &k->req.opcode, sizeof(u32));
	case EXTFUSE_NODEID:
		return extfuse_copy(dst, size, &k->req.nodeid, sizeof(u64));
	case EXTFUSE_NUM_IN_ARGS:
		num = k->req.in_numargs;
		return extfuse_copy(dst, size, &num, sizeof(num));
	case EXTFUSE_NUM_OUT_ARGS:
		num = k->req.out_numargs;
		return extfuse_copy(dst, size, &num, sizeof(num));
	case EXTFUSE_IN_PARAM_0_SIZE ... EXTFUSE_IN_PARAM_2_VALUE:
		return extfuse_copy_in(k, type, dst, size);
	case EXTFUSE_NAME:
	case EXTFUSE_NAME2:
		return extfuse_copy_name(k, type - EXTFUSE_NAME, dst, size);
	default:
		memset(dst, 0, size);
		return -EINVAL;
	}
}
EXPORT_SYMBOL_GPL(extfuse_args_read);

/**
 * extfuse_args_write() - write an output argument
 * @k: the request
 * @type: which one (enum extfuse_arg)
 * @src: the argument
 * @size: its size in bytes
 *
 * Return: 0 or -errno
 */
int extfuse_args_write(struct extfuse_kern *k, u32 type, const void *src,
		       u32 size)
{
	u32 n = type - EXTFUSE_OUT_PARAM_0;
	bool var;

	if (type < EXTFUSE_OUT_PARAM_0 || type > EXTFUSE_OUT_PARAM_1 ||
	    n >= k->req.out_numargs)
		return -EINVAL;
	if (!k->may_write)
		return -EPERM;
	var = k->argvar && n == k->req.out_numargs - 1;
	if (size > k->req.out_size[n])
		return -E2BIG;
	if (size < k->req.out_size[n] && !var)
		return -EINVAL;
	if (!k->out[n].value)
		return -EFAULT;
	memcpy(k->out[n].value, src, size);
	k->out[n].size = size;
	k->written |= BIT(n);
	return 0;
}
EXPORT_SYMBOL_GPL(extfuse_args_write);

/* K2: an answer is complete or it is none. */
static bool extfuse_complete(const struct extfuse_kern *k)
{
	return k->written == BIT(k->req.out_numargs) - 1;
}

/*
 * ENOSYS would make FUSE believe that the daemon lacks the operation for good,
 * and what lies from 512 on is meant for system call restart.
 */
static bool extfuse_valid_errno(int ret)
{
	return ret < 0 && ret > -512 && ret != -ENOSYS;
}

/* Reduce what a program returned to what its request may get (K1, K2, K3). */
static int extfuse_clamp(const struct extfuse_kern *k, int ret, bool *rejected)
{
	u8 policy = extfuse_ops[k->req.opcode].policy;
	bool served = ret == 0 ? extfuse_complete(k) : extfuse_valid_errno(ret);
	bool request = k->req.phase == EXTFUSE_PHASE_REQUEST;

	if (ret == EXTFUSE_UPCALL)
		return ret;
	if (request && (policy & EXTFUSE_OP_SERVE) && served)
		return ret;
	if (!request && (policy & EXTFUSE_OP_PASSTHRU) &&
	    (ret == EXTFUSE_PASSTHRU || ret == EXTFUSE_PASSTHRU_EXIT))
		return ret;
	*rejected = true;
	return EXTFUSE_UPCALL;
}

/**
 * extfuse_run() - run a program on a request
 * @prog: the program; the caller holds it or is in an RCU read-side section
 * @k: the request; k->req.opcode must be known to extfuse_ops[]
 * @rejected: set to true when the program's wish was not granted
 *
 * Return: 0 with all outputs written, or -errno, for a request that is
 * answered; EXTFUSE_UPCALL, EXTFUSE_PASSTHRU or EXTFUSE_PASSTHRU_EXIT otherwise
 */
int extfuse_run(struct extfuse_prog *prog, struct extfuse_kern *k,
		bool *rejected)
{
	k->may_write = k->req.phase == EXTFUSE_PHASE_REQUEST ?
		       extfuse_ops[k->req.opcode].policy & EXTFUSE_OP_SERVE :
		       k->req.phase != EXTFUSE_PHASE_EXIT;
	k->written = 0;
	return extfuse_clamp(k, prog->run(prog, k), rejected);
}
EXPORT_SYMBOL_GPL(extfuse_run);
