/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "meta/chunk.h"
#include "tools/daemon.h"
#include "tools/metadata.h"

#define PIECES 10000 /* are told; a file may have any number */

struct look {
	const struct share_rec *share;
	json_t *list;
	uint64_t entries, pieces, ino;
	uint64_t object_bytes;         /* of the file's frames, as they are in their objects */
	uint64_t frames[CODEC_ZSTD + 1];
};

static int
see_entry(void *arg, const void *key, size_t klen, const void *val, size_t vlen)
{
	(void)key, (void)klen, (void)val, (void)vlen;
	((struct look *)arg)->entries++;
	return 0;
}

/* Bytes [from, from + len) of the block: of a frame of which a part is shown, that part of what is stored. */
static void
add_frames(struct look *l, const struct block_rec *rec, uint64_t from, uint64_t len)
{
	len = from < rec->plain ? MIN(len, rec->plain - from) : 0;
	for (uint64_t k = from / FRAME_BYTES; k < rec->nframes && k * FRAME_BYTES < from + len; k++) {
		const struct frame_rec *f = &rec->frame[k];
		uint64_t start = k * FRAME_BYTES, end = MIN(start + FRAME_BYTES, rec->plain);
		uint64_t shown = MIN(end, from + len) - MAX(start, from);

		l->object_bytes += f->stored * shown / MAX(end - start, 1);
		l->frames[MIN(f->codec, CODEC_ZSTD)]++;
	}
}

/* The part of a piece that is in one block. */
static void
add_block(struct look *l, uint64_t off, uint64_t len, uint64_t slice, uint64_t at)
{
	uint8_t key[KV_KEY_MAX], val[BLOCK_REC_BYTES_MAX];
	uint32_t index = (uint32_t)(at / BLOCK_BYTES);
	char name[OBJECT_NAME_MAX] = "?";
	struct block_rec rec = { 0 };
	int got = kv_get_now(key, key_block(key, slice, index), val, sizeof(val));

	if (got >= 0 && block_decode(&rec, val, (size_t)got) >= 0) {
		object_name(name, l->share->prefix, slice, index, &rec);
		add_frames(l, &rec, at % BLOCK_BYTES, len);
	}
	if (l->pieces++ >= PIECES)
		return;
	json_array_append_new(l->list, json_pack("{s:I, s:I, s:s, s:I, s:I, s:I}", "offset", (json_int_t)off, "length", (json_int_t)len,
		"object", name, "from", (json_int_t)(at % BLOCK_BYTES), "block_at", (json_int_t)rec.off, "stored", (json_int_t)rec.stored));
}

static int
see_chunk(void *arg, const void *key, size_t klen, const void *val, size_t vlen)
{
	struct look *l = arg;
	struct pieces p = { 0 };

	if (klen != 17 || chunk_decode(val, vlen, &p) < 0)
		return 0;
	uint64_t base = get_be64((const uint8_t *)key + 9) * CHUNK_BYTES;

	for (uint32_t i = 0; i < p.n; i++) {
		const struct slice_rec *s = &p.v[i];
		uint64_t end = (uint64_t)s->off + s->len;

		for (uint64_t at = s->off; s->slice && at < end;) {
			uint64_t n = MIN(end, (at / BLOCK_BYTES + 1) * BLOCK_BYTES) - at;

			add_block(l, base + s->pos + (at - s->off), n, s->slice, at);
			at += n;
		}
	}
	pieces_fini(&p);
	return 0;
}

static void
look_inside(struct look *l, const struct attr *a)
{
	struct kv_scan scan = { .arg = l };

	if (a->type == FT_DIR) {
		scan.fn = see_entry;
		scan.from_len = (uint16_t)key_dirent_from(scan.from, a->ino, 0);
		scan.to_len = (uint16_t)key_dirent_from(scan.to, a->ino + 1, 0);
	} else {
		scan.fn = see_chunk;
		scan.from_len = (uint16_t)key_chunk(scan.from, a->ino, 0);
		scan.to_len = (uint16_t)key_chunk(scan.to, a->ino + 1, 0);
	}
	kv_scan_now(&scan);
}

static json_t *
info(const struct daemon *d, const char *path)
{
	static const char *const types[] = { "?", "file", "directory", "block device", "device", "symlink", "socket", "fifo" };
	struct look l = { 0 };
	struct attr a;
	int err = path ? metadata_find(&d->vol, path, &l.ino) : -ENOENT;

	if (err == 0)
		err = metadata_attr(l.ino, &a);
	if (err < 0)
		return json_pack("{s:s}", "error", err == -ENOENT ? "there is no such file; a path begins with its share: /export/..." : strerror(-err));
	l.share = metadata_share(&d->vol, &a);
	l.list = json_array();
	if (l.share)
		look_inside(&l, &a);
	return json_pack("{s:I, s:s, s:i, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:{s:I, s:I, s:I}, s:o}", "inode", (json_int_t)a.ino, "type",
		types[MIN(a.type, ARRAY_LEN(types) - 1)], "mode", (int)a.mode, "uid", (json_int_t)a.uid, "gid", (json_int_t)a.gid, "links",
		(json_int_t)a.nlink, "size", (json_int_t)a.size, "stored", (json_int_t)a.used, "mtime_ns", (json_int_t)a.mtime_ns, "entries",
		(json_int_t)l.entries, "pieces", (json_int_t)l.pieces, "object_bytes", (json_int_t)l.object_bytes,
		"frames", "raw", (json_int_t)l.frames[CODEC_RAW], "lz4", (json_int_t)l.frames[CODEC_LZ4], "zstd", (json_int_t)l.frames[CODEC_ZSTD],
		"list", l.list);
}

char *
report_info_json(const struct daemon *d, const char *path)
{
	json_t *j = info(d, path);
	char *text = json_dumps(j, JSON_INDENT(2));

	json_decref(j);
	return text;
}
