/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "meta/kv_apply.h"

/* An inline iterator gives up to a worker after so many deleted keys in a row. */
#define SKIP_MAX 512
/* Who reads all there is reads so much at a time where it comes from the disk. */
#define PASSING_READ (64 * KIB)

/*
 * Of a table file that is not open, as most are not when a large database has just been opened, a read at
 * block-cache tier says that the key is there with an empty value: TableCache::Get calls that "may
 * exist", and the C interface does not tell.  No record of ours is empty but a chunk's whose slices have all
 * gone, so then a worker looks.
 */
static bool
is_guess(const rocksdb_readoptions_t *ro, size_t len)
{
	return ro == kv.ro_mem && len == 0;
}

/* What is pending upon something in RocksDB. */
static int
get_merged(const void *key, size_t klen, void *out, uint32_t cap)
{
	char *val;
	int len = kv_apply_merged(key, klen, &val);

	if (len > 0)
		memcpy(out, val, MIN((uint32_t)len, cap));
	free(val);
	return len;
}

/* The value's length, copied up to cap; -EAGAIN: not in memory. */
static int
get_copy(const rocksdb_readoptions_t *ro, const void *key, size_t klen, void *out, uint32_t cap)
{
	rocksdb_pinnableslice_t *s;
	char *msg = NULL;
	const char *val;
	size_t len;
	int res;

	switch (kv_apply_get(key, klen, out, cap, &res)) {
	case KV_PENDING:
		return res;
	case KV_UPON:
		return ro == kv.ro_mem ? -EAGAIN : get_merged(key, klen, out, cap);
	case KV_NOTHING:
		break;
	}
	s = rocksdb_get_pinned(kv.db, ro, key, klen, &msg);
	if (msg)
		return kv_status(msg);
	if (!s)
		return -ENOENT;
	val = rocksdb_pinnableslice_value(s, &len);
	memcpy(out, val, MIN(len, cap));
	rocksdb_pinnableslice_destroy(s);
	if (is_guess(ro, len))
		return -EAGAIN;
	return len > INT32_MAX ? -E_DAMAGED : (int)len;
}

static int
get_work(struct work *work)
{
	struct kv_get *g = container_of(work, struct kv_get, work);

	return get_copy(kv.ro_disk, g->key, g->klen, g->out, g->cap);
}

enum op_state
kv_get(struct kv_get *g, const void *key, size_t klen, void *out, uint32_t cap, struct op *op)
{
	int res = get_copy(kv.ro_mem, key, klen, out, cap);

	kv_count(&kv_counters()->gets);
	if (res != -EAGAIN)
		return op_done(op, res);
	assert(klen <= sizeof(g->key));
	kv_count(&kv_counters()->misses);
	memcpy(g->key, key, klen);
	g->klen = (uint16_t)klen;
	g->out = out;
	g->cap = cap;
	return worker_run(&g->work, get_work, op);
}

int
kv_get_try(const void *key, size_t klen, void *out, uint32_t cap)
{
	kv_count(&kv_counters()->gets);
	return get_copy(kv.ro_mem, key, klen, out, cap);
}

/* The value, malloc'ed.  -EAGAIN: not in memory, or long. */
static int
get_val(const rocksdb_readoptions_t *ro, const void *key, size_t klen, char **out)
{
	char *msg = NULL, near[PAGE];
	enum kv_pending what;
	size_t len;
	int res;

	*out = NULL;
	what = kv_apply_get(key, klen, near, sizeof(near), &res);
	if (what == KV_PENDING && res <= (int)sizeof(near)) {
		if (res < 0)
			return res;
		*out = malloc(MAX((size_t)res, (size_t)1));
		if (!*out)
			return -ENOMEM;
		memcpy(*out, near, (size_t)res);
		return res;
	}
	if (what != KV_NOTHING)
		return ro == kv.ro_mem ? -EAGAIN : kv_apply_merged(key, klen, out);
	*out = rocksdb_get(kv.db, ro, key, klen, &len, &msg);
	if (msg)
		return kv_status(msg);
	if (!*out)
		return -ENOENT;
	return is_guess(ro, len) ? -EAGAIN : len > INT32_MAX ? -E_DAMAGED : (int)len;
}

static int
get_any(struct kv_get_any *g, const rocksdb_readoptions_t *ro)
{
	char *val;
	int res = get_val(ro, g->key, g->klen, &val);

	g->out = res < 0 ? NULL : val;
	g->len = res < 0 ? 0 : (uint32_t)res;
	if (res < 0)
		free(val);
	return res;
}

static int
get_any_work(struct work *work)
{
	return get_any(container_of(work, struct kv_get_any, work), kv.ro_disk);
}

enum op_state
kv_get_any(struct kv_get_any *g, const void *key, size_t klen, struct op *op)
{
	int res;

	assert(klen <= sizeof(g->key));
	memcpy(g->key, key, klen);
	g->klen = (uint16_t)klen;
	kv_count(&kv_counters()->gets);
	res = get_any(g, kv.ro_mem);
	if (res != -EAGAIN)
		return op_done(op, res);
	kv_count(&kv_counters()->misses);
	return worker_run(&g->work, get_any_work, op);
}

int
kv_get_now(const void *key, size_t klen, void *out, uint32_t cap)
{
	return get_copy(kv.ro_disk, key, klen, out, cap);
}

/* Takes the options. */
static int
iterate(struct kv_scan *s, rocksdb_readoptions_t *ro)
{
	rocksdb_iterator_t *it;
	char *msg = NULL;
	int res = 0;

	/* The bound also keeps it from wading through what was deleted behind the range. */
	rocksdb_readoptions_set_iterate_upper_bound(ro, (const char *)s->to, s->to_len);
	it = rocksdb_create_iterator(kv.db, ro);
	for (rocksdb_iter_seek(it, (const char *)s->from, s->from_len); rocksdb_iter_valid(it);
	     rocksdb_iter_next(it)) {
		size_t klen, vlen;
		const char *key = rocksdb_iter_key(it, &klen), *val = rocksdb_iter_value(it, &vlen);

		res = s->fn(s->arg, key, klen, val, vlen);
		if (res)
			break;
	}
	if (!res) {
		rocksdb_iter_get_error(it, &msg);
		res = msg ? kv_status(msg) : 0;
	}
	rocksdb_iter_destroy(it);
	rocksdb_readoptions_destroy(ro);
	return res;
}

static int
scan(struct kv_scan *s, bool in_memory)
{
	rocksdb_readoptions_t *ro;
	bool late;
	int res = 0;

	if (kv_apply_may_hold(s, &late))
		res = in_memory ? -EAGAIN : kv_apply_wait(late);
	if (res)
		return res;
	ro = rocksdb_readoptions_create();
	if (in_memory) {
		rocksdb_readoptions_set_read_tier(ro, 1);
		rocksdb_readoptions_set_max_skippable_internal_keys(ro, SKIP_MAX);
	}
	return iterate(s, ro);
}

static int
scan_work(struct work *work)
{
	return scan(container_of(work, struct kv_scan, work), false);
}

enum op_state
kv_scan(struct kv_scan *s, void (*reset)(void *arg), struct op *op)
{
	int res = scan(s, true);

	kv_count(&kv_counters()->gets);
	if (res != -EAGAIN)
		return op_done(op, res);
	kv_count(&kv_counters()->misses);
	reset(s->arg);
	return worker_run(&s->work, scan_work, op);
}

int
kv_scan_try(struct kv_scan *s)
{
	kv_count(&kv_counters()->gets);
	return scan(s, true);
}

int
kv_scan_now(struct kv_scan *s)
{
	return scan(s, false);
}

int
kv_settle_now(void)
{
	return kv_apply_wait(false);
}

int
kv_scan_applied(struct kv_scan *s)
{
	rocksdb_readoptions_t *ro = rocksdb_readoptions_create();

	rocksdb_readoptions_set_fill_cache(ro, 0);
	rocksdb_readoptions_set_readahead_size(ro, PASSING_READ);
	return iterate(s, ro);
}
