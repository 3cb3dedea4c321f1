/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/prometheus.h"

#include <inttypes.h>
#include <stdarg.h>

#define NS_A_S ((uint64_t)1000000000)

void
prom_family(FILE *out, const char *name, const char *type, const char *help)
{
	fprintf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void
put_label(FILE *out, char before, const char *name, const char *value)
{
	fprintf(out, "%c%s=\"", before, name);
	for (; *value; value++)
		if (*value == '\n')
			fputs("\\n", out);
		else
			fprintf(out, *value == '"' || *value == '\\' ? "\\%c" : "%c", *value);
	fputc('"', out);
}

/* name + suffix{pairs, le}; a space is behind it. */
static void
put_series(FILE *out, const char *name, const char *suffix, va_list pairs, const char *le)
{
	const char *label;
	char before = '{';

	fprintf(out, "%s%s", name, suffix);
	for (; (label = va_arg(pairs, const char *)); before = ',')
		put_label(out, before, label, va_arg(pairs, const char *));
	if (le) {
		put_label(out, before, "le", le);
		before = ',';
	}
	fputs(before == ',' ? "} " : " ", out);
}

static void
put_seconds(FILE *out, uint64_t ns)
{
	fprintf(out, "%" PRIu64 ".%09" PRIu64 "\n", ns / NS_A_S, ns % NS_A_S);
}

void
prom_count(FILE *out, const char *name, uint64_t value, ...)
{
	va_list pairs;

	va_start(pairs, value);
	put_series(out, name, "", pairs, NULL);
	va_end(pairs);
	fprintf(out, "%" PRIu64 "\n", value);
}

void
prom_ratio(FILE *out, const char *name, double value, ...)
{
	va_list pairs;

	va_start(pairs, value);
	put_series(out, name, "", pairs, NULL);
	va_end(pairs);
	fprintf(out, "%.9g\n", value);
}

void
prom_seconds(FILE *out, const char *name, uint64_t ns, ...)
{
	va_list pairs;

	va_start(pairs, ns);
	put_series(out, name, "", pairs, NULL);
	va_end(pairs);
	put_seconds(out, ns);
}

/* A power of two is where a bucket of ours begins, so none has to be split. */
void
prom_hist(FILE *out, const char *name, const struct hist *h, int step, ...)
{
	uint64_t below = 0;
	unsigned b = 0;
	va_list pairs;
	char le[32];

	for (int k = PROM_FINEST; k <= PROM_WIDEST; k += step) {
		uint64_t ns = (uint64_t)1 << k;

		while (b < hist_bucket(ns))
			below += h->bucket[b++];
		snprintf(le, sizeof(le), "%" PRIu64 ".%09" PRIu64, ns / NS_A_S, ns % NS_A_S);
		va_start(pairs, step);
		put_series(out, name, "_bucket", pairs, le);
		va_end(pairs);
		fprintf(out, "%" PRIu64 "\n", below);
	}
	while (b < HIST_BUCKETS)
		below += h->bucket[b++];
	va_start(pairs, step);
	put_series(out, name, "_bucket", pairs, "+Inf");
	va_end(pairs);
	fprintf(out, "%" PRIu64 "\n", below);
	va_start(pairs, step);
	put_series(out, name, "_sum", pairs, NULL);
	va_end(pairs);
	put_seconds(out, h->sum);
	va_start(pairs, step);
	put_series(out, name, "_count", pairs, NULL);
	va_end(pairs);
	fprintf(out, "%" PRIu64 "\n", below);
}
