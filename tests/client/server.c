/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/client/server.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/client/rpc.h"

static void
sleep_ms(int ms)
{
	struct timespec ts = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L };

	nanosleep(&ts, NULL);
}

uint16_t
server_free_port(void)
{
	struct sockaddr_in sin = { .sin_family = AF_INET,
		                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(sin);
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	uint16_t port = 0;

	if (bind(fd, (struct sockaddr *)&sin, sizeof(sin)) == 0 &&
	    getsockname(fd, (struct sockaddr *)&sin, &len) == 0)
		port = ntohs(sin.sin_port);
	close(fd);
	return port;
}

/* In the child; does not return. */
static void
child_run(const struct server *s, const char *const *argv, pid_t parent)
{
	int log = open(s->log, O_WRONLY | O_CREAT | O_APPEND, 0644);
	int null = open("/dev/null", O_RDWR);

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(126); /* the parent was gone before we asked */
	dup2(null, 0);
	dup2(log, 1);
	dup2(log, 2);
	signal(SIGPIPE, SIG_DFL);
	for (int i = 0; s->env && s->env[i]; i++)
		putenv((char *)(uintptr_t)s->env[i]);
	execv(argv[0], (char *const *)(uintptr_t)argv);
	dprintf(2, "%s: %s\n", argv[0], strerror(errno));
	_exit(127);
}

static pid_t
spawn(const struct server *s, const char *const *argv)
{
	pid_t parent = getpid(), pid;

	fflush(NULL);
	pid = fork();
	if (pid == 0)
		child_run(s, argv, parent);
	return pid;
}

int
server_command(const struct server *s, const char *const *argv)
{
	pid_t pid = spawn(s, argv);
	int status;

	if (pid < 0 || waitpid(pid, &status, 0) < 0)
		return -errno;
	return status;
}

/* Is the line in what the log has got since off? */
static bool
log_says(const char *path, off_t off, const char *word)
{
	char buf[8192];
	int fd = open(path, O_RDONLY);
	ssize_t n;
	bool found = false;

	if (fd < 0)
		return false;
	/* pieces overlap, so that a word across two reads is found too */
	while (!found && (n = pread(fd, buf, sizeof(buf) - 1, off)) > 0) {
		buf[n] = 0;
		for (char *p = buf; (p = memchr(p, word[0], (size_t)(buf + n - p))) && !found; p++)
			found = strncmp(p, word, strlen(word)) == 0;
		if ((size_t)n < sizeof(buf) - 1)
			break;
		off += n - (ssize_t)strlen(word);
	}
	close(fd);
	return found;
}

static int
wait_ready(struct server *s, off_t log_off)
{
	uint64_t start = rpc_now_ns();

	for (;;) {
		s->start_ns = rpc_now_ns() - start;
		if (log_says(s->log, log_off, "serving "))
			return 0;
		if (server_ended(s))
			return -ECHILD;
		if (s->start_ns > (uint64_t)s->start_timeout_ms * 1000000u)
			return -ETIMEDOUT;
		sleep_ms(2);
	}
}

int
server_start(struct server *s)
{
	const char *argv[32];
	char listen[32], cores[16];
	struct stat st;
	int n = 0;

	if (!s->addr.sin_port) {
		s->addr = (struct sockaddr_in){ .sin_family = AF_INET,
			                        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
			                        .sin_port = htons(server_free_port()) };
	}
	snprintf(listen, sizeof(listen), "127.0.0.1:%u", ntohs(s->addr.sin_port));
	snprintf(cores, sizeof(cores), "%d", s->cores);
	argv[n++] = s->binary;
	argv[n++] = "serve";
	argv[n++] = s->dir;
	argv[n++] = "--listen";
	argv[n++] = listen;
	if (s->cores) {
		argv[n++] = "--cores";
		argv[n++] = cores;
	}
	for (int i = 0; s->args && s->args[i] && n < 31; i++)
		argv[n++] = s->args[i];
	argv[n] = NULL;
	if (stat(s->log, &st) < 0)
		st.st_size = 0;
	s->pid = spawn(s, argv);
	if (s->pid < 0) {
		s->pid = 0;
		return -errno;
	}
	return wait_ready(s, st.st_size);
}

bool
server_ended(struct server *s)
{
	if (s->pid && waitpid(s->pid, &s->status, WNOHANG) == s->pid)
		s->pid = 0;
	return s->pid == 0;
}

void
server_kill(struct server *s)
{
	if (!s->pid)
		return;
	kill(s->pid, SIGKILL);
	waitpid(s->pid, &s->status, 0);
	s->pid = 0;
}

int
server_stop(struct server *s, int timeout_ms)
{
	if (!s->pid)
		return 0;
	kill(s->pid, SIGTERM);
	for (int i = 0; i < timeout_ms; i += 2) {
		if (server_ended(s))
			return 0;
		sleep_ms(2);
	}
	server_kill(s);
	return -ETIMEDOUT;
}

uint64_t
server_memory_kib(const struct server *s, const char *field)
{
	char path[64], line[256];
	unsigned long kib = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)s->pid);
	f = fopen(path, "r");
	if (!f)
		return 0;
	while (fgets(line, sizeof(line), f))
		if (strncmp(line, field, strlen(field)) == 0 && line[strlen(field)] == ':')
			kib = strtoul(line + strlen(field) + 1, NULL, 10);
	fclose(f);
	return kib;
}
