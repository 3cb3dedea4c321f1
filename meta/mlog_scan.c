/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the last run left.  Every page of every segment is looked at: a group may
 * begin at any, and its place says nothing, its number all.  The groups from the greatest
 * tail on must be there without a hole; behind the first hole nothing counts, as
 * groups are acknowledged in order.  The hole is damage, not a torn tail, where a group behind
 * it says that what is missing was durable.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "meta/mlog_format.h"
#include "reactor/log.h"

struct found {
	struct mlog_group g;
	const uint8_t *p;
};

struct scan {
	const char *dir;
	char *why;
	struct mlog_head head;
	uint8_t **seg;
	struct found *found;
	size_t n, cap;
};

static int
seg_read(struct scan *s, uint32_t i)
{
	char path[600];
	int fd, err = 0;
	uint32_t at = 0;

	mlog_seg_path(path, s->dir, i);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		err = errno == ENOENT ? -E_DAMAGED : -errno;
		snprintf(s->why, 256, "the metadata log: %.160s: %s", path, strerror(errno));
		return err;
	}
	s->seg[i] = malloc(s->head.segment_bytes);
	if (!s->seg[i])
		err = -ENOMEM;
	while (!err && at < s->head.segment_bytes) {
		ssize_t n = pread(fd, s->seg[i] + at, s->head.segment_bytes - at, at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			err = n < 0 ? -errno : -E_DAMAGED;
			snprintf(s->why, 256, "the metadata log: %.160s at %u: %s", path, at,
			         n < 0 ? strerror(errno) : "the file is too short");
			break;
		}
		at += (uint32_t)n;
	}
	close(fd);
	return err;
}

static int
found_add(struct scan *s, const struct mlog_group *g, const uint8_t *p)
{
	if (s->n == s->cap) {
		size_t cap = MAX(2 * s->cap, (size_t)256);
		struct found *f = realloc(s->found, cap * sizeof(*f));

		if (!f)
			return -ENOMEM;
		s->found = f;
		s->cap = cap;
	}
	s->found[s->n++] = (struct found){ *g, p };
	return 0;
}

static int
seg_search(struct scan *s, const uint8_t *p)
{
	uint32_t at = 0;

	while (at < s->head.segment_bytes) {
		struct mlog_group g;
		int err;

		if (!mlog_group_open(&g, p + at, s->head.segment_bytes - at, s->head.run)) {
			at += PAGE;
			continue;
		}
		err = found_add(s, &g, p + at);
		if (err)
			return err;
		at += ROUND_UP(g.bytes, PAGE);
	}
	return 0;
}

static int
by_number(const void *a, const void *b)
{
	const struct found *x = a, *y = b;

	return x->g.number < y->g.number ? -1 : x->g.number > y->g.number;
}

/* The groups that count are [*from, *to). */
static int
choose(struct scan *s, size_t *from, size_t *to)
{
	uint64_t tail = 1, next, durable = 0;
	size_t i;

	if (s->n > 0)
		qsort(s->found, s->n, sizeof(*s->found), by_number);
	for (i = 0; i < s->n; i++) {
		tail = MAX(tail, s->found[i].g.tail);
		durable = MAX(durable, s->found[i].g.durable);
	}
	for (i = 0; i < s->n && s->found[i].g.number < tail; i++)
		;
	*from = i;
	for (next = tail; i < s->n && s->found[i].g.number == next; i++)
		next++;
	*to = i;
	if (durable >= next) {
		snprintf(s->why, 256, "the metadata log in %.120s is damaged: group %llu is missing, acknowledged changes would be lost",
		         s->dir, (unsigned long long)next);
		return -E_DAMAGED;
	}
	if (i < s->n)
		log_warn("metadata: the log's tail was torn, cut before group %llu", (unsigned long long)next);
	return 0;
}

static int
replay(struct scan *s, size_t from, size_t to, int (*fn)(void *arg, const struct mlog_rec *rec), void *arg)
{
	for (size_t i = from; i < to; i++) {
		const struct found *f = &s->found[i];
		size_t at = MLOG_GROUP_BYTES;

		for (uint32_t n = 0; n < f->g.nrec; n++) {
			struct mlog_rec r;
			size_t len = mlog_rec_decode(&r, f->p + at, f->g.bytes - at);
			int err = len == 0 ? -E_DAMAGED : fn(arg, &r);

			if (err) {
				snprintf(s->why, 256, "the metadata log in %.120s: group %llu cannot be replayed: %s", s->dir,
				         (unsigned long long)f->g.number, err > -1000 ? strerror(-err) : "it is damaged");
				return err;
			}
			at += len;
		}
	}
	return 0;
}

int
mlog_scan(const char *dir, int (*fn)(void *arg, const struct mlog_rec *rec), void *arg, char why[256])
{
	struct scan s = { .dir = dir, .why = why };
	size_t from, to;
	int err = mlog_head_read(dir, &s.head);

	if (err == -ENOENT || (err == 0 && s.head.clean))
		return err;
	if (err) {
		snprintf(why, 256, "the head of the metadata log in %.120s: %s", dir,
		         err == -E_FORMAT ? "a newer program made it" : err == -E_DAMAGED ? "it is damaged" : strerror(-err));
		return err;
	}
	s.seg = calloc(s.head.segments, sizeof(*s.seg));
	if (!s.seg)
		return -ENOMEM;
	snprintf(why, 256, "no memory to read the metadata log");
	for (uint32_t i = 0; i < s.head.segments && !err; i++) {
		err = seg_read(&s, i);
		if (!err)
			err = seg_search(&s, s.seg[i]);
	}
	if (!err)
		err = choose(&s, &from, &to);
	if (!err)
		err = replay(&s, from, to, fn, arg);
	for (uint32_t i = 0; i < s.head.segments; i++)
		free(s.seg[i]);
	free(s.seg);
	free(s.found);
	return err;
}
