/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/record.h"

#include "crypto/siphash.h"

/* Every value but a chunk's records begins with this; a change of layout takes the next number. */
#define RECORD_VERSION 1

/*
 * Encoding cannot fail, decoding has a sticky error: a short value reads as
 * zeros and is reported once, at the end.
 */
struct writer { uint8_t *p; };
struct reader { const uint8_t *p; size_t left; bool bad; };

static void w8(struct writer *w, uint8_t v)   { *w->p++ = v; }
static void w16(struct writer *w, uint16_t v) { put_le16(w->p, v); w->p += 2; }
static void w32(struct writer *w, uint32_t v) { put_le32(w->p, v); w->p += 4; }
static void w64(struct writer *w, uint64_t v) { put_le64(w->p, v); w->p += 8; }

static void
wbytes(struct writer *w, const void *p, size_t len)
{
	memcpy(w->p, p, len);
	w->p += len;
}

static const uint8_t *
take(struct reader *r, size_t len)
{
	static const uint8_t zeros[64];
	const uint8_t *p = r->p;

	assert(len <= sizeof(zeros));
	if (r->bad || r->left < len) {
		r->bad = true;
		return zeros;
	}
	r->p += len;
	r->left -= len;
	return p;
}

static uint8_t  r8(struct reader *r)  { return *take(r, 1); }
static uint16_t r16(struct reader *r) { return get_le16(take(r, 2)); }
static uint32_t r32(struct reader *r) { return get_le32(take(r, 4)); }
static uint64_t r64(struct reader *r) { return get_le64(take(r, 8)); }

static void
rbytes(struct reader *r, void *out, size_t len)
{
	memcpy(out, take(r, len), len);
}

/* A short string with its length before it; `out` has `cap` bytes and is terminated. */
static void
rstr(struct reader *r, char *out, size_t cap)
{
	size_t len = r8(r);

	if (len >= cap) {
		r->bad = true;
		len = 0;
	}
	rbytes(r, out, len);
	memset(out + len, 0, cap - len);
}

static void
wstr(struct writer *w, const char *s, size_t cap)
{
	size_t len = strnlen(s, cap);

	assert(len < cap && cap <= 64);
	w8(w, (uint8_t)len);
	wbytes(w, s, len);
}

/* Checks the version byte before anything else is believed. */
static int
reader_init(struct reader *r, const uint8_t *v, size_t len)
{
	*r = (struct reader){ .p = v, .left = len };
	if (len == 0)
		return -E_DAMAGED;
	return r8(r) == RECORD_VERSION ? 0 : -E_FORMAT;
}

static int
reader_end(const struct reader *r)
{
	return r->bad || r->left > 0 ? -E_DAMAGED : 0;
}

/* ---- keys ---- */

static size_t
key1(uint8_t *k, char kind)
{
	k[0] = (uint8_t)kind;
	return 1;
}

static size_t
key_u64(uint8_t *k, char kind, uint64_t a)
{
	k[0] = (uint8_t)kind;
	put_be64(k + 1, a);
	return 9;
}

static size_t
key_u64_u64(uint8_t *k, char kind, uint64_t a, uint64_t b)
{
	key_u64(k, kind, a);
	put_be64(k + 9, b);
	return 17;
}

static size_t
key_u32(uint8_t *k, char kind, uint32_t a)
{
	k[0] = (uint8_t)kind;
	put_be32(k + 1, a);
	return 5;
}

size_t key_volume(uint8_t *k)     { return key1(k, 'V'); }
size_t key_slice_next(uint8_t *k) { return key1(k, 'S'); }
size_t key_ino_next(uint8_t *k)   { return key1(k, 'N'); }

size_t
key_share(uint8_t *k, const char *name)
{
	size_t len = strlen(name);

	assert(len < sizeof(((struct share_rec *)0)->name));
	k[0] = 'X';
	memcpy(k + 1, name, len);
	return 1 + len;
}

size_t
key_inode(uint8_t *k, uint64_t ino)
{
	return key_u64(k, 'I', ino);
}

size_t
key_dirent_from(uint8_t *k, uint64_t dir, uint64_t hash)
{
	return key_u64_u64(k, 'D', dir, hash);
}

size_t
key_dirent(uint8_t *k, uint64_t dir, uint64_t hash, const char *name, size_t len)
{
	size_t n = key_dirent_from(k, dir, hash);

	assert(len > 0 && len <= NAME_BYTES_MAX);
	memcpy(k + n, name, len);
	return n + len;
}

size_t
key_chunk(uint8_t *k, uint64_t ino, uint64_t chunk)
{
	return key_u64_u64(k, 'C', ino, chunk);
}

size_t
key_block(uint8_t *k, uint64_t slice, uint32_t index)
{
	key_u64(k, 'B', slice);
	put_be32(k + 9, index);
	return 13;
}

size_t
key_pack(uint8_t *k, uint64_t pack)
{
	return key_u64(k, 'P', pack);
}

size_t
key_garbage(uint8_t *k, uint64_t due_s, char kind, uint64_t id)
{
	key_u64(k, 'G', due_s);
	k[9] = (uint8_t)kind;
	put_be64(k + 10, id);
	return 18;
}

bool
key_read_garbage(struct garbage_key *g, const void *key, size_t len)
{
	const uint8_t *k = key;

	if (len != 18 || k[0] != 'G')
		return false;
	*g = (struct garbage_key){ .due_s = get_be64(k + 1), .kind = (char)k[9], .id = get_be64(k + 10) };
	return true;
}

size_t
key_trash(uint8_t *k, uint32_t share, uint64_t deleted_s, uint64_t ino)
{
	key_u32(k, 'T', share);
	put_be64(k + 5, deleted_s);
	put_be64(k + 13, ino);
	return 21;
}

bool
key_read_trash(struct trash_key *t, const void *key, size_t len)
{
	const uint8_t *k = key;

	if (len != 21 || k[0] != 'T')
		return false;
	*t = (struct trash_key){ .share = get_be32(k + 1), .deleted_s = get_be64(k + 5), .ino = get_be64(k + 13) };
	return true;
}

size_t key_usage(uint8_t *k, uint32_t share)     { return key_u32(k, 'U', share); }
size_t key_journal(uint8_t *k, uint32_t journal) { return key_u32(k, 'J', journal); }
size_t key_epoch(uint8_t *k, uint32_t epoch)     { return key_u32(k, 'K', epoch); }

size_t
key_once(uint8_t *k, uint32_t core, uint32_t slot)
{
	key_u32(k, 'Q', core);
	put_be32(k + 5, slot);
	return 9;
}

uint64_t
name_hash(const uint8_t secret[16], const char *name, size_t len)
{
	uint64_t h = siphash24(secret, name, len) >> 1;

	return h > COOKIE_DOTDOT ? h : h + COOKIE_DOTDOT + 1;
}

/* ---- values ---- */

size_t
attr_encode(uint8_t *v, const struct attr *a)
{
	struct writer w = { v };

	w8(&w, RECORD_VERSION);
	w64(&w, a->ino);
	w64(&w, a->gen);
	w32(&w, a->type);
	w32(&w, a->mode);
	w32(&w, a->uid);
	w32(&w, a->gid);
	w32(&w, a->nlink);
	w32(&w, a->rdev_major);
	w32(&w, a->rdev_minor);
	w32(&w, a->share);
	w64(&w, a->size);
	w64(&w, a->used);
	w64(&w, a->atime_ns);
	w64(&w, a->mtime_ns);
	w64(&w, a->ctime_ns);
	w64(&w, a->parent);
	w64(&w, a->jseq);
	w64(&w, a->verf);
	assert(w.p <= v + ATTR_BYTES_MAX);
	return (size_t)(w.p - v);
}

int
attr_decode(struct attr *a, const uint8_t *v, size_t len, size_t *used_bytes)
{
	struct reader r;
	int err = reader_init(&r, v, len);

	if (err)
		return err;
	a->ino = r64(&r);
	a->gen = r64(&r);
	a->type = r32(&r);
	a->mode = r32(&r);
	a->uid = r32(&r);
	a->gid = r32(&r);
	a->nlink = r32(&r);
	a->rdev_major = r32(&r);
	a->rdev_minor = r32(&r);
	a->share = r32(&r);
	a->size = r64(&r);
	a->used = r64(&r);
	a->atime_ns = r64(&r);
	a->mtime_ns = r64(&r);
	a->ctime_ns = r64(&r);
	a->parent = r64(&r);
	a->jseq = r64(&r);
	a->verf = r64(&r);
	a->dirty = 0;
	if (r.bad || a->type == FT_NONE || a->type > FT_FIFO || a->mode > 07777)
		return -E_DAMAGED;
	/* Only a symlink's record goes on: with its target. */
	if (a->type == FT_LNK ? r.left > SYMLINK_BYTES_MAX : r.left > 0)
		return -E_DAMAGED;
	if (used_bytes)
		*used_bytes = len - r.left;
	return 0;
}

size_t
dirent_encode(uint8_t *v, const struct dirent_rec *d)
{
	struct writer w = { v };

	w8(&w, RECORD_VERSION);
	w64(&w, d->ino);
	w64(&w, d->gen);
	w8(&w, (uint8_t)d->type);
	assert(w.p <= v + DIRENT_BYTES);
	return (size_t)(w.p - v);
}

int
dirent_decode(struct dirent_rec *d, const uint8_t *v, size_t len)
{
	struct reader r;
	int err = reader_init(&r, v, len);

	if (err)
		return err;
	d->ino = r64(&r);
	d->gen = r64(&r);
	d->type = r8(&r);
	if (d->type == FT_NONE || d->type > FT_FIFO || d->ino == 0)
		return -E_DAMAGED;
	return reader_end(&r);
}

void
slice_encode(uint8_t v[SLICE_REC_BYTES], const struct slice_rec *s)
{
	struct writer w = { v };

	w32(&w, RECORD_VERSION); /* and three spare bytes, zero */
	w32(&w, s->pos);
	w32(&w, s->len);
	w32(&w, s->off);
	w64(&w, s->slice);
	assert(w.p == v + SLICE_REC_BYTES);
}

int
slice_decode(struct slice_rec *s, const uint8_t v[SLICE_REC_BYTES])
{
	struct reader r = { .p = v + 4, .left = SLICE_REC_BYTES - 4 };

	if (v[0] != RECORD_VERSION)
		return -E_FORMAT;
	s->pos = r32(&r);
	s->len = r32(&r);
	s->off = r32(&r);
	s->slice = r64(&r);
	if (v[1] || v[2] || v[3] || s->len == 0 || s->pos > CHUNK_BYTES || s->len > CHUNK_BYTES - s->pos)
		return -E_DAMAGED;
	return 0;
}

size_t
block_encode(uint8_t *v, const struct block_rec *b)
{
	struct writer w = { v };

	assert(b->nframes <= FRAMES_PER_BLOCK);
	w8(&w, RECORD_VERSION);
	w64(&w, b->pack);
	w64(&w, b->off);
	w32(&w, b->plain);
	w32(&w, b->stored);
	w32(&w, b->key_epoch);
	w16(&w, b->nframes);
	for (int i = 0; i < b->nframes; i++) {
		w32(&w, b->frame[i].stored);
		w32(&w, b->frame[i].crc);
		w8(&w, b->frame[i].codec);
	}
	assert(w.p <= v + BLOCK_REC_BYTES_MAX);
	return (size_t)(w.p - v);
}

int
block_decode(struct block_rec *b, const uint8_t *v, size_t len)
{
	struct reader r;
	int err = reader_init(&r, v, len);

	if (err)
		return err;
	b->pack = r64(&r);
	b->off = r64(&r);
	b->plain = r32(&r);
	b->stored = r32(&r);
	b->key_epoch = r32(&r);
	b->nframes = r16(&r);
	if (b->nframes > FRAMES_PER_BLOCK)
		return -E_DAMAGED;
	for (int i = 0; i < b->nframes; i++) {
		b->frame[i].stored = r32(&r);
		b->frame[i].crc = r32(&r);
		b->frame[i].codec = r8(&r);
	}
	return reader_end(&r);
}

size_t
trash_encode(uint8_t *v, const struct trash_rec *t)
{
	struct writer w = { v };

	assert(t->name_len > 0 && t->name_len <= NAME_BYTES_MAX);
	w8(&w, RECORD_VERSION);
	w64(&w, t->gen);
	w64(&w, t->parent);
	w64(&w, t->until_s);
	w32(&w, t->uid);
	w8(&w, (uint8_t)t->type);
	wbytes(&w, t->name, t->name_len);
	assert(w.p <= v + TRASH_BYTES_MAX);
	return (size_t)(w.p - v);
}

int
trash_decode(struct trash_rec *t, const uint8_t *v, size_t len)
{
	struct reader r;
	int err = reader_init(&r, v, len);

	if (err)
		return err;
	t->gen = r64(&r);
	t->parent = r64(&r);
	t->until_s = r64(&r);
	t->uid = r32(&r);
	t->type = r8(&r);
	if (r.bad || t->type == FT_NONE || t->type > FT_FIFO || r.left == 0 || r.left > NAME_BYTES_MAX)
		return -E_DAMAGED;
	t->name_len = (uint32_t)r.left;
	memcpy(t->name, r.p, r.left);
	return 0;
}

size_t
volume_encode(uint8_t *v, const struct volume *vol)
{
	struct writer w = { v };

	w8(&w, RECORD_VERSION);
	wbytes(&w, vol->uuid, sizeof(vol->uuid));
	w32(&w, vol->format_version);
	w64(&w, vol->formatted_ns);
	w32(&w, vol->block_bytes);
	w32(&w, vol->frame_bytes);
	wbytes(&w, vol->secret, sizeof(vol->secret));
	assert(w.p <= v + VOLUME_BYTES_MAX);
	return (size_t)(w.p - v);
}

int
volume_decode(struct volume *vol, const uint8_t *v, size_t len)
{
	struct reader r;
	int err = reader_init(&r, v, len);

	if (err)
		return err;
	rbytes(&r, vol->uuid, sizeof(vol->uuid));
	vol->format_version = r32(&r);
	vol->formatted_ns = r64(&r);
	vol->block_bytes = r32(&r);
	vol->frame_bytes = r32(&r);
	rbytes(&r, vol->secret, sizeof(vol->secret));
	return reader_end(&r);
}

size_t
share_encode(uint8_t *v, const struct share_rec *s)
{
	struct writer w = { v };

	w8(&w, RECORD_VERSION);
	wstr(&w, s->name, sizeof(s->name));
	w32(&w, s->id);
	w64(&w, s->root);
	w32(&w, s->codec);
	w32(&w, s->level);
	wstr(&w, s->prefix, sizeof(s->prefix));
	assert(w.p <= v + SHARE_BYTES_MAX);
	return (size_t)(w.p - v);
}

int
share_decode(struct share_rec *s, const uint8_t *v, size_t len)
{
	struct reader r;
	int err = reader_init(&r, v, len);

	if (err)
		return err;
	rstr(&r, s->name, sizeof(s->name));
	s->id = r32(&r);
	s->root = r64(&r);
	s->codec = r32(&r);
	s->level = r32(&r);
	rstr(&r, s->prefix, sizeof(s->prefix));
	return reader_end(&r);
}
