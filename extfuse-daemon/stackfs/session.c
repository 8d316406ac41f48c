// SPDX-License-Identifier: GPL-2.0-only
/*
 * The connection to the kernel: its device, mount(2), INIT, the loop.
 *
 * libfuse 3.14 knows neither ExtFUSE nor passthrough.  It lets us do its reads
 * and writes, so we see what the kernel offers in INIT and amend the reply.
 */
#include <errno.h>
#include <linux/magic.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "stackfs.h"

#define KERNEL_ERRORS 512	/* include/linux/errno.h */
#define KERNEL_ENOTSUPP 524
#define FIRST_PID_NAMESPACE 0xeffffffcU	/* its inode, include/linux/proc_ns.h */

#ifndef STATX_MNT_ID_UNIQUE
#define STATX_MNT_ID_UNIQUE 0x00004000U
#endif

static void init_seen(struct stackfs *fs, const struct fuse_in_header *in)
{
	const struct fuse_init_in *arg = (const void *)(in + 1);

	fs->init_unique = in->unique;
	if (in->len < sizeof(*in) + sizeof(*arg) ||
	    !(arg->flags & FUSE_INIT_EXT))
		return;
	fs->init_flags = arg->flags;
	fs->init_flags2 = arg->flags2;
	memcpy(&fs->init_abi, (const char *)arg + EXTFUSE_INIT_WORD_OFFSET,
	       sizeof(fs->init_abi));
}

static ssize_t io_read(int fd, void *buf, size_t len, void *userdata)
{
	struct stackfs *fs = userdata;
	struct fuse_in_header *in = buf;
	ssize_t n = read(fd, buf, len);

	if (n < (ssize_t)sizeof(*in))
		return n;
	stat_count(fs, in->opcode);
	if (in->opcode == FUSE_INIT)
		init_seen(fs, in);
	else if (in->opcode == FUSE_TMPFILE)
		in->opcode = FUSE_CREATE;	/* see op_create() */
	else if (in->opcode == FUSE_STATX)
		statx_seen(in);
	else if (in->opcode == FUSE_SYNCFS)
		syncfs_seen(in);
	return creds_request(fs, in, n);
}

/* The daemon's file system counts as one level above what it is stacked on. */
static uint32_t stack_depth(const struct stackfs *fs)
{
	struct statfs sf;

	if (fstatfs(fs->root_fd, &sf))
		return 1;
	return sf.f_type == OVERLAYFS_SUPER_MAGIC ||
	       sf.f_type == ECRYPTFS_SUPER_MAGIC ||
	       sf.f_type == FUSE_SUPER_MAGIC ? 2 : 1;
}

static void init_set_flag(struct fuse_init_out *out, uint64_t flag)
{
	out->flags |= FUSE_INIT_EXT;
	out->flags2 |= flag >> 32;
}

/*
 * To a mount whose ids may be mapped the kernel tells no ids but of who makes something: that
 * is good enough only where every caller is to be seen in /proc.
 */
static bool sees_callers(void)
{
	struct stat st;

	return !stat("/proc/self/ns/pid", &st) && st.st_ino == FIRST_PID_NAMESPACE;
}

/* What tells of the caller's rights (creds.c); libfuse knows of none of it. */
static void init_callers(struct stackfs *fs, uint64_t offered, struct fuse_init_out *out)
{
	fs->setxattr_ext = fs->init_flags & FUSE_SETXATTR_EXT;
	if (fs->setxattr_ext)
		out->flags |= FUSE_SETXATTR_EXT;
	if (offered & FUSE_CREATE_SUPP_GROUP)
		init_set_flag(out, FUSE_CREATE_SUPP_GROUP);
	if ((offered & FUSE_ALLOW_IDMAP) && sees_callers())
		init_set_flag(out, FUSE_ALLOW_IDMAP);
}

static void init_amend(struct stackfs *fs, struct fuse_init_out *out)
{
	uint64_t offered = (uint64_t)fs->init_flags2 << 32;
	uint32_t depth = stack_depth(fs);
	int prog_fd;

	init_callers(fs, offered, out);

	/* asked for by op_init(), and forgotten by libfuse 3.14 */
	out->flags |= FUSE_PARALLEL_DIROPS;
	/* a handle would be good for as long as the kernel remembers the inode */
	if (offered & FUSE_NO_EXPORT_SUPPORT)
		init_set_flag(out, FUSE_NO_EXPORT_SUPPORT);
	if (offered & FUSE_FS_SYNCFS)
		init_set_flag(out, FUSE_FS_SYNCFS);
	if (fs->opts.passthrough && (offered & FUSE_PASSTHROUGH)) {
		init_set_flag(out, FUSE_PASSTHROUGH);
		memcpy((char *)out + INIT_STACK_DEPTH_OFFSET, &depth,
		       sizeof(depth));
		fs->passthrough = true;
	}
	if (fs->ebpf && (offered & FUSE_FS_EXTFUSE) &&
	    fs->init_abi == EXTFUSE_ABI) {
		prog_fd = ebpf_prog_fd(fs->ebpf);
		init_set_flag(out, FUSE_FS_EXTFUSE);
		/* a capability from below goes with our own write to the lower file */
		init_set_flag(out, FUSE_FS_NOSEC);
		memcpy((char *)out + EXTFUSE_INIT_WORD_OFFSET, &prog_fd,
		       sizeof(prog_fd));
	}
}

/*
 * NFS has errors of its own, of which the kernel takes no reply: whoever asked would
 * wait for ever.
 */
static int32_t error_taken(int32_t error)
{
	if (error > -KERNEL_ERRORS)
		return error;
	return error == -KERNEL_ENOTSUPP ? -EOPNOTSUPP : -EIO;
}

static ssize_t io_writev(int fd, struct iovec *iov, int count, void *userdata)
{
	struct fuse_out_header *head = iov[0].iov_base;
	struct stackfs *fs = userdata;
	struct fuse_init_out out;

	head->error = error_taken(head->error);
	if (!fs->init_unique || head->unique != fs->init_unique)
		return writev(fd, iov, count);
	fs->init_unique = 0;
	if (count == 2 && iov[1].iov_len == sizeof(out)) {
		memcpy(&out, iov[1].iov_base, sizeof(out));
		init_amend(fs, &out);
		iov[1].iov_base = &out;
	}
	return writev(fd, iov, count);
}

static ssize_t io_splice_send(int fdin, off_t *offin, int fdout, off_t *offout,
			      size_t len, unsigned int flags, void *userdata)
{
	(void)userdata;
	return splice(fdin, offin, fdout, offout, len, flags);
}

/*
 * Requests are read, not spliced: of a spliced one we would not see the
 * opcode, and the data of a WRITE is copied once either way.
 */
static const struct fuse_custom_io session_io = {
	.read = io_read,
	.writev = io_writev,
	.splice_send = io_splice_send,
};

void reply_err(fuse_req_t req, int err)
{
	fuse_reply_err(req, err == ENOSYS ? EOPNOTSUPP : err);
}

int session_open(struct stackfs *fs)
{
	char *argv[] = { "mount.extfuse", "-odebug", NULL };
	struct fuse_args args = FUSE_ARGS_INIT(fs->opts.debug ? 2 : 1, argv);

	fs->dev_fd = open(ebpf_road_device(fs->road), O_RDWR | O_CLOEXEC);
	if (fs->dev_fd < 0) {
		log_err("%s: %s", ebpf_road_device(fs->road), strerror(errno));
		return EXIT_SYSTEM;
	}
	fs->se = fuse_session_new(&args, &stackfs_ops, sizeof(stackfs_ops),
				  fs);
	fuse_opt_free_args(&args);
	if (!fs->se) {
		log_err("cannot make a FUSE session");
		close(fs->dev_fd);
		return EXIT_SYSTEM;
	}
	/* The session owns the descriptor now. */
	if (fuse_session_custom_io(fs->se, &session_io, fs->dev_fd)) {
		log_err("libfuse does not take custom I/O");
		return EXIT_SYSTEM;
	}
	return 0;
}

/*
 * Which mount is on top there; asks the kernel only, never the daemon.
 * Kernels before 6.8 have no unique ids: there the next mount may get the id
 * of one that ended, so an id means nothing when our connection is over.
 */
static uint64_t mount_id(const struct stackfs *fs)
{
	struct pollfd dev = { .fd = fs->dev_fd };
	struct statx stx;

	if (statx(AT_FDCWD, fs->opts.mountpoint,
		  AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT,
		  STATX_MNT_ID | STATX_MNT_ID_UNIQUE, &stx))
		return 0;
	if (!(stx.stx_mask & STATX_MNT_ID_UNIQUE) && poll(&dev, 1, 0) > 0)
		return 0;
	return stx.stx_mnt_id;
}

/* What our mount is going to cover: see entry.c. */
static int covered_note(struct stackfs *fs)
{
	const char *slash = strrchr(fs->opts.mountpoint, '/');
	struct statfs sf;
	struct stat st;

	if (!slash[1])
		return 0;
	fs->covered_fd = open(fs->opts.mountpoint,
			      O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fs->covered_fd < 0 || fstatat(fs->covered_fd, "..", &st, 0))
		return -errno;
	/* An open automount point would never expire. */
	if (!fstatfs(fs->covered_fd, &sf) && sf.f_type == AUTOFS_SUPER_MAGIC) {
		close(fs->covered_fd);
		fs->covered_fd = -1;
	}
	fs->covered_dev = st.st_dev;
	fs->covered_ino = st.st_ino;
	fs->covered_name = strdup(slash + 1);
	return fs->covered_name ? 0 : -ENOMEM;
}

int session_mount(struct stackfs *fs)
{
	char data[160];
	int err;

	err = covered_note(fs);
	if (err) {
		log_err("%s: %s", fs->opts.mountpoint, strerror(-err));
		return EXIT_MOUNT;
	}
	snprintf(data, sizeof(data),
		 "fd=%d,rootmode=40000,user_id=0,group_id=0,default_permissions%s",
		 fs->dev_fd, fs->opts.allow_other ? ",allow_other" : "");
	if (mount(fs->opts.lower, fs->opts.mountpoint,
		  ebpf_road_type(fs->road), fs->opts.ms_flags, data)) {
		log_err("cannot mount %s on %s: %s", fs->opts.lower,
			fs->opts.mountpoint, strerror(errno));
		return EXIT_MOUNT;
	}
	fs->mnt_id = mount_id(fs);
	return 0;
}

int session_unmount(struct stackfs *fs)
{
	const char *mp = fs->opts.mountpoint;
	int fd;

	if (!fs->mnt_id || mount_id(fs) != fs->mnt_id)
		return -ENOENT;
	fs->mnt_id = 0;
	if (!umount2(mp, 0))
		return 0;
	/* Busy: what was written to open files must get down before we go. */
	fd = open(mp, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0) {
		syncfs(fd);
		close(fd);
	}
	umount2(mp, MNT_DETACH);
	return -EBUSY;
}

int session_status(const struct stackfs *fs, struct extfuse_status *st)
{
	return ioctl(fs->dev_fd, EXTFUSE_DEV_IOC_STATUS, st) ? -errno : 0;
}

/* mount(2) has queued INIT, so this does not wait for anybody. */
int session_init(struct stackfs *fs)
{
	struct fuse_buf buf = { 0 };
	int n;

	n = fuse_session_receive_buf(fs->se, &buf);
	if (n > 0)
		fuse_session_process_buf(fs->se, &buf);
	free(buf.mem);
	if (n <= 0 || fuse_session_exited(fs->se)) {
		log_err("%s: the kernel and libfuse do not agree on INIT%s%s",
			fs->opts.mountpoint, n < 0 ? ": " : "",
			n < 0 ? strerror(-n) : "");
		return EXIT_MOUNT;
	}
	return extfuse_attached(fs);
}

int session_run(struct stackfs *fs)
{
	struct fuse_loop_config *cfg = fuse_loop_cfg_create();
	int ret;

	if (!cfg)
		return EXIT_SYSTEM;
	fuse_loop_cfg_set_max_threads(cfg, STACKFS_THREADS);
	ret = fuse_session_loop_mt(fs->se, cfg);
	fuse_loop_cfg_destroy(cfg);
	return ret ? EXIT_SYSTEM : 0;
}
