/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <pthread.h>
#include <stdatomic.h>

#include "meta/assoc.h"
#include "tests/fake/rig.h"

#define KEYS 4096

struct thing { uint64_t key, value; };

static struct assoc a;
static uint64_t model[KEYS + 1]; /* 0: never there, or dropped */

static int
init(int core, void *arg)
{
	(void)core;
	(void)arg;
	return assoc_init(&a, "things", 1000, sizeof(struct thing));
}

static void
fini(int core, void *arg)
{
	(void)core;
	(void)arg;
	assoc_fini(&a);
}

static void
start(void)
{
	rig_start(1, init, fini);
}

TestSuite(assoc, .init = start, .fini = rig_stop);

static void
put(uint64_t key, uint64_t value)
{
	assoc_put(&a, key, &(struct thing){ key, value });
	model[key] = value;
}

/* What is found is what was put last; and nothing that was dropped comes back. */
Test(assoc, finds_the_last_or_nothing)
{
	uint64_t x = 7;
	int found = 0;

	for (int i = 0; i < 200000; i++) {
		uint64_t key = (x = x * 6364136223846793005u + 1442695040888963407u) >> 33;
		struct thing t, same;
		bool there;

		key = key % KEYS + 1;
		there = assoc_get(&a, key, &t);
		cr_assert(assoc_has(&a, key) == there);
		cr_assert(eq(int, assoc_look(&a, key, &same), there)); /* nobody is at it */
		if (there)
			cr_assert(t.key == key && t.value == model[key] && model[key] != 0 && same.value == t.value);
		found += there;
		if (x >> 20 & 3) {
			put(key, (uint64_t)i + 1);
		} else {
			assoc_drop(&a, key);
			cr_assert(not(assoc_get(&a, key, &t)));
			model[key] = 0;
		}
	}
	/* A quarter of the keys has room. */
	cr_assert(found > 200000 / 8 && found < 200000 / 3, "%d", found);
}

/* Who walks round and round over what just fits finds most of it. */
Test(assoc, keeps_most_of_a_walk)
{
	int found = 0;

	for (int lap = 0; lap < 10; lap++)
		for (uint64_t key = 1; key <= 1000; key++) {
			struct thing t;

			if (assoc_get(&a, key, &t))
				found++;
			else
				put(key, key);
		}
	cr_assert(found > 9 * 1000 * 7 / 10, "%d", found);
}

/* ---- who looks while the owner is at it */

#define CHANGES 300000
#define ROOM    10 /* of 15 keys, so that they take turns in few entries */

static _Atomic bool over;

static int
init_few(int core, void *arg)
{
	(void)core;
	(void)arg;
	return assoc_init(&a, "things", ROOM, sizeof(struct thing));
}

static void *
look_on(void *arg)
{
	uint64_t *seen = arg, last[16] = { 0 };

	while (!atomic_load(&over))
		for (uint64_t key = 1; key < 16; key++) {
			struct thing t;

			if (!assoc_look(&a, key, &t))
				continue;
			/* Of one piece, this key's, and never older than what was seen before. */
			cr_assert(t.key == key && t.value % 16 == key && t.value >= last[key]);
			last[key] = t.value;
			__atomic_store_n(seen, *seen + 1, __ATOMIC_RELAXED);
		}
	return NULL;
}

static enum op_state
change(void *arg, struct op *op)
{
	static uint64_t i;

	(void)arg;
	for (uint64_t end = i + CHANGES; i < end; i++) {
		uint64_t key = mix64(i) % 15 + 1;

		if (mix64(i) >> 60 == 0)
			assoc_drop(&a, key);
		else
			assoc_put(&a, key, &(struct thing){ key, 16 * i + key });
	}
	return op_done(op, 0);
}

Test(assoc_looks, see_whole_things, .init = NULL, .fini = rig_stop)
{
	uint64_t seen[2] = { 0 };
	pthread_t thread[2];

	rig_start(1, init_few, fini);
	for (int i = 0; i < 2; i++)
		cr_assert(pthread_create(&thread[i], NULL, look_on, &seen[i]) == 0);
	/* However late they start: until each has seen something. */
	do
		rig_call(0, change, NULL);
	while (__atomic_load_n(&seen[0], __ATOMIC_RELAXED) == 0 || __atomic_load_n(&seen[1], __ATOMIC_RELAXED) == 0);
	atomic_store(&over, true);
	for (int i = 0; i < 2; i++)
		pthread_join(thread[i], NULL);
}

/* ---- who looks while it grows */

#define MANY 100000

static int
init_many(int core, void *arg)
{
	(void)core;
	(void)arg;
	return assoc_init(&a, "things", MANY, sizeof(struct thing));
}

static enum op_state
fill(void *arg, struct op *op)
{
	uint64_t *filled = arg;

	for (uint64_t key = 1; key <= MANY; key++) {
		assoc_put(&a, key, &(struct thing){ key, ~key });
		__atomic_store_n(filled, key, __ATOMIC_RELEASE);
	}
	return op_done(op, 0);
}

static uint64_t filled;

static void *
look_at_all(void *arg)
{
	uint64_t x = (uint64_t)(uintptr_t)arg, n;

	while ((n = __atomic_load_n(&filled, __ATOMIC_ACQUIRE)) < MANY) {
		struct thing t;

		x = x * 6364136223846793005u + 1442695040888963407u;
		assoc_near(&a, x % MANY + 1, 0);
		assoc_near(&a, x % MANY + 1, 1);
		if (assoc_look(&a, x % MANY + 1, &t))
			cr_assert(t.key == x % MANY + 1 && t.value == ~t.key);
	}
	return NULL;
}

Test(assoc_looks, see_whole_things_while_it_grows, .init = NULL, .fini = rig_stop)
{
	pthread_t thread[2];
	int found = 0;

	rig_start(1, init_many, fini);
	for (int i = 0; i < 2; i++)
		cr_assert(pthread_create(&thread[i], NULL, look_at_all, (void *)(uintptr_t)(i + 1)) == 0);
	rig_call(0, fill, &filled);
	for (int i = 0; i < 2; i++)
		pthread_join(thread[i], NULL);
	for (uint64_t key = 1; key <= MANY; key++) {
		struct thing t;

		found += assoc_look(&a, key, &t);
	}
	cr_assert(found > MANY * 98 / 100, "%d", found);
}
