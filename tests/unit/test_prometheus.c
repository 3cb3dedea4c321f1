/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdlib.h>

#include "tools/prometheus.h"

static char *text;
static size_t text_len;
static FILE *out;

static void
setup(void)
{
	out = open_memstream(&text, &text_len);
}

static void
teardown(void)
{
	fclose(out);
	free(text);
}

TestSuite(prometheus, .init = setup, .fini = teardown);

static void
wrote(const char *want)
{
	fflush(out);
	cr_assert(eq(str, text, (char *)want));
}

Test(prometheus, samples)
{
	prom_gauge(out, "a", "One.", UINT64_MAX);
	prom_family(out, "b_total", "counter", "Two.");
	prom_seconds(out, "b_total", 1000000001, "x", "y", NULL);
	prom_ratio(out, "b_total", 0.25, "x", "z", "u", "v", NULL);
	wrote("# HELP a One.\n# TYPE a gauge\na 18446744073709551615\n"
	      "# HELP b_total Two.\n# TYPE b_total counter\nb_total{x=\"y\"} 1.000000001\nb_total{x=\"z\",u=\"v\"} 0.25\n");
}

Test(prometheus, labels_are_escaped)
{
	prom_count(out, "a", 1, "x", "back\\slash \"quote\" new\nline \xc3\xa4", NULL);
	wrote("a{x=\"back\\\\slash \\\"quote\\\" new\\nline \xc3\xa4\"} 1\n");
}

/* What is exactly at a bound is the next bucket's, as hist.h has it; below the first and beyond the last nothing is lost. */
Test(prometheus, buckets_are_cumulative)
{
	static struct hist h;
	const uint64_t first = (uint64_t)1 << PROM_FINEST, last = (uint64_t)1 << PROM_WIDEST;
	char *line;

	hist_record(&h, 0);
	hist_record(&h, first - 1);
	hist_record(&h, first);
	hist_record(&h, last - 1);
	hist_record(&h, last);
	hist_record(&h, UINT64_MAX >> 2);
	prom_hist(out, "t", &h, 2, "part", "p", NULL);
	fflush(out);
	cr_assert(ne(ptr, strstr(text, "t_bucket{part=\"p\",le=\"0.000004096\"} 2\n"), NULL), "%s", text);
	cr_assert(ne(ptr, strstr(text, "t_bucket{part=\"p\",le=\"0.000016384\"} 3\n"), NULL), "%s", text);
	cr_assert(ne(ptr, strstr(text, "t_bucket{part=\"p\",le=\"17.179869184\"} 4\n"), NULL), "%s", text);
	line = strstr(text, "t_bucket{part=\"p\",le=\"+Inf\"} 6\n");
	cr_assert(ne(ptr, line, NULL), "%s", text);
	cr_assert(ne(ptr, strstr(line, "t_sum{part=\"p\"} 4611686052.787134461\n"), NULL), "%s", line);
	cr_assert(ne(ptr, strstr(line, "t_count{part=\"p\"} 6\n"), NULL), "%s", line);
}
