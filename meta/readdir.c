/* SPDX-License-Identifier: Apache-2.0 */
/*
 * READDIR and READDIRPLUS.  A page is one range scan from the cookie on, so it
 * costs the same in a directory of any size, and nothing is kept between pages.
 * The attributes of a page's inodes are collected from their owners' memory by a
 * message that visits each owner once, which reads what is near those that it lacks
 * (attrcache.h).  Those that nobody has in memory then are read from RocksDB, which is
 * exact for them (only inodes in memory are ahead of it).
 *
 * A folder of the trash is made from its records: .trash from the first of each hour, an hour's folder from those that
 * the caller may see.  One scan may be too short for a page, so there it goes on from where the last one ended.
 */
#include "meta/attrcache.h"
#include "meta/dir.h"
#include "meta/perm.h"
#include "meta/trash.h"
#include "reactor/log.h"

/* Attributes read from RocksDB's memory on the reactor, about 5 µs each; more go to a worker. */
#define INLINE_GETS 24
/* Ranges of attributes that an owner reads for a page, about 20 µs each. */
#define INLINE_RANGES 16

/* Records of the trash that a scan looks at before others run. */
#define TRASH_LOOKS 256
/* A scan's answer: there is more for this page. */
#define GO_ON 2

#define COOKIE_END ((uint64_t)1 << 63)

enum { READDIR_DIR, READDIR_SCAN, READDIR_SCANNED, READDIR_VISITED, READDIR_READ };

static uint32_t
cost(const struct meta_readdir *m, size_t name_len)
{
	return m->entry_bytes + (uint32_t)ROUND_UP(name_len, 4);
}

static bool
page_add(struct meta_readdir *m, const struct readdir_entry *e, const void *name, size_t len)
{
	struct readdir_entry *to = &m->entry[m->n];

	if (m->n == m->max_entries || m->names_cap - m->names_len < len ||
	    m->bytes_max < m->bytes + cost(m, len))
		return false;
	*to = *e;
	to->name_len = (uint16_t)len;
	to->name_off = m->names_len;
	memcpy(m->names + m->names_len, name, len);
	m->names_len += (uint32_t)len;
	m->bytes += cost(m, len);
	m->n++;
	return true;
}

/* Takes back what shares its cookie with the one that did not fit. */
static void
page_cut(struct meta_readdir *m, uint64_t cookie)
{
	while (m->n > 0 && m->entry[m->n - 1].cookie == cookie)
		m->n--;
}

static int
page_entry(void *arg, const void *key, size_t klen, const void *val, size_t vlen)
{
	struct meta_readdir *m = arg;
	struct readdir_entry e = { 0 };
	struct dirent_rec d;

	if (klen <= 17 || dirent_decode(&d, val, vlen) < 0) {
		log_error("metadata: an entry of directory %lu is damaged", m->req.f.ino);
		return -EIO;
	}
	e.ino = d.ino;
	e.gen = d.gen;
	e.type = d.type;
	e.cookie = get_be64((const uint8_t *)key + 9);
	if (page_add(m, &e, (const uint8_t *)key + 17, klen - 17))
		return 0;
	page_cut(m, e.cookie);
	return 1;
}

static void
folder_attr(const struct meta_readdir *m, struct readdir_entry *e)
{
	if (!trash_is(e->ino))
		return;
	trash_folder_attr(&e->attr, e->ino, &m->req.cred);
	e->gen = e->attr.gen;
	e->has_attr = true;
}

/* "." and "..", which are not in the database. */
static bool
page_dots(struct meta_readdir *m)
{
	struct readdir_entry dot = { .ino = m->dir.ino, .gen = m->dir.gen, .type = FT_DIR, .cookie = COOKIE_DOT };
	struct readdir_entry up = { .ino = trash_folder(m->dir.parent), .type = FT_DIR, .cookie = COOKIE_DOTDOT };

	folder_attr(m, &dot);
	folder_attr(m, &up);
	m->n = m->bytes = m->names_len = 0;
	if (m->cookie < COOKIE_DOT && !page_add(m, &dot, ".", 1))
		return false;
	return m->cookie >= COOKIE_DOTDOT || page_add(m, &up, "..", 2);
}

static void
page_reset(void *arg)
{
	page_dots(arg);
}

static int
dir_check(struct meta_readdir *m)
{
	if (!trash_is(m->req.f.ino)) {
		m->dir = m->get.inode->attr;
		inode_put(m->get.inode);
	} else if (trash_folder_check(&m->req.f) == 0) {
		trash_folder_attr(&m->dir, m->req.f.ino, &m->req.cred);
	} else {
		return -ESTALE;
	}
	if (m->dir.share != m->req.f.share)
		return -ESTALE;
	m->has_dir = true;
	if (m->dir.type != FT_DIR)
		return -ENOTDIR;
	if (!perm_allows(&m->dir, &m->req.cred, MAY_READ))
		return -EACCES;
	return m->cookie >= COOKIE_END ? -E_BADCOOKIE : 0;
}

static enum op_state
page_scan(struct meta_readdir *m)
{
	uint64_t from = MAX(m->cookie, COOKIE_DOTDOT) + 1;

	if (!page_dots(m))
		return op_done(&m->step, 1);
	m->scan.from_len = (uint16_t)key_dirent_from(m->scan.from, m->dir.ino, from);
	m->scan.to_len = (uint16_t)key_dirent_from(m->scan.to, m->dir.ino + 1, 0);
	m->scan.fn = page_entry;
	m->scan.arg = m;
	return kv_scan(&m->scan, page_reset, &m->step);
}

/* ---- the trash ---- */

/* Where the next scan of .trash, or of an hour's folder, begins: after this second and inode. */
static void
trash_from(struct meta_readdir *m, uint64_t second, uint64_t ino)
{
	m->trash_second = second;
	m->trash_ino = ino;
	m->trash_n = m->n;
	m->trash_bytes = m->bytes;
	m->trash_names = m->names_len;
}

/* The first record of the next hour that has any. */
static int
trash_hour(struct meta_readdir *m, uint64_t second)
{
	struct readdir_entry e = { .ino = trash_folder(trash_place(m->dir.share, second)), .type = FT_DIR };
	char name[TRASH_HOUR_BYTES + 1];

	folder_attr(m, &e);
	e.cookie = trash_second(e.ino);
	trash_hour_name(name, second);
	if (!page_add(m, &e, name, TRASH_HOUR_BYTES))
		return 1;
	m->trash_next_second = e.cookie + TRASH_HOUR_S;
	m->trash_next_ino = 0;
	return GO_ON;
}

/* Its cookie: the second of the hour, and which of those that went then. */
static int
trash_entry(struct meta_readdir *m, uint64_t second, uint64_t ino, const struct trash_rec *r)
{
	struct readdir_entry e = { .ino = ino, .gen = r->gen, .type = r->type,
		                   .cookie = second % TRASH_HOUR_S * TRASH_INO_MAX | ino };
	char name[NAME_BYTES_MAX];

	if (m->req.cred.uid != 0 && m->req.cred.uid != r->uid)
		return 0;
	return page_add(m, &e, name, trash_name(name, r, ino)) ? 0 : 1;
}

static int
trash_see(void *arg, const void *key, size_t klen, const void *val, size_t vlen)
{
	struct meta_readdir *m = arg;
	struct trash_rec r;
	struct trash_key k;
	int res;

	if (!key_read_trash(&k, key, klen) || trash_decode(&r, val, vlen) < 0) {
		log_error("metadata: a record of the trash of share %u is damaged", m->dir.share);
		return -EIO;
	}
	if (trash_second(m->dir.ino) == 0)
		return trash_hour(m, k.deleted_s);
	res = trash_entry(m, k.deleted_s, k.ino, &r);
	if (res || --m->trash_looks > 0)
		return res;
	m->trash_next_second = k.deleted_s;
	m->trash_next_ino = k.ino + 1;
	return GO_ON;
}

static void
trash_reset(void *arg)
{
	struct meta_readdir *m = arg;

	m->n = m->trash_n;
	m->bytes = m->trash_bytes;
	m->names_len = m->trash_names;
	m->trash_looks = TRASH_LOOKS;
}

static enum op_state
trash_scan(struct meta_readdir *m)
{
	uint64_t hour = trash_second(m->dir.ino);

	trash_from(m, m->trash_next_second, m->trash_next_ino);
	m->trash_looks = TRASH_LOOKS;
	m->scan.from_len = (uint16_t)key_trash(m->scan.from, m->dir.share, m->trash_second, m->trash_ino);
	m->scan.to_len = (uint16_t)key_trash(m->scan.to, m->dir.share, hour ? hour + TRASH_HOUR_S : UINT64_MAX, 0);
	m->scan.fn = trash_see;
	m->scan.arg = m;
	return kv_scan(&m->scan, trash_reset, &m->step);
}

/* After the cookie. */
static enum op_state
trash_page(struct meta_readdir *m)
{
	uint64_t hour = trash_second(m->dir.ino), after = MAX(m->cookie, COOKIE_DOTDOT) + 1;

	if (!page_dots(m))
		return op_done(&m->step, 1);
	m->trash_next_second = hour ? hour + after / TRASH_INO_MAX : m->cookie > COOKIE_DOTDOT ? m->cookie + TRASH_HOUR_S : 0;
	m->trash_next_ino = hour ? after % TRASH_INO_MAX : 0;
	return trash_scan(m);
}

/* ---- attributes ---- */

static bool
entry_attr(struct readdir_entry *e)
{
	const struct inode *i = inode_find(e->ino);

	if (i)
		e->attr = i->attr;
	else if (inode_known(e->ino) || !attrcache_get(e->ino, &e->attr))
		return false;
	e->has_attr = e->gen == 0 || e->gen == e->attr.gen;
	e->gen = e->attr.gen;
	return true;
}

/* On the owner of some of the entries. */
static void
visit(struct meta_readdir *m)
{
	/* What does not stay until the reader comes to it would only be in the way. */
	bool fits = m->dir.size / DIR_ENTRY_BYTES <= attrcache_max();
	int ranges = fits ? INLINE_RANGES : 0;

	for (uint32_t n = 0; n < m->n; n++) {
		struct readdir_entry *e = &m->entry[n];

		if (e->has_attr || !shard_owns(e->ino) || entry_attr(e) || ranges == 0 || inode_known(e->ino))
			continue;
		ranges--;
		attrcache_bring(e->ino);
		entry_attr(e);
	}
}

static void
trip_run(struct shard_msg *msg)
{
	struct meta_readdir *m = container_of(msg, struct meta_readdir, trip);

	if (reactor_core() == m->home && !m->visit) {
		m->step.res = 0;
		m->step.resume(&m->step);
		return;
	}
	visit(m);
	if (m->visit) {
		int core = __builtin_ctzll(m->visit);

		m->visit &= m->visit - 1;
		shard_send(core, msg);
	} else {
		shard_send(m->home, msg);
	}
}

static enum op_state
page_visit(struct meta_readdir *m)
{
	uint64_t self = (uint64_t)1 << reactor_core();

	m->home = reactor_core();
	m->visit = 0;
	for (uint32_t n = 0; n < m->n; n++)
		m->visit |= (uint64_t)1 << shard_owner(m->entry[n].ino);
	if (m->visit & self)
		visit(m);
	m->visit &= ~self;
	if (!m->visit)
		return op_done(&m->step, 0);
	m->trip.run = trip_run;
	self = m->visit;
	m->visit &= m->visit - 1;
	shard_send(__builtin_ctzll(self), &m->trip);
	return OP_PENDING;
}

/* What is not in an owner's memory; -EAGAIN: the rest may have to come from the disk. */
static int
page_read(struct meta_readdir *m, int (*get)(const void *key, size_t klen, void *out, uint32_t cap), int max)
{
	for (uint32_t n = 0; n < m->n; n++) {
		struct readdir_entry *e = &m->entry[n];
		uint8_t key[9], val[ATTR_BYTES_MAX];
		int res;

		if (e->has_attr)
			continue;
		if (max-- == 0)
			return -EAGAIN;
		res = get(key, key_inode(key, e->ino), val, sizeof(val));
		if (res == -EAGAIN)
			return res;
		/*
		 * Removed meanwhile, or damaged: the list goes on without its attributes,
		 * and who asks for them gets the error.
		 */
		if (res < 0 || attr_decode(&e->attr, val, (size_t)MIN(res, (int)sizeof(val)), NULL) < 0)
			continue;
		e->has_attr = e->gen == 0 || e->gen == e->attr.gen;
		e->gen = e->attr.gen;
	}
	return 0;
}

static int
read_work(struct work *w)
{
	struct meta_readdir *m = container_of(w, struct meta_readdir, scan.work);

	return page_read(m, kv_get_now, -1);
}

static enum op_state
page_attrs(struct meta_readdir *m)
{
	int res = page_read(m, kv_get_try, INLINE_GETS);

	if (res == -EAGAIN)
		return worker_run(&m->scan.work, read_work, &m->step);
	return op_done(&m->step, res);
}

static enum op_state
readdir_go(struct meta_readdir *m)
{
	int res = m->step.res;

	switch (m->stage) {
	case READDIR_DIR:
		if (res == 0)
			res = dir_check(m);
		if (res < 0)
			break;
		m->stage = READDIR_SCANNED;
		if ((trash_is(m->dir.ino) ? trash_page(m) : page_scan(m)) == OP_PENDING)
			return OP_PENDING;
		res = m->step.res;
		goto scanned;
	case READDIR_SCAN:
		m->stage = READDIR_SCANNED;
		if (trash_scan(m) == OP_PENDING)
			return OP_PENDING;
		res = m->step.res;
		fallthrough;
	case READDIR_SCANNED:
	scanned:
		if (res == GO_ON) {
			m->stage = READDIR_SCAN;
			reactor_post(&m->step, 0);
			return OP_PENDING;
		}
		if (res < 0)
			break;
		m->eof = res == 0;
		if (m->n == 0 && !m->eof)
			res = -E_TOOSMALL;
		if (res < 0 || !m->plus || m->n == 0)
			break;
		m->stage = READDIR_VISITED;
		if (page_visit(m) == OP_PENDING)
			return OP_PENDING;
		fallthrough;
	case READDIR_VISITED:
		m->stage = READDIR_READ;
		if (page_attrs(m) == OP_PENDING)
			return OP_PENDING;
		res = m->step.res;
		fallthrough;
	case READDIR_READ:
		break;
	default:
		assert(false && "a stage");
	}
	return op_done(m->wait, MIN(res, 0));
}

static void
readdir_resume(struct op *step)
{
	struct meta_readdir *m = container_of(step, struct meta_readdir, step);

	if (readdir_go(m) == OP_DONE)
		m->wait->resume(m->wait);
}

enum op_state
meta_readdir(struct meta_readdir *m, struct op *op)
{
	m->wait = op;
	m->step.resume = readdir_resume;
	m->stage = READDIR_DIR;
	m->n = 0;
	m->eof = m->has_dir = false;
	m->step.res = 0;
	if (!trash_is(m->req.f.ino) && inode_get(&m->get, m->req.f.ino, m->req.f.gen, &m->step) == OP_PENDING)
		return OP_PENDING;
	return readdir_go(m);
}
