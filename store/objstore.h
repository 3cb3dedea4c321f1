/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An object store: immutable objects by name.  store/objfile.c keeps them in a
 * local directory (file://, the embedded default), store/s3.h in a bucket, behind
 * the same functions.  Reactor cores call; the store may use workers or its own ring.
 *
 * Names are relative, of [A-Za-z0-9/._-], no part of them beginning with a dot.
 * A PUT that has answered 0 is durable and whole; an object is never seen
 * half-written.  op->res is 0, or:
 *
 *   -ENOENT     missing
 *   -E_JUKEBOX  away for now (retried for as long as a caller may wait), or short of memory: later it may work
 *   -EACCES     the store refuses us (logged with the setting that is wrong): works when that is mended
 *   -ENOSPC     full
 *   -EIO        broken (logged)
 *   -EINVAL     no such name can be
 *
 * but for -ENOENT and -EINVAL, whoever has something to put asks again, for ever.
 */
#ifndef STORE_OBJSTORE_H
#define STORE_OBJSTORE_H

#include <sys/uio.h>

#include "reactor/worker.h"

struct objstore;

#define OBJ_NAME 192

/* An object, as a list has it. */
struct obj_entry {
	char name[OBJ_NAME];
	uint64_t size, mtime_s; /* mtime by the store's clock */
};

struct obj_req {
	struct work work;
	struct objstore *store;
	char name[OBJ_NAME];
	/*
	 * Lent: bytes to put, or room for what is got; len in all.  The store uses up
	 * the array, iov and niov: set them for each call.
	 */
	struct iovec *iov;
	int niov;
	uint64_t off;        /* get: first byte */
	uint64_t len;        /* put: bytes in all; get: bytes wanted (a short object is -E_DAMAGED) */
	uint64_t size;       /* head: result */
	bool exclusive;      /* put: -EEXIST when there is one already */
	bool afresh;         /* get: on a new connection, where there are any: what came by the last one was damaged */
	/* delete: many at once */
	char (*names)[OBJ_NAME];
	int nnames;
	/*
	 * list: names that begin with `name` (any bytes of a name, "" for all) and sort behind `after` ("": from the
	 * first), in the order of their bytes, into entry[]; nentries is how many it holds, and
	 * then how many came.  `more`: go on behind the last of them.  Names that cannot be ours are left out.
	 */
	char after[OBJ_NAME];
	struct obj_entry *entry;
	int nentries;
	bool more;
	/* private to the store */
	void *priv;
	struct obj_req *next;
	struct op step;
	struct op *wait;
	uint64_t done, begun_ns;
	int fd, stage;
};

struct objstore_ops {
	enum op_state (*put)(struct obj_req *r, struct op *op);
	enum op_state (*get)(struct obj_req *r, struct op *op);
	enum op_state (*head)(struct obj_req *r, struct op *op);
	/* Up to 1,000 names; a missing one is no error. */
	enum op_state (*del)(struct obj_req *r, struct op *op);
	/* One page of names: at most LIST_MAX, and at least one where there are any. */
	enum op_state (*list)(struct obj_req *r, struct op *op);
	/* Per core, on that core; NULL: nothing to do. */
	int (*init)(struct objstore *s, int core, char why[256]);
	void (*fini)(struct objstore *s, int core);
	/* Blocking; NULL: unlimited. */
	int (*space)(struct objstore *s, uint64_t *total, uint64_t *free_bytes);
	/* Any thread, no request; NULL: it is always there. */
	int (*health)(const struct objstore *s);
	void (*close)(struct objstore *s);
};

struct claim_guard;

struct objstore {
	const struct objstore_ops *ops;
	struct claim_guard *guard; /* store/claim.h; NULL: nobody else can be at these objects */
	char url[256];
};

#define DEL_MAX  1000
#define LIST_MAX 1000

/*
 * "file:///absolute/dir".  Blocking; -errno and a sentence in why[] (not writable,
 * no such directory).  With `create` the directory is made when it is not there; its
 * parent must be.
 */
int objstore_open(struct objstore **out, const char *url, bool create, char why[256]);
/*
 * Before its first request each core says init (on that core; may block), and fini after the last.
 * -errno and a sentence in why[].
 */
int  objstore_init(struct objstore *s, int core, char why[256]);
void objstore_fini(struct objstore *s, int core);
/*
 * Any thread, without a request: 0, or what those of the last minute were told: -E_JUKEBOX away, -EACCES it refuses us.
 * Who asks nothing for a minute does not know any more.
 */
int  objstore_health(const struct objstore *s);
/* What the result of a request means, in words. */
const char *objstore_error(int err);
/* No request may be under way. */
void objstore_close(struct objstore *s);

/* For stores: a name as above?  What it contains keeps it below its directory, and out of .tmp. */
bool objstore_name_ok(const char *name);
/* Space of the disk below (local) or unlimited; for FSSTAT.  Blocking (statvfs). */
int objstore_space(struct objstore *s, uint64_t *total, uint64_t *free_bytes);

#endif
