/* SPDX-License-Identifier: Apache-2.0 */
#include "store/s3v2.h"

#include <libs3.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "crypto/digest.h"
#include "reactor/log.h"
#include "reactor/reactor.h"
#include "store/objcount.h"
#include "store/s3_cred.h"

#define AT_ONCE    2        /* a core's requests on workers, which others need too */
#define SPARE      16       /* contexts kept with their connections */
#define ATTEMPT_MS 10000    /* of one attempt, and 1 ms for each KiB */
#define PAUSE_MS   100      /* before the second attempt; it doubles */
#define PAUSE_MAX  2000
#define KEY_MAX    384

struct v2_core {
	int running;
	struct obj_req *first, *last; /* in line */
};

struct v2 {
	struct objstore base;
	char bucket[64], prefix[128], host[256];
	char credentials_file[512], profile[64];
	S3Protocol protocol;
	uint64_t timeout_ns;
	_Atomic bool is_ill;
	pthread_mutex_t lock; /* of what follows */
	struct s3_cred cred;
	S3RequestContext *spare[SPARE];
	int nspare;
	struct v2_core core[REACTOR_MAX_CORES];
};

/* One attempt, on a worker's stack. */
struct attempt {
	struct v2 *s;
	struct obj_req *r;
	struct s3_cred cred;
	char md5[32];
	uint64_t done; /* bytes */
	int iov, n;    /* where in r->iov the next byte is; entries of a list */
	size_t off;
	bool ended;
	S3Status status;
};

static struct v2 *
v2_of(struct objstore *base)
{
	return container_of(base, struct v2, base);
}

static uint64_t
now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* ---- what libs3 calls */

static S3Status
on_properties(const S3ResponseProperties *p, void *arg)
{
	((struct attempt *)arg)->r->size = p->contentLength;
	return S3StatusOK;
}

static void
on_complete(S3Status status, const S3ErrorDetails *details, void *arg)
{
	struct attempt *a = arg;

	(void)details;
	a->status = status;
	a->ended = true;
}

/* Up to `len` bytes between the request's pieces and p. */
static size_t
move(struct attempt *a, char *p, size_t len, bool into)
{
	size_t moved = 0;

	while (moved < len && a->iov < a->r->niov) {
		const struct iovec *v = &a->r->iov[a->iov];
		size_t n = MIN(len - moved, v->iov_len - a->off);

		if (into)
			memcpy((char *)v->iov_base + a->off, p + moved, n);
		else
			memcpy(p + moved, (char *)v->iov_base + a->off, n);
		moved += n;
		a->off += n;
		if (a->off == v->iov_len) {
			a->iov++;
			a->off = 0;
		}
	}
	a->done += moved;
	return moved;
}

static int
on_put_data(int size, char *buffer, void *arg)
{
	return (int)move(arg, buffer, (size_t)size, false);
}

static S3Status
on_get_data(int size, const char *buffer, void *arg)
{
	/* More than asked for is no answer to this request. */
	return move(arg, (char *)buffer, (size_t)size, true) == (size_t)size ? S3StatusOK : S3StatusAbortedByCallback;
}

static S3Status
on_list(int truncated, const char *next, int n, const S3ListBucketContent *c, int nprefixes, const char **prefixes, void *arg)
{
	struct attempt *a = arg;
	size_t skip = strlen(a->s->prefix);

	(void)next;
	(void)nprefixes;
	(void)prefixes;
	for (int i = 0; i < n; i++) {
		const char *name = c[i].key + (skip ? skip + 1 : 0);
		struct obj_entry *e = &a->r->entry[a->n];

		if (strlen(c[i].key) <= skip || !objstore_name_ok(name))
			continue;
		if (a->n == a->r->nentries)
			return S3StatusAbortedByCallback;
		snprintf(e->name, sizeof(e->name), "%s", name);
		e->size = c[i].size;
		e->mtime_s = (uint64_t)c[i].lastModified;
		a->n++;
	}
	a->r->more = truncated != 0;
	return S3StatusOK;
}

/* ---- one attempt */

static S3RequestContext *
context_take(struct v2 *s)
{
	S3RequestContext *x = NULL;

	pthread_mutex_lock(&s->lock);
	if (s->nspare > 0)
		x = s->spare[--s->nspare];
	pthread_mutex_unlock(&s->lock);
	if (!x && S3_create_request_context(&x) != S3StatusOK)
		x = NULL;
	return x;
}

static void
context_give(struct v2 *s, S3RequestContext *x)
{
	pthread_mutex_lock(&s->lock);
	if (s->nspare < SPARE) {
		s->spare[s->nspare++] = x;
		x = NULL;
	}
	pthread_mutex_unlock(&s->lock);
	if (x)
		S3_destroy_request_context(x);
}

/* Descriptors above FD_SETSIZE are not in the sets: then it looks again soon. */
static void
wait_for(S3RequestContext *x)
{
	fd_set in, out, bad;
	int max = -1;
	struct timeval tv = { .tv_usec = 10000 };

	FD_ZERO(&in);
	FD_ZERO(&out);
	FD_ZERO(&bad);
	if (S3_get_request_context_fdsets(x, &in, &out, &bad, &max) == S3StatusOK && max >= 0 && max < FD_SETSIZE)
		(void)select(max + 1, &in, &out, &bad, &tv);
	else
		usleep((useconds_t)tv.tv_usec);
}

static void
send_off(struct attempt *a, S3RequestContext *x, enum objclass class, const char *name)
{
	static S3ResponseHandler plain = { on_properties, on_complete };
	static S3PutObjectHandler put = { { on_properties, on_complete }, on_put_data };
	static S3GetObjectHandler get = { { on_properties, on_complete }, on_get_data };
	static S3ListBucketHandler list = { { on_properties, on_complete }, on_list };
	const struct v2 *s = a->s;
	const S3BucketContext bucket = {
		s->host, s->bucket, s->protocol, S3UriStylePath, a->cred.access, a->cred.secret,
	};
	const S3PutProperties sum = { .md5 = a->md5, .expires = -1 };
	const char *slash = s->prefix[0] ? "/" : "";
	char key[KEY_MAX], after[KEY_MAX];

	snprintf(key, sizeof(key), "%s%s%s", s->prefix, slash, name);
	switch (class) {
	case OBJ_PUT:
		S3_put_object(&bucket, key, a->r->len, &sum, x, &put, a);
		break;
	case OBJ_GET:
		S3_get_object(&bucket, key, NULL, a->r->off, a->r->len, x, &get, a);
		break;
	case OBJ_HEAD:
		S3_head_object(&bucket, key, x, &plain, a);
		break;
	case OBJ_DELETE:
		S3_delete_object(&bucket, key, x, &plain, a);
		break;
	case OBJ_LIST:
		snprintf(after, sizeof(after), "%s%s%s", s->prefix, slash, a->r->after);
		S3_list_bucket(&bucket, key, a->r->after[0] ? after : NULL, NULL, a->r->nentries, x, &list, a);
		break;
	case OBJ_MULTIPART:
	case OBJ_CLASSES:
		break;
	}
}

/* libs3's own loop has no end when the server says nothing. */
static S3Status
attempt(struct attempt *a, enum objclass class, const char *name)
{
	uint64_t deadline = now_ms() + ATTEMPT_MS + a->r->len / KIB;
	S3RequestContext *x = context_take(a->s);
	int left = 0;

	if (!x)
		return S3StatusOutOfMemory;
	a->done = 0;
	a->iov = a->n = 0;
	a->off = 0;
	a->ended = false;
	a->status = S3StatusInternalError;
	send_off(a, x, class, name);
	while (!a->ended && now_ms() < deadline) {
		if (S3_runonce_request_context(x, &left) != S3StatusOK)
			break;
		if (!a->ended && left)
			wait_for(x);
	}
	if (a->ended)
		context_give(a->s, x);
	else
		S3_destroy_request_context(x); /* ends it: on_complete says Interrupted */
	return a->status;
}

/* ---- one request: attempts, and what the last of them means */

static bool
may_work_later(S3Status st)
{
	switch ((int)st) {
	case S3StatusErrorSlowDown:
	case S3StatusErrorBadDigest:     /* changed on its way */
	case S3StatusErrorIncompleteBody:
	case S3StatusErrorUnknown:
	case S3StatusHttpErrorUnknown:
	case S3StatusXmlParseFailure:
	case S3StatusInterrupted:
	case S3StatusAbortedByCallback:
	case S3StatusOutOfMemory:
	case S3StatusInternalError:
		return true;
	default:
		return S3_status_is_retryable(st);
	}
}

static int
meaning(const struct attempt *a, enum objclass class)
{
	switch ((int)a->status) {
	case S3StatusOK:
		if (class != OBJ_GET || a->done == a->r->len)
			return 0;
		/* libs3 says OK to a body that ends before its Content-Length, and to a range that is not the one asked for. */
		return a->r->size < a->r->len ? -E_DAMAGED : -E_JUKEBOX;
	case S3StatusErrorNoSuchKey:
	case S3StatusHttpErrorNotFound:
		return -ENOENT;
	case S3StatusErrorInvalidRange:
		return -E_DAMAGED;
	case S3StatusErrorAccessDenied:
	case S3StatusErrorInvalidAccessKeyId:
	case S3StatusErrorSignatureDoesNotMatch:
	case S3StatusErrorNoSuchBucket:
	case S3StatusErrorRequestTimeTooSkewed:
	case S3StatusHttpErrorForbidden:
		return -EACCES;
	default:
		return may_work_later(a->status) ? -E_JUKEBOX : -EIO;
	}
}

static void
say(struct v2 *s, const struct attempt *a, int err)
{
	bool ill = err == -E_JUKEBOX || err == -EACCES || err == -EIO;

	if (atomic_exchange(&s->is_ill, ill) == ill)
		return;
	if (ill)
		log_error("%s: %s%s", s->base.url, S3_get_status_name(a->status),
		          err == -EACCES ? "; see s3.credentials_file, s3.endpoint and the bucket's name" : "");
	else
		log_info("%s is back", s->base.url);
}

/* Others may be in the file by now. */
static void
take_cred(struct v2 *s, struct s3_cred *out, bool again)
{
	struct s3_cred fresh;
	char why[256];
	bool good = again && s3_cred_load(&fresh, s->credentials_file, s->profile, why) == 0;

	pthread_mutex_lock(&s->lock);
	if (good)
		s->cred = fresh;
	*out = s->cred;
	pthread_mutex_unlock(&s->lock);
	s3_cred_wipe(&fresh);
}

/* libs3 shows no Content-Range: whether it is the object that is short, or this answer, is asked for. */
static bool
is_short(struct attempt *a, const char *name)
{
	(void)attempt(a, OBJ_HEAD, name);
	return meaning(a, OBJ_HEAD) == 0 && a->r->size < a->r->off + a->r->len;
}

static int
request(struct v2 *s, struct obj_req *r, enum objclass class, const char *name)
{
	uint64_t deadline = now_ms() + s->timeout_ns / 1000000;
	struct attempt a = { .s = s, .r = r };
	unsigned pause = PAUSE_MS;
	int err;

	if (class == OBJ_PUT) {
		uint8_t md5[DIGEST_MD5];

		digest_md5(r->iov, r->niov, md5);
		digest_base64(md5, sizeof(md5), a.md5);
	}
	take_cred(s, &a.cred, false);
	for (bool again = false;; again = true) {
		(void)attempt(&a, class, name);
		err = meaning(&a, class);
		if (err == -E_DAMAGED && !is_short(&a, name))
			err = -E_JUKEBOX;
		say(s, &a, err);
		if (err == -EACCES && !again) {
			take_cred(s, &a.cred, true);
		} else {
			if (err != -E_JUKEBOX || now_ms() + pause > deadline)
				break;
			usleep((pause / 2 + (unsigned)now_ms() % pause) * 1000); /* not all at once */
			pause = MIN(2 * pause, PAUSE_MAX);
		}
		objcount_retry(class);
	}
	if (class == OBJ_LIST && err == 0)
		r->nentries = a.n;
	s3_cred_wipe(&a.cred);
	return err;
}

static int
run(struct work *w)
{
	struct obj_req *r = container_of(w, struct obj_req, work);
	enum objclass class = (enum objclass)r->stage;
	struct v2 *s = v2_of(r->store);
	int err = 0;

	if (class == OBJ_DELETE) {
		for (int i = 0; i < r->nnames && err == 0; i++) {
			err = request(s, r, class, r->names[i]);
			if (err == -ENOENT)
				err = 0;
		}
		return err;
	}
	if (class == OBJ_PUT && r->exclusive) { /* V2 has no conditions */
		uint64_t len = r->len;

		err = request(s, r, OBJ_HEAD, r->name);
		r->len = len;
		if (err != -ENOENT)
			return err < 0 ? err : -EEXIST;
	}
	return request(s, r, class, r->name);
}

/* ---- on the core: two at a time */

static void run_done(struct op *step);

static void
launch(struct v2_core *c, struct obj_req *r)
{
	c->running++;
	r->step.resume = run_done;
	(void)worker_run(&r->work, run, &r->step);
}

static void
run_done(struct op *step)
{
	struct obj_req *r = container_of(step, struct obj_req, step);
	struct v2_core *c = &v2_of(r->store)->core[reactor_core()];
	struct obj_req *next = c->first;
	enum objclass class = (enum objclass)r->stage;

	c->running--;
	if (next) {
		c->first = next->next;
		launch(c, next);
	}
	objcount_add(class, step->res == 0 && (class == OBJ_PUT || class == OBJ_GET) ? r->len : 0, step->res,
	             r->begun_ns);
	r->wait->res = step->res;
	r->wait->resume(r->wait);
}

static enum op_state
start(struct obj_req *r, enum objclass class, struct op *op)
{
	struct v2_core *c = &v2_of(r->store)->core[reactor_core()];

	r->wait = op;
	r->begun_ns = reactor_clock_ns();
	r->stage = (int)class;
	r->next = NULL;
	if (c->running < AT_ONCE) {
		launch(c, r);
		return OP_PENDING;
	}
	if (c->first)
		c->last->next = r;
	else
		c->first = r;
	c->last = r;
	return OP_PENDING;
}

static enum op_state
v2_put(struct obj_req *r, struct op *op)
{
	return objstore_name_ok(r->name) ? start(r, OBJ_PUT, op) : op_done(op, -EINVAL);
}

static enum op_state
v2_get(struct obj_req *r, struct op *op)
{
	return objstore_name_ok(r->name) ? start(r, OBJ_GET, op) : op_done(op, -EINVAL);
}

static enum op_state
v2_head(struct obj_req *r, struct op *op)
{
	return objstore_name_ok(r->name) ? start(r, OBJ_HEAD, op) : op_done(op, -EINVAL);
}

static enum op_state
v2_del(struct obj_req *r, struct op *op)
{
	for (int i = 0; i < r->nnames; i++)
		if (!objstore_name_ok(r->names[i]))
			return op_done(op, -EINVAL);
	return start(r, OBJ_DELETE, op);
}

static enum op_state
v2_list(struct obj_req *r, struct op *op)
{
	return start(r, OBJ_LIST, op);
}

static void
v2_close(struct objstore *base)
{
	struct v2 *s = v2_of(base);

	while (s->nspare > 0)
		S3_destroy_request_context(s->spare[--s->nspare]);
	s3_cred_wipe(&s->cred);
	pthread_mutex_destroy(&s->lock);
	free(s);
	S3_deinitialize();
}

static const struct objstore_ops v2_ops = {
	.put = v2_put,
	.get = v2_get,
	.head = v2_head,
	.del = v2_del,
	.list = v2_list,
	.close = v2_close,
};

/* ---- opening */

static int
take_place(struct v2 *s, const char *url, const char *endpoint, char why[256])
{
	const char *bucket = url + strlen("s3://"), *prefix = bucket + strcspn(bucket, "/");
	const char *host = strstr(endpoint, "://");

	snprintf(s->bucket, sizeof(s->bucket), "%.*s", (int)(prefix - bucket), bucket);
	snprintf(s->prefix, sizeof(s->prefix), "%s", prefix + strspn(prefix, "/"));
	for (size_t n = strlen(s->prefix); n > 0 && s->prefix[n - 1] == '/'; n--)
		s->prefix[n - 1] = '\0';
	snprintf(s->base.url, sizeof(s->base.url), "%s", url);
	if (S3_validate_bucket_name(s->bucket, S3UriStylePath) != S3StatusOK || (s->prefix[0] && !objstore_name_ok(s->prefix))) {
		snprintf(why, 256, "%.100s is no place for objects: write s3://BUCKET/PREFIX", url);
		return -EINVAL;
	}
	if (!host || !host[3]) {
		snprintf(why, 256, "s3.signature v2 needs s3.endpoint: http://HOST:PORT");
		return -EINVAL;
	}
	if (strncmp(endpoint, "http://", 7)) {
		/* libs3 2.0 neither takes a CA file nor says whether it has verified. */
		snprintf(why, 256, "s3.signature v2 goes with an http:// endpoint only: libs3 cannot be told whom to trust");
		return -EINVAL;
	}
	s->protocol = S3ProtocolHTTP;
	snprintf(s->host, sizeof(s->host), "%.*s", (int)strcspn(host + 3, "/"), host + 3);
	return 0;
}

int
s3v2_open(struct objstore **out, const char *url, const struct s3_opts *o, char why[256])
{
	struct v2 *s = calloc(1, sizeof(*s));
	int err;

	if (!s)
		return -ENOMEM;
	s->base.ops = &v2_ops;
	s->timeout_ns = o->timeout_ns;
	snprintf(s->credentials_file, sizeof(s->credentials_file), "%s", o->credentials_file);
	snprintf(s->profile, sizeof(s->profile), "%s", o->profile);
	if ((err = take_place(s, url, o->endpoint, why)) < 0 ||
	    (err = s3_cred_load(&s->cred, s->credentials_file, s->profile, why)) < 0)
		goto free;
	if (S3_initialize("dittofs", S3_INIT_ALL, s->host) != S3StatusOK) {
		snprintf(why, 256, "libs3 does not start");
		err = -EIO;
		goto free;
	}
	pthread_mutex_init(&s->lock, NULL);
	*out = &s->base;
	return 0;
free:
	s3_cred_wipe(&s->cred);
	free(s);
	return err;
}
