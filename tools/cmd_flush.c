/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The server keeps nothing for who waits: it is asked again and again what is left of all that was
 * dirty at the first question.  So there is nothing to undo when this is interrupted.
 */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "tools/cmd.h"
#include "tools/control_client.h"

#define ASK_FIRST_US 5000
#define ASK_US       200000

struct flushing {
	uint64_t files, bytes, rate;
	int64_t eta_s;
	bool away, stuck;
	char url[64]; /* of the next question */
};

static int
ask(const struct config *c, struct flushing *f)
{
	char *body, why[256];
	json_t *j;

	if (control_get(c->control, f->url, &body, why) < 0)
		return cmd_fail("flush", "%s", why);
	j = json_loads(body, 0, NULL);
	free(body);
	if (!j)
		return cmd_fail("flush", "the server's answer is no JSON; is it of another version?");
	f->files = (uint64_t)json_integer_value(json_object_get(j, "files"));
	f->bytes = (uint64_t)json_integer_value(json_object_get(j, "bytes"));
	f->rate = (uint64_t)json_integer_value(json_object_get(j, "bytes_per_second"));
	f->eta_s = json_integer_value(json_object_get(j, "eta_s"));
	f->away = json_is_true(json_object_get(j, "store_away"));
	f->stuck = json_is_true(json_object_get(j, "stuck"));
	snprintf(f->url, sizeof(f->url), "/flush?since=%" PRId64, (int64_t)json_integer_value(json_object_get(j, "since")));
	json_decref(j);
	return 0;
}

/* One line that is written over again and again. */
static void
show(const struct flushing *f)
{
	char eta[32] = "";

	if (f->eta_s > 0)
		snprintf(eta, sizeof(eta), ", about %" PRId64 " s to go", f->eta_s);
	fprintf(stderr, "\r%.1f MiB in %" PRIu64 " files left, %.1f MiB/s%s%s\033[K", (double)f->bytes / MIB, f->files,
	        (double)f->rate / MIB, eta, f->away ? "; the object store takes nothing just now" : "");
}

static double
seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

int
cmd_flush(int argc, char **argv)
{
	struct flushing f = { .url = "/flush" };
	bool tty = isatty(STDERR_FILENO);
	double start = seconds();
	useconds_t wait = ASK_FIRST_US;
	uint64_t files, bytes;
	struct cmd_args a;

	if (!cmd_take(argc, argv, 0, &a))
		return a.status;
	if (ask(a.config, &f))
		return 1;
	files = f.files;
	bytes = f.bytes;
	for (; f.files > 0; wait = MIN(2 * wait, ASK_US)) {
		if (tty && !a.json)
			show(&f);
		usleep(wait);
		if (ask(a.config, &f))
			return 1;
	}
	if (tty && !a.json)
		fprintf(stderr, "\r\033[K");
	if (a.json)
		printf("{\"files\": %" PRIu64 ", \"bytes\": %" PRIu64 ", \"seconds\": %.3f, \"stuck\": %s}\n", files, bytes,
		       seconds() - start, f.stuck ? "true" : "false");
	else
		printf("%.1f MiB in %" PRIu64 " files uploaded in %.1f s\n", (double)bytes / MIB, files, seconds() - start);
	return f.stuck ? cmd_fail("flush", "some files cannot be uploaded; the server's log says why") : 0;
}
