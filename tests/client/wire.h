/* SPDX-License-Identifier: Apache-2.0 */
/*
 * XDR cursors (RFC 4506) for the test client: a reader and a writer, each with
 * a sticky error that is looked at once, at the end.
 *
 * Written by hand and not with libtirpc on purpose: the server decodes with
 * libtirpc, and a test that shares the decoder shares its mistakes.
 * The memory behind a cursor is the caller's.  Any thread.
 */
#ifndef TESTS_CLIENT_WIRE_H
#define TESTS_CLIENT_WIRE_H

#include <endian.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct wire_in {
	const uint8_t *p, *end;
	bool bad; /* something did not fit or was out of range */
};

struct wire_out {
	uint8_t *p, *end;
	bool bad;
};

/* Bytes of zeros that follow len bytes of opaque data. */
static inline size_t
wire_pad(size_t len)
{
	return -len & 3;
}

static inline uint32_t
wire_get_u32(struct wire_in *w)
{
	uint32_t v;

	if (w->end - w->p < 4) {
		w->bad = true;
		w->p = w->end;
		return 0;
	}
	memcpy(&v, w->p, 4);
	w->p += 4;
	return be32toh(v);
}

static inline uint64_t
wire_get_u64(struct wire_in *w)
{
	uint64_t hi = wire_get_u32(w);

	return hi << 32 | wire_get_u32(w);
}

/* A boolean that is neither 0 nor 1 is an error (RFC 4506, 4.4). */
static inline bool
wire_get_bool(struct wire_in *w)
{
	uint32_t v = wire_get_u32(w);

	if (v > 1)
		w->bad = true;
	return v == 1;
}

/* len bytes and their padding, which must be zeros; NULL when they are not there. */
static inline const uint8_t *
wire_get_fixed(struct wire_in *w, size_t len)
{
	const uint8_t *p = w->p;

	if ((size_t)(w->end - w->p) < len + wire_pad(len)) {
		w->bad = true;
		w->p = w->end;
		return NULL;
	}
	for (size_t i = 0; i < wire_pad(len); i++)
		if (p[len + i])
			w->bad = true;
	w->p += len + wire_pad(len);
	return p;
}

/* Length-prefixed bytes, at most max of them; lends a view into the record. */
static inline const uint8_t *
wire_get_bytes(struct wire_in *w, uint32_t max, uint32_t *len)
{
	*len = wire_get_u32(w);
	if (*len > max) {
		w->bad = true;
		w->p = w->end;
		*len = 0;
		return NULL;
	}
	return wire_get_fixed(w, *len);
}

static inline void
wire_put_u32(struct wire_out *w, uint32_t v)
{
	if (w->end - w->p < 4) {
		w->bad = true;
		return;
	}
	v = htobe32(v);
	memcpy(w->p, &v, 4);
	w->p += 4;
}

static inline void
wire_put_u64(struct wire_out *w, uint64_t v)
{
	wire_put_u32(w, (uint32_t)(v >> 32));
	wire_put_u32(w, (uint32_t)v);
}

static inline void
wire_put_fixed(struct wire_out *w, const void *data, size_t len)
{
	if ((size_t)(w->end - w->p) < len + wire_pad(len)) {
		w->bad = true;
		return;
	}
	if (len)
		memcpy(w->p, data, len);
	memset(w->p + len, 0, wire_pad(len));
	w->p += len + wire_pad(len);
}

static inline void
wire_put_bytes(struct wire_out *w, const void *data, size_t len)
{
	wire_put_u32(w, (uint32_t)len);
	wire_put_fixed(w, data, len);
}

static inline void
wire_put_string(struct wire_out *w, const char *s)
{
	wire_put_bytes(w, s, strlen(s));
}

#endif
