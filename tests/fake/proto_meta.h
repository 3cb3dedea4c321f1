/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All of meta/meta.h and meta/file.h that the protocol calls.  The answers are made up from
 * the arguments, so that a test can tell what must come out; two bits of
 * `fake_plan` decide each call: answer now or later, well or ill (fake_ill).
 * What was asked stands in fake_seen.  Asserts that it runs on the owner.
 * With fake_shown the *_look say what the owner would have said at once.
 *
 * Over tests/fake/one_thread.h, or with FAKE_META_REAL_REACTOR over the real reactor: then each
 * core has its own of all this.
 */
#ifndef TESTS_FAKE_PROTO_META_H
#define TESTS_FAKE_PROTO_META_H

#include "meta/file.h"

#ifdef FAKE_META_REAL_REACTOR
#include <stdio.h>
#include <stdlib.h>
#define fake_per_core __thread

static inline void
fake_need(bool ok, const char *what)
{
	if (!ok) {
		fprintf(stderr, "fake meta: %s\n", what);
		abort();
	}
}
#else
#include "tests/fake/one_thread.h"
#define fake_per_core
#endif

static fake_per_core unsigned fake_plan, fake_calls;
static fake_per_core int fake_ill = -EIO;
static fake_per_core int fake_hold_op; /* > 0: the next operations wait until fake_release */
static fake_per_core struct op *fake_held_op[64];
static fake_per_core int fake_held_res[64], fake_held_core[64], fake_nheld;

static fake_per_core bool fake_shown;
static fake_per_core int fake_near[META_NEAR_STEPS]; /* calls that took each step before a look */

static inline void
fake_step(int step)
{
	fake_near[step]++;
	fake_need(step == 0 || fake_near[step] <= fake_near[step - 1], "a step before the one before");
}

static fake_per_core struct {
	const char *what;
	int core;
	struct meta_req req;
	char name[8192], name2[8192];
	uint32_t name_len, name2_len;
	struct sattr sattr;
	struct fref f2;
	uint64_t off;
	uint32_t count, mask, type, stable, major, minor;
	uint64_t verf, guard;
	bool rmdir, has_guard;
	int how;
	uint8_t data[FILE_IO_MAX];
} fake_seen;

static inline void
fake_note(const char *what, const struct meta_req *r)
{
	fake_need(fake_shown || shard_owns(r->f.ino), "an operation runs on a core that does not own the inode");
	fake_seen.what = what;
	fake_seen.core = reactor_core();
	fake_seen.req = *r;
}

static inline void
fake_note_name(char *to, uint32_t *len, const char *s, uint32_t n)
{
	fake_need(n <= sizeof fake_seen.name, "a long name");
	if (n)
		memcpy(to, s, n);
	*len = n;
}

static inline unsigned
fake_bits(void)
{
	return fake_calls < 16 ? fake_plan >> (2 * fake_calls) & 3 : 0;
}

static inline bool
fake_next_fails(void)
{
	return fake_bits() & 2;
}

static inline enum op_state
fake_answer(struct op *op, int res)
{
	unsigned bits = fake_bits();

	fake_calls++;
	if (bits & 2)
		res = fake_ill;
	if (fake_hold_op > 0) {
		fake_hold_op--;
		fake_held_op[fake_nheld] = op;
		fake_held_core[fake_nheld] = reactor_core();
		fake_held_res[fake_nheld++] = res;
		return OP_PENDING;
	}
	if (bits & 1) {
		reactor_post(op, res);
		return OP_PENDING;
	}
	return op_done(op, res);
}

/* Answers what was held (here), the newest first: out of order. */
static inline void
fake_release(void)
{
	while (fake_nheld > 0) {
		fake_nheld--;
#ifdef FAKE_META_REAL_REACTOR
		reactor_post(fake_held_op[fake_nheld], fake_held_res[fake_nheld]);
#else
		runq_push(&fake_ready[fake_held_core[fake_nheld]], fake_held_op[fake_nheld], fake_held_res[fake_nheld]);
#endif
	}
}

static inline struct attr
fake_attr(const struct fref *f, uint32_t type)
{
	return (struct attr){
		.ino = f->ino, .gen = f->gen, .share = f->share, .type = type, .mode = 0640, .uid = 10, .gid = 20, .nlink = 3,
		.size = 1000 + f->ino, .used = 4096, .atime_ns = 1000000001, .mtime_ns = 2000000002, .ctime_ns = 3000000003,
		.rdev_major = 4, .rdev_minor = 5,
	};
}

static inline struct wcc
fake_wcc(const struct fref *f, uint32_t type)
{
	return (struct wcc){ .has_pre = true, .has_post = true, .pre_size = 7 + f->ino, .pre_mtime_ns = 5000000006,
	                     .pre_ctime_ns = 7000000008, .post = fake_attr(f, type) };
}

enum op_state
meta_getattr(struct meta_getattr *m, struct op *op)
{
	fake_note("getattr", &m->req);
	m->attr = fake_attr(&m->req.f, m->req.f.ino < 100 ? FT_DIR : FT_REG);
	m->attr.gen = m->req.f.gen ? m->req.f.gen : 1;
	return fake_answer(op, 0);
}

void
meta_getattr_near(const struct meta_getattr *m, int step)
{
	(void)m;
	fake_step(step);
}

bool
meta_getattr_look(struct meta_getattr *m, int *res)
{
	struct op op;

	if (!fake_shown)
		return false;
	meta_getattr(m, &op);
	*res = op.res;
	return true;
}

enum op_state
meta_setattr(struct meta_setattr *m, struct op *op)
{
	fake_note("setattr", &m->req);
	fake_seen.sattr = m->sattr;
	fake_seen.has_guard = m->has_guard;
	fake_seen.guard = m->guard_ctime_ns;
	m->wcc = fake_wcc(&m->req.f, FT_REG);
	return fake_answer(op, 0);
}

enum op_state
meta_access(struct meta_access *m, struct op *op)
{
	fake_note("access", &m->req);
	fake_seen.mask = m->mask;
	m->mask &= ACC_READ | ACC_LOOKUP | ACC_MODIFY;
	m->attr = fake_attr(&m->req.f, FT_DIR);
	return fake_answer(op, 0);
}

enum op_state
meta_lookup(struct meta_lookup *m, struct op *op)
{
	fake_note("lookup", &m->req);
	fake_note_name(fake_seen.name, &fake_seen.name_len, m->name.s, m->name.len);
	m->has_dir = true;
	m->dir = fake_attr(&m->req.f, FT_DIR);
	m->child = (struct fref){ .ino = m->req.f.ino + 1, .gen = 1, .share = m->req.f.share };
	/* "file" is one, "none" is not there, all else are directories. */
	m->attr = fake_attr(&m->child, m->name.len == 4 && memcmp(m->name.s, "file", 4) == 0 ? FT_REG : FT_DIR);
	return fake_answer(op, m->name.len == 4 && memcmp(m->name.s, "none", 4) == 0 ? -ENOENT : 0);
}

void
meta_access_near(const struct meta_access *m, int step)
{
	(void)m;
	fake_step(step);
}

bool
meta_access_look(struct meta_access *m, int *res)
{
	struct op op;

	if (!fake_shown)
		return false;
	meta_access(m, &op);
	*res = op.res;
	return true;
}

void
meta_lookup_near(struct meta_lookup *m, int step)
{
	(void)m;
	fake_step(step);
}

bool
meta_lookup_look(struct meta_lookup *m, int *res)
{
	struct op op;

	if (!fake_shown)
		return false;
	meta_lookup(m, &op);
	*res = op.res;
	return true;
}

enum op_state
meta_readlink(struct meta_readlink *m, struct op *op)
{
	fake_note("readlink", &m->req);
	m->has_attr = true;
	m->attr = fake_attr(&m->req.f, FT_LNK);
	m->len = (uint32_t)(m->req.f.ino % SYMLINK_BYTES_MAX);
	memset(m->out, 't', m->len);
	return fake_answer(op, 0);
}

enum op_state
meta_create(struct meta_create *m, struct op *op)
{
	fake_note("create", &m->req);
	fake_note_name(fake_seen.name, &fake_seen.name_len, m->name.s, m->name.len);
	fake_note_name(fake_seen.name2, &fake_seen.name2_len, m->target, m->target_len);
	fake_seen.type = m->type;
	fake_seen.how = (int)m->how;
	fake_seen.verf = m->verf;
	fake_seen.sattr = m->sattr;
	fake_seen.major = m->rdev_major;
	fake_seen.minor = m->rdev_minor;
	m->child = (struct fref){ .ino = m->req.f.ino + 1000, .gen = 2, .share = m->req.f.share };
	m->attr = fake_attr(&m->child, m->type);
	m->dir = fake_wcc(&m->req.f, FT_DIR);
	return fake_answer(op, 0);
}

enum op_state
meta_unlink(struct meta_unlink *m, struct op *op)
{
	fake_note("unlink", &m->req);
	fake_note_name(fake_seen.name, &fake_seen.name_len, m->name.s, m->name.len);
	fake_seen.rmdir = m->rmdir;
	m->dir = fake_wcc(&m->req.f, FT_DIR);
	return fake_answer(op, 0);
}

enum op_state
meta_rename(struct meta_rename *m, struct op *op)
{
	fake_note("rename", &m->req);
	fake_note_name(fake_seen.name, &fake_seen.name_len, m->from.s, m->from.len);
	fake_note_name(fake_seen.name2, &fake_seen.name2_len, m->to.s, m->to.len);
	fake_seen.f2 = m->to_dir;
	m->from_wcc = fake_wcc(&m->req.f, FT_DIR);
	m->to_wcc = fake_wcc(&m->to_dir, FT_DIR);
	return fake_answer(op, 0);
}

enum op_state
meta_link(struct meta_link *m, struct op *op)
{
	fake_note("link", &m->req);
	fake_note_name(fake_seen.name, &fake_seen.name_len, m->name.s, m->name.len);
	fake_seen.f2 = m->dir;
	m->has_attr = true;
	m->attr = fake_attr(&m->req.f, FT_REG);
	m->dir_wcc = fake_wcc(&m->dir, FT_DIR);
	return fake_answer(op, 0);
}

/* A directory of fake_dir_entries names "e<number>", cookies 3, 4, ...; every 10th shares its follower's. */
static uint32_t fake_dir_entries = 5;

static inline uint64_t
fake_cookie(uint32_t i)
{
	return 3 + i + (i % 10 == 9);
}

enum op_state
meta_readdir(struct meta_readdir *m, struct op *op)
{
	uint32_t bytes = 0, names = 0, i = 0;

	fake_note("readdir", &m->req);
	fake_seen.off = m->cookie;
	fake_seen.count = m->bytes_max;
	m->has_dir = true;
	m->dir = fake_attr(&m->req.f, FT_DIR);
	while (i < fake_dir_entries && fake_cookie(i) <= m->cookie)
		i++;
	for (m->n = 0; i < fake_dir_entries && m->n < m->max_entries; i++) {
		struct readdir_entry *e = &m->entry[m->n];
		char name[16];
		uint32_t len = (uint32_t)snprintf(name, sizeof name, "e%u", i), need = m->entry_bytes + ROUND_UP(len, 4u);

		if (bytes + need > m->bytes_max || names + len > m->names_cap)
			break;
		*e = (struct readdir_entry){ .ino = 500 + i, .gen = 1, .cookie = fake_cookie(i), .type = FT_REG,
		                             .name_len = (uint16_t)len, .name_off = names, .has_attr = m->plus };
		if (m->plus)
			e->attr = fake_attr(&(struct fref){ .ino = e->ino, .gen = 1, .share = m->req.f.share }, FT_REG);
		memcpy(m->names + names, name, len);
		names += len;
		bytes += need;
		m->n++;
	}
	m->eof = i == fake_dir_entries;
	if (!m->eof && m->n > 0 && fake_cookie(i) == fake_cookie(i - 1))
		m->n--; /* never between two that share one */
	return fake_answer(op, m->n == 0 && !m->eof ? -E_TOOSMALL : 0);
}

enum op_state
meta_fsstat(struct meta_fsstat *m, struct op *op)
{
	fake_note("fsstat", &m->req);
	m->has_attr = true;
	m->attr = fake_attr(&m->req.f, FT_DIR);
	m->total_bytes = 1 << 30;
	m->free_bytes = 1 << 29;
	m->total_inodes = 1000;
	m->free_inodes = 900;
	return fake_answer(op, 0);
}

/* A file of FAKE_FILE_BYTES: byte i is i * 7; a hole from 100 KiB to 300 KiB. */
#define FAKE_FILE_BYTES (700 * 1024u)
#define FAKE_HOLE_FROM  (100 * 1024u)
#define FAKE_HOLE_TO    (300 * 1024u)

static inline uint8_t
fake_byte(uint64_t i)
{
	return i >= FAKE_HOLE_FROM && i < FAKE_HOLE_TO ? 0 : (uint8_t)(i * 7 + (i >> 8));
}

static inline void
fake_piece(struct file_read *r, uint64_t at, uint32_t len)
{
	struct bufref *p = &r->piece[r->npieces++];

	*p = (struct bufref){ .len = len };
	if (at >= FAKE_HOLE_FROM && at < FAKE_HOLE_TO)
		return;
	p->buf = buf_get(BUF_LARGE, BUF_CACHE);
	if (!p->buf) /* the test wants them to be short: zeros then */
		return;
	p->off = (uint32_t)(at % 100);
	for (uint32_t i = 0; i < len; i++)
		p->buf->data[p->off + i] = fake_byte(at + i);
}

static fake_per_core int fake_reads_out;

enum op_state
file_read(struct file_read *r, struct op *op)
{
	uint64_t end = MIN(r->off + r->count, (uint64_t)FAKE_FILE_BYTES);

	fake_note("read", &r->req);
	fake_seen.off = r->off;
	fake_seen.count = r->count;
	r->has_attr = true;
	r->attr = fake_attr(&r->req.f, FT_REG);
	if (fake_next_fails())
		return fake_answer(op, 0);
	fake_reads_out++;
	for (uint64_t at = r->off, k; at < end; at += k) {
		if (at < FAKE_HOLE_FROM)
			k = MIN(MIN(end, FAKE_HOLE_FROM) - at, (uint64_t)60000);
		else if (at < FAKE_HOLE_TO)
			k = MIN(end, FAKE_HOLE_TO) - at;
		else
			k = MIN(end - at, (uint64_t)60000);
		fake_piece(r, at, (uint32_t)k);
		r->len += (uint32_t)k;
	}
	r->eof = r->off + r->count >= FAKE_FILE_BYTES;
	return fake_answer(op, 0);
}

void
file_read_near(uint64_t ino, uint64_t off, uint32_t count, int step)
{
	(void)ino, (void)off, (void)count;
	fake_step(step);
}

bool
file_read_look(struct file_read *r)
{
	struct op op;

	if (!fake_shown || fake_bits()) /* it has no bad news */
		return false;
	file_read(r, &op);
	return true;
}

void
file_read_put(struct file_read *r)
{
	fake_need(fake_shown || shard_owns(r->req.f.ino), "a read's pieces are put on another core");
	fake_reads_out--;
	for (int i = 0; i < r->npieces; i++)
		if (r->piece[i].buf)
			buf_put(r->piece[i].buf);
	r->npieces = 0;
}

enum op_state
file_write(struct file_write *w, struct op *op)
{
	uint32_t n = 0;

	fake_note("write", &w->req);
	fake_seen.off = w->off;
	fake_seen.count = w->count;
	fake_seen.stable = w->stable;
	for (int i = 0; i < w->npayload; i++) {
		fake_need(w->payload[i].off == 0, "payload does not begin at its buffer's begin");
		fake_need(w->payload[i].len == w->payload[i].buf->cap || i == w->npayload - 1, "a gap in the payload");
		memcpy(fake_seen.data + n, w->payload[i].buf->data, w->payload[i].len);
		n += w->payload[i].len;
		buf_put(w->payload[i].buf);
	}
	fake_need(n == w->count, "the payload is not as long as the WRITE");
	w->wcc = fake_wcc(&w->req.f, FT_REG);
	w->committed = w->stable;
	w->verf = 0x1122334455667788;
	return fake_answer(op, 0);
}

enum op_state
file_commit(struct file_commit *c, struct op *op)
{
	fake_note("commit", &c->req);
	fake_seen.off = c->off;
	fake_seen.count = c->count;
	c->wcc = fake_wcc(&c->req.f, FT_REG);
	c->verf = 0x1122334455667788;
	return fake_answer(op, 0);
}

static struct once_reply fake_once[8];
static int fake_nonce;

int
meta_once_load(void (*fn)(void *arg, const struct once_reply *r), void *arg)
{
	for (int i = 0; i < fake_nonce; i++)
		fn(arg, &fake_once[i]);
	return 0;
}

#endif
