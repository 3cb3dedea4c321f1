/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs the daemon under test as a child process: start, wait until it serves,
 * kill, stop.  Its stderr is appended to a log file.  The child dies with its
 * parent.  One thread; blocking, with deadlines.
 */
#ifndef TESTS_CLIENT_SERVER_H
#define TESTS_CLIENT_SERVER_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct server {
	/* the caller's */
	const char *binary, *dir, *log;
	int cores;              /* 0: the server's default */
	const char *const *env; /* "NAME=value", NULL-terminated, on top of ours; may be NULL */
	const char *const *args; /* more arguments for serve, NULL-terminated; may be NULL */
	int start_timeout_ms;

	/* set by server_start */
	struct sockaddr_in addr;
	pid_t pid;              /* 0: not running */
	int status;             /* waitpid's, of the last run */
	uint64_t start_ns;      /* how long the last start took */
};

/* A TCP port of 127.0.0.1 that is free now. */
uint16_t server_free_port(void);
/* Runs `binary ARGS...` to its end, output to the log; its wait status or -errno. */
int server_command(const struct server *s, const char *const *argv);
/*
 * Starts `binary serve dir --listen 127.0.0.1:PORT [--cores N]`, with the port
 * that addr has (0: a free one, which stays for later starts), and waits for its
 * line "serving".  0; -ETIMEDOUT (it still runs); -ECHILD (it ended: see status).
 */
int server_start(struct server *s);
/* Has it ended?  Then pid is 0 and status is set. */
bool server_ended(struct server *s);
/* SIGKILL, and waits for the end. */
void server_kill(struct server *s);
/* SIGTERM, waits up to timeout_ms, then SIGKILL: 0, or -ETIMEDOUT when it had to. */
int server_stop(struct server *s, int timeout_ms);
/* A field of /proc/PID/status in KiB ("VmHWM"), 0 when it is not there. */
uint64_t server_memory_kib(const struct server *s, const char *field);

#endif
