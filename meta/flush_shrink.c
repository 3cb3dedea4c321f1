/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When the object store goes away, flushes let go of what they hold: it is most of the memory
 * for payloads, which readers and writers need meanwhile.  What the store has taken already is
 * recorded (a shrunk flush), the rest is picked again when it is back.  Blocks behind one that is missing are
 * not recorded, and `gc` finds them.
 */
#include "meta/flush_impl.h"

static bool
is_done(const struct flush *fl, uint32_t object)
{
	return fl->object[object].state == OBJECT_DONE;
}

/* Cuts the slice to what is in the store from its beginning on. */
static void
slice_shrink(struct flush *fl, struct flush_slice *s, bool pack)
{
	uint32_t own = 0;

	while (own < s->nown && is_done(fl, s->first_own + own))
		own++;
	if (own == s->nown && (s->small < 0 || pack))
		return;
	if (s->small >= 0)
		fl->small[s->small].plain = 0; /* nobody's bytes in the pack */
	s->small = -1;
	s->nown = own;
	s->len = own * (uint32_t)BLOCK_BYTES;
}

static bool
shrink(struct flush *fl)
{
	bool pack = fl->nsmall > 0 && is_done(fl, fl->nown);
	uint64_t left = 0;

	for (uint32_t i = 0; i < fl->nslices; i++) {
		slice_shrink(fl, &fl->slice[i], pack);
		left += fl->slice[i].len;
	}
	if (!pack)
		fl->nsmall = 0;
	fl->shrunk = true;
	return left > 0;
}

bool
flush_let_go(void)
{
	for (struct flush *fl = flush_core->flushes; fl; fl = fl->next) {
		if (fl->stage != FLUSH_UPLOAD || fl->uploading > 0)
			continue;
		if (fl->uploaded > 0 && shrink(fl))
			flush_commit(fl);
		else
			flush_end(fl);
		return true;
	}
	return false;
}
