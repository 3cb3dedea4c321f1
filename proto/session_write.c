/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A WRITE on its way in: as soon as its arguments are there it gets a call and
 * payload buffers, and the stream is directed into them, fragment by fragment.
 *
 * Its buffers may be long in coming, when the object store is away and
 * everything is dirty.  The calls behind it on the connection, READs among
 * them, must not wait for that: after write_wait_ns it is skipped and answered
 * JUKEBOX, and as long as nothing gets better so are the next, almost at once.
 */
#include "proto/session.h"

/* What is waited when the one before waited in vain. */
#define STUCK_WAIT_NS 20000000u

/* Payloads up to this size go into small buffers: a large one would stay mostly empty, for as long as it is dirty. */
#define SMALL_PAYLOAD (8 * BUF_SMALL_BYTES)

bool
session_sees_write(struct session *s)
{
	struct xdr d;

	if (s->verdict != RPC_OK || s->rpc.prog != NFS3_PROGRAM || s->rpc.vers != NFS3_VERSION ||
	    s->rpc.proc != NFS3_WRITE)
		return false;
	xdr_in(&d, s->view + s->rpc.len, s->view_len - s->rpc.len);
	nfs3_get_write(&d, &s->write);
	s->write_err = d.err;
	s->data_at = s->rpc.len + xdr_pos(&d);
	return !d.bad;
}

bool
session_write_call(struct session *s)
{
	if (!session_get_call(s, s->data_at))
		return false;
	s->call = s->got;
	s->got = NULL;
	s->call->session = s;
	s->core->receiving++;
	stats_add(&s->core->stats.records, 1);
	s->filled = 0;
	s->nbufs = 0;
	s->data_len = MIN(s->write.data_len, (uint32_t)FILE_IO_MAX);
	s->stage = SESSION_WRITE_BUFS;
	session_keep_view(s, s->data_at);
	if (call_prepare_write(s->call, &s->rpc, &s->write, s->write_err) < 0 || s->data_len == 0)
		s->stage = SESSION_REST;
	return true;
}

static uint32_t
buf_bytes(const struct session *s)
{
	return s->data_len <= SMALL_PAYLOAD ? BUF_SMALL_BYTES : BUF_LARGE_BYTES;
}

/* Payload that was gathered with the head. */
static void
fill_from_head(struct session *s)
{
	uint32_t n = MIN(s->have - s->data_at, s->data_len);

	static_assert(CALL_HEAD_BYTES <= BUF_SMALL_BYTES, "it goes into the first buffer");
	memcpy(s->buf[0]->data, s->head + s->data_at, n);
	s->filled = n;
}

bool
session_write_leave(struct session *s)
{
	if (s->stage != SESSION_WRITE_BUFS || !buf_cancel(&s->buf_wait))
		return false;
	s->nbufs = 0;
	s->core->buf_waits--;
	return true;
}

void
session_write_put_off(struct session *s)
{
	if (!session_write_leave(s))
		return; /* the buffers came in the same lap */
	s->core->stuck = true;
	stats_add(&s->core->stats.refused_buf, 1);
	s->call->res = -E_JUKEBOX;
	s->stage = SESSION_REST;
	session_go_on(s);
}

/* Asks for them: true when they are here. */
static bool
get_bufs(struct session *s)
{
	struct proto_core *core = s->core;
	uint32_t cap = buf_bytes(s);
	enum buf_class class = cap == BUF_SMALL_BYTES ? BUF_SMALL : BUF_LARGE;

	s->nbufs = (int)((s->data_len + cap - 1) / cap);
	if (session_await(s, buf_get_many(&s->buf_wait, s->buf, s->nbufs, class, BUF_INGEST, &s->op)))
		return true;
	core->buf_waits++;
	s->wait_until_ns = reactor_now_ns() + (core->stuck ? STUCK_WAIT_NS : core->opts->write_wait_ns);
	stats_add(&core->stats.waited_buf, 1);
	session_press(core);
	session_pause(s);
	return false;
}

bool
session_write_bufs(struct session *s)
{
	if (s->nbufs > 0)
		s->core->buf_waits--; /* they have come */
	else if (!get_bufs(s))
		return false;
	s->core->stuck = false;
	fill_from_head(s);
	s->filling = 0;
	s->filling_since_ns = reactor_now_ns();
	s->stage = SESSION_WRITE_DATA;
	return true;
}

/* Points iov[] at the next `len` bytes of the payload; returns how many iovecs. */
static int
aim(struct session *s, uint32_t len)
{
	uint32_t cap = buf_bytes(s), at = s->filled;
	int n = 0;

	for (uint32_t end = at + len; at < end; n++) {
		uint32_t off = at % cap, k = MIN(cap - off, end - at);

		s->iov[n] = (struct iovec){ s->buf[at / cap]->data + off, k };
		at += k;
	}
	return n;
}

static void
copy_in(struct session *s, uint32_t len)
{
	int n = aim(s, len);

	for (int i = 0; i < n; i++) {
		memcpy(s->iov[i].iov_base, s->in, s->iov[i].iov_len);
		session_take(s, (uint32_t)s->iov[i].iov_len);
	}
	s->filled += len;
}

/* Payload and, where they follow in the same fragment, its padding bytes. */
static enum op_state
fill(struct session *s, uint32_t len)
{
	uint32_t pad = ROUND_UP(s->data_len, 4u) - s->data_len;
	int n = aim(s, len);

	s->filling = len;
	if (pad > 0 && s->filled + len == s->data_len && s->rec.left - len >= pad) {
		s->iov[n++] = (struct iovec){ s->pad, pad };
		s->filling += pad;
	}
	return conn_fill(s->conn, s->iov, n, &s->op);
}

void
session_write_start(struct session *s)
{
	struct nfs_call *c = s->call;
	struct file_write *w = &c->u.write;
	uint32_t cap = buf_bytes(s);

	/* None when it is refused anyway, or empty. */
	for (int i = 0; i < s->nbufs; i++)
		w->payload[i] = (struct bufref){ .buf = s->buf[i], .len = MIN(cap, s->data_len - (uint32_t)i * cap) };
	w->npayload = s->nbufs;
	s->nbufs = 0;
	s->call = NULL;
	s->core->receiving--;
	session_next_record(s);
	call_start_write(c);
}

/* What conn_fill brought, or that it brought nothing. */
static bool
take_fill(struct session *s)
{
	if (s->op.res < 0)
		return false; /* the connection is at its end, `closed` comes */
	recmark_take(&s->rec, s->filling);
	s->bytes_in += s->filling;
	s->filled = MIN(s->filled + s->filling, s->data_len);
	s->filling = 0;
	return true;
}

bool
session_write_data(struct session *s)
{
	uint32_t need, here;

	if (s->filling > 0)
		return take_fill(s);
	need = s->data_len - s->filled;
	if (need == 0) {
		s->stage = SESSION_REST;
		return true;
	}
	if (recmark_ended(&s->rec)) {
		struct nfs_call *c = s->call;

		/* Its payload claims to be longer than the record. */
		s->call = NULL;
		s->core->receiving--;
		while (s->nbufs > 0)
			buf_put(s->buf[--s->nbufs]);
		session_next_record(s);
		call_garbage_write(c);
		return true;
	}
	here = MIN(s->rec.left, need);
	if (here <= s->in_len) {
		copy_in(s, here);
		return true;
	}
	return session_await(s, fill(s, here));
}

void
session_write_drop(struct session *s)
{
	struct nfs_call *c = s->call;

	if (s->stage == SESSION_WRITE_BUFS && s->nbufs > 0)
		s->core->buf_waits--; /* they came while it closed */
	s->call = NULL;
	s->core->receiving--;
	while (s->nbufs > 0)
		buf_put(s->buf[--s->nbufs]);
	call_abandon_write(c);
}
