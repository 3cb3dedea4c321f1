/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A durable write that is done only when all of it is on stable storage: the disk may take
 * less than it is given, or be interrupted, and then the rest is written.  Logs are written so.
 * For O_DIRECT: offset and lengths are multiples of PAGE, and a page that came half is written
 * again.
 */
#ifndef REACTOR_DISKWRITE_H
#define REACTOR_DISKWRITE_H

#include <stdint.h>
#include <sys/uio.h>

#include "reactor/op.h"

/* So many answers in a row that brought nothing: the disk is broken. */
#define DISK_WRITE_TRIES 16

struct disk_write {
	struct op step;
	struct op *wait;
	int fd, niov, tries;
	struct iovec *iov; /* from here on it is not written yet */
	uint64_t off;
	uint64_t left;
};

/*
 * op->res 0, or -errno: what the disk has kept of it then, nobody knows.  Memory and iov[] are
 * lent until the op resumes; iov[] is changed.
 */
enum op_state disk_write_all(struct disk_write *w, int fd, struct iovec *iov, int niov, uint64_t off,
                             struct op *op);
/* The same for any thread, which it blocks: 0 or -errno. */
int disk_write_all_now(int fd, struct iovec *iov, int niov, uint64_t off);

#endif
