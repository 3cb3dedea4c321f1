/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/health.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "tools/oncore.h"
#include "tools/totals.h"

/* One reason; counts it. */
static int __attribute__((format(printf, 2, 3)))
reason(FILE *out, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	if (out && vfprintf(out, fmt, ap) > 0)
		fputc('\n', out);
	va_end(ap);
	return 1;
}

static int
look_at_cores(const struct daemon *d, FILE *out)
{
	int core = on_core_silent(d->cores, HEALTH_ANSWER_MS);

	return core < 0 ? 0 : reason(out, "core %d has not answered for %d s", core, HEALTH_ANSWER_MS / 1000);
}

static int
look_at_store(const struct daemon *d, const struct file_stats *f, FILE *out)
{
	switch (-objstore_health(d->vol.store)) {
	case EACCES:
		return reason(out, "the object store refuses us: see the log for the setting that is wrong");
	case E_JUKEBOX:
		return reason(out, "the object store is away; writes stay in the journal");
	default:
		return f->away ? reason(out, "the object store takes no uploads; writes stay in the journal") : 0;
	}
}

static int
look_at_journal(const struct file_stats *f, FILE *out)
{
	uint64_t now = reactor_now_ns(), since_s = f->room_ns && now > f->room_ns ? (now - f->room_ns) / 1000000000 : 0;

	if (f->journal_broken)
		return reason(out, "the journal cannot be written; check its disk, then restart");
	if (since_s < HEALTH_ROOM_S)
		return 0;
	return reason(out, "the journal is full: writers have waited for %" PRIu64 " s", since_s);
}

static int
look_at_metadata(FILE *out)
{
	struct kv_stats s;

	kv_stats(&s);
	return s.error ? reason(out, "the metadata cannot be changed: %s", strerror(s.error < -999 ? EIO : -s.error)) : 0;
}

int
health_look(const struct daemon *d, FILE *out)
{
	struct file_stats f;

	totals_file(d, &f);
	return look_at_cores(d, out) + (d->draining ? reason(out, "shutting down") : 0) + look_at_store(d, &f, out) +
	       look_at_journal(&f, out) + look_at_metadata(out);
}

/* What costs speed and nothing else. */
static void
say_degraded(FILE *out)
{
	struct diskcache_dir dir;

	for (int i = 0; diskcache_dir(i, &dir); i++)
		if (!strcmp(dir.state, "failed"))
			fprintf(out, "degraded: the cache directory %s failed\n", dir.path);
}

/* What `look` has to say, which returns how many reasons it found; NULL: no memory.  The caller frees it. */
static char *
text_of(const struct daemon *d, int (*look)(const struct daemon *d, FILE *out), bool degraded, bool *well)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	*well = out && look(d, out) == 0;
	if (!out)
		return NULL;
	if (*well)
		fputs("ok\n", out);
	if (degraded)
		say_degraded(out);
	fclose(out);
	return text;
}

char *
health_text(const struct daemon *d, bool *well)
{
	return text_of(d, health_look, true, well);
}

char *
health_live_text(const struct daemon *d, bool *well)
{
	return text_of(d, look_at_cores, false, well);
}
