/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The metadata log: what makes a batch durable before RocksDB has it in a table
 * file.  A ring of prewritten segments in <metadata>/mlog, written O_DIRECT in
 * groups: while groups are in flight (two at most) the next gathers; groups are
 * acknowledged in order.  One log for all cores, so that what one core has seen of
 * another's change is never durable before that change.
 *
 * A record is a batch and its number in its stream.  The number is also a key of what RocksDB gets, so
 * it knows what it has: replay begins behind it, exactly, merges included.  (One stream is in use;
 * logs from when each core had its own are read.)
 *
 * A segment is used again when RocksDB has flushed all of its batches, and a later group that
 * says so is durable.  Any thread; a lock is held for the copy of a batch, never over I/O.
 */
#ifndef META_MLOG_H
#define META_MLOG_H

#include "reactor/reactor.h"
#include "reactor/shard.h"

#define MLOG_STREAMS  (REACTOR_MAX_CORES + 1)
#define MLOG_SEGMENTS 4

struct mlog_rec {
	uint32_t stream, len;
	uint64_t seq;            /* in its stream, from 1 */
	const void *data;
};

/*
 * What the last run left, in order: fn once for each record that may not be in a table file.
 * A torn tail is cut, and logged.  -ENOENT: there is no log; -E_DAMAGED: something that was
 * acknowledged is missing; -E_FORMAT, -errno; what fn returned when that was not 0.  A sentence in why[].
 */
int mlog_scan(const char *dir, int (*fn)(void *arg, const struct mlog_rec *rec), void *arg, char why[256]);

struct mlog_opts {
	const char *dir;
	uint64_t bytes;          /* of all segments */
	int (*flush)(void);      /* blocking, on the log's thread: all that was applied before is in table files then */
};
/* A new run: what is in the log is void.  Blocking: makes the segments where they are missing or of another size. */
int  mlog_open(const struct mlog_opts *opts, char why[256]);
/* A log without anything in it, for a copy of a database. */
int  mlog_make_empty(const char *dir);
/* After all reactors have ended.  `clean`: all is in table files, the next scan need not look. */
void mlog_close(bool clean);

/*
 * Room for a record of `len` bytes, which mlog_append or mlog_unreserve gives up.  -EAGAIN: none
 * (mlog_wait_room); -EIO after a failed write.
 */
int  mlog_reserve(uint32_t len);
void mlog_unreserve(uint32_t len);
/* Blocking: until there may be room.  What flush said when it failed. */
int  mlog_wait_room(uint32_t len);
/* Copies the record; returns the ticket for mlog_sync.  A stream's in the order of seq. */
uint64_t mlog_append(const struct mlog_rec *rec);

/* Until all up to the ticket is on stable storage; from a reactor thread.  op->res 0, or -EIO: nothing is promised. */
struct mlog_wait {
	struct mlog_wait *next;
	struct op *op;
	struct shard_msg msg;
	uint64_t joined_ns;
	int core, res;
};
enum op_state mlog_sync(struct mlog_wait *w, uint64_t ticket, struct op *op);
/* Blocking, any thread. */
int mlog_sync_now(uint64_t ticket);
/* The same for who is in no hurry: the writing is left to the cores while they are at it. */
int mlog_await_now(uint64_t ticket);
/* A write failed: nothing is promised any more. */
bool mlog_is_broken(void);

struct mlog_stats {
	uint64_t groups, bytes, write_ns, flushes;
};
void mlog_stats(struct mlog_stats *out);

#endif
