/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/restore.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "meta/kv.h"

static bool
is_piece(const struct backup_piece *p, uint8_t *bytes)
{
	uint8_t digest[DIGEST_SHA256];

	digest_sha256(&(struct iovec){ bytes, p->bytes }, 1, digest);
	return !memcmp(digest, p->digest, sizeof(digest));
}

/* Of an attempt that was interrupted. */
static bool
is_there(struct restore *r, int fd, uint64_t at, const struct backup_piece *p)
{
	return pread(fd, r->buf, p->bytes, (off_t)at) == (ssize_t)p->bytes && is_piece(p, r->buf);
}

static int
fetch(struct restore *r, int fd, uint64_t at, const struct backup_piece *p, char why[256])
{
	char name[OBJ_NAME];
	ssize_t n;
	int err;

	piece_name(name, r->place->prefix, &p->id);
	err = backup_get(r->place, name, r->buf, p->bytes);
	if (err == 0 && !is_piece(p, r->buf + BACKUP_HEAD))
		err = -E_DAMAGED;
	if (err < 0) {
		snprintf(why, 256, "%.100s: %s", name, backup_error(err));
		return err;
	}
	r->fetched_bytes += p->bytes;
	n = pwrite(fd, r->buf + BACKUP_HEAD, p->bytes, (off_t)at);
	if (n != (ssize_t)p->bytes) {
		err = n < 0 ? -errno : -ENOSPC;
		snprintf(why, 256, "cannot write to %.180s: %s", r->dir, strerror(-err));
	}
	crash_point("restore.piece_there");
	return err;
}

static int
restore_file(struct restore *r, int dir, const struct backup_file *f, char why[256])
{
	int fd = openat(dir, f->name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600), err = 0;
	uint64_t at = 0;

	if (fd < 0) {
		snprintf(why, 256, "cannot make %.150s/%s: %s", r->dir, f->name, strerror(errno));
		return -errno;
	}
	for (uint32_t i = 0; i < f->npieces && err == 0; i++) {
		const struct backup_piece *p = &r->backup->piece[f->first + i];

		if (!is_there(r, fd, at, p))
			err = fetch(r, fd, at, p, why);
		at += p->bytes;
		r->done_bytes += p->bytes;
		if (r->progress)
			r->progress(r);
	}
	if (err == 0 && (ftruncate(fd, (off_t)f->bytes) < 0 || fsync(fd) < 0)) {
		err = -errno;
		snprintf(why, 256, "cannot write %.150s/%s: %s", r->dir, f->name, strerror(errno));
	}
	close(fd);
	return err;
}

/* What an attempt at another backup left. */
static void
remove_others(const struct restore *r, int dir)
{
	DIR *d = opendir(r->dir);
	struct dirent *e;

	while (d && (e = readdir(d)) != NULL)
		if (e->d_type != DT_DIR && !backup_manifest_find(r->backup, e->d_name))
			unlinkat(dir, e->d_name, 0);
	if (d)
		closedir(d);
}

static int
restore_all(struct restore *r, int dir, char why[256])
{
	char log[PATH_MAX];
	int err = 0;

	remove_others(r, dir);
	for (uint32_t i = 0; i < r->backup->nfiles && err == 0; i++)
		err = restore_file(r, dir, &r->backup->file[i], why);
	if (err < 0)
		return err;
	snprintf(log, sizeof(log), "%s/" KV_LOG_DIR, r->dir);
	err = mlog_make_empty(log);
	if (err == 0 && fsync(dir) < 0)
		err = -errno;
	if (err < 0)
		snprintf(why, 256, "cannot write to %.180s: %s", r->dir, strerror(-err));
	return err;
}

int
restore_run(struct restore *r, char why[256])
{
	int dir = open(r->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), err;

	r->total_bytes = backup_manifest_bytes(r->backup);
	r->done_bytes = r->fetched_bytes = 0;
	if (dir < 0) {
		snprintf(why, 256, "cannot open %.180s: %s", r->dir, strerror(errno));
		return -errno;
	}
	snprintf(why, 256, "no memory for a piece");
	r->buf = malloc(BACKUP_ROOM(BACKUP_PIECE));
	err = r->buf ? restore_all(r, dir, why) : -ENOMEM;
	free(r->buf);
	close(dir);
	return err;
}
