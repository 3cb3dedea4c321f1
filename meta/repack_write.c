/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/repack_impl.h"

#include "crypto/seal.h"
#include "meta/garbage.h"
#include "meta/sliceid.h"
#include "store/claim.h"

static_assert(FOOTER_BYTES + UPLOAD_BLOCKS_MAX * INDEX_BLOCK_BYTES +
              (UPLOAD_BLOCKS_MAX + FRAMES_PER_BLOCK) * INDEX_FRAME_BYTES <= REPACK_TAIL_MAX, "a pack's index");

struct iovec
repack_room(const struct repack *r, uint64_t at, uint64_t len)
{
	uint64_t in = at % BUF_LARGE_BYTES;

	return (struct iovec){ r->buf[at / BUF_LARGE_BYTES]->data + in, MIN(len, BUF_LARGE_BYTES - in) };
}

enum op_state
repack_put(struct repack *r)
{
	struct object_tail tail;
	uint32_t n = 0;

	r->pack = slice_id_take(1, NULL);
	if (!r->pack)
		return op_done(&r->step, -E_JUKEBOX);
	object_tail_start(&tail, r->tail_out, sizeof(r->tail_out));
	for (uint32_t i = 0; i < r->nblocks; i++) {
		/* Blocks stay sealed as they are, each with its epoch's key (crypto/seal.h); the footer tells the newest. */
		tail.seal.key_id = MAX(tail.seal.key_id, r->block[i].rec.key_epoch);
		r->block[i].rec.pack = r->pack;
		object_tail_add(&tail, r->block[i].slice, r->block[i].index, &r->block[i].rec);
	}
	tail.seal.cipher = (uint16_t)seal_cipher(tail.seal.key_id);
	for (uint64_t at = 0; at < r->bytes; at += r->iov[n++].iov_len)
		r->iov[n] = repack_room(r, at, r->bytes - at);
	r->iov[n++] = (struct iovec){ r->tail_out, object_tail_finish(&tail, file_volume()->uuid, r->bytes) };
	memset(&r->req, 0, sizeof(r->req));
	object_name(r->req.name, share_prefix_at(r->into_share), 0, 0, &r->block[0].rec);
	r->req.store = file_options()->store;
	r->req.iov = r->iov;
	r->req.niov = (int)n;
	r->req.len = r->bytes + r->iov[n - 1].iov_len;
	return claim_put(&r->req, &r->step);
}

static void
pack_change(struct repack *r, uint64_t pack, uint64_t blocks, uint64_t bytes, uint64_t total)
{
	uint8_t key[KV_KEY_MAX], val[24];

	put_le64(val, blocks);
	put_le64(val + 8, bytes);
	put_le64(val + 16, total);
	kv_batch_merge(r->batch, key, key_pack(key, pack), val, sizeof(val));
}

enum op_state
repack_commit(struct repack *r)
{
	uint8_t key[KV_KEY_MAX], val[BLOCK_REC_BYTES_MAX];

	kv_batch_clear(r->batch);
	for (uint32_t i = 0; i < r->nblocks; i++) {
		const struct moved *m = &r->block[i];

		kv_batch_put(r->batch, key, key_block(key, m->slice, m->index), val, block_encode(val, &m->rec));
	}
	pack_change(r, r->pack, r->nblocks, r->bytes, r->req.len);
	for (uint32_t i = 0; i < r->nsources; i++) {
		pack_change(r, r->source[i].pack, -(uint64_t)r->source[i].n, -r->source[i].bytes, 0);
		garbage_pack(r->batch, r->source[i].pack, share_id_at(r->into_share));
	}
	return kv_write(&r->write, r->batch, &r->step);
}
