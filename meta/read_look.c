/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A READ of one page, answered on its connection's core from what the owner shows.  A copy of 4 KiB costs a fraction
 * of what two messages and back cost; what is longer goes without a copy, by its owner.
 */
#include "meta/attrcache.h"
#include "meta/file_core.h"
#include "meta/pageshow.h"
#include "meta/perm.h"

static bool
is_page(uint64_t off, uint32_t count)
{
	return count == PAGE && off % PAGE == 0;
}

/* With these attributes its owner would answer OK, and change nothing. */
static bool
may_look(const struct file_read *r, const struct attr *a)
{
	return a->gen == r->req.f.gen && a->share == r->req.f.share && a->type == FT_REG &&
	       a->size >= PAGE && r->off <= a->size - PAGE && file_atime_stays(a) && perm_may_io(a, &r->req.cred, MAY_READ);
}

bool
file_read_look(struct file_read *r)
{
	uint64_t ino = r->req.f.ino;
	struct buf *b;

	r->afar = !shard_owns(ino);
	if (!r->afar || !is_page(r->off, r->count) || !attrcache_look(ino, &r->attr) || !may_look(r, &r->attr))
		return false;
	b = buf_get(BUF_SMALL, BUF_CACHE);
	if (!b)
		return false;
	if (!pageshow_look(&r->attr, r->off / PAGE, b->data)) {
		buf_put(b);
		return false;
	}
	r->has_attr = true;
	r->len = PAGE;
	r->eof = r->off + PAGE == r->attr.size;
	r->piece[0] = (struct bufref){ b, 0, PAGE };
	r->npieces = 1;
	file_count()->reads++;
	file_count()->read_bytes += PAGE;
	file_count()->pages_copied++;
	cache_peeked();
	return true;
}

void
file_read_near(uint64_t ino, uint64_t off, uint32_t count, int step)
{
	if (step > 1 || !is_page(off, count) || shard_owns(ino))
		return;
	attrcache_near(ino, step);
	pageshow_near(ino, off / PAGE, step);
}

void
file_read_show(const struct file_read *r, struct inode *i)
{
	const struct bufref *p = &r->piece[0];

	if (!r->afar || !is_page(r->off, r->count) || r->npieces != 1 || r->len != PAGE || !p->buf || p->off % PAGE != 0)
		return;
	inode_show(i);
	if (i->shown)
		pageshow_put(&i->attr, r->off / PAGE, p->buf, p->off);
}
