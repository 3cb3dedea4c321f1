/* SPDX-License-Identifier: Apache-2.0 */
/* Asserts of the worlds: Criterion's, or their like where WORLD_PLAIN is defined: it does not run under the thread sanitizer. */
#ifndef TESTS_PLAIN_H
#define TESTS_PLAIN_H

#include <stdio.h>
#include <stdlib.h>

#ifndef WORLD_PLAIN
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#else
#define cr_assert(cond, ...)                                                              \
	do {                                                                              \
		if (!(cond)) {                                                            \
			fprintf(stderr, "%s:%d: failed: %s\n", __FILE__, __LINE__, #cond); \
			abort();                                                          \
		}                                                                         \
	} while (0)
#define eq(type, a, b) ((a) == (b))
#define le(type, a, b) ((a) <= (b))
#define ge(type, a, b) ((a) >= (b))

/* RocksDB is not built for the sanitizer, which then does not see how its threads take turns. */
const char *__tsan_default_suppressions(void);
const char *
__tsan_default_suppressions(void)
{
	return "called_from_lib:librocksdb.so\ncalled_from_lib:libstdc++.so\nrace:rocksdb::\n";
}
#endif

#endif
