// SPDX-License-Identifier: GPL-2.0-only
/*
 * mount.extfuse: mount StackFS, and be its daemon.
 *
 * The parent returns when the mount is live; the child is the daemon.
 */
#include <errno.h>
#include <grp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "stackfs.h"

#define OOM_SCORE_ADJ -900	/* killed after all others but the system's own */

/* Waits for the daemon's exit code, or for its end. */
static int wait_live(pid_t pid, int fd)
{
	unsigned char code;
	int status = 0;
	ssize_t n;

	do
		n = read(fd, &code, 1);
	while (n < 0 && errno == EINTR);
	if (n == 1)
		return code;
	waitpid(pid, &status, 0);
	log_err("the daemon died before the mount was live (%s %d)",
		WIFSIGNALED(status) ? "signal" : "exit code",
		WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
	return EXIT_BUG;
}

static void report(int fd, int code)
{
	unsigned char byte = code;

	if (fd < 0)
		return;
	/* Without a reader the parent was killed: the daemon goes on. */
	if (write(fd, &byte, 1) < 0)
		log_warn("nobody waits for the mount");
	close(fd);
}

static void detach(void)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	/* Not sooner: systemd lets a process group pass its automount. */
	setsid();
	log_to_syslog();
	if (null < 0)
		return;
	dup2(null, STDIN_FILENO);
	dup2(null, STDOUT_FILENO);
	dup2(null, STDERR_FILENO);
	if (null > STDERR_FILENO)
		close(null);
}

/*
 * Whoever mounts, the daemon works for all.  What a process may write, the
 * kernel sees to before it asks us.
 */
static void limits_lift(void)
{
	static const int limits[] = {
		RLIMIT_FSIZE, RLIMIT_CPU, RLIMIT_AS, RLIMIT_DATA,
	};
	const struct rlimit none = { RLIM_INFINITY, RLIM_INFINITY };
	struct rlimit rl;
	size_t i;

	for (i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
		if (!setrlimit(limits[i], &none))
			continue;
		/* Without CAP_SYS_RESOURCE: as far as it goes. */
		getrlimit(limits[i], &rl);
		rl.rlim_cur = rl.rlim_max;
		setrlimit(limits[i], &rl);
		log_warn("resource limit %d stays at %llu", limits[i],
			 (unsigned long long)rl.rlim_max);
	}
}

/*
 * Memory that the kernel gets back by writing to us we must not wait for ourselves; and
 * when there is none left, killing us would take away the files of all others.  Where
 * that is forbidden (CAP_SYS_RESOURCE), it stays as it was.
 */
static void memory_init(void)
{
	int adj = 0;
	FILE *f = fopen("/proc/self/oom_score_adj", "r+e");

	if (f && fscanf(f, "%d", &adj) == 1 && adj > OOM_SCORE_ADJ) {
		rewind(f);
		fprintf(f, "%d", OOM_SCORE_ADJ);
	}
	if (f)
		fclose(f);
	prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0);
}

static int start(struct stackfs *fs)
{
	int err;

	/* C7: the caller's groups count, not root's. */
	if (setgroups(0, NULL)) {
		log_err("cannot give up groups: %s", strerror(errno));
		return EXIT_SYSTEM;
	}
	err = nodes_init(&fs->nodes, fs->root_fd, fs->watch.fan_fd >= 0,
			 backing_freed, fs);
	if (err) {
		log_err("%s: %s", fs->opts.lower, strerror(-err));
		return EXIT_SYSTEM;
	}
	/* The limit of descriptors is raised by now. */
	if (creds_init()) {
		log_err("cannot give up capabilities: %s", strerror(errno));
		return EXIT_SYSTEM;
	}
	err = extfuse_start(fs);
	if (!err)
		err = session_open(fs);
	if (!err)
		err = session_mount(fs);
	if (!err)
		err = session_init(fs);
	if (err)
		return err;
	if (signals_pending())
		return EXIT_INTR;
	if (fs->watch.fan_fd >= 0)
		err = watch_guard(fs);
	if (err)
		return err;
	if (nodes_reaper_start(&fs->nodes) || signals_start(fs) || locks_start(fs) ||
	    (fs->watch.fan_fd >= 0 && watch_start(fs))) {
		log_err("cannot start threads");
		return EXIT_SYSTEM;
	}
	return 0;
}

/* The connection ends before what answers on it. */
static void finish(struct stackfs *fs)
{
	session_unmount(fs);
	watch_stop(fs);
	locks_stop(fs);
	handles_free(fs);
	pipes_free(fs);
	nodes_reaper_stop(&fs->nodes);
	if (fs->se)
		fuse_session_destroy(fs->se);
	extfuse_stop(fs);
	nodes_fini(&fs->nodes);
	free(fs->covered_name);
}

static int serve(struct stackfs *fs, int live_fd)
{
	int err = start(fs);

	/* Before the parent returns: the terminal may be closed at once. */
	if (!err && !fs->opts.foreground)
		detach();
	report(live_fd, err);
	if (!err) {
		err = session_run(fs);
		signals_stop();
	}
	finish(fs);
	return err;
}

static int daemonize(struct stackfs *fs)
{
	int live[2];
	pid_t pid;

	if (pipe2(live, O_CLOEXEC))
		goto fail;
	pid = fork();
	if (pid < 0)
		goto fail;
	if (pid) {
		close(live[1]);
		return wait_live(pid, live[0]);
	}
	close(live[0]);
	if (chdir("/"))
		return EXIT_SYSTEM;
	return serve(fs, live[1]);
fail:
	log_err("cannot start the daemon: %s", strerror(errno));
	return EXIT_SYSTEM;
}

static int mount_extfuse(struct stackfs *fs)
{
	int err;

	if (fs->opts.ms_flags & MS_REMOUNT)
		return check_remount(fs);
	err = check_mount(fs);
	if (err || fs->opts.fake)
		return err;
	limits_lift();
	memory_init();
	signals_block();
	/* elsewhere it means to read one's configuration, of which there is none */
	signal(SIGHUP, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
	return fs->opts.foreground ? serve(fs, -1) : daemonize(fs);
}

/* Descriptors 0 to 2 are open, and nobody else's are kept. */
static void descriptors_init(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= STDERR_FILENO);
	close_range(STDERR_FILENO + 1, ~0U, 0);
}

int main(int argc, char **argv)
{
	/* Half a megabyte of chunk pointers, most of them never touched. */
	static struct stackfs fs = {
		.root_fd = -1,
		.dev_fd = -1,
		.object_fd = -1,
		.covered_fd = -1,
		.watch.fan_fd = -1,
		.handles_lock = PTHREAD_MUTEX_INITIALIZER,
	};
	int err;

	descriptors_init();
	log_init(false);
	err = opts_parse(argc, argv, &fs.opts);
	if (!err) {
		log_init(fs.opts.debug);
		if (fs.opts.help)
			opts_usage(stdout);
		else if (fs.opts.version)
			printf("mount.extfuse %s (ABI %d)\n", EXTFUSE_VERSION,
			       EXTFUSE_ABI);
		else
			err = mount_extfuse(&fs);
	}
	opts_free(&fs.opts);
	return err;
}
