/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/mlog_format.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "store/block.h"

static const uint8_t head_magic[8] = { 'd', 'i', 't', 't', 'M', 'L', 'O', 'G' };
static const uint8_t group_magic[8] = { 'd', 'i', 't', 't', 'M', 'G', 'R', 'P' };

#define FLAG_CLEAN 1u

void
mlog_head_encode(uint8_t out[MLOG_HEAD_BYTES], const struct mlog_head *h)
{
	memset(out, 0, MLOG_HEAD_BYTES);
	memcpy(out, head_magic, 8);
	put_le32(out + 8, MLOG_VERSION);
	put_le32(out + 12, h->segments);
	put_le32(out + 16, h->segment_bytes);
	put_le32(out + 20, h->clean ? FLAG_CLEAN : 0);
	memcpy(out + 24, h->run, MLOG_RUN_BYTES);
	put_le32(out + MLOG_HEAD_BYTES - 4, crc32c(0, out, MLOG_HEAD_BYTES - 4));
}

int
mlog_head_decode(struct mlog_head *h, const uint8_t *p, size_t len)
{
	if (len != MLOG_HEAD_BYTES || memcmp(p, head_magic, 8) != 0 ||
	    get_le32(p + MLOG_HEAD_BYTES - 4) != crc32c(0, p, MLOG_HEAD_BYTES - 4))
		return -E_DAMAGED;
	if (get_le32(p + 8) != MLOG_VERSION)
		return -E_FORMAT;
	*h = (struct mlog_head){
		.segments = get_le32(p + 12),
		.segment_bytes = get_le32(p + 16),
		.clean = get_le32(p + 20) & FLAG_CLEAN,
	};
	memcpy(h->run, p + 24, MLOG_RUN_BYTES);
	if (h->segments == 0 || h->segments > 1024 || h->segment_bytes == 0 || h->segment_bytes % PAGE)
		return -E_DAMAGED;
	return 0;
}

/* The CRC stands last in the header and covers what is before it and all behind it. */
static uint32_t
group_crc(const uint8_t *p, uint32_t bytes)
{
	uint32_t crc = crc32c(0, p, MLOG_GROUP_BYTES - 4);

	return crc32c(crc, p + MLOG_GROUP_BYTES, bytes - MLOG_GROUP_BYTES);
}

void
mlog_group_seal(uint8_t *p, const struct mlog_group *g, const uint8_t run[MLOG_RUN_BYTES])
{
	memcpy(p, group_magic, 8);
	memcpy(p + 8, run, MLOG_RUN_BYTES);
	put_le64(p + 24, g->number);
	put_le64(p + 32, g->durable);
	put_le64(p + 40, g->tail);
	put_le32(p + 48, g->bytes);
	put_le32(p + 52, g->nrec);
	put_le32(p + 56, 0);
	put_le32(p + MLOG_GROUP_BYTES - 4, group_crc(p, g->bytes));
}

bool
mlog_group_open(struct mlog_group *g, const uint8_t *p, size_t len, const uint8_t run[MLOG_RUN_BYTES])
{
	if (len < MLOG_GROUP_BYTES || memcmp(p, group_magic, 8) != 0 || memcmp(p + 8, run, MLOG_RUN_BYTES) != 0)
		return false;
	*g = (struct mlog_group){
		.number = get_le64(p + 24),
		.durable = get_le64(p + 32),
		.tail = get_le64(p + 40),
		.bytes = get_le32(p + 48),
		.nrec = get_le32(p + 52),
	};
	return g->bytes >= MLOG_GROUP_BYTES && g->bytes <= len &&
	       get_le32(p + MLOG_GROUP_BYTES - 4) == group_crc(p, g->bytes);
}

size_t
mlog_rec_encode(uint8_t *p, const struct mlog_rec *r)
{
	put_le32(p, r->len);
	put_le32(p + 4, r->stream);
	put_le64(p + 8, r->seq);
	memcpy(p + MLOG_REC_BYTES, r->data, r->len);
	return MLOG_REC_BYTES + r->len;
}

size_t
mlog_rec_decode(struct mlog_rec *r, const uint8_t *p, size_t len)
{
	if (len < MLOG_REC_BYTES || get_le32(p) > len - MLOG_REC_BYTES || get_le32(p + 4) >= MLOG_STREAMS)
		return 0;
	*r = (struct mlog_rec){
		.len = get_le32(p), .stream = get_le32(p + 4), .seq = get_le64(p + 8), .data = p + MLOG_REC_BYTES,
	};
	return MLOG_REC_BYTES + r->len;
}

/* ---- the head's file ---- */

void
mlog_seg_path(char out[600], const char *dir, uint32_t n)
{
	snprintf(out, 600, "%.500s/%u.mlog", dir, n);
}

int
mlog_head_read(const char *dir, struct mlog_head *h)
{
	uint8_t p[MLOG_HEAD_BYTES + 1];
	char path[600];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "%.500s/head", dir);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	n = read(fd, p, sizeof(p));
	if (n < 0)
		n = -errno;
	close(fd);
	return n < 0 ? (int)n : mlog_head_decode(h, p, (size_t)n);
}

int
mlog_head_write(const char *dir, const struct mlog_head *h)
{
	uint8_t p[MLOG_HEAD_BYTES];
	char path[600], tmp[600];
	int fd, dirfd, err = 0;

	mlog_head_encode(p, h);
	snprintf(path, sizeof(path), "%.500s/head", dir);
	snprintf(tmp, sizeof(tmp), "%.500s/head.new", dir);
	dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dirfd < 0)
		return -errno;
	fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0) {
		err = -errno;
		goto out;
	}
	errno = ENOSPC; /* of a short write */
	if (write(fd, p, sizeof(p)) != (ssize_t)sizeof(p) || fsync(fd) < 0)
		err = -errno;
	close(fd);
	if (!err && (rename(tmp, path) < 0 || fsync(dirfd) < 0))
		err = -errno;
out:
	close(dirfd);
	return err;
}
