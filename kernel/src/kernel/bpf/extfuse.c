// SPDX-License-Identifier: GPL-2.0
/*
 * BPF_PROG_TYPE_EXTFUSE: verifier ops, helpers and the way to run a program.
 *
 * FUSE may be a module, a program type cannot: so all of this is built in, and
 * the driver reaches it through extfuse_prog_get() and extfuse_run().
 */
#include <linux/bpf.h>
#include <linux/bpf_verifier.h>
#include <linux/btf_ids.h>
#include <linux/extfuse.h>
#include <linux/filter.h>
#include <linux/ktime.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

static_assert(BPF_PROG_TYPE_EXTFUSE == EXTFUSE_PROG_TYPE);
static_assert(BPF_FUNC_extfuse_read_args == EXTFUSE_FUNC_READ_ARGS);
static_assert(BPF_FUNC_extfuse_write_args == EXTFUSE_FUNC_WRITE_ARGS);
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

/*
 * Returns the length of what was asked for, which may be more than @size: then
 * its first @size bytes were copied (but a name is copied whole or not at all).
 * All of @dst is written in any case.
 */
BPF_CALL_4(bpf_extfuse_read_args, struct extfuse_kern *, k, u32, type,
	   void *, dst, u32, size)
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

static const struct bpf_func_proto bpf_extfuse_read_args_proto = {
	.func		= bpf_extfuse_read_args,
	.gpl_only	= true,
	.ret_type	= RET_INTEGER,
	.arg1_type	= ARG_PTR_TO_CTX,
	.arg2_type	= ARG_ANYTHING,
	.arg3_type	= ARG_PTR_TO_UNINIT_MEM,
	.arg4_type	= ARG_CONST_SIZE,
};

BPF_CALL_4(bpf_extfuse_write_args, struct extfuse_kern *, k, u32, type,
	   const void *, src, u32, size)
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

static const struct bpf_func_proto bpf_extfuse_write_args_proto = {
	.func		= bpf_extfuse_write_args,
	.gpl_only	= true,
	.ret_type	= RET_INTEGER,
	.arg1_type	= ARG_PTR_TO_CTX,
	.arg2_type	= ARG_ANYTHING,
	.arg3_type	= ARG_PTR_TO_MEM | MEM_RDONLY,
	.arg4_type	= ARG_CONST_SIZE_OR_ZERO,
};

static const struct bpf_func_proto *
extfuse_func_proto(enum bpf_func_id func_id, const struct bpf_prog *prog)
{
	switch (func_id) {
	case BPF_FUNC_extfuse_read_args:
		return &bpf_extfuse_read_args_proto;
	case BPF_FUNC_extfuse_write_args:
		return &bpf_extfuse_write_args_proto;
	case BPF_FUNC_ktime_get_coarse_ns:
		return &bpf_ktime_get_coarse_ns_proto;
	case BPF_FUNC_map_lookup_elem:
	case BPF_FUNC_map_update_elem:
	case BPF_FUNC_map_delete_elem:
	case BPF_FUNC_tail_call:
	case BPF_FUNC_trace_printk:
	case BPF_FUNC_ktime_get_ns:
	case BPF_FUNC_ktime_get_boot_ns:
	case BPF_FUNC_ktime_get_tai_ns:
	case BPF_FUNC_spin_lock:
	case BPF_FUNC_spin_unlock:
	case BPF_FUNC_ringbuf_output:
	case BPF_FUNC_ringbuf_reserve:
	case BPF_FUNC_ringbuf_submit:
	case BPF_FUNC_ringbuf_discard:
	case BPF_FUNC_get_smp_processor_id:
		return bpf_base_func_proto(func_id, prog);
	default:
		return NULL;
	}
}

static bool extfuse_is_valid_access(int off, int size, enum bpf_access_type type,
				    const struct bpf_prog *prog,
				    struct bpf_insn_access_aux *info)
{
	return type == BPF_READ && off >= 0 && size > 0 &&
	       off + size <= sizeof(struct extfuse_req) && !(off % size);
}

/* extfuse_req is the head of extfuse_kern: offsets need no conversion. */
const struct bpf_verifier_ops extfuse_verifier_ops = {
	.get_func_proto		= extfuse_func_proto,
	.is_valid_access	= extfuse_is_valid_access,
};

/**
 * extfuse_prog_get() - take a reference to a program of the caller's
 * @fd: file descriptor in the current task's table
 *
 * Return: the program, to be given back with bpf_prog_put(), or
 * ERR_PTR(-EBADF) for what is not a BPF program, ERR_PTR(-EINVAL) for one of
 * another type.
 */
struct bpf_prog *extfuse_prog_get(u32 fd)
{
	return bpf_prog_get_type(fd, BPF_PROG_TYPE_EXTFUSE);
}
EXPORT_SYMBOL_GPL(extfuse_prog_get);

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
int extfuse_run(struct bpf_prog *prog, struct extfuse_kern *k, bool *rejected)
{
	k->may_write = k->req.phase == EXTFUSE_PHASE_REQUEST ?
		       extfuse_ops[k->req.opcode].policy & EXTFUSE_OP_SERVE :
		       k->req.phase != EXTFUSE_PHASE_EXIT;
	k->written = 0;
	return extfuse_clamp(k, (int)bpf_prog_run_pin_on_cpu(prog, k),
			     rejected);
}
EXPORT_SYMBOL_GPL(extfuse_run);

/* All arguments of a test run lie one behind the other in one buffer each. */
struct extfuse_test {
	struct extfuse_kern k;
	u32 in_total;
	u32 out_total;
	void *in;
	void *out;
};

static int extfuse_test_sizes(struct extfuse_test *t)
{
	struct extfuse_req *req = &t->k.req;
	int i;

	if (req->opcode >= EXTFUSE_MAX_OPS || !extfuse_ops[req->opcode].known ||
	    req->in_numargs > EXTFUSE_MAX_IN ||
	    req->out_numargs > EXTFUSE_MAX_OUT ||
	    req->phase > EXTFUSE_PHASE_ATIME || req->padding)
		return -EINVAL;
	for (i = 0; i < req->in_numargs; i++) {
		if (req->in_size[i] > PAGE_SIZE)
			return -E2BIG;
		t->in_total += req->in_size[i];
	}
	for (i = 0; i < req->out_numargs; i++) {
		if (req->out_size[i] > PAGE_SIZE)
			return -E2BIG;
		t->out_total += req->out_size[i];
	}
	return 0;
}

/* Names are where the opcode has them; req.name_len of the user is ignored. */
static void extfuse_test_args(struct extfuse_test *t)
{
	const struct extfuse_op *op = &extfuse_ops[t->k.req.opcode];
	struct extfuse_req *req = &t->k.req;
	void *in = t->in, *out = t->out;
	int i;

	for (i = 0; i < req->in_numargs; in += req->in_size[i++])
		t->k.in[i].value = in;
	for (i = 0; i < req->out_numargs; out += req->out_size[i++]) {
		t->k.out[i].value = out;
		t->k.out[i].size = req->out_size[i];
	}
	for (i = 0; i < 2; i++) {
		int n = op->name[i];

		req->name_len[i] = 0;
		if (n < 0 || n >= req->in_numargs)
			continue;
		t->k.name[i] = t->k.in[n].value;
		req->name_len[i] = strnlen(t->k.name[i], req->in_size[n]);
	}
	t->k.argvar = req->opcode == FUSE_READLINK ||
		      req->opcode == FUSE_GETXATTR ||
		      req->opcode == FUSE_LISTXATTR;
}

static int extfuse_test_init(struct extfuse_test *t, const union bpf_attr *kattr)
{
	int err;

	if (kattr->test.flags || kattr->test.cpu || kattr->test.batch_size ||
	    kattr->test.repeat > 1 || kattr->test.ctx_out ||
	    kattr->test.ctx_size_in != sizeof(t->k.req))
		return -EINVAL;
	if (copy_from_user(&t->k.req, u64_to_user_ptr(kattr->test.ctx_in),
			   sizeof(t->k.req)))
		return -EFAULT;
	err = extfuse_test_sizes(t);
	if (err)
		return err;
	if (kattr->test.data_size_in != t->in_total)
		return -EINVAL;
	t->in = kzalloc(t->in_total + 1, GFP_USER);
	t->out = kzalloc(t->out_total + 1, GFP_USER);
	if (!t->in || !t->out)
		return -ENOMEM;
	if (copy_from_user(t->in, u64_to_user_ptr(kattr->test.data_in),
			   t->in_total))
		return -EFAULT;
	extfuse_test_args(t);
	return 0;
}

/*
 * BPF_PROG_TEST_RUN: ctx_in is a struct extfuse_req, data_in and data_out are
 * the arguments one behind the other; retval is the verdict after the clamp.
 */
static int extfuse_test_run(struct bpf_prog *prog, const union bpf_attr *kattr,
			    union bpf_attr __user *uattr)
{
	u32 size = kattr->test.data_size_out, retval, duration;
	struct extfuse_test *t;
	bool rejected = false;
	u64 start;
	int err;

	t = kzalloc(sizeof(*t), GFP_USER);
	if (!t)
		return -ENOMEM;
	err = extfuse_test_init(t, kattr);
	if (err)
		goto out;

	start = ktime_get_ns();
	rcu_read_lock();
	retval = extfuse_run(prog, &t->k, &rejected);
	rcu_read_unlock();
	duration = min_t(u64, ktime_get_ns() - start, U32_MAX);

	err = -EFAULT;
	if (copy_to_user(u64_to_user_ptr(kattr->test.data_out), t->out,
			 min(size, t->out_total)) ||
	    put_user(t->out_total, &uattr->test.data_size_out) ||
	    put_user(retval, &uattr->test.retval) ||
	    put_user(duration, &uattr->test.duration))
		goto out;
	err = size && size < t->out_total ? -ENOSPC : 0;
out:
	kfree(t->in);
	kfree(t->out);
	kfree(t);
	return err;
}

const struct bpf_prog_ops extfuse_prog_ops = {
	.test_run = extfuse_test_run,
};
