/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Record marking (RFC 5531 §11): a record is a run of fragments, each behind a
 * four-byte mark of its length and whether it is the last.  This machine only
 * counts: its owner feeds it marks and tells it what bytes he took.  Nothing
 * here depends on how the stream was cut.  No memory but the struct.
 */
#ifndef PROTO_RECMARK_H
#define PROTO_RECMARK_H

#include "meta/file.h"

/* The longest record: a WRITE of wtmax with the largest header that XDR allows. */
#define RECMARK_MAX (FILE_IO_MAX + 8 * KIB)
#define RECMARK_BYTES 4
#define RECMARK_LAST 0x80000000u

struct recmark {
	uint32_t left;  /* of the fragment, not yet taken */
	uint32_t len;   /* of all fragments so far */
	uint8_t mark[RECMARK_BYTES];
	uint8_t nmark;  /* bytes of the mark that are here */
	bool last;      /* the fragment is the record's last */
};

/* Before the first byte of a record. */
void recmark_init(struct recmark *r);

/*
 * Takes bytes of a mark from p: returns how many, or -EMSGSIZE when the record
 * would be longer than RECMARK_MAX (the stream is of no more use).
 */
int recmark_feed(struct recmark *r, const uint8_t *p, size_t len);
/* Notes that n <= r->left bytes of the record's body were taken. */
void recmark_take(struct recmark *r, uint32_t n);

/* The next byte of the stream belongs to a mark. */
static inline bool
recmark_wants_mark(const struct recmark *r)
{
	return r->nmark < RECMARK_BYTES;
}

static inline bool
recmark_ended(const struct recmark *r)
{
	return r->nmark == RECMARK_BYTES && r->last && r->left == 0;
}

/* Nothing of the record has been seen. */
static inline bool
recmark_is_new(const struct recmark *r)
{
	return r->nmark == 0 && r->len == 0;
}

#endif
