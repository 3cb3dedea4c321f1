/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The subcommands: one file each (cmd_<name>.c), one line each in main.c's
 * table.  argv[0] is the subcommand's name.  Exit status: 0, 1 it failed (a
 * sentence on stderr says why), 2 it was called wrongly.
 */
#ifndef TOOLS_CMD_H
#define TOOLS_CMD_H

#include <getopt.h>
#include <stddef.h>

#include "tools/config.h"

int cmd_backup(int argc, char **argv);
int cmd_bench(int argc, char **argv);
int cmd_compact(int argc, char **argv);
int cmd_config(int argc, char **argv);
int cmd_flush(int argc, char **argv);
int cmd_format(int argc, char **argv);
int cmd_fsck(int argc, char **argv);
int cmd_gc(int argc, char **argv);
int cmd_info(int argc, char **argv);
int cmd_key(int argc, char **argv);
int cmd_objbench(int argc, char **argv);
int cmd_restore(int argc, char **argv);
int cmd_serve(int argc, char **argv);
int cmd_stats(int argc, char **argv);
int cmd_status(int argc, char **argv);
int cmd_trash(int argc, char **argv);
int cmd_version(int argc, char **argv);
int cmd_warmup(int argc, char **argv);

/* The help text of a subcommand, on stdout (asked for: 0) or stderr (called wrongly: 2). */
int cmd_usage(const char *name, bool asked);

/*
 * For those with no options but --json and --config: DIR (or --config FILE), and then so many `words`, or from `least` to
 * `most` of them.  False: it is over, with a->status.
 */
struct cmd_args {
	struct config *config;
	bool json;
	char **words;
	int nwords, status;
};
bool cmd_take(int argc, char **argv, int words, struct cmd_args *a);
bool cmd_take_some(int argc, char **argv, int least, int most, struct cmd_args *a);

/* Says a sentence on stderr as `dittofs NAME: ...`; returns 1. */
int cmd_fail(const char *name, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* The config by --config FILE, or DIR's own; tells on stderr what is wrong: 1. */
int cmd_config_of(const char *name, const char *file, const char *dir, struct config *c);

#endif
