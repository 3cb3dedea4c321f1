/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "tools/cmd.h"
#include "tools/config_diff.h"
#include "tools/control_client.h"

static void
say(void *arg, const char *key, const char *was, const char *is)
{
	(void)arg;
	printf("%s: %s, the running server has %s: %s\n", key, is[0] ? is : "gone", was[0] ? was : "no such share",
		config_is_live(key) ? "SIGHUP makes it take it" : "from the next start on");
}

/* With a server that runs on it, if there is one. */
static void
compare(const struct config *c)
{
	char *running, *file, why[256];

	if (control_get(c->control, "/config", &running, why) < 0)
		return;
	file = config_show_json(c);
	config_diff(running, file, say, NULL);
	free(file);
	free(running);
}

int
cmd_config(int argc, char **argv)
{
	static const struct option opts[] = {
		{ "json", no_argument, NULL, 'j' }, { "help", no_argument, NULL, 'h' }, { 0 },
	};
	static struct config c;
	bool json = false;
	struct stat st;
	int o;

	while ((o = getopt_long(argc, argv, "h", opts, NULL)) != -1) {
		if (o != 'j')
			return cmd_usage("config", o == 'h');
		json = true;
	}
	if (argc - optind != 2)
		return cmd_usage("config", false);
	const char *verb = argv[optind], *where = argv[optind + 1];
	bool dir = stat(where, &st) == 0 && S_ISDIR(st.st_mode);

	if (strcmp(verb, "check") && strcmp(verb, "show"))
		return cmd_usage("config", false);
	if (cmd_config_of("config", dir ? NULL : where, where, &c))
		return 1;
	if (!strcmp(verb, "check")) {
		printf("%s: fine\n", c.file);
		compare(&c);
		return 0;
	}
	char *text = json ? config_show_json(&c) : config_show(&c);

	printf("%s%s", text, json ? "\n" : "");
	free(text);
	return 0;
}
