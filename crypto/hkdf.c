/* SPDX-License-Identifier: Apache-2.0 */
/* HMAC by hand over one digest context a thread: OpenSSL's own fetches and allocates for each call, and keeps the key on its heap. */
#include "crypto/hkdf.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <pthread.h>

#define SHA  32
#define PAD  64

static __thread EVP_MD_CTX *mine;
static pthread_key_t at_end;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void
thread_ends(void *c)
{
	EVP_MD_CTX_free(c);
	mine = NULL;
}

static void
start(void)
{
	int err = pthread_key_create(&at_end, thread_ends);

	assert(err == 0);
}

static EVP_MD_CTX *
context(void)
{
	if (mine)
		return mine;
	pthread_once(&once, start);
	EVP_MD *sha = EVP_MD_fetch(NULL, "SHA256", NULL);

	mine = EVP_MD_CTX_new();
	int ok = sha && mine && pthread_setspecific(at_end, mine) == 0 && EVP_DigestInit_ex2(mine, sha, NULL) == 1;
	/* As in crypto/digest.c: no memory for it is nothing that a request could answer for. */
	assert(ok);
	EVP_MD_free(sha); /* the context has a reference */
	return mine;
}

static void
feed(EVP_MD_CTX *c, const void *p, size_t len)
{
	int ok = EVP_DigestUpdate(c, p, len);

	assert(ok == 1);
}

static void
begin(EVP_MD_CTX *c)
{
	int ok = EVP_DigestInit_ex2(c, NULL, NULL);

	assert(ok == 1);
}

static void
end(EVP_MD_CTX *c, uint8_t out[SHA])
{
	int ok = EVP_DigestFinal_ex(c, out, NULL);

	assert(ok == 1);
}

void
hmac_sha256(const void *key, size_t key_len, const void *a, size_t a_len, const void *b, size_t b_len, uint8_t out[SHA])
{
	EVP_MD_CTX *c = context();
	uint8_t pad[PAD] = { 0 };

	if (key_len > PAD) {
		begin(c);
		feed(c, key, key_len);
		end(c, pad);
	} else if (key_len > 0) {
		memcpy(pad, key, key_len);
	}
	for (int i = 0; i < PAD; i++)
		pad[i] ^= 0x36;
	begin(c);
	feed(c, pad, PAD);
	feed(c, a, a_len);
	feed(c, b, b_len);
	end(c, out);
	for (int i = 0; i < PAD; i++)
		pad[i] ^= 0x36 ^ 0x5c;
	begin(c);
	feed(c, pad, PAD);
	feed(c, out, SHA);
	end(c, out);
	OPENSSL_cleanse(pad, sizeof(pad));
}

void
hkdf_extract(const void *salt, size_t salt_len, const void *ikm, size_t ikm_len, uint8_t prk[HKDF_KEY])
{
	hmac_sha256(salt, salt_len, ikm, ikm_len, NULL, 0, prk);
}

void
hkdf_expand(const uint8_t prk[HKDF_KEY], const void *info, size_t info_len, uint8_t *out, size_t len)
{
	uint8_t in[SHA + 256 + 1], t[SHA];
	size_t have = 0;

	assert(info_len <= 256 && len <= 255 * SHA);
	for (uint8_t i = 1; len > 0; i++) {
		size_t n = MIN(len, (size_t)SHA);

		memcpy(in, t, have);
		if (info_len > 0)
			memcpy(in + have, info, info_len);
		hmac_sha256(prk, HKDF_KEY, in, have + info_len, &i, 1, t);
		memcpy(out, t, n);
		have = SHA;
		out += n;
		len -= n;
	}
	OPENSSL_cleanse(t, sizeof(t));
	OPENSSL_cleanse(in, sizeof(in));
}
