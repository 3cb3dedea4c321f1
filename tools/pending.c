/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/pending.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "tools/oncore.h"

#define ASK_US 50000

struct ask {
	uint64_t since_ns;
	struct file_pending p;
};

uint64_t
pending_now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static enum op_state
ask_core(void *arg, struct op *op)
{
	struct ask *a = arg;

	file_pending(a->since_ns, &a->p);
	return op_done(op, 0);
}

static void
set_rate(const struct daemon *d, struct pending *p)
{
	uint64_t now = pending_now_ns();
	double rate = 0;

	for (int i = 0; i < d->cores; i++)
		rate += file_upload_rate(file_stats(i), now);
	p->rate = (uint64_t)rate;
	p->eta_s = p->bytes == 0 ? 0 : p->rate == 0 ? -1 : (int64_t)(p->bytes / p->rate + 1);
}

void
pending_ask(const struct daemon *d, uint64_t since_ns, struct pending *p)
{
	*p = (struct pending){ 0 };
	for (int i = 0; i < d->cores; i++) {
		struct ask a = { .since_ns = since_ns };

		on_core(i, ask_core, &a);
		p->files += a.p.files;
		p->bytes += a.p.bytes;
		p->away |= a.p.away;
		p->stuck |= a.p.stuck;
	}
	set_rate(d, p);
}

char *
pending_json(const struct daemon *d, uint64_t since_ns)
{
	struct pending p;
	char *text;
	json_t *j;

	if (since_ns == 0)
		since_ns = pending_now_ns();
	pending_ask(d, since_ns, &p);
	j = json_pack("{s:I, s:I, s:I, s:I, s:I, s:b, s:b}", "since", (json_int_t)since_ns, "files", (json_int_t)p.files, "bytes",
		(json_int_t)p.bytes, "bytes_per_second", (json_int_t)p.rate, "eta_s", (json_int_t)p.eta_s, "store_away", p.away,
		"stuck", p.stuck);
	text = json_dumps(j, JSON_INDENT(2));
	json_decref(j);
	return text;
}

void
pending_look(const struct daemon *d, struct pending *p)
{
	*p = (struct pending){ 0 };
	for (int i = 0; i < d->cores; i++) {
		const struct file_stats *s = file_stats(i);

		p->files += s->dirty_files;
		p->bytes += s->dirty_bytes;
		p->away |= s->away;
	}
	set_rate(d, p);
}

static void
log_progress(const struct pending *p)
{
	char eta[48] = "";

	if (p->eta_s >= 0)
		snprintf(eta, sizeof(eta), ", about %" PRId64 " s to go", p->eta_s);
	log_info("draining: %.1f MiB in %" PRIu64 " files left, %.1f MiB/s%s%s", (double)p->bytes / MIB, p->files,
	         (double)p->rate / MIB, eta, p->away ? "; the object store takes nothing (a second signal ends at once)" : "");
}

void
pending_drain(const struct daemon *d)
{
	const uint64_t second = 1000000000, start = pending_now_ns(), limit = d->config->drain_limit_ns;
	uint64_t said = 0, now = start;
	struct pending p;

	pending_ask(d, start, &p);
	while (p.files > 0 && (limit == 0 || now - start < limit)) {
		if (said == 0 || now - said >= second) {
			log_progress(&p);
			said = now;
		}
		usleep(ASK_US);
		pending_ask(d, start, &p);
		now = pending_now_ns();
	}
	if (p.files > 0)
		log_warn("shutdown.drain_limit is over: %.1f MiB in %" PRIu64 " files are not uploaded; the next start goes on with them",
		         (double)p.bytes / MIB, p.files);
	else if (p.stuck)
		log_warn("some files could not be uploaded, see above; they stay in the journal");
	else
		log_info("everything is uploaded");
}
