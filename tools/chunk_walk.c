/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/chunk_walk.h"

#include <stdlib.h>

#include "meta/kv.h"

#define PAGE_CHUNKS 64

struct page {
	struct chunk_val chunk[PAGE_CHUNKS];
	int n;
};

static int
see_chunk(void *arg, const void *key, size_t klen, const void *val, size_t vlen)
{
	struct page *p = arg;
	struct chunk_val *c = &p->chunk[p->n];

	if (klen != 17)
		return 0;
	*c = (struct chunk_val){ .ino = get_be64((const uint8_t *)key + 1), .chunk = get_be64((const uint8_t *)key + 9), .len = vlen };
	c->val = malloc(vlen ? vlen : 1);
	if (!c->val)
		return -ENOMEM;
	memcpy(c->val, val, vlen);
	return ++p->n == PAGE_CHUNKS;
}

int
chunk_walk(int (*fn)(void *arg, const struct chunk_val *c), void *arg)
{
	struct page p;
	struct kv_scan scan = { .fn = see_chunk, .arg = &p };
	int err = 0, more;

	scan.from_len = (uint16_t)key_chunk(scan.from, 0, 0);
	scan.to_len = 1;
	scan.to[0] = 'C' + 1;
	do {
		p.n = 0;
		more = kv_scan_now(&scan);
		if (more < 0)
			err = more;
		for (int i = 0; i < p.n; i++) {
			if (err == 0)
				err = fn(arg, &p.chunk[i]);
			free(p.chunk[i].val);
		}
		if (p.n > 0)
			scan.from_len = (uint16_t)key_chunk(scan.from, p.chunk[p.n - 1].ino, p.chunk[p.n - 1].chunk + 1);
	} while (err == 0 && more > 0);
	return err;
}
