/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A data path that keeps nothing: what inode.c and the namespace operations
 * call of meta/file.h.  Included by tests of the metadata alone.
 */
#ifndef TESTS_FILE_FAKE_H
#define TESTS_FILE_FAKE_H

#include <stdatomic.h>

#include "meta/file.h"
#include "meta/garbage.h"
#include "meta/usage.h"

/* Inodes whose ->file is this have data. */
#define FAKE_FILE ((struct file *)(uintptr_t)8)

static struct {
	bool later;                /* answer quiesce and trunc from the run queue */
	bool dirty;                /* files are not clean */
	int quiesce_err, trunc_err;
	_Atomic int quiesced, prepared, truncated, forgotten;
	struct op *quiesce_held;   /* with hold: who waits */
	bool hold;
} fake;

static inline enum op_state
fake_answer(struct op *op, int res)
{
	if (!fake.later)
		return op_done(op, res);
	reactor_post(op, res);
	return OP_PENDING;
}

enum op_state
file_quiesce(struct inode *i, struct op *op)
{
	assert(shard_owns(i->ino) && i->locked);
	fake.quiesced++;
	if (fake.hold) {
		fake.quiesce_held = op;
		return OP_PENDING;
	}
	return fake_answer(op, fake.quiesce_err);
}

enum op_state
file_trunc_prepare(struct file_trunc *t, struct op *op)
{
	assert(shard_owns(t->inode->ino) && t->inode->locked);
	fake.prepared++;
	if (!fake.trunc_err) {
		uint64_t used = MIN(t->attr->used, t->size);

		usage_add(t->batch, t->attr->share, (int64_t)used - (int64_t)t->attr->used, 0);
		t->attr->used = used;
		t->attr->size = t->size;
	}
	return fake_answer(op, fake.trunc_err);
}

void
file_truncated(struct file_trunc *t)
{
	assert(shard_owns(t->inode->ino) && t->inode->locked);
	fake.truncated++;
}

void
file_unlocked(struct inode *i)
{
	assert(shard_owns(i->ino));
}

void
file_forget(struct inode *i)
{
	assert(shard_owns(i->ino));
	i->file = NULL;
	fake.forgotten++;
}

bool
file_is_clean(const struct inode *i)
{
	(void)i;
	return !fake.dirty;
}

size_t
garbage_encode(uint8_t v[GARBAGE_BYTES], uint32_t share)
{
	v[0] = 1;
	put_le32(v + 1, share);
	return GARBAGE_BYTES;
}

uint32_t
file_replay_inodes(void)
{
	return 0;
}

#endif
