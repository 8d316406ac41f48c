// SPDX-License-Identifier: GPL-2.0-only
#include "tinyfs.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef FOPEN_PASSTHROUGH
#define FOPEN_PASSTHROUGH	(1 << 7)
#endif
/* struct fuse_init_out.max_stack_depth, struct fuse_open_out.backing_id */
#define INIT_STACK_DEPTH_OFFSET	36
#define OPEN_BACKING_OFFSET	12

#ifndef FUSE_DEV_IOC_BACKING_OPEN
struct fuse_backing_map {
	__s32	fd;
	__u32	flags;
	__u64	padding;
};
#define FUSE_DEV_IOC_BACKING_OPEN	_IOW(229, 1, struct fuse_backing_map)
#endif

/* FUSE_STATX of 6.6 */
#define OP_STATX 52
#define FILE_SIZE 65536
/* A nodeid is a kind and a number. */
#define KIND(nodeid)	((nodeid) >> 8)
#define NUMBER(nodeid)	((nodeid) & 0xff)

enum kind { ROOT = 0, DIRECTORY, REGULAR, LINK };

/* struct fuse_statx_out, which <linux/fuse.h> of 6.1 lacks */
struct statx_out {
	uint64_t attr_valid;
	uint32_t attr_valid_nsec;
	uint32_t flags;
	uint64_t spare[2];
	uint32_t mask;
	uint32_t blksize;
	uint64_t attributes;
	uint32_t nlink;
	uint32_t uid;
	uint32_t gid;
	uint16_t mode;
	uint16_t spare0;
	uint64_t rest[28];
};
_Static_assert(sizeof(struct statx_out) == 288, "struct fuse_statx_out");

uint64_t tinyfs_nodeid(const char *name)
{
	unsigned int n;

	n = atoi(name + 1) & 0x7f;
	switch (name[0]) {
	case 'd':
		return DIRECTORY << 8 | n;
	case 'f':
		return REGULAR << 8 | n;
	case 'l':
		return LINK << 8 | n;
	default:
		return 0;
	}
}

bool tinyfs_attr(uint64_t nodeid, struct fuse_attr *attr)
{
	static const uint32_t modes[] = {
		[ROOT] = S_IFDIR | 0755, [DIRECTORY] = S_IFDIR | 0755,
		[REGULAR] = S_IFREG | 0644, [LINK] = S_IFLNK | 0777,
	};

	if (KIND(nodeid) > LINK)
		return false;
	memset(attr, 0, sizeof(*attr));
	attr->ino = nodeid;
	attr->mode = modes[KIND(nodeid)];
	attr->nlink = 2;
	attr->size = KIND(nodeid) == REGULAR ? FILE_SIZE : 4096;
	attr->blocks = attr->size / 512;
	attr->blksize = 4096;
	return true;
}

/* No timeouts: everything is asked for again and again. */
static bool entry(uint64_t nodeid, struct fuse_entry_out *out)
{
	memset(out, 0, sizeof(*out));
	out->nodeid = nodeid;
	return nodeid && tinyfs_attr(nodeid, &out->attr);
}

void tinyfs_init(struct server *s, struct fuse_init_out *out)
{
	uint32_t depth = 1;

	(void)s;
	out->minor = 40;
	out->max_readahead = 65536;
	out->max_background = 16;
	out->congestion_threshold = 12;
	memcpy((char *)out + INIT_STACK_DEPTH_OFFSET, &depth, sizeof(depth));
}

static int backing_id(struct server *s)
{
	struct fuse_backing_map map = {};
	int id = __atomic_load_n(&s->backing_id, __ATOMIC_SEQ_CST);

	if (id)
		return id;
	map.fd = memfd_create("tinyfs", 0);
	if (map.fd < 0 || ftruncate(map.fd, FILE_SIZE) < 0)
		return -1;
	id = ioctl(s->fd, FUSE_DEV_IOC_BACKING_OPEN, &map);
	close(map.fd);
	/* another thread was faster: both ids are good, but not for one file */
	if (id > 0 && !__sync_bool_compare_and_swap(&s->backing_id, 0, id))
		id = s->backing_id;
	return id;
}

static void open_out(struct server *s, uint64_t nodeid, struct fuse_open_out *o)
{
	int32_t id;

	memset(o, 0, sizeof(*o));
	o->fh = nodeid;
	if (KIND(nodeid) != REGULAR)
		return;
	if (NUMBER(nodeid) & 1) {
		id = backing_id(s);
		o->open_flags = id > 0 ? FOPEN_PASSTHROUGH : 0;
		memcpy((char *)o + OPEN_BACKING_OFFSET, &id, sizeof(id));
	} else if (NUMBER(nodeid) & 2) {
		o->open_flags = FOPEN_DIRECT_IO;
	}
}

static const char *const names[] = { "d0", "d1", "f0", "f1", "f2", "l0" };

static size_t readdir(uint64_t dir, uint64_t offset, bool plus, char *buf,
		      size_t size)
{
	size_t i, n = 0;

	for (i = offset; i < sizeof(names) / sizeof(names[0]); i++) {
		uint64_t nodeid = tinyfs_nodeid(names[i]);
		struct fuse_direntplus e = {};
		size_t len = plus ? offsetof(struct fuse_direntplus, dirent.name) :
				    offsetof(struct fuse_dirent, name);

		if ((KIND(nodeid) == DIRECTORY) != (dir == FUSE_ROOT_ID))
			continue;
		entry(nodeid, &e.entry_out);
		e.dirent.ino = nodeid;
		e.dirent.off = i + 1;
		e.dirent.namelen = 2;
		e.dirent.type = e.entry_out.attr.mode >> 12;
		if (n + len + 8 > size)
			break;
		memset(buf + n, 0, len + 8);
		memcpy(buf + n, plus ? (void *)&e : (void *)&e.dirent, len);
		memcpy(buf + n + len, names[i], 2);
		n += len + 8;
	}
	return n;
}

static int32_t answer_entry(struct server *s, const struct fuse_in_header *in,
			    uint64_t nodeid, bool opened, size_t *size,
			    void *buf)
{
	struct {
		struct fuse_entry_out e;
		struct fuse_open_out o;
	} out;

	if (!entry(nodeid, &out.e) ||
	    (in->opcode == FUSE_LOOKUP &&
	     (KIND(nodeid) == DIRECTORY) != (in->nodeid == FUSE_ROOT_ID)))
		return -ENOENT;
	open_out(s, nodeid, &out.o);
	*size = opened ? sizeof(out) : sizeof(out.e);
	memcpy(buf, &out, *size);
	return 0;
}

static int32_t answer_value(const void *arg, const char *value, size_t len,
			    size_t *size, void *buf)
{
	const struct fuse_getxattr_in *in = arg;
	struct fuse_getxattr_out out = { .size = len };

	if (!in->size) {
		*size = sizeof(out);
		memcpy(buf, &out, sizeof(out));
		return 0;
	}
	if (in->size < len)
		return -ERANGE;
	*size = len;
	memcpy(buf, value, len);
	return 0;
}

static int32_t answer_attr(const struct fuse_in_header *in, size_t *size,
			   void *buf)
{
	struct fuse_attr_out out = {};
	struct statx_out sx = { .mask = 0xfff, .nlink = 2 };

	if (!tinyfs_attr(in->nodeid, &out.attr))
		return -ESTALE;
	sx.mode = out.attr.mode;
	*size = in->opcode == OP_STATX ? sizeof(sx) : sizeof(out);
	memcpy(buf, in->opcode == OP_STATX ? (void *)&sx : (void *)&out,
	       *size);
	return 0;
}

/* The replies that are nothing but a structure of this size, all zeros */
static size_t zeros(uint32_t opcode)
{
	switch (opcode) {
	case FUSE_STATFS:
		return sizeof(struct fuse_statfs_out);
	case FUSE_GETLK:
		return sizeof(struct fuse_lk_out);
	case FUSE_BMAP:
		return sizeof(struct fuse_bmap_out);
	case FUSE_IOCTL:
		return sizeof(struct fuse_ioctl_out);
	case FUSE_POLL:
		return sizeof(struct fuse_poll_out);
	case FUSE_LSEEK:
		return sizeof(struct fuse_lseek_out);
	default:
		return 0;
	}
}

static int32_t answer_io(const struct fuse_in_header *in, const void *arg,
			 size_t *size, char *buf, size_t max)
{
	const struct fuse_read_in *rd = arg;
	struct fuse_write_out out = {};

	switch (in->opcode) {
	case FUSE_READ:
		*size = rd->offset >= FILE_SIZE ? 0 :
			rd->size < max ? rd->size : max;
		return 0;
	case FUSE_READDIR:
	case FUSE_READDIRPLUS:
		*size = readdir(in->nodeid, rd->offset,
				in->opcode == FUSE_READDIRPLUS, buf,
				rd->size < max ? rd->size : max);
		return 0;
	case FUSE_COPY_FILE_RANGE:
		out.size = 4096;
		break;
	default:
		out.size = ((const struct fuse_write_in *)arg)->size;
	}
	*size = sizeof(out);
	memcpy(buf, &out, sizeof(out));
	return 0;
}

void tinyfs_answer(struct server *s, const struct fuse_in_header *in)
{
	static __thread char buf[1 << 17];
	const void *arg = in + 1;
	int32_t error = 0;
	struct fuse_open_out open;
	size_t size = 0;

	switch (in->opcode) {
	case FUSE_LOOKUP:
		error = answer_entry(s, in, tinyfs_nodeid(arg), false, &size,
				     buf);
		break;
	case FUSE_MKDIR:
		error = answer_entry(s, in, DIRECTORY << 8 | 0x80, false, &size,
				     buf);
		break;
	case FUSE_MKNOD:
	case FUSE_LINK:
		error = answer_entry(s, in, REGULAR << 8 | 0x80, false, &size,
				     buf);
		break;
	case FUSE_SYMLINK:
		error = answer_entry(s, in, LINK << 8 | 0x80, false, &size, buf);
		break;
	case FUSE_CREATE:
	case FUSE_TMPFILE:
		error = answer_entry(s, in, REGULAR << 8 | 0x81, true, &size,
				     buf);
		break;
	case FUSE_GETATTR:
	case FUSE_SETATTR:
	case OP_STATX:
		error = answer_attr(in, &size, buf);
		break;
	case FUSE_OPEN:
	case FUSE_OPENDIR:
		open_out(s, in->nodeid, &open);
		size = sizeof(open);
		memcpy(buf, &open, size);
		break;
	case FUSE_READLINK:
		size = 2;
		memcpy(buf, "f0", size);
		break;
	case FUSE_GETXATTR:
		error = answer_value(arg, "a value", 7, &size, buf);
		break;
	case FUSE_LISTXATTR:
		error = answer_value(arg, "user.a", 7, &size, buf);
		break;
	case FUSE_READ:
	case FUSE_WRITE:
	case FUSE_READDIR:
	case FUSE_READDIRPLUS:
	case FUSE_COPY_FILE_RANGE:
		error = answer_io(in, arg, &size, buf, sizeof(buf));
		break;
	default:
		size = zeros(in->opcode);
		memset(buf, 0, size);
	}
	server_reply(s->fd, in->unique, error, buf, size);
}
