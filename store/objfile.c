/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PUT: a file in .tmp/, written and synced, moved into place, the directory
 * synced; all on one worker.  Large objects go past the page cache: copying them took the
 * CPU from those who serve clients (0.4 to 2.2 ms a MiB instead of 0.1), and what is read
 * soon is in the cache of frames.  Directory syncs are not gathered: blocks are
 * spread over 256 directories, so one syncer was slower than many (bench/objfile.c),
 * and a journaling file system gathers them itself.
 *
 * GET: the file is opened and its cached pages are copied on the spot, where that
 * needs no disk (openat2 with RESOLVE_CACHED, RWF_NOWAIT); what is missing comes
 * through the ring.  A worker opens what the kernel has not looked up yet.
 */
#include "store/objfile.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "reactor/disk.h"
#include "reactor/log.h"
#include "store/objcount.h"
#include "store/objdir.h"
#include "store/objdir_list.h"

/* Of the temporary files: creating in one directory is serial, and fdatasync of a new file may sync it too. */
#define TMP_DIRS 16
/* Objects from here on are written past the page cache. */
#define DIRECT_BYTES (256 * KIB)

struct objfile {
	struct objstore base;
	int root;
	int tmp; /* .tmp, locked */
	_Atomic uint64_t serial;
	struct objdirs dirs;
};

static_assert(sizeof(((struct obj_req *)NULL)->name) == OBJDIR_NAME, "object names");
static_assert(DEL_MAX == OBJDIR_SYNC_MAX, "names of a delete");

static struct objfile *
store_of(struct obj_req *r)
{
	return container_of(r->store, struct objfile, base);
}

/* The classes of objstore.h; what falls into -EIO is logged, since the cause ends here. */
static int
classify(const char *what, const char *name, int err)
{
	switch (-err) {
	case 0:
	case EEXIST:
	case ENOENT:
	case ENOSPC:
	case EACCES:
	case EINVAL:
	case E_DAMAGED:
		return err;
	case EDQUOT:
		return -ENOSPC;
	case EPERM:
	case EROFS:
		return -EACCES;
	case ENOTDIR:
		return -ENOENT;
	case EMFILE:
	case ENFILE:
	case ENOMEM:
		return -E_JUKEBOX;
	default:
		log_error("object %s: %s: %s", name, what, strerror(-err));
		return -EIO;
	}
}

static uint64_t
iov_bytes(const struct iovec *iov, int n)
{
	uint64_t bytes = 0;

	for (int i = 0; i < n; i++)
		bytes += iov[i].iov_len;
	return bytes;
}

/* `n` more bytes are done. */
static void
advance(struct obj_req *r, size_t n)
{
	r->done += n;
	while (r->niov > 0 && n >= r->iov->iov_len) {
		n -= r->iov->iov_len;
		r->iov++;
		r->niov--;
	}
	if (n > 0) {
		assert(r->niov > 0);
		r->iov->iov_base = (char *)r->iov->iov_base + n;
		r->iov->iov_len -= n;
	}
}

/* ---- put, on a worker */

struct tmp {
	char name[64]; /* below .tmp */
	int fd;
};

static int
tmp_open(struct objfile *s, struct tmp *t)
{
	for (int try = 0;; try++) {
		uint64_t serial = atomic_fetch_add_explicit(&s->serial, 1, memory_order_relaxed);
		char dir[8];

		snprintf(dir, sizeof(dir), "%x", (unsigned)(serial % TMP_DIRS));
		snprintf(t->name, sizeof(t->name), "%s/%d-%" PRIu64, dir, (int)getpid(), serial);
		t->fd = openat(s->tmp, t->name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		if (t->fd >= 0)
			return 0;
		/* Somebody tidied up, or another namespace has our pid: neither is worth an error. */
		if (try == TMP_DIRS || (errno != EEXIST && errno != ENOENT))
			return -errno;
		if (errno == ENOENT && mkdirat(s->tmp, dir, 0700) < 0 && errno != EEXIST)
			return errno == ENOENT ? -EIO : -errno;
	}
}

/* How many pieces O_DIRECT can take: those before the first that is no whole pages, in memory or in the file. */
static int
direct_pieces(const struct obj_req *r)
{
	int n = 0;

	while (n < MIN(r->niov, IOV_MAX) && (uintptr_t)r->iov[n].iov_base % PAGE == 0 && r->iov[n].iov_len % PAGE == 0)
		n++;
	return n;
}

/* As much of a large object as can go without the page cache; where that is refused, nothing. */
static void
write_direct(struct tmp *t, struct obj_req *r)
{
	int flags = fcntl(t->fd, F_GETFL), pieces;

	if (r->len < DIRECT_BYTES || flags < 0 || fcntl(t->fd, F_SETFL, flags | O_DIRECT) < 0)
		return;
	while (r->done % PAGE == 0 && (pieces = direct_pieces(r)) > 0) {
		ssize_t n = pwritev(t->fd, r->iov, pieces, (off_t)r->done);

		if (n <= 0)
			break; /* the page cache takes it, or says why not */
		advance(r, (size_t)n);
	}
	(void)fcntl(t->fd, F_SETFL, flags);
}

static int
write_all(struct tmp *t, struct obj_req *r)
{
	write_direct(t, r);
	while (r->done < r->len) {
		ssize_t n = pwritev(t->fd, r->iov, MIN(r->niov, IOV_MAX), (off_t)r->done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		advance(r, (size_t)n);
	}
	return fdatasync(t->fd) < 0 ? -errno : 0;
}

static int
move_into_place(struct objfile *s, struct tmp *t, struct obj_req *r)
{
	for (int try = 0;; try++) {
		int err = objdir_make(&s->dirs, r->name);

		if (err == 0) {
			crash_point("objfile.before_rename");
			if (r->exclusive)
				err = linkat(s->tmp, t->name, s->root, r->name, 0);
			else
				err = renameat(s->tmp, t->name, s->root, r->name);
			if (err == 0)
				break;
			err = -errno;
		}
		/* Once more from the top: a directory that we knew is gone, or was none. */
		if ((err != -ENOENT && err != -ENOTDIR) || try > 0)
			return err == -ENOENT ? -EIO : err;
		objdir_forget(&s->dirs, r->name);
	}
	if (r->exclusive)
		unlinkat(s->tmp, t->name, 0);
	crash_point("objfile.after_rename");
	return objdir_sync(&s->dirs, (const char(*)[OBJDIR_NAME])&r->name, 1);
}

static int
put_run(struct work *w)
{
	struct obj_req *r = container_of(w, struct obj_req, work);
	struct objfile *s = store_of(r);
	struct tmp t;
	const char *what = "create";
	int err = tmp_open(s, &t);

	if (err < 0)
		goto out;
	what = "write";
	err = write_all(&t, r);
	close(t.fd);
	if (err == 0) {
		what = "move into place";
		err = move_into_place(s, &t, r);
	}
	if (err < 0) {
		unlinkat(s->tmp, t.name, 0); /* gone already where only the last sync failed */
		goto out;
	}
	crash_point("objfile.after_dirsync");
out:
	/* Missing is no answer to a PUT: it means that the whole store is. */
	err = classify(what, r->name, err == -ENOENT ? -EIO : err);
	objcount_add(OBJ_PUT, err < 0 ? 0 : r->len, err, r->begun_ns);
	return err;
}

static enum op_state
file_put(struct obj_req *r, struct op *op)
{
	if (!objstore_name_ok(r->name))
		return op_done(op, -EINVAL);
	assert(iov_bytes(r->iov, r->niov) == r->len);
	r->done = 0;
	r->begun_ns = reactor_clock_ns();
	return worker_run(&r->work, put_run, op);
}

/* ---- get */

enum { GET_START, GET_OPEN, GET_READ };

/* The descriptor, or -errno; with RESOLVE_CACHED -EAGAIN where it would have to wait. */
static int
open_object(struct objfile *s, const char *name, uint64_t resolve)
{
	struct open_how how = { .flags = O_RDONLY | O_CLOEXEC | O_NOATIME, .resolve = resolve };
	long fd = syscall(SYS_openat2, s->root, name, &how, sizeof(how));

	if (fd < 0 && errno == EPERM) { /* O_NOATIME is the owner's */
		how.flags &= ~(uint64_t)O_NOATIME;
		fd = syscall(SYS_openat2, s->root, name, &how, sizeof(how));
	}
	return fd < 0 ? -errno : (int)fd;
}

static int
get_open_run(struct work *w)
{
	struct obj_req *r = container_of(w, struct obj_req, work);

	return open_object(store_of(r), r->name, 0);
}

/* What the page cache has of it: bytes, or -EAGAIN. */
static int
read_cached(struct obj_req *r)
{
	ssize_t n = preadv2(r->fd, r->iov, MIN(r->niov, IOV_MAX), (off_t)r->off, RWF_NOWAIT);

	if (n >= 0)
		return (int)n;
	return errno == EOPNOTSUPP ? -EAGAIN : -errno;
}

static enum op_state
get_finish(struct obj_req *r, const char *what, int err)
{
	if (r->fd >= 0)
		close(r->fd);
	err = classify(what, r->name, err);
	objcount_add(OBJ_GET, r->done, err, r->begun_ns);
	return op_done(r->wait, err);
}

static enum op_state
get_run(struct obj_req *r)
{
	struct op *step = &r->step;

	for (;;) {
		switch (r->stage) {
		case GET_START:
			r->stage = GET_OPEN;
			op_done(step, open_object(store_of(r), r->name, RESOLVE_CACHED));
			if (step->res == -EAGAIN)
				return worker_run(&r->work, get_open_run, step);
			continue;
		case GET_OPEN:
			if (step->res < 0)
				return get_finish(r, "open", step->res);
			r->fd = step->res;
			r->stage = GET_READ;
			op_done(step, read_cached(r));
			if (step->res == -EAGAIN)
				break;
			continue;
		case GET_READ:
			if (step->res < 0)
				return get_finish(r, "read", step->res);
			advance(r, (size_t)step->res);
			if (r->done == r->len)
				return get_finish(r, "read", 0);
			if (step->res == 0) /* it ends here */
				return get_finish(r, "read", -E_DAMAGED);
			break;
		}
		if (disk_readv(r->fd, r->iov, MIN(r->niov, IOV_MAX), r->off + r->done, step) == OP_PENDING)
			return OP_PENDING;
	}
}

static void
get_step(struct op *op)
{
	struct obj_req *r = container_of(op, struct obj_req, step);
	struct op *wait = r->wait;

	if (get_run(r) == OP_DONE)
		wait->resume(wait);
}

static enum op_state
file_get(struct obj_req *r, struct op *op)
{
	if (!objstore_name_ok(r->name))
		return op_done(op, -EINVAL);
	assert(iov_bytes(r->iov, r->niov) == r->len);
	r->step.resume = get_step;
	r->wait = op;
	r->done = 0;
	r->begun_ns = reactor_clock_ns();
	r->fd = -1;
	r->stage = GET_START;
	return get_run(r);
}

/* ---- head and delete, on a worker */

static int
head_run(struct work *w)
{
	struct obj_req *r = container_of(w, struct obj_req, work);
	struct stat st;
	int err = 0;

	if (fstatat(store_of(r)->root, r->name, &st, 0) < 0)
		err = classify("stat", r->name, -errno);
	else if (!S_ISREG(st.st_mode))
		err = -ENOENT;
	else
		r->size = (uint64_t)st.st_size;
	objcount_add(OBJ_HEAD, 0, err, r->begun_ns);
	return err;
}

static enum op_state
file_head(struct obj_req *r, struct op *op)
{
	if (!objstore_name_ok(r->name))
		return op_done(op, -EINVAL);
	r->begun_ns = reactor_clock_ns();
	return worker_run(&r->work, head_run, op);
}

static int
del_run(struct work *w)
{
	struct obj_req *r = container_of(w, struct obj_req, work);
	struct objfile *s = store_of(r);
	int err = 0;

	for (int i = 0; i < r->nnames; i++) {
		if (unlinkat(s->root, r->names[i], 0) == 0 || errno == ENOENT || errno == ENOTDIR)
			continue;
		/* The others go all the same: whoever asked asks again for all of them. */
		if (err == 0)
			err = classify("delete", r->names[i], -errno);
	}
	if (err == 0) {
		err = objdir_sync(&s->dirs, (const char(*)[OBJDIR_NAME])r->names, r->nnames);
		err = classify("sync after delete", r->names[0], err);
	}
	objcount_add(OBJ_DELETE, 0, err, r->begun_ns);
	return err;
}

static enum op_state
file_del(struct obj_req *r, struct op *op)
{
	assert(r->nnames > 0 && r->nnames <= DEL_MAX);
	for (int i = 0; i < r->nnames; i++)
		if (!objstore_name_ok(r->names[i]))
			return op_done(op, -EINVAL);
	r->begun_ns = reactor_clock_ns();
	return worker_run(&r->work, del_run, op);
}

/* ---- list, on a worker */

static int
list_run(struct work *w)
{
	struct obj_req *r = container_of(w, struct obj_req, work);
	int err = classify("list", r->name, objdir_list(store_of(r)->root, r));

	objcount_add(OBJ_LIST, 0, err, r->begun_ns);
	return err;
}

static enum op_state
file_list(struct obj_req *r, struct op *op)
{
	assert(r->nentries > 0);
	r->begun_ns = reactor_clock_ns();
	return worker_run(&r->work, list_run, op);
}

/* ---- open and close */

static int
file_space(struct objstore *base, uint64_t *total, uint64_t *free_bytes)
{
	struct objfile *s = container_of(base, struct objfile, base);
	struct statvfs v;

	if (fstatvfs(s->root, &v) < 0)
		return -errno;
	*total = v.f_blocks * v.f_frsize;
	*free_bytes = v.f_bavail * v.f_frsize;
	return 0;
}

static void
file_close(struct objstore *base)
{
	struct objfile *s = container_of(base, struct objfile, base);

	close(s->tmp);
	close(s->root);
	free(s);
}

static const struct objstore_ops file_ops = {
	.put = file_put,
	.get = file_get,
	.head = file_head,
	.del = file_del,
	.list = file_list,
	.space = file_space,
	.close = file_close,
};

/* What a PUT had written when the process was killed. */
static unsigned
remove_leftovers(int tmp)
{
	unsigned n = 0;

	for (unsigned i = 0; i < TMP_DIRS; i++) {
		char name[8];
		struct dirent *e;
		DIR *dir;
		int fd;

		snprintf(name, sizeof(name), "%x", i);
		fd = openat(tmp, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (fd < 0)
			continue;
		dir = fdopendir(fd);
		if (!dir) {
			close(fd);
			continue;
		}
		while ((e = readdir(dir)) != NULL)
			if (e->d_name[0] != '.' && unlinkat(fd, e->d_name, 0) == 0)
				n++;
		closedir(dir);
	}
	return n;
}

static int
open_tmp(struct objfile *s)
{
	if (mkdirat(s->root, ".tmp", 0700) < 0 && errno != EEXIST)
		return -errno;
	s->tmp = openat(s->root, ".tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (s->tmp < 0)
		return -errno;
	/* Whoever has the store open shares the lock: only the first may tidy up, the others' files are in use. */
	if (flock(s->tmp, LOCK_EX | LOCK_NB) == 0) {
		unsigned n = remove_leftovers(s->tmp);

		if (n > 0)
			log_info("%s: removed %u unfinished objects", s->base.url, n);
	}
	flock(s->tmp, LOCK_SH);
	for (unsigned i = 0; i < TMP_DIRS; i++) {
		char name[8];

		snprintf(name, sizeof(name), "%x", i);
		if (mkdirat(s->tmp, name, 0700) < 0 && errno != EEXIST)
			return -errno;
	}
	return faccessat(s->tmp, ".", R_OK | W_OK | X_OK, 0) < 0 ? -errno : 0;
}

static int
make_root(const char *dir)
{
	char parent[PATH_MAX];
	const char *slash = strrchr(dir, '/');
	int fd, err = 0;

	if (mkdir(dir, 0700) < 0)
		return errno == EEXIST ? 0 : -errno;
	snprintf(parent, sizeof(parent), "%.*s", slash == dir ? 1 : (int)(slash - dir), dir);
	fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (fsync(fd) < 0)
		err = -errno;
	close(fd);
	return err;
}

int
objfile_open(struct objstore **out, const char *dir, bool create, char why[256])
{
	struct objfile *s = calloc(1, sizeof(*s));
	int err;

	if (!s)
		return -ENOMEM;
	s->base.ops = &file_ops;
	snprintf(s->base.url, sizeof(s->base.url), "file://%s", dir);
	err = create ? make_root(dir) : 0;
	if (err < 0) {
		snprintf(why, 256, "cannot make the object directory %.140s: %s", dir, strerror(-err));
		goto free;
	}
	s->root = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (s->root < 0) {
		err = -errno;
		snprintf(why, 256, "cannot open the object directory %.140s: %s", dir, strerror(-err));
		goto free;
	}
	s->tmp = -1;
	err = open_tmp(s);
	if (err < 0) {
		snprintf(why, 256, "the object directory %.140s is not writable: %s", dir, strerror(-err));
		goto close;
	}
	objdir_init(&s->dirs, s->root);
	*out = &s->base;
	return 0;
close:
	if (s->tmp >= 0)
		close(s->tmp);
	close(s->root);
free:
	free(s);
	return err;
}
