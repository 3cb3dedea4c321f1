/* SPDX-License-Identifier: Apache-2.0 */
#include <cyaml/cyaml.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <yaml.h>

#include "store/block.h"
#include "tools/config.h"

/* The file as libcyaml loads it: everything optional is a pointer, NULL where absent. */
struct raw_share {
	char *name;
	char **clients;
	unsigned clients_count;
	bool *read_only;
	enum squash *squash;
	uint32_t *anon_uid, *anon_gid;
};

struct raw_paths { char *meta, *journal, *cache, *objects, *control; };
struct raw_memory { char *buffer_size, *metadata_cache; uint32_t *inodes, *names; };
struct raw_network { char *busy_poll, *idle_timeout, *congestion; uint32_t *max_connections; bool *rpcbind; };
enum durability { DURABILITY_LOCAL, DURABILITY_REMOTE };
struct raw_writeback {
	enum durability *durability;
	char *max_size, *upload_delay, *pack_below;
	double *free_space_ratio;
	uint32_t *max_pending, *uploads;
};
struct raw_cache {
	char **cache_dir;
	unsigned cache_dir_count;
	char *cache_size;
	double *free_space_ratio;
	enum disk_verify *verify_checksum;
	uint32_t *prefetch;
};
struct raw_shutdown { bool *drain; char *drain_limit; };
struct raw_s3 {
	char *endpoint, *region, *credentials_file, *profile, *ca_file, *congestion, *timeout, *hedge_after;
	enum s3_style *style;
	enum s3_checksum *checksum;
	enum s3_signature *signature;
	uint32_t *connections;
};

struct raw {
	uint32_t version;
	char *listen;
	uint32_t *cores;
	enum log_level *log_level;
	struct raw_paths *paths;
	struct raw_memory *memory;
	struct raw_network *network;
	struct raw_cache *cache;
	struct raw_writeback *writeback;
	struct raw_shutdown *shutdown;
	struct raw_s3 *s3;
	struct raw_share *shares;
	unsigned shares_count;
};

#define OPT CYAML_FLAG_OPTIONAL
#define STR(key, type, member) CYAML_FIELD_STRING_PTR(key, CYAML_FLAG_POINTER | OPT, type, member, 0, 4000)

static const cyaml_strval_t squash_names[] = {
	{ "none", SQUASH_NONE }, { "root", SQUASH_ROOT }, { "all", SQUASH_ALL },
};
static const cyaml_strval_t level_names[] = {
	{ "error", LOG_ERROR }, { "warn", LOG_WARN }, { "info", LOG_INFO }, { "debug", LOG_DEBUG },
};
static const cyaml_strval_t durability_names[] = {
	{ "local", DURABILITY_LOCAL }, { "remote", DURABILITY_REMOTE },
};
static const cyaml_strval_t style_names[] = {
	{ "auto", S3_AUTO }, { "path", S3_PATH }, { "virtual", S3_VIRTUAL },
};
static const cyaml_strval_t checksum_names[] = {
	{ "sha256", S3_SHA256 }, { "md5", S3_MD5 }, { "crc32c", S3_CRC32C }, { "none", S3_NOSUM },
};
static const cyaml_strval_t signature_names[] = {
	{ "v4", S3_V4 }, { "v2", S3_V2 },
};
static const cyaml_schema_value_t client_schema = {
	CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char, 1, 63),
};
static const cyaml_schema_field_t share_fields[] = {
	CYAML_FIELD_STRING_PTR("name", CYAML_FLAG_POINTER, struct raw_share, name, 2, 63),
	CYAML_FIELD_SEQUENCE("clients", CYAML_FLAG_POINTER | OPT, struct raw_share, clients, &client_schema, 0,
	                     EXPORT_NETS_MAX),
	CYAML_FIELD_BOOL_PTR("read_only", CYAML_FLAG_POINTER | OPT, struct raw_share, read_only),
	CYAML_FIELD_ENUM_PTR("squash", CYAML_FLAG_POINTER | CYAML_FLAG_STRICT | OPT, struct raw_share, squash,
	                     squash_names, ARRAY_LEN(squash_names)),
	CYAML_FIELD_UINT_PTR("anon_uid", CYAML_FLAG_POINTER | OPT, struct raw_share, anon_uid),
	CYAML_FIELD_UINT_PTR("anon_gid", CYAML_FLAG_POINTER | OPT, struct raw_share, anon_gid),
	CYAML_FIELD_END,
};
static const cyaml_schema_value_t share_schema = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct raw_share, share_fields),
};
static const cyaml_schema_field_t paths_fields[] = {
	STR("meta", struct raw_paths, meta), STR("journal", struct raw_paths, journal),
	STR("cache", struct raw_paths, cache), STR("objects", struct raw_paths, objects),
	STR("control", struct raw_paths, control), CYAML_FIELD_END,
};
static const cyaml_schema_field_t memory_fields[] = {
	STR("buffer_size", struct raw_memory, buffer_size),
	STR("metadata_cache", struct raw_memory, metadata_cache),
	CYAML_FIELD_UINT_PTR("inodes", CYAML_FLAG_POINTER | OPT, struct raw_memory, inodes),
	CYAML_FIELD_UINT_PTR("names", CYAML_FLAG_POINTER | OPT, struct raw_memory, names), CYAML_FIELD_END,
};
static const cyaml_schema_field_t network_fields[] = {
	STR("busy_poll", struct raw_network, busy_poll), STR("idle_timeout", struct raw_network, idle_timeout),
	STR("congestion", struct raw_network, congestion),
	CYAML_FIELD_UINT_PTR("max_connections", CYAML_FLAG_POINTER | OPT, struct raw_network, max_connections),
	CYAML_FIELD_BOOL_PTR("rpcbind", CYAML_FLAG_POINTER | OPT, struct raw_network, rpcbind), CYAML_FIELD_END,
};
static const cyaml_schema_field_t writeback_fields[] = {
	CYAML_FIELD_ENUM_PTR("durability", CYAML_FLAG_POINTER | CYAML_FLAG_STRICT | OPT, struct raw_writeback, durability,
	                     durability_names, ARRAY_LEN(durability_names)),
	STR("max_size", struct raw_writeback, max_size), STR("upload_delay", struct raw_writeback, upload_delay),
	STR("pack_below", struct raw_writeback, pack_below),
	CYAML_FIELD_FLOAT_PTR("free_space_ratio", CYAML_FLAG_POINTER | OPT, struct raw_writeback, free_space_ratio),
	CYAML_FIELD_UINT_PTR("max_pending", CYAML_FLAG_POINTER | OPT, struct raw_writeback, max_pending),
	CYAML_FIELD_UINT_PTR("uploads", CYAML_FLAG_POINTER | OPT, struct raw_writeback, uploads), CYAML_FIELD_END,
};
static const cyaml_strval_t verify_names[] = {
	{ "none", DISK_VERIFY_NONE }, { "full", DISK_VERIFY_FULL }, { "shrink", DISK_VERIFY_SHRINK },
	{ "extend", DISK_VERIFY_EXTEND },
};
static const cyaml_schema_value_t dir_schema = {
	CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char, 1, CONFIG_CACHE_DIR_MAX - 1),
};
static const cyaml_schema_field_t cache_fields[] = {
	CYAML_FIELD_SEQUENCE("cache_dir", CYAML_FLAG_POINTER | OPT, struct raw_cache, cache_dir, &dir_schema, 0,
	                     DISKCACHE_DIRS_MAX),
	STR("cache_size", struct raw_cache, cache_size),
	CYAML_FIELD_FLOAT_PTR("free_space_ratio", CYAML_FLAG_POINTER | OPT, struct raw_cache, free_space_ratio),
	CYAML_FIELD_ENUM_PTR("verify_checksum", CYAML_FLAG_POINTER | CYAML_FLAG_STRICT | OPT, struct raw_cache,
	                     verify_checksum, verify_names, ARRAY_LEN(verify_names)),
	CYAML_FIELD_UINT_PTR("prefetch", CYAML_FLAG_POINTER | OPT, struct raw_cache, prefetch), CYAML_FIELD_END,
};
static const cyaml_schema_field_t shutdown_fields[] = {
	CYAML_FIELD_BOOL_PTR("drain", CYAML_FLAG_POINTER | OPT, struct raw_shutdown, drain),
	STR("drain_limit", struct raw_shutdown, drain_limit), CYAML_FIELD_END,
};
static const cyaml_schema_field_t s3_fields[] = {
	STR("endpoint", struct raw_s3, endpoint), STR("region", struct raw_s3, region),
	CYAML_FIELD_ENUM_PTR("style", CYAML_FLAG_POINTER | CYAML_FLAG_STRICT | OPT, struct raw_s3, style, style_names,
	                     ARRAY_LEN(style_names)),
	CYAML_FIELD_ENUM_PTR("checksum", CYAML_FLAG_POINTER | CYAML_FLAG_STRICT | OPT, struct raw_s3, checksum,
	                     checksum_names, ARRAY_LEN(checksum_names)),
	CYAML_FIELD_ENUM_PTR("signature", CYAML_FLAG_POINTER | CYAML_FLAG_STRICT | OPT, struct raw_s3, signature,
	                     signature_names, ARRAY_LEN(signature_names)),
	STR("credentials_file", struct raw_s3, credentials_file), STR("profile", struct raw_s3, profile),
	STR("ca_file", struct raw_s3, ca_file), STR("congestion", struct raw_s3, congestion),
	CYAML_FIELD_UINT_PTR("connections", CYAML_FLAG_POINTER | OPT, struct raw_s3, connections),
	STR("timeout", struct raw_s3, timeout), STR("hedge_after", struct raw_s3, hedge_after), CYAML_FIELD_END,
};
#define SECTION(name) \
	CYAML_FIELD_MAPPING_PTR(#name, CYAML_FLAG_POINTER | OPT, struct raw, name, name##_fields)
static const cyaml_schema_field_t fields[] = {
	CYAML_FIELD_UINT("version", CYAML_FLAG_DEFAULT, struct raw, version),
	STR("listen", struct raw, listen),
	CYAML_FIELD_UINT_PTR("cores", CYAML_FLAG_POINTER | OPT, struct raw, cores),
	CYAML_FIELD_ENUM_PTR("log_level", CYAML_FLAG_POINTER | CYAML_FLAG_STRICT | OPT, struct raw, log_level,
	                     level_names, ARRAY_LEN(level_names)),
	SECTION(paths), SECTION(memory), SECTION(network), SECTION(cache), SECTION(writeback), SECTION(shutdown), SECTION(s3),
	CYAML_FIELD_SEQUENCE("shares", CYAML_FLAG_POINTER, struct raw, shares, &share_schema, 1, CONFIG_SHARES_MAX),
	CYAML_FIELD_END,
};
static const cyaml_schema_value_t schema = { CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct raw, fields) };

/* ---- errors: gathered as lines of "file:line: key: what" */

struct loader {
	struct config *c;
	const char *path;
	yaml_document_t doc;
	bool has_doc;
	char *why;
	size_t cap, len;
	int err;
	char what[256], key[256]; /* libcyaml's first finding */
	unsigned line;
};

static void __attribute__((format(printf, 2, 3)))
say(struct loader *l, const char *fmt, ...)
{
	va_list ap;

	if (l->len + 1 >= l->cap)
		return;
	va_start(ap, fmt);
	int n = vsnprintf(l->why + l->len, l->cap - l->len, fmt, ap);
	va_end(ap);
	if (n > 0)
		l->len = MIN(l->len + (size_t)n, l->cap - 1);
}

/*
 * libcyaml tells what is wrong in one message and where in those that follow,
 * innermost first: "  in mapping field 'squash' (line: 4, column: 13)".  Kept
 * as line, dotted key and what.
 */
static void __attribute__((format(printf, 3, 0)))
on_log(cyaml_log_t level, void *ctx, const char *fmt, va_list ap)
{
	struct loader *l = ctx;
	char text[512], name[64], key[sizeof(l->key)];
	const char *at;
	unsigned line;

	if (level < CYAML_LOG_ERROR)
		return;
	vsnprintf(text, sizeof(text), fmt, ap);
	text[strcspn(text, "\n")] = '\0';
	if (!l->what[0])
		snprintf(l->what, sizeof(l->what), "%.*s", (int)sizeof(l->what) - 1, strncmp(text, "Load: ", 6) ? text : text + 6);
	if (!l->line && (at = strstr(text, "(line: ")) && sscanf(at, "(line: %u", &line) == 1)
		l->line = line;
	if ((at = strstr(text, "in mapping field '")) && sscanf(at, "in mapping field '%63[^']", name) == 1) {
		snprintf(key, sizeof(key), "%s%s%.180s", name, l->key[0] ? "." : "", l->key);
		memcpy(l->key, key, sizeof(key));
	} else if ((at = strstr(text, "in sequence entry '")) && sscanf(at, "in sequence entry '%u", &line) == 1) {
		snprintf(key, sizeof(key), "%u%s%.180s", line ? line - 1 : 0, l->key[0] ? "." : "", l->key);
		memcpy(l->key, key, sizeof(key));
	}
}

/* The line of a key that the schema does not know; libcyaml names only the one before it. */
static unsigned
line_of_key(const struct loader *l, const char *name)
{
	for (yaml_node_t *n = l->doc.nodes.start; l->has_doc && n < l->doc.nodes.top; n++)
		if (n->type == YAML_SCALAR_NODE && !strcmp((const char *)n->data.scalar.value, name))
			return (unsigned)n->start_mark.line + 1;
	return l->line;
}

/* What libcyaml found, as a sentence of ours. */
static void
say_schema(struct loader *l, cyaml_err_t err)
{
	static const char unexpected[] = "Unexpected key: ";

	if (!strncmp(l->what, unexpected, sizeof(unexpected) - 1))
		say(l, "%s:%u: %s: there is no such key here; `dittofs config show` prints all there are", l->path,
			line_of_key(l, l->what + sizeof(unexpected) - 1), l->what + sizeof(unexpected) - 1);
	else
		say(l, "%s:%u: %s%s%s", l->path, l->line, l->key, l->key[0] ? ": " : "", l->what[0] ? l->what : cyaml_strerror(err));
}

/* The value node of a dotted key ("shares.1.squash"), or the nearest that exists. */
static yaml_node_t *
node_of(yaml_document_t *doc, const char *key)
{
	yaml_node_t *n = yaml_document_get_root_node(doc);
	char part[64];

	while (n && *key) {
		size_t len = strcspn(key, ".");

		snprintf(part, sizeof(part), "%.*s", (int)len, key);
		key += len + (key[len] == '.');
		yaml_node_t *next = NULL;

		if (n->type == YAML_MAPPING_NODE)
			for (yaml_node_pair_t *p = n->data.mapping.pairs.start; p < n->data.mapping.pairs.top; p++) {
				yaml_node_t *k = yaml_document_get_node(doc, p->key);

				if (k && !strcmp((const char *)k->data.scalar.value, part))
					next = yaml_document_get_node(doc, p->value);
			}
		else if (n->type == YAML_SEQUENCE_NODE) {
			yaml_node_item_t *item = n->data.sequence.items.start + atoi(part);

			if (item < n->data.sequence.items.top)
				next = yaml_document_get_node(doc, *item);
		}
		if (!next)
			break;
		n = next;
	}
	return n;
}

/* A value that the schema takes and we do not. */
static void __attribute__((format(printf, 3, 4)))
bad(struct loader *l, const char *key, const char *fmt, ...)
{
	yaml_node_t *n = l->has_doc ? node_of(&l->doc, key) : NULL;
	char what[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	say(l, "%s%s:%zu: %s: %s", l->len ? "\n" : "", l->path, n ? n->start_mark.line + 1 : 0, key, what);
	l->err = -EINVAL;
}

static void
load_doc(struct loader *l)
{
	yaml_parser_t parser;
	FILE *f = fopen(l->path, "re");

	if (!f || !yaml_parser_initialize(&parser)) {
		if (f)
			fclose(f);
		return;
	}
	yaml_parser_set_input_file(&parser, f);
	l->has_doc = yaml_parser_load(&parser, &l->doc);
	yaml_parser_delete(&parser);
	fclose(f);
}

/* ---- values */

static void
take_size(struct loader *l, const char *key, const char *s, uint64_t *out, uint64_t min, uint64_t max)
{
	uint64_t v;

	if (!s)
		return;
	if (parse_size(s, &v) < 0)
		bad(l, key, "'%s' is no size; write for instance 512MiB or 2GiB", s);
	else if (v < min || v > max)
		bad(l, key, "%s is out of range, %" PRIu64 " to %" PRIu64 " MiB are possible", s, min / MIB, max / MIB);
	else
		*out = v;
}

static void
take_duration(struct loader *l, const char *key, const char *s, uint64_t *out, uint64_t max_ns)
{
	uint64_t v;

	if (!s)
		return;
	if (parse_duration(s, &v) < 0)
		bad(l, key, "'%s' is no duration; write for instance 50us, 200ms, 5s or 0", s);
	else if (v > max_ns)
		bad(l, key, "%s is too long, at most %" PRIu64 " ms", s, max_ns / 1000000);
	else
		*out = v;
}

static void
take_uint(struct loader *l, const char *key, const uint32_t *v, uint32_t *out, uint32_t min, uint32_t max)
{
	if (!v)
		return;
	if (*v < min || *v > max)
		bad(l, key, "%u is out of range, %u to %u are possible", *v, min, max);
	else
		*out = *v;
}

static void
take_ratio(struct loader *l, const char *key, const double *v, double *out)
{
	if (!v)
		return;
	if (!(*v >= 0 && *v < 1))
		bad(l, key, "%g is out of range, 0 to 0.99 are possible", *v);
	else
		*out = *v;
}

/* An absolute path as it is, another below the config file's folder. */
static void
take_path(struct loader *l, const char *key, const char *s, char out[4096])
{
	char dir[4096];

	snprintf(dir, sizeof(dir), "%s", l->c->file);
	*strrchr(dir, '/') = '\0';
	int n = s[0] == '/' ? snprintf(out, 4096, "%s", s) : snprintf(out, 4096, "%s/%s", dir, s);
	if (n >= 4000)
		bad(l, key, "the path is too long");
}

static void
take_paths(struct loader *l, const struct raw_paths *p)
{
	struct config *c = l->c;
	const char *objects = p && p->objects ? p->objects : "file://objects";
	char path[4096];

	take_path(l, "paths.meta", p && p->meta ? p->meta : "meta", c->meta);
	take_path(l, "paths.journal", p && p->journal ? p->journal : "journal", c->journal);
	take_path(l, "paths.cache", p && p->cache ? p->cache : "cache", c->cache);
	take_path(l, "paths.control", p && p->control ? p->control : "control.sock", c->control);
	if (strncmp(objects, "s3://", 5) == 0 && objects[5]) {
		if ((size_t)snprintf(c->objects, sizeof(c->objects), "%s", objects) >= 250)
			bad(l, "paths.objects", "the bucket and prefix are too long");
		return;
	}
	if (strncmp(objects, "file://", 7) || !objects[7]) {
		bad(l, "paths.objects", "'%s' is no object store; write file://DIRECTORY or s3://BUCKET/PREFIX", objects);
		return;
	}
	take_path(l, "paths.objects", objects + 7, path);
	snprintf(c->objects, sizeof(c->objects), "file://%.4000s", path);
}

static void
take_text(struct loader *l, const char *key, const char *s, char *out, size_t room)
{
	if (!s)
		return;
	if (strlen(s) >= room)
		bad(l, key, "it is too long, at most %zu bytes", room - 1);
	snprintf(out, room, "%s", s);
}

/* A path, or "" for none. */
static void
take_file(struct loader *l, const char *key, const char *s, char out[512])
{
	char path[4096] = "";

	if (s && *s)
		take_path(l, key, s, path);
	take_text(l, key, path, out, 512);
}

static void
take_s3(struct loader *l, const struct raw_s3 *r)
{
	struct config *c = l->c;
	const uint64_t minute = 60 * 1000000000ULL;

	take_text(l, "s3.endpoint", r->endpoint, c->s3_endpoint, sizeof(c->s3_endpoint));
	if (c->s3_endpoint[0] && strncmp(c->s3_endpoint, "http://", 7) && strncmp(c->s3_endpoint, "https://", 8))
		bad(l, "s3.endpoint", "'%s' is no endpoint; write http://HOST:PORT or https://HOST", c->s3_endpoint);
	take_text(l, "s3.region", r->region, c->s3_region, sizeof(c->s3_region));
	take_file(l, "s3.credentials_file", r->credentials_file, c->s3_credentials);
	take_text(l, "s3.profile", r->profile, c->s3_profile, sizeof(c->s3_profile));
	take_file(l, "s3.ca_file", r->ca_file, c->s3_ca_file);
	take_text(l, "s3.congestion", r->congestion, c->s3_congestion, sizeof(c->s3_congestion));
	if (r->style)
		c->s3_style = *r->style;
	if (r->checksum)
		c->s3_checksum = *r->checksum;
	if (r->signature)
		c->s3_signature = *r->signature;
	take_uint(l, "s3.connections", r->connections, &c->s3_connections, 1, 4096);
	take_duration(l, "s3.timeout", r->timeout, &c->s3_timeout_ns, 10 * minute);
	if (c->s3_timeout_ns < 1000000000)
		bad(l, "s3.timeout", "too short, at least 1s");
	take_duration(l, "s3.hedge_after", r->hedge_after, &c->s3_hedge_after_ns, minute);
}

/* A local object store has the page cache before it: a disk cache only where one is asked for. */
static void
take_cache(struct loader *l, const struct raw_cache *r)
{
	struct config *c = l->c;
	char path[4096], key[64];

	for (unsigned i = 0; r && i < r->cache_dir_count; i++) {
		snprintf(key, sizeof(key), "cache.cache_dir.%u", i);
		take_path(l, key, r->cache_dir[i], path);
		if (strlen(path) >= CONFIG_CACHE_DIR_MAX)
			bad(l, key, "the path is too long");
		else
			memcpy(c->cache_dir[c->ncache_dirs++], path, strlen(path) + 1);
	}
	if (!(r && r->cache_dir) && strncmp(c->objects, "file://", 7) && strlen(c->cache) < CONFIG_CACHE_DIR_MAX)
		memcpy(c->cache_dir[c->ncache_dirs++], c->cache, strlen(c->cache) + 1);
	if (!r)
		return;
	take_size(l, "cache.cache_size", r->cache_size, &c->cache_bytes, 0, 1024 * 1024 * GIB);
	if (c->cache_bytes > 0 && c->cache_bytes < 64 * MIB)
		bad(l, "cache.cache_size", "less than 64MiB is none; 0 switches the disk cache off");
	take_ratio(l, "cache.free_space_ratio", r->free_space_ratio, &c->cache_free);
	if (r->verify_checksum)
		c->cache_verify = *r->verify_checksum;
	take_uint(l, "cache.prefetch", r->prefetch, &c->prefetch, 0, 64);
}

static void
take_share(struct loader *l, unsigned i, const struct raw_share *r)
{
	struct export *s = &l->c->shares[i];
	struct share_rec rec = { .id = i + 1 };
	char key[64], why[256];

	snprintf(rec.name, sizeof(rec.name), "%s", r->name);
	export_init(s, &rec);
	snprintf(key, sizeof(key), "shares.%u.name", i);
	if (r->name[0] != '/' || strchr(r->name + 1, '/') || !strcmp(r->name, "/.") || !strcmp(r->name, "/.."))
		bad(l, key, "'%s' is no share name; write one name behind a slash, like /export", r->name);
	for (unsigned k = 0; k < i; k++)
		if (!strcmp(l->c->shares[k].name, s->name))
			bad(l, key, "%s stands here twice", s->name);
	if (r->clients)
		s->nnets = 0;
	for (unsigned k = 0; k < r->clients_count; k++) {
		snprintf(key, sizeof(key), "shares.%u.clients.%u", i, k);
		if (export_net_parse(&s->net[k], r->clients[k], why) < 0)
			bad(l, key, "%s", why);
		s->nnets++;
	}
	if (r->read_only)
		s->read_only = *r->read_only;
	if (r->squash)
		s->squash = *r->squash;
	if (r->anon_uid)
		s->anon_uid = *r->anon_uid;
	if (r->anon_gid)
		s->anon_gid = *r->anon_gid;
}

static void
take_all(struct loader *l, const struct raw *r)
{
	struct config *c = l->c;
	const uint64_t hour = 3600 * 1000000000ULL;

	if (r->version != 1)
		bad(l, "version", "%u is not known to dittofs " VERSION ", which reads version 1", r->version);
	if (r->listen && parse_listen(r->listen, &c->listen) < 0)
		bad(l, "listen", "'%s' is no address; write for instance 127.0.0.1:12049 or [::]:12049", r->listen);
	take_uint(l, "cores", r->cores, &c->cores, 0, 64);
	if (r->log_level)
		c->log_level = *r->log_level;
	take_paths(l, r->paths);
	take_cache(l, r->cache);
	if (r->memory) {
		take_size(l, "memory.buffer_size", r->memory->buffer_size, &c->buffer_bytes, 64 * MIB, 1024 * GIB);
		take_size(l, "memory.metadata_cache", r->memory->metadata_cache, &c->metadata_cache_bytes, 8 * MIB, 1024 * GIB);
		take_uint(l, "memory.inodes", r->memory->inodes, &c->inodes, 1024, 1u << 28);
		take_uint(l, "memory.names", r->memory->names, &c->names, 1024, 1u << 30);
	}
	if (r->network) {
		take_duration(l, "network.busy_poll", r->network->busy_poll, &c->busy_poll_ns, 1000000000);
		take_duration(l, "network.idle_timeout", r->network->idle_timeout, &c->idle_timeout_ns, 24 * hour);
		take_uint(l, "network.max_connections", r->network->max_connections, &c->max_connections, 1, 1000000);
		if (r->network->rpcbind)
			c->rpcbind = *r->network->rpcbind;
		if (r->network->congestion) {
			if (strlen(r->network->congestion) >= sizeof(c->congestion))
				bad(l, "network.congestion", "the name is too long; see /proc/sys/net/ipv4/tcp_available_congestion_control");
			snprintf(c->congestion, sizeof(c->congestion), "%s", r->network->congestion);
		}
	}
	if (r->writeback) {
		take_size(l, "writeback.max_size", r->writeback->max_size, &c->journal_bytes, 64 * MIB, 1024 * GIB);
		take_duration(l, "writeback.upload_delay", r->writeback->upload_delay, &c->upload_delay_ns, hour);
		take_size(l, "writeback.pack_below", r->writeback->pack_below, &c->pack_below, 0, BLOCK_BYTES);
		take_ratio(l, "writeback.free_space_ratio", r->writeback->free_space_ratio, &c->journal_free);
		take_uint(l, "writeback.max_pending", r->writeback->max_pending, &c->max_pending, 0, UINT32_MAX);
		take_uint(l, "writeback.uploads", r->writeback->uploads, &c->uploads, 1, 256);
		if (r->writeback->durability)
			c->remote = *r->writeback->durability == DURABILITY_REMOTE;
	}
	if (r->shutdown) {
		if (r->shutdown->drain)
			c->drain = *r->shutdown->drain;
		take_duration(l, "shutdown.drain_limit", r->shutdown->drain_limit, &c->drain_limit_ns, 24 * hour);
	}
	if (r->s3)
		take_s3(l, r->s3);
	for (unsigned i = 0; i < r->shares_count; i++)
		take_share(l, i, &r->shares[i]);
	c->nshares = r->shares_count;
}

static void
set_defaults(struct config *c)
{
	*c = (struct config){
		.log_level = LOG_INFO,
		.buffer_bytes = 512 * MIB,
		.metadata_cache_bytes = 128 * MIB,
		.inodes = 262144,
		.names = 1572864,
		.busy_poll_ns = 50000,
		.max_connections = 4096,
		.journal_bytes = 2 * GIB,
		.upload_delay_ns = 5000000000,
		.journal_free = 0.1,
		.pack_below = PACK_BELOW_BYTES,
		.uploads = 8,
		.drain = true,
		.cache_bytes = 100 * GIB,
		.cache_free = 0.1,
		.cache_verify = DISK_VERIFY_EXTEND,
		.prefetch = 1,
		.s3_connections = 32,
		.s3_timeout_ns = 30 * 1000000000ULL,
		.s3_hedge_after_ns = 1000000000,
	};
	parse_listen("127.0.0.1:12049", &c->listen);
}

int
config_load(struct config *c, const char *path, char *why, size_t why_len)
{
	struct loader l = { .c = c, .path = path, .why = why, .cap = why_len };
	const cyaml_config_t cfg = {
		.log_fn = on_log, .log_ctx = &l, .log_level = CYAML_LOG_ERROR, .mem_fn = cyaml_mem,
	};
	struct raw *raw = NULL;

	why[0] = '\0';
	set_defaults(c);
	if (!realpath(path, c->file)) {
		say(&l, "%s: %s; `dittofs format DIR` makes a volume with its %s", path, strerror(errno), CONFIG_FILE);
		return -errno;
	}
	cyaml_err_t err = cyaml_load_file(path, &cfg, &schema, (cyaml_data_t **)&raw, NULL);
	load_doc(&l);
	if (err != CYAML_OK || !raw) {
		l.err = -EINVAL;
		if (err == CYAML_OK)
			say(&l, "%s:1: the file is empty", path);
		else
			say_schema(&l, err);
	} else {
		take_all(&l, raw);
	}
	cyaml_free(&cfg, &schema, raw, 0);
	if (l.has_doc)
		yaml_document_delete(&l.doc);
	return l.err;
}
