/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Vectors: "The Galois/Counter Mode of Operation" (McGrew, Viega), appendix B, cases 13 to 16, which NIST's CAVS took over;
 * RFC 8439 §2.8.2; RFC 5869, appendix A; RFC 4231.
 */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "crypto/aead.h"
#include "crypto/hkdf.h"

static size_t
unhex(const char *hex, uint8_t *out)
{
	size_t n = strlen(hex) / 2;

	for (size_t i = 0; i < n; i++) {
		unsigned v;

		sscanf(hex + 2 * i, "%2x", &v);
		out[i] = (uint8_t)v;
	}
	return n;
}

struct vector {
	enum aead kind;
	const char *key, *nonce, *aad, *plain, *sealed, *tag;
};

#define K16 "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308"
#define P16 "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39"
#define Z16 "0000000000000000000000000000000000000000000000000000000000000000"
static const struct vector vectors[] = {
	{ AEAD_AES256GCM, Z16, "000000000000000000000000", "", "", "", "530f8afbc74536b9a963b4f1c4cb738b" },
	{ AEAD_AES256GCM, Z16, "000000000000000000000000", "", "00000000000000000000000000000000",
	  "cea7403d4d606b6e074ec5d3baf39d18", "d0d1c8a799996bf0265b98b5d48ab919" },
	{ AEAD_AES256GCM, K16, "cafebabefacedbaddecaf888", "", P16 "1aafd255",
	  "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662898015ad",
	  "b094dac5d93471bdec1a502270e3cc6c" },
	{ AEAD_AES256GCM, K16, "cafebabefacedbaddecaf888", "feedfacedeadbeeffeedfacedeadbeefabaddad2", P16,
	  "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662",
	  "76fc6ece0f4e1768cddf8853bb2d551b" },
	{ AEAD_CHACHA20, "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f", "070000004041424344454647",
	  "50515253c0c1c2c3c4c5c6c7",
	  "4c616469657320616e642047656e746c656d656e206f662074686520636c617373206f66202739393a204966204920636f756c64206f6666657220796f75206f"
	  "6e6c79206f6e652074697020666f7220746865206675747572652c2073756e73637265656e20776f756c642062652069742e",
	  "d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d63dbea45e8ca9671282fafb69da92728b1a71de0a9e060b2905d6a5b67ecd3b36"
	  "92ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc3ff4def08e4b7a9de576d26586cec64b6116",
	  "1ae10b594f09e26a7e902ecbd0600691" },
};

struct text {
	uint8_t key[32], nonce[12], aad[64], plain[256], sealed[256], tag[16];
	struct aead_aad with;
	size_t len;
};

static void
take(const struct vector *v, struct text *t)
{
	unhex(v->key, t->key);
	unhex(v->nonce, t->nonce);
	t->with = (struct aead_aad){ t->aad, unhex(v->aad, t->aad) };
	t->len = unhex(v->plain, t->plain);
	unhex(v->sealed, t->sealed);
	unhex(v->tag, t->tag);
}

Test(aead, known_answers)
{
	for (size_t i = 0; i < ARRAY_LEN(vectors); i++) {
		uint8_t out[256], tag[16];
		struct text t;

		take(&vectors[i], &t);
		struct iovec one = { t.plain, t.len };
		cr_assert(eq(int, aead_seal(vectors[i].kind, t.key, t.nonce, t.with, &one, 1, out, tag), 0));
		cr_expect(memcmp(out, t.sealed, t.len) == 0 && memcmp(tag, t.tag, 16) == 0, "vector %zu", i);
		cr_assert(eq(int, aead_open(vectors[i].kind, t.key, t.nonce, t.with, t.sealed, t.len, t.tag, out), 0));
		cr_expect(memcmp(out, t.plain, t.len) == 0, "vector %zu", i);
	}
}

/* However the text is cut, and in its own place, the bytes are the same. */
Test(aead, pieces_and_places)
{
	for (size_t i = 0; i < ARRAY_LEN(vectors); i++) {
		uint8_t out[256], tag[16];
		struct text t;

		take(&vectors[i], &t);
		for (size_t a = 0; a <= t.len; a++) {
			struct iovec cut[3] = { { t.plain, a / 2 }, { t.plain + a / 2, a - a / 2 }, { t.plain + a, t.len - a } };

			cr_assert(eq(int, aead_seal(vectors[i].kind, t.key, t.nonce, t.with, cut, 3, out, tag), 0));
			cr_assert(memcmp(out, t.sealed, t.len) == 0 && memcmp(tag, t.tag, 16) == 0, "vector %zu cut at %zu", i, a);
		}
		struct iovec here = { t.plain, t.len };
		cr_assert(eq(int, aead_seal(vectors[i].kind, t.key, t.nonce, t.with, &here, 1, t.plain, tag), 0));
		cr_assert(memcmp(t.plain, t.sealed, t.len) == 0 && memcmp(tag, t.tag, 16) == 0);
		cr_assert(eq(int, aead_open(vectors[i].kind, t.key, t.nonce, t.with, t.plain, t.len, tag, t.plain), 0));
		take(&vectors[i], &t);
	}
}

/* One bit anywhere: key, nonce, additional data, text, tag. */
Test(aead, every_bit_counts)
{
	for (size_t i = 0; i < ARRAY_LEN(vectors); i++) {
		uint8_t out[256], zeros[256] = { 0 };
		struct text good, t;

		memset(&good, 0, sizeof(good));
		take(&vectors[i], &good);
		struct { size_t off, len; } field[] = {
			{ offsetof(struct text, key), 32 }, { offsetof(struct text, nonce), 12 },
			{ offsetof(struct text, aad), good.with.len }, { offsetof(struct text, sealed), good.len },
			{ offsetof(struct text, tag), 16 },
		};
		for (size_t f = 0; f < ARRAY_LEN(field); f++)
			for (size_t bit = 0; bit < 8 * field[f].len; bit++) {
				t = good;
				((uint8_t *)&t)[field[f].off + bit / 8] ^= (uint8_t)(1 << bit % 8);
				memset(out, 0xee, sizeof(out));
				cr_assert(eq(int, aead_open(vectors[i].kind, t.key, t.nonce, (struct aead_aad){ t.aad, good.with.len },
				                            t.sealed, t.len, t.tag, out), -E_DAMAGED), "vector %zu field %zu bit %zu", i, f, bit);
				cr_assert(memcmp(out, zeros, t.len) == 0, "what was not authenticated is not given out");
			}
		/* Other lengths. */
		for (size_t less = 1; less <= good.len; less++)
			cr_assert(eq(int, aead_open(vectors[i].kind, good.key, good.nonce, good.with, good.sealed, good.len - less, good.tag, out),
			             -E_DAMAGED));
		for (size_t less = 1; less <= good.with.len; less++)
			cr_assert(eq(int, aead_open(vectors[i].kind, good.key, good.nonce, (struct aead_aad){ good.aad, good.with.len - less },
			                            good.sealed, good.len, good.tag, out), -E_DAMAGED));
	}
}

Test(aead, ciphers_are_not_each_other)
{
	uint8_t out[256];
	struct text t;

	take(&vectors[2], &t);
	cr_assert(eq(int, aead_open(AEAD_CHACHA20, t.key, t.nonce, t.with, t.sealed, t.len, t.tag, out), -E_DAMAGED));
	cr_assert(eq(int, (int)aead_parse("aes256gcm"), AEAD_AES256GCM));
	cr_assert(eq(int, (int)aead_parse("aes256gcm-rsa"), AEAD_AES256GCM));
	cr_assert(eq(int, (int)aead_parse("chacha20-rsa"), AEAD_CHACHA20));
	cr_assert(eq(int, (int)aead_parse("rot13"), AEAD_NONE));
	cr_assert(eq(int, (int)aead_parse("none"), AEAD_NONE));
	cr_assert(eq(str, (char *)aead_name(AEAD_CHACHA20), (char *)"chacha20"));
	cr_assert(eq(str, (char *)aead_name(AEAD_NONE), (char *)"none"));
}

/* ---- after a thread's first call nothing allocates */

#ifdef __SANITIZE_ADDRESS__
#define COUNTS false /* the sanitizer has malloc for itself */
static __thread int allocated;
#else
#define COUNTS true
static __thread volatile int allocated;
extern void *__libc_malloc(size_t n);

void *
malloc(size_t n)
{
	allocated++;
	return __libc_malloc(n);
}
#endif

Test(aead, allocates_nothing_per_frame)
{
	static uint8_t frame[65536], tag[16];
	const struct iovec iov = { frame, sizeof(frame) };
	const struct aead_aad none = { NULL, 0 };
	struct text t;
	int n, err = 0, first = 0;

	take(&vectors[2], &t);
	for (enum aead k = AEAD_AES256GCM; k < AEAD_KINDS; k++) {
		allocated = 0;
		for (int i = 0; i < 3; i++) {
			err |= aead_seal(k, t.key, t.nonce, none, &iov, 1, frame, tag);
			err |= aead_open(k, t.key, t.nonce, none, frame, sizeof(frame), tag, frame);
			if (i == 0) {
				first = allocated;
				allocated = 0;
			}
		}
		n = allocated; /* before the assertion takes some */
		cr_assert(eq(int, err, 0));
		cr_assert(eq(int, n, 0));
		cr_assert(first > 0 || !COUNTS, "the first call makes contexts");
	}
}

static void *
seal_and_end(void *arg)
{
	uint8_t out[256], tag[16];
	struct text t;

	(void)arg;
	for (size_t i = 0; i < ARRAY_LEN(vectors); i++) {
		take(&vectors[i], &t);
		const struct iovec iov = { t.plain, t.len };
		cr_assert(eq(int, aead_seal(vectors[i].kind, t.key, t.nonce, t.with, &iov, 1, out, tag), 0));
		cr_assert(memcmp(tag, t.tag, 16) == 0);
	}
	return NULL;
}

/* Each has its own contexts, and gives them back when it ends (the sanitizer looks). */
Test(aead, threads)
{
	for (int round = 0; round < 8; round++) {
		pthread_t t[4];

		for (int i = 0; i < 4; i++)
			cr_assert(eq(int, pthread_create(&t[i], NULL, seal_and_end, NULL), 0));
		for (int i = 0; i < 4; i++)
			pthread_join(t[i], NULL);
	}
}

/* ---- HMAC and HKDF */

Test(hkdf, known_answers)
{
	static const struct {
		const char *ikm, *salt, *info, *prk, *okm;
	} v[] = {
		{ "0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b", "000102030405060708090a0b0c", "f0f1f2f3f4f5f6f7f8f9",
		  "077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5",
		  "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865" },
		{ "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e"
		  "3f404142434445464748494a4b4c4d4e4f",
		  "606162636465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e"
		  "9fa0a1a2a3a4a5a6a7a8a9aaabacadaeaf",
		  "b0b1b2b3b4b5b6b7b8b9babbbcbdbebfc0c1c2c3c4c5c6c7c8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8d9dadbdcdddedfe0e1e2e3e4e5e6e7e8e9eaebecedee"
		  "eff0f1f2f3f4f5f6f7f8f9fafbfcfdfeff",
		  "06a6b88c5853361a06104c9ceb35b45cef760014904671014a193f40c15fc244",
		  "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c65e590e09da3275600c2f09b8367793a9aca3db71"
		  "cc30c58179ec3e87c14c01d5c1f3434f1d87" },
		{ "0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b", "", "", "19ef24a32c717b167f33a91d6f648bdf96596776afdb6377ac434c1c293ccb04",
		  "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8" },
	};

	for (size_t i = 0; i < ARRAY_LEN(v); i++) {
		uint8_t ikm[128], salt[128], info[128], prk[32], want[128], okm[128];
		size_t salt_len = unhex(v[i].salt, salt), info_len = unhex(v[i].info, info), len = unhex(v[i].okm, want);

		hkdf_extract(salt, salt_len, ikm, unhex(v[i].ikm, ikm), prk);
		hkdf_expand(prk, info, info_len, okm, len);
		cr_expect(memcmp(okm, want, len) == 0, "case %zu", i + 1);
		unhex(v[i].prk, want);
		cr_expect(memcmp(prk, want, 32) == 0, "case %zu", i + 1);
	}
}

Test(hkdf, hmac_with_a_long_key)
{
	static const char text[] = "Test Using Larger Than Block-Size Key - Hash Key First";
	uint8_t key[131], mac[32], want[32];

	memset(key, 0xaa, sizeof(key)); /* RFC 4231 §4.7 */
	unhex("60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54", want);
	for (size_t cut = 0; cut < sizeof(text); cut++) {
		hmac_sha256(key, sizeof(key), text, cut, text + cut, sizeof(text) - 1 - cut, mac);
		cr_assert(memcmp(mac, want, 32) == 0, "cut at %zu", cut);
	}
}
