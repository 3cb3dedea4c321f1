/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/handle.h"

#define MAC_AT 24
static_assert(MAC_AT + 8 == HANDLE_BYTES, "the MAC closes the handle");

static struct {
	uint8_t uuid[3];
	uint8_t key[16];
} volume;

void
handle_init(const struct volume *vol)
{
	memcpy(volume.uuid, vol->uuid, sizeof volume.uuid);
	memcpy(volume.key, vol->secret + 16, sizeof volume.key);
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

int
handle_decode(struct fref *f, const uint8_t *p, size_t len)
{
	if (len != HANDLE_BYTES || p[0] != HANDLE_VERSION)
		return -E_BADHANDLE;
	/* One comparison of 8 bytes: no early exit that could tell a forger how far he is. */
	if (get_le64(p + MAC_AT) != handle_mac(p))
		return -E_BADHANDLE;
	if (memcmp(p + 1, volume.uuid, sizeof volume.uuid) != 0)
		return -E_BADHANDLE;
	f->share = get_le32(p + 4);
	f->ino = get_le64(p + 8);
	f->gen = get_le64(p + 16);
	return 0;
}
