/* SPDX-License-Identifier: Apache-2.0 */
/* Calls on their whole way, on one core and over two: what is asked of meta/, and what is answered. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "tests/fake/proto_client.h"

#include "proto/proc.h"
#include "proto/status.h"

static struct client_msg msg;
static struct conn *c;
static size_t at;

static void
setup(void)
{
	client_serve(2);
	c = fake_connect(0, "10.0.0.1", &session_vt);
	at = 0;
}

static void
teardown(void)
{
	client_end();
}

TestSuite(call, .init = setup, .fini = teardown);

/* An inode of this core. */
static uint64_t
ino_of(int core)
{
	uint64_t ino = 100;

	while (shard_owner(ino) != core)
		ino++;
	return ino;
}

static void
send_msg(void)
{
	fake_feed(c, msg.bytes, msg.len);
	fake_run();
}

/* The only reply there is, behind its header. */
static struct wire_in
reply(void)
{
	struct wire_in r, none;

	cr_assert(client_reply(c, &at, &r));
	cr_assert(not(client_reply(c, &at, &none)));
	cr_assert(eq(u32, client_reply_head(&r), client_xid - 1));
	return r;
}

static uint32_t
status_of(uint32_t proc, uint64_t ino)
{
	struct wire_in r;

	client_call(&msg, proc, ino);
	send_msg();
	r = reply();
	return wire_get_u32(&r);
}

/* ---- every way that an operation can answer, on this core and on the other */

Test(call, every_plan)
{
	for (uint32_t proc = 1; proc < NFS3_PROCS; proc++) {
		for (int core = 0; core < 2; core++) {
			for (unsigned plan = 0; plan < 4; plan++) {
				uint32_t st;
				int hops = fake_hops;

				fake_plan = plan;
				fake_calls = 0;
				fake_ill = proc == NFS3_READLINK ? -EINVAL : -ESTALE;
				st = status_of(proc, ino_of(core));
				cr_assert(eq(u32, st, plan & 2 ? status_nfs3((enum nfs3_proc)proc, fake_ill) : NFS3_OK), "%s plan %u core %d",
				          stats_proc_name((int)proc), plan, core);
				cr_assert(eq(u64, fake_calls, 1));
				cr_assert(eq(int, fake_seen.core, core));
				/* One message there; READ once more, to put what it lent. */
				cr_assert(eq(int, fake_hops - hops, core == 0 ? 0 : proc == NFS3_READ && !(plan & 2) ? 2 : 1));
				cr_assert(eq(int, fake_reads_out, 0));
				cr_assert(eq(int, fake_bufs_out, 0));
			}
		}
	}
	/* Counted by its own core, errors apart. */
	cr_assert(eq(u64, server_stats(0)->proc[NFS3_GETATTR].calls, 8));
	cr_assert(eq(u64, server_stats(0)->proc[NFS3_GETATTR].errors, 4));
	cr_assert(eq(u64, server_stats(0)->proc[NFS3_REMOVE].errors, 4));
	cr_assert(eq(u64, server_stats(0)->proc[NFS3_READ].bytes, 4 * 5001));
	cr_assert(eq(u64, server_stats(0)->proc[NFS3_WRITE].bytes, 4 * 6));
}

/* What an owner shows is answered without a message to it, errors too; all else asks. */
Test(call, what_is_shown_needs_no_hop)
{
	static const uint32_t looks[] = { NFS3_GETATTR, NFS3_ACCESS, NFS3_LOOKUP };

	for (size_t i = 0; i < ARRAY_LEN(looks); i++) {
		for (unsigned plan = 0; plan < 4; plan += 2) {
			int hops = fake_hops;

			fake_shown = true;
			fake_plan = plan;
			fake_calls = 0;
			fake_ill = -ESTALE;
			cr_assert(eq(u32, status_of(looks[i], ino_of(1)), plan ? NFS3ERR_STALE : NFS3_OK));
			cr_assert(eq(int, fake_hops, hops));
			cr_assert(eq(int, fake_seen.core, 0));
			fake_shown = false;
		}
	}
	cr_assert(eq(u64, server_stats(0)->proc[NFS3_LOOKUP].calls, 2));
	cr_assert(eq(u64, server_stats(0)->proc[NFS3_LOOKUP].errors, 1));
}

/* What a READ has found there is put here, too; where it is not shown, with its owner. */
Test(call, a_read_that_is_shown_needs_no_hop)
{
	for (int shown = 0; shown < 2; shown++) {
		int hops = fake_hops;

		fake_shown = shown;
		fake_plan = fake_calls = 0;
		cr_assert(eq(u32, status_of(NFS3_READ, ino_of(1)), NFS3_OK));
		cr_assert(eq(int, fake_hops - hops, shown ? 0 : 2));
		cr_assert(eq(int, fake_seen.core, !shown));
		cr_assert(eq(int, fake_reads_out, 0));
		cr_assert(eq(int, fake_bufs_out, 0));
		fake_shown = false;
	}
	cr_assert(eq(u64, server_stats(0)->proc[NFS3_READ].bytes, 2 * 5001));
}

/* Calls that came together go through the steps before a look side by side, and each is answered; one that came alone goes none. */
Test(call, looks_that_came_together)
{
	static const uint32_t looks[] = { NFS3_GETATTR, NFS3_LOOKUP, NFS3_ACCESS, NFS3_LOOKUP };
	uint8_t all[sizeof(msg.bytes)];
	struct wire_in r;
	size_t len = 0;

	for (int shown = 0; shown < 2; shown++) {
		fake_shown = shown;
		memset(fake_near, 0, sizeof(fake_near));
		cr_assert(eq(u32, status_of(NFS3_GETATTR, ino_of(1)), NFS3_OK));
		cr_assert(eq(int, fake_near[0], 0));
		len = 0;
		for (size_t i = 0; i < ARRAY_LEN(looks); i++) {
			client_call(&msg, looks[i], ino_of((int)i % 2));
			memcpy(all + len, msg.bytes, msg.len);
			len += msg.len;
		}
		fake_feed(c, all, len);
		fake_run();
		for (size_t i = 0; i < ARRAY_LEN(looks); i++) {
			cr_assert(client_reply(c, &at, &r));
			client_reply_head(&r);
			cr_assert(eq(u32, wire_get_u32(&r), NFS3_OK));
		}
		for (int step = 0; step < META_NEAR_STEPS; step++)
			cr_assert(eq(int, fake_near[step], (int)ARRAY_LEN(looks)));
	}
	fake_shown = false;
}

/* The same with the connection gone before the answer: nothing is left, READs are put. */
Test(call, every_plan_without_a_client)
{
	for (uint32_t proc = 1; proc < NFS3_PROCS; proc++) {
		for (int core = 0; core < 2; core++) {
			for (unsigned plan = 0; plan < 4; plan++) {
				fake_plan = plan;
				fake_calls = 0;
				fake_hold_op = 1;
				client_call(&msg, proc, ino_of(core));
				send_msg();
				conn_close(c);
				fake_run();
				fake_hold_op = 0;
				fake_release();
				fake_run();
				cr_assert(eq(int, c->refs, 1));
				cr_assert(eq(u64, server_stats(0)->calls_now, 0));
				cr_assert(eq(int, fake_reads_out, 0));
				conn_put(c);
				c = fake_connect(0, "10.0.0.1", &session_vt);
			}
		}
	}
}

Test(call, pools_that_are_short)
{
	/* 8 of struct read_io, 2 pages: 16 calls at once of each all get theirs. */
	static const uint32_t procs[] = { NFS3_READ, NFS3_READDIRPLUS, NFS3_READLINK };

	for (size_t i = 0; i < ARRAY_LEN(procs); i++) {
		struct wire_in r;
		int n = 0;

		fake_hold_op = 2;
		for (int k = 0; k < 14; k++) {
			client_call(&msg, procs[i], ino_of(k & 1));
			fake_feed(c, msg.bytes, msg.len);
		}
		fake_run();
		fake_hold_op = 0;
		fake_release();
		fake_run();
		while (client_reply(c, &at, &r)) {
			client_reply_head(&r);
			cr_assert(eq(u32, wire_get_u32(&r), 0));
			n++;
		}
		cr_assert(eq(int, n, 14));
	}
}

/* ---- payload */

static void
read_call(uint64_t off, uint32_t count)
{
	struct wire_out *w = client_begin(&msg, NFS3_PROGRAM, NFS3_READ);

	client_put_fh(w, ino_of(1));
	wire_put_u64(w, off);
	wire_put_u32(w, count);
	client_end_msg(&msg);
	send_msg();
}

Test(call, read_brings_the_bytes)
{
	static const struct { uint64_t off; uint32_t count; } t[] = {
		{ 0, 0 }, { 0, 1 }, { 3, 2 }, { 1, 3 }, { 1000, 65537 }, { FAKE_HOLE_FROM - 5, 10 }, { FAKE_HOLE_FROM, 7 },
		{ FAKE_HOLE_FROM + 1, FAKE_HOLE_TO - FAKE_HOLE_FROM }, { 0, 1 << 20 }, { FAKE_FILE_BYTES - 1, 100 },
		{ FAKE_FILE_BYTES, 100 }, { 1ull << 60, 100 },
	};

	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		uint64_t end = MIN(t[i].off + t[i].count, (uint64_t)FAKE_FILE_BYTES);
		uint32_t len = end > t[i].off ? (uint32_t)(end - t[i].off) : 0, n;
		const uint8_t *data;
		struct wire_in r;

		read_call(t[i].off, t[i].count);
		r = reply();
		cr_assert(eq(u32, wire_get_u32(&r), 0));
		cr_assert(eq(u32, wire_get_u32(&r), 1));
		r.p += 84;
		cr_assert(eq(u32, wire_get_u32(&r), len));
		cr_assert(eq(u32, wire_get_u32(&r), t[i].off + t[i].count >= FAKE_FILE_BYTES));
		data = wire_get_bytes(&r, 1 << 20, &n);
		cr_assert(not(r.bad));
		cr_assert(r.p == r.end);
		cr_assert(eq(u32, n, len));
		for (uint32_t k = 0; k < len; k++)
			cr_assert(data[k] == fake_byte(t[i].off + k), "byte %u of row %zu", k, i);
	}
}

Test(call, readlink)
{
	for (uint64_t len = 0; len < 4095; len += 371) {
		uint64_t ino = 4095 * 3 + len;
		struct wire_in r;
		uint32_t n;

		client_call(&msg, NFS3_READLINK, ino);
		send_msg();
		r = reply();
		cr_assert(eq(u32, wire_get_u32(&r), 0));
		r.p += 4 + 84;
		wire_get_bytes(&r, 4095, &n);
		cr_assert(r.p == r.end && !r.bad);
		cr_assert(eq(u32, n, len));
	}
}

/* ---- listings */

static uint32_t
list(uint32_t proc, uint64_t cookie, uint32_t dircount, uint32_t maxcount)
{
	struct wire_out *w = client_begin(&msg, NFS3_PROGRAM, proc);

	client_put_fh(w, 7);
	wire_put_u64(w, cookie);
	wire_put_u64(w, 0);
	if (proc == NFS3_READDIRPLUS)
		wire_put_u32(w, dircount);
	wire_put_u32(w, maxcount);
	client_end_msg(&msg);
	send_msg();
	return (uint32_t)(c->sent_len - at - 4 - 24 - 4); /* READDIR3resok */
}

/* Walks all pages; each holds to the limits, each name comes once. */
static void
walk(uint32_t proc, uint32_t dircount, uint32_t maxcount)
{
	uint64_t cookie = 0;
	uint32_t seen = 0;
	bool eof = false;

	fake_dir_entries = 2000;
	while (!eof) {
		uint32_t bytes = list(proc, cookie, dircount, maxcount), n;
		struct wire_in r = reply();

		cr_assert(eq(u32, wire_get_u32(&r), 0));
		cr_assert(le(u32, bytes, maxcount));
		r.p += 4 + 84 + 8;
		while (wire_get_u32(&r)) {
			char name[16];

			cr_assert(eq(u64, wire_get_u64(&r), 500 + seen));
			snprintf(name, sizeof name, "e%u", seen);
			const uint8_t *s = wire_get_bytes(&r, 255, &n);
			cr_assert(n == strlen(name) && memcmp(s, name, n) == 0);
			cookie = wire_get_u64(&r);
			cr_assert(eq(u64, cookie, fake_cookie(seen)));
			if (proc == NFS3_READDIRPLUS)
				r.p += 4 + 84 + 4 + 4 + 32;
			seen++;
		}
		eof = wire_get_u32(&r);
		cr_assert(r.p == r.end && !r.bad);
	}
	cr_assert(eq(u32, seen, 2000));
}

Test(call, listings)
{
	walk(NFS3_READDIR, 0, 512);
	walk(NFS3_READDIR, 0, 8192);
	walk(NFS3_READDIR, 0, 1 << 20);
	walk(NFS3_READDIRPLUS, 512, 8192);
	walk(NFS3_READDIRPLUS, 8192, 32768);
	walk(NFS3_READDIRPLUS, 1 << 20, 1 << 20);
}

Test(call, listings_too_small)
{
	for (uint32_t maxcount = 0; maxcount < 150; maxcount++) {
		struct wire_in r;

		list(NFS3_READDIR, 0, 0, maxcount);
		r = reply();
		cr_assert(eq(u32, wire_get_u32(&r), maxcount < 104 + 24 + 4 ? NFS3ERR_TOOSMALL : 0), "%u", maxcount);
	}
}

/* ---- who may, and as whom */

static uint32_t
call_share(const char *addr, uint32_t proc, uint32_t share)
{
	struct conn *was = c;
	struct wire_in r;
	uint32_t st;

	c = fake_connect(0, addr, &session_vt);
	at = 0;
	client_call(&msg, proc, 7);
	/* The first handle stands where the arguments begin. */
	struct fref f = { .ino = 7, .gen = 1, .share = share };
	handle_encode(msg.bytes + msg.args_at + 4, &f);
	if (proc == NFS3_RENAME || proc == NFS3_LINK) {
		f.ino = 8;
		handle_encode(msg.bytes + msg.args_at + (proc == NFS3_LINK ? 40 : 48), &f);
	}
	send_msg();
	r = reply();
	st = wire_get_u32(&r);
	conn_close(c);
	fake_run();
	conn_put(c);
	c = was;
	at = c->sent_len;
	return st;
}

Test(call, networks_are_checked_on_every_procedure)
{
	for (uint32_t proc = 1; proc < NFS3_PROCS; proc++) {
		fake_seen.what = NULL;
		cr_assert(eq(u32, call_share("10.1.0.1", proc, 3), NFS3ERR_ACCES), "%s", stats_proc_name((int)proc));
		cr_assert(fake_seen.what == NULL);
		cr_assert(eq(u32, call_share("10.9.0.1", proc, 3), NFS3_OK), "%s", stats_proc_name((int)proc));
		cr_assert(fake_seen.what != NULL);
	}
	cr_assert(eq(u64, server_stats(0)->denied, NFS3_PROCS - 1));
}

Test(call, a_share_that_is_no_more)
{
	for (uint32_t proc = 1; proc < NFS3_PROCS; proc++)
		cr_assert(eq(u32, call_share("10.1.0.1", proc, 4), NFS3ERR_STALE), "%s", stats_proc_name((int)proc));
}

Test(call, read_only)
{
	for (uint32_t proc = 1; proc < NFS3_PROCS; proc++) {
		bool changes = proc == NFS3_SETATTR || proc == NFS3_WRITE || (proc >= NFS3_CREATE && proc <= NFS3_LINK);

		fake_seen.what = NULL;
		cr_assert(eq(u32, call_share("10.1.0.1", proc, 2), changes ? NFS3ERR_ROFS : NFS3_OK), "%s",
		          stats_proc_name((int)proc));
		cr_assert(eq(int, fake_seen.what == NULL, changes));
	}
	call_share("10.1.0.1", NFS3_ACCESS, 2);
	cr_assert(eq(u32, fake_seen.mask, ACC_READ | ACC_LOOKUP | ACC_EXECUTE));
}

Test(call, credentials)
{
	const struct cred *cr = &fake_seen.req.cred;

	call_share("10.1.0.1", NFS3_WRITE, 1); /* nothing squashed */
	cr_assert(cr->uid == 0 && cr->gid == 0 && cr->ngids == 2 && cr->gids[0] == 0 && cr->gids[1] == 101);
	call_share("10.1.0.1", NFS3_LOOKUP, 2); /* root */
	cr_assert(cr->uid == 65534 && cr->gid == 65534 && cr->ngids == 2 && cr->gids[0] == 65534 && cr->gids[1] == 101);
	call_share("10.9.0.1", NFS3_GETATTR, 3); /* all */
	cr_assert(cr->uid == 65534 && cr->gid == 65534 && cr->ngids == 0);
}

/* ---- what is no call of ours (RFC 5531) */

static void
answers(const uint32_t *words, int n)
{
	struct wire_in r;

	send_msg();
	cr_assert(client_reply(c, &at, &r));
	cr_assert(eq(u32, wire_get_u32(&r), client_xid - 1));
	for (int i = 0; i < n; i++)
		cr_assert(eq(u32, wire_get_u32(&r), words[i]), "word %d", i);
	cr_assert(r.p == r.end);
}

Test(call, rpc_errors)
{
	client_begin(&msg, 100099, 0);
	client_end_msg(&msg);
	answers((const uint32_t[]){ 1, 0, 0, 0, 1 }, 5); /* PROG_UNAVAIL */
	for (uint32_t prog = NFS3_PROGRAM; prog <= MOUNT3_PROGRAM; prog += 2) {
		for (uint32_t vers = 0; vers < 6; vers++) {
			client_begin(&msg, prog, 0);
			client_end_msg(&msg);
			put_be32(msg.bytes + 4 + 16, vers);
			if (vers != 3)
				answers((const uint32_t[]){ 1, 0, 0, 0, 2, 3, 3 }, 7); /* PROG_MISMATCH 3..3 */
			else
				answers((const uint32_t[]){ 1, 0, 0, 0, 0 }, 5);
		}
		client_begin(&msg, prog, prog == NFS3_PROGRAM ? 22 : 6);
		client_end_msg(&msg);
		answers((const uint32_t[]){ 1, 0, 0, 0, 3 }, 5); /* PROC_UNAVAIL */
		client_begin(&msg, prog, 0xffffffff);
		client_end_msg(&msg);
		answers((const uint32_t[]){ 1, 0, 0, 0, 3 }, 5);
	}
	client_begin(&msg, NFS3_PROGRAM, 0);
	client_end_msg(&msg);
	put_be32(msg.bytes + 4 + 8, 1);
	answers((const uint32_t[]){ 1, 1, 0, 2, 2 }, 5); /* RPC_MISMATCH 2..2 */
	client_begin(&msg, NFS3_PROGRAM, 0);
	client_end_msg(&msg);
	put_be32(msg.bytes + 4 + 24, 6);
	answers((const uint32_t[]){ 1, 1, 1, 5 }, 4); /* AUTH_ERROR, TOOWEAK */
}

/* A WRITE of which the credentials are refused: its payload is skipped, the next call is understood. */
Test(call, a_refused_write_is_skipped)
{
	struct wire_out *w = client_begin(&msg, NFS3_PROGRAM, NFS3_WRITE);

	client_put_fh(w, 7);
	wire_put_u64(w, 0);
	wire_put_u32(w, 100000);
	wire_put_u32(w, 0);
	wire_put_u32(w, 100000);
	w->p += 100000;
	client_end_msg(&msg);
	put_be32(msg.bytes + 4 + 24, 6);
	answers((const uint32_t[]){ 1, 1, 1, 5 }, 4);
	cr_assert(eq(u32, status_of(NFS3_GETATTR, 7), 0));
	/* Refused by the share: the status is WRITE's. */
	cr_assert(eq(u32, call_share("10.1.0.1", NFS3_WRITE, 2), NFS3ERR_ROFS));
	cr_assert(eq(int, fake_bufs_out, 0));
}

Test(call, truncated_arguments_are_garbage)
{
	for (uint32_t proc = 1; proc < NFS3_PROCS; proc++) {
		size_t len;

		client_call(&msg, proc, 7);
		len = msg.len;
		for (size_t cut = msg.args_at; cut < len - (proc == NFS3_WRITE ? 2 : 0); cut += 4) {
			struct wire_in r;

			client_call(&msg, proc, 7);
			client_mark(msg.bytes, (uint32_t)cut - 4, true);
			msg.len = cut;
			send_msg();
			cr_assert(client_reply(c, &at, &r));
			r.p += 20;
			cr_assert(eq(u32, wire_get_u32(&r), 4), "%s cut at %zu", stats_proc_name((int)proc), cut - msg.args_at);
		}
	}
	cr_assert(c->open);
}

Test(call, write_limits)
{
	struct wire_in r;

	client_call(&msg, NFS3_WRITE, 7);
	put_be64(msg.bytes + msg.args_at + 36, FILE_SIZE_MAX - 5);
	send_msg();
	r = reply();
	cr_assert(eq(u32, wire_get_u32(&r), NFS3ERR_FBIG));
	client_call(&msg, NFS3_WRITE, 7);
	put_be64(msg.bytes + msg.args_at + 36, UINT64_MAX - 2);
	send_msg();
	r = reply();
	cr_assert(eq(u32, wire_get_u32(&r), NFS3ERR_FBIG));
	client_call(&msg, NFS3_WRITE, 7);
	put_be64(msg.bytes + msg.args_at + 36, FILE_SIZE_MAX - 6);
	send_msg();
	r = reply();
	cr_assert(eq(u32, wire_get_u32(&r), NFS3_OK));
}

/* ---- sent twice */

static bool
is_once(uint32_t proc)
{
	return proc == NFS3_SETATTR || (proc >= NFS3_CREATE && proc <= NFS3_LINK);
}

static struct wire_in
next_reply(struct conn *conn, size_t *from)
{
	struct wire_in r;

	cr_assert(client_reply(conn, from, &r));
	return r;
}

Test(call, a_retransmission_is_answered_alike_and_not_done_again)
{
	for (uint32_t proc = 1; proc < NFS3_PROCS; proc++) {
		for (int core = 0; core < 2; core++) {
			struct conn *other = fake_connect(1, "10.0.0.1", &session_vt);
			struct wire_in a, b;
			size_t from = 0;

			client_call(&msg, proc, ino_of(core));
			fake_calls = 0;
			send_msg();
			a = next_reply(c, &at);
			fake_ill = -ENOENT;
			fake_plan = 0xa; /* a second time it would fail */
			fake_calls = 1;
			fake_feed(other, msg.bytes, msg.len);
			fake_run();
			fake_plan = 0;
			b = next_reply(other, &from);
			if (is_once(proc)) {
				cr_assert(eq(u64, fake_calls, 1), "%s", stats_proc_name((int)proc));
				cr_assert(eq(sz, (size_t)(a.end - a.p), (size_t)(b.end - b.p)));
				cr_assert(memcmp(a.p, b.p, (size_t)(a.end - a.p)) == 0);
				cr_assert(fake_seen.req.once.used);
				cr_assert(eq(u32, fake_seen.req.once.proc, proc));
				cr_assert(eq(u32, fake_seen.req.once.xid, client_xid - 1));
			} else {
				cr_assert(eq(u64, fake_calls, 2));
				cr_assert(not(fake_seen.req.once.used));
			}
			conn_close(other);
			fake_run();
			conn_put(other);
		}
	}
}

Test(call, a_retransmission_while_it_runs)
{
	struct conn *other = fake_connect(1, "10.0.0.1", &session_vt);
	struct wire_in a, b, none;
	size_t from = 0;

	for (int core = 0; core < 2; core++) {
		fake_hold_op = 1;
		fake_calls = 0;
		client_call(&msg, NFS3_REMOVE, ino_of(core));
		send_msg();
		send_msg(); /* dropped: the first is answered on this connection */
		fake_feed(other, msg.bytes, msg.len);
		fake_run();
		cr_assert(not(client_reply(c, &at, &none)));
		cr_assert(not(client_reply(other, &from, &none)));
		fake_hold_op = 0;
		fake_release();
		fake_run();
		cr_assert(eq(u64, fake_calls, 1));
		a = next_reply(c, &at);
		b = next_reply(other, &from);
		cr_assert(memcmp(a.p, b.p, (size_t)(a.end - a.p)) == 0);
		cr_assert(not(client_reply(c, &at, &none)));
	}
}

/* The connection broke while the call ran: the answer comes on the new one. */
Test(call, a_retransmission_after_a_reconnect)
{
	struct wire_in r;

	fake_hold_op = 1;
	fake_calls = 0;
	client_call(&msg, NFS3_RENAME, ino_of(1));
	send_msg();
	conn_close(c);
	fake_run();
	conn_put(c); /* the call holds it still */
	c = fake_connect(1, "10.0.0.1", &session_vt);
	at = 0;
	send_msg();
	fake_hold_op = 0;
	fake_release();
	fake_run();
	r = reply();
	cr_assert(eq(u32, wire_get_u32(&r), 0));
	cr_assert(eq(u64, fake_calls, 1));
}

Test(call, another_address_is_another_client)
{
	struct conn *other = fake_connect(0, "10.0.0.2", &session_vt);
	size_t from = 0;

	fake_calls = 0;
	client_call(&msg, NFS3_REMOVE, 7);
	send_msg();
	fake_feed(other, msg.bytes, msg.len);
	fake_run();
	next_reply(other, &from);
	cr_assert(eq(u64, fake_calls, 2));
}

/* ---- MOUNT */

static struct wire_in
mount_call(uint32_t proc, const char *path)
{
	struct wire_out *w = client_begin(&msg, MOUNT3_PROGRAM, proc);

	if (path)
		wire_put_string(w, path);
	client_end_msg(&msg);
	send_msg();
	return reply();
}

Test(call, mnt)
{
	static const struct { const char *path; uint32_t st; uint64_t ino; uint32_t share; } t[] = {
		{ "/export", 0, 2, 1 },         { "/export/", 0, 2, 1 },       { "/export/a", 0, 3, 1 },
		{ "/export/a/b//c/.", 0, 5, 1 }, { "/export/ro", 0, 3, 2 },     { "/export/ro/x", 0, 4, 2 },
		{ "/export/rox", 0, 3, 1 },     { "/exportx", 2, 0, 0 },       { "/", 2, 0, 0 },
		{ "", 22, 0, 0 },               { "export", 22, 0, 0 },        { "/export/file", 20, 0, 0 },
		{ "/export/none", 2, 0, 0 },    { "/export/a/none/b", 2, 0, 0 }, { "/export/a/..", 22, 0, 0 },
		{ "/far", 13, 0, 0 },           { "/far/none", 13, 0, 0 },     { "/export/file/x", 20, 0, 0 },
	};

	for (unsigned plan = 0; plan < 2; plan++) {
		for (size_t i = 0; i < ARRAY_LEN(t); i++) {
			struct wire_in r;
			struct fref f;
			uint32_t n;
			const uint8_t *fh;

			fake_plan = plan ? 0x55555555 : 0;
			fake_calls = 0;
			r = mount_call(MOUNT3_MNT, t[i].path);
			cr_assert(eq(u32, wire_get_u32(&r), t[i].st), "%s", t[i].path);
			if (t[i].st != 0) {
				cr_assert(r.p == r.end);
				continue;
			}
			fh = wire_get_bytes(&r, 64, &n);
			cr_assert(eq(int, handle_decode(&f, fh, n), 0));
			cr_assert(eq(u64, f.ino, t[i].ino), "%s", t[i].path);
			cr_assert(eq(u32, f.share, t[i].share));
			cr_assert(eq(u64, f.gen, 1)); /* the root's came with its attributes */
			cr_assert(eq(u32, wire_get_u32(&r), 1));
			cr_assert(eq(u32, wire_get_u32(&r), 1));
			cr_assert(r.p == r.end && !r.bad);
		}
	}
}

Test(call, mnt_every_plan)
{
	/* The root's attributes and two lookups, each now or later, well or ill. */
	for (unsigned plan = 0; plan < 64; plan++) {
		struct wire_in r;

		fake_plan = plan;
		fake_calls = 0;
		fake_ill = -EIO;
		r = mount_call(MOUNT3_MNT, "/export/a/b");
		cr_assert(eq(u32, wire_get_u32(&r), plan & ((1u << 2 * fake_calls) - 1) & 0x2a ? MNT3ERR_IO : 0), "plan %u", plan);
	}
}

/* What DUMP says: so many lines, the last of them of this directory. */
static void
dump_is(int n, const char *last)
{
	struct wire_in r = mount_call(MOUNT3_DUMP, NULL);
	uint32_t len;
	int k = 0;

	for (; wire_get_u32(&r); k++) {
		const uint8_t *s = wire_get_bytes(&r, 255, &len);

		cr_assert(len == 8 && memcmp(s, "10.0.0.1", 8) == 0);
		s = wire_get_bytes(&r, 1024, &len);
		if (k == n - 1)
			cr_assert(len == strlen(last) && memcmp(s, last, len) == 0);
	}
	cr_assert(r.p == r.end && !r.bad);
	cr_assert(eq(int, k, n));
}

Test(call, list_of_mounts)
{
	struct wire_in r;

	dump_is(0, "");
	mount_call(MOUNT3_MNT, "/export");
	mount_call(MOUNT3_MNT, "/export/a");
	mount_call(MOUNT3_MNT, "/export/none");
	dump_is(2, "/export/a");
	/* From a connection of the other core. */
	struct conn *was = c;
	c = fake_connect(1, "10.0.0.1", &session_vt);
	at = 0;
	r = mount_call(MOUNT3_UMNT, "/export/a");
	cr_assert(r.p == r.end);
	dump_is(1, "/export");
	mount_call(MOUNT3_MNT, "/export/b");
	dump_is(2, "/export/b");
	r = mount_call(MOUNT3_UMNTALL, NULL);
	cr_assert(r.p == r.end);
	dump_is(0, "");
	c = was;
}

Test(call, exports)
{
	struct wire_in r = mount_call(MOUNT3_EXPORT, NULL);
	static const char *const names[] = { "/export", "/export/ro", "/far" };
	static const int nets[] = { 8, 8, 1 };
	uint32_t len;

	for (int i = 0; i < 3; i++) {
		int n = 0;

		cr_assert(eq(u32, wire_get_u32(&r), 1));
		const uint8_t *s = wire_get_bytes(&r, 1024, &len);
		cr_assert(len == strlen(names[i]) && memcmp(s, names[i], len) == 0);
		for (; wire_get_u32(&r); n++)
			wire_get_bytes(&r, 255, &len);
		cr_assert(eq(int, n, nets[i]));
	}
	cr_assert(eq(u32, wire_get_u32(&r), 0));
	cr_assert(r.p == r.end && !r.bad);
}

Test(call, nulls)
{
	struct wire_in r;

	client_call(&msg, NFS3_NULL, 0);
	send_msg();
	r = reply();
	cr_assert(r.p == r.end);
	r = mount_call(MOUNT3_NULL, NULL);
	cr_assert(r.p == r.end);
}

/* ---- across a restart */

Test(call_restart, a_retransmission_gets_its_answer_rebuilt)
{
	for (uint32_t proc = 1; proc < NFS3_PROCS; proc++) {
		if (!is_once(proc))
			continue;
		for (int core = 0; core < 2; core++) {
			for (unsigned plan = 0; plan < 4; plan++) {
				struct wire_in r;
				bool has_post = !(plan & 2);

				/* As it was before: what meta was told to record. */
				fake_plan = 0;
				setup();
				client_call(&msg, proc, ino_of(core));
				send_msg();
				fake_once[0] = (struct once_reply){ .once = fake_seen.req.once, .child = { .ino = 4711, .gen = 5, .share = 1 } };
				fake_nonce = 1;
				client_end();
				/* After: the operation is not done again, only the attributes are looked up. */
				setup();
				fake_plan = plan;
				fake_calls = 0;
				fake_ill = -ESTALE;
				for (int twice = 0; twice < 2; twice++) {
					send_msg();
					cr_assert(eq(u64, fake_calls, 1));
					cr_assert(eq(str, (char *)fake_seen.what, (char *)"getattr"));
					r = reply();
					cr_assert(eq(u32, wire_get_u32(&r), 0), "%s plan %u", stats_proc_name((int)proc), plan);
				}
				if (proc >= NFS3_CREATE && proc <= NFS3_MKNOD) {
					uint8_t fh[HANDLE_BYTES];

					handle_encode(fh, &fake_once[0].child);
					cr_assert(eq(u32, wire_get_u32(&r), 1));
					cr_assert(eq(u32, wire_get_u32(&r), 32));
					cr_assert(memcmp(r.p, fh, sizeof fh) == 0);
					r.p += 32;
					cr_assert(eq(u32, wire_get_u32(&r), 0));
				}
				/* Of the first inode: its attributes of now, where it is still there. */
				if (proc != NFS3_LINK)
					cr_assert(eq(u32, wire_get_u32(&r), 0));
				cr_assert(eq(u32, wire_get_u32(&r), has_post));
				r.p += has_post ? 84 : 0;
				if (proc == NFS3_LINK || proc == NFS3_RENAME)
					cr_assert(eq(u64, wire_get_u64(&r), 0));
				cr_assert(r.p == r.end && !r.bad, "%s", stats_proc_name((int)proc));
				client_end();
				fake_nonce = 0;
			}
		}
	}
}
