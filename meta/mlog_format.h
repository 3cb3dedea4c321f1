/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bytes of the metadata log.  Integers are little-endian.
 *
 *   head      magic, version, segments, bytes of each, flags, run; CRC32C.  A file of its own, replaced by rename
 *   segment   groups, each at a multiple of PAGE; between and behind them whatever was there before
 *   group     magic, run, number, greatest durable number and tail when it was written, bytes, records; CRC32C
 *             of header and records; then the records: length, stream, sequence number, batch
 *
 * `run` is 16 random bytes that never leave the log, so what a client writes into a name or a symlink
 * can't pass for a group, and what an earlier run left neither.  Below `tail` all is in table files.
 * For mlog*.c and their tests.
 */
#ifndef META_MLOG_FORMAT_H
#define META_MLOG_FORMAT_H

#include "meta/mlog.h"

#define MLOG_VERSION     1
#define MLOG_HEAD_BYTES  64
#define MLOG_GROUP_BYTES 64  /* before the records */
#define MLOG_REC_BYTES   16  /* before the batch */
#define MLOG_RUN_BYTES   16

struct mlog_head {
	uint32_t segments, segment_bytes;
	bool clean;
	uint8_t run[MLOG_RUN_BYTES];
};
void mlog_head_encode(uint8_t out[MLOG_HEAD_BYTES], const struct mlog_head *h);
/* -E_DAMAGED, -E_FORMAT */
int  mlog_head_decode(struct mlog_head *h, const uint8_t *p, size_t len);

struct mlog_group {
	uint64_t number, durable, tail;
	uint32_t bytes, nrec;    /* bytes: header and records */
};
/* Header and CRC of a group whose records are at their place. */
void mlog_group_seal(uint8_t *p, const struct mlog_group *g, const uint8_t run[MLOG_RUN_BYTES]);
/* Is there a whole group of this run?  Looks at no more than len bytes. */
bool mlog_group_open(struct mlog_group *g, const uint8_t *p, size_t len, const uint8_t run[MLOG_RUN_BYTES]);

/* Returns the record's length with its header. */
size_t mlog_rec_encode(uint8_t *p, const struct mlog_rec *r);
/* 0: no record fits there. */
size_t mlog_rec_decode(struct mlog_rec *r, const uint8_t *p, size_t len);

/* The head of the log in `dir`: -ENOENT, -E_DAMAGED, -E_FORMAT, -errno. */
int  mlog_head_read(const char *dir, struct mlog_head *h);
int  mlog_head_write(const char *dir, const struct mlog_head *h);
void mlog_seg_path(char out[600], const char *dir, uint32_t n);

#endif
