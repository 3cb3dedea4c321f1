/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/backup_upload.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "reactor/reactor.h"

#define NAP_NS 50000000u

/* So much was read or sent: waits until that was no faster than it may. */
static int
pace(struct backup_upload *u, uint64_t bytes)
{
	const struct timespec nap = { .tv_nsec = NAP_NS };

	u->moved_bytes += bytes;
	while (!atomic_load(&u->stop)) {
		double may = (double)u->rate * (double)(reactor_clock_ns() - u->begun_ns) / 1e9;

		if ((double)u->moved_bytes <= may + (double)BACKUP_PIECE)
			return 0;
		nanosleep(&nap, NULL);
	}
	return -ECANCELED;
}

static int
send_piece(struct backup_upload *u, struct backup_piece *p, char why[256])
{
	char name[OBJ_NAME];
	int err;

	p->id = u->next;
	u->next.number++;
	piece_name(name, u->place->prefix, &p->id);
	err = backup_put(u->place, name, u->buf, p->bytes);
	if (err < 0) {
		snprintf(why, 256, "cannot write %.100s to %.80s: %s", name, u->place->store->url, backup_error(err));
		return err;
	}
	crash_point("backup.piece_made");
	atomic_fetch_add(&u->sent_bytes, p->bytes);
	atomic_fetch_add(&u->sent_objects, 1);
	return backup_known_add(&u->known, p);
}

static int
read_all(int fd, uint8_t *to, size_t bytes, uint64_t at)
{
	while (bytes > 0) {
		ssize_t n = pread(fd, to, bytes, (off_t)at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO; /* files of a snapshot do not get shorter */
		to += n, bytes -= (size_t)n, at += (uint64_t)n;
	}
	return 0;
}

/* Reads it and uploads what is not there. */
static int
take_pieces(struct backup_upload *u, int fd, const struct stat *st, const char *name, char why[256])
{
	int err = 0;

	for (uint64_t at = 0; at < (uint64_t)st->st_size && err == 0;) {
		struct backup_piece p = { .bytes = (uint32_t)MIN((uint64_t)st->st_size - at, BACKUP_PIECE) };
		const struct backup_piece *have;

		if ((err = read_all(fd, u->buf + BACKUP_HEAD, p.bytes, at)) < 0) {
			snprintf(why, 256, "cannot read %s of the snapshot: %s", name, strerror(-err));
			break;
		}
		digest_sha256(&(struct iovec){ u->buf + BACKUP_HEAD, p.bytes }, 1, p.digest);
		at += p.bytes;
		if ((have = backup_known_find(&u->known, p.digest)) != NULL)
			p = *have;
		else
			err = send_piece(u, &p, why);
		if (err == 0)
			err = backup_manifest_piece(u->made, &p);
		atomic_fetch_add(&u->done_bytes, p.bytes);
		if (err == 0)
			err = pace(u, p.bytes);
	}
	return err;
}

/* The pieces that the backup before had of it: 1.  0: it is another file, or some are not there any more. */
static int
take_over(struct backup_upload *u, const struct stat *st, const struct backup_file *f)
{
	const struct backup_file *b = backup_manifest_find(u->before, f->name);

	if (!b || b->ino != f->ino || b->mtime_ns != f->mtime_ns || b->bytes != (uint64_t)st->st_size)
		return 0;
	for (uint32_t i = b->first; i < b->first + b->npieces; i++)
		if (!backup_known_find(&u->known, u->before->piece[i].digest))
			return 0;
	for (uint32_t i = b->first; i < b->first + b->npieces; i++)
		if (backup_manifest_piece(u->made, backup_known_find(&u->known, u->before->piece[i].digest)) < 0)
			return -ENOMEM;
	atomic_fetch_add(&u->done_bytes, b->bytes);
	return 1;
}

static int
take_file(struct backup_upload *u, int dir, const char *name, char why[256])
{
	int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW), err = 0;
	struct backup_file *f;
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0) {
		err = -errno;
		snprintf(why, 256, "cannot open %s of the snapshot: %s", name, strerror(errno));
	} else if (!(f = backup_manifest_file(u->made, name))) {
		err = -ENOMEM;
	} else {
		f->ino = st.st_ino;
		f->mtime_ns = (uint64_t)st.st_mtim.tv_sec * 1000000000 + (uint64_t)st.st_mtim.tv_nsec;
		err = take_over(u, &st, f);
		if (err == 0)
			err = take_pieces(u, fd, &st, name, why);
		err = MIN(err, 0);
	}
	if (fd >= 0)
		close(fd);
	return err;
}

/* Its plain files; the log beside them is empty in a snapshot, and made anew. */
static int
is_file(const struct dirent *e)
{
	return e->d_type == DT_REG || e->d_type == DT_UNKNOWN ? backup_file_name_ok(e->d_name) : 0;
}

static uint64_t
sum_of(int dir, struct dirent *const *e, int n)
{
	uint64_t sum = 0;
	struct stat st;

	for (int i = 0; i < n; i++)
		if (fstatat(dir, e[i]->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode))
			sum += (uint64_t)st.st_size;
	return sum;
}

static int
take_all(struct backup_upload *u, char why[256])
{
	int dir = open(u->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), n, err = 0;
	struct dirent **e;
	struct stat st;

	n = dir < 0 ? -1 : scandir(u->dir, &e, is_file, alphasort);
	if (n < 0) {
		err = -errno;
		snprintf(why, 256, "cannot read %.180s: %s", u->dir, strerror(errno));
		if (dir >= 0)
			close(dir);
		return err;
	}
	u->total_bytes = sum_of(dir, e, n);
	for (int i = 0; i < n; i++) {
		if (err == 0 && fstatat(dir, e[i]->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode))
			err = take_file(u, dir, e[i]->d_name, why);
		free(e[i]);
	}
	free(e);
	close(dir);
	return err;
}

/* What is known and still in the object store. */
static int
look_what_is_there(struct backup_upload *u, char why[256])
{
	struct piece_id *id;
	size_t n;
	int err = backup_list_pieces(u->place, &id, &n);

	if (err < 0)
		snprintf(why, 256, "cannot list the backups in %.100s: %s", u->place->store->url, backup_error(err));
	for (uint32_t i = 0; i < u->before->npieces && err == 0; i++)
		err = backup_known_add(&u->known, &u->before->piece[i]);
	if (err == 0)
		err = backup_known_keep(&u->known, id, n);
	free(id);
	return err;
}

int
backup_upload(struct backup_upload *u, char why[256])
{
	int err;

	u->total_bytes = u->done_bytes = u->sent_bytes = u->sent_objects = 0;
	u->begun_ns = reactor_clock_ns();
	u->moved_bytes = 0;
	snprintf(why, 256, "%s", backup_error(-ENOMEM));
	u->buf = malloc(BACKUP_ROOM(BACKUP_PIECE));
	err = u->buf ? look_what_is_there(u, why) : -ENOMEM;
	if (err == 0)
		err = take_all(u, why);
	crash_point("backup.pieces_made");
	if (err == 0 && (err = backup_write(u->place, u->made)) < 0)
		snprintf(why, 256, "cannot write the manifest to %.100s: %s", u->place->store->url, backup_error(err));
	crash_point("backup.made");
	if (err == -ECANCELED)
		snprintf(why, 256, "%s", backup_error(err));
	free(u->buf);
	u->buf = NULL;
	return err;
}
