/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "reactor/log.h"
#include "store/objcount.h"
#include "store/objstore.h"
#include "tests/fake/rig.h"

#define NAME "export/chunks/0A/0/10_0_65536"

static struct objstore *store;
static char dir[128];

static void
open_store(void)
{
	char url[160], why[256] = "";
	int err;

	snprintf(url, sizeof(url), "file://%s", dir);
	err = objstore_open(&store, url, true, why);
	cr_assert(err == 0, "%d %s", err, why);
}

static void
setup(void)
{
	log_set_level(LOG_ERROR);
	snprintf(dir, sizeof(dir), "%s/objects", rig_dir());
	open_store();
	rig_start(1, NULL, NULL);
}

static void
teardown(void)
{
	rig_stop();
	objstore_close(store);
	rig_dir_remove();
}

TestSuite(objfile, .init = setup, .fini = teardown);

/* The kernel's cache of names cannot be emptied for one test: this stands before libc's. */
static bool lookups_cached = true;

long
syscall(long n, ...)
{
	static long (*real)(long n, ...);
	long a[6];
	va_list ap;

	va_start(ap, n);
	for (size_t i = 0; i < ARRAY_LEN(a); i++)
		a[i] = va_arg(ap, long);
	va_end(ap);
	if (n == SYS_openat2 && !lookups_cached &&
	    ((struct open_how *)a[2])->resolve & RESOLVE_CACHED) {
		errno = EAGAIN;
		return -1;
	}
	if (!real)
		real = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
	return real(n, a[0], a[1], a[2], a[3], a[4], a[5]);
}

/* ---- one call from the test's thread */

static bool answered_now;

static enum op_state
start_put(void *arg, struct op *op)
{
	struct obj_req *r = arg;

	return r->store->ops->put(r, op);
}

static enum op_state
start_get(void *arg, struct op *op)
{
	struct obj_req *r = arg;
	enum op_state s = r->store->ops->get(r, op);

	answered_now = s == OP_DONE;
	return s;
}

static enum op_state
start_head(void *arg, struct op *op)
{
	struct obj_req *r = arg;

	return r->store->ops->head(r, op);
}

static enum op_state
start_del(void *arg, struct op *op)
{
	struct obj_req *r = arg;

	return r->store->ops->del(r, op);
}

static void
request(struct obj_req *r, const char *name)
{
	memset(r, 0, sizeof(*r));
	r->store = store;
	snprintf(r->name, sizeof(r->name), "%s", name);
}

/* Pieces of `step` bytes each, the last with what is left. */
static int
pieces(struct iovec *iov, void *p, size_t len, size_t step)
{
	int n = 0;

	for (size_t at = 0; at < len; at += step)
		iov[n++] = (struct iovec){ (char *)p + at, MIN(step, len - at) };
	return n;
}

static struct iovec iov[5000];

static int
put_opt(const char *name, const void *p, size_t len, size_t step, bool exclusive)
{
	struct obj_req r;

	request(&r, name);
	r.iov = iov;
	r.niov = pieces(iov, (void *)(uintptr_t)p, len, step);
	r.len = len;
	r.exclusive = exclusive;
	return rig_call(0, start_put, &r);
}

static int
put(const char *name, const void *p, size_t len)
{
	return put_opt(name, p, len, 65536, false);
}

static int
get_opt(const char *name, void *p, size_t len, size_t step, uint64_t off)
{
	struct obj_req r;

	request(&r, name);
	r.iov = iov;
	r.niov = pieces(iov, p, len, step);
	r.len = len;
	r.off = off;
	return rig_call(0, start_get, &r);
}

static int
get(const char *name, void *p, size_t len, uint64_t off)
{
	return get_opt(name, p, len, 65536, off);
}

static int
head(const char *name, uint64_t *size)
{
	struct obj_req r;
	int err;

	request(&r, name);
	err = rig_call(0, start_head, &r);
	*size = r.size;
	return err;
}

static uint8_t *
pattern(size_t len, uint32_t seed)
{
	uint8_t *p = malloc(MAX(len, 1));

	for (size_t i = 0; i < len; i++)
		p[i] = (uint8_t)((seed = seed * 1664525 + 1013904223) >> 24);
	return p;
}

static char *
path_of(const char *name)
{
	static char path[400];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

/* Its pages leave the page cache: the next GET must wait for the disk. */
static void
make_cold(const char *name)
{
	int fd = open(path_of(name), O_RDONLY);

	cr_assert(ge(int, fd, 0));
	cr_assert(eq(int, posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0));
	close(fd);
}

static void
remove_tree(const char *name)
{
	char cmd[600];

	snprintf(cmd, sizeof(cmd), "rm -r '%s'", path_of(name));
	cr_assert(eq(int, system(cmd), 0), "%s", cmd);
}

static int
count_tmp(void)
{
	char cmd[300];
	FILE *f;
	int n = -1;

	snprintf(cmd, sizeof(cmd), "find '%s/.tmp' -type f | wc -l", dir);
	f = popen(cmd, "r");
	cr_assert(f && fscanf(f, "%d", &n) == 1);
	pclose(f);
	return n;
}

/* ---- what it promises */

/* Any length, in any pieces (more than one writev takes, too), warm and cold. */
Test(objfile, round_trip)
{
	static const struct { size_t len, step; } of[] = {
		{ 0, 1 }, { 1, 1 }, { 4096, 4096 }, { 4999, 1 }, { 65536, 65536 }, { 70000, 33 },
		{ 4 * MIB + 700, 65536 }, { 4 * MIB, 1001 },
	};

	for (size_t i = 0; i < ARRAY_LEN(of); i++) {
		uint8_t *p = pattern(of[i].len, (uint32_t)i), *q = pattern(of[i].len, 99);
		uint64_t size;

		cr_assert(eq(int, put_opt(NAME, p, of[i].len, of[i].step, false), 0));
		cr_assert(eq(int, head(NAME, &size), 0));
		cr_assert(eq(u64, size, of[i].len));
		cr_assert(eq(int, get_opt(NAME, q, of[i].len, of[i].step, 0), 0));
		cr_assert(eq(int, memcmp(p, q, of[i].len), 0));
		memset(q, 0, of[i].len);
		make_cold(NAME);
		cr_assert(eq(int, get_opt(NAME, q, of[i].len, of[i].step, 0), 0));
		cr_assert(eq(int, memcmp(p, q, of[i].len), 0));
		free(p);
		free(q);
	}
	cr_assert(eq(int, count_tmp(), 0));
}

Test(objfile, ranges)
{
	uint8_t *p = pattern(300000, 1), q[70000];

	cr_assert(eq(int, put(NAME, p, 300000), 0));
	for (int cold = 0; cold < 2; cold++)
		for (uint64_t off = 0; off <= 230000; off += 11500) {
			if (cold)
				make_cold(NAME);
			memset(q, 0, sizeof(q));
			cr_assert(eq(int, get(NAME, q, sizeof(q), off), 0));
			cr_assert(eq(int, memcmp(p + off, q, sizeof(q)), 0));
		}
	free(p);
}

/* Cached pages are answered without waiting; half cached ones are completed.  (A folio of 2 MiB goes as a whole.) */
Test(objfile, cached_now)
{
	uint8_t *p = pattern(8 * MIB, 1), *q = pattern(8 * MIB, 2);
	int fd;

	cr_assert(eq(int, put(NAME, p, 8 * MIB), 0));
	cr_assert(eq(int, get(NAME, q, 8 * MIB, 0), 0));
	cr_assert(answered_now);
	fd = open(path_of(NAME), O_RDONLY);
	posix_fadvise(fd, 4 * MIB, 0, POSIX_FADV_DONTNEED);
	close(fd);
	memset(q, 0, 8 * MIB);
	cr_assert(eq(int, get(NAME, q, 8 * MIB, 0), 0));
	cr_assert(not(answered_now));
	cr_assert(eq(int, memcmp(p, q, 8 * MIB), 0));
	free(p);
	free(q);
}

/* What the kernel has not looked up yet is opened by a worker. */
Test(objfile, opened_by_a_worker)
{
	uint8_t *p = pattern(1000, 1), q[1000];

	cr_assert(eq(int, put(NAME, p, 1000), 0));
	lookups_cached = false;
	cr_assert(eq(int, get(NAME, q, 1000, 0), 0));
	cr_assert(not(answered_now));
	cr_assert(eq(int, memcmp(p, q, 1000), 0));
	cr_assert(eq(int, get(NAME, q, 1000, 1), -E_DAMAGED));
	free(p);
}

Test(objfile, missing_and_short)
{
	uint8_t q[100];
	uint64_t size;

	cr_assert(eq(int, get(NAME, q, 1, 0), -ENOENT));
	cr_assert(eq(int, head(NAME, &size), -ENOENT));
	cr_assert(eq(int, put(NAME, "0123456789", 10), 0));
	cr_assert(eq(int, get("export/chunks/0A/0/11_0_65536", q, 1, 0), -ENOENT));
	cr_assert(eq(int, get(NAME "/x", q, 1, 0), -ENOENT));
	cr_assert(eq(int, head("export/chunks/0A", &size), -ENOENT));
	for (int cold = 0; cold < 2; cold++) {
		if (cold)
			make_cold(NAME);
		cr_assert(eq(int, get(NAME, q, 11, 0), -E_DAMAGED));
		cr_assert(eq(int, get(NAME, q, 1, 10), -E_DAMAGED));
		cr_assert(eq(int, get(NAME, q, 5, 1 * GIB), -E_DAMAGED));
		cr_assert(eq(int, get(NAME, q, 1, 9), 0));
		cr_assert(eq(u8, q[0], '9'));
	}
}

static void
check_count(enum objclass class, uint64_t requests, uint64_t bytes, uint64_t errors)
{
	struct objcount n = objcount_get(class);

	cr_assert(n.requests == requests && n.bytes == bytes && n.errors == errors && n.retries == 0,
	          "%s: %lu requests, %lu bytes, %lu errors", objcount_name(class), n.requests, n.bytes, n.errors);
}

Test(objfile, every_request_is_counted)
{
	uint8_t q[100];
	uint64_t size;

	check_count(OBJ_PUT, 0, 0, 0);
	cr_assert(eq(int, put(NAME, "0123456789", 10), 0));
	cr_assert(eq(int, put_opt(NAME, "0123456789", 10, 10, true), -EEXIST));
	check_count(OBJ_PUT, 2, 10, 0);
	cr_assert(eq(int, get(NAME, q, 3, 2), 0));
	cr_assert(eq(int, get(NAME "0", q, 3, 2), -ENOENT));
	cr_assert(eq(int, get(NAME, q, 11, 0), -E_DAMAGED));
	check_count(OBJ_GET, 3, 3 + 10, 1);
	cr_assert(eq(int, head(NAME, &size), 0));
	check_count(OBJ_HEAD, 1, 0, 0);
	check_count(OBJ_DELETE, 0, 0, 0);
}

Test(objfile, exclusive_put)
{
	char q[3];

	cr_assert(eq(int, put_opt("export/dittofs.json", "one", 3, 3, true), 0));
	cr_assert(eq(int, put_opt("export/dittofs.json", "two", 3, 3, true), -EEXIST));
	cr_assert(eq(int, get("export/dittofs.json", q, 3, 0), 0));
	cr_assert(eq(int, memcmp(q, "one", 3), 0));
	cr_assert(eq(int, put("export/dittofs.json", "six", 3), 0));
	cr_assert(eq(int, get("export/dittofs.json", q, 3, 0), 0));
	cr_assert(eq(int, memcmp(q, "six", 3), 0));
	cr_assert(eq(int, count_tmp(), 0));
}

Test(objfile, delete_many)
{
	static char names[DEL_MAX][192];
	struct obj_req r;
	uint64_t size;

	for (int i = 0; i < DEL_MAX; i++) {
		snprintf(names[i], 192, "export/chunks/%02X/0/%d_0_5", i % 256, i);
		if (i % 50 == 0)
			cr_assert(eq(int, put(names[i], "12345", 5), 0));
	}
	cr_assert(eq(int, put(NAME, "12345", 5), 0));
	request(&r, "");
	r.names = names;
	r.nnames = DEL_MAX;
	cr_assert(eq(int, rig_call(0, start_del, &r), 0));
	for (int i = 0; i < DEL_MAX; i += 50)
		cr_assert(eq(int, head(names[i], &size), -ENOENT));
	cr_assert(eq(int, head(NAME, &size), 0));
	cr_assert(eq(int, rig_call(0, start_del, &r), 0));
}

Test(objfile, names_that_are_none)
{
	static const char *const bad[] = {
		"", "/x", "x/", "x//y", ".", "..", "../x", "x/../y", "x/.y", ".tmp/0/1", "x y", "x\n", "x\\y", "\xc3\xa4",
	};
	uint64_t size;
	struct obj_req r;
	uint8_t b[1];

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		cr_assert(eq(int, put(bad[i], "x", 1), -EINVAL), "%s", bad[i]);
		cr_assert(eq(int, get(bad[i], b, 1, 0), -EINVAL));
		cr_assert(eq(int, head(bad[i], &size), -EINVAL));
		request(&r, "");
		r.names = (char(*)[192])calloc(1, 192);
		r.nnames = 1;
		snprintf(r.names[0], 192, "%s", bad[i]);
		cr_assert(eq(int, rig_call(0, start_del, &r), -EINVAL));
		free(r.names);
	}
	cr_assert(eq(int, put("x.y/a-b_c..d", "x", 1), 0));
}

/* What a killed process left behind goes at the next open, but not while another one still writes. */
Test(objfile, leftovers)
{
	struct objstore *first = store;

	cr_assert(eq(int, put(NAME, "x", 1), 0));
	close(creat(path_of(".tmp/3/1234-7"), 0600));
	cr_assert(eq(int, count_tmp(), 1));
	open_store();
	objstore_close(store);
	cr_assert(eq(int, count_tmp(), 1));
	objstore_close(first);
	open_store();
	cr_assert(eq(int, count_tmp(), 0));
	uint64_t size;
	cr_assert(eq(int, head(NAME, &size), 0));
}

/* Somebody tidied up below our feet. */
Test(objfile, directories_come_back)
{
	char q[3];

	cr_assert(eq(int, put(NAME, "one", 3), 0));
	remove_tree("export");
	cr_assert(eq(int, get(NAME, q, 3, 0), -ENOENT));
	cr_assert(eq(int, put(NAME, "two", 3), 0));
	remove_tree(".tmp/0");
	remove_tree(".tmp/1");
	for (int i = 0; i < 20; i++)
		cr_assert(eq(int, put(NAME, "six", 3), 0));
	cr_assert(eq(int, get(NAME, q, 3, 0), 0));
	cr_assert(eq(int, memcmp(q, "six", 3), 0));
}

/* A file stood where a directory was, which nobody had made again when it was taken away. */
Test(objfile, a_file_where_a_directory_was)
{
	char path[160];

	cr_assert(eq(int, put(NAME, "one", 3), 0));
	remove_tree("export");
	snprintf(path, sizeof(path), "%s/export", dir);
	close(open(path, O_CREAT | O_WRONLY, 0600));
	for (int i = 0; i < 3; i++)
		cr_assert(lt(int, put(NAME, "two", 3), 0));
	unlink(path);
	cr_assert(eq(int, put("export/chunks/0B/0/11_0_65536", "six", 3), 0));
}

#define MANY 64

struct many {
	struct op *waiter;
	struct op_join join;
	struct op_part part[MANY];
	struct obj_req req[MANY];
	struct iovec iov[MANY];
	enum op_state (*start)(void *arg, struct op *op);
};

static enum op_state
start_many(void *arg, struct op *op)
{
	struct many *m = arg;

	op_join_start(&m->join, op);
	for (int i = 0; i < MANY; i++) {
		struct op *part = op_join_part(&m->join, &m->part[i]);

		op_join_add(&m->join, &m->part[i], m->start(&m->req[i], part));
	}
	return op_join_wait(&m->join);
}

Test(objfile, many_at_once)
{
	static struct many m;
	uint8_t *p = pattern(MANY * 10000, 3), *q = pattern(MANY * 10000, 4);

	for (int get_them = 0; get_them < 2; get_them++) {
		for (int i = 0; i < MANY; i++) {
			char name[100];

			snprintf(name, sizeof(name), "new/chunks/%02X/%d/%d", i % 7, i % 3, i);
			request(&m.req[i], name);
			m.iov[i] = (struct iovec){ (get_them ? q : p) + i * 10000, 10000 };
			m.req[i].iov = &m.iov[i];
			m.req[i].niov = 1;
			m.req[i].len = 10000;
		}
		m.start = get_them ? start_get : start_put;
		cr_assert(eq(int, rig_call(0, start_many, &m), 0));
	}
	cr_assert(eq(int, memcmp(p, q, MANY * 10000), 0));
	free(p);
	free(q);
}

/* ---- what can go wrong */

Test(objfile, no_descriptors)
{
	struct rlimit old, none;
	char q[3];
	int fd = dup(0);

	close(fd);
	cr_assert(eq(int, put(NAME, "one", 3), 0));
	getrlimit(RLIMIT_NOFILE, &old);
	none = old;
	none.rlim_cur = (rlim_t)fd;
	setrlimit(RLIMIT_NOFILE, &none);
	cr_assert(eq(int, put(NAME, "two", 3), -E_JUKEBOX));
	cr_assert(eq(int, get(NAME, q, 3, 0), -E_JUKEBOX));
	setrlimit(RLIMIT_NOFILE, &old);
	cr_assert(eq(int, get(NAME, q, 3, 0), 0));
	cr_assert(eq(int, memcmp(q, "one", 3), 0));
	cr_assert(eq(int, put(NAME, "two", 3), 0));
	cr_assert(eq(int, count_tmp(), 0));
}

/* A write that fails in the middle leaves what was there. */
Test(objfile, failed_write)
{
	struct rlimit old, small;
	uint8_t *p = pattern(200000, 1);
	char q[3];

	log_set_level(-1); /* it says why; that is not for here */
	cr_assert(eq(int, put(NAME, "one", 3), 0));
	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &old);
	small = old;
	small.rlim_cur = 100000;
	setrlimit(RLIMIT_FSIZE, &small);
	cr_assert(eq(int, put(NAME, p, 200000), -EIO));
	setrlimit(RLIMIT_FSIZE, &old);
	cr_assert(eq(int, get(NAME, q, 3, 0), 0));
	cr_assert(eq(int, memcmp(q, "one", 3), 0));
	cr_assert(eq(int, count_tmp(), 0));
	free(p);
}

/* A file system of our own of 1 MiB: full, then read-only. */
Test(objfile_small, full_and_read_only)
{
	uint8_t *p = pattern(4 * MIB, 1), q[5];
	int i, err = 0;

	if (unshare(CLONE_NEWNS) < 0 && unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0)
		cr_skip_test("may not mount");
	snprintf(dir, sizeof(dir), "%s/objects", rig_dir());
	mkdir(dir, 0700);
	mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL);
	if (mount("none", dir, "tmpfs", 0, "size=1m") < 0)
		cr_skip_test("may not mount");
	log_set_level(LOG_ERROR);
	open_store();
	rig_start(1, NULL, NULL);
	for (i = 0; i < 20 && err == 0; i++) {
		char name[40];

		snprintf(name, sizeof(name), "fill/%d", i);
		err = put(name, p, 100000);
	}
	cr_assert(eq(int, err, -ENOSPC));
	cr_assert(lt(int, 5, i));
	cr_assert(eq(int, count_tmp(), 0));
	cr_assert(eq(int, get("fill/0", q, 5, 0), 0));
	uint64_t total, free_bytes;
	cr_assert(eq(int, objstore_space(store, &total, &free_bytes), 0));
	cr_assert(eq(u64, total, 1 * MIB));
	cr_assert(lt(u64, free_bytes, 200000));
	if (mount("none", dir, NULL, MS_REMOUNT | MS_RDONLY, NULL) == 0) {
		cr_assert(eq(int, put("fill/x", p, 5), -EACCES));
		cr_assert(eq(int, get("fill/0", q, 5, 0), 0));
	}
	rig_stop();
	objstore_close(store);
	umount(dir);
	rig_dir_remove();
	free(p);
}

Test(objfile_open, refusals)
{
	static const struct { const char *url; int err; const char *says; } of[] = {
		{ "file://relative/dir", -EINVAL, "no object store of this kind" },
		{ "s4://bucket", -EINVAL, "no object store of this kind" },
		{ "/just/a/path", -EINVAL, "no object store of this kind" },
		{ "file:///no/such/directory/here", -ENOENT, "No such file" },
		{ "file:///etc/passwd", -ENOTDIR, "Not a directory" },
	};
	char why[256], longer[400] = "file://";

	for (int create = 0; create < 2; create++)
		for (size_t i = 0; i < ARRAY_LEN(of); i++) {
			why[0] = '\0';
			cr_assert(eq(int, objstore_open(&store, of[i].url, create, why), of[i].err));
			cr_assert(strstr(why, of[i].says) != NULL, "%s: %s", of[i].url, why);
		}
	memset(longer + 7, '/', 300);
	cr_assert(eq(int, objstore_open(&store, longer, true, why), -ENAMETOOLONG));
}

#ifdef CRASH_POINTS
/* Killed at each step of a PUT that replaces an object: the old one or the new one, whole; and no rest. */
Test(objfile_open, killed_at_each_point)
{
	static const struct { const char *at; const char *want; } of[] = {
		{ "objfile.before_rename", "old" },
		{ "objfile.after_rename", "new" },
		{ "objfile.after_dirsync", "new" },
	};

	log_set_level(LOG_ERROR);
	snprintf(dir, sizeof(dir), "%s/objects", rig_dir());
	for (size_t i = 0; i < ARRAY_LEN(of); i++) {
		char at[60], q[3];
		int status;
		pid_t pid = fork();

		if (pid == 0) {
			snprintf(at, sizeof(at), "%s:2", of[i].at);
			setenv("DITTOFS_CRASH_AT", at, 1);
			open_store();
			rig_start(1, NULL, NULL);
			if (put(NAME, "old", 3) == 0)
				put(NAME, "new", 3);
			_exit(1); /* it should not have come here */
		}
		cr_assert(eq(int, waitpid(pid, &status, 0), pid));
		bool killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
		cr_assert(killed, "%s", of[i].at);
		open_store();
		cr_assert(eq(int, count_tmp(), 0));
		int fd = open(path_of(NAME), O_RDONLY);
		cr_assert(eq(int, read(fd, q, 3), 3));
		close(fd);
		cr_assert(eq(int, memcmp(q, of[i].want, 3), 0), "%s", of[i].at);
		objstore_close(store);
	}
	rig_dir_remove();
}
#endif
