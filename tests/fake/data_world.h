/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A volume in a temporary directory with everything real below meta/: reactors,
 * journal, RocksDB, objects in files.  Each operation is one blocking call from a test
 * thread.  data_check() reads database and objects as a whole and says whether
 * they agree.
 */
#ifndef TESTS_DATA_WORLD_H
#define TESTS_DATA_WORLD_H

#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "meta/chunk.h"
#include "meta/file.h"
#include "reactor/log.h"
#include "store/diskcache.h"
#include "store/objstore.h"
#include "tests/fake/plain.h"
#include "tests/fake/rig.h"

#define HELPER __attribute__((unused)) static

static struct {
	char path[128];
	struct volume vol;
	struct share_rec share[1];
	struct objstore *store;
	struct fref root;
	int cores;
	uint64_t buf_bytes;
	struct file_opts file;
	struct diskcache_opts disk;
	void (*before_laps)(void); /* on each core, after the replay */
	char why[256];
} data = {
	.buf_bytes = 64 * MIB,
	.file = { .journal_bytes = 64 * MIB, .upload_delay_ns = 50000000, .uploads = 4, .readahead_bytes = 32 * MIB,
	          .garbage_delay_ns = 1 },
};

static const struct cred superuser = { 0 };

/* n bytes that no other seed has. */
HELPER void
data_fill(uint8_t *p, size_t n, uint64_t seed)
{
	for (size_t i = 0; i < n; i++) {
		if (i % 8 == 0)
			seed = mix64(seed + i + 1);
		p[i] = (uint8_t)(seed >> (i % 8 * 8));
	}
}

HELPER int
data_init(int core, void *arg)
{
	int res = meta_init(core);

	(void)arg;
	if (res == 0)
		res = file_init(core);
	if (res == 0 && data.before_laps)
		data.before_laps();
	return res;
}

HELPER void
data_fini(int core, void *arg)
{
	(void)arg;
	file_fini(core);
	meta_fini(core);
}

#define CALL(type)                                                  \
	HELPER enum op_state start_##type(void *arg, struct op *op) \
	{                                                           \
		return type(arg, op);                               \
	}
CALL(meta_getattr) CALL(meta_setattr) CALL(meta_create) CALL(meta_unlink) CALL(meta_fsstat) CALL(file_commit)
#undef CALL
#define ON_OWNER(type, m) rig_call(shard_owner((m)->req.f.ino), start_##type, m)

HELPER const char *
data_path(const char *name)
{
	static __thread char ring[4][256]; /* good for the next three calls */
	static __thread unsigned n;
	char *path = ring[n++ % 4];

	snprintf(path, sizeof(ring[0]), "%s/%s", data.path, name);
	return path;
}

HELPER int
data_try_open(int cores)
{
	struct kv_opts kv = { .path = data_path("meta"), .cache_bytes = 16 * MIB, .memtable_bytes = 32 * MIB };
	struct meta_opts m = { .volume = &data.vol, .shares = data.share, .max_inodes = 4096, .max_names = 4096 };
	struct reactor_opts r = {
		.cores = cores, .ring_entries = 256, .buf_bytes = (uint64_t)cores * data.buf_bytes,
		.recv_bufs = 16, .max_conns = 16, .worker_threads = 2, .init = data_init, .fini = data_fini,
	};
	char url[300], journal[256];
	int res;

	data.cores = cores;
	res = kv_open(&kv, data.why);
	if (res < 0)
		return res;
	res = meta_load(&data.vol, data.share, 1, &m.nshares, data.why);
	if (res == 0)
		res = meta_open(&m, data.why);
	snprintf(url, sizeof(url), "file://%s", data_path("objects"));
	if (res == 0)
		res = objstore_open(&data.store, url, false, data.why);
	snprintf(journal, sizeof(journal), "%s", data_path("journal"));
	data.file.journal_dir = journal;
	data.file.store = data.store;
	if (res == 0)
		res = file_open(&data.file, &data.vol, data.why);
	data.disk.cores = cores;
	memcpy(data.disk.uuid, data.vol.uuid, sizeof(data.disk.uuid));
	if (res == 0)
		res = diskcache_open(&data.disk);
	if (res == 0)
		res = frame_start(cores + r.worker_threads, CODEC_LEVEL_MAX);
	if (res == 0)
		res = reactor_start(&r, data.why);
	if (res < 0)
		frame_stop();
	return res;
}

HELPER void
data_open(int cores)
{
	struct meta_getattr m = { 0 };

	cr_assert(data_try_open(cores) == 0, "%s", data.why);
	m.req.f = (struct fref){ .ino = data.share[0].root, .share = data.share[0].id };
	cr_assert(eq(int, ON_OWNER(meta_getattr, &m), 0));
	data.root = m.req.f;
	data.root.gen = m.attr.gen;
}

HELPER enum op_state
start_stop(void *arg, struct op *op)
{
	(void)arg;
	return file_stop(op);
}

struct data_pending {
	uint64_t since_ns;
	struct file_pending p;
};

HELPER enum op_state
start_pending(void *arg, struct op *op)
{
	struct data_pending *d = arg;

	file_pending(d->since_ns, &d->p);
	return op_done(op, 0);
}

HELPER uint64_t
data_now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* What was dirty at since_ns and is not uploaded yet, all cores. */
HELPER struct file_pending
data_pending(uint64_t since_ns)
{
	struct file_pending sum = { 0 };

	for (int i = 0; i < data.cores; i++) {
		struct data_pending d = { .since_ns = since_ns };

		rig_call(i, start_pending, &d);
		sum.files += d.p.files;
		sum.bytes += d.p.bytes;
		sum.away |= d.p.away;
		sum.stuck |= d.p.stuck;
	}
	return sum;
}

HELPER void
data_drain(void)
{
	uint64_t now = data_now_ns();

	for (int left_ms = 60000; data_pending(now).files > 0; left_ms--) {
		cr_assert(left_ms > 0, "not all is uploaded after a minute");
		usleep(1000);
	}
}

/* As SIGTERM without a drain does it: what is dirty stays in the journal. */
HELPER void
data_close(void)
{
	for (int i = 0; i < data.cores; i++)
		cr_assert(eq(int, rig_call(i, start_stop, NULL), 0));
	rig_stop();
	frame_stop();
	diskcache_close();
	kv_close();
	objstore_close(data.store);
}

HELPER void
data_format(void)
{
	struct kv_opts kv = { .path = data_path("meta"), .create = true, .cache_bytes = 16 * MIB,
		              .memtable_bytes = 32 * MIB };

	mkdir(kv.path, 0700);
	mkdir(data_path("journal"), 0700);
	mkdir(data_path("objects"), 0700);
	data.vol = (struct volume){ .uuid = "test", .format_version = FORMAT_VERSION, .secret = "secret" };
	snprintf(data.share[0].name, sizeof(data.share[0].name), "/export");
	snprintf(data.share[0].prefix, sizeof(data.share[0].prefix), "export");
	cr_assert(kv_open(&kv, data.why) == 0, "%s", data.why);
	cr_assert(meta_format(&data.vol, data.share, 1, data.why) == 0, "%s", data.why);
	kv_close();
}

HELPER void
data_start(int cores)
{
	log_set_level(getenv("LOGV") ? LOG_DEBUG : LOG_WARN);
	snprintf(data.path, sizeof(data.path), "%s", rig_dir());
	data_format();
	data_open(cores);
}

HELPER void
data_stop(void)
{
	data_close();
	rig_dir_remove();
}

/* ---- operations */

HELPER struct fref
data_create(const char *name)
{
	struct meta_create m = {
		.req = { .f = data.root }, .name = { name, (uint32_t)strlen(name) }, .type = FT_REG,
		.how = CREATE_GUARDED, .sattr = { .set_mode = true, .mode = 0644 },
	};

	cr_assert(eq(int, ON_OWNER(meta_create, &m), 0));
	return m.child;
}

HELPER int
data_unlink(const char *name)
{
	struct meta_unlink m = { .req = { .f = data.root }, .name = { name, (uint32_t)strlen(name) } };

	return ON_OWNER(meta_unlink, &m);
}

HELPER struct attr
data_attr(struct fref f)
{
	struct meta_getattr m = { .req.f = f };

	cr_assert(eq(int, ON_OWNER(meta_getattr, &m), 0));
	return m.attr;
}

HELPER int
data_truncate(struct fref f, uint64_t size)
{
	struct meta_setattr m = { .req.f = f, .sattr = { .set_size = true, .size = size } };

	return ON_OWNER(meta_setattr, &m);
}

HELPER int
data_commit(struct fref f)
{
	struct file_commit c = { .req.f = f };

	return ON_OWNER(file_commit, &c);
}

/* A WRITE as proto sends it: 64 KiB buffers, a small one where the rest fits it. */
struct data_write {
	struct file_write w;
	struct cred cred;
	const uint8_t *from;
	struct buf_wait wait;
	struct buf *buf[WRITE_BUFS_MAX];
	int nbufs, next;
	uint32_t piece; /* bytes a buffer */
	struct op step;
	struct op *done;
};

HELPER enum op_state
write_bufs_here(struct data_write *d)
{
	uint32_t at = 0;

	for (int i = 0; i < d->nbufs; i++) {
		uint32_t n = MIN(d->w.count - at, d->piece);

		memcpy(d->buf[i]->data, d->from + at, n);
		d->w.payload[i] = (struct bufref){ d->buf[i], 0, n };
		at += n;
	}
	d->w.npayload = d->nbufs;
	return file_write(&d->w, d->done);
}

HELPER void
write_resume_bufs(struct op *step)
{
	struct data_write *d = container_of(step, struct data_write, step);

	if (write_bufs_here(d) == OP_DONE)
		d->done->resume(d->done);
}

HELPER enum op_state
start_write(void *arg, struct op *op)
{
	struct data_write *d = arg;
	bool small = d->w.count <= BUF_SMALL_BYTES;

	d->done = op;
	d->step.resume = write_resume_bufs;
	d->piece = small ? BUF_SMALL_BYTES : BUF_LARGE_BYTES;
	d->nbufs = (int)((d->w.count + d->piece - 1) / d->piece);
	if (d->nbufs > 0 && buf_get_many(&d->wait, d->buf, d->nbufs, small ? BUF_SMALL : BUF_LARGE, BUF_INGEST,
	                                 &d->step) == OP_PENDING)
		return OP_PENDING;
	return write_bufs_here(d);
}

HELPER int
data_write_as(struct fref f, const struct cred *c, uint64_t off, const void *p, uint32_t len, enum stable stable,
              struct file_write *out)
{
	struct data_write *d = calloc(1, sizeof(*d));
	int res;

	d->w = (struct file_write){ .req = { .cred = *c, .f = f }, .off = off, .count = len, .stable = stable };
	d->from = p;
	res = rig_call(shard_owner(f.ino), start_write, d);
	if (out)
		*out = d->w;
	free(d);
	return res;
}

HELPER int
data_write(struct fref f, uint64_t off, const void *p, uint32_t len, enum stable stable)
{
	return data_write_as(f, &superuser, off, p, len, stable, NULL);
}

struct data_read {
	struct file_read r;
	uint8_t *to;
	struct op step;
	struct op *done;
};

HELPER void
read_take(struct data_read *d)
{
	uint8_t *to = d->to;

	for (int i = 0; i < d->r.npieces; i++) {
		const struct bufref *p = &d->r.piece[i];

		memcpy(to, p->buf ? p->buf->data + p->off : buf_zeros, p->len);
		to += p->len;
	}
	file_read_put(&d->r);
}

HELPER void
read_resumed(struct op *step)
{
	struct data_read *d = container_of(step, struct data_read, step);

	if (step->res == 0)
		read_take(d);
	d->done->res = step->res;
	d->done->resume(d->done);
}

HELPER enum op_state
start_read(void *arg, struct op *op)
{
	struct data_read *d = arg;

	d->done = op;
	d->step.resume = read_resumed;
	if (file_read(&d->r, &d->step) == OP_PENDING)
		return OP_PENDING;
	if (d->step.res == 0)
		read_take(d);
	return op_done(op, d->step.res);
}

/* The length read, which may be short. */
HELPER int
data_read_as(struct fref f, const struct cred *c, uint64_t off, void *p, uint32_t len, bool *eof)
{
	struct data_read *d = calloc(1, sizeof(*d));
	int res;

	d->r.req = (struct meta_req){ .cred = *c, .f = f };
	d->r.off = off;
	d->r.count = len;
	d->to = p;
	res = rig_call(shard_owner(f.ino), start_read, d);
	if (eof)
		*eof = d->r.eof;
	if (res == 0)
		res = (int)d->r.len;
	free(d);
	return res;
}

/* All of [off, off + len), by as many READs as it takes; short only at the end of the file. */
HELPER int
data_read(struct fref f, uint64_t off, void *p, uint32_t len)
{
	uint32_t got = 0;
	bool eof = false;

	while (got < len && !eof) {
		int n = data_read_as(f, &superuser, off + got, (uint8_t *)p + got, MIN(len - got, FILE_IO_MAX), &eof);

		if (n < 0)
			return n;
		cr_assert(n > 0 || eof, "a READ of nothing that is not the end");
		got += (uint32_t)n;
	}
	return (int)got;
}

HELPER struct file_stats
data_stats(void)
{
	struct file_stats sum = { 0 };

	for (int i = 0; i < data.cores; i++) {
		const struct file_stats *s = file_stats(i);

		sum.dirty_bytes += s->dirty_bytes;
		sum.dirty_files += s->dirty_files;
		sum.uploaded_bytes += s->uploaded_bytes;
		sum.uploaded_plain_bytes += s->uploaded_plain_bytes;
		sum.uploaded_objects += s->uploaded_objects;
		sum.upload_errors += s->upload_errors;
		sum.deleted_objects += s->deleted_objects;
		sum.garbage += s->garbage;
		sum.compactions += s->compactions;
		sum.compacted_bytes += s->compacted_bytes;
		sum.compacted_pieces += s->compacted_pieces;
		sum.compacted_into += s->compacted_into;
		sum.compact_pending += s->compact_pending;
		sum.compact_errors += s->compact_errors;
		sum.pages_copied += s->pages_copied;
		sum.repacked += s->repacked;
		sum.repacked_into += s->repacked_into;
	}
	return sum;
}

/* ---- database and objects as a whole */

struct check {
	uint64_t used, inodes, u_bytes, u_inodes, chunks, slices, garbage, packs, pack_blocks, blocks;
	uint64_t ino, ino_used, ino_covered; /* of the inode that the scan is at */
};

HELPER int
check_object(const char *name)
{
	char path[512];

	snprintf(path, sizeof(path), "%s/objects/%s", data.path, name);
	return access(path, R_OK);
}

/* Every byte of the piece is in a block whose object is there. */
HELPER void
check_piece(const struct slice_rec *s)
{
	for (uint32_t index = s->off / BLOCK_BYTES; index <= (s->off + s->len - 1) / BLOCK_BYTES; index++) {
		uint8_t key[KV_KEY_MAX], val[BLOCK_REC_BYTES_MAX];
		char name[OBJECT_NAME_MAX];
		struct block_rec rec;
		int len = kv_get_now(key, key_block(key, s->slice, index), val, sizeof(val));

		cr_assert(len > 0, "slice %lu: block %u is not recorded: %d", s->slice, index, len);
		cr_assert(eq(int, block_decode(&rec, val, (size_t)len), 0));
		cr_assert(le(u64, MIN(s->off + s->len, (index + 1) * BLOCK_BYTES), index * BLOCK_BYTES + rec.plain));
		object_name(name, data.share[0].prefix, s->slice, index, &rec);
		cr_assert(check_object(name) == 0, "%s is missing", name);
	}
}

HELPER int
check_chunk(void *arg, const void *key, size_t klen, const void *val, size_t vlen)
{
	struct check *c = arg;
	struct pieces p = { 0 };

	(void)klen;
	cr_assert(eq(u64, get_be64((const uint8_t *)key + 1), c->ino));
	cr_assert(eq(int, chunk_decode(val, vlen, &p), 0));
	for (uint32_t i = 0; i < p.n; i++)
		check_piece(&p.v[i]);
	c->ino_covered += pieces_covered(&p);
	c->chunks++;
	pieces_fini(&p);
	return 0;
}

HELPER int
check_inode(void *arg, const void *key, size_t klen, const void *val, size_t vlen)
{
	struct check *c = arg;
	struct kv_scan s = { .fn = check_chunk, .arg = c };
	struct attr a;

	(void)key;
	(void)klen;
	cr_assert(eq(int, attr_decode(&a, val, vlen, NULL), 0));
	c->inodes++;
	c->used += a.used;
	if (a.type != FT_REG)
		return 0;
	c->ino = a.ino;
	c->ino_covered = 0;
	s.from_len = (uint16_t)key_chunk(s.from, a.ino, 0);
	s.to_len = (uint16_t)key_chunk(s.to, a.ino + 1, 0);
	cr_assert(eq(int, kv_scan_now(&s), 0));
	cr_assert(a.used == c->ino_covered, "inode %lu: used %lu, its chunks cover %lu", a.ino, a.used,
	          c->ino_covered);
	cr_assert(a.used <= a.size, "inode %lu uses %lu beyond its size %lu", a.ino, a.used, a.size);
	return 0;
}

HELPER int
check_count(void *arg, const void *key, size_t klen, const void *val, size_t vlen)
{
	(void)key;
	(void)klen;
	(void)val;
	(void)vlen;
	++*(uint64_t *)arg;
	return 0;
}

HELPER uint64_t
check_keys(char first)
{
	uint64_t n = 0;
	struct kv_scan s = { .from = { (uint8_t)first }, .to = { (uint8_t)(first + 1) }, .from_len = 1, .to_len = 1,
		             .fn = check_count, .arg = &n };

	cr_assert(eq(int, kv_scan_now(&s), 0));
	return n;
}

HELPER struct check
data_check(void)
{
	struct check c = { 0 };
	struct kv_scan s = { .from = "I", .to = "J", .from_len = 1, .to_len = 1, .fn = check_inode, .arg = &c };
	uint8_t key[KV_KEY_MAX], val[16] = { 0 };

	cr_assert(eq(int, kv_scan_now(&s), 0));
	cr_assert(ge(int, kv_get_now(key, key_usage(key, data.share[0].id), val, sizeof(val)), 0));
	c.u_bytes = get_le64(val);
	c.u_inodes = get_le64(val + 8);
	cr_assert(c.u_bytes == c.used, "usage is %lu, the inodes use %lu", c.u_bytes, c.used);
	cr_assert(c.u_inodes == c.inodes, "usage is %lu inodes, there are %lu", c.u_inodes, c.inodes);
	c.garbage = check_keys('G');
	c.packs = check_keys('P');
	c.blocks = check_keys('B');
	return c;
}

#endif
