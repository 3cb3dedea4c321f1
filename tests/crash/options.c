/* SPDX-License-Identifier: Apache-2.0 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/crash/run.h"

const char *const trash_retention[TRASHES] = { [TRASH_NONE] = "0", [TRASH_SHORT] = "1s", [TRASH_LONG] = "24h" };

int
options_usage(void)
{
	fprintf(stderr,
	        "usage: crash --binary PATH --dir DIR [--rounds N] [--seed S] [--cores N]\n"
	        "  --points 'NAME ...'   crash points of this build\n"
	        "  --powercut            damage what was not synced before each restart\n"
	        "  --overcut             and some of what was synced: this must fail\n"
	        "  --work-ms N           work this long in a round at most (default 700)\n"
	        "  --reformat N          a fresh volume every N rounds (default 40)\n"
	        "  --failures N          stop after N failures (default 1)\n"
	        "  --durability D        of all volumes, local or remote (default: in turn)\n"
	        "  --trash RETENTION     of all volumes: 0, 1s or 24h (default: in turn)\n"
	        "  --key FILE            of an RSA key: some volumes are encrypted\n"
	        "  --only PROC,...       work with these procedures, to narrow a failure down\n"
	        "  --no-resend           the server keeps no replies across a restart\n"
	        "  --no-usage            its FSSTAT is not of this volume alone\n"
	        "  --loose               attributes in its answers may lag behind\n"
	        "  --mount-offset N      MOUNT is answered N ports above NFS\n"
	        "  --verbose\n");
	return 2;
}

/* "CREATE,WRITE" as bits; 0 when one is unknown. */
static uint32_t
procs(const char *names)
{
	uint32_t set = 0;

	while (*names) {
		size_t len = strcspn(names, ",");
		uint32_t i = 0;

		while (i < NFS_PROCS && (strlen(nfs_proc_name(i)) != len ||
		                         strncmp(names, nfs_proc_name(i), len) != 0))
			i++;
		if (i == NFS_PROCS)
			return 0;
		set |= 1u << i;
		names += len + (names[len] == ',');
	}
	return set;
}

static enum trash
trash_parse(const char *retention)
{
	enum trash t = TRASH_NONE;

	while (t < TRASHES && strcmp(retention, trash_retention[t]) != 0)
		t++;
	return t;
}

int
options_parse(struct options *o, int argc, char **argv)
{
	static const struct option longs[] = {
		{ "binary", 1, NULL, 'b' },   { "dir", 1, NULL, 'd' },
		{ "rounds", 1, NULL, 'r' },   { "seed", 1, NULL, 's' },
		{ "cores", 1, NULL, 'c' },    { "points", 1, NULL, 'p' },
		{ "powercut", 0, NULL, 'P' }, { "overcut", 0, NULL, 'O' },
		{ "work-ms", 1, NULL, 'w' },  { "durability", 1, NULL, 'D' },
		{ "key", 1, NULL, 'k' },      { "trash", 1, NULL, 't' },
		{ "reformat", 1, NULL, 'f' }, { "failures", 1, NULL, 'F' },
		{ "only", 1, NULL, 'o' },     { "no-resend", 0, NULL, 'R' },
		{ "no-usage", 0, NULL, 'U' },
		{ "loose", 0, NULL, 'l' },    { "mount-offset", 1, NULL, 'm' }, { "verbose", 0, NULL, 'v' },
		{ NULL, 0, NULL, 0 },
	};
	int ch;

	*o = (struct options){ .rounds = 20, .failures = 1, .resend = true, .usage = true, .strict = true,
		               .work_ms = 700, .reformat = 40, .trash = TRASHES, .seed = (uint64_t)time(NULL) };
	while ((ch = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		switch (ch) {
		case 'b': o->binary = optarg; break;
		case 'd': o->dir = optarg; break;
		case 'r': o->rounds = atoi(optarg); break;
		case 's': o->seed = strtoull(optarg, NULL, 0); break;
		case 'c': o->cores = atoi(optarg); break;
		case 'p': o->points = optarg; break;
		case 'O': o->overcut = true; /* fall through */
		case 'P': o->powercut = true; break;
		case 'D': o->durability = optarg; break;
		case 'k': o->key = optarg; break;
		case 't':
			if ((o->trash = trash_parse(optarg)) == TRASHES)
				return -1;
			break;
		case 'w': o->work_ms = (uint32_t)atoi(optarg); break;
		case 'f': o->reformat = (uint32_t)atoi(optarg); break;
		case 'F': o->failures = atoi(optarg); break;
		case 'o':
			if (!(o->only = procs(optarg)))
				return -1;
			break;
		case 'R': o->resend = false; break;
		case 'U': o->usage = false; break;
		case 'l': o->strict = false; break;
		case 'm': o->mount_offset = atoi(optarg); break;
		case 'v': o->verbose = true; break;
		default: return -1;
		}
	}
	return o->binary && o->dir && o->rounds > 0 && o->work_ms >= 20 && o->reformat ? 0 : -1;
}
