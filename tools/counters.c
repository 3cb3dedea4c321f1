/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/counters.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "tools/control_client.h"

static uint64_t
n(const json_t *j, const char *key)
{
	return (uint64_t)json_integer_value(json_object_get(j, key));
}

static void
take(struct counters *c, const json_t *j)
{
	const json_t *requests = json_object_get(j, "requests"), *e;
	size_t i;

	*c = (struct counters){
		.time_ns = n(j, "time_ns"), .cpu_ns = n(j, "cpu_ns"), .rss_bytes = n(j, "rss_bytes"),
		.buffer_bytes = n(j, "buffer_bytes"), .cache_hits = n(j, "cache_hits"), .cache_misses = n(j, "cache_misses"),
		.gets = n(requests, "get"), .puts = n(requests, "put") + n(requests, "multipart"),
	};
	json_array_foreach(json_object_get(j, "procedures"), i, e) {
		struct counters_proc *p = &c->proc[c->nprocs];
		const char *name = json_string_value(json_object_get(e, "procedure"));

		if (!name || c->nprocs == COUNTERS_PROCS)
			continue;
		*p = (struct counters_proc){ .calls = n(e, "calls"), .errors = n(e, "errors"), .bytes = n(e, "bytes"), .ns = n(e, "ns") };
		snprintf(p->name, sizeof(p->name), "%s", name);
		c->nprocs++;
	}
}

int
counters_get(const char *socket, struct counters *c, char why[256])
{
	char *body;
	int err = control_get(socket, "/stats", &body, why);
	json_t *j;

	if (err < 0)
		return err;
	j = json_loads(body, 0, NULL);
	free(body);
	if (!j) {
		snprintf(why, 256, "the server's answer is no JSON; is it of another version?");
		return -EPROTO;
	}
	take(c, j);
	json_decref(j);
	return 0;
}

struct counters_proc
counters_of(const struct counters *c, const char *procedure)
{
	for (int i = 0; i < c->nprocs; i++)
		if (!strcmp(c->proc[i].name, procedure))
			return c->proc[i];
	return (struct counters_proc){ 0 };
}

bool
counters_since(struct counters *out, const struct counters *now, const struct counters *then)
{
	if (now->cpu_ns < then->cpu_ns || now->time_ns <= then->time_ns)
		return false;
	*out = *now;
	out->time_ns -= then->time_ns;
	out->cpu_ns -= then->cpu_ns;
	out->cache_hits -= then->cache_hits;
	out->cache_misses -= then->cache_misses;
	out->gets -= then->gets;
	out->puts -= then->puts;
	for (int i = 0; i < out->nprocs; i++) {
		struct counters_proc *p = &out->proc[i], before = counters_of(then, p->name);

		if (p->calls < before.calls)
			return false;
		p->calls -= before.calls;
		p->errors -= before.errors;
		p->bytes -= before.bytes;
		p->ns -= before.ns;
	}
	return true;
}
