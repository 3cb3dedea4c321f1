/* SPDX-License-Identifier: Apache-2.0 */
#include "reactor/disk.h"

#include <limits.h>

#include "reactor/core.h"
#include "reactor/uring.h"

enum op_state
disk_read(int fd, void *p, uint32_t len_bytes, uint64_t off, struct op *op)
{
	ring_read(fd, p, len_bytes, off, buf_registered(p, len_bytes), op);
	return OP_PENDING;
}

enum op_state
disk_write(int fd, const void *p, uint32_t len_bytes, uint64_t off, struct op *op)
{
	ring_write(fd, p, len_bytes, off, buf_registered(p, len_bytes), op);
	return OP_PENDING;
}

/* The one registered piece that holds all of the array, which the fixed operations need, or -1. */
static int
one_piece(const struct iovec *iov, int niov)
{
	int index;

	assert(niov > 0 && niov <= IOV_MAX);
	if (!ring_has_vec_fixed())
		return -1;
	index = buf_registered(iov[0].iov_base, iov[0].iov_len);
	for (int i = 1; i < niov && index >= 0; i++)
		if (buf_registered(iov[i].iov_base, iov[i].iov_len) != index)
			return -1;
	return index;
}

enum op_state
disk_readv(int fd, const struct iovec *iov, int niov, uint64_t off, struct op *op)
{
	ring_readv(fd, iov, niov, off, one_piece(iov, niov), op);
	return OP_PENDING;
}

enum op_state
disk_writev(int fd, const struct iovec *iov, int niov, uint64_t off, bool durable, struct op *op)
{
	ring_writev(fd, iov, niov, off, one_piece(iov, niov), durable ? RWF_DSYNC : 0, op);
	return OP_PENDING;
}

enum op_state
disk_fdatasync(int fd, struct op *op)
{
	ring_fdatasync(fd, op);
	return OP_PENDING;
}
