/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "tools/cmd.h"
#include "tools/control_client.h"
#include "tools/control_job.h"

struct args {
	struct config *config;
	bool json, force;
	uint64_t older_s;      /* empty: leaves what is younger */
	const char *path;      /* restore's, list's; empty's share; NULL: none */
};

static uint64_t
number(const json_t *j, const char *what)
{
	return (uint64_t)json_integer_value(json_object_get(j, what));
}

static const char *
text(const json_t *j, const char *what)
{
	const char *s = json_string_value(json_object_get(j, what));

	return s ? s : "?";
}

static int
print_json(json_t *j, int res)
{
	json_dumpf(j, stdout, JSON_INDENT(2));
	putchar('\n');
	json_decref(j);
	return res;
}

/* ---- list */

static const char *
utc(uint64_t second, char out[32])
{
	time_t t = (time_t)second;
	struct tm tm;

	if (!gmtime_r(&t, &tm) || !strftime(out, 32, "%Y-%m-%d %H:%M:%S", &tm))
		snprintf(out, 32, "%" PRIu64, second);
	return out;
}

/* At the path or below it; all without one. */
static bool
is_below(const char *path, const char *top)
{
	size_t len = top ? strlen(top) : 0;

	while (len > 0 && top[len - 1] == '/')
		len--;
	return !strncmp(path, top ? top : "", len) && (len == 0 || path[len] == '/' || path[len] == '\0');
}

static void
print_item(const json_t *e)
{
	const char *type = text(e, "type");
	bool plain = !strcmp(type, "file");
	char at[32], until[32];

	printf("%s  %s  %12s  %s%s\n", utc(number(e, "deleted"), at), utc(number(e, "until"), until),
		plain ? format_bytes(number(e, "size")) : type, text(e, "path"), strcmp(type, "directory") ? "" : "/");
}

static int
list(const struct args *a)
{
	json_t *all = json_array(), *j, *e;
	char url[128] = "/trash?from=";
	uint64_t shown = 0;
	size_t i;

	for (const char *next = ""; next;) {
		j = control_json("trash", a->config, url);
		if (!j || json_string_value(json_object_get(j, "error"))) {
			if (j)
				cmd_fail("trash", "%s", text(j, "error"));
			json_decref(j);
			json_decref(all);
			return 1;
		}
		json_array_foreach(json_object_get(j, "items"), i, e) {
			if (!is_below(text(e, "path"), a->path))
				continue;
			if (a->json)
				json_array_append(all, e);
			else if (shown == 0)
				printf("%-19s  %-19s  %12s  PATH\n", "REMOVED (UTC)", "STAYS UNTIL", "SIZE");
			if (!a->json)
				print_item(e);
			shown++;
		}
		next = json_string_value(json_object_get(j, "next"));
		if (next)
			snprintf(url, sizeof(url), "/trash?from=%s", next);
		json_decref(j);
	}
	if (a->json)
		return print_json(all, 0);
	json_decref(all);
	if (shown == 0)
		printf("nothing is in the trash%s%s\n", a->path ? " of what was at " : "", a->path ? a->path : "");
	return 0;
}

/* ---- restore */

static void
restore_progress(const json_t *j)
{
	fprintf(stderr, "\r%" PRIu64 " looked at, %" PRIu64 " found, %" PRIu64 " restored\033[K", number(j, "looked"), number(j, "found"),
		number(j, "restored"));
}

static int
restore(const struct args *a)
{
	json_t *j, *e;
	char url[16384];
	size_t i;
	int res;

	if (control_url(url, sizeof(url) - 10, "/trash/restore?path=", a->path) < 0)
		return cmd_fail("trash", "%.100s...: the path is too long", a->path);
	if (a->force)
		strcat(url, "&force=1");
	j = control_job("trash", a->config, url, "/trash/restore", !a->json && isatty(STDERR_FILENO) ? restore_progress : NULL);
	if (!j)
		return 1;
	res = number(j, "refused") > 0 || number(j, "found") == 0;
	if (a->json)
		return print_json(j, res);
	json_array_foreach(json_object_get(j, "list"), i, e)
		printf("%s stays in the trash: %s\n", text(e, "path"), text(e, "why"));
	if (number(j, "refused") > json_array_size(json_object_get(j, "list")))
		printf("and %" PRIu64 " more\n", number(j, "refused") - json_array_size(json_object_get(j, "list")));
	if (number(j, "found") == 0)
		cmd_fail("trash", "nothing that was at %s is in the trash", a->path);
	else
		printf("%" PRIu64 " restored", number(j, "restored"));
	if (number(j, "older"))
		printf(", %" PRIu64 " older versions stay", number(j, "older"));
	if (number(j, "found"))
		putchar('\n');
	json_decref(j);
	return res;
}

/* ---- empty */

static void
empty_progress(const json_t *j)
{
	fprintf(stderr, "\r%" PRIu64 " left\033[K", number(j, "left"));
}

static int
empty(const struct args *a)
{
	time_t now = time(NULL);
	char url[1024], start[64];
	json_t *j;

	/* Times are in whole seconds: so that what was removed just before this goes too, and nothing that is removed after. */
	while (a->older_s == 0 && time(NULL) == now)
		usleep(10000);
	snprintf(start, sizeof(start), "/trash/empty?before=%" PRIu64 "&share=", (uint64_t)MAX(now + 1 - (time_t)a->older_s, 0));
	if (control_url(url, sizeof(url), start, a->path ? a->path : "") < 0)
		return cmd_fail("trash", "%.100s...: the name is too long", a->path);
	j = control_job("trash", a->config, url, "/trash/empty", !a->json && isatty(STDERR_FILENO) ? empty_progress : NULL);
	if (!j)
		return 1;
	if (a->json)
		return print_json(j, 0);
	printf("%" PRIu64 " left in the trash, %s; objects are deleted in the background\n", number(j, "left"), format_bytes(number(j, "left_bytes")));
	json_decref(j);
	return 0;
}

/* ---- */

static const struct verb {
	const char *name;
	int (*run)(const struct args *a);
	int words, optional;
} verbs[] = {
	{ "list", list, 0, 1 },
	{ "restore", restore, 1, 0 },
	{ "empty", empty, 0, 1 },
};

int
cmd_trash(int argc, char **argv)
{
	static const struct option opts[] = {
		{ "json", no_argument, NULL, 'j' }, { "config", required_argument, NULL, 'c' }, { "force", no_argument, NULL, 'f' },
		{ "older-than", required_argument, NULL, 'o' }, { "help", no_argument, NULL, 'h' }, { 0 },
	};
	static struct config c;
	struct args a = { .config = &c };
	const char *file = NULL, *dir;
	const struct verb *v = NULL;
	uint64_t older_ns = 0;
	int o;

	while ((o = getopt_long(argc, argv, "h", opts, NULL)) != -1) {
		if (o == 'j')
			a.json = true;
		else if (o == 'f')
			a.force = true;
		else if (o == 'c')
			file = optarg;
		else if (o == 'o' && parse_duration(optarg, &older_ns) == 0)
			a.older_s = older_ns / 1000000000;
		else
			return cmd_usage("trash", o == 'h');
	}
	for (size_t i = 0; i < ARRAY_LEN(verbs) && optind < argc; i++)
		if (!strcmp(argv[optind], verbs[i].name))
			v = &verbs[i];
	int words = argc - optind - 1 - (file ? 0 : 1);

	if (!v || words < v->words || words > v->words + v->optional || (a.force && v->run != restore) || (older_ns && v->run != empty))
		return cmd_usage("trash", false);
	dir = file ? NULL : argv[optind + 1];
	a.path = words > 0 ? argv[argc - 1] : NULL;
	if (cmd_config_of("trash", file, dir, &c))
		return 1;
	return v->run(&a);
}
