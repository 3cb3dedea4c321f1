/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The chunks of a core that compaction is to look at: a table of fixed size, 4 places for each chunk.  What finds no
 * place is not kept: it is found again when it is next written or loaded.  Of one core; nothing waits.
 */
#ifndef META_COMPACT_QUEUE_H
#define META_COMPACT_QUEUE_H

#include "reactor/base.h"

#define COMPACT_QUEUE 1024                  /* places */
#define COMPACT_BUSY_NS 60000000000u        /* a chunk that is written all the time waits no longer than this */

struct compact_candidate {
	uint64_t ino, gen, chunk;           /* ino 0: free */
	uint64_t since_ns, due_ns;
	bool asked;                         /* somebody waits for it (compact_ask) */
};

struct compact_queue {
	struct compact_candidate place[COMPACT_QUEUE];
	uint32_t n, asked;                  /* taken; of these, asked for */
};

/*
 * The chunk has changed at now_ns: it is due delay_ns after its last change, but no later than COMPACT_BUSY_NS + delay_ns after
 * since_ns; at once where somebody asked.  One of another generation takes its place.  NULL: there is none.
 */
const struct compact_candidate *compact_queue_add(struct compact_queue *q, const struct compact_candidate *c,
                                                  uint64_t now_ns, uint64_t delay_ns);
/* The one that is longest due, or due first; NULL: empty. */
const struct compact_candidate *compact_queue_first(const struct compact_queue *q);
/* Takes it out. */
struct compact_candidate compact_queue_take(struct compact_queue *q, const struct compact_candidate *c);

#endif
