/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/kv_keys.h"

#include <stdlib.h>

#include "meta/kv_merge.h"
#include "reactor/log.h"

#define PIECE_BYTES (256 * KIB)
#define BEGIN_BYTES 9  /* a letter and an inode, or a slice */
#define NEAR        40 /* a range over more beginnings than that is asked for by its letter */

#define SPARE_MAX   8  /* pieces that are kept: fresh memory costs a fault a page */

struct kv_arena_piece {
	struct kv_arena_piece *next;
	size_t cap;
	_Alignas(16) uint8_t p[];
};

/* ---- memory ---- */

static void *
must(void *p)
{
	if (!p) { /* the batch is as good as in the log: it can't be taken back */
		log_error("metadata: no memory for changes that wait for RocksDB");
		abort();
	}
	return p;
}

static struct kv_arena_piece *
piece_get(struct kv_arena *a, size_t cap)
{
	struct kv_arena_piece *p = a->spare;

	if (p && cap <= p->cap) {
		a->spare = p->next;
		a->nspare--;
		return p;
	}
	cap = MAX(cap, (size_t)PIECE_BYTES);
	p = must(malloc(sizeof(*p) + cap));
	p->cap = cap;
	return p;
}

static void *
arena_get(struct kv_arena *a, size_t len)
{
	len = ROUND_UP(len, 16);
	if (!a->first || a->first->cap - a->used < len) {
		struct kv_arena_piece *p = piece_get(a, len);

		p->next = a->first;
		a->first = p;
		a->used = 0;
	}
	a->used += len;
	return a->first->p + a->used - len;
}

static void
arena_clear(struct kv_arena *a, uint32_t spare_max)
{
	struct kv_arena_piece *p;

	while ((p = a->first) != NULL) {
		a->first = p->next;
		if (p->cap != PIECE_BYTES || a->nspare >= spare_max) {
			free(p);
			continue;
		}
		p->next = a->spare;
		a->spare = p;
		a->nspare++;
	}
	a->used = 0;
	while (a->nspare > spare_max) {
		p = a->spare;
		a->spare = p->next;
		a->nspare--;
		free(p);
	}
}

int
kv_keys_init(struct kv_keys *k)
{
	*k = (struct kv_keys){ 0 };
	k->bucket = calloc(KV_KEYS_BUCKETS, sizeof(*k->bucket));
	return k->bucket ? 0 : -ENOMEM;
}

void
kv_keys_fini(struct kv_keys *k)
{
	arena_clear(&k->arena, 0);
	free(k->bucket);
	free(k->sorted);
	*k = (struct kv_keys){ 0 };
}

void
kv_keys_clear(struct kv_keys *k)
{
	memset(k->bucket, 0, KV_KEYS_BUCKETS * sizeof(*k->bucket));
	memset(k->letters, 0, sizeof(k->letters));
	memset(k->seen, 0, sizeof(k->seen));
	arena_clear(&k->arena, SPARE_MAX);
	k->newest = NULL;
	k->n = 0;
	k->bytes = 0;
}

/* ---- beginnings ---- */

/* The letter, and what a range of an inode's or a slice's keys has in common; zeros where the key ends before. */
static uint64_t
beginning(const uint8_t *key, size_t klen)
{
	uint8_t b[8] = { 0 };

	if (klen > 1)
		memcpy(b, key + 1, MIN(klen - 1, sizeof(b)));
	return get_be64(b);
}

static bool
bit(const uint64_t *bits, uint64_t n)
{
	return bits[n / 64] >> n % 64 & 1;
}

static uint64_t
seen_at(uint8_t letter, uint64_t begin)
{
	return mix64(begin ^ (uint64_t)letter << 56) % KV_KEYS_SEEN;
}

bool
kv_keys_may_hold(const struct kv_keys *k, const uint8_t *from, size_t from_len, const uint8_t *to, size_t to_len)
{
	uint64_t a = beginning(from, from_len), z = beginning(to, to_len);
	uint8_t letter = from_len ? from[0] : 0, last = to_len ? to[0] : 255;

	if (k->n == 0)
		return false;
	if (letter == last && z >= a && z - a <= NEAR) {
		for (uint64_t n = a; n <= z; n++)
			if (bit(k->seen, seen_at(letter, n)))
				return true;
		return false;
	}
	for (unsigned c = letter; c <= last; c++)
		if (bit(k->letters, c))
			return true;
	return false;
}

/* ---- keys ---- */

static uint64_t
hash(const uint8_t *key, size_t klen)
{
	uint64_t h = klen, v = 0;

	for (; klen >= 8; key += 8, klen -= 8)
		h = mix64(h ^ get_le64(key));
	memcpy(&v, key, klen);
	return mix64(h ^ v);
}

static struct kv_key *
find(const struct kv_keys *k, const void *key, size_t klen, uint64_t h)
{
	struct kv_key *e = k->bucket[h % KV_KEYS_BUCKETS];

	while (e && (e->hash != h || e->klen != klen || memcmp(e->key, key, klen) != 0))
		e = e->next;
	return e;
}

const struct kv_key *
kv_keys_find(const struct kv_keys *k, const void *key, size_t klen)
{
	return k->n ? find(k, key, klen, hash(key, klen)) : NULL;
}

static struct kv_key *
key_new(struct kv_keys *k, const struct kv_record *r, uint64_t h)
{
	struct kv_key *e = arena_get(&k->arena, sizeof(*e) + r->klen);
	uint64_t at = seen_at(r->klen ? r->key[0] : 0, beginning(r->key, r->klen));
	uint8_t letter = r->klen ? r->key[0] : 0;

	*e = (struct kv_key){ .next = k->bucket[h % KV_KEYS_BUCKETS], .older = k->newest, .hash = h,
		              .klen = (uint16_t)r->klen };
	memcpy(e->key, r->key, r->klen);
	k->bucket[h % KV_KEYS_BUCKETS] = k->newest = e;
	k->letters[letter / 64] |= (uint64_t)1 << letter % 64;
	k->seen[at / 64] |= (uint64_t)1 << at % 64;
	k->bytes += sizeof(*e) + r->klen;
	k->n++;
	return e;
}

/* `spare`: it will grow. */
static void
key_set(struct kv_keys *k, struct kv_key *e, enum kv_kind kind, const void *val, size_t len, size_t spare)
{
	e->kind = kind;
	if (len > e->vcap) {
		e->vcap = (uint32_t)(len + spare);
		e->val = arena_get(&k->arena, e->vcap);
		k->bytes += e->vcap;
	}
	if (len)
		memcpy(e->val, val, len);
	e->vlen = (uint32_t)len;
}

static void
key_merge(struct kv_keys *k, struct kv_key *e, const struct kv_record *r)
{
	const char *op[2] = { (const char *)e->val, (const char *)r->val };
	const size_t len[2] = { e->vlen, r->vlen };
	unsigned char good = 0;
	size_t n = 0;
	char *sum;

	if (e->kind == KV_OPERAND)
		sum = kv_merge_partial(NULL, (const char *)e->key, e->klen, op, len, 2, &good, &n);
	else
		sum = kv_merge_full(NULL, (const char *)e->key, e->klen, e->kind == KV_VALUE ? op[0] : NULL, e->vlen,
		                    op + 1, len + 1, 1, &good, &n);
	assert(good && "an operand of a key that merges");
	key_set(k, e, e->kind == KV_OPERAND ? KV_OPERAND : KV_VALUE, must(sum), n, n);
	kv_merge_free(NULL, sum, n);
}

void
kv_keys_add(struct kv_keys *k, const struct kv_record *r)
{
	uint64_t h = hash(r->key, r->klen);
	struct kv_key *e = find(k, r->key, r->klen, h);

	if (e && r->kind == KV_OPERAND)
		key_merge(k, e, r);
	else
		key_set(k, e ? e : key_new(k, r, h), r->kind, r->val, r->vlen, 0);
}

/* ---- to RocksDB ---- */

/* A key and its beginning, which as a rule says where it belongs: the keys themselves lie all over the memory. */
struct kv_place {
	uint64_t first, second;
	const struct kv_key *key;
};

static struct kv_place
place_of(const struct kv_key *e)
{
	uint8_t b[16] = { 0 };

	memcpy(b, e->key, MIN(e->klen, sizeof(b)));
	return (struct kv_place){ .first = get_be64(b), .second = get_be64(b + 8), .key = e };
}

static int
by_key(const void *x, const void *y)
{
	const struct kv_place *p = x, *q = y;
	const struct kv_key *a = p->key, *b = q->key;
	int c;

	if (p->first != q->first)
		return p->first < q->first ? -1 : 1;
	if (p->second != q->second)
		return p->second < q->second ? -1 : 1;
	c = memcmp(a->key, b->key, MIN(a->klen, b->klen));
	return c ? c : (a->klen > b->klen) - (a->klen < b->klen);
}

void
kv_keys_batch(struct kv_keys *k, struct kv_batch *b)
{
	uint32_t n = 0;

	if (k->n > k->sorted_cap) {
		free(k->sorted);
		k->sorted_cap = 2 * (size_t)k->n;
		k->sorted = must(malloc(k->sorted_cap * sizeof(*k->sorted)));
	}
	for (const struct kv_key *e = k->newest; e; e = e->older)
		k->sorted[n++] = place_of(e);
	assert(n == k->n);
	if (n)
		qsort(k->sorted, n, sizeof(*k->sorted), by_key);
	for (uint32_t i = 0; i < n; i++) {
		const struct kv_key *e = k->sorted[i].key;

		switch (e->kind) {
		case KV_VALUE:
			kv_batch_put(b, e->key, e->klen, e->val, e->vlen);
			break;
		case KV_DELETED:
			kv_batch_del(b, e->key, e->klen);
			break;
		case KV_OPERAND:
			kv_batch_merge(b, e->key, e->klen, e->val, e->vlen);
			break;
		default:
			assert(false && "a kind");
		}
	}
}
