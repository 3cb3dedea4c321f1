/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Raw io_uring for the bare limits: a ring, provided receive buffers, multishot receives.
 * On purpose none of reactor/: what that costs is the question.  A struct and its ring belong
 * to the thread that made it.
 */
#ifndef BENCH_LIB_URING_H
#define BENCH_LIB_URING_H

#include <liburing.h>
#include <stdint.h>

struct uring {
	struct io_uring ring;
	struct io_uring_buf_ring *bufs;
	uint8_t *bytes;
	uint32_t nbufs, buf_bytes; /* nbufs: a power of two */
	uint64_t poll_ns;          /* look for completions so long before sleeping */
};

/* nbufs 0: no receive buffers.  Ends the program when the kernel says no. */
void uring_init(struct uring *u, uint32_t nbufs, uint32_t buf_bytes, uint32_t poll_us);
void uring_fini(struct uring *u);
struct io_uring_sqe *uring_sqe(struct uring *u);
/* A receive that goes on by itself; its completions carry user. */
void uring_recv(struct uring *u, int fd, uint64_t user);
/* The buffer of a completion, and its way back. */
uint8_t *uring_buf(struct uring *u, const struct io_uring_cqe *cqe);
void uring_buf_put(struct uring *u, const struct io_uring_cqe *cqe);
/* Submits, and waits for one completion or ms. */
void uring_wait(struct uring *u, int ms);

#endif
