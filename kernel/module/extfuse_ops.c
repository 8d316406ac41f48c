// SPDX-License-Identifier: GPL-2.0
/*
 * The module's road to programs: a struct_ops that is attached to a connection
 * by a link, and kfuncs for the arguments.
 *
 * The link is the reference.  It may go before the connection, by the daemon or
 * from outside: then there is plain FUSE.  When the connection goes first,
 * extfuse_unload_prog() has cleared the pointer and nothing is left to do.
 */
#include "fuse_i.h"
#include "extfuse.h"
#include "extfuse_ops.h"

#include <linux/bpf.h>
#include <linux/bpf_verifier.h>
#include <linux/btf.h>
#include <linux/btf_ids.h>
#include <linux/capability.h>
#include <linux/file.h>
#include <linux/filter.h>
#include <linux/ktime.h>
#include <linux/module.h>

/*
 * Nobody but a program of extfuse_bpf_ops has a trusted pointer to a request, and
 * each of those is in a struct extfuse_kern.
 */
__bpf_kfunc_start_defs();

__bpf_kfunc int bpf_extfuse_read_args(struct extfuse_req *req, u32 type,
				      void *dst, u32 dst__sz)
{
	return extfuse_args_read(container_of(req, struct extfuse_kern, req),
				 type, dst, dst__sz);
}

__bpf_kfunc int bpf_extfuse_write_args(struct extfuse_req *req, u32 type,
				       const void *src, u32 src__sz)
{
	return extfuse_args_write(container_of(req, struct extfuse_kern, req),
				  type, src, src__sz);
}

__bpf_kfunc_end_defs();

BTF_KFUNCS_START(extfuse_kfuncs)
BTF_ID_FLAGS(func, bpf_extfuse_read_args, KF_TRUSTED_ARGS)
BTF_ID_FLAGS(func, bpf_extfuse_write_args, KF_TRUSTED_ARGS)
BTF_KFUNCS_END(extfuse_kfuncs)

static const struct btf_kfunc_id_set extfuse_kfunc_set = {
	.owner = THIS_MODULE,
	.set = &extfuse_kfuncs,
};

/* The kernel's is neither exported nor known to bpf_base_func_proto() */
BPF_CALL_0(extfuse_ktime_get_coarse_ns)
{
	return ktime_get_coarse_ns();
}

static const struct bpf_func_proto extfuse_ktime_get_coarse_ns_proto = {
	.func		= extfuse_ktime_get_coarse_ns,
	.ret_type	= RET_INTEGER,
};

static const struct bpf_func_proto *
extfuse_func_proto(enum bpf_func_id func_id, const struct bpf_prog *prog)
{
	switch (func_id) {
	case BPF_FUNC_ktime_get_coarse_ns:
		return &extfuse_ktime_get_coarse_ns_proto;
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

static const struct bpf_verifier_ops extfuse_verifier_ops = {
	.get_func_proto		= extfuse_func_proto,
	.is_valid_access	= bpf_tracing_btf_ctx_access,
};

static int extfuse_ops_run(struct extfuse_prog *prog, struct extfuse_kern *k)
{
	return container_of(prog, struct extfuse_bpf_ops, prog)->request(&k->req);
}

static struct fuse_conn *extfuse_conn_get(int fd)
{
	struct file *file = fget(fd);
	struct fuse_conn *fc = NULL;
	struct fuse_dev *fud;

	if (!file)
		return ERR_PTR(-EBADF);
	if (file->f_op == &fuse_dev_operations) {
		fud = READ_ONCE(file->private_data);
		fc = fud ? fuse_conn_get(fud->fc) : ERR_PTR(-ENOTCONN);
	}
	fput(file);
	return fc ?: ERR_PTR(-EBADF);
}

static int extfuse_ops_reg(void *kdata, struct bpf_link *link)
{
	struct extfuse_bpf_ops *ops = kdata;
	struct fuse_conn *fc;
	int err;

	if (!link)
		return -EOPNOTSUPP;
	if (!bpf_capable())
		return -EPERM;
	/* by another link */
	if (ops->fc)
		return -EBUSY;
	fc = extfuse_conn_get(ops->dev_fd);
	if (IS_ERR(fc))
		return PTR_ERR(fc);
	err = -ENOTCONN;
	if (!READ_ONCE(fc->initialized) || !fc->extfuse_agreed)
		goto out;
	ops->prog.run = extfuse_ops_run;
	ops->fc = fc;
	err = -EBUSY;
	if (extfuse_attach(fc, &ops->prog))
		return 0;
	ops->fc = NULL;
out:
	fuse_conn_put(fc);
	return err;
}

/* Whoever runs it now: the map is freed after RCU and its trampolines are idle */
static void extfuse_ops_unreg(void *kdata, struct bpf_link *link)
{
	struct extfuse_bpf_ops *ops = kdata;
	struct fuse_conn *fc = ops->fc;

	if (cmpxchg(&fc->extfuse_prog, RCU_INITIALIZER(&ops->prog),
		    RCU_INITIALIZER(NULL)) == RCU_INITIALIZER(&ops->prog) &&
	    READ_ONCE(fc->connected))
		pr_info("connection %u: the program was detached, requests go to the daemon\n",
			fc->dev);
	ops->fc = NULL;
	fuse_conn_put(fc);
}

/* The mount goes on with another program; of two, one sees each request. */
static int extfuse_ops_update(void *kdata, void *old_kdata, struct bpf_link *link)
{
	struct extfuse_bpf_ops *ops = kdata, *old = old_kdata;
	struct fuse_conn *fc = old->fc;

	if (ops->fc)
		return -EBUSY;
	ops->prog.run = extfuse_ops_run;
	if (cmpxchg(&fc->extfuse_prog, RCU_INITIALIZER(&old->prog),
		    RCU_INITIALIZER(&ops->prog)) != RCU_INITIALIZER(&old->prog))
		return -ENOTCONN;
	ops->fc = fc;
	old->fc = NULL;
	return 0;
}

static int extfuse_ops_init_btf(struct btf *btf)
{
	return 0;
}

static int extfuse_ops_check_member(const struct btf_type *t,
				    const struct btf_member *member,
				    const struct bpf_prog *prog)
{
	return prog->sleepable ? -EINVAL : 0;
}

static int extfuse_ops_init_member(const struct btf_type *t,
				   const struct btf_member *member,
				   void *kdata, const void *udata)
{
	const struct extfuse_bpf_ops *uops = udata;
	struct extfuse_bpf_ops *ops = kdata;

	switch (__btf_member_bit_offset(t, member) / 8) {
	case offsetof(struct extfuse_bpf_ops, abi):
		if (uops->abi != EXTFUSE_ABI)
			return -EPROTO;
		ops->abi = uops->abi;
		return 1;
	case offsetof(struct extfuse_bpf_ops, dev_fd):
		ops->dev_fd = uops->dev_fd;
		return 1;
	}
	return 0;
}

static int extfuse_ops_validate(void *kdata)
{
	struct extfuse_bpf_ops *ops = kdata;

	return ops->request ? 0 : -EINVAL;
}

static int extfuse_ops_request(struct extfuse_req *req)
{
	return EXTFUSE_UPCALL;
}

static struct extfuse_bpf_ops extfuse_ops_stubs = {
	.request = extfuse_ops_request,
};

static struct bpf_struct_ops extfuse_struct_ops = {
	.verifier_ops	= &extfuse_verifier_ops,
	.init		= extfuse_ops_init_btf,
	.check_member	= extfuse_ops_check_member,
	.init_member	= extfuse_ops_init_member,
	.validate	= extfuse_ops_validate,
	.reg		= extfuse_ops_reg,
	.unreg		= extfuse_ops_unreg,
	.update		= extfuse_ops_update,
	.cfi_stubs	= &extfuse_ops_stubs,
	.owner		= THIS_MODULE,
	.name		= "extfuse_bpf_ops",
};

/* The INIT reply agrees; the program comes later, by its link. */
int extfuse_init_prog(struct fuse_conn *fc, u32 fd)
{
	return 0;
}

/**
 * extfuse_ops_init() - register with BPF
 *
 * Return: 0 or -errno; nothing is to be undone, it goes with the module's BTF
 */
int __init extfuse_ops_init(void)
{
	int err;

	err = register_btf_kfunc_id_set(BPF_PROG_TYPE_STRUCT_OPS,
					&extfuse_kfunc_set);
	if (!err)
		err = register_bpf_struct_ops(&extfuse_struct_ops,
					      extfuse_bpf_ops);
	if (err)
		pr_err("BPF does not take the module (%d): was it built without BTF?\n",
		       err);
	return err;
}
