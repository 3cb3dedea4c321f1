/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/call.h"

#include <xxhash.h>

#include "proto/proc.h"
#include "proto/recmark.h"
#include "proto/session.h"
#include "proto/status.h"
#include "reactor/probe.h"
#include "reactor/reactor.h"

static void call_run(struct op *op);
static void own_run(struct op *op);

enum nfsstat3
call_status(const struct nfs_call *c)
{
	return status_nfs3((enum nfs3_proc)c->proc->number, c->res);
}

/* ---- the end ---- */

static void
call_finish(struct nfs_call *c)
{
	struct proto_core *core = c->home;
	struct session *s = c->session;
	uint32_t owed = c->owed;

	if (c->lng)
		pool_put(&core->longs, c->lng);
	if (c->read)
		pool_put(&core->reads, c->read);
	if (c->page)
		pool_put(&core->pages, c->page);
	while (c->nbufs > 0)
		buf_put(c->buf[--c->nbufs]);
	stats_add(&core->stats.calls_now, (uint64_t)-1);
	pool_put(&core->calls, c);
	session_call_finished(s, owed); /* may free the session */
}

/* ---- the reply ---- */

void
call_add(struct nfs_call *c, const void *p, uint32_t len)
{
	int max = c->read ? READ_IOV_MAX : (int)ARRAY_LEN(c->iov);

	if (len == 0)
		return;
	assert(c->out.niov < max);
	c->out.iov[c->out.niov++] = (struct iovec){ (void *)(uintptr_t)p, len };
	c->out.len += len;
}

void
call_pad(struct nfs_call *c, uint32_t len)
{
	call_add(c, buf_zeros, ROUND_UP(len, 4u) - len);
}

/* Sends what e has behind the mark's place in reply[], and what call_add has added. */
static void
call_send(struct nfs_call *c, struct xdr *e)
{
	uint32_t len = RECMARK_BYTES + xdr_pos(e);

	assert(!e->bad); /* limits on what is asked for make every reply fit */
	c->out.iov[0] = (struct iovec){ c->reply, len };
	c->out.len += len;
	put_be32(c->reply, RECMARK_LAST | (c->out.len - RECMARK_BYTES));
	c->session->bytes_out += c->out.len;
	c->stage = CALL_SENT;
	if (conn_unsent(c->session->conn) == 0)
		c->session->sent_ns = reactor_now_ns();
	conn_send(c->session->conn, &c->out);
}

static void
call_reply_init(struct nfs_call *c, struct xdr *e)
{
	xdr_out(e, c->reply + RECMARK_BYTES, sizeof c->reply - RECMARK_BYTES);
	c->out = (struct outmsg){ .done = &c->step, .iov = c->read ? c->read->iov : c->iov, .niov = 1 };
}

/*
 * Reading the clock costs a good part of what a GETATTR does, so it is read once where a
 * call leaves a station, and that is when the next call comes to its own.
 */
static uint64_t
stamp(struct proto_core *here)
{
	return here->stamp_ns = reactor_clock_ns();
}

static uint64_t
last_stamp(const struct proto_core *here)
{
	return MAX(here->stamp_ns, reactor_now_ns());
}

static struct proc_stats *
call_stats(const struct nfs_call *c)
{
	return &c->home->stats.proc[c->proc->stat];
}

/* Its reply is about to be queued. */
static void
call_account(struct nfs_call *c, const uint8_t *results)
{
	uint64_t bytes = 0;
	bool error = c->res < 0;

	if (c->encoded && c->proc->flags & PROC_ONCE)
		error = get_be32(results) != NFS3_OK;
	if (!error && c->read)
		bytes = c->read->op.len;
	else if (!error && c->proc == &proc_write)
		bytes = c->u.write.count;
	c->at.queued_ns = stamp(c->home);
	stats_answered(call_stats(c), &c->at, error, bytes);
	if (error)
		stats_error(call_stats(c), get_be32(results));
	PROBE_CALL_REPLY(c->xid, c->proc->stat, c->res, c->at.queued_ns - c->at.start_ns);
}

static void
call_reply(struct nfs_call *c)
{
	struct xdr e;

	call_reply_init(c, &e);
	rpc_put_accepted(&e, c->xid, RPC_SUCCESS);
	if (c->encoded)
		xdr_words(&e, c->results_len / 4);
	else
		c->proc->encode(c, &e);
	if (c->page) { /* a slow reader must not keep it from others */
		pool_put(&c->home->pages, c->page);
		c->page = NULL;
	}
	call_account(c, c->reply + CALL_RESULTS_AT);
	call_send(c, &e);
}

/* A reply without results: the call was not understood, or not admitted. */
static void
call_reject(struct nfs_call *c, enum rpc_verdict v, const struct rpc_head *h, enum rpc_accept accept)
{
	struct xdr e;

	stats_add(&c->home->stats.rejected, 1);
	c->proc = NULL;
	call_reply_init(c, &e);
	if (v == RPC_WRONG_VERSION)
		rpc_put_version_mismatch(&e, c->xid);
	else if (v == RPC_BAD_AUTH)
		rpc_put_auth_error(&e, c->xid, h->auth_stat);
	else if (accept == RPC_PROG_MISMATCH) /* both programs have one version, 3 */
		rpc_put_prog_mismatch(&e, c->xid, NFS3_VERSION, NFS3_VERSION);
	else
		rpc_put_accepted(&e, c->xid, accept);
	call_send(c, &e);
}

/* ---- on the owner core ---- */

static uint8_t *
call_results(struct nfs_call *c)
{
	return c->reply + CALL_RESULTS_AT;
}

/* Results as bytes, for the duplicate request cache and for those who wait in it. */
static void
own_remember(struct nfs_call *c, int res)
{
	struct xdr e;

	c->res = res;
	xdr_out(&e, call_results(c), sizeof c->reply - CALL_RESULTS_AT);
	c->proc->encode(c, &e);
	assert(!e.bad);
	c->results_len = xdr_pos(&e);
	c->encoded = true;
	/* "Try again" is no result. */
	if (c->drc)
		drc_finish(&proto_here()->drc, c->drc, call_results(c), c->results_len,
		           call_status(c) != NFS3ERR_JUKEBOX);
}

/* A call that was done before the restart: its reply with the attributes of now. */
static enum op_state
own_rebuild(struct nfs_call *c, struct op *op)
{
	c->own_stage = OWN_REBUILT;
	c->u.getattr = (struct meta_getattr){ .req.f = c->u.req.f };
	return meta_getattr(&c->u.getattr, op);
}

static void
own_rebuilt(struct nfs_call *c, int res)
{
	struct attr attr = c->u.getattr.attr;

	c->proc->rebuild(c, &c->before->child, res < 0 ? NULL : &attr);
	own_remember(c, c->before->res);
}

static void
own_reply(struct nfs_call *c, int res)
{
	if (!c->shard.inlined)
		c->at.ran_ns = stamp(proto_here());
	PROBE_CALL_RAN(c->xid, c->proc->stat, res);
	shard_reply(&c->shard, res);
}

static void
own_run(struct op *op)
{
	struct nfs_call *c = container_of(op, struct nfs_call, own);
	struct proto_core *here = proto_here();

	switch (c->own_stage) {
	case OWN_START:
		if (c->proc->flags & PROC_ONCE) {
			c->drc_wait.body = call_results(c);
			switch (drc_start(&here->drc, &c->u.req.once, c->session, &c->drc_wait, op, &c->drc, &c->before)) {
			case DRC_NEW:
				break;
			case DRC_REPLAY:
				goto answered;
			case DRC_DROP:
				c->drop = true;
				own_reply(c, 0);
				return;
			case DRC_WAIT:
				c->own_stage = OWN_ANSWERED;
				return;
			case DRC_RESTART:
				stats_add(&here->stats.replayed, 1);
				if (own_rebuild(c, op) == OP_PENDING)
					return;
				own_rebuilt(c, op->res);
				own_reply(c, c->res);
				return;
			}
		}
		c->own_stage = OWN_RAN;
		if (c->proc->run(c, op) == OP_PENDING)
			return;
		fallthrough;
	case OWN_RAN:
		if (c->proc->flags & PROC_ONCE)
			own_remember(c, op->res);
		own_reply(c, op->res);
		return;
	case OWN_REBUILT:
		own_rebuilt(c, op->res);
		own_reply(c, c->res);
		return;
	case OWN_ANSWERED:
	answered:
		stats_add(&here->stats.replayed, 1);
		c->results_len = c->drc_wait.len;
		c->encoded = true;
		own_reply(c, 0);
		return;
	}
}

static void
own_start(struct shard_call *sc)
{
	struct nfs_call *c = container_of(sc, struct nfs_call, shard);

	c->at.run_ns = last_stamp(proto_here());
	PROBE_CALL_RUN(c->xid, c->proc->stat, c->u.req.f.ino);
	c->own_stage = OWN_START;
	own_run(&c->own);
}

static void
own_put(struct shard_call *sc)
{
	struct nfs_call *c = container_of(sc, struct nfs_call, shard);

	c->proc->put(c);
	shard_reply(sc, 0);
}

/* ---- on the socket core ---- */

/* No procedure needs more than one of the large things. */
static enum op_state
call_room(struct nfs_call *c, struct op *op)
{
	uint32_t flags = c->proc->flags;

	if (flags & PROC_READ)
		return pool_get(&c->home->reads, &c->wait, &c->room, op);
	if (flags & PROC_PAGE)
		return pool_get(&c->home->pages, &c->wait, &c->room, op);
	if (flags & PROC_LONG && !c->lng)
		return pool_get(&c->home->longs, &c->wait, &c->room, op);
	if (flags & PROC_BUF) {
		c->nbufs = 1;
		return buf_get_many(&c->buf_wait, c->buf, 1, BUF_LARGE, BUF_CACHE, op);
	}
	return op_done(op, 0);
}

/* Buffers for a list, now that its length is known. */
static enum op_state
call_bufs(struct nfs_call *c, struct op *op)
{
	enum buf_class class = BUF_SMALL;
	uint32_t bytes;

	if (c->res < 0 || !c->proc->reply_bytes)
		return op_done(op, 0);
	bytes = c->proc->reply_bytes(c);
	c->nbufs = 1;
	if (bytes > BUF_SMALL_BYTES) {
		/* No entry goes over an edge, so each buffer but the last may be short of one. */
		class = BUF_LARGE;
		c->nbufs = (int)((bytes + BUF_LARGE_BYTES - NFS3_ENTRY_MAX - 1) / (BUF_LARGE_BYTES - NFS3_ENTRY_MAX));
	}
	assert(c->nbufs <= DIR_BUFS_MAX);
	return buf_get_many(&c->buf_wait, c->buf, c->nbufs, class, BUF_CACHE, op);
}

static void
call_take_room(struct nfs_call *c)
{
	if (!c->room)
		return;
	if (c->proc->flags & PROC_READ)
		c->read = c->room;
	else if (c->proc->flags & PROC_PAGE)
		c->page = c->room;
	else
		c->lng = c->room;
}

static bool
call_look(struct nfs_call *c, int *res)
{
	c->looked = c->proc->look(c, res);
	if (!c->looked)
		return false;
	c->at.run_ns = last_stamp(c->home);
	PROBE_CALL_RUN(c->xid, c->proc->stat, c->u.req.f.ino);
	PROBE_CALL_RAN(c->xid, c->proc->stat, *res);
	return true;
}

/* What a look does not tell the owner is asked. */
static void
look_run(struct nfs_call *c)
{
	struct op *step = &c->step;

	if (!call_look(c, &step->res) && shard_call(shard_owner(c->u.req.f.ino), &c->shard, own_start, step) == OP_PENDING)
		return;
	call_run(step);
}

void
call_look_all(struct proto_core *core)
{
	struct nfs_call *look[LOOKS_MAX];
	int n = core->nlooks;

	memcpy(look, core->look, (size_t)n * sizeof(*look));
	core->nlooks = 0;
	for (int step = 0; n > 1 && step < META_NEAR_STEPS; step++)
		for (int i = 0; i < n; i++)
			look[i]->proc->near(look[i], step);
	for (int i = 0; i < n; i++)
		look_run(look[i]);
}

/* Gives back what the reply has lent, where it was taken. */
static enum op_state
call_put(struct nfs_call *c, struct op *op)
{
	if (!c->proc || !c->proc->put || c->res < 0)
		return OP_DONE;
	if (!c->looked)
		return shard_call(shard_owner(c->u.req.f.ino), &c->shard, own_put, op);
	c->proc->put(c);
	return OP_DONE;
}

static enum op_state
call_go(struct nfs_call *c, struct op *op)
{
	if (c->res < 0 || c->proc->flags & PROC_NOW)
		return op_done(op, c->res);
	if (c->proc->flags & PROC_LOCAL) {
		c->at.run_ns = last_stamp(c->home);
		return c->proc->run(c, op);
	}
	if (!c->proc->look)
		return shard_call(shard_owner(c->u.req.f.ino), &c->shard, own_start, op);
	if (c->home->nlooks == LOOKS_MAX)
		call_look_all(c->home);
	c->home->look[c->home->nlooks++] = c;
	return OP_PENDING;
}

/* Each case names the station that has just been left. */
static void
call_run(struct op *op)
{
	struct nfs_call *c = container_of(op, struct nfs_call, step);
	struct proto_core *home = c->home;
	bool waited = c->stage == CALL_ROOM;

	switch (c->stage) {
	case CALL_DECODED:
		c->stage = CALL_ROOM;
		if (c->res == 0 && call_room(c, op) == OP_PENDING) {
			session_press(c->home);
			return;
		}
		fallthrough;
	case CALL_ROOM:
		call_take_room(c);
		c->stage = CALL_RAN;
		if (call_go(c, op) == OP_PENDING) {
			if (waited) /* and no session is about to say so */
				call_look_all(home);
			return;
		}
		fallthrough;
	case CALL_RAN:
		c->res = op->res;
		if (c->proc->flags & PROC_LOCAL)
			c->at.ran_ns = stamp(c->home);
		if (c->drop)
			break;
		c->stage = CALL_BUFS;
		if (call_bufs(c, op) == OP_PENDING)
			return;
		fallthrough;
	case CALL_BUFS:
		crash_point("proto.before_reply");
		call_reply(c);
		return;
	case CALL_SENT:
		PROBE_CALL_SENT(c->xid, c->proc ? c->proc->stat : -1, op->res);
		if (op->res < 0) {
			stats_add(&c->home->stats.dropped, 1);
		} else {
			c->session->sent_ns = reactor_now_ns();
			if (c->proc)
				stats_sent(call_stats(c), &c->at, reactor_now_ns());
		}
		c->stage = CALL_PUT;
		if (call_put(c, op) == OP_PENDING)
			return;
		fallthrough;
	case CALL_PUT:
		break;
	}
	call_finish(c);
}

static void
call_init(struct nfs_call *c, const struct rpc_head *h)
{
	c->home = proto_here();
	c->proc = NULL;
	c->export = NULL;
	c->stage = CALL_DECODED;
	c->xid = h->xid;
	c->res = 0;
	c->encoded = c->drop = c->looked = false;
	c->owed = 0;
	c->at = (struct stats_stamps){ .start_ns = reactor_now_ns() };
	c->step.resume = call_run;
	c->own.resume = own_run;
	c->drc = NULL;
	c->before = NULL;
	c->room = NULL;
	c->lng = NULL;
	c->read = NULL;
	c->page = NULL;
	c->nbufs = 0;
	stats_add(&c->home->stats.calls_now, 1);
}

/* The share's rules: who may, and as whom. */
static int
call_admit(struct nfs_call *c, const struct rpc_head *h)
{
	struct meta_req *req = &c->u.req;
	int err = session_export(c->session, req->f.share, &c->export);

	if (err == 0 && c->proc->flags & PROC_CHANGES && c->export->read_only)
		err = -EROFS;
	if (err) {
		stats_add(&c->home->stats.denied, 1);
		return err;
	}
	req->cred = h->cred;
	export_squash(c->export, h->has_cred, &req->cred);
	return 0;
}

/* What the reply may take, for the limit of a connection. */
static uint32_t
call_owes(const struct nfs_call *c)
{
	if (c->proc && c->proc->flags & PROC_READ)
		return c->u.read.count;
	if (c->proc && c->proc->flags & PROC_PAGE)
		return MIN(c->readdir.maxcount, (uint32_t)DIR_REPLY_BYTES);
	return CALL_REPLY_BYTES;
}

void
call_start(struct nfs_call *c, enum rpc_verdict v, const struct rpc_head *h, const uint8_t *args, uint32_t len,
           struct long_head *lng, bool overlong)
{
	enum rpc_accept accept = RPC_GARBAGE_ARGS;
	struct xdr d;

	call_init(c, h);
	c->lng = lng;
	if (v == RPC_OK)
		c->proc = proc_find(h, &accept);
	if (!c->proc || overlong)
		goto reject;
	if (c->proc->flags & PROC_NAMES && !lng) {
		memcpy(c->args, args, len);
		args = c->args;
	}
	xdr_in(&d, args, len);
	if (c->proc->decode)
		c->proc->decode(c, &d);
	if (d.bad)
		goto reject;
	c->res = d.err;
	if (c->res == 0 && !(c->proc->flags & (PROC_NOW | PROC_LOCAL)))
		c->res = call_admit(c, h);
	if (c->proc->flags & PROC_ONCE)
		c->u.req.once = (struct once){
			.used = true,
			.client = c->session->client,
			.args_hash = XXH3_64bits(args, len),
			.xid = h->xid,
			.proc = c->proc->number,
		};
	c->owed = call_owes(c);
	session_call_started(c->session, c->owed);
	PROBE_CALL_START(c->xid, c->proc->stat);
	call_run(&c->step);
	return;

reject:
	if (c->proc)
		accept = RPC_GARBAGE_ARGS;
	c->proc = NULL;
	c->owed = call_owes(c);
	session_call_started(c->session, c->owed);
	call_reject(c, v, h, accept);
}

/* ---- WRITE ---- */

int
call_prepare_write(struct nfs_call *c, const struct rpc_head *h, const struct nfs3_write_args *w, int decode_err)
{
	uint32_t n = MIN(w->data_len, (uint32_t)FILE_IO_MAX); /* more is written short */

	call_init(c, h);
	c->proc = &proc_write;
	c->u.write = (struct file_write){
		.req.f = w->f,
		.off = w->off,
		.count = n,
		.stable = (enum stable)w->stable,
	};
	c->res = decode_err;
	if (c->res == 0)
		c->res = call_admit(c, h);
	if (c->res == 0 && w->count != w->data_len)
		c->res = -EINVAL;
	if (c->res == 0 && (w->off > FILE_SIZE_MAX || n > FILE_SIZE_MAX - w->off))
		c->res = -EFBIG;
	c->owed = n;
	session_call_started(c->session, n);
	return c->res;
}

void
call_start_write(struct nfs_call *c)
{
	c->at.start_ns = reactor_now_ns(); /* how long the client took to send it is not ours */
	PROBE_CALL_START(c->xid, c->proc->stat);
	call_run(&c->step);
}

void
call_garbage_write(struct nfs_call *c)
{
	call_reject(c, RPC_OK, NULL, RPC_GARBAGE_ARGS);
}

void
call_abandon_write(struct nfs_call *c)
{
	call_finish(c);
}
