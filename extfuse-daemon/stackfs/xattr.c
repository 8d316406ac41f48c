// SPDX-License-Identifier: GPL-2.0-only
/*
 * Extended attributes.
 */
#include <errno.h>
#include <linux/capability.h>
#include <linux/limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>

#include "stackfs.h"

#define ACL_ACCESS "system.posix_acl_access"
#define ACL_DEFAULT "system.posix_acl_default"
#define SYSTEM_PREFIX "system."
#define TRUSTED_PREFIX "trusted."

/* As much as the cache may take; larger values are read once more. */
#define SMALL 256

static bool has_prefix(const char *name, const char *prefix)
{
	return !strncmp(name, prefix, strlen(prefix));
}

static bool is_acl(const char *name)
{
	return !strcmp(name, ACL_ACCESS) || !strcmp(name, ACL_DEFAULT);
}

/*
 * C7: who may read and set names in "system." the kernel leaves to the file
 * system.  Of the lower one's we know nothing but ACLs, and asked by us it would
 * judge root.
 */
static bool is_foreign(const char *name)
{
	return has_prefix(name, SYSTEM_PREFIX) && !is_acl(name);
}

/* C7: a file's capabilities where its mount forbids them (lower.c). */
static bool is_hidden(const struct node *n, const char *name)
{
	return (n->limits & ST_NOSUID) && !strcmp(name, CAPS_XATTR);
}

static bool is_virtual(fuse_ino_t ino, const char *name)
{
	return ino == NODE_ROOT_ID && !strcmp(name, STAT_XATTR);
}

/*
 * C6: "no attribute at all" answers every name with ENODATA, so it may be told
 * only of a file system that lists whatever it has, and that says so for every
 * kind of name.
 */
void xattr_probe(struct stackfs *fs)
{
	static const char *const names[] = {
		"user.extfuse.probe", "trusted.extfuse.probe",
		"security.extfuse.probe", ACL_ACCESS,
	};
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (fgetxattr(fs->root_fd, names[i], NULL, 0) < 0 &&
		    errno != ENODATA)
			fs->noxattr = false;
}

/* An empty list spares the kernel every further question. */
static bool publish_noxattr(struct stackfs *fs, const struct node *n,
			    uint64_t epoch)
{
	if (!fs->noxattr || n->dev != fs->nodes.root_dev ||
	    n->id == NODE_ROOT_ID)
		return false;
	cache_put_noxattr(fs->cache, n->id, epoch, fs->opts.attr_timeout);
	return true;
}

void xattr_new(struct stackfs *fs, const struct ref *r)
{
	uint64_t epoch = cache_xattr_epoch(fs->cache, r->node->id);
	char path[PROC_FD_LEN];

	if (epoch && listxattr(proc_fd(path, r->fd), NULL, 0) == 0)
		publish_noxattr(fs, r->node, epoch);
}

static void publish(struct stackfs *fs, const struct node *n, uint64_t epoch,
		    const char *name, const char *value, ssize_t len,
		    const char *path)
{
	uint64_t timeout = fs->opts.attr_timeout;

	if (!fs->cache || !timeout)
		return;
	/* a write takes it away, and tells nobody if the kernel knew of none */
	if (len >= 0 && !strcmp(name, CAPS_XATTR))
		return;
	if (len >= 0) {
		cache_put_xattr(fs->cache, n->id, epoch, name, value, len,
				timeout);
	} else if (len == -ENODATA &&
		   (listxattr(path, NULL, 0) != 0 ||
		    !publish_noxattr(fs, n, epoch))) {
		cache_put_xattr(fs->cache, n->id, epoch, name, NULL, ENODATA,
				timeout);
	}
}

static void reply_value(fuse_req_t req, const char *value, ssize_t len,
			size_t size)
{
	if (len < 0)
		reply_err(req, -len);
	else if (!size)
		fuse_reply_xattr(req, len);
	else if ((size_t)len > size)
		reply_err(req, ERANGE);
	else
		fuse_reply_buf(req, value, len);
}

static void reply_stat(fuse_req_t req, size_t size)
{
	char *json = stat_json(fuse_req_userdata(req));

	reply_value(req, json, json ? (ssize_t)strlen(json) : -ENOMEM, size);
	free(json);
}

/*
 * A file system without ACLs has none that could forbid anything; the kernel,
 * which asks for one to check permissions, would take EOPNOTSUPP for a failure.
 */
static ssize_t get_error(const char *name)
{
	return errno == EOPNOTSUPP && is_acl(name) ? -ENODATA : -errno;
}

static void get_value(fuse_req_t req, const struct ref *r, const char *name,
		      size_t size)
{
	struct stackfs *fs = fuse_req_userdata(req);
	uint64_t epoch = cache_xattr_epoch(fs->cache, r->node->id);
	char path[PROC_FD_LEN], small[SMALL], *large = NULL;
	ssize_t len;

	proc_fd(path, r->fd);
	len = getxattr(path, name, small, sizeof(small));
	if (len >= 0 || errno != ERANGE) {
		if (len < 0)
			len = get_error(name);
		publish(fs, r->node, epoch, name, small, len, path);
		reply_value(req, small, len, size);
		return;
	}
	if (size)
		large = malloc(size);
	if (size && !large) {
		reply_err(req, ENOMEM);
		return;
	}
	len = getxattr(path, name, large, size);
	if (len < 0)
		len = -errno;
	reply_value(req, large, len, size);
	free(large);
}

void op_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
	struct stackfs *fs = fuse_req_userdata(req);
	struct ref r;
	int err;

	if (is_virtual(ino, name)) {
		reply_stat(req, size);
		return;
	}
	err = is_foreign(name) ? -EOPNOTSUPP : ref_get(fs, ino, &r);
	if (err) {
		reply_err(req, -err);
		return;
	}
	if (is_hidden(r.node, name))
		reply_err(req, ENODATA);
	else
		get_value(req, &r, name, size);
	ref_put(fs, &r);
}

/* C7: whoever cannot read attributes is not told their names. */
static ssize_t hide_names(fuse_req_t req, const struct node *node, char *list,
			  ssize_t len)
{
	char *from = list, *to = list, *end = list + len;
	int privileged = -1;
	size_t n;

	for (; from < end; from += n) {
		n = strlen(from) + 1;
		if (is_foreign(from) || is_hidden(node, from))
			continue;
		if (has_prefix(from, TRUSTED_PREFIX)) {
			if (privileged < 0)
				privileged = creds_capable(fuse_req_ctx(req),
							   CAP_SYS_ADMIN);
			if (!privileged)
				continue;
		}
		memmove(to, from, n);
		to += n;
	}
	return to - list;
}

static void get_list(fuse_req_t req, const struct ref *r, size_t size)
{
	struct stackfs *fs = fuse_req_userdata(req);
	uint64_t epoch = cache_xattr_epoch(fs->cache, r->node->id);
	char path[PROC_FD_LEN], *list = malloc(XATTR_LIST_MAX);
	ssize_t len;

	if (!list) {
		reply_err(req, ENOMEM);
		return;
	}
	len = listxattr(proc_fd(path, r->fd), list, XATTR_LIST_MAX);
	if (len < 0)
		len = -errno;
	else if (len == 0)
		publish_noxattr(fs, r->node, epoch);
	else
		len = hide_names(req, r->node, list, len);
	reply_value(req, list, len, size);
	free(list);
}

void op_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
	struct stackfs *fs = fuse_req_userdata(req);
	struct ref r;
	int err;

	err = ref_get(fs, ino, &r);
	if (err) {
		reply_err(req, -err);
		return;
	}
	get_list(req, &r, size);
	ref_put(fs, &r);
}

/* C7: an ACL set by who is not in the file's group takes setgid away. */
static int acl_creds(const struct ref *r, const char *name, struct creds *cr)
{
	*cr = (struct creds) { 0 };
	if (!is_acl(name))
		return 0;
	return creds_acl(cr, r->fd);
}

/* @value NULL: remove.  ctime changes, and with an ACL the mode does. */
static int change_value(fuse_req_t req, const struct ref *r, const char *name,
			const char *value, size_t size, int flags)
{
	struct stackfs *fs = fuse_req_userdata(req);
	uint64_t epoch, xepoch, id = r->node->id;
	bool caps = !strcmp(name, CAPS_XATTR);
	char path[PROC_FD_LEN];
	struct creds cr;
	int err;

	err = acl_creds(r, name, &cr);
	if (err)
		return err;
	proc_fd(path, r->fd);
	epoch = cache_begin(fs->cache, id);
	xepoch = cache_xattr_begin(fs->cache, id);
	if (caps)
		pthread_mutex_lock(caps_lock(r->node));
	err = value ? setxattr(path, name, value, size, flags) :
		      removexattr(path, name);
	if (err)
		err = -errno;
	if (caps)
		pthread_mutex_unlock(caps_lock(r->node));
	cache_xattr_end(fs->cache, id, xepoch);
	cache_end(fs->cache, id, epoch);
	creds_leave(&cr);
	return err;
}

static void change_xattr(fuse_req_t req, fuse_ino_t ino, const char *name,
			 const char *value, size_t size, int flags)
{
	struct stackfs *fs = fuse_req_userdata(req);
	struct ref r;
	int err;

	if (is_virtual(ino, name))
		err = -EPERM;
	else if (is_foreign(name))
		err = -EOPNOTSUPP;
	else
		err = ref_get(fs, ino, &r);
	if (!err) {
		err = change_value(req, &r, name, value, size, flags);
		ref_put(fs, &r);
	}
	reply_err(req, -err);
}

void op_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name,
		 const char *value, size_t size, int flags)
{
	change_xattr(req, ino, name, value, size, flags);
}

void op_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name)
{
	change_xattr(req, ino, name, NULL, 0, 0);
}
