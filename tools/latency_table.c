/* SPDX-License-Identifier: Apache-2.0 */
/* The table of `status --latency`. */
#include "tools/latency_table.h"

#include <stdio.h>

#include "reactor/base.h"

static double
us(const json_t *h, const char *key)
{
	return json_real_value(json_object_get(h, key));
}

static void
print_line(const char *indent, const char *name, const json_t *h)
{
	printf("%s%-*s %12lld %10.1f %10.1f %10.1f %10.1f %10.1f\n", indent, 14 - (int)strlen(indent), name,
		(long long)json_integer_value(json_object_get(h, "count")), us(h, "mean_us"), us(h, "p50_us"), us(h, "p99_us"),
		us(h, "p99_9_us"), us(h, "max_us"));
}

static void
print_head(const char *what)
{
	printf("%-14s %12s %10s %10s %10s %10s %10s\n", what, "COUNT", "MEAN us", "P50 us", "P99 us", "P99.9 us", "MAX us");
}

void
latency_print(const json_t *j)
{
	json_t *e, *stage;
	const char *name;
	size_t i;

	print_head("CALL");
	json_array_foreach(json_object_get(j, "procedures"), i, e) {
		print_line("", json_string_value(json_object_get(e, "procedure")), json_object_get(e, "total"));
		json_object_foreach(json_object_get(e, "stages"), name, stage)
			print_line("  ", name, stage);
	}
	puts("");
	print_head("PART");
	json_array_foreach(json_object_get(j, "parts"), i, e)
		print_line("", json_string_value(json_object_get(e, "part")), json_object_get(e, "total"));
	puts("\nqueue, work and reply are a call's total; send is from there until the kernel has all of it.\n"
	     "Parts are what calls, uploads and readahead wait for below.");
}
