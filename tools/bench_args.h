/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Numbers and sizes on the command lines of the measuring commands: 0, or the exit
 * status after a sentence on stderr.  `cmd` is the subcommand, `opt` the option's name.
 */
#ifndef TOOLS_BENCH_ARGS_H
#define TOOLS_BENCH_ARGS_H

#include "reactor/base.h"

#define BENCH_GO_ON (-1) /* of what parses a command line: no exit status */

int bench_int(const char *cmd, const char *opt, const char *s, int lo, int hi, int *out);
int bench_count(const char *cmd, const char *opt, const char *s, uint32_t lo, uint32_t hi, uint32_t *out);
int bench_size(const char *cmd, const char *opt, const char *s, uint64_t lo, uint64_t hi, uint64_t *out);
int bench_size32(const char *cmd, const char *opt, const char *s, uint64_t lo, uint64_t hi, uint32_t *out);

#endif
