// SPDX-License-Identifier: GPL-2.0
/*
 * BPF_PROG_TYPE_EXTFUSE: verifier ops, helpers and the way to run a program.
 *
 * FUSE may be a module, a program type cannot: so all of this is built in, and
 * the driver reaches it through extfuse_prog_get() and extfuse_run() of the core.
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
BPF_CALL_4(bpf_extfuse_read_args, struct extfuse_kern *, k, u32, type,
	   void *, dst, u32, size)
{
	return extfuse_args_read(k, type, dst, size);
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
	return extfuse_args_write(k, type, src, size);
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
 * struct extfuse_bpf - a program of this type, as the core runs it
 * @prog:	the core's
 * @bpf:	the program, of which this holds a reference
 * @rcu:	for the end
 */
struct extfuse_bpf {
	struct extfuse_prog prog;
	struct bpf_prog *bpf;
	struct rcu_head rcu;
};

static int extfuse_bpf_run(struct extfuse_prog *prog, struct extfuse_kern *k)
{
	struct extfuse_bpf *p = container_of(prog, struct extfuse_bpf, prog);

	return bpf_prog_run_pin_on_cpu(p->bpf, k);
}

static void extfuse_bpf_release(struct extfuse_prog *prog)
{
	struct extfuse_bpf *p = container_of(prog, struct extfuse_bpf, prog);

	bpf_prog_put(p->bpf);
	kfree_rcu(p, rcu);
}

/**
 * extfuse_prog_get() - take a reference to a program of the caller's
 * @fd: file descriptor in the current task's table
 *
 * Return: the program, to be given back by its release(); ERR_PTR(-EBADF) for
 * what is not a BPF program, ERR_PTR(-EINVAL) for one of another type,
 * ERR_PTR(-ENOMEM)
 */
struct extfuse_prog *extfuse_prog_get(u32 fd)
{
	struct bpf_prog *bpf = bpf_prog_get_type(fd, BPF_PROG_TYPE_EXTFUSE);
	struct extfuse_bpf *p;

	if (IS_ERR(bpf))
		return ERR_CAST(bpf);
	p = kmalloc(sizeof(*p), GFP_KERNEL);
	if (!p) {
		bpf_prog_put(bpf);
		return ERR_PTR(-ENOMEM);
	}
	p->prog.run = extfuse_bpf_run;
	p->prog.release = extfuse_bpf_release;
	p->bpf = bpf;
	return &p->prog;
}
EXPORT_SYMBOL_GPL(extfuse_prog_get);

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
	struct extfuse_bpf p = { .prog.run = extfuse_bpf_run, .bpf = prog };
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
	retval = extfuse_run(&p.prog, &t->k, &rejected);
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
