/* SPDX-License-Identifier: Apache-2.0 */
/* What each connection does, and what it makes of the answers. */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/load/load.h"

const char *
kind_name(enum kind kind)
{
	static const char *const names[] = { "GETATTR",  "LOOKUP",      "READ",   "WRITE",
		                             "READ own", "READDIRPLUS", "CREATE", "READ 1 MiB" };

	return names[kind];
}

/* Bytes off .. off + len of the pattern; len at most READ_MAX where off is not 0. */
static const uint8_t *
bytes_of(const struct load *l, uint32_t pattern, uint64_t off)
{
	return l->pattern[1 + pattern % PATTERNS] + off % FILE_BYTES;
}

static bool
is_zero(const uint8_t *p, size_t len)
{
	return len == 0 || (p[0] == 0 && memcmp(p, p + 1, len - 1) == 0);
}

/* ---- calls */

static enum kind
pick_kind(struct load *l)
{
	uint64_t d = rng_below(&l->rng, 100);

	return d < 34 ? K_GETATTR : d < 58 ? K_LOOKUP : d < 72 ? K_READ : d < 84 ? K_WRITE :
	       d < 90 ? K_READ_OWN : d < 95 ? K_READDIRPLUS : K_CREATE;
}

static void
start_write(struct op *o)
{
	struct peer *p = o->peer;
	struct rng *rng = &p->load->rng;
	uint32_t block = (uint32_t)rng_below(rng, OWN_BLOCKS - WRITE_MAX / BLOCK);
	enum nfs_stable how = rng_percent(rng, 50) ? NFS_UNSTABLE : NFS_FILE_SYNC;

	o->off = (uint64_t)block * BLOCK;
	o->len = (uint32_t)rng_between(rng, 1, WRITE_MAX / BLOCK) * BLOCK;
	nfs_write(&o->call, &p->conn, &p->own, o->off, bytes_of(p->load, p->id, o->off), o->len, how);
}

static void
start_create(struct op *o)
{
	static const struct nfs_sattr mode = { .set = NFS_SET_MODE, .mode = 0644 };
	struct peer *p = o->peer;
	char name[32];

	/* a new name until there are enough, then again */
	o->name = p->made < MADE_MAX ? p->made++ : (uint32_t)rng_below(&p->load->rng, MADE_MAX);
	snprintf(name, sizeof(name), "made%u.%u", p->id, o->name);
	nfs_create(&o->call, &p->conn, &p->load->dir[p->id % DIRS], name, NFS_UNCHECKED, &mode, 0);
}

static void
op_start(struct op *o, enum kind kind)
{
	struct peer *p = o->peer;
	struct load *l = p->load;
	struct rng *rng = &l->rng;
	char name[32];

	o->kind = kind;
	o->busy = true;
	o->file = (uint32_t)rng_below(rng, FILES);
	switch ((int)kind) {
	case K_GETATTR:
		nfs_getattr(&o->call, &p->conn, &l->file[o->file]);
		break;
	case K_LOOKUP:
		snprintf(name, sizeof(name), "file%u", o->file);
		nfs_lookup(&o->call, &p->conn, &l->root, name);
		break;
	case K_READ:
		o->len = (uint32_t)rng_between(rng, 1, READ_MAX);
		o->off = rng_below(rng, FILE_BYTES - READ_MAX);
		nfs_read(&o->call, &p->conn, &l->file[o->file], o->off, o->len);
		break;
	case K_BIG_READ:
		o->len = FILE_BYTES;
		o->off = 0;
		nfs_read(&o->call, &p->conn, &l->file[o->file], o->off, o->len);
		break;
	case K_READ_OWN:
		o->off = rng_below(rng, OWN_BLOCKS - READ_MAX / BLOCK) * BLOCK;
		o->len = (uint32_t)rng_between(rng, 1, READ_MAX / BLOCK) * BLOCK;
		o->sure = p->acked;
		nfs_read(&o->call, &p->conn, &p->own, o->off, o->len);
		break;
	case K_WRITE:
		start_write(o);
		break;
	case K_READDIRPLUS:
		nfs_readdirplus(&o->call, &p->conn, &l->list_dir, p->cookie, p->cookieverf, 8192, 32768);
		break;
	case K_CREATE:
		start_create(o);
		break;
	}
}

/* ---- answers */

static void
wrong(struct op *o, const char *what)
{
	load_fail(o->peer->load, "connection %u: %s: %s", o->peer->id, kind_name(o->kind), what);
}

static void
check_read(struct op *o, const struct nfs_result *r)
{
	struct load *l = o->peer->load;

	if (r->count != o->len)
		wrong(o, "another length than was asked for");
	else if (memcmp(r->data, bytes_of(l, o->file, o->off), r->count) != 0)
		wrong(o, "wrong data");
	l->bytes_read += r->count;
}

/* A block that was acknowledged before the call has its bytes; others may be zeros or not there. */
static void
check_read_own(struct op *o, const struct nfs_result *r)
{
	struct peer *p = o->peer;

	for (uint32_t at = 0; at < o->len; at += BLOCK) {
		bool sure = o->sure >> (o->off + at) / BLOCK & 1;

		if (at + BLOCK > r->count) {
			if (sure)
				wrong(o, "data that was acknowledged is not there");
			break;
		}
		if (memcmp(r->data + at, bytes_of(p->load, p->id, o->off + at), BLOCK) == 0)
			continue;
		if (sure || !is_zero(r->data + at, BLOCK)) {
			wrong(o, sure ? "data that was acknowledged is wrong" : "wrong data");
			break;
		}
	}
	p->load->bytes_read += r->count;
}

static void
check_write(struct op *o, const struct nfs_result *r)
{
	if (r->count != o->len) {
		wrong(o, "wrote less than it was given");
		return;
	}
	for (uint32_t at = 0; at < o->len; at += BLOCK)
		o->peer->acked |= 1ull << (o->off + at) / BLOCK;
	o->peer->load->bytes_written += r->count;
}

static void
check_listing(struct op *o, struct nfs_result *r)
{
	struct peer *p = o->peer;
	struct nfs_dirent e = { .cookie = 0 };
	uint64_t last = 0;

	while (nfs_dirent_next(r, true, &e) > 0) {
		last = e.cookie;
		if (e.name[0] != '.' && (e.name_len < 5 || memcmp(e.name, "name", 4) != 0))
			wrong(o, "a name that was never made");
	}
	p->cookie = r->eof ? 0 : last;
	p->cookieverf = r->eof ? 0 : r->verf;
}

static void
op_check(struct op *o, struct nfs_result *r)
{
	const struct load *l = o->peer->load;

	switch ((int)o->kind) {
	case K_GETATTR:
		if (r->attr.size != FILE_BYTES || r->attr.type != NFS_REG)
			wrong(o, "wrong attributes");
		break;
	case K_LOOKUP:
		if (!nfs_fh_equal(&r->fh, &l->file[o->file]))
			wrong(o, "another handle");
		break;
	case K_READ:
	case K_BIG_READ:
		check_read(o, r);
		break;
	case K_READ_OWN:
		check_read_own(o, r);
		break;
	case K_WRITE:
		check_write(o, r);
		break;
	case K_READDIRPLUS:
		check_listing(o, r);
		break;
	case K_CREATE:
		if (!r->has_fh)
			wrong(o, "no handle");
		break;
	}
}

static void
op_done(struct rpc_call *call)
{
	struct op *o = (struct op *)(void *)call;
	struct peer *p = o->peer;
	struct load *l = p->load;
	struct nfs_result r;
	int err;
	uint64_t ns = l->loop.now_ns - call->start_ns;

	o->busy = false;
	if (call->res == -ECONNRESET)
		return;
	err = nfs_result(call, &r);
	if (err) {
		wrong(o, err == -EPROTO ? "refused by the RPC layer" : "malformed reply");
	} else if (r.status == NFSERR_JUKEBOX) {
		l->jukebox++;
	} else if (r.status != NFS_OK) {
		wrong(o, nfs_status_name(r.status));
	} else {
		op_check(o, &r);
		p->served++;
		l->done[o->kind]++;
		l->latency_sum[o->kind] += ns;
		if (ns > l->latency_max[o->kind])
			l->latency_max[o->kind] = ns;
	}
	if (p->role == HEALTHY && !l->stopping)
		op_start(o, pick_kind(l));
}

/* ---- connections */

/* Half a mark; a mark and half a header; a WRITE of 1 MiB without most of its data. */
static void
half_open(struct peer *p)
{
	static uint8_t bytes[96 << 10];
	struct op *o = p->op;
	struct wire_out w = rpc_call_begin(&o->call, &p->conn, NFS_PROGRAM, NFS_VERSION, NFS_WRITE);
	uint32_t mark;
	size_t len;

	wire_put_bytes(&w, p->own.data, p->own.len);
	wire_put_u64(&w, 0);
	wire_put_u32(&w, 1 << 20);
	wire_put_u32(&w, NFS_UNSTABLE);
	wire_put_u32(&w, 1 << 20);
	len = (size_t)(w.p - o->call.head);
	mark = htobe32(0x80000000u | (uint32_t)(len - sizeof(mark) + (1 << 20)));
	memcpy(bytes, o->call.head, len);
	memcpy(bytes, &mark, sizeof(mark));
	if (p->role == HALF_MARK)
		len = p->id & 1 ? 2 : 20;
	else
		len = sizeof(bytes);
	if (rpc_conn_send_raw(&p->conn, bytes, len) <= 0)
		load_fail(p->load, "connection %u: cannot send half a record", p->id);
}

static void
opened(struct rpc_conn *conn)
{
	struct peer *p = conn->user;

	p->opened_ns = rpc_now_ns();
	switch ((int)p->role) {
	case HEALTHY:
		peer_fill(p);
		break;
	case SLOW:
		for (uint32_t i = 0; i < p->nops; i++)
			op_start(&p->op[i], K_BIG_READ);
		break;
	case HALF_MARK:
	case HALF_WRITE:
		half_open(p);
		break;
	case IDLE:
		break;
	}
}

static void
closed(struct rpc_conn *conn, int err)
{
	struct peer *p = conn->user;

	p->closed = true;
	/* Who takes nothing for 30 s while others need the memory may be cut: a slow reader, when all of this is slow. */
	if (p->role == SLOW && rpc_now_ns() - p->opened_ns > 29000000000ull)
		return;
	if (p->role == HEALTHY || p->role == SLOW)
		load_fail(p->load, "connection %u (%s) was closed by the server: %s", p->id,
		          p->role == SLOW ? "a slow reader" : "healthy",
		          err ? strerror(-err) : "end of stream");
}

void
peer_fill(struct peer *p)
{
	for (uint32_t i = 0; i < p->nops; i++)
		if (!p->op[i].busy)
			op_start(&p->op[i], pick_kind(p->load));
}

void
peer_resume(struct peer *p)
{
	rpc_conn_pause(&p->conn, false);
}

uint32_t
peer_open_calls(const struct peer *p)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < p->nops && !p->closed; i++)
		n += p->op[i].busy;
	return n;
}

int
peer_start(struct peer *p)
{
	struct load *l = p->load;

	p->nops = p->role == HEALTHY || p->role == SLOW ? l->depth : 0;
	p->op = calloc(p->nops + 1, sizeof(*p->op));
	if (!p->op)
		return -ENOMEM;
	for (uint32_t i = 0; i < p->nops; i++) {
		p->op[i].peer = p;
		p->op[i].call.done = op_done;
	}
	rpc_conn_init(&p->conn, &l->loop);
	p->conn.cred = &l->cred;
	p->conn.user = p;
	p->conn.on_open = opened;
	p->conn.on_close = closed;
	p->conn.paused = p->role != HEALTHY;
	if (p->role == SLOW)
		p->conn.rcvbuf = 16 << 10;
	return rpc_conn_open(&p->conn, &l->addr);
}
