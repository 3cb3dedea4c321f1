/* SPDX-License-Identifier: Apache-2.0 */
#include "store/s3.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/random.h>

#include "reactor/log.h"
#include "store/s3_impl.h"

#define CONNECT_MS  10000
#define RELOAD_NS   1000000000ull /* credentials are not read more often */
#define CALLS_EACH  4             /* operations under way for each connection; more wait in line */

/* ---- operations */

static void
bind_call(struct s3_core *c, struct s3_call *call, struct obj_req *r)
{
	call->r = r;
	call->class = (enum objclass)r->stage;
	call->stage = 0;
	call->iov = 0;
	call->off = 0;
	call->done = 0;
	call->big = NULL;
	call->err = 0;
	call->q.core = c;
	r->priv = call;
	reactor_post(&r->step, 0);
}

enum op_state
s3_call_start(struct obj_req *r, enum objclass class, void (*step)(struct op *op), struct op *op)
{
	struct s3_core *c = s3_of(r->store)->core[reactor_core()];
	struct s3_call *call = slab_get(&c->calls);

	r->wait = op;
	r->begun_ns = reactor_clock_ns();
	r->step = (struct op){ .resume = step };
	r->stage = (int)class;
	r->priv = NULL;
	r->next = NULL;
	reactor_hold(); /* pauses between attempts are timers, which the end would not wait for */
	if (call) {
		bind_call(c, call, r);
	} else {
		*c->line_end = r;
		c->line_end = &r->next;
	}
	return OP_PENDING;
}

static bool
moves_bytes(enum objclass class)
{
	return class == OBJ_PUT || class == OBJ_GET || class == OBJ_MULTIPART;
}

void
s3_call_end(struct obj_req *r, int res)
{
	struct s3_call *call = r->priv;
	struct s3_core *c = call->q.core;
	struct obj_req *next = c->line;

	objcount_add(call->class, res == 0 && moves_bytes(call->class) ? r->len : 0, res, r->begun_ns);
	r->priv = NULL;
	if (next) {
		c->line = next->next;
		if (!c->line)
			c->line_end = &c->line;
		bind_call(c, call, next);
	} else {
		slab_put(&c->calls, call);
	}
	reactor_release();
	r->wait->res = res;
	r->wait->resume(r->wait);
}

/* ---- credentials */

static int
take_cred(struct s3_core *c, const struct s3_cred *cred)
{
	sigv4_fini(&c->signer);
	c->cred = *cred;
	return sigv4_init(&c->signer, cred->access, cred->secret, c->s3->region, "s3");
}

static int
reload_run(struct work *w)
{
	struct s3_core *c = container_of(w, struct s3_core, reload);

	return s3_cred_load(&c->fresh, c->s3->credentials_file, c->s3->profile, c->why);
}

static void
reload_done(struct op *op)
{
	struct s3_core *c = container_of(op, struct s3_core, reloaded);
	struct s3_request *q = c->reload_line, *next;
	bool differs = strcmp(c->fresh.access, c->cred.access) || strcmp(c->fresh.secret, c->cred.secret) ||
	               strcmp(c->fresh.token, c->cred.token);

	c->reloading = false;
	c->reload_line = NULL;
	c->cred_loaded_ns = reactor_now_ns();
	if (op->res < 0) {
		log_warn("%s: credentials are refused, and cannot be read again: %s", c->s3->base.url, c->why);
	} else if (differs && take_cred(c, &c->fresh) == 0) {
		c->cred_serial++;
		log_info("%s: other credentials, %s", c->s3->base.url, c->cred.from);
	}
	s3_cred_wipe(&c->fresh);
	for (; q; q = next) {
		next = q->next;
		s3_request_reloaded(q);
	}
}

void
s3_reload(struct s3_request *q)
{
	struct s3_core *c = q->core;

	if (!c->reloading && reactor_now_ns() - c->cred_loaded_ns < RELOAD_NS) {
		s3_request_reloaded(q);
		return;
	}
	q->next = c->reload_line;
	c->reload_line = q;
	if (c->reloading)
		return;
	c->reloading = true;
	c->reloaded.resume = reload_done;
	(void)worker_run(&c->reload, reload_run, &c->reloaded);
}

/* ---- life of a core */

/* Secrets live here: not in a core dump, and not on a swap disk where the limits allow. */
static struct s3_core *
core_new(void)
{
	size_t len = ROUND_UP(sizeof(struct s3_core), PAGE);
	void *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return NULL;
	(void)madvise(p, len, MADV_DONTDUMP);
	(void)mlock(p, len);
	return p;
}

static void
core_free(struct s3_core *c)
{
	explicit_bzero(c, sizeof(*c));
	munmap(c, ROUND_UP(sizeof(*c), PAGE));
}

static int
s3_init(struct objstore *base, int core, char why[256])
{
	struct s3 *s = s3_of(base);
	const struct http_opts http = {
		.connections = s->connections, .reserved = s->connections / 4,
		.ca_file = s->ca_file[0] ? s->ca_file : NULL, .congestion = s->congestion[0] ? s->congestion : NULL,
		.connect_timeout_ms = CONNECT_MS,
	};
	struct s3_core *c = core_new();
	int err;

	if (!c)
		return -ENOMEM;
	c->s3 = s;
	c->line_end = &c->line;
	c->hedge_credit = S3_HEDGE_CREDIT;
	c->rand = reactor_wall_ns() ^ (uint64_t)core << 56;
	err = s3_cred_load(&c->fresh, s->credentials_file, s->profile, why);
	if (err == 0 && (err = take_cred(c, &c->fresh)) < 0)
		snprintf(why, 256, "the credentials (%.150s) are too long", c->fresh.from);
	s3_cred_wipe(&c->fresh);
	if (err < 0)
		goto free;
	err = http_init(&c->http, &http, why);
	if (err < 0)
		goto free;
	err = slab_init(&c->calls, "s3 calls", sizeof(struct s3_call), CALLS_EACH * s->connections);
	if (err < 0) {
		snprintf(why, 256, "no memory for requests to the object store");
		http_fini(c->http);
		goto free;
	}
	s->core[core] = c;
	return 0;
free:
	core_free(c);
	return err;
}

static void
s3_fini(struct objstore *base, int core)
{
	struct s3 *s = s3_of(base);
	struct s3_core *c = s->core[core];

	if (!c)
		return;
	assert(!c->line && !c->reloading);
	s->core[core] = NULL;
	slab_fini(&c->calls);
	http_fini(c->http);
	core_free(c);
}

static void
s3_close(struct objstore *base)
{
	free(s3_of(base));
}

static const struct objstore_ops s3_ops = {
	.put = s3_put,
	.get = s3_get,
	.head = s3_head,
	.del = s3_del,
	.list = s3_list,
	.init = s3_init,
	.fini = s3_fini,
	.health = s3_health,
	.close = s3_close,
};

/* ---- opening: what the settings say, before any request */

static bool
all_of(const char *s, const char *also)
{
	for (; *s; s++)
		if (!((*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z') || (*s >= '0' && *s <= '9') || strchr(also, *s)))
			return false;
	return true;
}

/* s3://bucket/prefix, the prefix without slashes at its ends. */
static int
take_url(struct s3 *s, const char *url, char why[256])
{
	const char *p = url + strlen("s3://");
	size_t bucket = strcspn(p, "/"), len;

	if (bucket < 3 || bucket >= sizeof(s->bucket))
		goto bad;
	memcpy(s->bucket, p, bucket);
	p += bucket;
	while (*p == '/')
		p++;
	len = strlen(p);
	while (len > 0 && p[len - 1] == '/')
		len--;
	if (len >= sizeof(s->prefix))
		goto bad;
	memcpy(s->prefix, p, len);
	if (!all_of(s->bucket, ".-_") || !all_of(s->prefix, "._-/") || strstr(s->prefix, "//") || strstr(s->prefix, ".."))
		goto bad;
	snprintf(s->base.url, sizeof(s->base.url), "s3://%s%s%s", s->bucket, s->prefix[0] ? "/" : "", s->prefix);
	return 0;
bad:
	snprintf(why, 256, "%.100s is no place for objects: write s3://BUCKET/PREFIX, the prefix of at most %d letters, digits, "
	         "'.', '_', '-' and '/'", url, S3_PREFIX - 1);
	return -EINVAL;
}

/* http[s]://host[:port], the port left out where it is the scheme's own: so that Host says what is signed. */
static int
take_endpoint(struct s3 *s, const char *endpoint, enum s3_style style, char why[256])
{
	char host[192];
	const char *p, *colon, *own;
	size_t len;
	bool aws;

	if (!*endpoint)
		snprintf(s->endpoint, sizeof(s->endpoint), "https://s3.%s.amazonaws.com", s->region);
	else
		snprintf(s->endpoint, sizeof(s->endpoint), "%s", endpoint);
	p = strstr(s->endpoint, "://");
	if (!p || (strncmp(s->endpoint, "http://", 7) && strncmp(s->endpoint, "https://", 8)))
		goto bad;
	snprintf(s->scheme, sizeof(s->scheme), "%.*s", (int)(p - s->endpoint), s->endpoint);
	p += 3;
	len = strlen(p);
	if (len > 0 && p[len - 1] == '/')
		s->endpoint[strlen(s->endpoint) - 1] = '\0', len--;
	own = strcmp(s->scheme, "https") == 0 ? ":443" : ":80";
	colon = strrchr(p, ':');
	if (colon && strcmp(colon, own) == 0)
		len = (size_t)(colon - p);
	if (len == 0 || len >= sizeof(host) || !all_of(p, ".-_:[]"))
		goto bad;
	snprintf(host, sizeof(host), "%.*s", (int)len, p);
	len = strcspn(host, ":");
	aws = len > 14 && strncmp(host + len - 14, ".amazonaws.com", 14) == 0;
	/* A certificate for *.s3.amazonaws.com is good for one label. */
	s->path_style = style == S3_PATH || (style == S3_AUTO && (!aws || strchr(s->bucket, '.')));
	snprintf(s->host, sizeof(s->host), "%s%s%s", s->path_style ? "" : s->bucket, s->path_style ? "" : ".", host);
	return 0;
bad:
	snprintf(why, 256, "s3.endpoint: %.150s is no endpoint; write http://HOST:PORT or https://HOST", endpoint);
	return -EINVAL;
}

int
s3_open(struct objstore **out, const char *url, const struct s3_opts *o, char why[256])
{
	struct s3 *s = calloc(1, sizeof(*s));
	struct s3_cred cred;
	int err;

	assert(strncmp(url, "s3://", 5) == 0 && o->cores > 0);
	if (!s)
		return -ENOMEM;
	s->base.ops = &s3_ops;
	snprintf(s->region, sizeof(s->region), "%s", o->region[0] ? o->region : "us-east-1");
	snprintf(s->credentials_file, sizeof(s->credentials_file), "%s", o->credentials_file);
	snprintf(s->profile, sizeof(s->profile), "%s", o->profile);
	snprintf(s->ca_file, sizeof(s->ca_file), "%s", o->ca_file);
	snprintf(s->congestion, sizeof(s->congestion), "%s", o->congestion);
	s->timeout_ns = o->timeout_ns;
	s->hedge_after_ns = o->hedge_after_ns;
	s->connections = MAX(o->connections / o->cores, 4);
	if ((err = take_url(s, url, why)) < 0 || (err = take_endpoint(s, o->endpoint, o->style, why)) < 0)
		goto free;
	s->checksum = o->checksum;
	if (o->checksum == S3_AUTOSUM)
		s->checksum = strcmp(s->scheme, "https") == 0 ? S3_CRC32C : S3_SHA256;
	/* So that who starts it sees what is wrong; each core reads them for itself. */
	err = s3_cred_load(&cred, s->credentials_file, s->profile, why);
	s3_cred_wipe(&cred);
	if (err < 0)
		goto free;
	*out = &s->base;
	return 0;
free:
	free(s);
	return err;
}
