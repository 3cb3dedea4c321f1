/* SPDX-License-Identifier: Apache-2.0 */
#include "reactor/uring.h"
#include "reactor/core.h"

#include <liburing.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

/* liburing 2.3 is older than the kernels that we run on. */
enum {
	OP_READV_FIXED  = 60,
	OP_WRITEV_FIXED = 61,
	REGISTER_CLONE_BUFFERS = 30,
	RECV_GROUP = 0,
};

struct clone_buffers {
	uint32_t src_fd, flags, src_off, dst_off, nr;
	uint32_t pad[3];
};

static_assert(RING_BUFFER == IORING_CQE_F_BUFFER, "kernel's value");
static_assert(RING_MORE == IORING_CQE_F_MORE, "kernel's value");
static_assert(RING_NONEMPTY == IORING_CQE_F_SOCK_NONEMPTY, "kernel's value");

/* What a completion is for stands in the low bits of its user_data. */
enum { TAG_NONE = 0, TAG_OP = 1, TAG_REQ = 2, TAG_MASK = 3 };

static __thread struct {
	struct io_uring io;
	uint32_t inflight;
	uint64_t submissions;
	bool vec_fixed, recv_limit;
	bool flag_stuck; /* the kernel says that there is work for us, and has none */
	struct io_uring_buf_ring *bufs;
	uint8_t *buf_mem;
	uint32_t buf_count, buf_bytes;
} ring;

static struct io_uring arena_ring;

static int
explain(int err, char why[256])
{
	struct rlimit lim = { 0 };

	switch (-err) {
	case ENOSYS:
		snprintf(why, 256, "this kernel has no io_uring; Linux 6.1 or newer is needed");
		break;
	case EPERM:
	case EACCES:
		snprintf(why, 256, "io_uring is forbidden here: see sysctl kernel.io_uring_disabled, "
		         "or the seccomp profile of the container");
		break;
	case EINVAL:
		snprintf(why, 256, "this kernel's io_uring is too old; Linux 6.1 or newer is needed");
		break;
	case ENOMEM:
		getrlimit(RLIMIT_MEMLOCK, &lim);
		snprintf(why, 256, "no memory for an io_uring: RLIMIT_MEMLOCK is %llu KiB; raise it "
		         "(ulimit -l, or LimitMEMLOCK= of the service)",
		         (unsigned long long)lim.rlim_cur / 1024);
		break;
	case EMFILE:
	case ENFILE:
		getrlimit(RLIMIT_NOFILE, &lim);
		snprintf(why, 256, "no descriptor left for an io_uring: RLIMIT_NOFILE is %llu; raise it "
		         "(ulimit -n, or LimitNOFILE= of the service)",
		         (unsigned long long)lim.rlim_cur);
		break;
	default:
		snprintf(why, 256, "cannot set up an io_uring: %s", strerror(-err));
	}
	return err;
}

static bool
probe_vec_fixed(void)
{
	size_t bytes = sizeof(struct io_uring_probe) + 256 * sizeof(struct io_uring_probe_op);
	struct io_uring_probe *p = calloc(1, bytes);
	bool has = false;

	if (p && io_uring_register_probe(&ring.io, p, 256) == 0)
		has = p->last_op >= OP_WRITEV_FIXED &&
		      p->ops[OP_WRITEV_FIXED].flags & IO_URING_OP_SUPPORTED;
	free(p);
	return has;
}

int
ring_init(uint32_t entries, char why[256])
{
	struct io_uring_params p = {
		.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
		         IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG |
		         IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CQSIZE,
		.cq_entries = entries * 4,
	};
	int err;

	memset(&ring, 0, sizeof(ring));
	err = io_uring_queue_init_params(entries, &ring.io, &p);
	if (err < 0)
		return explain(err, why);
	/* Spares a descriptor look-up a system call; works without. */
	(void)io_uring_register_ring_fd(&ring.io);
	ring.vec_fixed = probe_vec_fixed();
	ring.recv_limit = true;
	return 0;
}

void
ring_fini(void)
{
	io_uring_queue_exit(&ring.io);
}

int
ring_fd(void)
{
	return ring.io.ring_fd;
}

static bool
kernel_has_work(void)
{
	return __atomic_load_n(ring.io.sq.kflags, __ATOMIC_RELAXED) & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW);
}

bool
ring_ready(void)
{
	return io_uring_cq_ready(&ring.io) > 0 || (!ring.flag_stuck && kernel_has_work());
}

bool
ring_can_poll(void)
{
	return !ring.flag_stuck;
}

int
ring_reap(struct runq *q)
{
	uint32_t n = io_uring_cq_ready(&ring.io);
	int taken = (int)n;

	for (; n > 0; n--) {
		struct io_uring_cqe *cqe;
		uint64_t data;
		uint32_t flags;
		int res;

		/* Copied, then given back at once: what is called below may submit. */
		if (io_uring_peek_cqe(&ring.io, &cqe) < 0)
			break;
		data = cqe->user_data;
		res = cqe->res;
		flags = cqe->flags;
		io_uring_cqe_seen(&ring.io, cqe);

		if ((data & TAG_MASK) == TAG_NONE)
			continue;
		if (!(flags & RING_MORE))
			ring.inflight--;
		if ((data & TAG_MASK) == TAG_OP) {
			runq_push(q, (struct op *)(uintptr_t)(data - TAG_OP), res);
		} else {
			struct ring_req *r = (struct ring_req *)(uintptr_t)(data - TAG_REQ);
			void (*done)(struct ring_req *, int, uint32_t) = r->done;

			done(r, res, flags);
			lap_ran((uintptr_t)done);
		}
	}
	return taken;
}

/* What the kernel could not take (-EAGAIN, -EBUSY) stays in the queue for the next time. */
static void
count_submission(void)
{
	if (io_uring_sq_ready(&ring.io) == 0)
		ring.submissions++;
}

int
ring_submit(void)
{
	if (io_uring_sq_ready(&ring.io) == 0 && !kernel_has_work())
		return 0;
	(void)io_uring_submit_and_get_events(&ring.io);
	count_submission();
	/* Set after the work it stands for was already taken, it stays set until there is more. */
	ring.flag_stuck = io_uring_cq_ready(&ring.io) == 0 && kernel_has_work();
	return 1;
}

void
ring_sleep(uint64_t timeout_ns)
{
	struct __kernel_timespec ts = {
		.tv_sec = (long long)(timeout_ns / 1000000000),
		.tv_nsec = (long long)(timeout_ns % 1000000000),
	};
	struct io_uring_cqe *cqe;

	(void)io_uring_submit_and_wait_timeout(&ring.io, &cqe, 1, &ts, NULL);
	ring.flag_stuck = false;
	count_submission();
}

uint32_t
ring_inflight(void)
{
	return ring.inflight;
}

uint64_t
ring_submissions(void)
{
	return ring.submissions;
}

static struct io_uring_sqe *
get_sqe(void)
{
	struct io_uring_sqe *sqe;

	while (!(sqe = io_uring_get_sqe(&ring.io))) {
		(void)io_uring_submit(&ring.io);
		count_submission();
	}
	return sqe;
}

static void
for_op(struct io_uring_sqe *sqe, struct op *op)
{
	assert(op->resume);
	sqe->user_data = (uint64_t)(uintptr_t)op | TAG_OP;
	ring.inflight++;
}

static void
for_req(struct io_uring_sqe *sqe, struct ring_req *r)
{
	assert(r->done);
	sqe->user_data = (uint64_t)(uintptr_t)r | TAG_REQ;
	ring.inflight++;
}

void
ring_read(int fd, void *p, uint32_t len, uint64_t off, int index, struct op *op)
{
	struct io_uring_sqe *sqe = get_sqe();

	if (index >= 0)
		io_uring_prep_read_fixed(sqe, fd, p, len, off, index);
	else
		io_uring_prep_read(sqe, fd, p, len, off);
	for_op(sqe, op);
}

void
ring_write(int fd, const void *p, uint32_t len, uint64_t off, int index, struct op *op)
{
	struct io_uring_sqe *sqe = get_sqe();

	if (index >= 0)
		io_uring_prep_write_fixed(sqe, fd, p, len, off, index);
	else
		io_uring_prep_write(sqe, fd, p, len, off);
	for_op(sqe, op);
}

void
ring_readv(int fd, const struct iovec *iov, int n, uint64_t off, int index, struct op *op)
{
	struct io_uring_sqe *sqe = get_sqe();

	io_uring_prep_readv(sqe, fd, iov, (unsigned)n, off);
	if (index >= 0) {
		sqe->opcode = OP_READV_FIXED;
		sqe->buf_index = (uint16_t)index;
	}
	for_op(sqe, op);
}

void
ring_writev(int fd, const struct iovec *iov, int n, uint64_t off, int index, int rwf,
            struct op *op)
{
	struct io_uring_sqe *sqe = get_sqe();

	io_uring_prep_writev2(sqe, fd, iov, (unsigned)n, off, rwf);
	if (index >= 0) {
		sqe->opcode = OP_WRITEV_FIXED;
		sqe->buf_index = (uint16_t)index;
	}
	for_op(sqe, op);
}

void
ring_fdatasync(int fd, struct op *op)
{
	struct io_uring_sqe *sqe = get_sqe();

	io_uring_prep_fsync(sqe, fd, IORING_FSYNC_DATASYNC);
	for_op(sqe, op);
}

bool
ring_has_vec_fixed(void)
{
	return ring.vec_fixed;
}

void
ring_accept(int fd, bool multishot, struct ring_req *r)
{
	struct io_uring_sqe *sqe = get_sqe();

	if (multishot)
		io_uring_prep_multishot_accept(sqe, fd, NULL, NULL, SOCK_CLOEXEC);
	else
		io_uring_prep_accept(sqe, fd, NULL, NULL, SOCK_CLOEXEC);
	for_req(sqe, r);
}

void
ring_recv_multi(int fd, uint32_t limit, struct ring_req *r)
{
	struct io_uring_sqe *sqe = get_sqe();

	io_uring_prep_recv_multishot(sqe, fd, NULL, 0, 0);
	sqe->flags |= IOSQE_BUFFER_SELECT;
	sqe->buf_group = RECV_GROUP;
	sqe->file_index = limit; /* `optlen` in newer headers */
	for_req(sqe, r);
}

bool
ring_has_recv_limit(void)
{
	return ring.recv_limit;
}

void
ring_no_recv_limit(void)
{
	ring.recv_limit = false;
}

void
ring_recv_one(int fd, uint32_t max, struct ring_req *r)
{
	struct io_uring_sqe *sqe = get_sqe();

	io_uring_prep_recv(sqe, fd, NULL, max, 0);
	sqe->flags |= IOSQE_BUFFER_SELECT;
	sqe->buf_group = RECV_GROUP;
	for_req(sqe, r);
}

void
ring_recvmsg(int fd, struct msghdr *msg, int flags, struct ring_req *r)
{
	struct io_uring_sqe *sqe = get_sqe();

	io_uring_prep_recvmsg(sqe, fd, msg, (unsigned)flags);
	for_req(sqe, r);
}

void
ring_send(int fd, const void *p, size_t len, int flags, struct ring_req *r)
{
	struct io_uring_sqe *sqe = get_sqe();

	io_uring_prep_send(sqe, fd, p, len, flags);
	for_req(sqe, r);
}

void
ring_sendmsg(int fd, const struct msghdr *msg, int flags, struct ring_req *r)
{
	struct io_uring_sqe *sqe = get_sqe();

	io_uring_prep_sendmsg(sqe, fd, msg, (unsigned)flags);
	for_req(sqe, r);
}

void
ring_read_event(int fd, uint64_t *p, struct ring_req *r)
{
	struct io_uring_sqe *sqe = get_sqe();

	io_uring_prep_read(sqe, fd, p, sizeof(*p), 0);
	for_req(sqe, r);
}

void
ring_cancel(struct ring_req *r)
{
	struct io_uring_sqe *sqe = get_sqe();

	io_uring_prep_cancel64(sqe, (uint64_t)(uintptr_t)r | TAG_REQ, 0);
	sqe->user_data = TAG_NONE;
}

void
ring_poll(int fd, uint32_t events, struct op *op)
{
	struct io_uring_sqe *sqe = get_sqe();

	io_uring_prep_poll_add(sqe, fd, events);
	for_op(sqe, op);
}

void
ring_poll_cancel(struct op *op)
{
	struct io_uring_sqe *sqe = get_sqe();

	io_uring_prep_cancel64(sqe, (uint64_t)(uintptr_t)op | TAG_OP, 0);
	sqe->user_data = TAG_NONE;
}

void
ring_wake(int fd)
{
	struct io_uring_sqe *sqe = get_sqe();

	io_uring_prep_msg_ring(sqe, fd, 0, TAG_NONE, 0);
	sqe->user_data = TAG_NONE;
	sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
}

int
ring_bufs_init(uint32_t count, uint32_t bytes)
{
	size_t table = count * sizeof(struct io_uring_buf);
	struct io_uring_buf_reg reg = { .ring_entries = count, .bgid = RECV_GROUP };
	int err;

	ring.buf_count = count;
	ring.buf_bytes = bytes;
	ring.bufs = mmap(NULL, table, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (ring.bufs == MAP_FAILED)
		return -errno;
	ring.buf_mem = mmap(NULL, (size_t)count * bytes, PROT_READ | PROT_WRITE,
	                    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (ring.buf_mem == MAP_FAILED) {
		err = -errno;
		goto no_mem;
	}
	reg.ring_addr = (uint64_t)(uintptr_t)ring.bufs;
	err = io_uring_register_buf_ring(&ring.io, &reg, 0);
	if (err < 0)
		goto no_ring;
	io_uring_buf_ring_init(ring.bufs);
	for (uint32_t i = 0; i < count; i++)
		ring_buf_recycle((uint16_t)i);
	return 0;
no_ring:
	munmap(ring.buf_mem, (size_t)count * bytes);
no_mem:
	munmap(ring.bufs, table);
	ring.bufs = NULL;
	return err;
}

void
ring_bufs_fini(void)
{
	if (!ring.bufs)
		return;
	(void)io_uring_unregister_buf_ring(&ring.io, RECV_GROUP);
	munmap(ring.buf_mem, (size_t)ring.buf_count * ring.buf_bytes);
	munmap(ring.bufs, ring.buf_count * sizeof(struct io_uring_buf));
	ring.bufs = NULL;
}

uint8_t *
ring_buf_data(uint16_t id)
{
	return ring.buf_mem + (size_t)id * ring.buf_bytes;
}

void
ring_buf_recycle(uint16_t id)
{
	io_uring_buf_ring_add(ring.bufs, ring_buf_data(id), ring.buf_bytes, id,
	                      io_uring_buf_ring_mask(ring.buf_count), 0);
	io_uring_buf_ring_advance(ring.bufs, 1);
}

int
ring_arena_register(const struct iovec *pieces, uint32_t n)
{
	int err = io_uring_queue_init(1, &arena_ring, 0);

	if (err < 0)
		return err;
	err = io_uring_register_buffers(&arena_ring, pieces, n);
	if (err < 0) {
		io_uring_queue_exit(&arena_ring);
		return err;
	}
	return arena_ring.ring_fd;
}

void
ring_arena_close(void)
{
	io_uring_queue_exit(&arena_ring);
}

int
ring_arena_clone(int arena_fd)
{
	struct clone_buffers c = { .src_fd = (uint32_t)arena_fd };

	return io_uring_register((unsigned)ring.io.ring_fd, REGISTER_CLONE_BUFFERS, &c, 1);
}
