// SPDX-License-Identifier: GPL-2.0-only
/*
 * Reaper: frees nodes that nothing leads to any more (L2, L3).
 *
 * A program that read a cache row before the row went may count a lookup of
 * its node a moment later.  So a node is examined twice with a grace period in
 * between; whoever finds the node meanwhile clears @dying and it stays.  Many
 * nodes share one grace period.
 *
 * A node's @queued stays set until it was examined for the second time: a node
 * is in one batch at most.
 */
#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "../lib/cache.h"
#include "node.h"

#define LINGER_NS (50 * 1000 * 1000)

/* A file that is not used has no descriptor after twice that. */
#define AGE_S 5

void node_queue(struct nodes *t, struct node *n)
{
	struct node *head;

	if (atomic_exchange(&n->queued, true))
		return;
	head = atomic_load(&t->queue);
	do
		n->queue_next = head;
	while (!atomic_compare_exchange_weak(&t->queue, &head, n));
	if (!head)
		sem_post(&t->wake);
}

/* It may have become idle while it was still marked as queued. */
static void node_keep(struct nodes *t, struct node *n)
{
	atomic_store(&n->queued, false);
	if (node_idle(t, n))
		node_queue(t, n);
}

static struct node *batch_mark(struct nodes *t, struct node *list)
{
	struct node *n, *next, *batch = NULL;

	for (n = list; n; n = next) {
		next = n->queue_next;
		atomic_store(&n->dying, true);
		if (!node_idle(t, n)) {
			node_keep(t, n);
			continue;
		}
		n->queue_next = batch;
		batch = n;
	}
	return batch;
}

/* True if the node is out of everybody's reach: only the slot is left. */
static bool node_unreach(struct nodes *t, struct node *n, uint64_t id)
{
	/*
	 * The counts first: who used the node after they were read has cleared
	 * @dying by then (docs/models/lifetime.pml, DYING_FIRST).
	 */
	if (!node_idle(t, n) || !atomic_load(&n->dying))
		return false;
	/* node_get() counts first and compares then: one of us sees. */
	atomic_store(&n->id, 0);
	if (atomic_load(&n->refs)) {
		atomic_store(&n->id, id);
		return false;
	}
	node_unhash(t, n);
	return true;
}

/* Without a grace period nothing of the batch may go. */
static void batch_keep(struct nodes *t, struct node *batch)
{
	struct node *n, *next;

	for (n = batch; n; n = next) {
		next = n->queue_next;
		node_keep(t, n);
	}
}

static void batch_reap(struct nodes *t, struct node *batch)
{
	struct node *n, *next;
	uint64_t id;
	bool gone;

	for (n = batch; n; n = next) {
		next = n->queue_next;
		id = atomic_load(&n->id);
		pthread_mutex_lock(&t->lock);
		gone = node_unreach(t, n, id);
		pthread_mutex_unlock(&t->lock);
		if (!gone) {
			node_keep(t, n);
			continue;
		}
		/* Unlocked: the last close of a large file takes its time. */
		node_fd_close(t, n);
		node_device_put(t, n->device);
		t->freed(t->user, n);
		cache_node_del(t->cache, id);
		atomic_store(&n->queued, false);
		pthread_mutex_lock(&t->lock);
		node_slot_free(t, n);
		pthread_mutex_unlock(&t->lock);
	}
}

/* Until there is something to reap, or time to look at descriptors. */
static void reaper_wait(struct nodes *t, struct timespec *due)
{
	struct timespec now;

	while (sem_clockwait(&t->wake, CLOCK_MONOTONIC, due) && errno == EINTR)
		;
	clock_gettime(CLOCK_MONOTONIC, &now);
	if (now.tv_sec < due->tv_sec)
		return;
	nodes_fd_age(t);
	due->tv_sec = now.tv_sec + AGE_S;
}

static void *reaper_main(void *arg)
{
	const struct timespec linger = { .tv_nsec = LINGER_NS };
	struct timespec due = { 0 };
	struct nodes *t = arg;
	struct node *batch;

	for (;;) {
		reaper_wait(t, &due);
		if (atomic_load(&t->stop))
			return NULL;
		if (!atomic_load(&t->queue))
			continue;
		nanosleep(&linger, NULL);
		batch = batch_mark(t, atomic_exchange(&t->queue, NULL));
		if (!batch)
			continue;
		if (cache_grace(t->cache))
			batch_keep(t, batch);
		else
			batch_reap(t, batch);
	}
}

int nodes_reaper_start(struct nodes *t)
{
	int err = pthread_create(&t->reaper, NULL, reaper_main, t);

	t->reaping = !err;
	return -err;
}

void nodes_reaper_stop(struct nodes *t)
{
	if (!t->reaping)
		return;
	atomic_store(&t->stop, true);
	sem_post(&t->wake);
	pthread_join(t->reaper, NULL);
}
