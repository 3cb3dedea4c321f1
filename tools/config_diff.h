/* SPDX-License-Identifier: Apache-2.0 */
/* Two configs against each other, key by key. */
#ifndef TOOLS_CONFIG_DIFF_H
#define TOOLS_CONFIG_DIFF_H

#include <stdbool.h>

/*
 * Both as config_show_json prints them.  fn for every key that differs: "compaction.rate", "shares./export.read_only"; the values
 * as JSON, "" where there is none (a share that came or went: "shares./export").
 */
void config_diff(const char *old, const char *new, void (*fn)(void *arg, const char *key, const char *was, const char *is), void *arg);
/* SIGHUP has a running server take it (reload.h); all else is from the next start on. */
bool config_is_live(const char *key);

#endif
