/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One line per event on stderr: time, level, core, message.  Any thread.
 * Log once, where the error is handled; never payload, never secrets.
 */
#ifndef REACTOR_LOG_H
#define REACTOR_LOG_H

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

/* Of a thread; more are counted, and the next line says how many.  Debug lines do not count. */
#define LOG_LINES_A_SECOND 50

/* Messages above the level are dropped; default LOG_INFO. */
void log_set_level(enum log_level level);
/* Returns the level by its name (error, warn, info, debug), or -EINVAL. */
int  log_level_parse(const char *name);
void log_at(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...) log_at(LOG_ERROR, __VA_ARGS__)
#define log_warn(...)  log_at(LOG_WARN, __VA_ARGS__)
#define log_info(...)  log_at(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_at(LOG_DEBUG, __VA_ARGS__)

#endif
