/* SPDX-License-Identifier: Apache-2.0 */
#include "store/objcount.h"

#include <errno.h>
#include <stdatomic.h>

#include "reactor/reactor.h"

/* A request takes a thousand times as long as its atomics: no need for a copy for each core. */
static struct {
	_Atomic uint64_t requests, bytes, errors, retries, ns, sent, received;
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
objcount_add(enum objclass class, uint64_t bytes, int err, uint64_t begun_ns)
{
	uint64_t now = reactor_clock_ns(); /* of a worker, perhaps: not the clock that it began by */

	add(&count[class].requests, 1);
	add(&count[class].bytes, bytes);
	add(&count[class].ns, now > begun_ns ? now - begun_ns : 0);
	if (err < 0 && err != -ENOENT && err != -EEXIST)
		add(&count[class].errors, 1);
}

void
objcount_retry(enum objclass class)
{
	add(&count[class].retries, 1);
}

void
objcount_wire(enum objclass class, uint64_t sent, uint64_t received)
{
	add(&count[class].sent, sent);
	add(&count[class].received, received);
}

struct objcount
objcount_get(enum objclass class)
{
	return (struct objcount){ .requests = get(&count[class].requests), .bytes = get(&count[class].bytes),
		                  .errors = get(&count[class].errors), .retries = get(&count[class].retries),
		                  .ns = get(&count[class].ns), .sent = get(&count[class].sent),
		                  .received = get(&count[class].received) };
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
