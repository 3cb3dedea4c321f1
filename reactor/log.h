/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One line per event on stderr: time, level, core, message.  Any thread.
 * Log once, where the error is handled; never payload, never secrets.
 */
#ifndef REACTOR_LOG_H
#define REACTOR_LOG_H

#include "reactor/base.h"

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

/* Of a thread; more are counted, and the next line says how many.  Debug lines do not count. */
#define LOG_LINES_A_SECOND 50

/* Messages above the level are dropped; default LOG_INFO. */
void log_set_level(enum log_level level);
/* Returns the level by its name (error, warn, info, debug), or -EINVAL. */
int  log_level_parse(const char *name);
/* For what may come a thousand times a second; zeroes at first.  All threads share one. */
struct log_limit {
	_Atomic uint64_t said_ns, unsaid;
};
/* True: say it now, and that *unsaid like it were not.  At most once in every_ns; lines that are due at once are one. */
bool log_turn(struct log_limit *l, uint64_t every_ns, uint64_t *unsaid);
void log_at(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Lines said of a level; of all levels what was left out, or dropped because nobody read stderr. */
uint64_t log_count(enum log_level level);
uint64_t log_left_out(void);

#define log_error(...) log_at(LOG_ERROR, __VA_ARGS__)
#define log_warn(...)  log_at(LOG_WARN, __VA_ARGS__)
#define log_info(...)  log_at(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_at(LOG_DEBUG, __VA_ARGS__)

#endif
