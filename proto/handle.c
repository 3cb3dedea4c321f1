/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/handle.h"

#define MAC_AT 24
static_assert(MAC_AT + 8 == HANDLE_BYTES, "the MAC closes the handle");

static struct {
	uint8_t uuid[3];
	uint8_t key[16];
	uint64_t epoch; /* counts the keys that were set */
} volume;

/*
 * Handles that this thread has found good lately, by their MAC: most calls name a directory or file that the calls before
 * them named.  Who shows a handle that is here has it whole, MAC included, so nothing can be learned from finding it.
 */
enum { GOODS = 16, WORDS = HANDLE_BYTES / 8 };
static __thread struct {
	uint64_t epoch;
	uint64_t word[WORDS];
} good[GOODS];

void
handle_init(const struct volume *vol)
{
	memcpy(volume.uuid, vol->uuid, sizeof volume.uuid);
	memcpy(volume.key, vol->secret + 16, sizeof volume.key);
	volume.epoch++;
}

/* 63 bits of SipHash: two of its values are taken by the cookies of "." and "..". */
static uint64_t
handle_mac(const uint8_t *h)
{
	return name_hash(volume.key, (const char *)h, MAC_AT);
}

void
handle_encode(uint8_t out[HANDLE_BYTES], const struct fref *f)
{
	out[0] = HANDLE_VERSION;
	memcpy(out + 1, volume.uuid, sizeof volume.uuid);
	put_le32(out + 4, f->share);
	put_le64(out + 8, f->ino);
	put_le64(out + 16, f->gen);
	put_le64(out + MAC_AT, handle_mac(out));
}

/* No comparison here has an early exit that could tell a forger how far he is. */
static bool
handle_is_ours(const uint8_t *p)
{
	uint64_t word[WORDS], other = 0;
	unsigned at = p[MAC_AT] % GOODS;

	memcpy(word, p, sizeof word);
	for (int i = 0; i < WORDS; i++)
		other |= word[i] ^ good[at].word[i];
	if (other == 0 && good[at].epoch == volume.epoch)
		return true;
	if (get_le64(p + MAC_AT) != handle_mac(p) || memcmp(p + 1, volume.uuid, sizeof volume.uuid) != 0)
		return false;
	good[at].epoch = volume.epoch;
	memcpy(good[at].word, word, sizeof word);
	return true;
}

int
handle_decode(struct fref *f, const uint8_t *p, size_t len)
{
	if (len != HANDLE_BYTES || p[0] != HANDLE_VERSION || !handle_is_ours(p))
		return -E_BADHANDLE;
	f->share = get_le32(p + 4);
	f->ino = get_le64(p + 8);
	f->gen = get_le64(p + 16);
	return 0;
}
