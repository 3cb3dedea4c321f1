/* SPDX-License-Identifier: Apache-2.0 */
#include <stdatomic.h>
#include <sys/statvfs.h>

#include "meta/trash.h"
#include "meta/usage.h"
#include "meta/volume.h"

/* What the disk said is good for so long; many clients poll. */
#define STAT_FRESH_NS 1000000000u

/* As good as unlimited, and still positive where a client counts in 1 KiB blocks of 63 bits. */
#define UNLIMITED_BYTES  ((uint64_t)1 << 60)
#define UNLIMITED_INODES ((uint64_t)1 << 40)

enum { FSSTAT_INODE, FSSTAT_DISK };

static struct {
	_Atomic uint64_t avail, taken_ns;
} disk;

void
fsstat_open(void)
{
	atomic_store(&disk.taken_ns, 0);
}

static int
disk_work(struct work *w)
{
	struct statvfs v;

	(void)w;
	if (statvfs(meta_config()->objects_path, &v) < 0)
		return -EIO;
	atomic_store_explicit(&disk.avail, v.f_bavail * v.f_frsize, memory_order_relaxed);
	return 0;
}

static uint64_t
less(uint64_t a, uint64_t b)
{
	return a > b ? a - b : 0;
}

/*
 * The volume's own view: used is what its files use, free what the disk (or the
 * capacity) can still take, the whole is their sum.  What else lies on the disk is not shown as ours.
 */
static void
fsstat_fill(struct meta_fsstat *m)
{
	const struct meta_config *c = meta_config();
	struct usage u;

	usage_get(m->attr.share, &u);
	m->used_bytes = u.bytes;
	m->used_inodes = u.inodes;
	m->free_bytes = less(c->capacity_bytes ? c->capacity_bytes : UNLIMITED_BYTES, m->used_bytes);
	if (c->objects_path[0])
		m->free_bytes = MIN(m->free_bytes, atomic_load_explicit(&disk.avail, memory_order_relaxed));
	m->total_bytes = m->used_bytes + m->free_bytes;
	m->total_inodes = c->capacity_inodes ? c->capacity_inodes : UNLIMITED_INODES;
	m->free_inodes = less(m->total_inodes, m->used_inodes);
}

static int
attr_take(struct meta_fsstat *m)
{
	if (trash_is(m->req.f.ino)) {
		trash_folder_attr(&m->attr, m->req.f.ino, &m->req.cred);
		return trash_folder_check(&m->req.f);
	}
	m->attr = m->get.inode->attr;
	inode_put(m->get.inode);
	return m->attr.share == m->req.f.share ? 0 : -ESTALE;
}

static enum op_state
fsstat_go(struct meta_fsstat *m)
{
	uint64_t now = reactor_now_ns();
	int res = m->step.res;

	switch (m->stage) {
	case FSSTAT_INODE:
		if (res < 0)
			break;
		res = attr_take(m);
		if (res)
			break;
		m->has_attr = true;
		m->stage = FSSTAT_DISK;
		if (meta_config()->objects_path[0] &&
		    now - atomic_load_explicit(&disk.taken_ns, memory_order_relaxed) >= STAT_FRESH_NS)
			return worker_run(&m->work, disk_work, &m->step);
		fsstat_fill(m);
		break;
	case FSSTAT_DISK:
		if (res < 0)
			break;
		atomic_store_explicit(&disk.taken_ns, now, memory_order_relaxed);
		fsstat_fill(m);
		break;
	default:
		assert(false && "a stage");
	}
	return op_done(m->wait, res);
}

static void
fsstat_resume(struct op *step)
{
	struct meta_fsstat *m = container_of(step, struct meta_fsstat, step);

	if (fsstat_go(m) == OP_DONE)
		m->wait->resume(m->wait);
}

enum op_state
meta_fsstat(struct meta_fsstat *m, struct op *op)
{
	m->wait = op;
	m->step.resume = fsstat_resume;
	m->stage = FSSTAT_INODE;
	m->has_attr = false;
	m->step.res = 0;
	if (!trash_is(m->req.f.ino) && inode_get(&m->get, m->req.f.ino, m->req.f.gen, &m->step) == OP_PENDING)
		return OP_PENDING;
	return fsstat_go(m);
}
