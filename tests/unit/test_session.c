/* SPDX-License-Identifier: Apache-2.0 */
/* Connections: however the bytes are cut, the calls are the same. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "tests/fake/proto_client.h"

static struct client_msg msg, msg2;

static void
setup(void)
{
	client_serve(1);
}

static void
teardown(void)
{
	client_end();
}

static struct conn *
here(void)
{
	return fake_connect(0, "10.0.0.1", &session_vt);
}

static int
count_replies(const struct conn *c)
{
	struct wire_in r;
	size_t at = 0;
	int n = 0;

	while (client_reply(c, &at, &r))
		n++;
	cr_assert(at == c->sent_len);
	return n;
}

/* A LOOKUP and what is behind it, so that a wrong cut shows in the next call. */
static void
two_calls(uint32_t proc)
{
	client_call(&msg, proc, 7);
	client_call(&msg2, NFS3_LOOKUP, 8);
	memcpy(msg.bytes + msg.len, msg2.bytes, msg2.len);
	msg.len += msg2.len;
}

TestSuite(session, .init = setup, .fini = teardown);

Test(session, every_split_in_two)
{
	for (uint32_t proc = 0; proc < NFS3_PROCS; proc++) {
		two_calls(proc);
		for (size_t cut = 1; cut < msg.len; cut++) {
			struct conn *c = here();

			c->misalign = cut & 3;
			fake_feed(c, msg.bytes, cut);
			fake_run();
			fake_feed(c, msg.bytes + cut, msg.len - cut);
			fake_run();
			cr_assert(eq(int, count_replies(c), 2), "procedure %u cut at %zu", proc, cut);
			cr_assert(eq(u32, fake_seen.name_len, 4));
			cr_assert(memcmp(fake_seen.name, "name", 4) == 0);
			if (proc == NFS3_WRITE)
				cr_assert(memcmp(fake_seen.data, "abcdef", 6) == 0, "cut at %zu", cut);
			conn_close(c);
			fake_run();
			conn_put(c);
		}
	}
}

Test(session, byte_by_byte_at_every_alignment)
{
	for (uint32_t proc = 0; proc < NFS3_PROCS; proc++) {
		struct conn *c = here();

		two_calls(proc);
		for (size_t i = 0; i < msg.len; i++) {
			c->misalign = i & 3;
			fake_feed(c, msg.bytes + i, 1);
		}
		fake_run();
		cr_assert(eq(int, count_replies(c), 2), "procedure %u", proc);
		conn_close(c);
		fake_run();
		conn_put(c);
	}
}

/* The same bytes as fragments of `size`, each with its mark; empty ones among them. */
static size_t
fragment(const struct client_msg *m, size_t size, uint8_t *out)
{
	size_t n = 0, body = m->len - 4;

	for (size_t at = 0; at < body; at += size) {
		size_t k = MIN(size, body - at);

		if (at % 3 == 0) {
			client_mark(out + n, 0, false);
			n += 4;
		}
		client_mark(out + n, (uint32_t)k, false);
		memcpy(out + n + 4, m->bytes + 4 + at, k);
		n += 4 + k;
	}
	client_mark(out + n, 0, true);
	return n + 4;
}

Test(session, every_fragment_size)
{
	static uint8_t bytes[64 * 1024];

	for (uint32_t proc = 0; proc < NFS3_PROCS; proc++) {
		client_call(&msg, proc, 7);
		for (size_t size = 1; size <= msg.len; size++) {
			struct conn *c = here();
			size_t n = fragment(&msg, size, bytes), half = n / 2;

			fake_feed(c, bytes, half);
			fake_feed(c, bytes + half, n - half);
			fake_feed(c, bytes, n);
			fake_run();
			cr_assert(eq(int, count_replies(c), 2), "procedure %u fragments of %zu", proc, size);
			if (proc == NFS3_WRITE)
				cr_assert(memcmp(fake_seen.data, "abcdef", 6) == 0);
			conn_close(c);
			fake_run();
			conn_put(c);
		}
	}
}

/* A WRITE of `len` bytes of a pattern. */
static void
big_write(struct client_msg *m, uint32_t len)
{
	struct wire_out *w = client_begin(m, NFS3_PROGRAM, NFS3_WRITE);

	client_put_fh(w, 9);
	wire_put_u64(w, 0);
	wire_put_u32(w, len);
	wire_put_u32(w, 0);
	wire_put_u32(w, len);
	cr_assert(ge(sz, (size_t)(w->end - w->p), len + 4));
	for (uint32_t i = 0; i < len; i++)
		w->p[i] = (uint8_t)(i * 13 + (i >> 9));
	memset(w->p + len, 0, wire_pad(len));
	w->p += len + wire_pad(len);
	client_end_msg(m);
}

static void
check_write(uint32_t len)
{
	cr_assert(eq(u32, fake_seen.count, len));
	for (uint32_t i = 0; i < len; i++)
		cr_assert(fake_seen.data[i] == (uint8_t)(i * 13 + (i >> 9)), "byte %u of %u", i, len);
}

Test(session, payload_of_every_length_class_in_every_piece_size)
{
	static const uint32_t lens[] = { 0, 1, 2, 3, 4, 5, 1023, 4095, 4096, 4097, 65535, 65536, 65537, 200001, 1 << 20 };
	static const size_t pieces[] = { 97, 1000, 4096, 16384, 100000, 1 << 21 };

	for (size_t i = 0; i < ARRAY_LEN(lens); i++) {
		big_write(&msg, lens[i]);
		for (size_t k = 0; k < ARRAY_LEN(pieces); k++) {
			struct conn *c = here();

			for (size_t at = 0; at < msg.len; at += pieces[k])
				fake_feed(c, msg.bytes + at, MIN(pieces[k], msg.len - at));
			fake_run();
			cr_assert(eq(int, count_replies(c), 1), "%u bytes in pieces of %zu", lens[i], pieces[k]);
			check_write(lens[i]);
			conn_close(c);
			fake_run();
			conn_put(c);
		}
	}
}

Test(session, payload_goes_straight_into_its_buffers)
{
	struct conn *c = here();

	big_write(&msg, 1 << 20);
	for (size_t at = 0; at < msg.len; at += 16384)
		fake_feed(c, msg.bytes + at, MIN(16384, msg.len - at));
	/* All but what came with the header. */
	cr_assert(ge(u64, c->filled, (1 << 20) - 16384));
	fake_run();
	cr_assert(eq(int, count_replies(c), 1));
}

Test(session, fragmented_payload)
{
	static uint8_t bytes[2 << 20];

	for (size_t size = 1000; size < 1 << 19; size = size * 3 + 1) {
		struct conn *c = here();
		size_t n;

		big_write(&msg, 300001);
		n = fragment(&msg, size, bytes);
		for (size_t at = 0; at < n; at += 7777)
			fake_feed(c, bytes + at, MIN(7777, n - at));
		fake_run();
		cr_assert(eq(int, count_replies(c), 1), "fragments of %zu", size);
		check_write(300001);
	}
}

Test(session, payload_longer_than_wtmax_is_written_short)
{
	struct conn *c = here();
	struct wire_in r;
	size_t at = 0;

	big_write(&msg, (1 << 20) + 1000);
	fake_feed(c, msg.bytes, msg.len);
	client_call(&msg, NFS3_GETATTR, 7);
	fake_feed(c, msg.bytes, msg.len);
	fake_run();
	check_write(1 << 20);
	cr_assert(client_reply(c, &at, &r));
	cr_assert(client_reply(c, &at, &r));
}

Test(session, payload_longer_than_its_record_is_garbage)
{
	struct conn *c = here();
	struct wire_in r;
	size_t at = 0;

	big_write(&msg, 5000);
	client_mark(msg.bytes, (uint32_t)msg.len - 4 - 100, true);
	fake_feed(c, msg.bytes, msg.len - 100);
	client_call(&msg, NFS3_GETATTR, 7);
	fake_feed(c, msg.bytes, msg.len);
	fake_run();
	cr_assert(client_reply(c, &at, &r));
	r.p += 20;
	cr_assert(eq(u32, wire_get_u32(&r), 4)); /* GARBAGE_ARGS */
	cr_assert(client_reply(c, &at, &r));
	client_reply_head(&r);
	cr_assert(eq(u32, wire_get_u32(&r), 0));
}

Test(session, count_must_be_the_payloads_length)
{
	struct conn *c = here();
	struct wire_out *w = client_begin(&msg, NFS3_PROGRAM, NFS3_WRITE);
	struct wire_in r;
	size_t at = 0;

	client_put_fh(w, 9);
	wire_put_u64(w, 0);
	wire_put_u32(w, 7);
	wire_put_u32(w, 0);
	wire_put_bytes(w, "abcdef", 6);
	client_end_msg(&msg);
	fake_feed(c, msg.bytes, msg.len);
	fake_run();
	cr_assert(client_reply(c, &at, &r));
	client_reply_head(&r);
	cr_assert(eq(u32, wire_get_u32(&r), NFS3ERR_INVAL));
}

Test(session, pipelined_calls_are_answered_out_of_order)
{
	struct conn *c = here();
	uint32_t first = client_xid;
	struct wire_in r;
	size_t at = 0;

	fake_hold_op = 3;
	for (int i = 0; i < 4; i++) {
		client_call(&msg, NFS3_GETATTR, 7);
		fake_feed(c, msg.bytes, msg.len);
	}
	fake_run();
	fake_release();
	fake_run();
	static const uint32_t order[] = { 3, 2, 1, 0 };
	for (int i = 0; i < 4; i++) {
		cr_assert(client_reply(c, &at, &r));
		cr_assert(eq(u32, client_reply_head(&r), first + order[i]));
	}
}

Test(session, too_long_a_record_closes)
{
	struct conn *c = here();
	uint8_t mark[4];

	client_mark(mark, 0x7fffffff, true);
	fake_feed(c, mark, 4);
	cr_assert(not(c->open));
	cr_assert(eq(u64, server_stats(0)->garbage, 1));
}

Test(session, too_long_in_sum_closes)
{
	struct conn *c = here();
	static uint8_t bytes[4 + (512 << 10)];

	client_mark(bytes, 512 << 10, false);
	put_be32(bytes + 8, 0); /* a call, with a version that never ends to be read */
	put_be32(bytes + 12, 2);
	for (int i = 0; i < 2; i++)
		fake_feed(c, bytes, sizeof bytes);
	cr_assert(c->open);
	fake_feed(c, bytes, sizeof bytes);
	cr_assert(not(c->open));
}

Test(session, no_call_closes)
{
	static const char *const what[] = { "\x80\0\0\0", "\x80\0\0\4abcd", "\x80\0\0\10abcd\0\0\0\1", "GET / HTTP/1.1\r\n\r\n" };
	static const size_t len[] = { 4, 8, 12, 18 };

	for (int i = 0; i < 4; i++) {
		struct conn *c = here();

		fake_feed(c, what[i], len[i]);
		fake_run();
		cr_assert(not(c->open), "%d", i);
		cr_assert(eq(sz, c->sent_len, 0));
	}
}

/* A SYMLINK with a target of this length. */
static void
long_symlink(struct client_msg *m, uint32_t len)
{
	struct wire_out *w = client_begin(m, NFS3_PROGRAM, NFS3_SYMLINK);
	static char target[20000];

	memset(target, 'x', sizeof target);
	client_put_fh(w, 7);
	wire_put_string(w, "link");
	client_put_sattr(w);
	wire_put_bytes(w, target, len);
	client_end_msg(m);
}

Test(session, long_records)
{
	static const size_t pieces[] = { 1, 1000, 30000 };

	for (size_t k = 0; k < ARRAY_LEN(pieces); k++) {
		struct conn *c = here();
		struct wire_in r;
		size_t at = 0;

		long_symlink(&msg, 4095);
		for (size_t i = 0; i < msg.len; i += pieces[k])
			fake_feed(c, msg.bytes + i, MIN(pieces[k], msg.len - i));
		fake_run();
		cr_assert(eq(u32, fake_seen.name2_len, 4095));
		cr_assert(fake_seen.name2[0] == 'x' && fake_seen.name2[4094] == 'x');
		cr_assert(memcmp(fake_seen.name, "link", 4) == 0);
		/* Longer than anything may be: not looked at, and the next call is. */
		long_symlink(&msg, 20000);
		for (size_t i = 0; i < msg.len; i += pieces[k])
			fake_feed(c, msg.bytes + i, MIN(pieces[k], msg.len - i));
		client_call(&msg, NFS3_GETATTR, 7);
		fake_feed(c, msg.bytes, msg.len);
		fake_run();
		cr_assert(client_reply(c, &at, &r));
		client_reply_head(&r);
		cr_assert(eq(u32, wire_get_u32(&r), 0));
		cr_assert(client_reply(c, &at, &r));
		r.p += 20;
		cr_assert(eq(u32, wire_get_u32(&r), 4));
		cr_assert(client_reply(c, &at, &r));
		client_reply_head(&r);
	}
}

/* ---- who has to wait */

Test(session, too_many_calls_under_way)
{
	struct conn *c = here();

	fake_hold_op = 16;
	for (int i = 0; i < 20; i++) {
		client_call(&msg, NFS3_GETATTR, 7);
		fake_feed(c, msg.bytes, msg.len);
	}
	fake_run();
	cr_assert(c->paused);
	cr_assert(eq(u64, server_stats(0)->calls_now, 16));
	fake_release();
	fake_run();
	cr_assert(not(c->paused));
	cr_assert(eq(int, count_replies(c), 20));
}

Test(session, a_slow_reader_holds_little)
{
	struct conn *c = here();

	client_opts.conn_unsent_bytes = 0;
	c->slow = true;
	for (int i = 0; i < 14; i++) {
		struct wire_out *w = client_begin(&msg, NFS3_PROGRAM, NFS3_READ);

		client_put_fh(w, 9);
		wire_put_u64(w, 0);
		wire_put_u32(w, 1 << 20);
		client_end_msg(&msg);
		fake_feed(c, msg.bytes, msg.len);
	}
	fake_run();
	cr_assert(c->paused);
	cr_assert(eq(u64, server_stats(0)->calls_now, 8)); /* of 1 MiB each: the default of 8 MiB */
	/* Others are not disturbed. */
	struct conn *other = here();
	client_call(&msg, NFS3_GETATTR, 7);
	fake_feed(other, msg.bytes, msg.len);
	fake_run();
	cr_assert(eq(int, count_replies(other), 1));
	c->slow = false;
	fake_run();
	cr_assert(eq(int, count_replies(c), 14));
}

Test(session, an_empty_pool_makes_wait_and_loses_nothing)
{
	struct conn *c[4];
	int sum = 0;

	/* 4 connections with 16 calls each want 64 of 32; a record cut where it hurts. */
	fake_hold_op = 64;
	for (int i = 0; i < 4; i++)
		c[i] = here();
	for (int k = 0; k < 16; k++) {
		for (int i = 0; i < 4; i++) {
			size_t cut = (size_t)(k * 5 + i) % 100 + 1;

			client_call(&msg, k % 3 ? NFS3_LOOKUP : NFS3_WRITE, 7);
			c[i]->misalign = (unsigned)k & 3;
			fake_feed(c[i], msg.bytes, cut);
			fake_feed(c[i], msg.bytes + cut, msg.len - cut);
		}
	}
	fake_run();
	cr_assert(lt(u64, 0, server_stats(0)->waited_call));
	cr_assert(eq(u64, server_stats(0)->calls_now, 32));
	fake_hold_op = 0;
	fake_release();
	fake_run();
	for (int i = 0; i < 4; i++)
		sum += count_replies(c[i]);
	cr_assert(eq(int, sum, 64));
}

Test(session, writes_wait_for_buffers)
{
	struct conn *c = here(), *d = here();

	fake_bufs_max = 8;
	big_write(&msg, 500000); /* 8 of 64 KiB */
	fake_hold_op = 1;
	fake_feed(c, msg.bytes, msg.len);
	cr_assert(eq(int, fake_bufs_out, 0)); /* the fake WRITE has put them */
	struct buf *b = buf_get(BUF_SMALL, BUF_CACHE);
	fake_feed(d, msg.bytes, msg.len);
	fake_run();
	cr_assert(d->paused);
	cr_assert(eq(int, fake_bufs_waited, 1));
	buf_put(b);
	fake_serve_bufs();
	fake_release();
	fake_run();
	check_write(500000);
	cr_assert(eq(int, count_replies(c), 1));
	cr_assert(eq(int, count_replies(d), 1));
	fake_bufs_max = 1 << 20;
}

/* Time goes by, in laps. */
static void
pass_ms(uint64_t ms)
{
	for (uint64_t i = 0; i < ms; i++) {
		fake_now_ns += 1000000;
		fake_run();
	}
}

/* The store is away, everything is dirty: WRITEs are put off, and READs behind them are answered. */
Test(session, writes_without_buffers_are_put_off)
{
	struct conn *c = here();
	struct wire_in r;
	size_t at = 0;

	fake_bufs_max = 0;
	for (int i = 0; i < 3; i++) {
		big_write(&msg, 100000);
		fake_feed(c, msg.bytes, msg.len);
		client_call(&msg, NFS3_GETATTR, 7);
		fake_feed(c, msg.bytes, msg.len);
		fake_run();
		cr_assert(c->paused);
		/* The first waits long, the next does not. */
		if (i == 0) {
			pass_ms(client_opts.write_wait_ns / 1000000 - 1);
			cr_assert(c->paused);
			pass_ms(10);
		} else {
			pass_ms(30);
		}
		cr_assert(not(c->paused));
		for (uint32_t k = 0; k < 2; k++) {
			cr_assert(client_reply(c, &at, &r));
			client_reply_head(&r);
			cr_assert(eq(u32, wire_get_u32(&r), k ? 0 : NFS3ERR_JUKEBOX));
		}
	}
	cr_assert(eq(u64, server_stats(0)->refused_buf, 3));
	/* It is back: written again, and the next one may wait long again. */
	fake_bufs_max = 8;
	big_write(&msg, 100000);
	fake_feed(c, msg.bytes, msg.len);
	fake_run();
	check_write(100000);
	fake_bufs_max = 0;
	fake_feed(c, msg.bytes, msg.len);
	pass_ms(500);
	cr_assert(c->paused);
	fake_bufs_max = 1 << 20;
	fake_serve_bufs();
	fake_run();
	cr_assert(client_reply(c, &at, &r));
	cr_assert(client_reply(c, &at, &r));
	client_reply_head(&r);
	cr_assert(eq(u32, wire_get_u32(&r), 0));
}

/* Half a payload that never ends holds its buffers, until others want them. */
Test(session, stalled_payloads_give_way)
{
	struct conn *c = here(), *d = here(), *e = here();

	fake_bufs_max = 10;
	big_write(&msg, 300000); /* 5 of 64 KiB each */
	fake_feed(c, msg.bytes, msg.len / 2);
	fake_feed(d, msg.bytes, msg.len / 2);
	fake_now_ns += (uint64_t)31 * 1000000000;
	fake_run();
	cr_assert(c->open && d->open);
	fake_feed(e, msg.bytes, msg.len);
	fake_run();
	cr_assert(e->paused);
	pass_ms(client_opts.write_wait_ns / 1000000 + 10);
	cr_assert(not(c->open || d->open));
	cr_assert(e->open);
	fake_feed(e, msg.bytes, msg.len);
	fake_run();
	check_write(300000);
	fake_bufs_max = 1 << 20;
}

/* A peer that takes no replies keeps what he was lent, until others wait for it. */
Test(session, readers_that_stopped_give_way)
{
	struct conn *c[3];

	for (int i = 0; i < 3; i++) {
		c[i] = here();
		c[i]->slow = i < 2;
		for (int k = 0; k < 4; k++) { /* 8 of struct read_io are all there are */
			client_call(&msg, NFS3_READ, 7);
			fake_feed(c[i], msg.bytes, msg.len);
		}
		fake_run();
	}
	cr_assert(eq(sz, c[2]->sent_len, 0));
	for (int i = 0; i < 5; i++) {
		fake_now_ns += (uint64_t)5 * 1000000000;
		fake_run();
	}
	cr_assert(c[0]->open && c[1]->open);
	cr_assert(eq(sz, c[2]->sent_len, 0));
	for (int i = 0; i < 2; i++) {
		fake_now_ns += (uint64_t)5 * 1000000000;
		fake_run();
	}
	cr_assert(not(c[0]->open || c[1]->open));
	cr_assert(eq(int, count_replies(c[2]), 4));
	/* Nobody waits any more: who stops now may. */
	c[2]->slow = true;
	client_call(&msg, NFS3_READ, 7);
	fake_feed(c[2], msg.bytes, msg.len);
	for (int i = 0; i < 20; i++) {
		fake_now_ns += (uint64_t)5 * 1000000000;
		fake_run();
	}
	cr_assert(c[2]->open);
}

/* ---- the end, at any time */

Test(session, closing_at_every_byte_leaves_nothing)
{
	for (uint32_t proc = 0; proc < NFS3_PROCS; proc++) {
		two_calls(proc);
		for (size_t cut = 0; cut <= msg.len; cut++) {
			struct conn *c = here();

			fake_hold_op = 1;
			fake_feed(c, msg.bytes, cut);
			conn_close(c);
			fake_run();
			fake_hold_op = 0;
			fake_release();
			fake_run();
			cr_assert(eq(int, c->refs, 1));
			cr_assert(eq(u64, server_stats(0)->calls_now, 0));
			conn_put(c);
		}
	}
}

Test(session, closing_within_a_payload_leaves_nothing)
{
	big_write(&msg, 300000);
	for (size_t cut = 100; cut < msg.len; cut += 3333) {
		struct conn *c = here();

		fake_feed(c, msg.bytes, cut / 2);
		fake_feed(c, msg.bytes + cut / 2, cut - cut / 2);
		conn_close(c);
		fake_run();
		cr_assert(eq(int, fake_bufs_out, 0));
		cr_assert(eq(int, c->refs, 1));
		conn_put(c);
	}
}

/* The buffers come, and the connection goes, in one lap. */
Test(session, closing_when_the_buffers_come_leaves_nothing)
{
	struct conn *c = here();

	fake_bufs_max = 0;
	big_write(&msg, 100000);
	fake_feed(c, msg.bytes, msg.len);
	fake_run();
	cr_assert(c->paused);
	fake_bufs_max = 1 << 20;
	fake_serve_bufs();
	conn_close(c);
	fake_net_lap();
	fake_run();
	cr_assert(eq(int, c->refs, 1));
	cr_assert(eq(int, fake_bufs_out, 0));
	/* No timer is left behind. */
	fake_now_ns += 10 * client_opts.write_wait_ns;
	fake_run();
}

Test(session, closing_while_it_waits_leaves_nothing)
{
	struct conn *c = here(), *d = here(), *e = here();

	/* d waits for buffers, e for a call. */
	fake_bufs_max = 0;
	big_write(&msg, 100000);
	fake_feed(d, msg.bytes, msg.len);
	fake_run();
	cr_assert(d->paused);
	fake_hold_op = 64;
	for (int i = 0; i < 16; i++) {
		client_call(&msg, NFS3_LOOKUP, 7);
		fake_feed(c, msg.bytes, msg.len);
		fake_feed(e, msg.bytes, msg.len);
	}
	fake_run();
	cr_assert(e->paused);
	conn_close(d);
	conn_close(e);
	fake_run();
	fake_bufs_max = 1 << 20;
	fake_serve_bufs();
	fake_hold_op = 0;
	fake_release();
	fake_run();
	cr_assert(eq(int, d->refs, 1));
	cr_assert(eq(int, e->refs, 1));
	cr_assert(eq(int, count_replies(c), 16));
}
