/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How close does the S3 store come to a bare libcurl multi loop that does the same PUTs and
 * GETs on the same server?  Both sign with Signature V4; the bare one hashes no payload, checks no answer,
 * and retries nothing.  In turn, medians of the rounds.
 *
 *   bench/s3 ENDPOINT BUCKET [BYTES [DEPTH [OBJECTS [ROUNDS]]]]
 */
#include <curl/curl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>

#include "crypto/sigv4.h"
#include "reactor/log.h"
#include "store/s3.h"
#include "tools/oncore.h"

#define DEPTH_MAX 64
#define ROUNDS_MAX 31

static const char *endpoint, *bucket;
static size_t bytes = 4 * MIB;
static int depth = 8, objects = 64, rounds = 5;
static uint8_t *data[DEPTH_MAX];

static double
seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double
cpu_seconds(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) + (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

/* ---- the store */

static struct objstore *store;

struct slot {
	struct obj_req req;
	struct op op;
	struct iovec iov;
	int i;
};

static struct run {
	struct slot slot[DEPTH_MAX];
	struct op *wait;
	bool put;
	int next, left, failed;
} run;

static void slot_next(struct slot *s);

static void
slot_done(struct op *op)
{
	struct slot *s = container_of(op, struct slot, op);

	run.failed += op->res < 0;
	if (--run.left == 0) {
		op_done(run.wait, 0);
		run.wait->resume(run.wait);
		return;
	}
	slot_next(s);
}

static void
slot_next(struct slot *s)
{
	enum op_state state;

	if (run.next == objects)
		return;
	memset(&s->req, 0, sizeof(s->req));
	s->req.store = store;
	s->iov = (struct iovec){ data[s->i], bytes };
	s->req.iov = &s->iov;
	s->req.niov = 1;
	s->req.len = bytes;
	snprintf(s->req.name, sizeof(s->req.name), "ours/%d", run.next++);
	state = run.put ? store->ops->put(&s->req, &s->op) : store->ops->get(&s->req, &s->op);
	if (state == OP_DONE)
		slot_done(&s->op);
}

static enum op_state
run_start(void *arg, struct op *op)
{
	(void)arg;
	run.wait = op;
	run.next = run.failed = 0;
	run.left = objects;
	for (int i = 0; i < depth; i++) {
		run.slot[i].op.resume = slot_done;
		run.slot[i].i = i;
		slot_next(&run.slot[i]);
	}
	return OP_PENDING;
}

static int
core_init(int core, void *arg)
{
	return objstore_init(store, core, arg);
}

static void
core_fini(int core, void *arg)
{
	(void)arg;
	objstore_fini(store, core);
}

static int
ours(bool put)
{
	run.put = put;
	on_core(0, run_start, NULL);
	return run.failed;
}

/* ---- the bare loop */

struct bare {
	CURL *easy;
	struct curl_slist *headers;
	size_t at;
	int i;
};

static struct bare bare[DEPTH_MAX];
static CURLM *multi;
static struct sigv4 signer;
static int bare_next;

static size_t
bare_read(char *to, size_t size, size_t n, void *arg)
{
	struct bare *b = arg;
	size_t len = MIN(size * n, bytes - b->at);

	memcpy(to, data[b->i] + b->at, len);
	b->at += len;
	return len;
}

static size_t
bare_write(char *p, size_t size, size_t n, void *arg)
{
	struct bare *b = arg;
	size_t len = MIN(size * n, bytes - b->at);

	memcpy(data[b->i] + b->at, p, len);
	b->at += len;
	return size * n;
}

static curl_socket_t
bare_open(void *arg, curlsocktype purpose, struct curl_sockaddr *a)
{
	int fd = socket(a->family, a->socktype | SOCK_CLOEXEC, a->protocol);

	(void)arg;
	(void)purpose;
	setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "cubic", 5);
	return fd;
}

static void
bare_header(struct bare *b, const char *name, const char *value)
{
	char line[SIGV4_AUTH + 64];

	snprintf(line, sizeof(line), "%s: %s", name, value);
	b->headers = curl_slist_append(b->headers, line);
}

static void
bare_start(struct bare *b, bool put)
{
	char url[512], path[256], date[SIGV4_DATE], auth[SIGV4_AUTH];
	const char *host = strstr(endpoint, "://") + 3;
	struct sigv4_header h[] = { { "host", host }, { "x-amz-content-sha256", SIGV4_UNSIGNED }, { "x-amz-date", date } };
	struct sigv4_request r = { .method = put ? "PUT" : "GET", .path = path, .query = "", .payload = SIGV4_UNSIGNED, .header = h, .nheaders = 3, .date = date };

	snprintf(path, sizeof(path), "/%s/bench/bare/%d", bucket, bare_next++);
	snprintf(url, sizeof(url), "%s%s", endpoint, path);
	sigv4_date(time(NULL), date);
	sigv4_sign(&signer, &r, auth);
	b->at = 0;
	b->headers = NULL;
	bare_header(b, "x-amz-content-sha256", SIGV4_UNSIGNED);
	bare_header(b, "x-amz-date", date);
	bare_header(b, "Authorization", auth);
	b->headers = curl_slist_append(b->headers, "Expect:");
	curl_easy_reset(b->easy);
	curl_easy_setopt(b->easy, CURLOPT_URL, url);
	curl_easy_setopt(b->easy, CURLOPT_HTTPHEADER, b->headers);
	curl_easy_setopt(b->easy, CURLOPT_PRIVATE, b);
	curl_easy_setopt(b->easy, CURLOPT_BUFFERSIZE, 256L * 1024);
	curl_easy_setopt(b->easy, CURLOPT_OPENSOCKETFUNCTION, bare_open);
	curl_easy_setopt(b->easy, CURLOPT_WRITEFUNCTION, bare_write);
	curl_easy_setopt(b->easy, CURLOPT_WRITEDATA, b);
	if (put) {
		curl_easy_setopt(b->easy, CURLOPT_UPLOAD, 1L);
		curl_easy_setopt(b->easy, CURLOPT_UPLOAD_BUFFERSIZE, 256L * 1024);
		curl_easy_setopt(b->easy, CURLOPT_INFILESIZE_LARGE, (curl_off_t)bytes);
		curl_easy_setopt(b->easy, CURLOPT_READFUNCTION, bare_read);
		curl_easy_setopt(b->easy, CURLOPT_READDATA, b);
	}
	curl_multi_add_handle(multi, b->easy);
}

static int
bare_run(bool put)
{
	int left = objects, failed = 0, n;

	bare_next = 0;
	for (int i = 0; i < depth && bare_next < objects; i++)
		bare_start(&bare[i], put);
	while (left > 0) {
		CURLMsg *msg;

		curl_multi_perform(multi, &n);
		while ((msg = curl_multi_info_read(multi, &n)) != NULL) {
			struct bare *b;
			long status;

			curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, &b);
			curl_easy_getinfo(msg->easy_handle, CURLINFO_RESPONSE_CODE, &status);
			failed += msg->data.result != CURLE_OK || status != 200;
			curl_multi_remove_handle(multi, b->easy);
			curl_slist_free_all(b->headers);
			left--;
			if (bare_next < objects)
				bare_start(b, put);
		}
		if (left > 0)
			curl_multi_poll(multi, NULL, 0, 1000, NULL);
	}
	return failed;
}

/* ---- rounds */

static int
by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static double
median(double *v)
{
	qsort(v, (size_t)rounds, sizeof(*v), by_value);
	return v[rounds / 2];
}

int
main(int argc, char **argv)
{
	static double rate[4][ROUNDS_MAX], cpu[4][ROUNDS_MAX];
	char url[256], why[256] = "";
	const struct reactor_opts reactor = { .cores = 1, .buf_bytes = 8 * MIB, .max_conns = 16, .worker_threads = 2, .busy_poll_us = 50,
		                              .init = core_init, .fini = core_fini, .arg = why };
	struct s3_opts o = { .endpoint = argv[1], .region = "", .credentials_file = "", .profile = "", .ca_file = "", .congestion = "",
		             .connections = DEPTH_MAX, .cores = 1, .timeout_ns = 30000000000, .checksum = getenv("CHECKSUM") ? S3_NOSUM : S3_SHA256 };

	if (argc < 3) {
		fprintf(stderr, "usage: bench/s3 ENDPOINT BUCKET [BYTES [DEPTH [OBJECTS [ROUNDS]]]]\n");
		return 2;
	}
	endpoint = argv[1];
	bucket = argv[2];
	if (argc > 3)
		bytes = strtoull(argv[3], NULL, 10);
	if (argc > 4)
		depth = MIN(atoi(argv[4]), DEPTH_MAX);
	if (argc > 5)
		objects = atoi(argv[5]);
	if (argc > 6)
		rounds = MIN(atoi(argv[6]), ROUNDS_MAX);
	for (int i = 0; i < DEPTH_MAX; i++) {
		data[i] = malloc(bytes);
		for (size_t k = 0; k < bytes; k += 8)
			*(uint64_t *)(void *)(data[i] + k) = mix64(k + (size_t)i);
	}
	snprintf(url, sizeof(url), "s3://%s/bench", bucket);
	if (s3_open(&store, url, &o, why) < 0 || reactor_start(&reactor, why) < 0 ||
	    sigv4_init(&signer, getenv("AWS_ACCESS_KEY_ID"), getenv("AWS_SECRET_ACCESS_KEY"), "us-east-1", "s3") < 0) {
		fprintf(stderr, "bench/s3: %s\n", why);
		return 1;
	}
	multi = curl_multi_init();
	for (int i = 0; i < DEPTH_MAX; i++)
		bare[i] = (struct bare){ .easy = curl_easy_init(), .i = i };
	for (int r = 0; r < rounds; r++)
		for (int k = 0; k < 4; k++) { /* bare put, our put, bare get, our get */
			double start = seconds(), used = cpu_seconds();
			int failed = k % 2 ? ours(k < 2) : bare_run(k < 2);

			rate[k][r] = objects / (seconds() - start);
			cpu[k][r] = (cpu_seconds() - used) / objects * 1e6;
			if (failed)
				fprintf(stderr, "bench/s3: %d of %d failed\n", failed, objects);
		}
	for (int k = 0; k < 4; k += 2) {
		double b = median(rate[k]), s = median(rate[k + 1]);

		printf("{\"test\": \"%s\", \"bytes\": %zu, \"depth\": %d, \"bare_mb_per_s\": %.1f, \"store_mb_per_s\": %.1f, \"ratio\": %.2f, "
		       "\"bare_cpu_us\": %.0f, \"store_cpu_us\": %.0f, \"store_min\": %.1f, \"store_max\": %.1f}\n",
		       k ? "get" : "put", bytes, depth, b * (double)bytes / 1e6, s * (double)bytes / 1e6, s / b, median(cpu[k]), median(cpu[k + 1]),
		       rate[k + 1][0] * (double)bytes / 1e6, rate[k + 1][rounds - 1] * (double)bytes / 1e6);
	}
	reactor_stop();
	reactor_join();
	objstore_close(store);
	return 0;
}
