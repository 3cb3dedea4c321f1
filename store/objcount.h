/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the object store was asked for, by class, since the start: requests cost money.
 * The stores count each request when its answer is there, on whatever thread that is; any
 * thread reads.
 */
#ifndef STORE_OBJCOUNT_H
#define STORE_OBJCOUNT_H

#include <stdint.h>

enum objclass { OBJ_PUT, OBJ_GET, OBJ_HEAD, OBJ_DELETE, OBJ_LIST, OBJ_MULTIPART, OBJ_CLASSES };

/* One request as the caller of objstore.h made it; retries are what the store sent again for it. */
struct objcount {
	uint64_t requests, bytes, errors, retries;
	uint64_t ns;             /* from request to answer, of all of them together */
	uint64_t sent, received; /* bodies on the wire, of errors, repeats and hedges too; 0 where the store is local */
};

/*
 * `bytes` of payload were moved; err is what the caller is told (-ENOENT and -EEXIST are answers, not errors);
 * begun_ns: reactor_clock_ns() when it was asked for.
 */
void objcount_add(enum objclass class, uint64_t bytes, int err, uint64_t begun_ns);
void objcount_retry(enum objclass class);
void objcount_wire(enum objclass class, uint64_t sent, uint64_t received);
struct objcount objcount_get(enum objclass class);
/* "put", "get", ... */
const char *objcount_name(enum objclass class);

#endif
