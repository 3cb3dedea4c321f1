/* SPDX-License-Identifier: Apache-2.0 */
/*
 * XDR (RFC 4506) over libtirpc's memory streams, as cursors with a sticky
 * error that is looked at once, at the end.  Nothing is allocated or copied:
 * strings and opaque data are pointers into the message, so the message must
 * live as long as they do.  Memory must be aligned to 4 bytes.  Any thread.
 */
#ifndef PROTO_XDR_H
#define PROTO_XDR_H

#include "reactor/base.h" /* before <sys/param.h>, which has a MIN too */

#include <rpc/types.h>
#include <rpc/xdr.h>

struct xdr {
	XDR x;
	bool bad; /* ran out of bytes or room, or a value that the type does not have */
	int err;  /* well formed, but refused: the first -errno (a handle that is not ours) */
};

static inline void
xdr_in(struct xdr *d, const void *p, size_t len)
{
	*d = (struct xdr){ .bad = false };
	xdrmem_create(&d->x, (char *)(uintptr_t)p, (u_int)len, XDR_DECODE);
}

static inline void
xdr_out(struct xdr *e, void *p, size_t cap)
{
	*e = (struct xdr){ .bad = false };
	xdrmem_create(&e->x, p, (u_int)cap, XDR_ENCODE);
}

/* Bytes read or written so far. */
static inline uint32_t
xdr_pos(const struct xdr *d)
{
	return (uint32_t)((const char *)d->x.x_private - d->x.x_base);
}

/*
 * The next n words, to read or to write; NULL when there are not so many.  This is XDR_INLINE of a
 * memory stream without the call through libtirpc's table, which the smallest call would make twenty times.
 */
static inline uint32_t *
xdr_words(struct xdr *d, uint32_t n)
{
	void *w = d->x.x_private;

	if (d->bad || n > d->x.x_handy / 4) {
		d->bad = true;
		return NULL;
	}
	d->x.x_private = (char *)w + 4 * n;
	d->x.x_handy -= 4 * n;
	return w;
}

static inline void
xdr_refuse(struct xdr *d, int err)
{
	if (d->err == 0)
		d->err = err;
}

static inline uint32_t
xdr_get_u32(struct xdr *d)
{
	const uint32_t *w = xdr_words(d, 1);

	return w ? be32toh(w[0]) : 0;
}

static inline uint64_t
xdr_get_u64(struct xdr *d)
{
	const uint32_t *w = xdr_words(d, 2);

	return w ? get_be64(w) : 0;
}

static inline bool
xdr_get_bool(struct xdr *d)
{
	uint32_t v = xdr_get_u32(d);

	if (v > 1)
		d->bad = true;
	return v == 1;
}

/* An enumeration 0..max. */
static inline uint32_t
xdr_get_enum(struct xdr *d, uint32_t max)
{
	uint32_t v = xdr_get_u32(d);

	if (v > max) {
		d->bad = true;
		return 0;
	}
	return v;
}

/* opaque<max> or string<max>: lends a pointer into the message; NULL when bad. */
static inline const void *
xdr_get_opaque(struct xdr *d, uint32_t max, uint32_t *len)
{
	uint32_t n = xdr_get_u32(d);
	const void *p = NULL;

	*len = 0;
	if (n > max || n > UINT32_MAX - 3)
		d->bad = true;
	else
		p = xdr_words(d, (n + 3) / 4);
	if (p)
		*len = n;
	return p;
}

static inline void
xdr_put_u32(struct xdr *e, uint32_t v)
{
	uint32_t *w = xdr_words(e, 1);

	if (w)
		w[0] = htobe32(v);
}

static inline void
xdr_put_u64(struct xdr *e, uint64_t v)
{
	uint32_t *w = xdr_words(e, 2);

	if (w)
		put_be64(w, v);
}

static inline void
xdr_put_bool(struct xdr *e, bool v)
{
	xdr_put_u32(e, v);
}

/* opaque<> or string<>, padded with zeros. */
static inline void
xdr_put_opaque(struct xdr *e, const void *p, uint32_t len)
{
	uint32_t n = (len + 3) / 4, *w;

	xdr_put_u32(e, len);
	w = xdr_words(e, n);
	if (!w || n == 0)
		return;
	w[n - 1] = 0;
	memcpy(w, p, len);
}

static inline void
xdr_put_string(struct xdr *e, const char *s)
{
	xdr_put_opaque(e, s, (uint32_t)strlen(s));
}

#endif
