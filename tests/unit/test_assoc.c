/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>

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
	*(struct thing *)assoc_add(&a, key) = (struct thing){ key, value };
	model[key] = value;
}

/* What is found is what was put last; and nothing that was dropped comes back. */
Test(assoc, finds_the_last_or_nothing)
{
	uint64_t x = 7;
	int found = 0;

	for (int i = 0; i < 200000; i++) {
		uint64_t key = (x = x * 6364136223846793005u + 1442695040888963407u) >> 33;
		const struct thing *t;

		key = key % KEYS + 1;
		t = assoc_find(&a, key);
		if (t)
			cr_assert(t->key == key && t->value == model[key] && model[key] != 0);
		found += t != NULL;
		if (x >> 20 & 3) {
			put(key, (uint64_t)i + 1);
		} else {
			assoc_drop(&a, key);
			cr_assert(assoc_find(&a, key) == NULL);
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
			if (assoc_find(&a, key))
				found++;
			else
				put(key, key);
		}
	cr_assert(found > 9 * 1000 * 7 / 10, "%d", found);
}
