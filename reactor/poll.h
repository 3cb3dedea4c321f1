/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Waiting for a descriptor that somebody else reads and writes (libcurl): one
 * shot through this core's ring.  For descriptors of ours there are net.h and disk.h.
 *
 * The descriptor may be closed before poll_stop has taken effect: the kernel
 * keeps its file until then.
 */
#ifndef REACTOR_POLL_H
#define REACTOR_POLL_H

#include "reactor/op.h"
#include "reactor/base.h"

/* op->res is the events that came (poll(2)'s POLLIN, POLLOUT, POLLERR, POLLHUP), or -errno.  Always OP_PENDING. */
enum op_state poll_start(int fd, uint32_t events, struct op *op);
/* The op resumes all the same, soon: with -ECANCELED, or with events that came before. */
void poll_stop(struct op *op);

#endif
