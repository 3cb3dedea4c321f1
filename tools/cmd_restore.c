/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "reactor/reactor.h"
#include "tools/cmd.h"
#include "tools/marker.h"
#include "tools/restore_place.h"
#include "tools/volume_keys.h"

struct restore_args {
	struct restore_place to;
	const char *share, *at;
	bool list, json;
	/* what the object store has */
	struct backup_place place;
	char prefix[64];
	struct backup_id *id;    /* sorted */
	size_t n;
	struct backup_manifest backup; /* the one that is chosen */
};

/* ---- where from */

/* Below one prefix; 1: there are some. */
static int
find_backups(struct restore_args *a, struct objstore *store, const char *prefix)
{
	struct backup_place at = { .store = store, .prefix = prefix };
	struct backup_id *id = NULL;
	size_t n = 0;
	int err = a->share && strcmp(a->share + (a->share[0] == '/'), prefix) ? 0 : backup_list(&at, &id, &n);

	if (err < 0)
		return cmd_fail("restore", "cannot list the backups in %s: %s", store->url, objstore_error(err));
	if (n > 0 && a->n > 0)
		cmd_fail("restore", "%s has backups of two volumes, %s and %s: say which with --share NAME", store->url, a->prefix, prefix);
	if (n == 0 || a->n > 0) {
		free(id);
		return n > 0;
	}
	snprintf(a->prefix, sizeof(a->prefix), "%s", prefix);
	a->id = id;
	a->n = n;
	return 0;
}

/* The prefix below which the backups are: that of the volume's first share. */
static int
find_place(struct restore_args *a, struct objstore *store)
{
	static char prefix[CONFIG_SHARES_MAX + 1][64];
	char why[256];
	int n = backup_find_prefixes(store, prefix, CONFIG_SHARES_MAX + 1), err;

	if (n < 0)
		return cmd_fail("restore", "cannot list the objects in %s: %s", store->url, objstore_error(n));
	for (int i = 0; i < n; i++)
		if (find_backups(a, store, prefix[i]))
			return 1;
	if (a->n == 0)
		return cmd_fail("restore", "there is no backup in %s%s", store->url, n == 0 ? ", nor any volume" : a->share ? " of that share" : "");
	a->place = (struct backup_place){ .store = store, .prefix = a->prefix };
	err = marker_read(store, a->prefix, a->place.uuid);
	if (err < 0)
		return cmd_fail("restore", "%s/dittofs.json in %s cannot be read: %s", a->prefix, store->url, backup_error(err));
	err = volume_unlock_objects(store, a->prefix, a->place.uuid, &a->to.config, &n, why);
	if (err < 0 && n > 0 && !a->to.config.key_file[0])
		return cmd_fail("restore", "the volume is encrypted: say with --encrypt-key FILE with which RSA key");
	return err < 0 ? cmd_fail("restore", "%s", why) : 0;
}

/* ---- list */

static json_t *
describe(struct restore_args *a, const struct backup_id *id)
{
	struct backup_manifest m = { 0 };
	char at[BACKUP_TIME], until[BACKUP_TIME] = "";
	int err = backup_read(&a->place, id, &m);
	json_t *j;

	backup_time(at, id->taken_s);
	if (err == 0)
		backup_time(until, m.until_s);
	j = json_pack("{s:s, s:I, s:I, s:I, s:I, s:s, s:s?}", "time", at, "taken", (json_int_t)id->taken_s, "epoch", (json_int_t)id->epoch,
		"files", (json_int_t)m.nfiles, "bytes", (json_int_t)backup_manifest_bytes(&m), "whole_until", until, "error",
		err < 0 ? backup_error(err) : NULL);
	backup_manifest_free(&m);
	return j;
}

static int
list(struct restore_args *a)
{
	json_t *all = json_array();

	if (!a->json)
		printf("%-24s %12s  %s\n", "BACKUP", "METADATA", "WHOLE UNTIL, AT LEAST");
	for (size_t i = 0; i < a->n; i++) {
		json_t *j = describe(a, &a->id[i]);
		const char *error = json_string_value(json_object_get(j, "error"));

		if (!a->json)
			printf("%-24s %12s  %s\n", json_string_value(json_object_get(j, "time")), error ? "-" :
				format_bytes((uint64_t)json_integer_value(json_object_get(j, "bytes"))), error ? error :
				json_string_value(json_object_get(j, "whole_until")));
		json_array_append_new(all, j);
	}
	if (a->json)
		json_dumpf(all, stdout, JSON_INDENT(2)), putchar('\n');
	json_decref(all);
	return 0;
}

/* ---- restore */

/* The newest, or the newest that is not after --at. */
static int
choose(struct restore_args *a, size_t *which)
{
	char first[BACKUP_TIME];
	uint64_t at_s = UINT64_MAX;
	size_t i = a->n;

	if (a->at && backup_time_parse(a->at, &at_s) < 0)
		return cmd_fail("restore", "--at '%s' is no time; write \"2026-11-27 00:15:00\", in UTC", a->at);
	while (i > 0 && a->id[i - 1].taken_s > at_s)
		i--;
	backup_time(first, a->id[0].taken_s);
	if (i == 0)
		return cmd_fail("restore", "there is none of that time: the first backup is of %s", first);
	*which = i - 1;
	return 0;
}

static int
fail_one(const struct restore_args *a, size_t which, const char *why)
{
	char at[BACKUP_TIME], before[BACKUP_TIME];

	backup_time(at, a->id[which].taken_s);
	if (which == 0)
		return cmd_fail("restore", "the backup of %s cannot be restored: %s; there is none before it", at, why);
	backup_time(before, a->id[which - 1].taken_s);
	return cmd_fail("restore", "the backup of %s cannot be restored: %s; the one before is of %s (--at \"%s\")", at, why, before, before);
}

static void
progress(const struct restore *r)
{
	fprintf(stderr, "\r\033[K%s of %s", format_bytes(r->done_bytes), format_bytes(r->total_bytes));
	if (r->done_bytes == r->total_bytes)
		fprintf(stderr, "\r\033[K");
}

static void
say_done(const struct restore_args *a, const struct restore *r)
{
	const struct restore_place *to = &a->to;
	char at[BACKUP_TIME], until[BACKUP_TIME];

	backup_time(at, a->backup.id.taken_s);
	backup_time(until, a->backup.until_s);
	printf("the metadata of %s is in %s: %" PRIu32 " files, %s\n", at, to->config.meta, a->backup.nfiles, format_bytes(r->total_bytes));
	printf("all that it needs stayed in the object store until %s at least; `dittofs fsck` tells whether it is there\n", until);
	printf("the server that wrote it is taken for lost, with what it had not uploaded.  Serve it:  dittofs serve %s%s --take-over\n",
		to->file ? "--config " : "", to->file ? to->file : to->dir);
}

static int
restore(struct restore_args *a)
{
	struct restore r = { .place = &a->place, .backup = &a->backup, .progress = isatty(STDERR_FILENO) ? progress : NULL };
	char why[256];
	size_t which = 0;

	if (choose(a, &which))
		return 1;
	int err = backup_read(&a->place, &a->id[which], &a->backup);
	if (err < 0)
		return fail_one(a, which, backup_error(err));
	if (restore_place_begin(&a->to, why) < 0)
		return cmd_fail("restore", "%s", why);
	r.dir = a->to.part;
	if (restore_run(&r, why) < 0)
		return fail_one(a, which, why);
	if (restore_place_finish(&a->to, &a->backup, why) < 0)
		return cmd_fail("restore", "%s", why);
	say_done(a, &r);
	return 0;
}

static int
with_store(struct restore_args *a)
{
	struct objstore *store;
	char why[256];
	int res;

	if (volume_store_open(&store, &a->to.config, 1, false, why) < 0)
		return cmd_fail("restore", "%s", why);
	res = volume_store_start(store, why) < 0 ? cmd_fail("restore", "%s", why) : 0;
	if (res == 0) {
		res = find_place(a, store);
		if (res == 0)
			res = a->list ? list(a) : restore(a);
		reactor_stop();
		reactor_join();
	}
	seal_stop();
	objstore_close(store);
	backup_manifest_free(&a->backup);
	free(a->id);
	return res;
}

int
cmd_restore(int argc, char **argv)
{
	static const struct option opts[] = {
		{ "objects", required_argument, NULL, 'o' }, { "endpoint", required_argument, NULL, 'e' },
		{ "region", required_argument, NULL, 'r' }, { "style", required_argument, NULL, 'y' },
		{ "credentials-file", required_argument, NULL, 'f' }, { "profile", required_argument, NULL, 'p' },
		{ "ca-file", required_argument, NULL, 'a' }, { "share", required_argument, NULL, 's' },
		{ "encrypt-key", required_argument, NULL, 'k' }, { "passphrase-file", required_argument, NULL, 'P' },
		{ "at", required_argument, NULL, 't' }, { "list", no_argument, NULL, 'l' }, { "json", no_argument, NULL, 'j' },
		{ "config", required_argument, NULL, 'c' }, { "help", no_argument, NULL, 'h' }, { 0 },
	};
	static struct restore_args a;
	struct restore_place *to = &a.to;
	char why[256];
	int o;

	a = (struct restore_args){ .to.key_file = "", .to.passphrase_file = "", .to.s3 = { .endpoint = "", .region = "", .credentials_file = "", .profile = "", .ca_file = "" } };
	while ((o = getopt_long(argc, argv, "h", opts, NULL)) != -1) {
		if (o == 'o')
			to->objects = optarg;
		else if (o == 'e')
			to->s3.endpoint = optarg;
		else if (o == 'r')
			to->s3.region = optarg;
		else if (o == 'y' && parse_style(optarg, &to->s3.style) == 0)
			;
		else if (o == 'f')
			to->s3.credentials_file = optarg;
		else if (o == 'p')
			to->s3.profile = optarg;
		else if (o == 'a')
			to->s3.ca_file = optarg;
		else if (o == 'k')
			to->key_file = optarg;
		else if (o == 'P')
			to->passphrase_file = optarg;
		else if (o == 's')
			a.share = optarg;
		else if (o == 't')
			a.at = optarg;
		else if (o == 'l')
			a.list = true;
		else if (o == 'j')
			a.json = true;
		else if (o == 'c')
			to->file = optarg;
		else
			return cmd_usage("restore", o == 'h');
	}
	to->dir = argc - optind == 1 ? argv[optind] : NULL;
	if (argc - optind > 1 || (to->file && (to->dir || to->objects)) || (!to->file && !to->dir && !(a.list && to->objects)) ||
	    (a.json && !a.list))
		return cmd_usage("restore", false);
	prctl(PR_SET_DUMPABLE, 0); /* as the server: no core dump of keys */
	log_set_level(LOG_WARN);
	if (restore_place_is_configured(to) ? cmd_config_of("restore", to->file, to->dir, &to->config) :
	    restore_place_flags(to, why) < 0 ? cmd_fail("restore", "%s", why) : 0)
		return 1;
	if (!a.list && restore_place_check(to, why) < 0)
		return cmd_fail("restore", "%s", why);
	return with_store(&a);
}
