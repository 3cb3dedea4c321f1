/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/ino.h"

#include <pthread.h>

#include "meta/record.h"

#define INO_BATCH 16384u

/*
 * 'N' is advanced by whichever thread takes a batch: at start a core's own, later
 * a worker, so a lock may guard it.
 */
static pthread_mutex_t reserve_lock = PTHREAD_MUTEX_INITIALIZER;

struct ino_taker {
	struct work work;
	struct op op;
	uint64_t first;
};

static __thread struct {
	uint64_t next, end;     /* in use */
	uint64_t spare;         /* the first of a whole batch, 0: none */
	bool taking;
	struct ino_taker taker;
	struct ino_wait *first, **last;
} t;

static int
reserve(uint64_t *first)
{
	uint8_t key[8], val[9];
	struct kv_batch *b;
	int res;

	pthread_mutex_lock(&reserve_lock);
	res = kv_get_now(key, key_ino_next(key), val, 8);
	if (res == 8) {
		*first = get_le64(val);
		put_le64(val, *first + INO_BATCH);
		b = kv_batch_new();
		kv_batch_put(b, key, key_ino_next(key), val, 8);
		res = kv_write_now(b);
		kv_batch_free(b);
	} else {
		res = -EIO;
	}
	pthread_mutex_unlock(&reserve_lock);
	crash_point("ino.reserved");
	return res;
}

int
ino_init(void)
{
	int err = reserve(&t.next);

	t.end = err ? 0 : t.next + INO_BATCH;
	t.spare = 0;
	t.taking = false;
	t.first = NULL;
	t.last = &t.first;
	return err;
}

void
ino_fini(void)
{
	assert(!t.first && !t.taking);
}

static int
take_work(struct work *w)
{
	return reserve(&container_of(w, struct ino_taker, work)->first);
}

static void take(void);

static bool
give(uint64_t *ino)
{
	if (t.next == t.end && t.spare) {
		t.next = t.spare;
		t.end = t.next + INO_BATCH;
		t.spare = 0;
	}
	if (!t.spare && !t.taking)
		take();
	if (t.next == t.end)
		return false;
	*ino = t.next++;
	return true;
}

static void
taken(struct op *op)
{
	struct ino_wait *w = t.first, *next;
	int err = op->res;

	t.taking = false;
	if (!err)
		t.spare = t.taker.first;
	t.first = NULL;
	t.last = &t.first;
	for (; w; w = next) {
		int res = err ? err : give(w->ino) ? 0 : -E_JUKEBOX;

		next = w->next;
		reactor_post(w->op, res);
	}
}

/* Fetches the batch after the one in use, so that nobody has to wait for it. */
static void
take(void)
{
	t.taking = true;
	t.taker.op.resume = taken;
	worker_run(&t.taker.work, take_work, &t.taker.op);
}

enum op_state
ino_get(struct ino_wait *w, uint64_t *ino, struct op *op)
{
	if (give(ino))
		return op_done(op, 0);
	*w = (struct ino_wait){ .ino = ino, .op = op };
	*t.last = w;
	t.last = &w->next;
	return OP_PENDING;
}
