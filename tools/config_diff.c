/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/config_diff.h"

#include <assert.h>
#include <fnmatch.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "reactor/base.h"

#define KEY_MAX 256

struct differ {
	void (*fn)(void *arg, const char *key, const char *was, const char *is);
	void *arg;
};

static void
tell(const struct differ *d, const char *key, const json_t *was, const json_t *is)
{
	const int how = JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(6);
	char *a = was ? json_dumps(was, how) : NULL, *b = is ? json_dumps(is, how) : NULL;

	d->fn(d->arg, key, a ? a : "", b ? b : "");
	free(a);
	free(b);
}

static json_t *
named(const json_t *list, const char *name)
{
	json_t *e;
	size_t i;

	json_array_foreach((json_t *)list, i, e) {
		const char *its = json_string_value(json_object_get(e, "name"));

		if (its && !strcmp(its, name))
			return e;
	}
	return NULL;
}

static void diff(const struct differ *d, const char *key, json_t *was, json_t *is);

/* Shares are told apart by their names, wherever they stand. */
static void
diff_named(const struct differ *d, const char *key, json_t *was, json_t *is)
{
	char below[KEY_MAX];
	json_t *e;
	size_t i;

	json_array_foreach(was, i, e) {
		const char *name = json_string_value(json_object_get(e, "name"));

		snprintf(below, sizeof(below), "%s.%s", key, name);
		diff(d, below, e, named(is, name));
	}
	json_array_foreach(is, i, e) {
		const char *name = json_string_value(json_object_get(e, "name"));

		snprintf(below, sizeof(below), "%s.%s", key, name);
		if (!named(was, name))
			tell(d, below, NULL, e);
	}
}

/* Every config has the same keys, so those of the one are those of the other. */
static void
diff(const struct differ *d, const char *key, json_t *was, json_t *is)
{
	char below[KEY_MAX];
	const char *name;
	json_t *e;

	if (json_is_object(was) && json_is_object(is)) {
		json_object_foreach(was, name, e) {
			snprintf(below, sizeof(below), "%s%s%s", key, key[0] ? "." : "", name);
			diff(d, below, e, json_object_get(is, name));
		}
	} else if (json_is_object(json_array_get(was, 0)) && json_is_object(json_array_get(is, 0))) {
		diff_named(d, key, was, is);
	} else if (!is || !json_equal(was, is)) {
		tell(d, key, was, is);
	}
}

void
config_diff(const char *old, const char *new, void (*fn)(void *arg, const char *key, const char *was, const char *is), void *arg)
{
	const struct differ d = { fn, arg };
	json_t *was = json_loads(old, 0, NULL), *is = json_loads(new, 0, NULL);

	if (was && is)
		diff(&d, "", was, is);
	json_decref(was);
	json_decref(is);
}

bool
config_is_live(const char *key)
{
	static const char *const live[] = {
		"log_level", "writeback.upload_delay", "writeback.pack_below", "writeback.max_pending", "compaction.*", "garbage.keep",
		"shutdown.*", "shares.*.clients", "shares.*.read_only", "shares.*.squash", "shares.*.anon_uid", "shares.*.anon_gid",
		"shares.*.trash.retention",
	};

	for (size_t i = 0; i < ARRAY_LEN(live); i++)
		if (fnmatch(live[i], key, 0) == 0)
			return true;
	return false;
}
