/* SPDX-License-Identifier: Apache-2.0 */
/*
 * This core's io_uring: the one place that knows liburing.  For the files of
 * reactor/ only.  Everything belongs to the calling reactor thread.
 *
 * Operations end either in a plain op (resumed from the run queue) or, where
 * one submission has several completions or the flags matter, in a ring_req.
 * Nothing reaches the kernel before ring_submit or ring_sleep, which a lap calls once, but
 * where the submission queue is full it is submitted at once.
 */
#ifndef REACTOR_URING_H
#define REACTOR_URING_H

#include <sys/socket.h>
#include <sys/uio.h>

#include "reactor/base.h"
#include "reactor/op.h"

/* Flags of a completion, with the kernel's own values. */
enum {
	RING_BUFFER   = 1, /* the data is in provided buffer ring_buf_id(flags) */
	RING_MORE     = 2, /* this request will complete again */
	RING_NONEMPTY = 4, /* the socket holds more bytes */
};

/* Kept by its owner until the completion without RING_MORE. */
struct ring_req {
	void (*done)(struct ring_req *r, int res, uint32_t flags);
};

/* -errno and a sentence for the user. */
int  ring_init(uint32_t entries, char why[256]);
void ring_fini(void);
int  ring_fd(void);

/* True when ring_reap or the kernel's task work has something for us; no system call. */
bool ring_ready(void);
/* False where ring_ready may miss what comes (a flag of the kernel's is stuck), and only ring_sleep would see it. */
bool ring_can_poll(void);
/* Takes the completions that are there: ops to `q`, requests are called.  Returns how many. */
int ring_reap(struct runq *q);
/* Hands over what is prepared and lets the kernel post completions.  Returns system calls made. */
int ring_submit(void);
/* The same, and sleeps until a completion or the timeout. */
void ring_sleep(uint64_t timeout_ns);
/* Operations whose last completion is still to come. */
uint32_t ring_inflight(void);
/*
 * Counts the times when all that was prepared had been handed over: then
 * arrays that the kernel only reads while it takes an operation are free again.
 */
uint64_t ring_submissions(void);

/* Disk.  `index` is the registered piece that holds the memory, or -1. */
void ring_read(int fd, void *p, uint32_t len, uint64_t off, int index, struct op *op);
void ring_write(int fd, const void *p, uint32_t len, uint64_t off, int index, struct op *op);
void ring_readv(int fd, const struct iovec *iov, int n, uint64_t off, int index, struct op *op);
void ring_writev(int fd, const struct iovec *iov, int n, uint64_t off, int index, int rwf,
                 struct op *op);
void ring_fdatasync(int fd, struct op *op);
/* Does the kernel take READV_FIXED and WRITEV_FIXED (6.15)? */
bool ring_has_vec_fixed(void);

/* Sockets. */
void ring_accept(int fd, bool multishot, struct ring_req *r);
/*
 * Receives into provided buffers.  Multishot, ended by the kernel after
 * `limit` bytes or a little more (one buffer); only where ring_has_recv_limit().
 */
void ring_recv_multi(int fd, uint32_t limit, struct ring_req *r);
bool ring_has_recv_limit(void);
/* Kernels before 6.17 refuse the limit with -EINVAL: says so. */
void ring_no_recv_limit(void);
/* One shot of at most `max` bytes into one provided buffer. */
void ring_recv_one(int fd, uint32_t max, struct ring_req *r);
void ring_recvmsg(int fd, struct msghdr *msg, int flags, struct ring_req *r);
void ring_send(int fd, const void *p, size_t len, int flags, struct ring_req *r);
/* msg and its array are read during ring_submit, the bytes until completion. */
void ring_sendmsg(int fd, const struct msghdr *msg, int flags, struct ring_req *r);
void ring_read_event(int fd, uint64_t *p, struct ring_req *r);
void ring_cancel(struct ring_req *r);
/* One shot, for poll.c. */
void ring_poll(int fd, uint32_t events, struct op *op);
void ring_poll_cancel(struct op *op);
/* Makes the ring `fd` of another core complete something, so that it wakes. */
void ring_wake(int fd);

/* The provided receive buffers of this core. */
int  ring_bufs_init(uint32_t count, uint32_t bytes);
void ring_bufs_fini(void);
static inline uint16_t ring_buf_id(uint32_t flags) { return (uint16_t)(flags >> 16); }
uint8_t *ring_buf_data(uint16_t id);
void ring_buf_recycle(uint16_t id);

/*
 * Registered memory.  Pages are pinned once, in a ring of its own that the
 * starting thread makes; the cores' rings clone its table, so that each may
 * do I/O on the buffers of all.  The fd of that ring, or -errno.
 */
int ring_arena_register(const struct iovec *pieces, uint32_t n);
void ring_arena_close(void);
int ring_arena_clone(int arena_fd);

#endif
