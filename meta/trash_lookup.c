/* SPDX-License-Identifier: Apache-2.0 */
/* Names in the folders of the trash. */
#include "meta/dir.h"
#include "meta/trash_impl.h"
#include "reactor/log.h"

/* Operations in the folders at once, a core. */
#define OPS 128

static __thread struct slab ops;

int
trash_init(void)
{
	return slab_init(&ops, "trash", sizeof(struct trash_op), OPS);
}

void
trash_fini(void)
{
	slab_fini(&ops);
}

struct trash_op *
trash_op_get(void)
{
	return slab_get(&ops);
}

void
trash_op_put(struct trash_op *o)
{
	slab_put(&ops, o);
}

/* ---- a name in the folder of an hour */

enum { FIND_PEEKED, FIND_REC };

static int
find_check(struct trash_find *f, int res)
{
	const struct attr *a = &f->attr;

	if (res < 0)
		return res == -ESTALE ? -ENOENT : res;
	f->attr = f->peek.attr;
	if (!trash_holds(a) || trash_folder(a->parent) != f->folder)
		return -ENOENT;
	return f->cred->uid == 0 || f->cred->uid == a->uid ? 0 : -EACCES;
}

static int
find_took(struct trash_find *f, int res)
{
	char name[NAME_BYTES_MAX];
	uint32_t len;

	if (res >= 0)
		res = trash_decode(&f->rec, f->val, MIN((size_t)res, sizeof(f->val)));
	if (res == -ENOENT)
		return res;
	if (res < 0) {
		log_error("metadata: the record of inode %lu in the trash is %s", f->attr.ino, res == -EIO ? "not to be read" : "damaged");
		return -EIO;
	}
	len = trash_name(name, &f->rec, f->attr.ino);
	return len == f->name.len && !memcmp(name, f->name.s, len) ? 0 : -ENOENT;
}

static enum op_state
find_go(struct trash_find *f)
{
	uint8_t key[KV_KEY_MAX];
	int res = f->step.res;

	switch (f->stage) {
	case FIND_PEEKED:
		res = find_check(f, res);
		if (res < 0)
			break;
		f->stage = FIND_REC;
		if (kv_get(&f->kv, key, key_trash(key, f->attr.share, trash_second(f->attr.parent), f->attr.ino), f->val,
		           sizeof(f->val), &f->step) == OP_PENDING)
			return OP_PENDING;
		res = f->step.res;
		fallthrough;
	case FIND_REC:
		res = find_took(f, res);
		break;
	default:
		assert(false && "a stage");
	}
	return op_done(f->wait, res);
}

static void
find_resume(struct op *step)
{
	struct trash_find *f = container_of(step, struct trash_find, step);

	if (find_go(f) == OP_DONE)
		f->wait->resume(f->wait);
}

enum op_state
trash_find(struct trash_find *f, struct op *op)
{
	uint64_t ino = trash_name_ino(&f->name);

	if (ino == 0 || trash_second(f->folder) == 0)
		return op_done(op, -ENOENT);
	f->wait = op;
	f->step.resume = find_resume;
	f->stage = FIND_PEEKED;
	if (inode_peek(&f->peek, ino, 0, &f->step) == OP_PENDING)
		return OP_PENDING;
	return find_go(f);
}

/* ---- LOOKUP */

enum { LOOKUP_ROOT, LOOKUP_HOUR, LOOKUP_FOUND };

static void
folder_found(struct meta_lookup *m, uint64_t folder)
{
	m->child = trash_folder_ref(folder);
	trash_folder_attr(&m->attr, folder, &m->req.cred);
}

static int
see_one(void *arg, const void *key, size_t klen, const void *val, size_t vlen)
{
	(void)arg, (void)key, (void)klen, (void)val, (void)vlen;
	return 1;
}

static void
see_none(void *arg)
{
	(void)arg;
}

/* A folder is there while anything is in it. */
static enum op_state
find_hour(struct trash_op *o, uint64_t second)
{
	uint32_t share = o->lookup->req.f.share;

	o->stage = LOOKUP_HOUR;
	o->lookup->child.ino = trash_place(share, second);
	o->scan.from_len = (uint16_t)key_trash(o->scan.from, share, second, 0);
	o->scan.to_len = (uint16_t)key_trash(o->scan.to, share, second + TRASH_HOUR_S, 0);
	o->scan.fn = see_one;
	return kv_scan(&o->scan, see_none, &o->step);
}

static enum op_state
lookup_go(struct trash_op *o)
{
	struct meta_lookup *m = o->lookup;
	int res = o->step.res;

	switch (o->stage) {
	case LOOKUP_ROOT:
		if (res < 0)
			break;
		m->attr = m->peek.attr;
		m->child = (struct fref){ .ino = m->attr.ino, .gen = m->attr.gen, .share = m->req.f.share };
		break;
	case LOOKUP_HOUR:
		if (res > 0)
			folder_found(m, m->child.ino);
		res = res == 0 ? -ENOENT : res;
		break;
	case LOOKUP_FOUND:
		if (res < 0)
			break;
		m->attr = o->find.attr;
		m->child = (struct fref){ .ino = m->attr.ino, .gen = m->attr.gen, .share = m->req.f.share };
		break;
	default:
		assert(false && "a stage");
	}
	trash_op_put(o);
	return op_done(m->wait, MIN(res, 0));
}

static void
lookup_resume(struct op *step)
{
	struct trash_op *o = container_of(step, struct trash_op, step);
	struct op *wait = o->wait;

	if (lookup_go(o) == OP_DONE)
		wait->resume(wait);
}

static enum op_state
lookup_start(struct trash_op *o)
{
	struct meta_lookup *m = o->lookup;
	bool top = trash_second(m->req.f.ino) == 0;

	if (dir_name_is_dotdot(&m->name)) {
		o->stage = LOOKUP_ROOT; /* of an hour's folder it was there at once */
		return inode_peek(&m->peek, m->dir.parent, 0, &o->step);
	}
	if (top) {
		uint64_t second = trash_hour_second(&m->name);

		o->stage = LOOKUP_HOUR;
		return second ? find_hour(o, second) : op_done(&o->step, 0);
	}
	o->stage = LOOKUP_FOUND;
	o->find.folder = m->req.f.ino;
	o->find.name = m->name;
	o->find.cred = &m->req.cred;
	return trash_find(&o->find, &o->step);
}

enum op_state
trash_lookup(struct meta_lookup *m, struct op *op)
{
	int res = trash_folder_check(&m->req.f);
	struct trash_op *o;

	m->wait = op;
	m->has_dir = res == 0;
	if (res < 0)
		return op_done(op, res);
	trash_folder_attr(&m->dir, m->req.f.ino, &m->req.cred);
	res = dir_name_check(&m->name);
	if (res < 0)
		return op_done(op, res == -EINVAL ? -EACCES : res);
	if (dir_name_is_dot(&m->name) || (dir_name_is_dotdot(&m->name) && trash_is(m->dir.parent))) {
		folder_found(m, dir_name_is_dot(&m->name) ? m->dir.ino : m->dir.parent);
		return op_done(op, 0);
	}
	o = trash_op_get();
	if (!o)
		return op_done(op, -E_JUKEBOX);
	o->lookup = m;
	o->wait = op;
	o->step.resume = lookup_resume;
	if (lookup_start(o) == OP_PENDING)
		return OP_PENDING;
	return lookup_go(o);
}
