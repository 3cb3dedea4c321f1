/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bytes of a connection.
 *
 * In: small things come by multishot receive into buffers that the core's
 * connections share; each is given back before its completion is dealt with,
 * and what could not be presented is copied to the connection's hold.  A
 * receive is limited to a few buffers, so the hold is bounded, a flood from
 * one peer gives way to the others, and nothing ever needs to be cancelled: a
 * receive that is not wanted any more ends soon by itself.
 *
 * A fill takes what that receive still brings by copy, and the rest straight
 * into the caller's memory.  While fills keep coming, the bytes between them are received
 * one small shot at a time, so that hardly any payload is copied.
 *
 * Out: one send at a time, of the messages that wait when it starts, small ones copied to one
 * piece.  Their buffers are held until all of it is out, hence net_opts.gather_bytes.
 */
#include "reactor/conn.h"

#include <limits.h>
#include <unistd.h>

#include "reactor/buf.h"
#include "reactor/core.h"
#include "reactor/reactor.h"

#define STREAM_FILL   (16 * KIB) /* fills from here on make a stream */
#define STREAM_HEADER 512u       /* an RPC header with its credentials, little more */
#define STREAM_CREDIT 4          /* so many headers without a fill end it */
#define COPY_FILL     (2 * KIB)  /* less than this comes by copy anyway */
#define SEND_IOVS     IOV_MAX
#define PACK_MSG      512u       /* up to here the kernel takes longer over a piece more than we over its bytes */
#define SCRATCH_IOVS  8192
#define SCRATCH_MSGS  256

/*
 * Arrays of the sends of a lap.  The kernel reads them during the submit, so
 * they are free again after it.
 */
static __thread struct {
	struct iovec iov[SCRATCH_IOVS];
	struct msghdr msg[SCRATCH_MSGS];
	uint32_t niov, nmsg;
	uint64_t submissions;
} scratch;

/* ---- life */

static void
lose(struct conn *c)
{
	if (!c->open)
		return;
	c->open = false;
	(void)shutdown(c->fd, SHUT_RDWR); /* ends what the kernel has under way */
	net_dirty(c);
}

struct conn *
conn_get(struct conn *c)
{
	assert(c->refs > 0);
	c->refs++;
	return c;
}

void
conn_put(struct conn *c)
{
	assert(c->refs > 0);
	c->refs--;
	conn_check_free(c);
}

void
conn_check_free(struct conn *c)
{
	if (c->refs == 0 && c->recv_state == RECV_NONE && !c->sending && !c->dirty)
		net_free_conn(c);
}

void
conn_close(struct conn *c)
{
	lose(c);
}

bool
conn_is_open(const struct conn *c)
{
	return c->open;
}

const struct sockaddr_storage *
conn_peer(const struct conn *c)
{
	return &c->peer;
}

/* ---- in */

static void
fill_end(struct conn *c, int res)
{
	struct op *op = c->fill;
	void (*resume)(struct op *) = op->resume;

	c->fill = NULL;
	c->fill_iov = NULL;
	op->res = res;
	resume(op);
	lap_ran((uintptr_t)resume);
}

/* Moves the fill on by `n` bytes, which have arrived. */
static void
fill_advance(struct conn *c, uint64_t n)
{
	assert(n <= c->fill_left);
	c->fill_left -= n;
	while (n > 0) {
		struct iovec *v = c->fill_iov;
		size_t k = MIN(n, v->iov_len);

		v->iov_base = (uint8_t *)v->iov_base + k;
		v->iov_len -= k;
		n -= k;
		if (v->iov_len == 0) {
			c->fill_iov++;
			c->fill_niov--;
		}
	}
}

static size_t
fill_copy(struct conn *c, const uint8_t *p, size_t n)
{
	size_t used = 0;

	while (used < n && c->fill_left > 0) {
		size_t k = MIN(n - used, c->fill_iov->iov_len);

		if (k > 0)
			memcpy(c->fill_iov->iov_base, p + used, k);
		else
			c->fill_iov++, c->fill_niov--;
		fill_advance(c, k);
		used += k;
	}
	return used;
}

/* Gives bytes to the fill, to input, or to nobody yet.  Returns how many it got rid of. */
static size_t
consume(struct conn *c, const uint8_t *p, size_t n)
{
	const struct conn_vt *vt = net_core.opts.vt;
	size_t used = 0;

	assert(!c->consuming);
	c->consuming = true;
	while (used < n && c->open) {
		if (c->fill) {
			used += fill_copy(c, p + used, n - used);
			if (c->fill_left == 0)
				fill_end(c, 0);
		} else if (c->paused) {
			break;
		} else {
			size_t k = vt->input(c, c->user, p + used, n - used);

			assert(k == n - used || (k < n - used && (c->fill || c->paused || !c->open)));
			used += k;
		}
	}
	c->consuming = false;
	return c->open ? used : n;
}

static void
hold(struct conn *c, const uint8_t *p, size_t n)
{
	uint32_t room = HOLD_BUFS * net_core.recv_buf_bytes;

	if (!c->held) {
		c->held = slab_get(net_core.holds);
		assert(c->held); /* one each */
		c->held_off = c->held_len = 0;
	}
	if (c->held_off + c->held_len + n > room) {
		memmove(c->held, c->held + c->held_off, c->held_len);
		c->held_off = 0;
	}
	assert(c->held_len + n <= room);
	memcpy(c->held + c->held_off + c->held_len, p, n);
	c->held_len += (uint32_t)n;
}

static void
unhold(struct conn *c, size_t n)
{
	c->held_off += (uint32_t)n;
	c->held_len -= (uint32_t)n;
	if (c->held_len > 0)
		return;
	slab_put(net_core.holds, c->held);
	c->held = NULL;
}

static void
arrived(struct conn *c, const uint8_t *p, size_t n)
{
	size_t used = 0;

	if (!c->open)
		return;
	if (!c->held)
		used = consume(c, p, n);
	if (used < n)
		hold(c, p + used, n - used);
}

/* Is this how the kernel says "again"?  Else the connection is at its end. */
static bool
recv_again(int res)
{
	/* ENOBUFS: all shared buffers were taken; they are back by the end of the lap. */
	return res == -ENOBUFS || res == -EINTR || res == -EAGAIN;
}

/* A kernel before 6.17 refuses a limited multishot receive. */
static bool
limit_refused(const struct conn *c, int res)
{
	if (res != -EINVAL || c->stream > 0 || !ring_has_recv_limit())
		return false;
	ring_no_recv_limit();
	return true;
}

static void
count_in(struct conn *c, int res)
{
	stat_add(&net_core.stats->recvs, 1);
	stat_add(&net_core.stats->bytes_in, (uint64_t)res);
	c->active_ns = reactor_now_ns();
}

static void
recv_done(struct ring_req *r, int res, uint32_t flags)
{
	struct conn *c = container_of(r, struct conn, recv);

	if (!(flags & RING_MORE)) {
		c->recv_state = RECV_NONE;
		net_dirty(c);
	}
	if (res > 0) {
		uint16_t id = ring_buf_id(flags);

		count_in(c, res);
		if (c->stream > 0 && !c->fill)
			c->stream--; /* conn_fill sets it again */
		arrived(c, ring_buf_data(id), (size_t)res);
		ring_buf_recycle(id);
	} else if (!recv_again(res) && !limit_refused(c, res)) {
		lose(c);
	}
}

static void
fill_done(struct ring_req *r, int res, uint32_t flags)
{
	struct conn *c = container_of(r, struct conn, recv);

	(void)flags;
	c->recv_state = RECV_NONE;
	net_dirty(c);
	if (res > 0) {
		count_in(c, res);
		fill_advance(c, (uint64_t)res);
		if (c->fill_left == 0)
			fill_end(c, 0);
	} else if (!recv_again(res)) {
		lose(c);
	}
}

enum op_state
conn_fill(struct conn *c, struct iovec *iov, int niov, struct op *op)
{
	uint64_t bytes = 0;

	assert(!c->fill && niov > 0 && niov <= IOV_MAX && op->resume);
	for (int i = 0; i < niov; i++)
		bytes += iov[i].iov_len;
	assert(bytes > 0);
	if (!c->open)
		return op_done(op, -ECONNRESET);
	if (bytes >= STREAM_FILL)
		c->stream = STREAM_CREDIT;
	c->fill = op;
	c->fill_iov = iov;
	c->fill_niov = niov;
	c->fill_left = bytes;
	if (c->consuming)
		return OP_PENDING; /* consume() goes on with it */
	if (c->held) {
		unhold(c, fill_copy(c, c->held + c->held_off, c->held_len));
		if (c->fill_left == 0) {
			c->fill = NULL;
			net_dirty(c); /* presents what is left in the hold */
			return op_done(op, 0);
		}
	}
	net_dirty(c);
	return OP_PENDING;
}

void
conn_pause(struct conn *c)
{
	c->paused = true;
}

void
conn_resume(struct conn *c)
{
	if (!c->paused)
		return;
	c->paused = false;
	net_dirty(c);
}

static void
start_recv(struct conn *c)
{
	if (c->recv_state != RECV_NONE)
		return;
	if (c->fill && c->fill_left >= COPY_FILL) {
		c->recv_state = RECV_FILL;
		c->recv.done = fill_done;
		c->fill_msg = (struct msghdr){ .msg_iov = c->fill_iov,
		                               .msg_iovlen = (size_t)c->fill_niov };
		ring_recvmsg(c->fd, &c->fill_msg, MSG_WAITALL, &c->recv);
		return;
	}
	if (!c->fill && (c->paused || c->held))
		return;
	c->recv_state = RECV_BUFS;
	c->recv.done = recv_done;
	if (c->stream > 0)
		ring_recv_one(c->fd, (uint32_t)MAX(STREAM_HEADER, c->fill ? c->fill_left : 0), &c->recv);
	else if (ring_has_recv_limit())
		ring_recv_multi(c->fd, RECV_SHOT_BUFS * net_core.recv_buf_bytes, &c->recv);
	else
		ring_recv_one(c->fd, net_core.recv_buf_bytes, &c->recv);
}

/* ---- out */

void
conn_send(struct conn *c, struct outmsg *m)
{
	assert(m->done && m->done->resume && m->niov > 0);
	if (!c->open) {
		reactor_post(m->done, -ECONNRESET);
		return;
	}
	m->next = NULL;
	if (!c->out)
		c->out_tail = &c->out;
	*c->out_tail = m;
	c->out_tail = &m->next;
	c->unsent += m->len;
	net_dirty(c);
}

uint64_t
conn_unsent(const struct conn *c)
{
	return c->unsent;
}

static void
drop_out(struct conn *c)
{
	while (c->out) {
		struct outmsg *m = c->out;

		c->out = m->next;
		reactor_post(m->done, -ECONNRESET);
	}
	c->unsent = 0;
}

static void
msg_end(struct outmsg *m)
{
	struct op *op = m->done;

	op->res = (int)m->len;
	op->resume(op);
}

/*
 * `n` bytes are out: ends the messages that are complete, cuts the one that is not.  At once and not
 * later in the lap, so that what comes next finds their memory free, and in the CPU's cache.
 */
static void
sent(struct conn *c, uint64_t n)
{
	c->unsent -= n;
	while (c->out) {
		struct outmsg *m = c->out;

		while (m->niov > 0 && m->iov->iov_len <= n) {
			n -= m->iov->iov_len;
			m->iov++;
			m->niov--;
		}
		if (m->niov > 0) {
			m->iov->iov_base = (uint8_t *)m->iov->iov_base + n;
			m->iov->iov_len -= n;
			return;
		}
		c->out = m->next;
		msg_end(m);
	}
	assert(n == 0);
}

static void
send_done(struct ring_req *r, int res, uint32_t flags)
{
	struct conn *c = container_of(r, struct conn, send);

	(void)flags;
	c->sending = false;
	if (c->pack)
		slab_put(net_core.packs, c->pack);
	c->pack = NULL;
	net_dirty(c);
	if (res > 0) {
		stat_add(&net_core.stats->bytes_out, (uint64_t)res);
		c->active_ns = reactor_now_ns();
		sent(c, (uint64_t)res);
	} else if (res != -EINTR && res != -EAGAIN) {
		lose(c);
	}
}

/* Room for one more send; the kernel has read what was there once a submit has passed. */
static void
scratch_room(void)
{
	if (scratch.niov + SEND_IOVS > SCRATCH_IOVS || scratch.nmsg == SCRATCH_MSGS)
		while (scratch.submissions == ring_submissions())
			(void)ring_submit();
	if (scratch.submissions != ring_submissions()) {
		scratch.submissions = ring_submissions();
		scratch.niov = scratch.nmsg = 0;
	}
}

/* Adds a small message to the piece before it, or to a new one.  False: it goes out from where it is. */
static bool
pack(struct conn *c, const struct outmsg *m, uint32_t *packed, struct iovec *iov, size_t *n)
{
	uint8_t *to, *end;

	if (m->len > PACK_MSG || *packed + m->len > PACK_BYTES)
		return false;
	if (!c->pack && (!m->next || !(c->pack = slab_get(net_core.packs))))
		return false;
	to = end = c->pack + *packed;
	for (int i = 0; i < m->niov; i++) {
		memcpy(end, m->iov[i].iov_base, m->iov[i].iov_len);
		end += m->iov[i].iov_len;
	}
	if (*n > 0 && (uint8_t *)iov[*n - 1].iov_base + iov[*n - 1].iov_len == to)
		iov[*n - 1].iov_len += (size_t)(end - to);
	else
		iov[(*n)++] = (struct iovec){ to, (size_t)(end - to) };
	*packed += (uint32_t)(end - to);
	return true;
}

static void
start_send(struct conn *c)
{
	struct iovec *iov;
	uint64_t bytes = 0;
	size_t n = 0;
	uint32_t packed = 0;
	struct msghdr *msg;

	if (!c->out || c->sending)
		return;
	scratch_room();
	iov = &scratch.iov[scratch.niov];
	for (struct outmsg *m = c->out; m && n < SEND_IOVS; m = m->next) {
		size_t k = MIN((size_t)m->niov, SEND_IOVS - n);

		if (n > 0 && bytes + m->len > net_core.opts.gather_bytes)
			break;
		bytes += m->len;
		if (pack(c, m, &packed, iov, &n))
			continue;
		memcpy(&iov[n], m->iov, k * sizeof(*iov));
		n += k;
	}
	c->sending = true;
	c->send.done = send_done;
	stat_add(&net_core.stats->sends, 1);
	if (n == 1) {
		ring_send(c->fd, iov->iov_base, iov->iov_len, MSG_NOSIGNAL | MSG_WAITALL, &c->send);
		return;
	}
	msg = &scratch.msg[scratch.nmsg++];
	*msg = (struct msghdr){ .msg_iov = iov, .msg_iovlen = n };
	scratch.niov += (uint32_t)n;
	ring_sendmsg(c->fd, msg, MSG_NOSIGNAL | MSG_WAITALL, &c->send);
	scratch.submissions = ring_submissions(); /* a full queue was submitted just before it */
}

/* ---- the end of a lap */

/* Tells everybody who waits for it; what the kernel has of theirs is told when that is back. */
static void
bury(struct conn *c)
{
	c->refs++; /* whoever is told may put the last */
	if (!c->buried) {
		c->buried = true;
		net_core.opts.vt->closed(c, c->user);
		if (c->held)
			unhold(c, c->held_len);
		c->refs--;
	}
	if (!c->sending)
		drop_out(c);
	if (c->fill && c->recv_state != RECV_FILL)
		fill_end(c, -ECONNRESET);
	conn_put(c);
}

void
conn_flush(struct conn *c)
{
	if (c->open && c->held && !c->paused && !c->fill)
		unhold(c, consume(c, c->held + c->held_off, c->held_len));
	if (!c->open) {
		bury(c);
		return;
	}
	start_recv(c);
	start_send(c);
}

void
conn_init(struct conn *c, int fd)
{
	*c = (struct conn){ .fd = fd, .refs = 1, .open = true };
	c->out_tail = &c->out;
	c->active_ns = reactor_now_ns();
}
