/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "meta/record.h"
#include "tools/cmd.h"

int
cmd_version(int argc, char **argv)
{
	if (argc > 1 && !strcmp(argv[1], "--json"))
		printf("{\"version\": \"%s\", \"format\": %d}\n", VERSION, FORMAT_VERSION);
	else if (argc > 1)
		return cmd_usage("version", !strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"));
	else
		printf("dittofs %s, volume format %d\n", VERSION, FORMAT_VERSION);
	return 0;
}
