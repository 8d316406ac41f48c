// SPDX-License-Identifier: GPL-2.0-only
/*
 * SIGINT, SIGTERM: unmount, while the daemon still serves, because
 * unmounting may have to write data back.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <time.h>

#include "stackfs.h"

/* Wakes the thread of signals_start(), and libfuse's main loop. */
#define SIG_WAKE SIGUSR1

static pthread_t waiter, main_thread;
static atomic_bool over;

static void on_wake(int sig)
{
	(void)sig;
}

static void end_signals(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGINT);
	sigaddset(set, SIGTERM);
}

void signals_block(void)
{
	sigset_t set;

	end_signals(&set);
	sigprocmask(SIG_BLOCK, &set, NULL);
}

bool signals_pending(void)
{
	const struct timespec now = { 0 };
	sigset_t set;

	end_signals(&set);
	return sigtimedwait(&set, NULL, &now) > 0;
}

/* libfuse looks at its exit flag when a signal has woken it: until it does. */
static void end_loop(struct stackfs *fs)
{
	const struct timespec pause = { .tv_nsec = 20 * 1000 * 1000 };

	fuse_session_exit(fs->se);
	while (!atomic_load(&over)) {
		pthread_kill(main_thread, SIG_WAKE);
		nanosleep(&pause, NULL);
	}
}

static void *waiter_main(void *arg)
{
	struct stackfs *fs = arg;
	int sig = 0, err = -ENOENT;
	sigset_t set;

	end_signals(&set);
	sigaddset(&set, SIG_WAKE);
	while (err == -ENOENT && !sigwait(&set, &sig) && sig != SIG_WAKE) {
		err = session_unmount(fs);
		if (err == -ENOENT)
			log_warn("%s: not unmounted: the mount is covered or elsewhere",
				 fs->opts.mountpoint);
	}
	/* The last unmount ends the loop, unless files are open. */
	if (err == -EBUSY)
		end_loop(fs);
	return NULL;
}

int signals_start(struct stackfs *fs)
{
	struct sigaction sa = { .sa_handler = on_wake };
	sigset_t wake;
	int err;

	sigemptyset(&wake);
	sigaddset(&wake, SIG_WAKE);
	sigaction(SIG_WAKE, &sa, NULL);
	main_thread = pthread_self();
	pthread_sigmask(SIG_BLOCK, &wake, NULL);
	err = pthread_create(&waiter, NULL, waiter_main, fs);
	pthread_sigmask(SIG_UNBLOCK, &wake, NULL);
	return -err;
}

void signals_stop(void)
{
	atomic_store(&over, true);
	pthread_kill(waiter, SIG_WAKE);
	pthread_join(waiter, NULL);
}
