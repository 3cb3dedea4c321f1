/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A batch in the bytes of RocksDB's write_batch.cc: le64, le32 count, then records of
 * a tag, the key and, but for a deletion, the value, each behind its length as a varint.
 * So what is in the log is what RocksDB takes.
 */
#include <stdlib.h>

#include "meta/kv_impl.h"
#include "reactor/log.h"

#define HEAD_BYTES 12
#define COUNT_AT   8
#define VARINT_MAX 5
#define FIRST_BYTES 1024

static void
grow(struct kv_batch *b, size_t more)
{
	size_t cap = MAX(b->cap, (size_t)FIRST_BYTES);
	uint8_t *p;

	if (b->len + more <= b->cap)
		return;
	while (cap < b->len + more)
		cap *= 2;
	p = realloc(b->p, cap);
	if (!p) { /* as RocksDB, which would throw */
		log_error("metadata: no memory for a batch of %zu bytes", cap);
		abort();
	}
	b->p = p;
	b->cap = cap;
}

struct kv_batch *
kv_batch_new(void)
{
	struct kv_batch *b = calloc(1, sizeof(*b));

	if (!b) {
		log_error("metadata: no memory for a batch");
		abort();
	}
	grow(b, FIRST_BYTES);
	kv_batch_clear(b);
	return b;
}

void
kv_batch_free(struct kv_batch *b)
{
	free(b->p);
	free(b);
}

void
kv_batch_clear(struct kv_batch *b)
{
	memset(b->p, 0, HEAD_BYTES);
	b->len = HEAD_BYTES;
}

size_t
kv_batch_bytes(struct kv_batch *b)
{
	return b->len;
}

static uint8_t *
put_bytes(uint8_t *p, const void *v, size_t len)
{
	uint32_t n = (uint32_t)len;

	for (; n >= 0x80; n >>= 7)
		*p++ = (uint8_t)(n | 0x80);
	*p++ = (uint8_t)n;
	if (len > 0) /* v may be NULL then, which memcpy must not have */
		memcpy(p, v, len);
	return p + len;
}

static void
put_record(struct kv_batch *b, enum kv_kind kind, const void *key, size_t klen, const void *val, size_t vlen)
{
	uint8_t *p;

	assert(klen <= UINT16_MAX && vlen <= INT32_MAX);
	grow(b, 1 + 2 * VARINT_MAX + klen + vlen);
	p = b->p + b->len;
	*p++ = (uint8_t)kind;
	p = put_bytes(p, key, klen);
	if (kind != KV_DELETED)
		p = put_bytes(p, val, vlen);
	b->len = (size_t)(p - b->p);
	put_le32(b->p + COUNT_AT, get_le32(b->p + COUNT_AT) + 1);
}

void
kv_batch_put(struct kv_batch *b, const void *key, size_t klen, const void *val, size_t vlen)
{
	put_record(b, KV_VALUE, key, klen, val, vlen);
}

void
kv_batch_del(struct kv_batch *b, const void *key, size_t klen)
{
	put_record(b, KV_DELETED, key, klen, NULL, 0);
}

void
kv_batch_merge(struct kv_batch *b, const void *key, size_t klen, const void *val, size_t vlen)
{
	put_record(b, KV_OPERAND, key, klen, val, vlen);
}

void
kv_batch_undo(struct kv_batch *b, size_t len)
{
	assert(len < b->len);
	b->len = len;
	put_le32(b->p + COUNT_AT, get_le32(b->p + COUNT_AT) - 1);
}

static const uint8_t *
get_bytes(const uint8_t *p, const uint8_t **v, size_t *len)
{
	size_t n = 0;

	for (unsigned shift = 0;; shift += 7) {
		n |= (size_t)(*p & 0x7f) << shift;
		if (!(*p++ & 0x80))
			break;
	}
	*v = p;
	*len = n;
	return p + n;
}

bool
kv_batch_next(const struct kv_batch *b, size_t *at, struct kv_record *r)
{
	const uint8_t *p;

	*at = MAX(*at, (size_t)HEAD_BYTES);
	if (*at >= b->len)
		return false;
	p = b->p + *at;
	r->kind = (enum kv_kind)*p++;
	p = get_bytes(p, &r->key, &r->klen);
	r->val = NULL;
	r->vlen = 0;
	if (r->kind != KV_DELETED)
		p = get_bytes(p, &r->val, &r->vlen);
	*at = (size_t)(p - b->p);
	return true;
}

int
kv_bytes_to_rocksdb(const void *p, size_t len)
{
	rocksdb_writebatch_t *w = rocksdb_writebatch_create_from(p, len);
	char *msg = NULL;

	rocksdb_write(kv.db, kv.wo, w, &msg);
	rocksdb_writebatch_destroy(w);
	return msg ? kv_status(msg) : 0;
}
