/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The module's configuration, over that of the kernel it is built for.
 */
#undef CONFIG_FUSE_DAX
#undef CONFIG_VIRTIO_FS
#undef CONFIG_FUSE_IO_URING
#define CONFIG_FUSE_EXTFUSE 1

/* The kernel's own is not for modules: see extfuse_atime.c */
#define atime_needs_update extfuse_atime_needs_update
