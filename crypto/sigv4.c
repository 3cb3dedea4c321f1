/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/sigv4.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>

#include "crypto/digest.h"

#define SCOPE 128

int
sigv4_init(struct sigv4 *s, const char *access, const char *secret, const char *region, const char *service)
{
	memset(s, 0, sizeof(*s));
	if (!*access || strlen(access) >= sizeof(s->access) || !*secret || strlen(secret) >= sizeof(s->secret) ||
	    !*region || strlen(region) >= sizeof(s->region) || strlen(service) >= sizeof(s->service))
		return -EINVAL;
	strcpy(s->access, access);
	strcpy(s->secret, secret);
	strcpy(s->region, region);
	strcpy(s->service, service);
	return 0;
}

void
sigv4_fini(struct sigv4 *s)
{
	OPENSSL_cleanse(s, sizeof(*s));
}

void
sigv4_date(time_t t, char out[SIGV4_DATE])
{
	struct tm tm;

	gmtime_r(&t, &tm);
	strftime(out, SIGV4_DATE, "%Y%m%dT%H%M%SZ", &tm);
}

int
sigv4_encode(char *out, size_t room, const char *s, bool slash)
{
	static const char hex[] = "0123456789ABCDEF";
	size_t n = 0;

	for (; *s; s++) {
		unsigned char c = (unsigned char)*s;

		if (n + 4 > room)
			return -ENOSPC;
		if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
		    c == '.' || c == '_' || c == '~' || (c == '/' && slash)) {
			out[n++] = (char)c;
		} else {
			out[n++] = '%';
			out[n++] = hex[c >> 4];
			out[n++] = hex[c & 15];
		}
	}
	if (n >= room)
		return -ENOSPC;
	out[n] = '\0';
	return (int)n;
}

static void
hmac(const void *key, size_t key_len, const char *text, uint8_t out[32])
{
	unsigned len;
	const void *ok = HMAC(EVP_sha256(), key, (int)key_len, (const uint8_t *)text, strlen(text), out, &len);

	assert(ok);
}

/* The chain of keys: secret, day, region, service.  One day's key serves a day. */
static void
take_key(struct sigv4 *s, const char *date)
{
	uint8_t k[32];
	char first[4 + sizeof(s->secret)];

	if (memcmp(s->day, date, 8) == 0)
		return;
	memcpy(s->day, date, 8);
	s->day[8] = '\0';
	snprintf(first, sizeof(first), "AWS4%s", s->secret);
	hmac(first, strlen(first), s->day, k);
	hmac(k, 32, s->region, k);
	hmac(k, 32, s->service, k);
	hmac(k, 32, "aws4_request", s->key);
	OPENSSL_cleanse(first, sizeof(first));
	OPENSSL_cleanse(k, sizeof(k));
}

/* By name: comparing whole lines would put "a:" behind "a-b:". */
static void
sort_headers(struct sigv4_header *h, int n)
{
	for (int i = 1; i < n; i++) {
		struct sigv4_header x = h[i];
		int k = i;

		for (; k > 0 && strcmp(h[k - 1].name, x.name) > 0; k--)
			h[k] = h[k - 1];
		h[k] = x;
	}
}

static void
feed(EVP_MD_CTX *c, const char *s, size_t len)
{
	int ok = EVP_DigestUpdate(c, s, len);

	assert(ok == 1);
}

/* Without spaces at its ends, and one where there are several. */
static void
feed_value(EVP_MD_CTX *c, const char *v)
{
	while (*v == ' ')
		v++;
	while (*v) {
		size_t word = strcspn(v, " ");

		feed(c, v, word);
		v += word;
		while (*v == ' ')
			v++;
		if (*v)
			feed(c, " ", 1);
	}
}

/* Hashes the canonical request; never whole in memory, so that no part of it has a limit. */
static void
hash_request(const struct sigv4_request *r, const char *names, char out[SIGV4_HEX])
{
	EVP_MD_CTX *c = EVP_MD_CTX_new();
	uint8_t digest[32];
	int ok = c && EVP_DigestInit_ex(c, EVP_sha256(), NULL);

	assert(ok == 1);
	const char *head[] = { r->method, "\n", r->path, "\n", r->query, "\n" };
	for (size_t i = 0; i < ARRAY_LEN(head); i++)
		feed(c, head[i], strlen(head[i]));
	for (int i = 0; i < r->nheaders; i++) {
		feed(c, r->header[i].name, strlen(r->header[i].name));
		feed(c, ":", 1);
		feed_value(c, r->header[i].value);
		feed(c, "\n", 1);
	}
	feed(c, "\n", 1);
	feed(c, names, strlen(names));
	feed(c, "\n", 1);
	feed(c, r->payload, strlen(r->payload));
	ok = EVP_DigestFinal_ex(c, digest, NULL);
	assert(ok == 1);
	EVP_MD_CTX_free(c);
	digest_hex(digest, 32, out);
}

int
sigv4_sign(struct sigv4 *s, struct sigv4_request *r, char out[SIGV4_AUTH])
{
	char names[256], scope[SCOPE], hash[SIGV4_HEX], sig[SIGV4_HEX], text[SCOPE + 128];
	uint8_t mac[32];
	size_t n = 0;

	sort_headers(r->header, r->nheaders);
	for (int i = 0; i < r->nheaders; i++) {
		int k = snprintf(names + n, sizeof(names) - n, "%s%s", i ? ";" : "", r->header[i].name);

		n += (size_t)k;
		if (n >= sizeof(names))
			return -ENOSPC;
	}
	hash_request(r, names, hash);
	snprintf(scope, sizeof(scope), "%.8s/%s/%s/aws4_request", r->date, s->region, s->service);
	snprintf(text, sizeof(text), "AWS4-HMAC-SHA256\n%s\n%s\n%s", r->date, scope, hash);
	take_key(s, r->date);
	hmac(s->key, 32, text, mac);
	digest_hex(mac, 32, sig);
	int k = snprintf(out, SIGV4_AUTH, "AWS4-HMAC-SHA256 Credential=%s/%s, SignedHeaders=%s, Signature=%s", s->access,
		scope, names, sig);
	return k < SIGV4_AUTH ? 0 : -ENOSPC;
}
