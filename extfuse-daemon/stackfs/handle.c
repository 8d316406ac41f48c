// SPDX-License-Identifier: GPL-2.0-only
/*
 * Open files and directories.  They are listed, because those still open when
 * the connection ends are never released by the kernel.
 */
#include "stackfs.h"

void handle_add(struct stackfs *fs, struct handle *h,
		void (*free)(struct stackfs *fs, struct handle *h))
{
	h->free = free;
	pthread_mutex_lock(&fs->handles_lock);
	h->next = fs->handles;
	h->pprev = &fs->handles;
	if (h->next)
		h->next->pprev = &h->next;
	fs->handles = h;
	pthread_mutex_unlock(&fs->handles_lock);
}

void handle_free(struct stackfs *fs, struct handle *h)
{
	pthread_mutex_lock(&fs->handles_lock);
	*h->pprev = h->next;
	if (h->next)
		h->next->pprev = h->pprev;
	pthread_mutex_unlock(&fs->handles_lock);
	h->free(fs, h);
}

void handles_free(struct stackfs *fs)
{
	while (fs->handles)
		handle_free(fs, fs->handles);
}
