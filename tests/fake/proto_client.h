/* SPDX-License-Identifier: Apache-2.0 */
/* A server of fakes on the test's own thread, to send messages to (proto_msg.h) and read its replies. */
#ifndef TESTS_FAKE_PROTO_CLIENT_H
#define TESTS_FAKE_PROTO_CLIENT_H

#include <arpa/inet.h>

#include "proto/server.h"
#include "proto/session.h"
#include "tests/fake/proto_shard.h"
#include "tests/fake/proto_net.h"
#include "tests/fake/proto_msg.h"

/* ---- a server */

static struct export client_exports[3];
static struct server_opts client_opts;

/* /export (1) for all, read and write; /ro (2) read-only, root squashed; /far (3) for 10.9.0.0/16, all squashed. */
static inline void
client_serve(int cores)
{
	static const struct share_rec share[3] = {
		{ .name = "/export", .id = 1, .root = 2 },
		{ .name = "/export/ro", .id = 2, .root = 3 },
		{ .name = "/far", .id = 3, .root = 4 },
	};
	char why[256] = "";

	fake_start(cores);
	for (int i = 0; i < 3; i++)
		export_init(&client_exports[i], &share[i]);
	client_exports[1].read_only = true;
	client_exports[1].squash = SQUASH_ROOT;
	client_exports[2].squash = SQUASH_ALL;
	client_exports[2].nnets = 1;
	fake_need(export_net_parse(&client_exports[2].net[0], "10.9.0.0/16", why) == 0, why);
	if (client_opts.max_calls == 0)
		client_opts = (struct server_opts){ .max_conns = 16, .max_calls = 32, .max_reads = 8, .max_dir_pages = 2,
		                                    .drc_entries = 8, .conn_calls = 16, .write_wait_ns = 1000000000 };
	client_opts.exports = client_exports;
	client_opts.nexports = 3;
	client_opts.volume = &client_volume;
	for (fake_core = 0; fake_core < cores; fake_core++)
		fake_need(server_init(fake_core, &client_opts, why) == 0, why);
	fake_core = 0;
}

/* Asserts that nothing is left: no call, no buffer, no connection, no reference. */
static inline void
client_end(void)
{
	int cores = fake_cores;

	for (struct conn *c = fake_conns, *next; c; c = next) {
		next = c->next;
		conn_close(c);
	}
	fake_serve_bufs();
	fake_run();
	for (struct conn *c = fake_conns, *next; c; c = next) {
		next = c->next;
		fake_need(c->refs == 1, "somebody holds a connection");
		conn_put(c);
	}
	for (int i = cores - 1; i >= 0; i--) {
		fake_core = i;
		fake_need(server_stats(i)->calls_now == 0, "calls are left");
		fake_need(server_stats(i)->sessions == 0, "sessions are left");
		server_fini(i);
	}
	fake_need(fake_bufs_out == 0, "buffers are left");
	fake_need(fake_slabs_out == 0, "objects are left");
	fake_need(fake_reads_out == 0, "reads were not put");
	fake_core = 0;
}

/* ---- what it gets */

/* The next whole reply of the connection's output from *at on, behind its mark; false: there is none. */
static inline bool
client_reply(const struct conn *c, size_t *at, struct wire_in *r)
{
	uint32_t mark;

	if (c->sent_len - *at < 4)
		return false;
	mark = get_be32(c->sent + *at);
	fake_need(mark & 0x80000000u, "a reply in several fragments");
	mark &= 0x7fffffffu;
	fake_need(mark <= c->sent_len - *at - 4, "a reply is cut");
	fake_need(mark % 4 == 0, "a reply is not padded");
	*r = (struct wire_in){ .p = c->sent + *at + 4, .end = c->sent + *at + 4 + mark };
	*at += 4 + mark;
	return true;
}

/* The header of an accepted, successful reply; returns its xid. */
static inline uint32_t
client_reply_head(struct wire_in *r)
{
	uint32_t xid = wire_get_u32(r);

	fake_need(wire_get_u32(r) == 1, "no reply");
	fake_need(wire_get_u32(r) == 0, "denied");
	fake_need(wire_get_u64(r) == 0, "a verifier");
	fake_need(wire_get_u32(r) == 0, "not successful");
	return xid;
}

#endif
