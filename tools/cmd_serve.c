/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>

#include "tools/cmd.h"
#include "tools/daemon.h"

static int
take_cores(const char *s, uint32_t *cores)
{
	char *end;
	unsigned long n = strtoul(s, &end, 10);

	if (!*s || *end || n > REACTOR_MAX_CORES)
		return cmd_fail("serve", "--cores %s: a number from 0 to %d, please", s, REACTOR_MAX_CORES);
	*cores = (uint32_t)n;
	return 0;
}

int
cmd_serve(int argc, char **argv)
{
	static const struct option opts[] = {
		{ "listen", required_argument, NULL, 'l' }, { "cores", required_argument, NULL, 'n' },
		{ "config", required_argument, NULL, 'c' }, { "log-level", required_argument, NULL, 'v' },
		{ "take-over", no_argument, NULL, 't' }, { "metrics", required_argument, NULL, 'm' },
		{ "help", no_argument, NULL, 'h' }, { 0 },
	};
	static struct config c;
	const char *file = NULL, *listen = NULL, *cores = NULL, *level = NULL, *metrics = NULL;
	bool take_over = false;
	char why[256] = "";
	int o;

	while ((o = getopt_long(argc, argv, "h", opts, NULL)) != -1) {
		switch (o) {
		case 'l': listen = optarg; break;
		case 'n': cores = optarg; break;
		case 'c': file = optarg; break;
		case 'v': level = optarg; break;
		case 'm': metrics = optarg; break;
		case 't': take_over = true; break;
		default: return cmd_usage("serve", o == 'h');
		}
	}
	if (argc - optind != (file ? 0 : 1))
		return cmd_usage("serve", false);
	if (cmd_config_of("serve", file, argv[optind], &c))
		return 1;
	char *seen = config_show_json(&c);
	if (listen && parse_listen(listen, &c.listen) < 0)
		return cmd_fail("serve", "--listen %s: an address like 127.0.0.1:12049 or [::]:12049, please", listen);
	if (metrics && metrics[0] && parse_listen(metrics, &c.metrics) < 0)
		return cmd_fail("serve", "--metrics %s: an address like 127.0.0.1:12050, please", metrics);
	if (metrics && !metrics[0])
		c.metrics.ss_family = 0;
	if (cores && take_cores(cores, &c.cores))
		return 1;
	if (level && log_level_parse(level) < 0)
		return cmd_fail("serve", "--log-level %s: one of error, warn, info, debug, please", level);
	if (level)
		c.log_level = (enum log_level)log_level_parse(level);
	c.take_over = take_over;
	int err = daemon_run(&c, seen, why);
	return err < 0 ? cmd_fail("serve", "%s", why[0] ? why : strerror(err < -999 ? EIO : -err)) : 0;
}
