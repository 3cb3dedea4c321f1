/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/sliceid.h"

#include <pthread.h>
#include <stdlib.h>

#include "meta/file_core.h"
#include "meta/kv.h"
#include "meta/record.h"
#include "reactor/log.h"
#include "reactor/worker.h"

#define BATCH 65536u

struct batch {
	uint64_t next, end;
};

struct slice_ids {
	struct batch now, spare;
	struct work work;
	struct batch taken;
	struct op step;
	struct op *ready;
	bool busy;
};

static __thread struct slice_ids *mine;

/* Any thread that may block.  The lock orders the batches of the cores: 'S' only rises. */
static int
batch_take(struct batch *out)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	uint8_t key[KV_KEY_MAX], v[8];
	size_t klen = key_slice_next(key);
	struct kv_batch *b = kv_batch_new();
	int res;

	pthread_mutex_lock(&lock);
	res = kv_get_now(key, klen, v, sizeof(v));
	if (res == sizeof(v)) {
		out->next = MAX(get_le64(v), file_options()->slice_floor);
		out->end = out->next + BATCH;
		put_le64(v, out->end);
		kv_batch_put(b, key, klen, v, sizeof(v));
		res = kv_write_now(b);
	} else if (res >= 0) {
		res = -E_DAMAGED;
	}
	pthread_mutex_unlock(&lock);
	kv_batch_free(b);
	return res;
}

static int
take_work(struct work *w)
{
	return batch_take(&container_of(w, struct slice_ids, work)->taken);
}

static void
taken(struct op *step)
{
	struct slice_ids *s = container_of(step, struct slice_ids, step);
	struct op *ready = s->ready;

	s->busy = false;
	s->ready = NULL;
	if (step->res < 0)
		log_error("cannot take slice ids from the metadata: error %d", step->res);
	else
		s->spare = s->taken;
	if (ready)
		ready->resume(ready);
}

static void
order_spare(struct slice_ids *s)
{
	if (s->busy || s->spare.next < s->spare.end)
		return;
	s->busy = true;
	s->step.resume = taken;
	worker_run(&s->work, take_work, &s->step);
}

uint64_t
slice_id_take(uint32_t n, struct op *ready)
{
	struct slice_ids *s = mine;
	uint64_t id;

	assert(n <= SLICE_IDS_MAX);
	if (s->now.end - s->now.next < n && s->spare.next < s->spare.end) {
		s->now = s->spare;
		s->spare = (struct batch){ 0 };
	}
	if (s->now.end - s->now.next < BATCH / 2)
		order_spare(s);
	if (s->now.end - s->now.next < n) {
		s->ready = ready ? ready : s->ready;
		return 0;
	}
	id = s->now.next;
	s->now.next += n;
	return id;
}

bool
slice_id_is_busy(void)
{
	return mine->busy;
}

int
slice_id_init(void)
{
	int res;

	mine = calloc(1, sizeof(*mine));
	if (!mine)
		return -ENOMEM;
	res = batch_take(&mine->now);
	if (res < 0)
		log_error("cannot take slice ids from the metadata: error %d", res);
	return res;
}

void
slice_id_fini(void)
{
	assert(!mine->busy);
	free(mine);
	mine = NULL;
}
