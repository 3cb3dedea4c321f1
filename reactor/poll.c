/* SPDX-License-Identifier: Apache-2.0 */
#include "reactor/poll.h"

#include "reactor/uring.h"

enum op_state
poll_start(int fd, uint32_t events, struct op *op)
{
	ring_poll(fd, events, op);
	return OP_PENDING;
}

void
poll_stop(struct op *op)
{
	ring_poll_cancel(op);
}
