/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Disk I/O through this core's ring.  Always OP_PENDING but where the ring
 * cannot take it; op->res is the byte count, which may be short, or -errno.
 * Memory, iovec array included, is lent until the op resumes.  Memory of the buffer arena uses its
 * registration (no page pinning an operation).
 */
#ifndef REACTOR_DISK_H
#define REACTOR_DISK_H

#include <sys/uio.h>

#include "reactor/op.h"
#include "reactor/base.h"

enum op_state disk_read(int fd, void *p, uint32_t len_bytes, uint64_t off, struct op *op);
enum op_state disk_readv(int fd, const struct iovec *iov, int niov, uint64_t off, struct op *op);
enum op_state disk_write(int fd, const void *p, uint32_t len_bytes, uint64_t off, struct op *op);
/* With `durable` the write is RWF_DSYNC: on stable storage when it completes. */
enum op_state disk_writev(int fd, const struct iovec *iov, int niov, uint64_t off, bool durable,
                          struct op *op);
enum op_state disk_fdatasync(int fd, struct op *op);

#endif
