/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/session.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <xxhash.h>

#include "proto/proc.h"
#include "reactor/log.h"

enum { ACCESS_UNKNOWN, ACCESS_YES, ACCESS_NO };

/* Where `in` points while there is none. */
static const uint8_t no_input[4];

static void session_resume(struct op *op);
static void session_run(struct session *s);

/* ---- the peer ---- */

void
session_host(const struct session *s, char out[46])
{
	const struct sockaddr_storage *a = conn_peer(s->conn);
	const void *raw = a->ss_family == AF_INET6 ? (const void *)&((const struct sockaddr_in6 *)a)->sin6_addr
	                                           : (const void *)&((const struct sockaddr_in *)a)->sin_addr;

	if (!inet_ntop(a->ss_family, raw, out, 46))
		snprintf(out, 46, "?");
}

/* Without the port, which a reconnect may change. */
static uint64_t
hash_peer(const struct sockaddr_storage *a)
{
	if (a->ss_family == AF_INET6)
		return XXH3_64bits(&((const struct sockaddr_in6 *)a)->sin6_addr, 16);
	return XXH3_64bits(&((const struct sockaddr_in *)a)->sin_addr, 4);
}

int
session_export(struct session *s, uint32_t share, const struct export **e)
{
	const struct server_opts *o = s->core->opts;

	for (int i = 0; i < o->nexports; i++) {
		if (o->exports[i].share != share)
			continue;
		if (s->access[i] == ACCESS_UNKNOWN)
			s->access[i] = export_allows(&o->exports[i], conn_peer(s->conn)) ? ACCESS_YES : ACCESS_NO;
		*e = &o->exports[i];
		return s->access[i] == ACCESS_YES ? 0 : -EACCES;
	}
	return -ESTALE;
}

void
session_ask_again(struct session *s)
{
	memset(s->access, ACCESS_UNKNOWN, sizeof(s->access));
}

/* ---- life ---- */

static void *
session_open(struct conn *conn, const struct sockaddr_storage *peer)
{
	struct proto_core *core = proto_here();
	struct session *s;

	if (core->draining || !(s = slab_get(&core->sessions)))
		return NULL;
	memset(s, 0, offsetof(struct session, own));
	s->conn = conn;
	s->core = core;
	s->client = hash_peer(peer);
	s->op.resume = session_resume;
	s->in = no_input;
	session_next_record(s);
	s->next = core->first_session;
	if (s->next)
		s->next->prev = s;
	core->first_session = s;
	stats_add(&core->stats.sessions, 1);
	return s;
}

/* Frees it once nothing of it is under way any more. */
static void
session_check_free(struct session *s)
{
	struct proto_core *core = s->core;

	if (!s->closed || s->waiting || s->ncalls > 0)
		return;
	if (s->lng)
		pool_put(&core->longs, s->lng);
	if (s->got) /* came too late */
		pool_put(s->stage == SESSION_LONG ? &core->longs : &core->calls, s->got);
	*(s->prev ? &s->prev->next : &core->first_session) = s->next;
	if (s->next)
		s->next->prev = s->prev;
	slab_put(&core->sessions, s);
	stats_add(&core->stats.sessions, (uint64_t)-1);
}

static void
session_closed(struct conn *conn, void *user)
{
	struct session *s = user;

	(void)conn;
	s->closed = true;
	if (s->waiting && !session_write_leave(s)) /* it belongs to the pool or to the fill until that answers */
		return;
	s->waiting = false;
	if (s->call) {
		session_write_drop(s); /* finishes the call, which may free the session */
		return;
	}
	session_check_free(s);
}

static void
session_garbage(struct session *s, const char *what)
{
	char host[46];

	session_host(s, host);
	log_debug("closing the connection of %s: %s", host, what);
	stats_add(&s->core->stats.garbage, 1);
	conn_close(s->conn);
}

/* ---- who holds up others ---- */

#define LOOK_NS    5000000u                      /* after the buffers that WRITEs wait for */
#define SWEEP_NS   (5 * (uint64_t)1000000000)
#define STALLED_NS (30 * (uint64_t)1000000000)   /* for one reply, or one payload */

static const char *
session_stalls(const struct session *s)
{
	uint64_t now = reactor_now_ns();

	if (s->stage == SESSION_WRITE_DATA && now - s->filling_since_ns > STALLED_NS)
		return "it does not send the rest of a WRITE";
	if (conn_unsent(s->conn) > 0 && now - s->sent_ns > STALLED_NS)
		return "it does not take its replies";
	return NULL;
}

static void
close_stalled(struct proto_core *core)
{
	char host[46];

	for (struct session *s = core->first_session; s; s = s->next) {
		const char *why = s->closed || !conn_is_open(s->conn) ? NULL : session_stalls(s);

		if (!why)
			continue;
		session_host(s, host);
		log_info("closing a connection of %s: %s, and others need the memory", host, why);
		conn_close(s->conn);
	}
}

static bool
pool_waits(const struct proto_core *core)
{
	return core->calls.first || core->reads.first || core->pages.first || core->longs.first;
}

static void
put_off_writes(struct proto_core *core)
{
	struct session *s, *next;

	for (s = core->first_session; s && core->buf_waits > 0; s = next) {
		next = s->next;
		if (s->waiting && s->stage == SESSION_WRITE_BUFS && reactor_now_ns() >= s->wait_until_ns)
			session_write_put_off(s);
	}
}

static void
session_tick(struct op *op)
{
	struct proto_core *core = container_of(op, struct proto_core, tick_op);
	bool was_stuck = core->stuck;

	put_off_writes(core);
	if (pool_waits(core) || (core->stuck && !was_stuck))
		close_stalled(core);
	session_press(core);
}

void
session_press(struct proto_core *core)
{
	uint64_t in_ns = core->buf_waits > 0 ? LOOK_NS : SWEEP_NS;

	if (core->buf_waits == 0 && !pool_waits(core))
		return;
	timer_start_by(&core->tick, reactor_now_ns() + in_ns, &core->tick_op);
}

void
session_press_init(struct proto_core *core)
{
	core->tick_op.resume = session_tick;
}

void
session_press_fini(struct proto_core *core)
{
	timer_stop(&core->tick);
}

/* ---- what holds it up ---- */

void
session_pause(struct session *s)
{
	if (s->paused || s->closed)
		return;
	s->paused = true;
	conn_pause(s->conn);
}

static void
session_unpause(struct session *s)
{
	if (!s->paused || s->closed)
		return;
	s->paused = false;
	conn_resume(s->conn);
}

static bool
session_over_limit(const struct session *s)
{
	const struct server_opts *o = s->core->opts;

	return s->core->draining || s->ncalls >= o->conn_calls || s->owed >= o->conn_unsent_bytes;
}

void
session_call_started(struct session *s, uint32_t owed)
{
	s->ncalls++;
	s->owed += owed;
	s->ops++;
	conn_get(s->conn);
}

void
session_call_finished(struct session *s, uint32_t owed)
{
	struct conn *conn = s->conn;

	s->ncalls--;
	s->owed -= owed;
	if (s->held && !session_over_limit(s)) {
		s->held = false;
		session_unpause(s);
	}
	session_check_free(s);
	conn_put(conn);
}

bool
session_await(struct session *s, enum op_state state)
{
	if (state == OP_DONE)
		return true;
	s->waiting = true;
	return false;
}

void
session_go_on(struct session *s)
{
	s->waiting = false;
	session_run(s);
	if (!s->waiting && s->closed) {
		if (s->call)
			session_write_drop(s);
		else
			session_check_free(s);
		return;
	}
	/* A fill goes on whether input is presented or not, and wants what was held back. */
	if (!s->held && (!s->waiting || s->stage == SESSION_WRITE_DATA))
		session_unpause(s);
}

static void
session_resume(struct op *op)
{
	session_go_on(container_of(op, struct session, op));
}

/* ---- the record ---- */

void
session_take(struct session *s, uint32_t n)
{
	s->in += n;
	s->in_len -= n;
	s->bytes_in += n;
	recmark_take(&s->rec, n);
}

void
session_next_record(struct session *s)
{
	recmark_init(&s->rec);
	s->stage = SESSION_HEAD;
	s->head = s->own;
	s->cap = sizeof s->own;
	s->have = 0;
	s->overlong = false;
}

void
session_keep_view(struct session *s, uint32_t n)
{
	if (s->view == s->head)
		return;
	memcpy(s->head, s->view, n);
	session_take(s, n);
	s->have = n;
	s->view = s->head;
	s->view_len = n;
}

static bool
session_mark(struct session *s)
{
	int n;

	if (s->in_len == 0)
		return false;
	if (recmark_is_new(&s->rec) && session_over_limit(s)) {
		stats_add(&s->core->stats.waited_conn, !s->held);
		s->held = true;
		session_pause(s);
		return false;
	}
	n = recmark_feed(&s->rec, s->in, s->in_len);
	if (n < 0) {
		session_garbage(s, "its record is longer than any call");
		return false;
	}
	s->in += n;
	s->in_len -= (size_t)n;
	return !recmark_wants_mark(&s->rec) || s->in_len > 0;
}

/*
 * Looks at the record where it lies in the input, as long as nothing of it was
 * gathered before; else gathers.  True when there is something new to see.
 */
static bool
session_look(struct session *s)
{
	uint32_t n = (uint32_t)MIN(s->rec.left, s->in_len);

	if (n == 0 && !recmark_ended(&s->rec))
		return false;
	if (s->have == 0 && ((uintptr_t)s->in & 3) == 0) {
		s->view = s->in;
		s->view_len = MIN(n, (uint32_t)sizeof s->own);
		return true;
	}
	n = MIN(n, s->cap - s->have);
	memcpy(s->head + s->have, s->in, n);
	session_take(s, n);
	s->have += n;
	s->view = s->head;
	s->view_len = s->have;
	return true;
}

/* All of the record is in view. */
static bool
session_has_all(const struct session *s)
{
	if (s->view == s->head)
		return recmark_ended(&s->rec);
	return s->rec.last && s->rec.left == s->view_len;
}

static bool
session_head(struct session *s)
{
	if (!session_look(s))
		return false;
	s->verdict = rpc_parse(&s->rpc, s->view, s->view_len);
	if (s->verdict == RPC_NO_CALL) {
		session_garbage(s, "what it sent is no RPC call");
		return false;
	}
	if (session_sees_write(s)) {
		s->stage = SESSION_WRITE_CALL;
		return true;
	}
	if (session_has_all(s)) {
		s->stage = SESSION_CALL;
		return true;
	}
	session_keep_view(s, s->view_len);
	if (s->have == s->cap)
		s->stage = s->cap == CALL_HEAD_BYTES ? SESSION_LONG : SESSION_REST;
	return true;
}

static bool
session_long(struct session *s)
{
	if (!s->got && !session_await(s, pool_get(&s->core->longs, &s->pool_wait, &s->got, &s->op))) {
		session_press(s->core);
		session_pause(s);
		return false;
	}
	s->lng = s->got;
	s->got = NULL;
	memcpy(s->lng->bytes, s->head, s->have);
	s->head = s->lng->bytes;
	s->cap = CALL_LONG_BYTES;
	s->stage = SESSION_HEAD;
	return true;
}

bool
session_get_call(struct session *s, uint32_t view_bytes)
{
	if (s->got)
		return true;
	if (session_await(s, pool_get(&s->core->calls, &s->pool_wait, &s->got, &s->op)))
		return true;
	stats_add(&s->core->stats.waited_call, 1);
	session_press(s->core);
	session_keep_view(s, view_bytes);
	session_pause(s);
	return false;
}

static bool
session_call(struct session *s)
{
	struct long_head *lng = s->lng;
	uint32_t head_len = s->rpc.len;
	bool in_place;
	struct nfs_call *c;

	if (s->verdict == RPC_MORE) {
		session_garbage(s, "its record ends within the RPC header");
		return false;
	}
	if (!session_get_call(s, s->view_len))
		return false;
	c = s->got;
	s->got = NULL;
	s->lng = NULL;
	c->session = s;
	in_place = s->view != s->head;
	stats_add(&s->core->stats.records, 1);
	if (s->verdict != RPC_OK)
		head_len = s->view_len;
	call_start(c, s->verdict, &s->rpc, s->view + head_len, s->view_len - head_len, lng, s->overlong);
	if (in_place)
		session_take(s, s->view_len);
	session_next_record(s);
	return true;
}

/* What is left of a record that is too long, or of a WRITE behind its payload. */
static bool
session_rest(struct session *s)
{
	uint32_t n = (uint32_t)MIN(s->rec.left, s->in_len);

	session_take(s, n);
	if (!recmark_ended(&s->rec))
		return recmark_wants_mark(&s->rec) && s->in_len > 0;
	if (s->call) {
		session_write_start(s);
		return true;
	}
	s->overlong = true;
	s->stage = SESSION_CALL;
	return true;
}

static bool
session_step(struct session *s)
{
	/* Between two fragments of whatever it is. */
	if (recmark_wants_mark(&s->rec))
		return session_mark(s);
	switch (s->stage) {
	case SESSION_HEAD:
		return session_head(s);
	case SESSION_LONG:
		return session_long(s);
	case SESSION_CALL:
		return session_call(s);
	case SESSION_WRITE_CALL:
		return session_write_call(s);
	case SESSION_WRITE_BUFS:
		return session_write_bufs(s);
	case SESSION_WRITE_DATA:
		return session_write_data(s);
	case SESSION_REST:
		return session_rest(s);
	}
	return false;
}

static void
session_run(struct session *s)
{
	while (!s->closed && !s->waiting && conn_is_open(s->conn) && session_step(s))
		;
	call_look_all(s->core);
}

static size_t
session_input(struct conn *conn, void *user, const uint8_t *p, size_t len)
{
	struct session *s = user;
	size_t left;

	(void)conn;
	s->in = p;
	s->in_len = len;
	session_run(s);
	left = s->in_len;
	s->in = no_input;
	s->in_len = 0;
	return len - left;
}

const struct conn_vt session_vt = {
	.open = session_open,
	.input = session_input,
	.closed = session_closed,
};
