/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/aead.h"

#include <limits.h>
#include <openssl/evp.h>
#include <pthread.h>

static const struct {
	const char *name, *alias, *openssl;
} kinds[AEAD_KINDS] = {
	[AEAD_AES256GCM] = { "aes256gcm", "aes256gcm-rsa", "AES-256-GCM" },
	[AEAD_CHACHA20] = { "chacha20", "chacha20-rsa", "ChaCha20-Poly1305" },
};

const char *
aead_name(enum aead kind)
{
	return kind > AEAD_NONE && kind < AEAD_KINDS ? kinds[kind].name : "none";
}

enum aead
aead_parse(const char *name)
{
	for (enum aead k = AEAD_NONE + 1; k < AEAD_KINDS; k++)
		if (!strcmp(name, kinds[k].name) || !strcmp(name, kinds[k].alias))
			return k;
	return AEAD_NONE;
}

/* ---- a thread's contexts */

static __thread EVP_CIPHER_CTX *mine[AEAD_KINDS];
static pthread_key_t at_end;
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* They hold key schedules: OpenSSL wipes what it frees. */
static void
thread_ends(void *contexts)
{
	EVP_CIPHER_CTX **c = contexts;

	for (int k = 0; k < AEAD_KINDS; k++) {
		EVP_CIPHER_CTX_free(c[k]);
		c[k] = NULL;
	}
}

static void
start(void)
{
	int err = pthread_key_create(&at_end, thread_ends);

	assert(err == 0);
}

static EVP_CIPHER_CTX *
context(enum aead kind)
{
	assert(kind > AEAD_NONE && kind < AEAD_KINDS);
	if (mine[kind])
		return mine[kind];
	pthread_once(&once, start);
	EVP_CIPHER *cipher = EVP_CIPHER_fetch(NULL, kinds[kind].openssl, NULL);
	EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();

	/* 96-bit nonces are the default of both. */
	if (cipher && c && pthread_setspecific(at_end, mine) == 0 && EVP_EncryptInit_ex2(c, cipher, NULL, NULL, NULL) == 1) {
		mine[kind] = c;
		c = NULL;
	}
	EVP_CIPHER_CTX_free(c);
	EVP_CIPHER_free(cipher); /* the context has a reference */
	return mine[kind];
}

/* ---- */

/* Nothing here can fail but for mistakes of ours: the key and nonce have their length, the context is ready. */
static void
must(int ok)
{
	assert(ok == 1);
}

static void
begin(EVP_CIPHER_CTX *c, const uint8_t *key, const uint8_t *nonce, struct aead_aad aad, int seal)
{
	int n;

	must(EVP_CipherInit_ex2(c, NULL, key, nonce, seal, NULL));
	if (aad.len > 0)
		must(EVP_CipherUpdate(c, NULL, &n, aad.p, (int)aad.len));
}

int
aead_seal(enum aead kind, const uint8_t key[AEAD_KEY], const uint8_t nonce[AEAD_NONCE], struct aead_aad aad,
          const struct iovec *plain, int niov, uint8_t *out, uint8_t tag[AEAD_TAG])
{
	EVP_CIPHER_CTX *c = context(kind);
	int n;

	if (!c)
		return -ENOMEM;
	begin(c, key, nonce, aad, 1);
	for (int i = 0; i < niov; i++) {
		assert(plain[i].iov_len <= INT_MAX);
		if (plain[i].iov_len == 0)
			continue;
		must(EVP_EncryptUpdate(c, out, &n, plain[i].iov_base, (int)plain[i].iov_len));
		out += n;
	}
	must(EVP_EncryptFinal_ex(c, tag, &n));
	must(EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_GET_TAG, AEAD_TAG, tag));
	return 0;
}

int
aead_open(enum aead kind, const uint8_t key[AEAD_KEY], const uint8_t nonce[AEAD_NONCE], struct aead_aad aad,
          const uint8_t *sealed, size_t len, const uint8_t tag[AEAD_TAG], uint8_t *out)
{
	EVP_CIPHER_CTX *c = context(kind);
	uint8_t want[AEAD_TAG], end[AEAD_TAG];
	int n;

	assert(len <= INT_MAX);
	if (!c)
		return -ENOMEM;
	memcpy(want, tag, AEAD_TAG); /* OpenSSL takes it as not const */
	begin(c, key, nonce, aad, 0);
	if (len > 0)
		must(EVP_DecryptUpdate(c, out, &n, sealed, (int)len));
	must(EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_SET_TAG, AEAD_TAG, want));
	if (EVP_DecryptFinal_ex(c, end, &n) == 1)
		return 0;
	memset(out, 0, len);
	return -E_DAMAGED;
}
