/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/epochkey.h"

#include <inttypes.h>
#include <stdio.h>

#include "crypto/digest.h"

#define FIRST_LINE "dittofs epoch key 1\n"
#define SIGNED     "signed "

int
epochkey_wrap(struct epochkey *e, struct rsakey *rsa, const uint8_t key[AEAD_KEY], char text[EPOCHKEY_TEXT])
{
	uint8_t bytes[RSAKEY_BYTES];
	char uuid[33], id[2 * RSAKEY_ID + 1], hex[2 * RSAKEY_BYTES + 1];
	size_t len;
	int n, err;

	memcpy(e->rsa, rsakey_id(rsa), RSAKEY_ID);
	if ((err = rsakey_wrap(rsa, key, AEAD_KEY, bytes, &len)) < 0)
		return err;
	digest_hex(e->uuid, 16, uuid);
	digest_hex(e->rsa, RSAKEY_ID, id);
	digest_hex(bytes, len, hex);
	n = snprintf(text, EPOCHKEY_TEXT, FIRST_LINE "volume %s\nepoch %" PRIu32 "\ncipher %s\nmade %" PRIu64 "\nrsa %s\nwrapped %s\n",
		uuid, e->epoch, aead_name(e->cipher), e->made_s, id, hex);
	if ((err = rsakey_sign(rsa, text, (size_t)n, bytes, &len)) < 0)
		return err;
	digest_hex(bytes, len, hex);
	n += snprintf(text + n, EPOCHKEY_TEXT - (size_t)n, SIGNED "%s\n", hex);
	static_assert(sizeof(FIRST_LINE) + 200 + 2 * sizeof(hex) < EPOCHKEY_TEXT, "all of it has room");
	return n;
}

/* ---- reading: a cursor with a sticky error */

struct cursor {
	const char *p, *end;
	bool bad;
};

/* "KEY VALUE\n" is next: the value. */
static const char *
line(struct cursor *c, const char *key, size_t *len)
{
	size_t k = strlen(key);
	const char *stop = c->bad ? NULL : memchr(c->p, '\n', (size_t)(c->end - c->p)), *value = c->p + k;

	if (!stop || (size_t)(stop - c->p) < k || memcmp(c->p, key, k) != 0) {
		c->bad = true;
		*len = 0;
		return "";
	}
	*len = (size_t)(stop - value);
	c->p = stop + 1;
	return value;
}

static int
nibble(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Returns the bytes, at most `room`. */
static size_t
hex_line(struct cursor *c, const char *key, uint8_t *out, size_t room)
{
	size_t len;
	const char *v = line(c, key, &len);

	if (len % 2 || len / 2 > room)
		c->bad = true;
	for (size_t i = 0; i < len / 2 && !c->bad; i++) {
		int hi = nibble(v[2 * i]), lo = nibble(v[2 * i + 1]);

		c->bad = hi < 0 || lo < 0;
		if (!c->bad)
			out[i] = (uint8_t)(hi * 16 + lo);
	}
	return c->bad ? 0 : len / 2;
}

static uint64_t
number_line(struct cursor *c, const char *key, uint64_t max)
{
	size_t len;
	const char *v = line(c, key, &len);
	uint64_t n = 0;

	if (len == 0 || len > 18 || (v[0] == '0' && len > 1))
		c->bad = true;
	for (size_t i = 0; i < len && !c->bad; i++) {
		c->bad = v[i] < '0' || v[i] > '9';
		n = n * 10 + (uint64_t)(v[i] - '0');
	}
	if (n > max)
		c->bad = true;
	return c->bad ? 0 : n;
}

static enum aead
cipher_line(struct cursor *c)
{
	char name[32] = "";
	size_t len;
	const char *v = line(c, "cipher ", &len);

	if (len < sizeof(name))
		memcpy(name, v, len);
	return aead_parse(name);
}

struct parts {
	uint8_t wrapped[RSAKEY_BYTES], sig[RSAKEY_BYTES];
	size_t wrapped_len, signed_len, sig_len;
};

static int
parse(struct epochkey *e, struct parts *p, const char *text, size_t len)
{
	struct cursor c = { .p = text, .end = text + len };
	size_t first = sizeof(FIRST_LINE) - 1;

	memset(e, 0, sizeof(*e));
	if (len < first || memcmp(text, FIRST_LINE, first) != 0)
		return -E_FORMAT;
	c.p += first;
	if (hex_line(&c, "volume ", e->uuid, 16) != 16)
		c.bad = true;
	e->epoch = (uint32_t)number_line(&c, "epoch ", UINT32_MAX);
	e->cipher = cipher_line(&c);
	e->made_s = number_line(&c, "made ", INT64_MAX);
	if (hex_line(&c, "rsa ", e->rsa, RSAKEY_ID) != RSAKEY_ID)
		c.bad = true;
	p->wrapped_len = hex_line(&c, "wrapped ", p->wrapped, sizeof(p->wrapped));
	p->signed_len = (size_t)(c.p - text);
	p->sig_len = hex_line(&c, SIGNED, p->sig, sizeof(p->sig));
	if (c.bad || c.p != c.end || e->epoch == 0)
		return -E_DAMAGED;
	return e->cipher == AEAD_NONE ? -E_FORMAT : 0;
}

int
epochkey_read(struct epochkey *e, const char *text, size_t len)
{
	struct parts p;

	return parse(e, &p, text, len);
}

int
epochkey_unwrap(struct epochkey *e, struct rsakey *rsa, const char *text, size_t len, uint8_t key[AEAD_KEY])
{
	struct parts p;
	int err = parse(e, &p, text, len);

	if (err < 0)
		return err;
	if (memcmp(e->rsa, rsakey_id(rsa), RSAKEY_ID) != 0)
		return -EACCES;
	err = rsakey_verify(rsa, text, p.signed_len, p.sig, p.sig_len);
	return err < 0 ? err : rsakey_unwrap(rsa, p.wrapped, p.wrapped_len, key, AEAD_KEY);
}
