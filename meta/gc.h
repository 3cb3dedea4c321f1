/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Leaked objects: those below the shares' prefixes that no record names.  An upload that a crash or a failure cut
 * short leaves them.  The metadata says what is needed, so nothing is deleted for what a list lacks.
 *
 * An object is leaked when all of this holds; each object is looked at by itself, in pages, so memory is bounded:
 *   - its name is one that this program gives (object_name); others are counted, and never touched
 *   - there is no 'B' (of a pack: no 'P') record of it
 *   - its slice id is of an earlier start: only the server that took an id can still write the record, and that
 *     one has ended (store/claim.h)
 *   - it is older than asked for, by the store's clock
 *
 * All on core 0.  One at a time.
 */
#ifndef META_GC_H
#define META_GC_H

#include "reactor/base.h"

#define GC_AGE_S 3600

struct gc_opts {
	bool delete;     /* leaked objects; else they are counted only */
	uint64_t age_s;
};

struct gc_count {
	uint64_t objects, bytes;
};

struct gc_report {
	bool running;
	int err;                  /* why the last one ended early; 0: it did not */
	struct gc_opts opts;
	struct gc_count scanned;
	struct gc_count valid;    /* named by a record */
	struct gc_count leaked, deleted;
	struct gc_count recent;   /* no record, but of this start, or younger than asked for */
	struct gc_count foreign;  /* no names of ours */
};

/* 0; -EBUSY: one is under way; -ENOMEM.  It goes on by itself, and gives way to clients. */
int  gc_start(const struct gc_opts *opts);
/* Of the one that is under way, or of the last. */
void gc_report(struct gc_report *r);

int  gc_init(void);
void gc_fini(void);
/* Ends early; true when nothing is under way. */
bool gc_quit(void);

#endif
