/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Small limits for some volumes, by lot: a journal that wraps and fills, uploads that
 * never rest, caches that throw out.  Rewrites `key: value` lines of the volume's
 * dittofs.yaml; a server that has none is left as it is.
 */
#include <stdio.h>
#include <stdlib.h>

#include "tests/crash/run.h"

enum { TEXT_MAX = 64 << 10 };

struct choice {
	const char *key;
	const char *values[4];
};

static const struct choice choices[] = {
	{ "buffer_size", { "64MiB", "64MiB", "128MiB", "512MiB" } },
	{ "metadata_cache", { "8MiB", "8MiB", "32MiB", "128MiB" } },
	{ "inodes", { "1024", "1024", "2048", "262144" } },
	{ "max_size", { "64MiB", "64MiB", "128MiB", "512MiB" } },
	{ "metadata_log", { "1MiB", "1MiB", "8MiB", "64MiB" } },
	{ "upload_delay", { "50ms", "200ms", "1s", "5s" } },
	/* merging of slices: all the time, beside uploads of everything, or hardly ever */
	{ "merge", { "2", "2", "2", "5" } },
	{ "gathered", { "2", "20", "100", "100" } },
	{ "delay", { "1ms", "10ms", "10ms", "100ms" } },
	{ "rate", { "1GiB", "1GiB", "1GiB", "64MiB" } },
	/* of what the rounds write zeros and each fourth pattern get shorter */
	{ "compression", { "none", "lz4", "zstd:1", "zstd:3" } },
	/* what is not needed any more goes while readers may just not be at it any more, and packs are written anew */
	{ "repack", { "0.95", "0.95", "0.95", "0.5" } },
	{ "keep", { "5s", "5s", "5s", "15s" } },
	/* objects in a local directory have no disk cache by themselves */
	{ "# cache_dir", { "[cache]", "[cache]", "[cache]", NULL } },
	{ "cache_size", { "64MiB", "64MiB", "128MiB", "1GiB" } },
};

static const char *
chosen(struct rng *rng, const struct tune *t, const char *line, size_t *indent)
{
	const struct { const char *key, *value; } given[] = { { "durability", t->durability }, { "retention", t->retention } };

	*indent = strspn(line, " ");
	for (size_t i = 0; i < sizeof(given) / sizeof(given[0]); i++) {
		size_t len = strlen(given[i].key);

		if (strncmp(line + *indent, given[i].key, len) == 0 && line[*indent + len] == ':') {
			*indent += len;
			return given[i].value;
		}
	}
	for (size_t i = 0; i < sizeof(choices) / sizeof(choices[0]); i++) {
		size_t len = strlen(choices[i].key);

		if (strncmp(line + *indent, choices[i].key, len) == 0 && line[*indent + len] == ':') {
			*indent += len;
			return choices[i].values[rng_below(rng, 4)];
		}
	}
	return NULL;
}

void
tune_volume(struct rng *rng, const char *dir, const struct tune *t, char *note, size_t len)
{
	char path[320], line[512], *text = malloc(TEXT_MAX);
	size_t n = 0, told = 0, indent, key;
	FILE *f;

	snprintf(path, sizeof(path), "%s/dittofs.yaml", dir);
	f = fopen(path, "r");
	note[0] = 0;
	while (f && text && fgets(line, sizeof(line), f) && n + sizeof(line) < TEXT_MAX) {
		const char *value = chosen(rng, t, line, &indent);

		if (!value) {
			n += (size_t)snprintf(text + n, TEXT_MAX - n, "%s", line);
			continue;
		}
		line[indent] = 0;
		key = strspn(line, " #");
		memmove(line + strspn(line, " "), line + key, strlen(line + key) + 1);
		n += (size_t)snprintf(text + n, TEXT_MAX - n, "%s: %s\n", line, value);
		told += (size_t)snprintf(note + told, len - told, " %s=%s", line + strspn(line, " "),
		                         value);
	}
	if (f)
		fclose(f);
	f = n ? fopen(path, "w") : NULL;
	if (f) {
		fwrite(text, 1, n, f);
		fclose(f);
	}
	free(text);
}
