/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/bench_args.h"

#include <stdlib.h>

#include "tools/bench_table.h"
#include "tools/cmd.h"

static int
number(const char *cmd, const char *opt, const char *s, long lo, long hi, long *out)
{
	char *end;

	*out = strtol(s, &end, 10);
	if (*s && !*end && *out >= lo && *out <= hi)
		return 0;
	cmd_fail(cmd, "--%s: a number from %ld to %ld, not '%s'", opt, lo, hi, s);
	return 2;
}

int
bench_int(const char *cmd, const char *opt, const char *s, int lo, int hi, int *out)
{
	long n;
	int bad = number(cmd, opt, s, lo, hi, &n);

	*out = (int)n;
	return bad;
}

int
bench_count(const char *cmd, const char *opt, const char *s, uint32_t lo, uint32_t hi, uint32_t *out)
{
	long n;
	int bad = number(cmd, opt, s, lo, hi, &n);

	*out = (uint32_t)n;
	return bad;
}

int
bench_size(const char *cmd, const char *opt, const char *s, uint64_t lo, uint64_t hi, uint64_t *out)
{
	if (parse_size(s, out) == 0 && *out >= lo && *out <= hi)
		return 0;
	cmd_fail(cmd, "--%s: a size like 64KiB or 1GiB, from %s to %s, not '%s'", opt, format_bytes(lo), format_bytes(hi), s);
	return 2;
}

int
bench_size32(const char *cmd, const char *opt, const char *s, uint64_t lo, uint64_t hi, uint32_t *out)
{
	uint64_t bytes = 0;
	int bad = bench_size(cmd, opt, s, lo, hi, &bytes);

	*out = (uint32_t)bytes;
	return bad;
}
