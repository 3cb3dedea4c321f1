/* SPDX-License-Identifier: Apache-2.0 */
#include "store/objcount.h"

#include <errno.h>
#include <stdatomic.h>

/* A request takes a thousand times as long as its atomics: no need for a copy for each core. */
static struct {
	_Atomic uint64_t requests, bytes, errors, retries;
} count[OBJ_CLASSES];

static void
add(_Atomic uint64_t *n, uint64_t more)
{
	atomic_fetch_add_explicit(n, more, memory_order_relaxed);
}

static uint64_t
get(_Atomic uint64_t *n)
{
	return atomic_load_explicit(n, memory_order_relaxed);
}

void
objcount_add(enum objclass class, uint64_t bytes, int err)
{
	add(&count[class].requests, 1);
	add(&count[class].bytes, bytes);
	if (err < 0 && err != -ENOENT && err != -EEXIST)
		add(&count[class].errors, 1);
}

void
objcount_retry(enum objclass class)
{
	add(&count[class].retries, 1);
}

struct objcount
objcount_get(enum objclass class)
{
	return (struct objcount){ get(&count[class].requests), get(&count[class].bytes),
		                  get(&count[class].errors), get(&count[class].retries) };
}

const char *
objcount_name(enum objclass class)
{
	static const char *const names[OBJ_CLASSES] = {
		[OBJ_PUT] = "put", [OBJ_GET] = "get", [OBJ_HEAD] = "head", [OBJ_DELETE] = "delete", [OBJ_LIST] = "list",
		[OBJ_MULTIPART] = "multipart",
	};

	return names[class];
}
