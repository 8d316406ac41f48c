// SPDX-License-Identifier: GPL-2.0
/*
 * ExtFUSE: the FUSE driver asks a BPF program before it asks the daemon.
 *
 * The program belongs to the connection, and goes at the latest when that is
 * aborted, by umount or by the end of the daemon.  How it comes is not known here.
 */
#include "fuse_i.h"
#include "extfuse.h"

#include <linux/extfuse.h>
#include <linux/highmem.h>
#include <linux/kobject.h>
#include <linux/mount.h>
#include <linux/sysfs.h>
#include <linux/uaccess.h>

/* Where fuse_adjust_compat() stops shrinking arguments. */
#define EXTFUSE_MIN_MINOR 23

static u32 *extfuse_init_word(void *init)
{
	return init + EXTFUSE_INIT_WORD_OFFSET;
}

/* A program is the business of a daemon of this system, with its own fds. */
static bool extfuse_allowed(struct fuse_conn *fc)
{
	return fc->user_ns == &init_user_ns && fc->iq.ops == &fuse_dev_fiq_ops;
}

/**
 * extfuse_init_in() - offer ExtFUSE in an INIT request
 * @fm: the mount
 * @in: the request, to which the kernel's ABI number is added
 *
 * Return: flags to be added to the request's
 */
u64 extfuse_init_in(struct fuse_mount *fm, struct fuse_init_in *in)
{
	BUILD_BUG_ON(sizeof(*in) != EXTFUSE_INIT_WORD_OFFSET + sizeof(u32));
	if (!extfuse_allowed(fm->fc))
		return 0;
	*extfuse_init_word(in) = EXTFUSE_ABI;
	return FUSE_FS_EXTFUSE | FUSE_FS_SYNCFS | FUSE_FS_NOSEC;
}

/**
 * extfuse_init_flags() - do what else an INIT reply asks for
 * @fm: the mount
 * @flags: the reply's flags
 *
 * Runs in the context of whoever wrote the reply.  Only one who could stop the
 * machine anyway may have sync(2) wait for it.
 */
void extfuse_init_flags(struct fuse_mount *fm, u64 flags)
{
	if (!(flags & (FUSE_FS_SYNCFS | FUSE_FS_NOSEC)) ||
	    !extfuse_allowed(fm->fc) || !capable(CAP_SYS_ADMIN))
		return;
	if (flags & FUSE_FS_SYNCFS)
		fm->fc->sync_fs = 1;
	if (flags & FUSE_FS_NOSEC)
		fm->sb->s_flags |= SB_NOSEC;
}

/**
 * extfuse_load_prog() - the INIT reply agrees on ExtFUSE
 * @fm: the mount, whose connection is not yet initialized
 * @out: the INIT reply
 *
 * A failure leaves plain FUSE; the daemon learns of it by
 * EXTFUSE_DEV_IOC_STATUS (K4).
 */
void extfuse_load_prog(struct fuse_mount *fm, struct fuse_init_out *out)
{
	struct fuse_conn *fc = fm->fc;
	int err;

	BUILD_BUG_ON(sizeof(*out) != EXTFUSE_INIT_WORD_OFFSET + sizeof(u32));
	if (!extfuse_allowed(fc))
		err = -EPERM;
	else if (out->minor < EXTFUSE_MIN_MINOR)
		err = -EPROTO;
	else
		err = extfuse_init_prog(fc, *extfuse_init_word(out));
	fc->extfuse_error = err;
	fc->extfuse_agreed = !err;
}

/**
 * extfuse_attach() - have a program asked from now on
 * @fc: the connection
 * @prog: the program, which is the connection's on success
 *
 * Return: false when the connection has ended, or has a program
 */
bool extfuse_attach(struct fuse_conn *fc, struct extfuse_prog *prog)
{
	bool done = false;

	/* fuse_abort_conn() clears connected first and unloads under the lock */
	spin_lock(&fc->lock);
	if (fc->connected && !rcu_access_pointer(fc->extfuse_prog)) {
		rcu_assign_pointer(fc->extfuse_prog, prog);
		done = true;
	}
	spin_unlock(&fc->lock);
	return done;
}

/**
 * extfuse_unload_prog() - detach the program, if there is one
 * @fc: the connection
 *
 * Requests that run it now go on safely: see struct extfuse_prog.
 */
void extfuse_unload_prog(struct fuse_conn *fc)
{
	void (*release)(struct extfuse_prog *prog) = NULL;
	struct extfuse_prog *prog;

	/* one that is another's to release may go as soon as it is not here */
	rcu_read_lock();
	prog = unrcu_pointer(xchg(&fc->extfuse_prog, RCU_INITIALIZER(NULL)));
	if (prog)
		release = prog->release;
	rcu_read_unlock();
	if (release)
		release(prog);
}

static void extfuse_fill_name(struct extfuse_kern *k, struct fuse_args *args,
			      int which, int arg)
{
	k->name[which] = NULL;
	k->req.name_len[which] = 0;
	if (arg < 0 || arg >= args->in_numargs || !args->in_args[arg].size)
		return;
	k->name[which] = args->in_args[arg].value;
	k->req.name_len[which] = args->in_args[arg].size - 1;
}

static void extfuse_fill_in(struct extfuse_kern *k, struct fuse_args *args)
{
	int i, n = min_t(int, args->in_numargs, EXTFUSE_MAX_IN);

	/* the last argument's bytes are in pages */
	if (args->in_pages && n)
		n--;
	k->req.in_numargs = n;
	for (i = 0; i < EXTFUSE_MAX_IN; i++) {
		k->req.in_size[i] = i < n ? args->in_args[i].size : 0;
		k->in[i].value = i < n ? args->in_args[i].value : NULL;
	}
}

/*
 * READLINK's reply goes to a page, which is the only one that a program may
 * fill.  K2: outputs that a program may write hold zeros until it does.
 */
static void *extfuse_map_out(struct extfuse_kern *k, struct fuse_args *args)
{
	int i, n = min_t(int, args->out_numargs, EXTFUSE_MAX_OUT);
	bool serve = extfuse_ops[args->opcode].policy & EXTFUSE_OP_SERVE;
	void *page = NULL;

	k->argvar = args->out_argvar;
	k->req.out_numargs = n;
	for (i = 0; i < EXTFUSE_MAX_OUT; i++) {
		k->req.out_size[i] = i < n ? args->out_args[i].size : 0;
		k->out[i].size = k->req.out_size[i];
		k->out[i].value = i < n ? args->out_args[i].value : NULL;
	}
	if (args->out_pages && n) {
		struct fuse_args_pages *ap =
			container_of(args, struct fuse_args_pages, args);

		k->out[n - 1].value = NULL;
		if (serve && n == 1 && !ap->uses_folios && ap->num_pages == 1 &&
		    !ap->descs[0].offset &&
		    k->out[0].size < PAGE_SIZE) {
			page = kmap_local_page(ap->pages[0]);
			k->out[0].value = page;
		}
	}
	/* a long reply is zeroed behind its end once it is known: finish_out */
	for (i = 0; serve && i < n; i++)
		if (k->out[i].value && !(k->argvar && i == n - 1))
			memset(k->out[i].value, 0, k->out[i].size);
	return page;
}

static void extfuse_fill_caller(struct extfuse_kern *k, struct fuse_conn *fc)
{
	k->req.uid = from_kuid_munged(fc->user_ns, current_fsuid());
	k->req.gid = from_kgid_munged(fc->user_ns, current_fsgid());
	k->req.pid = pid_nr_ns(task_pid(current), fc->pid_ns);
	k->req.unique = 0;
	k->req.padding = 0;
}

/* The reply's length as fuse_simple_request() returns it; rest zeroed (K2). */
static ssize_t extfuse_finish_out(struct extfuse_kern *k, struct fuse_args *args)
{
	int n = args->out_numargs - 1;

	if (!args->out_argvar)
		return 0;
	memset(k->out[n].value + k->out[n].size, 0,
	       args->out_args[n].size - k->out[n].size);
	args->out_args[n].size = k->out[n].size;
	return k->out[n].size;
}

/* K3: an OPEN that truncates changes the file. */
static bool extfuse_open_truncates(const struct fuse_args *args)
{
	const struct fuse_open_in *in = args->in_args[0].value;

	return args->opcode == FUSE_OPEN && (in->flags & O_TRUNC);
}

/**
 * extfuse_request_send() - let the connection's program answer a request
 * @fm: the mount
 * @args: the request, not yet allocated
 * @ret: the result of the request, when it was answered
 *
 * What was made to pass caches by is the daemon's (C8): a program knows no more
 * than it was told before.
 *
 * Return: true when the request is done, false when it must go to the daemon
 */
bool extfuse_request_send(struct fuse_mount *fm, struct fuse_args *args,
			  ssize_t *ret)
{
	struct fuse_conn *fc = fm->fc;
	const struct extfuse_op *op;
	struct extfuse_kern k;
	bool rejected = false;
	struct extfuse_prog *prog;
	int verdict = EXTFUSE_UPCALL;
	void *page;

	if (args->past_caches || args->opcode >= EXTFUSE_MAX_OPS)
		return false;
	op = &extfuse_ops[args->opcode];
	if (!op->known || args->noreply)
		return false;

	rcu_read_lock();
	prog = rcu_dereference(fc->extfuse_prog);
	if (!prog || !READ_ONCE(fc->connected))
		goto out;

	k.req.opcode = args->opcode;
	k.req.phase = EXTFUSE_PHASE_REQUEST;
	k.req.nodeid = args->nodeid;
	extfuse_fill_caller(&k, fc);
	extfuse_fill_in(&k, args);
	extfuse_fill_name(&k, args, 0, op->name[0]);
	extfuse_fill_name(&k, args, 1, op->name[1]);
	page = extfuse_map_out(&k, args);
	verdict = extfuse_run(prog, &k, &rejected);
	if (verdict <= 0 && extfuse_open_truncates(args)) {
		verdict = EXTFUSE_UPCALL;
		rejected = true;
	}
	if (verdict == 0)
		*ret = extfuse_finish_out(&k, args);
	else if (verdict < 0)
		*ret = verdict;
	if (page)
		kunmap_local(page);
	if (rejected)
		atomic64_inc(&fc->extfuse_rejected);
out:
	rcu_read_unlock();
	return verdict <= 0;
}

/* Let the program know of I/O that is no request; @k has its arguments. */
static int extfuse_io(struct inode *inode, struct extfuse_kern *k, u32 opcode,
		      u32 phase)
{
	struct fuse_conn *fc = get_fuse_conn(inode);
	int verdict = EXTFUSE_PASSTHRU;
	bool rejected = false;
	struct extfuse_prog *prog;

	rcu_read_lock();
	prog = rcu_dereference(fc->extfuse_prog);
	if (prog && READ_ONCE(fc->connected)) {
		k->req.opcode = opcode;
		k->req.phase = phase;
		k->req.nodeid = get_node_id(inode);
		k->req.uid = EXTFUSE_NO_ID;
		k->req.gid = EXTFUSE_NO_ID;
		verdict = extfuse_run(prog, k, &rejected);
		if (rejected)
			atomic64_inc(&fc->extfuse_rejected);
	}
	rcu_read_unlock();
	return verdict;
}

/* As extfuse_io(), without arguments. */
static void extfuse_note(struct inode *inode, u32 opcode, u32 phase)
{
	struct extfuse_kern k = {};

	extfuse_io(inode, &k, opcode, phase);
}

static int extfuse_begin(struct inode *inode, u32 opcode, u32 phase, u64 *cookie)
{
	struct extfuse_kern k = {
		.req.out_numargs = 1,
		.req.out_size[0] = sizeof(*cookie),
		.out[0] = { cookie, sizeof(*cookie) },
	};

	*cookie = 0;
	return extfuse_io(inode, &k, opcode, phase);
}

static int extfuse_lower_attr(struct file *file, struct fuse_attr *attr)
{
	struct fuse_file *ff = file->private_data;
	struct user_namespace *ns = ff->fm->fc->user_ns;
	const struct cred *old;
	struct kstat st;
	int err;

	old = override_creds(ff->cred);
	err = vfs_getattr_nosec(&fuse_file_passthrough(ff)->f_path, &st,
				STATX_BASIC_STATS, AT_STATX_SYNC_AS_STAT);
	revert_creds(old);
	if (err)
		return err;
	*attr = (struct fuse_attr) {
		.ino = st.ino,
		.size = st.size,
		.blocks = st.blocks,
		.atime = st.atime.tv_sec,
		.mtime = st.mtime.tv_sec,
		.ctime = st.ctime.tv_sec,
		.atimensec = st.atime.tv_nsec,
		.mtimensec = st.mtime.tv_nsec,
		.ctimensec = st.ctime.tv_nsec,
		.mode = st.mode,
		.nlink = st.nlink,
		.uid = from_kuid_munged(ns, st.uid),
		.gid = from_kgid_munged(ns, st.gid),
		.rdev = new_encode_dev(st.rdev),
		.blksize = st.blksize,
	};
	return 0;
}

/**
 * extfuse_read_ask() - extfuse_read_enter() where a program has a say
 * @file: the file
 *
 * Return: EXTFUSE_UPCALL to have the daemon do it, else EXTFUSE_PASSTHRU
 */
int extfuse_read_ask(struct file *file)
{
	u64 cookie;

	return extfuse_begin(file_inode(file), FUSE_READ, EXTFUSE_PHASE_ENTER,
			     &cookie);
}

/**
 * extfuse_write_enter() - before a write to a passthrough file
 * @file: the file
 * @cookie: receives what extfuse_write_exit() wants back
 *
 * Return: EXTFUSE_UPCALL to have the daemon do it, EXTFUSE_PASSTHRU, or
 * EXTFUSE_PASSTHRU_EXIT when extfuse_write_exit() must be called afterwards
 */
int extfuse_write_enter(struct file *file, u64 *cookie)
{
	struct inode *inode = file_inode(file);

	if (!extfuse_attached(get_fuse_conn(inode)))
		return EXTFUSE_PASSTHRU;
	return extfuse_begin(inode, FUSE_WRITE, EXTFUSE_PHASE_ENTER, cookie);
}

static void extfuse_end(struct file *file, u32 opcode, u64 cookie,
			bool publish)
{
	struct extfuse_kern k = {};
	struct fuse_attr attr;

	if (publish && !extfuse_lower_attr(file, &attr)) {
		k.req.in_numargs = 2;
		k.req.in_size[0] = sizeof(cookie);
		k.req.in_size[1] = sizeof(attr);
		k.in[0].value = &cookie;
		k.in[1].value = &attr;
	}
	extfuse_io(file_inode(file), &k, opcode, EXTFUSE_PHASE_EXIT);
}

/**
 * extfuse_write_exit() - after a write to a passthrough file
 * @file: the file
 * @verdict: what extfuse_write_enter() returned
 * @cookie: what it filled in
 */
void extfuse_write_exit(struct file *file, int verdict, u64 cookie)
{
	if (verdict == EXTFUSE_PASSTHRU_EXIT)
		extfuse_end(file, FUSE_WRITE, cookie, true);
}

/* By the flags of the mount through which it was read, or of the file itself */
static bool extfuse_noatime(const struct file *file)
{
	return (file->f_flags & O_NOATIME) ||
	       (file->f_path.mnt->mnt_flags & MNT_NOATIME) ||
	       __mnt_is_readonly(file->f_path.mnt);
}

/**
 * extfuse_move_atime() - extfuse_accessed() where the atime is ours to move
 * @file: the file
 * @publish: see extfuse_accessed()
 */
void extfuse_move_atime(struct file *file, bool publish)
{
	struct file *backing = fuse_file_passthrough(file->private_data);
	struct inode *inode = file_inode(file);
	int verdict;
	u64 cookie;

	/* touch_atime() would find out that a mount is read-only, but we pay */
	if (extfuse_noatime(file) ||
	    __mnt_is_readonly(backing->f_path.mnt) ||
	    !atime_needs_update(&backing->f_path, file_inode(backing)))
		return;
	verdict = extfuse_begin(inode, FUSE_READ, EXTFUSE_PHASE_ATIME, &cookie);
	touch_atime(&backing->f_path);
	fuse_atime_moved(inode);
	if (verdict == EXTFUSE_PASSTHRU_EXIT)
		extfuse_end(file, FUSE_READ, cookie, publish);
}

/*
 * An asynchronous write that is queued is over in another task; one that is
 * not queued calls the same end_write, from the submitter.  Who submits says
 * so under the inode lock, and ends its own writes itself.
 */
void extfuse_submit_begin(struct inode *inode)
{
	WRITE_ONCE(get_fuse_inode(inode)->extfuse_submitter, current);
}

void extfuse_submit_end(struct inode *inode)
{
	WRITE_ONCE(get_fuse_inode(inode)->extfuse_submitter, NULL);
}

/**
 * extfuse_end_write() - a write to the lower file is over
 * @inode: the file's inode
 */
void extfuse_end_write(struct inode *inode)
{
	if (extfuse_attached(get_fuse_conn(inode)) &&
	    READ_ONCE(get_fuse_inode(inode)->extfuse_submitter) != current)
		extfuse_note(inode, FUSE_WRITE, EXTFUSE_PHASE_EXIT);
}

/**
 * extfuse_mmap() - before a passthrough file is mapped
 * @inode: the file's inode
 * @vma: the mapping
 *
 * A store through a shared mapping changes the lower file with no request of
 * ours: the program must know before the first one can happen.  From then on the
 * times and blocks of the file are never known; its size, mode and owner are
 * changed by calls only.
 */
void extfuse_mmap(struct inode *inode, struct vm_area_struct *vma)
{
	if (!extfuse_attached(get_fuse_conn(inode)) ||
	    (vma->vm_flags & (VM_SHARED | VM_MAYWRITE)) !=
	    (VM_SHARED | VM_MAYWRITE))
		return;
	extfuse_note(inode, FUSE_WRITE, EXTFUSE_PHASE_MMAP);
	WRITE_ONCE(get_fuse_inode(inode)->extfuse_mapped, true);
	/* takes the lock: whoever marks attributes valid afterwards, sees it */
	fuse_invalidate_attr(inode);
}

/**
 * extfuse_status() - EXTFUSE_DEV_IOC_STATUS
 * @fc: the connection
 * @argp: a struct extfuse_status to be filled
 */
long extfuse_status(struct fuse_conn *fc, void __user *argp)
{
	struct extfuse_status st = {
		.abi = EXTFUSE_ABI,
		.attached = !!rcu_access_pointer(fc->extfuse_prog),
		.error = fc->extfuse_error,
		.rejected = atomic64_read(&fc->extfuse_rejected),
	};

	return copy_to_user(argp, &st, sizeof(st)) ? -EFAULT : 0;
}

static ssize_t extfuse_abi_show(struct kobject *kobj,
				struct kobj_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%u\n", EXTFUSE_ABI);
}

static struct kobj_attribute extfuse_abi_attr = __ATTR_RO(extfuse_abi);

/**
 * extfuse_sysfs_init() - add extfuse_abi to /sys/fs/fuse
 * @kobj: that directory; the file goes with it
 */
int extfuse_sysfs_init(struct kobject *kobj)
{
	return sysfs_create_file(kobj, &extfuse_abi_attr.attr);
}
