/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How close does the S3 store come to a bare libcurl multi loop that does the same PUTs and
 * GETs on the same server?  Both sign with Signature V4; the bare one hashes no payload, checks no answer,
 * and retries nothing.  In turn, medians of the rounds; a JSON line for each of put, get, and with --range GETs of
 * so many bytes at random.
 *
 *   s3 ENDPOINT BUCKET [--bytes N] [--depth N] [--objects N] [--rounds N] [--range N] [--gets N] [--bare] [--unhashed]
 */
#include <curl/curl.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "bench/lib/measure.h"
#include "crypto/sigv4.h"
#include "reactor/log.h"
#include "store/s3.h"
#include "tools/oncore.h"

#define DEPTH_MAX 64
#define ROUNDS_MAX 31

enum test { PUT, GET, RANGE, TESTS };

static const char *endpoint, *bucket;
static size_t bytes = 4 * MIB, range; /* of an object; of a ranged GET, 0: none are done */
static int depth = 8, objects = 64, gets = 1024, rounds = 5;
static uint8_t *data[DEPTH_MAX];

/* What the k-th request of a test is about: every object in order, or any range of any. */
struct target {
	int object;
	size_t off, len;
};

static struct target
target_of(enum test test, int k)
{
	uint64_t r = mix64((uint64_t)k + 1);

	if (test != RANGE)
		return (struct target){ k, 0, bytes };
	return (struct target){ (int)(r % (uint64_t)objects), (r >> 32) % (bytes / range) * range, range };
}

static int
requests_of(enum test test)
{
	return test == RANGE ? gets : objects;
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
	enum test test;
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
	struct target t;

	if (run.next == requests_of(run.test))
		return;
	t = target_of(run.test, run.next++);
	memset(&s->req, 0, sizeof(s->req));
	s->req.store = store;
	s->iov = (struct iovec){ data[s->i], t.len };
	s->req.iov = &s->iov;
	s->req.niov = 1;
	s->req.off = t.off;
	s->req.len = t.len;
	snprintf(s->req.name, sizeof(s->req.name), "ours/%d/%d", (int)getpid(), t.object);
	state = run.test == PUT ? store->ops->put(&s->req, &s->op) : store->ops->get(&s->req, &s->op);
	if (state == OP_DONE)
		slot_done(&s->op);
}

static enum op_state
run_start(void *arg, struct op *op)
{
	(void)arg;
	run.wait = op;
	run.next = run.failed = 0;
	run.left = requests_of(run.test);
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
ours(enum test test)
{
	run.test = test;
	on_core(0, run_start, NULL);
	return run.failed;
}

/* ---- the bare loop */

struct bare {
	CURL *easy;
	struct curl_slist *headers;
	size_t at, len;
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
	size_t len = MIN(size * n, b->len - b->at);

	memcpy(to, data[b->i] + b->at, len);
	b->at += len;
	return len;
}

static size_t
bare_write(char *p, size_t size, size_t n, void *arg)
{
	struct bare *b = arg;
	size_t len = MIN(size * n, b->len - b->at);

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
bare_start(struct bare *b, enum test test)
{
	const struct target t = target_of(test, bare_next++);
	bool put = test == PUT;
	char url[512], path[256], date[SIGV4_DATE], auth[SIGV4_AUTH];
	const char *host = strstr(endpoint, "://") + 3;
	struct sigv4_header h[] = { { "host", host }, { "x-amz-content-sha256", SIGV4_UNSIGNED }, { "x-amz-date", date } };
	struct sigv4_request r = { .method = put ? "PUT" : "GET", .path = path, .query = "", .payload = SIGV4_UNSIGNED, .header = h, .nheaders = 3, .date = date };

	/* New names each time: a store that keeps objects in memory recycles that of what is replaced. */
	snprintf(path, sizeof(path), "/%s/bench/bare/%d/%d", bucket, (int)getpid(), t.object);
	snprintf(url, sizeof(url), "%s%s", endpoint, path);
	sigv4_date(time(NULL), date);
	sigv4_sign(&signer, &r, auth);
	b->at = 0;
	b->len = t.len;
	b->headers = NULL;
	bare_header(b, "x-amz-content-sha256", SIGV4_UNSIGNED);
	bare_header(b, "x-amz-date", date);
	bare_header(b, "Authorization", auth);
	if (test == RANGE) {
		snprintf(path, sizeof(path), "bytes=%zu-%zu", t.off, t.off + t.len - 1);
		bare_header(b, "range", path);
	}
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
		curl_easy_setopt(b->easy, CURLOPT_UPLOAD_BUFFERSIZE, 1024L * 1024);
		curl_easy_setopt(b->easy, CURLOPT_INFILESIZE_LARGE, (curl_off_t)bytes);
		curl_easy_setopt(b->easy, CURLOPT_READFUNCTION, bare_read);
		curl_easy_setopt(b->easy, CURLOPT_READDATA, b);
	}
	curl_multi_add_handle(multi, b->easy);
}

static int
bare_run(enum test test)
{
	int left = requests_of(test), failed = 0, n;

	bare_next = 0;
	for (int i = 0; i < depth && bare_next < requests_of(test); i++)
		bare_start(&bare[i], test);
	while (left > 0) {
		CURLMsg *msg;

		curl_multi_perform(multi, &n);
		while ((msg = curl_multi_info_read(multi, &n)) != NULL) {
			struct bare *b;
			long status;

			curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, &b);
			curl_easy_getinfo(msg->easy_handle, CURLINFO_RESPONSE_CODE, &status);
			failed += msg->data.result != CURLE_OK || status != (test == RANGE ? 206 : 200) || b->at != b->len;
			curl_multi_remove_handle(multi, b->easy);
			curl_slist_free_all(b->headers);
			left--;
			if (bare_next < requests_of(test))
				bare_start(b, test);
		}
		if (left > 0)
			curl_multi_poll(multi, NULL, 0, 1000, NULL);
	}
	return failed;
}

/* ---- rounds */

enum { BARE, OURS, BOTH };
static double rate[TESTS][BOTH][ROUNDS_MAX], cpu_us[TESTS][BOTH][ROUNDS_MAX]; /* requests a second; of each */

static void
ask(enum test test, int who, int round)
{
	uint64_t start = measure_now_ns(), cpu = measure_cpu_ns(0);
	int failed = who == OURS ? ours(test) : bare_run(test), n = requests_of(test);

	rate[test][who][round] = n / ((double)(measure_now_ns() - start) / 1e9);
	cpu_us[test][who][round] = (double)(measure_cpu_ns(0) - cpu) / 1e3 / n;
	if (failed) {
		fprintf(stderr, "%d of %d requests failed\n", failed, n);
		exit(1);
	}
}

static void
print(enum test test, bool beside)
{
	static const char *const name[TESTS] = { "put", "get", "range" };
	double each = (double)target_of(test, 0).len / 1e6, b = measure_median(rate[test][BARE], rounds), s;

	json_begin();
	json_str("test", name[test]);
	json_num("bytes", each * 1e6, 0);
	json_num("depth", depth, 0);
	json_num("bare_per_s", b, 1);
	json_num("bare_mb_per_s", b * each, 1);
	json_num("bare_cpu_us", measure_median(cpu_us[test][BARE], rounds), 0);
	if (beside) {
		s = measure_median(rate[test][OURS], rounds);
		json_num("store_per_s", s, 1);
		json_num("store_mb_per_s", s * each, 1);
		json_num("store_cpu_us", measure_median(cpu_us[test][OURS], rounds), 0);
		json_num("store_min", rate[test][OURS][0] * each, 1); /* measure_median has sorted them */
		json_num("store_max", rate[test][OURS][rounds - 1] * each, 1);
		json_num("ratio", s / b, 2);
	}
	json_end();
}

static void
usage(void)
{
	fputs("usage: s3 ENDPOINT BUCKET [--bytes N] [--depth N] [--objects N] [--rounds N] [--range N] [--gets N] [--bare] [--unhashed]\n"
	      "  --range N    also GETs of N bytes at random, so many as --gets says (1024)\n"
	      "  --bare       without the store: only what it is compared with\n"
	      "  --unhashed   the store signs no hash of what it puts (s3.checksum: none)\n", stderr);
	exit(2);
}

int
main(int argc, char **argv)
{
	static const struct option longs[] = {
		{ "bytes", 1, NULL, 'b' }, { "depth", 1, NULL, 'd' }, { "objects", 1, NULL, 'o' }, { "rounds", 1, NULL, 'r' },
		{ "range", 1, NULL, 'R' }, { "gets", 1, NULL, 'g' }, { "bare", 0, NULL, 'B' }, { "unhashed", 0, NULL, 'u' }, { 0 },
	};
	char url[256], why[256] = "";
	const struct reactor_opts reactor = { .cores = 1, .buf_bytes = 8 * MIB, .max_conns = 16, .worker_threads = 2, .busy_poll_us = 50,
		                              .init = core_init, .fini = core_fini, .arg = why };
	struct s3_opts o = { .region = "", .credentials_file = "", .profile = "", .ca_file = "", .congestion = "",
		             .connections = DEPTH_MAX, .cores = 1, .timeout_ns = 30000000000, .checksum = S3_SHA256 };
	bool beside = true;
	int c;

	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		switch (c) {
		case 'b': bytes = strtoull(optarg, NULL, 10); break;
		case 'd': depth = atoi(optarg); break;
		case 'o': objects = atoi(optarg); break;
		case 'r': rounds = atoi(optarg); break;
		case 'R': range = strtoull(optarg, NULL, 10); break;
		case 'g': gets = atoi(optarg); break;
		case 'B': beside = false; break;
		case 'u': o.checksum = S3_NOSUM; break;
		default: usage();
		}
	}
	if (argc - optind != 2 || !strstr(argv[optind], "://") || depth < 1 || depth > DEPTH_MAX || rounds < 1 || rounds > ROUNDS_MAX ||
	    objects < 1 || gets < 1 || bytes == 0 || range > bytes)
		usage();
	o.endpoint = endpoint = argv[optind];
	bucket = argv[optind + 1];
	for (int i = 0; i < depth; i++) {
		data[i] = calloc(1, ROUND_UP(bytes, 8));
		if (!data[i])
			measure_fail("memory", ENOMEM);
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
	for (int i = 0; i < depth; i++)
		bare[i] = (struct bare){ .easy = curl_easy_init(), .i = i };
	for (int r = 0; r < rounds; r++)
		for (enum test t = PUT; t < (range ? TESTS : RANGE); t++)
			for (int who = BARE; who < (beside ? BOTH : OURS); who++)
				ask(t, who, r);
	for (enum test t = PUT; t < (range ? TESTS : RANGE); t++)
		print(t, beside);
	reactor_stop();
	reactor_join();
	objstore_close(store);
	return 0;
}
