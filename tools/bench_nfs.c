/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An NFS server, through libnfs: any that speaks NFSv3, without a mount and
 * with no cache on the client's side.  A context, and so a connection, for each
 * thread.  Big files keep several blocks under way; all else is one call after
 * the other, as a program on a mount would do it.
 */
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <nfsc/libnfs.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "tools/bench_fs.h"

#define TIMEOUT_MS 60000 /* a server that is silent for so long is taken for dead */
#define POLL_MS    100   /* libnfs looks at its timeouts when it is called */

struct bench_fs {
	struct nfs_context *nfs;
};

/* nfs://host[:port]/share as libnfs wants it: the port serves NFS and, unless ?mountport= says otherwise, MOUNT. */
static int
parse(const char *where, char *url, size_t cap)
{
	const char *host = where + strlen("nfs://"), *slash = strchr(host, '/'), *query;
	const char *colon = slash ? memchr(host, ':', (size_t)(slash - host)) : NULL;
	const char *end = colon ? colon : slash;
	char ports[64] = "";
	int n;

	if (!slash || slash == host || colon == host)
		return -EINVAL;
	query = strchr(slash, '?');
	if (colon) {
		char *after;
		long port = strtol(colon + 1, &after, 10);

		if (after != slash || port < 1 || port > 65535)
			return -EINVAL;
		n = snprintf(ports, sizeof(ports), "&nfsport=%ld", port);
		if (!query || !strstr(query, "mountport="))
			snprintf(ports + n, sizeof(ports) - (size_t)n, "&mountport=%ld", port);
	}
	/* A lost connection is an error, not a reason to wait. */
	n = snprintf(url, cap, "nfs://%.*s%s%sautoreconnect=0&dircache=0&version=3%s", (int)(end - host), host, slash,
		query ? "&" : "?", ports);
	return n < (int)cap ? 0 : -EINVAL;
}

/* Loopback has no congestion, and the default of many a machine (bbr) is slow there. */
static void
tune(struct nfs_context *nfs)
{
	struct sockaddr_storage peer;
	socklen_t len = sizeof(peer);
	int fd = nfs_get_fd(nfs);
	bool loopback = false;

	if (getpeername(fd, (struct sockaddr *)&peer, &len) < 0)
		return;
	if (peer.ss_family == AF_INET)
		loopback = ntohl(((struct sockaddr_in *)&peer)->sin_addr.s_addr) >> 24 == 127;
	else if (peer.ss_family == AF_INET6)
		loopback = IN6_IS_ADDR_LOOPBACK(&((struct sockaddr_in6 *)&peer)->sin6_addr);
	if (loopback)
		(void)setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "cubic", sizeof("cubic") - 1);
}

/* libnfs has words for what a server refuses, and none for a server that is not there. */
static void
explain(struct nfs_context *nfs, int err, const char *where, char why[256])
{
	const char *said = nfs_get_error(nfs);

	if (said && strstr(said, "nfs_service failed"))
		snprintf(why, 256, "%.100s: no NFS server answers there%s", where, strchr(where + strlen("nfs://"), ':') ? "" :
			" (without a port in the address rpcbind is asked for it)");
	else
		snprintf(why, 256, "%.100s cannot be mounted: %.120s", where, said ? said : strerror(-err));
}

static int
fs_open(struct bench_fs **out, const char *where, char why[256])
{
	char url[1024];
	struct nfs_context *nfs = NULL;
	struct nfs_url *u = NULL;
	int err = parse(where, url, sizeof(url));

	if (err < 0) {
		snprintf(why, 256, "%.100s is no address of a share; it may be nfs://host[:port]/share[?mountport=PORT]", where);
		return err;
	}
	nfs = nfs_init_context();
	u = nfs ? nfs_parse_url_dir(nfs, url) : NULL;
	if (!u) {
		snprintf(why, 256, "%.100s: %.120s", where, nfs ? nfs_get_error(nfs) : "no memory");
		err = -EINVAL;
		goto fail;
	}
	nfs_set_timeout(nfs, TIMEOUT_MS);
	err = nfs_mount(nfs, u->server, u->path);
	if (err < 0) {
		explain(nfs, err, where, why);
		goto fail;
	}
	nfs_destroy_url(u);
	tune(nfs);
	*out = calloc(1, sizeof(**out));
	(*out)->nfs = nfs;
	return 0;
fail:
	if (u)
		nfs_destroy_url(u);
	if (nfs)
		nfs_destroy_context(nfs);
	return err;
}

static void
fs_close(struct bench_fs *fs)
{
	nfs_umount(fs->nfs);
	nfs_destroy_context(fs->nfs);
	free(fs);
}

static int
fs_mkdir(struct bench_fs *fs, const char *name)
{
	return nfs_mkdir2(fs->nfs, name, 0700);
}

static int
fs_rmdir(struct bench_fs *fs, const char *name)
{
	return nfs_rmdir(fs->nfs, name);
}

static int
fs_unlink(struct bench_fs *fs, const char *name)
{
	return nfs_unlink(fs->nfs, name);
}

static int
fs_stat(struct bench_fs *fs, const char *name)
{
	struct nfs_stat_64 st;

	return nfs_lstat64(fs->nfs, name, &st);
}

static int
fs_space(struct bench_fs *fs, uint64_t *free_bytes)
{
	struct nfs_statvfs_64 st;
	int err = nfs_statvfs64(fs->nfs, "/", &st);

	*free_bytes = err < 0 ? 0 : st.f_bavail * st.f_frsize;
	return err;
}

/* ---- a big file: depth blocks under way */

struct slot {
	struct run *run;
	uint64_t off, then_ns;
	uint32_t len;
	uint8_t *buf;
	bool busy;
};

struct run {
	struct nfs_context *nfs;
	struct nfsfh *fh;
	struct bench_io *io;
	bool writing;
	bool dead;         /* the connection was lost with blocks under way */
	uint64_t next;
	int under_way, err;
	struct slot slot[];
};

static void
block_done(int res, struct nfs_context *nfs, void *data, void *arg)
{
	struct slot *s = arg;
	struct run *r = s->run;
	struct bench_io *io = r->io;

	(void)nfs;
	if (r->dead)
		return;
	if (io->latency && res >= 0)
		hist_record(io->latency, bench_now_ns() - s->then_ns);
	if (res >= 0 && ((uint32_t)res != s->len || (!r->writing && !bench_stamped(data, s->len, io->seed, s->off))))
		res = r->writing ? -EIO : -EBADMSG;
	if (res < 0 && r->err == 0)
		r->err = res;
	if (io->watch)
		atomic_fetch_add(&io->watch->done, s->len);
	s->busy = false;
	r->under_way--;
}

static int
block_start(struct run *r, struct slot *s)
{
	struct bench_io *io = r->io;
	int err;

	s->off = r->next;
	s->len = (uint32_t)MIN((uint64_t)io->block, io->bytes - s->off);
	if (r->writing)
		bench_stamp(s->buf, s->len, io->seed, s->off);
	s->then_ns = bench_now_ns();
	if (r->writing)
		err = nfs_pwrite_async(r->nfs, r->fh, s->off, s->len, s->buf, block_done, s);
	else
		err = nfs_pread_async(r->nfs, r->fh, s->off, s->len, block_done, s);
	if (err < 0)
		return -EIO;
	s->busy = true;
	r->under_way++;
	r->next += s->len;
	return 0;
}

static int
serve_once(struct nfs_context *nfs)
{
	struct pollfd p = { .fd = nfs_get_fd(nfs), .events = (short)nfs_which_events(nfs) };

	if (poll(&p, 1, POLL_MS) < 0)
		return errno == EINTR ? 0 : -errno;
	return nfs_service(nfs, p.revents) < 0 ? -EIO : 0;
}

static bool
stopped(const struct run *r)
{
	return r->io->watch && atomic_load(&r->io->watch->stop);
}

static int
run_blocks(struct run *r)
{
	int err;

	while (r->under_way > 0 || (r->next < r->io->bytes && r->err == 0)) {
		for (int i = 0; i < r->io->depth && r->err == 0 && r->next < r->io->bytes; i++) {
			if (stopped(r))
				r->err = -EINTR;
			else if (!r->slot[i].busy)
				r->err = block_start(r, &r->slot[i]);
		}
		if (r->under_way > 0 && (err = serve_once(r->nfs)) < 0)
			return err; /* the connection is gone, and what was under way with it */
	}
	return r->err;
}

static int
all_blocks(struct bench_fs *fs, struct nfsfh *fh, struct bench_io *io, bool writing)
{
	struct run *r = calloc(1, sizeof(*r) + (size_t)io->depth * sizeof(r->slot[0]));
	int err;

	r->nfs = fs->nfs, r->fh = fh, r->io = io, r->writing = writing;
	for (int i = 0; i < io->depth; i++)
		r->slot[i] = (struct slot){ .run = r, .buf = io->buf + (size_t)i * io->block };
	err = run_blocks(r);
	/* libnfs calls back for what a lost connection had under way, but only when the context is destroyed. */
	r->dead = r->under_way > 0;
	if (!r->dead)
		free(r);
	return err;
}

static int
fs_write(struct bench_fs *fs, const char *name, struct bench_io *io)
{
	struct nfsfh *fh;
	int err, err2;

	err = nfs_open2(fs->nfs, name, O_WRONLY | O_CREAT | O_EXCL, 0600, &fh);
	if (err < 0)
		return err;
	err = all_blocks(fs, fh, io, true);
	if (err == 0 && io->sync)
		err = nfs_fsync(fs->nfs, fh);
	/* Sends a COMMIT when there is anything to commit. */
	err2 = nfs_close(fs->nfs, fh);
	return err < 0 ? err : err2;
}

static int
fs_read(struct bench_fs *fs, const char *name, struct bench_io *io)
{
	struct nfsfh *fh;
	int err = nfs_open(fs->nfs, name, O_RDONLY, &fh);

	if (err < 0)
		return err;
	err = all_blocks(fs, fh, io, false);
	nfs_close(fs->nfs, fh);
	return err;
}

/* There is nothing that libnfs would remember. */
static int64_t
fs_forget(struct bench_fs *fs, const char *name)
{
	(void)fs, (void)name;
	return 0;
}

const struct bench_fs_ops bench_nfs = {
	.open = fs_open,
	.close = fs_close,
	.mkdir = fs_mkdir,
	.rmdir = fs_rmdir,
	.unlink = fs_unlink,
	.stat = fs_stat,
	.space = fs_space,
	.write = fs_write,
	.read = fs_read,
	.forget = fs_forget,
};
