/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the bytes of one file may be.
 *
 * A file starts from known contents (the base: what the last check saw) and
 * gathers changes: writes and truncations, each with the instants of its call
 * and its reply on one logical clock.  A change W may no longer be seen at a byte
 * when another W2 that covers the byte was called after W's reply, and W2 is
 * certain: for a reader, when W2 was answered before he asked; after a crash, when W2 is
 * durable (stable reply, or a COMMIT with the same verifier).  Whatever is not
 * ruled out like this may be seen; anything else is a failure.  A truncation to
 * n writes zeros from n to infinity.  Sizes follow the same order.
 *
 * Every write has its own id, and its bytes are that pattern's (pattern.h), so that a
 * wrong byte tells whose it is.  One thread; the caller owns it.
 */
#ifndef TESTS_CRASH_CONTENT_H
#define TESTS_CRASH_CONTENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct segment {
	uint64_t off, end;
	uint32_t id; /* of the write; 0, zeros, is never stored */
};

struct change {
	bool trunc;    /* to off; else a write of off .. end */
	bool void_;    /* the server said that it did not happen */
	bool weak;     /* may have run twice, or not at all: rules nothing out */
	bool durable;
	uint32_t id;
	uint64_t off, end;
	uint64_t issue, ack; /* ack 0: not answered */
	uint64_t verf;
};

struct content {
	uint64_t size; /* of the base */
	struct segment *seg;
	uint32_t nseg, seg_cap;
	struct change *change;
	uint32_t nchange, change_cap;
	struct segment *next; /* the base to come, while a check gathers it */
	uint32_t nnext, next_cap;
};

/* Who looks: a reader that asked at `issue`, or the check after a crash. */
struct view {
	bool crashed;
	uint64_t issue;
};

struct byte_range {
	uint64_t off, len;
};

void content_free(struct content *c);
/* Index of the new change, for the calls below; valid until content_settled. */
uint32_t content_write(struct content *c, uint32_t id, uint64_t off, uint64_t len, uint64_t issue);
uint32_t content_trunc(struct content *c, uint64_t size, uint64_t issue);
void content_acked(struct content *c, uint32_t i, uint64_t now, bool durable, uint64_t verf);
/* A COMMIT called at `issue` came back with this verifier; len 0: to the end. */
void content_committed(struct content *c, uint64_t issue, uint64_t off, uint64_t len, uint64_t verf);
/* The server of this verifier runs now: what it acknowledged it cannot have lost. */
void content_verifier(struct content *c, uint64_t verf);

/* A check begins: forgets what an unfinished one has gathered. */
void content_begin(struct content *c);
bool content_size_ok(const struct content *c, const struct view *v, uint64_t size);
/*
 * Checks data[0..len) read at off; with gather the finding becomes the next
 * base.  0, or -1 with a sentence in why.  *torn counts ranges that are part old,
 * part new.
 */
int content_check(struct content *c, const struct view *v, uint64_t off, const uint8_t *data,
                  size_t len, bool gather, uint64_t *torn, char *why, size_t why_len);
/* What a check has to read of a file of `size` bytes, all of it where that is little: count <= max. */
int content_ranges(const struct content *c, uint64_t size, struct byte_range *r, int max);
/* All ranges were checked with gather: what was found is the base now. */
void content_settled(struct content *c, uint64_t size);
/* Sizes that are possible, for a message. */
void content_sizes(const struct content *c, const struct view *v, char *dst, size_t len);
/* How far writes may reach at most: the largest end there is. */
uint64_t content_extent(const struct content *c);

#endif
