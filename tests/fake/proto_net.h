/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections whose bytes the test hands in, in the pieces that it likes, and
 * whose output it reads from memory.  Behaves as net.h has it: input is lent
 * until return (each piece is an allocation of its own, so that ASan sees who
 * reads on), what is not consumed is held, `closed` comes at the end of a lap,
 * a fill takes the held bytes first.  All of reactor/net.h.
 */
#ifndef TESTS_FAKE_PROTO_NET_H
#define TESTS_FAKE_PROTO_NET_H

#include "reactor/net.h"
#include "tests/fake/one_thread.h"

struct conn {
	struct conn *next;
	void *user;
	struct sockaddr_storage peer;
	int core, refs;
	bool open, paused, buried, consuming;
	bool slow;             /* takes no replies until the test says so */
	unsigned misalign;     /* of the input's memory */
	uint8_t *held;
	size_t held_len;
	struct op *fill;
	struct iovec *fill_iov;
	int fill_niov;
	size_t fill_left;
	uint64_t filled;       /* bytes that came by fills, not copied from held ones */
	struct outmsg *out;
	uint8_t *sent;         /* everything that was sent */
	size_t sent_len;
	uint64_t unsent;
};

static struct conn *fake_conns;
static const struct conn_vt *fake_vt;
static bool fake_accepting;

int net_listen(const struct net_opts *o, char why[256]) { (void)why; fake_vt = o->vt; fake_accepting = true; return 0; }
uint16_t net_port(void) { return 12049; }
void net_stop_accepting(void) { fake_accepting = false; }
const struct net_stats *net_stats(int core) { (void)core; abort(); }
struct conn *conn_get(struct conn *c) { fake_need(c->refs > 0, "conn_get of a dead one"); c->refs++; return c; }
bool conn_is_open(const struct conn *c) { return c->open; }
const struct sockaddr_storage *conn_peer(const struct conn *c) { return &c->peer; }
void conn_pause(struct conn *c) { c->paused = true; }
void conn_resume(struct conn *c) { c->paused = false; }
uint64_t conn_unsent(const struct conn *c) { return c->unsent; }
void conn_close(struct conn *c) { c->open = false; }

void
conn_put(struct conn *c)
{
	struct conn **p = &fake_conns;

	fake_need(c->refs > 0, "conn_put of a dead one");
	if (--c->refs > 0)
		return;
	fake_need(!c->open && !c->fill && !c->out, "a connection is freed that is in use");
	while (*p != c)
		p = &(*p)->next;
	*p = c->next;
	free(c->held);
	free(c->sent);
	free(c);
}

/* The caller holds a reference too, so that he can look at it when it is closed; NULL: not taken. */
static inline struct conn *
fake_connect(int core, const char *addr, const struct conn_vt *vt)
{
	struct conn *c = calloc(1, sizeof *c);
	struct sockaddr_in *in;
	int was = fake_core;

	fake_need(c, "no memory");
	in = (struct sockaddr_in *)&c->peer;
	in->sin_family = AF_INET;
	in->sin_port = htons(777);
	fake_need(inet_pton(AF_INET, addr, &in->sin_addr) == 1, "no address");
	c->open = true;
	c->refs = 2;
	c->core = fake_core = core;
	c->next = fake_conns;
	fake_conns = c;
	fake_vt = vt;
	c->user = vt->open(c, &c->peer);
	fake_core = was;
	if (!c->user) {
		c->open = false;
		c->refs = 1;
		conn_put(c);
		return NULL;
	}
	return c;
}

static inline void
fake_fill_end(struct conn *c, int res)
{
	struct op *op = c->fill;

	c->fill = NULL;
	op->res = res;
	op->resume(op);
}

static inline size_t
fake_fill_copy(struct conn *c, const uint8_t *p, size_t n)
{
	size_t used = 0;

	while (used < n && c->fill_left > 0) {
		size_t k = MIN(n - used, c->fill_iov->iov_len);

		memcpy(c->fill_iov->iov_base, p + used, k);
		c->fill_iov->iov_base = (uint8_t *)c->fill_iov->iov_base + k;
		c->fill_iov->iov_len -= k;
		c->fill_left -= k;
		used += k;
		if (c->fill_iov->iov_len == 0)
			c->fill_iov++;
	}
	return used;
}

static inline size_t
fake_consume(struct conn *c, const uint8_t *p, size_t n)
{
	size_t used = 0;

	c->consuming = true;
	while (used < n && c->open) {
		if (c->fill) {
			used += fake_fill_copy(c, p + used, n - used);
			if (c->fill_left == 0)
				fake_fill_end(c, 0);
		} else if (c->paused) {
			break;
		} else {
			size_t left = n - used, k;
			/* Memory of its own for each piece: what is read behind it is seen. */
			uint8_t *lent = malloc(left + c->misalign);

			memcpy(lent + c->misalign, p + used, left);
			k = fake_vt->input(c, c->user, lent + c->misalign, left);
			memset(lent, 0xdd, left + c->misalign);
			free(lent);
			fake_need(k == left || (k < left && (c->fill || c->paused || !c->open)), "input left bytes behind");
			used += k;
		}
	}
	c->consuming = false;
	return c->open ? used : n;
}

/* Bytes arrive. */
static inline void
fake_feed(struct conn *c, const void *p, size_t n)
{
	size_t used = 0;
	int was = fake_core;

	if (!c->open || n == 0)
		return;
	fake_core = c->core;
	if (c->fill && c->held_len == 0)
		c->filled += MIN(n, c->fill_left);
	if (c->held_len == 0)
		used = fake_consume(c, p, n);
	if (used < n) {
		c->held = realloc(c->held, c->held_len + n - used);
		memcpy(c->held + c->held_len, (const uint8_t *)p + used, n - used);
		c->held_len += n - used;
	}
	fake_core = was;
}

enum op_state
conn_fill(struct conn *c, struct iovec *iov, int niov, struct op *op)
{
	size_t k;

	fake_need(!c->fill, "two fills at once");
	if (!c->open)
		return op_done(op, -ECONNRESET);
	c->fill = op;
	c->fill_iov = iov;
	c->fill_niov = niov;
	c->fill_left = 0;
	for (int i = 0; i < niov; i++)
		c->fill_left += iov[i].iov_len;
	fake_need(c->fill_left > 0, "an empty fill");
	if (c->consuming)
		return OP_PENDING;
	if (c->held_len > 0) {
		k = fake_fill_copy(c, c->held, c->held_len);
		memmove(c->held, c->held + k, c->held_len - k);
		c->held_len -= k;
	}
	if (c->fill_left > 0)
		return OP_PENDING;
	c->fill = NULL;
	return op_done(op, 0);
}

void
conn_send(struct conn *c, struct outmsg *m)
{
	struct outmsg **p = &c->out;
	size_t sum = 0;

	for (int i = 0; i < m->niov; i++)
		sum += m->iov[i].iov_len;
	fake_need(m->niov > 0 && sum == m->len, "a message's length is wrong");
	if (!c->open) {
		reactor_post(m->done, -ECONNRESET);
		return;
	}
	while (*p)
		p = &(*p)->next;
	m->next = NULL;
	*p = m;
	c->unsent += m->len;
}

static inline void
fake_conn_send_all(struct conn *c)
{
	while (c->out) {
		struct outmsg *m = c->out;

		c->out = m->next;
		c->sent = realloc(c->sent, c->sent_len + m->len);
		for (int i = 0; i < m->niov; i++) {
			memcpy(c->sent + c->sent_len, m->iov[i].iov_base, m->iov[i].iov_len);
			c->sent_len += m->iov[i].iov_len;
		}
		c->unsent -= m->len;
		reactor_post(m->done, (int)m->len);
	}
}

static inline void
fake_bury(struct conn *c)
{
	if (!c->buried) {
		c->buried = true;
		fake_vt->closed(c, c->user);
		c->held_len = 0;
		while (c->out) {
			struct outmsg *m = c->out;

			c->out = m->next;
			reactor_post(m->done, -ECONNRESET);
		}
		if (c->fill)
			fake_fill_end(c, -ECONNRESET);
		conn_put(c);
	}
}

/* The end of a lap for all connections; true when something was done. */
static inline bool
fake_net_lap(void)
{
	bool did = false;

	for (struct conn *c = fake_conns, *next; c; c = next) {
		next = c->next;
		fake_core = c->core;
		if (c->open && c->held_len > 0 && !c->paused && !c->fill) {
			size_t n = c->held_len, used;
			uint8_t *p = c->held;

			c->held = NULL;
			c->held_len = 0;
			used = fake_consume(c, p, n);
			if (used < n) {
				c->held = malloc(n - used);
				memcpy(c->held, p + used, n - used);
				c->held_len = n - used;
			}
			free(p);
			did = true;
		}
		if (!c->open && !c->buried) {
			did = true;
			fake_bury(c);
			continue;
		}
		if (c->open && c->out && !c->slow) {
			did = true;
			fake_conn_send_all(c);
		}
	}
	fake_core = 0;
	return did;
}

enum op_state
net_close_all(struct op *op)
{
	for (struct conn *c = fake_conns; c; c = c->next)
		if (c->core == fake_core)
			conn_close(c);
	return op_done(op, 0);
}

/* Until nothing moves any more. */
static inline void
fake_run(void)
{
	for (int idle = 0; idle < 2; ) {
		bool did = fake_lap() > 0;

		did |= fake_net_lap();
		idle = did ? 0 : idle + 1;
	}
}

#endif
