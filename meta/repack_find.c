/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/repack_impl.h"

#include "reactor/reactor.h"

#define WORTH     (64 * KIB)             /* dead bytes: fewer are not worth the requests */
#define PASS_REST 100                    /* times as long as the pass took */
#define MERGED_NS (60 * SEC_NS)          /* it waits no longer than this for compaction */

static bool
is_bad(const struct repack *r, uint64_t pack)
{
	return r->bad[pack % ARRAY_LEN(r->bad)] == pack;
}

/* What the index takes for the blocks that live is not dead: a pack of very small ones would be thin from the start. */
static bool
is_thin(const struct repack *r, uint64_t blocks, uint64_t live, uint64_t total)
{
	uint64_t needed = live + FOOTER_BYTES + blocks * (INDEX_BLOCK_BYTES + INDEX_FRAME_BYTES);

	return blocks > 0 && blocks <= UPLOAD_BLOCKS_MAX && needed + WORTH <= total && (double)needed < r->ratio * (double)total;
}

static int
see_pack(void *arg, const void *key, size_t klen, const void *val, size_t vlen)
{
	struct repack *r = arg;
	uint64_t pack = klen == 9 ? get_be64((const uint8_t *)key + 1) : 0;
	const uint8_t *v = val;

	if (pack == 0 || vlen != 24)
		return 0;
	r->seen = pack + 1;
	if (!is_thin(r, get_le64(v), get_le64(v + 8), get_le64(v + 16)) || is_bad(r, pack))
		return 0;
	r->found[r->n++] = (struct thin){ pack, get_le64(v + 16) };
	return r->n == REPACK_PACKS;
}

static void
find_reset(void *arg)
{
	struct repack *r = arg;

	r->n = r->at = 0;
	r->seen = r->from;
}

enum op_state
repack_find(struct repack *r)
{
	find_reset(r);
	r->scan.from_len = (uint16_t)key_pack(r->scan.from, r->from);
	r->scan.to_len = 1;
	r->scan.to[0] = 'P' + 1;
	r->scan.fn = see_pack;
	r->scan.arg = r;
	return kv_scan(&r->scan, find_reset, &r->step);
}

/* What is going to be merged into slices of its own need not move before. */
static bool
is_compacting(void)
{
	for (int i = 0; i < reactor_cores(); i++)
		if (file_compact_pending(i) > 0)
			return true;
	return false;
}

bool
repack_pass_begin(struct repack *r)
{
	uint64_t now = reactor_now_ns();

	if (!is_compacting())
		r->held_ns = 0;
	else if (r->held_ns == 0)
		r->held_ns = now;
	if (r->held_ns > 0 && now < r->held_ns + MERGED_NS)
		return false;
	if (r->passing)
		return true;
	if (!r->thinned || now < r->next_pass_ns)
		return false;
	r->passing = true;
	r->thinned = false;
	r->from = 0;
	r->pass_ns = now;
	return true;
}

void
repack_pass_end(struct repack *r)
{
	uint64_t now = reactor_now_ns();

	r->passing = false;
	r->next_pass_ns = now + MAX(r->delay_ns, (now - r->pass_ns) * PASS_REST);
}

void
repack_leave_alone(struct repack *r, uint64_t pack)
{
	r->bad[pack % ARRAY_LEN(r->bad)] = pack;
}
