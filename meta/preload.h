/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading ahead after a start: attributes (attrcache.h) and names (namecache.h), which a server that has just been
 * started does not know, are brought from RocksDB in the background, so that the first look at each costs
 * no read of the database.
 *
 *   read     a batch, on a worker
 *   keep     each core those that it owns, some at a time
 *
 * Attributes come first: clients that knew the server before its restart ask for those of the handles they have.
 * Each from the youngest inode or directory to the oldest: where not all fit, what was made last is what is most likely
 * used, and a young directory's files are young too.  A table that is full ends it: nothing that somebody has
 * asked for makes room for what nobody has.
 *
 * What is kept is what the owner would have read himself.  Between reading and keeping he may have changed it, so of all
 * he notes from before the batches on that he did (changed.h), and keeps none of those, nor what he has in memory, nor
 * names of a directory that is locked.  RocksDB has all from before the noting (kv_settle_now), so a batch lacks none of it.
 *
 * It gives way: a core that has received anything from a client since it last kept some waits GIVE_WAY_NS before it keeps the
 * next PIECE, and the worker with it.
 */
#ifndef META_PRELOAD_H
#define META_PRELOAD_H

#include "reactor/op.h"

#include <stdint.h>

/* On core 0: begins.  Once a run. */
enum op_state preload_start(void *unused, struct op *op);
/* On core 0: ends it early; op resumes when nothing is under way.  Before file_stop. */
enum op_state preload_stop(void *unused, struct op *op);
/* Any thread: no more from now on. */
void preload_quit(void);

struct preload_stats {
	const char *state;     /* "off", "reading", "done", "full", "ended" (by the end of the run), "failed" */
	uint64_t attrs, names; /* read so far */
	uint64_t inodes;       /* that there are; about as many names */
	double seconds;
};
/* Any thread. */
void preload_stats(struct preload_stats *out);

#endif
