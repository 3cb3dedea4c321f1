/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether the store is there, for all cores together, by atomics: a line in the
 * log when that changes, not one for each request that found it so; and where many
 * requests fail, how many it were, each minute.
 */
#include <inttypes.h>
#include <stdio.h>

#include "reactor/log.h"
#include "store/s3_impl.h"

#define SECOND 1000000000ull
/* One request in trouble beside others that work is no outage. */
#define RECENT_NS (2 * SECOND)
/* Uploads and clients ask again by themselves: then nobody holds buffers, or the end of the server, for retries. */
#define GONE_NS (5 * SECOND)
/* What is said again only after so long, where some requests work and others are refused. */
#define AGAIN_NS (60 * SECOND)
/* One that comes and goes is said to be away once a minute; and when it stays away. */
#define STAYS_NS (10 * SECOND)
#define FAILED_LEAST 10 /* in a minute: fewer are everyday life */

void
s3_health_good(struct s3 *s)
{
	uint64_t now = reactor_now_ns(), since;
	int was = atomic_load_explicit(&s->health, memory_order_relaxed);

	atomic_store_explicit(&s->last_good_ns, now, memory_order_relaxed);
	atomic_fetch_add_explicit(&s->worked, 1, memory_order_relaxed);
	if (was == S3_UP || !atomic_compare_exchange_strong(&s->health, &was, S3_UP))
		return;
	since = atomic_load_explicit(&s->health_since_ns, memory_order_relaxed);
	if (atomic_exchange(&s->said, false))
		log_info("%s is back after %" PRIu64 " s", s->base.url, (uint64_t)((now - since) / SECOND));
}

void
s3_health_bad(struct s3 *s, enum s3_health what, const char *why)
{
	uint64_t now = reactor_now_ns(), since = atomic_load_explicit(&s->health_since_ns, memory_order_relaxed), said;
	int was = atomic_load_explicit(&s->health, memory_order_relaxed);

	atomic_store_explicit(&s->last_bad_ns, now, memory_order_relaxed);
	if (was != (int)what) {
		if (what == S3_AWAY && now - atomic_load_explicit(&s->last_good_ns, memory_order_relaxed) < RECENT_NS)
			return;
		if (was == S3_UP && what == S3_REFUSES && since != 0 && now - since < AGAIN_NS)
			return;
		if (!atomic_compare_exchange_strong(&s->health, &was, (int)what))
			return;
		if (was == S3_UP)
			atomic_store_explicit(&s->health_since_ns, since = now, memory_order_relaxed);
		else
			atomic_store_explicit(&s->said, false, memory_order_relaxed);
	}
	said = atomic_load_explicit(&s->said_ns, memory_order_relaxed);
	if (said != 0 && now - said < AGAIN_NS && now - since < STAYS_NS)
		return;
	if (atomic_load_explicit(&s->said, memory_order_relaxed) || atomic_exchange(&s->said, true))
		return;
	atomic_store_explicit(&s->said_ns, now, memory_order_relaxed);
	log_error("%s %s: %s", s->base.url, what == S3_AWAY ? "is away" : "refuses us", why);
}

void
s3_health_failed(struct s3 *s, const char *why)
{
	uint64_t now = reactor_now_ns(), began = atomic_load_explicit(&s->minute_ns, memory_order_relaxed), bad, good;

	atomic_fetch_add_explicit(&s->failed, 1, memory_order_relaxed);
	if ((began != 0 && now - began < AGAIN_NS) || !atomic_compare_exchange_strong(&s->minute_ns, &began, now))
		return;
	bad = atomic_exchange(&s->failed, 0);
	good = atomic_exchange(&s->worked, 0);
	if (began != 0 && bad >= FAILED_LEAST)
		log_warn("%s: %" PRIu64 " of %" PRIu64 " requests of the last %" PRIu64 " s failed, this one by: %s", s->base.url,
		         bad, bad + good, (uint64_t)((now - began) / SECOND), why);
}

int
s3_health(const struct objstore *base)
{
	const struct s3 *s = container_of(base, struct s3, base);
	int health = atomic_load_explicit(&s->health, memory_order_relaxed);

	if (health == S3_UP || reactor_now_ns() - atomic_load_explicit(&s->last_bad_ns, memory_order_relaxed) > AGAIN_NS)
		return 0;
	return health == S3_AWAY ? -E_JUKEBOX : -EACCES;
}

bool
s3_health_gone(const struct s3 *s)
{
	return atomic_load_explicit(&s->health, memory_order_relaxed) != S3_UP &&
	       reactor_now_ns() - atomic_load_explicit(&s->health_since_ns, memory_order_relaxed) > MIN(s->timeout_ns, GONE_NS);
}

void
s3_health_sentence(const struct s3 *s, const struct s3_cred *c, const struct s3_request *q, char why[320])
{
	const struct s3_answer *a = q->answer;
	const char *code = a->code[0] ? a->code : "no reason given", *in = a->region[0] ? a->region : a->expected;

	if (!strcmp(code, "NoSuchBucket") || !strcmp(code, "InvalidBucketName"))
		snprintf(why, 320, "there is no bucket %s at %s; see paths.objects and s3.endpoint", s->bucket, s->endpoint);
	else if (!strcmp(code, "InvalidAccessKeyId"))
		snprintf(why, 320, "it does not know the access key (%s)", c->from);
	else if (!strcmp(code, "SignatureDoesNotMatch"))
		snprintf(why, 320, "the secret key does not match the access key (%s)", c->from);
	else if (!strcmp(code, "ExpiredToken") || !strcmp(code, "InvalidToken") || !strcmp(code, "TokenRefreshRequired"))
		snprintf(why, 320, "the session token is not valid any more (%s; %s)", code, c->from);
	else if (a->status == 301 || !strcmp(code, "AuthorizationHeaderMalformed"))
		snprintf(why, 320, "s3.region is %s, the bucket %s is in %s; see s3.region and s3.endpoint", s->region, s->bucket,
		         in[0] ? in : "another region");
	else if (!strcmp(code, "RequestTimeTooSkewed"))
		snprintf(why, 320, "the clocks of this machine and of the store differ by too much");
	else
		snprintf(why, 320, "%s of %.100s: HTTP %d, %s%s%.80s; may these credentials (%.60s) do that in bucket %s?", q->method,
		         q->key, a->status, code, a->message[0] ? ", " : "", a->message, c->from, s->bucket);
}
