/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/seal.h"

#include <stdatomic.h>

#include "crypto/hkdf.h"
#include "crypto/secret.h"

struct epoch {
	uint32_t number;
	enum aead cipher;
	uint8_t prk[HKDF_KEY];
};

/* Appended to, never changed: whoever sees the count sees what it counts. */
static struct ring {
	uint8_t uuid[16];
	struct epoch *epoch; /* SEAL_EPOCHS of them, in secret memory */
	_Atomic uint32_t n, newest;
	_Atomic uint32_t opened; /* so many times: what threads remember is of one of them */
} ring;

/* Of this thread. */
static __thread struct {
	uint32_t opened, epoch;
	uint64_t slice;
	uint32_t index;
	uint8_t key[AEAD_KEY];
} last;

int
seal_start(const uint8_t uuid[16])
{
	assert(!ring.epoch);
	ring.epoch = secret_alloc(SEAL_EPOCHS * sizeof(struct epoch));
	if (!ring.epoch)
		return -ENOMEM;
	memcpy(ring.uuid, uuid, 16);
	ring.n = ring.newest = 0;
	ring.opened++;
	return 0;
}

void
seal_stop(void)
{
	secret_free(ring.epoch, SEAL_EPOCHS * sizeof(struct epoch));
	ring.epoch = NULL;
	ring.n = ring.newest = 0;
	ring.opened++;
	secret_wipe(&last, sizeof(last));
}

static const struct epoch *
find(uint32_t number)
{
	uint32_t n = atomic_load_explicit(&ring.n, memory_order_acquire);

	while (n-- > 0) /* most are of the newest */
		if (ring.epoch[n].number == number)
			return &ring.epoch[n];
	return NULL;
}

int
seal_add(uint32_t number, enum aead cipher, const uint8_t key[AEAD_KEY])
{
	uint32_t n = atomic_load(&ring.n);
	struct epoch *e;

	assert(ring.epoch && number > 0 && cipher > AEAD_NONE && cipher < AEAD_KINDS);
	if (find(number))
		return -EEXIST;
	if (n == SEAL_EPOCHS)
		return -ENOSPC;
	e = &ring.epoch[n];
	e->number = number;
	e->cipher = cipher;
	hkdf_extract(ring.uuid, 16, key, AEAD_KEY, e->prk);
	atomic_store_explicit(&ring.n, n + 1, memory_order_release);
	if (number > atomic_load(&ring.newest))
		atomic_store_explicit(&ring.newest, number, memory_order_release);
	return 0;
}

uint32_t
seal_epoch(void)
{
	return atomic_load_explicit(&ring.newest, memory_order_acquire);
}

enum aead
seal_cipher(uint32_t epoch)
{
	const struct epoch *e = find(epoch);

	return e ? e->cipher : AEAD_NONE;
}

/* ---- */

static const uint8_t *
block_key(const struct epoch *e, const struct seal_place *at)
{
	static const char label[16] = "dittofs block 1";
	uint32_t opened = atomic_load_explicit(&ring.opened, memory_order_relaxed);
	uint8_t info[sizeof(label) + 1 + 8 + 4];

	if (last.opened == opened && last.epoch == e->number && last.slice == at->slice && last.index == at->index)
		return last.key;
	memcpy(info, label, sizeof(label));
	info[16] = (uint8_t)e->cipher;
	put_le64(info + 17, at->slice);
	put_le32(info + 25, at->index);
	hkdf_expand(e->prk, info, sizeof(info), last.key, AEAD_KEY);
	last.opened = opened;
	last.epoch = e->number;
	last.slice = at->slice;
	last.index = at->index;
	return last.key;
}

#define AAD 64

static struct aead_aad
bind(const struct epoch *e, const struct seal_place *at, uint8_t aad[AAD])
{
	static const char label[8] = "DTTFRM1";

	memset(aad, 0, AAD);
	memcpy(aad, label, sizeof(label));
	memcpy(aad + 8, ring.uuid, 16);
	put_le32(aad + 24, e->number);
	put_le64(aad + 28, at->slice);
	put_le32(aad + 36, at->index);
	put_le32(aad + 40, at->block_plain);
	put_le32(aad + 44, at->frame);
	put_le32(aad + 48, at->plain);
	aad[52] = at->codec;
	return (struct aead_aad){ aad, AAD };
}

int
seal_frame(uint32_t epoch, const struct seal_place *at, const struct iovec *in, int n, uint8_t *out,
           uint8_t trailer[SEAL_BYTES])
{
	const struct epoch *e = find(epoch);
	uint8_t aad[AAD];

	if (!e)
		return -ENOKEY;
	secret_random(trailer, AEAD_NONCE);
	return aead_seal(e->cipher, block_key(e, at), trailer, bind(e, at, aad), in, n, out, trailer + AEAD_NONCE);
}

int
seal_open(uint32_t epoch, const struct seal_place *at, const uint8_t *sealed, size_t len,
          const uint8_t trailer[SEAL_BYTES], uint8_t *out)
{
	const struct epoch *e = find(epoch);
	uint8_t aad[AAD];

	if (!e)
		return -ENOKEY;
	return aead_open(e->cipher, block_key(e, at), trailer, bind(e, at, aad), sealed, len, trailer + AEAD_NONCE, out);
}

/* ---- objects */

#define OBJECT_AAD (8 + 16 + 4 + 8 + SEAL_NAME)

/* The object's key, and what it is bound to. */
static struct aead_aad
object_key(const struct epoch *e, const char *name, size_t len, uint8_t key[AEAD_KEY], uint8_t aad[OBJECT_AAD])
{
	static const char label[16] = "dittofs object 1", bound[8] = "DTTOBJK1";
	uint8_t info[sizeof(label) + 1 + SEAL_NAME];
	size_t n = strlen(name);

	assert(n <= SEAL_NAME);
	memcpy(info, label, sizeof(label));
	info[16] = (uint8_t)e->cipher;
	memcpy(info + 17, name, n);
	hkdf_expand(e->prk, info, 17 + n, key, AEAD_KEY);
	memset(aad, 0, OBJECT_AAD);
	memcpy(aad, bound, sizeof(bound));
	memcpy(aad + 8, ring.uuid, 16);
	put_le32(aad + 24, e->number);
	put_le64(aad + 28, len);
	memcpy(aad + 36, name, n);
	return (struct aead_aad){ aad, OBJECT_AAD };
}

int
seal_object(uint32_t epoch, const char *name, uint8_t *text, size_t len, uint8_t trailer[SEAL_BYTES])
{
	const struct epoch *e = find(epoch);
	uint8_t key[AEAD_KEY], aad[OBJECT_AAD];
	int err;

	if (!e)
		return -ENOKEY;
	secret_random(trailer, AEAD_NONCE);
	struct aead_aad to = object_key(e, name, len, key, aad);

	err = aead_seal(e->cipher, key, trailer, to, &(struct iovec){ text, len }, 1, text, trailer + AEAD_NONCE);
	secret_wipe(key, sizeof(key));
	return err;
}

int
seal_open_object(uint32_t epoch, const char *name, uint8_t *text, size_t len, const uint8_t trailer[SEAL_BYTES])
{
	const struct epoch *e = find(epoch);
	uint8_t key[AEAD_KEY], aad[OBJECT_AAD];
	int err;

	if (!e)
		return -ENOKEY;
	struct aead_aad to = object_key(e, name, len, key, aad);

	err = aead_open(e->cipher, key, trailer, to, text, len, trailer + AEAD_NONCE, text);
	secret_wipe(key, sizeof(key));
	return err;
}
