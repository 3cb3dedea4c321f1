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
};

/* `bytes` of payload were moved; err is what the caller is told (-ENOENT and -EEXIST are answers, not errors). */
void objcount_add(enum objclass class, uint64_t bytes, int err);
void objcount_retry(enum objclass class);
struct objcount objcount_get(enum objclass class);
/* "put", "get", ... */
const char *objcount_name(enum objclass class);

#endif
