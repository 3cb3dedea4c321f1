/* SPDX-License-Identifier: Apache-2.0 */
#include <microhttpd.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "meta/gc.h"
#include "tools/backup_job.h"
#include "tools/compact_all.h"
#include "tools/fsck.h"
#include "tools/pending.h"
#include "tools/trash_restore.h"
#include "tools/warmup.h"
#include "tools/web.h"

static struct {
	struct MHD_Daemon *http, *web;
	pthread_mutex_t reports; /* which of the two threads is at one; they keep sums in static memory */
	const struct daemon *daemon;
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
} admin = { .reports = PTHREAD_MUTEX_INITIALIZER };

static enum MHD_Result
answer_as(struct MHD_Connection *conn, unsigned status, const char *type, char *body)
{
	if (!body)
		return MHD_NO;
	struct MHD_Response *r = MHD_create_response_from_buffer(strlen(body), body, MHD_RESPMEM_MUST_FREE);

	MHD_add_response_header(r, "Content-Type", type);
	MHD_add_response_header(r, "Cache-Control", "no-store");
	MHD_add_response_header(r, "X-Content-Type-Options", "nosniff");
	MHD_add_response_header(r, "Content-Security-Policy",
		"default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; img-src data:");
	enum MHD_Result res = MHD_queue_response(conn, status, r);
	MHD_destroy_response(r);
	return res;
}

static enum MHD_Result
answer(struct MHD_Connection *conn, unsigned status, char *body)
{
	return answer_as(conn, status, "application/json", body);
}

/* What stands behind NAME= in the URL; NULL: it does not. */
static const char *
arg(struct MHD_Connection *conn, const char *name)
{
	return MHD_lookup_connection_value(conn, MHD_GET_ARGUMENT_KIND, name);
}

/* ?since=N, as the first answer had it; without it: all that is dirty now. */
static enum MHD_Result
flush(struct MHD_Connection *conn)
{
	const char *since = arg(conn, "since");

	return answer(conn, MHD_HTTP_OK, pending_json(admin.daemon, since ? strtoull(since, NULL, 10) : 0));
}

/* ?start=check|delete&age=SECONDS begins one. */
static enum MHD_Result
gc(struct MHD_Connection *conn)
{
	const char *start = arg(conn, "start");
	const char *age = arg(conn, "age");

	return answer(conn, MHD_HTTP_OK, report_gc_json(start, age ? strtoull(age, NULL, 10) : GC_AGE_S));
}

/* ?to=DIRECTORY makes a copy there; ?start=1 begins a backup into the object store. */
static enum MHD_Result
backup(struct MHD_Connection *conn)
{
	const char *to = arg(conn, "to");

	return answer(conn, MHD_HTTP_OK, to ? report_copy_json(to) : report_backup_json(arg(conn, "start") != NULL));
}

/* ?start=1 begins one. */
static enum MHD_Result
compact(struct MHD_Connection *conn)
{
	return answer(conn, MHD_HTTP_OK, report_compact_json(admin.daemon, arg(conn, "start")));
}

/* ?start=1 begins one. */
static enum MHD_Result
fsck(struct MHD_Connection *conn)
{
	return answer(conn, MHD_HTTP_OK, report_fsck_json(admin.daemon, arg(conn, "start")));
}

/* ?path=/SHARE/... */
static enum MHD_Result
info(struct MHD_Connection *conn)
{
	return answer(conn, MHD_HTTP_OK, report_info_json(admin.daemon, arg(conn, "path")));
}

/* ?do=start|stop, &path=/SHARE/..., &reads=N. */
static enum MHD_Result
warmup(struct MHD_Connection *conn)
{
	const char *reads = arg(conn, "reads");

	return answer(conn, MHD_HTTP_OK,
		report_warmup_json(admin.daemon, arg(conn, "do"), arg(conn, "path"), reads ? atoi(reads) : WARMUP_READS));
}

/* ?from=PLACE, as "next" of the answer before had it. */
static enum MHD_Result
trash(struct MHD_Connection *conn)
{
	return answer(conn, MHD_HTTP_OK, report_trash_json(admin.daemon, arg(conn, "from")));
}

/* ?path=/SHARE/...&force=1 begins one. */
static enum MHD_Result
trash_restore(struct MHD_Connection *conn)
{
	return answer(conn, MHD_HTTP_OK, report_restore_json(admin.daemon, arg(conn, "path"), arg(conn, "force") != NULL));
}

/* ?before=SECONDS&share=/SHARE (or nothing) begins it. */
static enum MHD_Result
trash_empty_all(struct MHD_Connection *conn)
{
	const char *before = arg(conn, "before");
	const char *share = arg(conn, "share");

	return answer(conn, MHD_HTTP_OK,
		report_empty_json(admin.daemon, before ? share ? share : "" : NULL, before ? strtoull(before, NULL, 10) : 0));
}

static const struct {
	const char *url;
	enum MHD_Result (*answer)(struct MHD_Connection *conn);
} asks[] = {
	{ "/backup", backup },
	{ "/compact", compact },
	{ "/flush", flush },
	{ "/fsck", fsck },
	{ "/gc", gc },
	{ "/info", info },
	{ "/trash", trash },
	{ "/trash/empty", trash_empty_all },
	{ "/trash/restore", trash_restore },
	{ "/warmup", warmup },
};

static char *
keys(const struct daemon *d)
{
	(void)d;
	return report_keys_json();
}

static char *
config(const struct daemon *d)
{
	return config_show_json(d->config);
}

static const struct page {
	const char *url;
	char *(*json)(const struct daemon *d);
} pages[] = {
	{ "/config", config },
	{ "/keys", keys },
	{ "/status", report_json },
	{ "/latency", report_latency_json },
	{ "/stats", report_stats_json },
};

static enum MHD_Result
report(struct MHD_Connection *conn, char *(*json)(const struct daemon *d))
{
	pthread_mutex_lock(&admin.reports);
	char *body = json(admin.daemon);
	pthread_mutex_unlock(&admin.reports);
	return answer(conn, MHD_HTTP_OK, body);
}

static enum MHD_Result
on_request(void *arg, struct MHD_Connection *conn, const char *url, const char *method, const char *version,
           const char *data, size_t *data_len, void **state)
{
	(void)arg, (void)version, (void)data, (void)state;
	*data_len = 0;
	for (size_t i = 0; i < ARRAY_LEN(asks) && !strcmp(method, "GET"); i++)
		if (!strcmp(url, asks[i].url))
			return asks[i].answer(conn);
	for (size_t i = 0; i < ARRAY_LEN(pages) && !strcmp(method, "GET"); i++)
		if (!strcmp(url, pages[i].url))
			return report(conn, pages[i].json);
	return answer(conn, MHD_HTTP_NOT_FOUND, strdup("{\"error\": \"there is no such page\"}\n"));
}

/* For reading only, whoever asks. */
static enum MHD_Result
on_web(void *unused, struct MHD_Connection *conn, const char *url, const char *method, const char *version, const char *data,
       size_t *data_len, void **state)
{
	struct web_reply r;

	(void)unused, (void)version, (void)data, (void)state;
	*data_len = 0;
	if (strcmp(method, MHD_HTTP_METHOD_GET) && strcmp(method, MHD_HTTP_METHOD_HEAD))
		return answer_as(conn, MHD_HTTP_METHOD_NOT_ALLOWED, "text/plain", strdup("GET or HEAD, please\n"));
	pthread_mutex_lock(&admin.reports);
	web_get(admin.daemon, url, &r);
	pthread_mutex_unlock(&admin.reports);
	return answer_as(conn, r.status, r.type, r.body);
}

/* The volume's lock is ours, so a socket that is there is a dead server's. */
static int
listen_unix(const char *path, char why[256])
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };

	if (strlen(path) >= sizeof(addr.sun_path)) {
		snprintf(why, 256, "paths.control: %.120s... is too long for a unix socket (%zu characters at most)", path,
			sizeof(addr.sun_path) - 1);
		return -ENAMETOOLONG;
	}
	strcpy(addr.sun_path, path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	unlink(path);
	mode_t mask = umask(0177); /* 0600 from its first moment */
	int err = bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 ? -errno : 0;
	umask(mask);
	if (err == 0 && listen(fd, 16) < 0)
		err = -errno;
	if (err < 0) {
		snprintf(why, 256, "cannot open the control socket %.150s: %s", path, strerror(-err));
		close(fd);
		return err;
	}
	strcpy(admin.path, path);
	return fd;
}

static struct MHD_Daemon *
start_thread(int fd, MHD_AccessHandlerCallback on)
{
	return MHD_start_daemon(MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_POLL, 0, NULL, NULL, on, NULL, MHD_OPTION_LISTEN_SOCKET, fd,
		MHD_OPTION_CONNECTION_LIMIT, 16u, MHD_OPTION_CONNECTION_TIMEOUT, 10u, MHD_OPTION_END);
}

static int
listen_tcp(struct sockaddr_storage *at, char why[256])
{
	socklen_t len = at->ss_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
	int fd = socket(at->ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0), yes = 1, err;
	char addr[80];

	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
	if (bind(fd, (struct sockaddr *)at, len) == 0 && listen(fd, 16) == 0) {
		getsockname(fd, (struct sockaddr *)at, &len);
		return fd;
	}
	err = -errno;
	format_listen(at, addr, sizeof(addr));
	snprintf(why, 256, "metrics.listen: %s: %s", addr, strerror(-err));
	close(fd);
	return err;
}

static int
web_start(struct daemon *d, char why[256])
{
	char addr[80];
	int fd;

	d->metrics = d->config->metrics;
	if (!d->metrics.ss_family)
		return 0;
	if ((fd = listen_tcp(&d->metrics, why)) < 0)
		return fd;
	admin.web = start_thread(fd, on_web);
	if (!admin.web) {
		snprintf(why, 256, "cannot start the thread for metrics.listen");
		close(fd);
		return -ENOMEM;
	}
	format_listen(&d->metrics, addr, sizeof(addr));
	log_info("metrics, health and a page with plots on http://%s/", addr);
	if (!listen_is_loopback(&d->metrics))
		log_warn("metrics.listen: %s is not loopback: whoever reaches it sees shares, clients' addresses and figures, without a password", addr);
	return 0;
}

int
admin_start(struct daemon *d, char why[256])
{
	int fd = listen_unix(d->config->control, why);

	if (fd < 0)
		return fd;
	admin.daemon = d;
	admin.http = start_thread(fd, on_request);
	if (!admin.http) {
		snprintf(why, 256, "cannot start the control thread");
		close(fd);
		unlink(admin.path);
		return -ENOMEM;
	}
	int err = web_start(d, why);

	if (err < 0)
		admin_stop();
	return err;
}

void
admin_hold(void)
{
	pthread_mutex_lock(&admin.reports);
}

void
admin_let_go(void)
{
	pthread_mutex_unlock(&admin.reports);
}

void
admin_stop(void)
{
	if (admin.web)
		MHD_stop_daemon(admin.web);
	MHD_stop_daemon(admin.http);
	fsck_stop();
	trash_restore_stop();
	compact_all_stop();
	warmup_stop();
	backup_job_stop();
	unlink(admin.path);
}
