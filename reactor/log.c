/* SPDX-License-Identifier: Apache-2.0 */
#include "reactor/log.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "reactor/base.h"
#include "reactor/reactor.h"

/* Under PIPE_BUF, so that lines of several threads never mix. */
#define LINE_MAX_BYTES 1024

static const char *const names[] = { "error", "warn", "info", "debug" };
static _Atomic int max_level = LOG_INFO;
static _Atomic unsigned dropped;
static _Atomic uint64_t counts[ARRAY_LEN(names)], left_out;

/* What a thread has said in this second. */
static __thread struct {
	time_t second;
	unsigned lines, more;
} said;

void
log_set_level(enum log_level level)
{
	atomic_store_explicit(&max_level, (int)level, memory_order_relaxed);
}

int
log_level_parse(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (strcmp(name, names[i]) == 0)
			return (int)i;
	return -EINVAL;
}

/* A pipe that nobody reads must not stop a reactor: its line is dropped, and counted. */
static void
emit(const char *line, size_t len)
{
	struct pollfd p = { .fd = STDERR_FILENO, .events = POLLOUT };

	if (poll(&p, 1, 0) == 1 && p.revents & POLLOUT &&
	    write(STDERR_FILENO, line, len) == (ssize_t)len)
		return;
	atomic_fetch_add_explicit(&dropped, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&left_out, 1, memory_order_relaxed);
}

static size_t
format(char line[LINE_MAX_BYTES], enum log_level level, const char *fmt, va_list ap)
{
	struct timespec ts;
	struct tm tm;
	size_t n;
	int core = reactor_core(), wrote;

	clock_gettime(CLOCK_REALTIME, &ts);
	gmtime_r(&ts.tv_sec, &tm);
	n = strftime(line, LINE_MAX_BYTES, "%FT%T", &tm);
	n += (size_t)snprintf(line + n, LINE_MAX_BYTES - n, ".%03ldZ %s ", ts.tv_nsec / 1000000,
	                      names[level]);
	if (core >= 0)
		n += (size_t)snprintf(line + n, LINE_MAX_BYTES - n, "core %d: ", core);
	wrote = vsnprintf(line + n, LINE_MAX_BYTES - n - 1, fmt, ap);
	if (wrote > 0)
		n = MIN(n + (size_t)wrote, (size_t)LINE_MAX_BYTES - 2);
	/* One event is one line, whatever a peer's bytes put into it. */
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)line[i] < ' ' || line[i] == 0x7f)
			line[i] = '?';
	line[n++] = '\n';
	return n;
}

/* Whoever reads a file with a hole again and again must not fill the log's disk.  Debug lines are asked for. */
static bool
is_too_much(enum log_level level)
{
	char line[80];
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	if (ts.tv_sec != said.second) {
		if (said.more > 0)
			emit(line, (size_t)snprintf(line, sizeof(line), "(%u more log lines left out: too many in a second)\n", said.more));
		said.second = ts.tv_sec;
		said.lines = said.more = 0;
	}
	if (level == LOG_DEBUG || said.lines++ < LOG_LINES_A_SECOND)
		return false;
	said.more++;
	atomic_fetch_add_explicit(&left_out, 1, memory_order_relaxed);
	return true;
}

bool
log_turn(struct log_limit *l, uint64_t every_ns, uint64_t *unsaid)
{
	uint64_t last = l->said_ns, now = reactor_now_ns();

	if ((last != 0 && now - last < every_ns) || !atomic_compare_exchange_strong(&l->said_ns, &last, now)) {
		l->unsaid++;
		return false;
	}
	*unsaid = atomic_exchange(&l->unsaid, 0);
	return true;
}

uint64_t
log_count(enum log_level level)
{
	return atomic_load_explicit(&counts[level], memory_order_relaxed);
}

uint64_t
log_left_out(void)
{
	return atomic_load_explicit(&left_out, memory_order_relaxed);
}

void
log_at(enum log_level level, const char *fmt, ...)
{
	char line[LINE_MAX_BYTES];
	unsigned lost;
	va_list ap;

	if ((int)level > atomic_load_explicit(&max_level, memory_order_relaxed) || is_too_much(level))
		return;
	atomic_fetch_add_explicit(&counts[level], 1, memory_order_relaxed);
	lost = atomic_exchange_explicit(&dropped, 0, memory_order_relaxed);
	if (lost > 0) {
		int n = snprintf(line, sizeof(line), "(%u log lines dropped: stderr was full)\n", lost);

		emit(line, (size_t)n);
	}
	va_start(ap, fmt);
	emit(line, format(line, level, fmt, ap));
	va_end(ap);
}
