/* SPDX-License-Identifier: Apache-2.0 */
#include "reactor/diskwrite.h"

#include <assert.h>

#include "reactor/base.h"
#include "reactor/disk.h"

static void
start(struct disk_write *w, int fd, struct iovec *iov, int niov, uint64_t off)
{
	*w = (struct disk_write){ .fd = fd, .niov = niov, .iov = iov, .off = off };
	for (int i = 0; i < niov; i++)
		w->left += iov[i].iov_len;
	assert(w->left > 0 && w->left % PAGE == 0 && off % PAGE == 0);
}

/* Skips what was written. */
static void
advance(struct disk_write *w, uint64_t n)
{
	assert(n <= w->left);
	w->left -= n;
	w->off += n;
	while (n > 0) {
		struct iovec *v = w->iov;

		if (n < v->iov_len) {
			v->iov_base = (uint8_t *)v->iov_base + n;
			v->iov_len -= n;
			return;
		}
		n -= v->iov_len;
		w->iov++;
		w->niov--;
	}
}

/* Takes one answer of the disk.  True: write what is left; else *res is the result of it all. */
static bool
took(struct disk_write *w, int *res)
{
	uint64_t n = *res > 0 ? ROUND_DOWN((uint64_t)*res, PAGE) : 0;

	w->tries = n > 0 ? 0 : w->tries + 1;
	advance(w, n);
	if (w->left > 0 && (*res >= 0 || *res == -EINTR || *res == -EAGAIN) && w->tries < DISK_WRITE_TRIES)
		return true;
	if (w->left == 0)
		*res = 0;
	else if (*res >= 0)
		*res = -EIO;
	return false;
}

static enum op_state
go_on(struct disk_write *w)
{
	do
		if (disk_writev(w->fd, w->iov, w->niov, w->off, true, &w->step) == OP_PENDING)
			return OP_PENDING;
	while (took(w, &w->step.res));
	return op_done(w->wait, w->step.res);
}

static void
written(struct op *step)
{
	struct disk_write *w = container_of(step, struct disk_write, step);

	if (took(w, &step->res)) {
		if (go_on(w) == OP_PENDING)
			return;
	} else {
		w->wait->res = step->res;
	}
	w->wait->resume(w->wait);
}

enum op_state
disk_write_all(struct disk_write *w, int fd, struct iovec *iov, int niov, uint64_t off, struct op *op)
{
	start(w, fd, iov, niov, off);
	w->step.resume = written;
	w->wait = op;
	return go_on(w);
}

int
disk_write_all_now(int fd, struct iovec *iov, int niov, uint64_t off)
{
	struct disk_write w;
	int res;

	start(&w, fd, iov, niov, off);
	do {
		ssize_t n = pwritev2(fd, w.iov, w.niov, (off_t)w.off, RWF_DSYNC);

		res = n < 0 ? -errno : (int)n;
	} while (took(&w, &res));
	return res;
}
