/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a journal segment is made of, and how its bytes are read back.  All
 * integers are little-endian; everything begins at a multiple of PAGE.
 *
 *   header block | group | group | ... | whatever was there before
 *   header:      magic, version, core, volume uuid, run, epoch, segment number, first sequence number
 *   group:       descriptor block, then the payload of each record padded to PAGE
 *   descriptor:  magic, records, core, run, epoch, first sequence number, greatest durable one when it
 *                was written, then JREC_BYTES per record
 * The last 4 bytes of header and descriptor are the CRC32C of the rest of the block, in
 * this version and all to come.
 *
 * `run` is 16 random bytes of one run of one core.  They never leave the journal, so what
 * a client writes into a file can't pass for a descriptor, wherever it comes to lie.
 *
 * For journal*.c, its tests and its fuzz target.  Pure functions, any thread;
 * every byte is distrusted.
 */
#ifndef STORE_JOURNAL_FORMAT_H
#define STORE_JOURNAL_FORMAT_H

#include <sys/types.h>

#include "store/journal.h"

#define JFORMAT_VERSION   1
#define JREC_BYTES        40
#define JGROUP_HEAD_BYTES 64
#define JGROUP_RECORDS    100
#define JRECORD_BYTES_MAX 65536u

static_assert(JGROUP_HEAD_BYTES + JGROUP_RECORDS * JREC_BYTES + 4 <= PAGE, "a descriptor is one block");

struct jhead {
	uint8_t uuid[16], run[16];
	uint32_t core;
	uint64_t epoch, number, first_seq;
};

void jhead_encode(uint8_t page[PAGE], const struct jhead *h);
/* -ENODATA: no header (zeros); -E_DAMAGED; -E_FORMAT: another version. */
int  jhead_decode(struct jhead *h, const uint8_t page[PAGE]);

/* One record in a descriptor. */
struct jrec {
	uint64_t ino, off, time_ns;
	uint32_t len, crc, kind;
};

struct jdesc {
	uint8_t run[16];
	uint32_t core, nrec;
	uint64_t epoch, first_seq, durable;
};

/* The records first, each at its place; then the seal over all. */
void jrec_encode(uint8_t page[PAGE], uint32_t i, const struct jrec *r);
void jdesc_seal(uint8_t page[PAGE], const struct jdesc *d);
/* -E_DAMAGED unless the checksum and every field and record are as this version writes them. */
int  jdesc_decode(struct jdesc *d, struct jrec rec[JGROUP_RECORDS], const uint8_t page[PAGE]);

/* Walks the groups of one segment; keeps one window of it in memory. */
struct jparse {
	/*
	 * Reads up to len bytes at off (both multiples of PAGE); fewer only at the end of the
	 * file.  Or -errno.
	 */
	ssize_t (*read)(void *arg, void *p, size_t len, uint64_t off);
	void *arg;
	uint64_t size;     /* of the file */
	uint64_t tail;     /* payloads of records below it are not read: nobody needs them */
	struct jhead head;
	uint64_t off;      /* where the next group begins */
	uint64_t seq;      /* its first sequence number */
	uint8_t *window;
	uint64_t window_off;
	size_t window_len;
};

struct jgroup_found {
	struct jdesc desc;
	struct jrec rec[JGROUP_RECORDS];
	uint32_t payload[JGROUP_RECORDS]; /* where in the file */
	uint64_t end;
};

/*
 * The caller has set read, arg, size and tail.  Errors as jhead_decode, or -errno of read;
 * -ENOMEM.
 */
int  jparse_init(struct jparse *p);
void jparse_fini(struct jparse *p);
/*
 * 1: the next group, all its checksums right.  0: there is none.  -E_DAMAGED:
 * its descriptor is there (in `g`) but not all of its payload: it was torn.  -errno of read.
 */
int  jparse_next(struct jparse *p, struct jgroup_found *g);
/*
 * After the last group: are there descriptors of this run further on in the file, with a
 * first_seq above *seq?  1: then *seq is the greatest of them, and *durable the greatest
 * that one of them says was durable, where that is more.
 */
int  jparse_later(struct jparse *p, uint64_t *seq, uint64_t *durable);

#endif
