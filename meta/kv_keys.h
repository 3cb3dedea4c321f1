/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The newest of each key that some batches wrote: what a directory, a counter or a chunk got a hundred
 * times is here once.  A hash table whose entries live in an arena; cleared as a whole.
 *
 * A merge operand upon a value makes a value, upon another operand one operand (kv_merge.h), so
 * a key has one entry of one kind.  One thread at a time; for kv_apply.c.
 */
#ifndef META_KV_KEYS_H
#define META_KV_KEYS_H

#include "meta/kv_impl.h"

#define KV_KEYS_BUCKETS 16384u
#define KV_KEYS_SEEN    65536u /* bits of a filter of beginnings */

struct kv_key {
	struct kv_key *next;  /* in its bucket */
	struct kv_key *older; /* in the table */
	uint64_t hash;
	enum kv_kind kind;
	uint16_t klen;
	uint32_t vlen, vcap;
	uint8_t *val;
	uint8_t key[];
};

struct kv_arena {
	struct kv_arena_piece *first, *spare;
	size_t used;          /* of the first */
	uint32_t nspare;
};

struct kv_keys {
	struct kv_key **bucket, *newest;
	struct kv_place *sorted; /* kv_keys_batch's */
	size_t sorted_cap;
	struct kv_arena arena;
	uint32_t n;
	size_t bytes;         /* of memory, about */
	uint64_t letters[256 / 64], seen[KV_KEYS_SEEN / 64];
};

int  kv_keys_init(struct kv_keys *k); /* -ENOMEM */
void kv_keys_fini(struct kv_keys *k);
void kv_keys_clear(struct kv_keys *k);
/* A batch's records, in order. */
void kv_keys_add(struct kv_keys *k, const struct kv_record *r);
/* NULL: no batch wrote it.  Lent until the next kv_keys_add. */
const struct kv_key *kv_keys_find(const struct kv_keys *k, const void *key, size_t klen);
/* False when surely no key is in from..to (which is not in it). */
bool kv_keys_may_hold(const struct kv_keys *k, const uint8_t *from, size_t from_len, const uint8_t *to,
                      size_t to_len);
/* Appends all to b, sorted: RocksDB's memtable takes neighbours in a row at half the price. */
void kv_keys_batch(struct kv_keys *k, struct kv_batch *b);

#endif
