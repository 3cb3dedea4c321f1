/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/control_job.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tools/cmd.h"
#include "tools/control_client.h"

#define ASK_US 100000

json_t *
control_json(const char *cmd, const struct config *c, const char *url)
{
	char *body, why[256];

	if (control_get(c->control, url, &body, why) < 0) {
		cmd_fail(cmd, "%s", why);
		return NULL;
	}
	json_t *j = json_loads(body, 0, NULL);

	free(body);
	if (!j)
		cmd_fail(cmd, "the server's answer is no JSON; is it of another version?");
	return j;
}

json_t *
control_job(const char *cmd, const struct config *c, const char *start, const char *url, void (*progress)(const json_t *j))
{
	const char *error;
	json_t *j;

	for (;; start = url) {
		j = control_json(cmd, c, start);
		error = json_string_value(json_object_get(j, "error"));
		if (!j || error || !json_is_true(json_object_get(j, "running")))
			break;
		if (progress)
			progress(j);
		json_decref(j);
		usleep(ASK_US);
	}
	if (progress)
		fprintf(stderr, "\r\033[K");
	if (error) {
		cmd_fail(cmd, "%s", error);
		json_decref(j);
		return NULL;
	}
	return j;
}

int
control_job_main(int argc, char **argv, const char *start, const char *url, void (*progress)(const json_t *j),
                 void (*show)(const json_t *j), const char *bad)
{
	struct cmd_args a;
	json_t *j;
	int res;

	if (!cmd_take(argc, argv, 0, &a))
		return a.status;
	j = control_job(argv[0], a.config, start, url, !a.json && isatty(STDERR_FILENO) ? progress : NULL);
	if (!j)
		return 1;
	if (a.json)
		json_dumpf(j, stdout, JSON_INDENT(2)), putchar('\n');
	else
		show(j);
	res = json_integer_value(json_object_get(j, bad)) > 0;
	json_decref(j);
	return res;
}
