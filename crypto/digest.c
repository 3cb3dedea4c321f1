/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/digest.h"

#include <openssl/evp.h>

static void
digest(const EVP_MD *kind, const struct iovec *iov, int niov, uint8_t *out)
{
	EVP_MD_CTX *c = EVP_MD_CTX_new();
	bool ok = c && EVP_DigestInit_ex(c, kind, NULL) == 1;

	for (int i = 0; ok && i < niov; i++)
		ok = EVP_DigestUpdate(c, iov[i].iov_base, iov[i].iov_len) == 1;
	ok = ok && EVP_DigestFinal_ex(c, out, NULL) == 1;
	/* No memory for a context, or an OpenSSL without the digest: nothing that a request could answer for. */
	assert(ok);
	EVP_MD_CTX_free(c);
}

void
digest_sha256(const struct iovec *iov, int niov, uint8_t out[DIGEST_SHA256])
{
	digest(EVP_sha256(), iov, niov, out);
}

void
digest_md5(const struct iovec *iov, int niov, uint8_t out[DIGEST_MD5])
{
	digest(EVP_md5(), iov, niov, out);
}

void
digest_hex(const uint8_t *in, size_t n, char *out)
{
	static const char hex[] = "0123456789abcdef";

	for (size_t i = 0; i < n; i++) {
		*out++ = hex[in[i] >> 4];
		*out++ = hex[in[i] & 15];
	}
	*out = '\0';
}

void
digest_base64(const uint8_t *in, size_t n, char *out)
{
	EVP_EncodeBlock((unsigned char *)out, in, (int)n);
}
