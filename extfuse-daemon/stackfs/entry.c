// SPDX-License-Identifier: GPL-2.0-only
/*
 * Entries: from a name in a directory to a node, and its reply.
 */
#include <errno.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "stackfs.h"

#define NS 1000000000ULL

int name_check(const char *name)
{
	if (!*name || !strcmp(name, ".") || !strcmp(name, "..") ||
	    strchr(name, '/'))
		return -EINVAL;
	return strlen(name) > EXTFUSE_NAME_MAX ? -ENAMETOOLONG : 0;
}

/*
 * Where our own mount covers a directory of the lower tree, the covered one is
 * what is there: walking into ourselves would take a thread for each level.
 */
static bool is_covered(const struct stackfs *fs, const struct node *dir,
		       const char *name)
{
	return dir->ino == fs->covered_ino && dir->dev == fs->covered_dev &&
	       fs->covered_name && !strcmp(name, fs->covered_name);
}

static int lower_open(struct stackfs *fs, const struct ref *dir,
		      const char *name)
{
	const struct open_how how = {
		.flags = O_PATH | O_NOFOLLOW | O_CLOEXEC,
		.resolve = RESOLVE_NO_XDEV,
	};
	char path[PROC_FD_LEN];
	int fd;

	if (is_covered(fs, dir->node, name))
		fd = open(proc_fd(path, fs->covered_fd), O_PATH | O_CLOEXEC);
	else
		fd = syscall(SYS_openat2, dir->fd, name, &how, sizeof(how));
	if (fd < 0 && errno == EXDEV)
		return lower_enter(dir->fd, name);
	return fd < 0 ? -errno : fd;
}

int entry_find(struct stackfs *fs, const struct ref *dir, const char *name,
	       struct ref *r)
{
	struct node *n;
	struct lower l;
	int fd, err;

	do
		fd = lower_open(fs, dir, name);
	while (fd < 0 && nodes_fd_relieve(&fs->nodes, -fd));
	if (fd < 0)
		return fd;
	err = lower_read(&fs->nodes, dir->node, name, fd, &l);
	if (err) {
		close(fd);
		return err;
	}
	err = node_make(&fs->nodes, fd, &l, &n);
	return err ? err : ref_node(fs, n, r);
}

/* C1: where a name may be another one, too, none is kept. */
static uint64_t name_timeout(const struct node *dir, uint64_t timeout)
{
	return dir && (dir->traits & LOWER_FOLDS) ? 0 : timeout;
}

void entry_insert(struct stackfs *fs, const struct node *dir, uint64_t epoch,
		  const char *name, struct node *n)
{
	node_pin(n);
	if (!lookup_insert(fs->cache, dir->id, epoch, name, n->id,
			   name_timeout(dir, fs->opts.entry_timeout)))
		node_unpin(&fs->nodes, n->id);
}

int entry_publish(struct stackfs *fs, const struct node *dir, uint64_t epoch,
		  const char *name, const struct ref *r,
		  struct fuse_entry_out *out)
{
	uint64_t timeout = name_timeout(dir, fs->opts.entry_timeout);
	struct fuse_attr_out attr;
	int err;

	err = attr_read(fs, r, &attr);
	if (err)
		return err;
	if (dir)
		entry_insert(fs, dir, epoch, name, r->node);
	/* L3: counted before the kernel can forget it. */
	node_replied(r->node, 1);
	*out = (struct fuse_entry_out) {
		.nodeid = r->node->id,
		.entry_valid = timeout / NS,
		.entry_valid_nsec = timeout % NS,
		.attr_valid = attr.attr_valid,
		.attr_valid_nsec = attr.attr_valid_nsec,
		.attr = attr.attr,
	};
	return 0;
}

void entry_negative(struct stackfs *fs, const struct node *dir, uint64_t epoch,
		    const char *name)
{
	lookup_insert(fs->cache, dir->id, epoch, name, 0,
		      name_timeout(dir, fs->opts.negative_timeout));
}

int entry_lookup(struct stackfs *fs, const struct ref *dir, const char *name,
		 struct fuse_entry_out *out, struct node **np)
{
	uint64_t timeout = name_timeout(dir->node, fs->opts.negative_timeout);
	uint64_t epoch = cache_epoch(fs->cache, dir->node->id);
	struct ref r;
	int err;

	*np = NULL;
	err = entry_find(fs, dir, name, &r);
	if (err == -ENOENT && timeout) {
		entry_negative(fs, dir->node, epoch, name);
		*out = (struct fuse_entry_out) {
			.entry_valid = timeout / NS,
			.entry_valid_nsec = timeout % NS,
		};
		return 0;
	}
	if (err)
		return err;
	err = entry_publish(fs, dir->node, epoch, name, &r, out);
	if (err) {
		ref_put(fs, &r);
		return err;
	}
	*np = r.node;
	node_fd_put(r.node);
	return 0;
}

void entry_reply(fuse_req_t req, struct node *n, const void *out, size_t size)
{
	/* Not taken (interrupted, or the mount is gone): nobody will forget. */
	if (fuse_reply_buf(req, out, size) && n)
		node_replied(n, -1);
}

void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct stackfs *fs = fuse_req_userdata(req);
	struct fuse_entry_out out;
	struct node *n = NULL;
	struct ref dir;
	int err;

	err = name_check(name);
	if (!err)
		err = ref_get(fs, parent, &dir);
	if (err) {
		fuse_reply_err(req, -err);
		return;
	}
	err = entry_lookup(fs, &dir, name, &out, &n);
	if (err)
		fuse_reply_err(req, -err);
	else
		entry_reply(req, n, &out, sizeof(out));
	if (n)
		node_put(&fs->nodes, n);
	ref_put(fs, &dir);
}
