/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/lib/uring.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bench/lib/measure.h"

enum { ENTRIES = 1024, GROUP = 0 };

void
uring_init(struct uring *u, uint32_t nbufs, uint32_t buf_bytes, uint32_t poll_us)
{
	int err = io_uring_queue_init(ENTRIES, &u->ring, IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
	                              IORING_SETUP_COOP_TASKRUN);

	if (err < 0)
		measure_fail("io_uring", -err);
	u->nbufs = nbufs;
	u->buf_bytes = buf_bytes;
	u->poll_ns = (uint64_t)poll_us * 1000;
	if (!nbufs)
		return;
	u->bytes = aligned_alloc(4096, (size_t)nbufs * buf_bytes);
	u->bufs = aligned_alloc(4096, (nbufs * sizeof(struct io_uring_buf) + 4095) / 4096 * 4096);
	if (!u->bytes || !u->bufs)
		measure_fail("memory", ENOMEM);
	memset(u->bytes, 0, (size_t)nbufs * buf_bytes);
	struct io_uring_buf_reg reg = { .ring_addr = (uint64_t)(uintptr_t)u->bufs, .ring_entries = nbufs, .bgid = GROUP };

	err = io_uring_register_buf_ring(&u->ring, &reg, 0);
	if (err < 0)
		measure_fail("io_uring buffers", -err);
	io_uring_buf_ring_init(u->bufs);
	for (uint32_t i = 0; i < nbufs; i++)
		io_uring_buf_ring_add(u->bufs, u->bytes + (size_t)i * buf_bytes, buf_bytes, (unsigned short)i,
		                      io_uring_buf_ring_mask(nbufs), (int)i);
	io_uring_buf_ring_advance(u->bufs, (int)nbufs);
}

void
uring_fini(struct uring *u)
{
	io_uring_queue_exit(&u->ring);
	free(u->bytes);
	free(u->bufs);
}

struct io_uring_sqe *
uring_sqe(struct uring *u)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&u->ring);

	if (!sqe) {
		io_uring_submit(&u->ring);
		sqe = io_uring_get_sqe(&u->ring);
	}
	return sqe;
}

void
uring_recv(struct uring *u, int fd, uint64_t user)
{
	struct io_uring_sqe *sqe = uring_sqe(u);

	io_uring_prep_recv_multishot(sqe, fd, NULL, 0, 0);
	sqe->flags |= IOSQE_BUFFER_SELECT;
	sqe->buf_group = GROUP;
	io_uring_sqe_set_data64(sqe, user);
}

uint8_t *
uring_buf(struct uring *u, const struct io_uring_cqe *cqe)
{
	return u->bytes + (size_t)(cqe->flags >> IORING_CQE_BUFFER_SHIFT) * u->buf_bytes;
}

void
uring_buf_put(struct uring *u, const struct io_uring_cqe *cqe)
{
	uint32_t i = cqe->flags >> IORING_CQE_BUFFER_SHIFT;

	if (!(cqe->flags & IORING_CQE_F_BUFFER))
		return;
	io_uring_buf_ring_add(u->bufs, u->bytes + (size_t)i * u->buf_bytes, u->buf_bytes, (unsigned short)i,
	                      io_uring_buf_ring_mask(u->nbufs), 0);
	io_uring_buf_ring_advance(u->bufs, 1);
}

void
uring_wait(struct uring *u, int ms)
{
	struct __kernel_timespec ts = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000LL };
	struct io_uring_cqe *cqe;
	uint64_t until;

	if (u->poll_ns) {
		io_uring_submit_and_get_events(&u->ring);
		for (until = measure_now_ns() + u->poll_ns; !io_uring_cq_ready(&u->ring) && measure_now_ns() < until;)
			io_uring_get_events(&u->ring);
		if (io_uring_cq_ready(&u->ring))
			return;
	}
	io_uring_submit_and_wait_timeout(&u->ring, &cqe, 1, &ts, NULL);
}
