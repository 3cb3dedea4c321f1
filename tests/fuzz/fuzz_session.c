/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A whole connection: record marking, RPC, every decoder, every procedure over
 * two cores with a made-up meta/, replies.  After each input all pools are full
 * again, whatever came.
 *
 *   byte 0      how the operations of meta/ answer (tests/fake/proto_meta.h: fake_plan)
 *   byte 1      size of the pieces in which the bytes arrive, 0: all at once
 *   byte 2      bit 0: a slow reader; bit 1: it closes before the answers; bit 2: buffers are short;
 *               bit 3: and stay so; bits 4, 5: alignment; bit 7: core
 *   the rest    the client's bytes
 */
#include "tests/fake/proto_client.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* All that was sent must be whole records that are replies. */
static void
check_replies(const struct conn *c)
{
	struct wire_in r;
	size_t at = 0;

	while (client_reply(c, &at, &r)) {
		wire_get_u32(&r);
		fake_need(wire_get_u32(&r) == 1 && !r.bad, "what was sent is no reply");
	}
	fake_need(at == c->sent_len, "a reply is cut");
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static bool serving;
	struct conn *c;
	size_t piece;

	if (len < 3 || len > 1 << 17)
		return 0;
	if (!serving) {
		client_serve(2);
		serving = true;
	}
	fake_now_ns += DRC_KEEP_NS + 1; /* an input depends on no other */
	fake_plan = data[0] * 0x01010101u;
	fake_calls = 0;
	piece = data[1] ? data[1] : len;
	fake_bufs_max = data[2] & 4 ? 1 : 1 << 20;
	c = fake_connect(data[2] >> 7, "10.9.0.1", &session_vt);
	c->slow = data[2] & 1;
	c->misalign = data[2] >> 4 & 3;
	for (size_t at = 3; at < len; at += piece) {
		fake_feed(c, data + at, MIN(piece, len - at));
		if (piece > 16)
			fake_run();
	}
	if (!(data[2] & 2))
		fake_run();
	if (data[2] & 8)
		fake_now_ns += client_opts.write_wait_ns;
	fake_bufs_max = 1 << 20;
	fake_serve_bufs();
	c->slow = false;
	fake_run();
	check_replies(c);
	conn_close(c);
	fake_run();
	fake_need(c->refs == 1, "somebody holds the connection");
	conn_put(c);
	for (int i = 0; i < 2; i++)
		fake_need(server_stats(i)->calls_now == 0 && server_stats(i)->sessions == 0, "a call or a session is left");
	fake_need(fake_bufs_out == 0, "buffers are left");
	fake_need(fake_reads_out == 0, "reads were not put");
	return 0;
}
