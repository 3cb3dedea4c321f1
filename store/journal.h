/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The write journal of one core: what makes an acknowledged WRITE durable
 * before it is in the object store.  A ring of preallocated segment files,
 * written O_DIRECT in groups: one 4 KiB descriptor (magic, version, volume, core, run epoch,
 * first sequence number, per record: kind, ino, offset, length, time, CRC32C of the
 * payload; CRC32C of the descriptor), then the payloads, each padded to 4 KiB.
 * While groups are in flight (two, twelve full ones) the next gathers; groups
 * are acknowledged in order.  Segments are reused strictly in order, so what is
 * on disk is one contiguous suffix of the log, and replaying all of it in order
 * is always right (redo).  Only the owning core calls, except where stated.
 */
#ifndef STORE_JOURNAL_H
#define STORE_JOURNAL_H

#include "reactor/buf.h"
#include "reactor/op.h"

struct journal;
/* A segment; its count of live records is atomic: extents of a replayed one may be on any core. */
struct jseg;

/* Where a record's payload lies on disk, and its checksum. */
struct jloc {
	struct jseg *seg;
	uint32_t off;    /* in the segment file, of the payload */
	uint32_t len;
	uint32_t crc;
};

enum jkind { J_WRITE = 1, J_TRUNC = 2 };

/* A record found by the scan.  For J_TRUNC off is the new size and len is 0. */
struct jrecord {
	uint64_t ino, off, seq, time_ns;
	uint32_t len;
	uint32_t kind;
	struct jloc loc;
};

struct journal_opts {
	const char *dir;
	const uint8_t *uuid;     /* the volume's, 16 bytes */
	uint64_t bytes;          /* this core's share of the disk */
	uint32_t segment_bytes;  /* 0: 64 MiB, less where bytes is small; at least 4 segments */
	uint64_t ahead_bytes;    /* free ones are made while nobody writes, so that a burst finds so much; may be 0 */
	uint64_t epoch;          /* of this run: greater than all before */
	uint64_t first_seq;      /* greater than all before */
	double free_ratio;       /* it does not grow where less than this part of the disk is free */
};

/*
 * Blocking, before the reactors: reads every segment in `dir` (of any number of cores),
 * checks every CRC, and appends what counts to *recs (malloc'ed; the caller frees), in
 * log order per journal, earlier epochs first.  A torn tail is cut (and logged).  `tail`
 * tells for a journal (by core and epoch) the sequence number below which all is retired:
 * as journal_tail said, for as long as segments of that epoch are there.  *max_seq,
 * *max_epoch: the greatest seen.  Each record's segment has one live count for it, a
 * J_TRUNC's too: jloc_put.  -E_FORMAT: another volume's or a newer version's, with a
 * sentence.
 */
int journal_scan(const char *dir, const uint8_t uuid[16],
                 uint64_t (*tail)(void *arg, uint32_t core, uint64_t epoch), void *arg,
                 struct jrecord **recs, size_t *nrecs, uint64_t *max_seq, uint64_t *max_epoch,
                 char why[256]);
/*
 * Deletes scanned segments without live records now (before the first journal_open:
 * blocking), and from now on each when its last record is retired and all before it are
 * gone.  Until the last is gone, this run's segments are not used again.
 */
void journal_scan_done(void);
/*
 * Forgets scanned segments and leaves their files: for who only looks (tools), and after a
 * start that failed.
 */
void journal_scan_free(void);

/* On the core, blocking: makes this run's segments (prewritten, synced). */
int  journal_open(struct journal **out, int core, const struct journal_opts *opts, char why[256]);
/*
 * After the last lap.  All records must be durable.  The segments are deleted when the
 * last lap saw everything retired; extents cleared after it don't count, so the order of
 * the two doesn't matter.  Who still waits for room is forgotten.
 */
void journal_close(struct journal *j);

/*
 * Appends; keeps ref->buf until the record is on disk.  `ref->off` is 0, the buffer's
 * memory up to the next multiple of PAGE is zeroed by this.  At most 64 KiB a record.
 * The record counts live once in its segment: jloc_put when its data is in the object
 * store, durably, or overwritten by a later record.  Only what is durable here may be
 * recorded as uploaded: after a crash the records before it would cover it again.  -EAGAIN: no room
 * (journal_wait_room); -EIO after a failed write.  J_TRUNC takes no buffer and its
 * loc.seg is NULL.
 */
int journal_append(struct journal *j, enum jkind kind, uint64_t ino, uint64_t off, uint64_t time_ns,
                   const struct bufref *ref, uint64_t *seq, struct jloc *loc);
/*
 * There is room for about `bytes`; first come, first served.  Nothing is reserved: an
 * append after it may still say -EAGAIN, then wait again.  op->res 0, or -EIO after a
 * failed write.
 */
enum op_state journal_wait_room(struct journal *j, uint64_t bytes, struct op *op);
/*
 * Everything up to seq is on stable storage.  op->res -EIO after a failed write: nothing more
 * is promised.
 */
enum op_state journal_sync(struct journal *j, uint64_t seq, struct op *op);
uint64_t journal_durable(const struct journal *j); /* greatest durable seq */
uint64_t journal_last(const struct journal *j);    /* greatest appended seq */
/* Below this all records of this journal are retired: what to put under 'J'. */
uint64_t journal_tail(const struct journal *j);
uint64_t journal_epoch(const struct journal *j);
/* Written in all; bytes with descriptors and padding. */
struct journal_stats {
	uint64_t records, groups, bytes;
};
const struct journal_stats *journal_stats(const struct journal *j);
/* Bytes of segments in use and in all. */
void journal_usage(const struct journal *j, uint64_t *used, uint64_t *total);
/* Likewise, as it was at the end of the last lap.  Any thread, relaxed. */
void journal_usage_seen(const struct journal *j, uint64_t *used, uint64_t *total);
/* A write failed: nothing more is taken.  Any thread, relaxed. */
bool journal_is_broken(const struct journal *j);
/* The greatest seq of the oldest segment in use: what to upload first when room is short. */
uint64_t journal_oldest(const struct journal *j);

/* More, fewer holders of a record's bytes on disk.  Any core; nothing where loc->seg is NULL. */
void jloc_get(const struct jloc *loc);
void jloc_put(const struct jloc *loc);

/*
 * Reads a record's payload back into dst (cap >= len rounded to PAGE), checks its CRC: 0,
 * -E_DAMAGED, -EIO.
 */
struct jread {
	struct op step;
	struct op *wait;
	struct jloc loc;
	struct buf *dst;
};
enum op_state journal_read(struct jread *r, const struct jloc *loc, struct buf *dst, struct op *op);

#endif
