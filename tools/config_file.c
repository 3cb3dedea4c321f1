/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/config_file.h"

#include <cyaml/cyaml.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <yaml.h>

#include "tools/config_words.h"

#define OPT CYAML_FLAG_OPTIONAL
#define STR(key, type, member) CYAML_FIELD_STRING_PTR(key, CYAML_FLAG_POINTER | OPT, type, member, 0, 4000)

static const cyaml_strval_t squash_names[] = {
	{ "none", SQUASH_NONE }, { "root", SQUASH_ROOT }, { "all", SQUASH_ALL },
};
#define WORD(word, value) { word, value },
static const cyaml_strval_t level_names[] = { LOG_LEVEL_WORDS(WORD) };
static const cyaml_strval_t wake_names[] = { CORE_WAKE_WORDS(WORD) };
static const cyaml_strval_t durability_names[] = {
	{ "local", DURABILITY_LOCAL }, { "remote", DURABILITY_REMOTE },
};
static const cyaml_strval_t style_names[] = { S3_STYLE_WORDS(WORD) };
static const cyaml_strval_t checksum_names[] = { S3_CHECKSUM_WORDS(WORD) };
static const cyaml_strval_t signature_names[] = { S3_SIGNATURE_WORDS(WORD) };
static const cyaml_strval_t verify_names[] = { VERIFY_WORDS(WORD) };
static const cyaml_schema_value_t client_schema = {
	CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char, 1, 63),
};
static const cyaml_schema_field_t trash_fields[] = {
	STR("retention", struct raw_trash, retention), CYAML_FIELD_END,
};
static const cyaml_schema_field_t share_fields[] = {
	CYAML_FIELD_STRING_PTR("name", CYAML_FLAG_POINTER, struct raw_share, name, 2, 63),
	CYAML_FIELD_SEQUENCE("clients", CYAML_FLAG_POINTER | OPT, struct raw_share, clients, &client_schema, 0,
	                     EXPORT_NETS_MAX),
	CYAML_FIELD_BOOL_PTR("read_only", CYAML_FLAG_POINTER | OPT, struct raw_share, read_only),
	CYAML_FIELD_ENUM_PTR("squash", CYAML_FLAG_POINTER | CYAML_FLAG_STRICT | OPT, struct raw_share, squash,
	                     squash_names, ARRAY_LEN(squash_names)),
	STR("compression", struct raw_share, compression),
	CYAML_FIELD_UINT_PTR("anon_uid", CYAML_FLAG_POINTER | OPT, struct raw_share, anon_uid),
	CYAML_FIELD_UINT_PTR("anon_gid", CYAML_FLAG_POINTER | OPT, struct raw_share, anon_gid),
	CYAML_FIELD_MAPPING_PTR("trash", CYAML_FLAG_POINTER | OPT, struct raw_share, trash, trash_fields),
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
	CYAML_FIELD_UINT_PTR("names", CYAML_FLAG_POINTER | OPT, struct raw_memory, names),
	CYAML_FIELD_BOOL_PTR("preload", CYAML_FLAG_POINTER | OPT, struct raw_memory, preload), CYAML_FIELD_END,
};
static const cyaml_schema_field_t network_fields[] = {
	STR("busy_poll", struct raw_network, busy_poll), STR("idle_timeout", struct raw_network, idle_timeout),
	STR("congestion", struct raw_network, congestion), STR("gather_replies", struct raw_network, gather_replies),
	CYAML_FIELD_UINT_PTR("max_connections", CYAML_FLAG_POINTER | OPT, struct raw_network, max_connections),
	CYAML_FIELD_BOOL_PTR("rpcbind", CYAML_FLAG_POINTER | OPT, struct raw_network, rpcbind), CYAML_FIELD_END,
};
static const cyaml_schema_field_t writeback_fields[] = {
	CYAML_FIELD_ENUM_PTR("durability", CYAML_FLAG_POINTER | CYAML_FLAG_STRICT | OPT, struct raw_writeback, durability,
	                     durability_names, ARRAY_LEN(durability_names)),
	STR("max_size", struct raw_writeback, max_size), STR("metadata_log", struct raw_writeback, metadata_log),
	STR("upload_delay", struct raw_writeback, upload_delay),
	STR("pack_below", struct raw_writeback, pack_below),
	CYAML_FIELD_FLOAT_PTR("free_space_ratio", CYAML_FLAG_POINTER | OPT, struct raw_writeback, free_space_ratio),
	CYAML_FIELD_UINT_PTR("max_pending", CYAML_FLAG_POINTER | OPT, struct raw_writeback, max_pending),
	CYAML_FIELD_UINT_PTR("uploads", CYAML_FLAG_POINTER | OPT, struct raw_writeback, uploads), CYAML_FIELD_END,
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
static const cyaml_schema_field_t compaction_fields[] = {
	CYAML_FIELD_UINT_PTR("merge", CYAML_FLAG_POINTER | OPT, struct raw_compaction, merge),
	CYAML_FIELD_UINT_PTR("gathered", CYAML_FLAG_POINTER | OPT, struct raw_compaction, gathered),
	CYAML_FIELD_FLOAT_PTR("repack", CYAML_FLAG_POINTER | OPT, struct raw_compaction, repack),
	STR("delay", struct raw_compaction, delay), STR("rate", struct raw_compaction, rate), CYAML_FIELD_END,
};
static const cyaml_schema_field_t garbage_fields[] = {
	STR("keep", struct raw_garbage, keep), CYAML_FIELD_END,
};
static const cyaml_schema_field_t backup_fields[] = {
	STR("every", struct raw_backup, every), STR("keep", struct raw_backup, keep), STR("rate", struct raw_backup, rate), CYAML_FIELD_END,
};
static const cyaml_schema_field_t encryption_fields[] = {
	STR("key_file", struct raw_encryption, key_file),
	STR("passphrase_file", struct raw_encryption, passphrase_file), CYAML_FIELD_END,
};
static const cyaml_schema_field_t shutdown_fields[] = {
	CYAML_FIELD_BOOL_PTR("drain", CYAML_FLAG_POINTER | OPT, struct raw_shutdown, drain),
	STR("drain_limit", struct raw_shutdown, drain_limit), CYAML_FIELD_END,
};
static const cyaml_schema_field_t metrics_fields[] = {
	STR("listen", struct raw_metrics, listen), CYAML_FIELD_END,
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
	CYAML_FIELD_ENUM_PTR("core_wake", CYAML_FLAG_POINTER | CYAML_FLAG_STRICT | OPT, struct raw, core_wake,
	                     wake_names, ARRAY_LEN(wake_names)),
	CYAML_FIELD_ENUM_PTR("log_level", CYAML_FLAG_POINTER | CYAML_FLAG_STRICT | OPT, struct raw, log_level,
	                     level_names, ARRAY_LEN(level_names)),
	SECTION(paths), SECTION(memory), SECTION(network), SECTION(cache), SECTION(writeback), SECTION(compaction), SECTION(garbage), SECTION(backup), SECTION(encryption),
	SECTION(shutdown), SECTION(metrics), SECTION(s3),
	CYAML_FIELD_SEQUENCE("shares", CYAML_FLAG_POINTER, struct raw, shares, &share_schema, 1, CONFIG_SHARES_MAX),
	CYAML_FIELD_END,
};
static const cyaml_schema_value_t schema = { CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct raw, fields) };

/* ---- errors: gathered as lines of "file:line: key: what" */

static void __attribute__((format(printf, 2, 3)))
say(struct config_file *f, const char *fmt, ...)
{
	va_list ap;

	if (f->len + 1 >= f->cap)
		return;
	va_start(ap, fmt);
	int n = vsnprintf(f->why + f->len, f->cap - f->len, fmt, ap);
	va_end(ap);
	if (n > 0)
		f->len = MIN(f->len + (size_t)n, f->cap - 1);
}

/*
 * libcyaml tells what is wrong in one message and where in those that follow,
 * innermost first: "  in mapping field 'squash' (line: 4, column: 13)".  Kept
 * as line, dotted key and what.
 */
static void __attribute__((format(printf, 3, 0)))
on_log(cyaml_log_t level, void *ctx, const char *fmt, va_list ap)
{
	struct config_file *f = ctx;
	char text[512], name[64], key[sizeof(f->key)];
	const char *at;
	unsigned line;

	if (level < CYAML_LOG_ERROR)
		return;
	vsnprintf(text, sizeof(text), fmt, ap);
	text[strcspn(text, "\n")] = '\0';
	if (!f->what[0])
		snprintf(f->what, sizeof(f->what), "%.*s", (int)sizeof(f->what) - 1, strncmp(text, "Load: ", 6) ? text : text + 6);
	if (!f->line && (at = strstr(text, "(line: ")) && sscanf(at, "(line: %u", &line) == 1)
		f->line = line;
	if ((at = strstr(text, "in mapping field '")) && sscanf(at, "in mapping field '%63[^']", name) == 1) {
		snprintf(key, sizeof(key), "%s%s%.180s", name, f->key[0] ? "." : "", f->key);
		memcpy(f->key, key, sizeof(key));
	} else if ((at = strstr(text, "in sequence entry '")) && sscanf(at, "in sequence entry '%u", &line) == 1) {
		snprintf(key, sizeof(key), "%u%s%.180s", line ? line - 1 : 0, f->key[0] ? "." : "", f->key);
		memcpy(f->key, key, sizeof(key));
	}
}

/* The line of a key that the schema does not know; libcyaml names only the one before it, and has read no further. */
static unsigned
line_of_key(const struct config_file *f, const char *name)
{
	if (!f->doc) /* what follows is no YAML */
		return f->line;
	for (yaml_node_t *n = f->doc->nodes.start; n < f->doc->nodes.top; n++)
		if (n->type == YAML_SCALAR_NODE && !strcmp((const char *)n->data.scalar.value, name))
			return (unsigned)n->start_mark.line + 1;
	return f->line;
}

/* What libcyaml found, as a sentence of ours. */
static void
say_schema(struct config_file *f, cyaml_err_t err)
{
	static const char unexpected[] = "Unexpected key: ";

	if (!strncmp(f->what, unexpected, sizeof(unexpected) - 1))
		say(f, "%s:%u: %s: there is no such key here; `dittofs config show` prints all there are", f->path,
			line_of_key(f, f->what + sizeof(unexpected) - 1), f->what + sizeof(unexpected) - 1);
	else
		say(f, "%s:%u: %s%s%s", f->path, f->line, f->key, f->key[0] ? ": " : "", f->what[0] ? f->what : cyaml_strerror(err));
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
void
config_file_bad(struct config_file *f, const char *key, const char *fmt, ...)
{
	yaml_node_t *n = f->doc ? node_of(f->doc, key) : NULL;
	char what[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	say(f, "%s%s:%zu: %s: %s", f->len ? "\n" : "", f->path, n ? n->start_mark.line + 1 : 0, key, what);
	f->err = -EINVAL;
}

/* Once more as a tree of nodes, which know their lines. */
static void
load_doc(struct config_file *f)
{
	yaml_parser_t parser;
	FILE *in = fopen(f->path, "re");

	if (!in || !yaml_parser_initialize(&parser)) {
		if (in)
			fclose(in);
		return;
	}
	yaml_parser_set_input_file(&parser, in);
	f->doc = calloc(1, sizeof(*f->doc));
	if (f->doc && !yaml_parser_load(&parser, f->doc)) {
		free(f->doc);
		f->doc = NULL;
	}
	yaml_parser_delete(&parser);
	fclose(in);
}

static cyaml_config_t
reader(struct config_file *f)
{
	return (cyaml_config_t){ .log_fn = on_log, .log_ctx = f, .log_level = CYAML_LOG_ERROR, .mem_fn = cyaml_mem };
}

int
config_file_load(struct config_file *f, const char *path, char *why, size_t why_len)
{
	cyaml_config_t cfg = reader(f);

	*f = (struct config_file){ .path = path, .why = why, .cap = why_len };
	why[0] = '\0';
	cyaml_err_t err = cyaml_load_file(path, &cfg, &schema, (cyaml_data_t **)&f->raw, NULL);

	load_doc(f);
	if (err == CYAML_OK && f->raw)
		return 0;
	if (err == CYAML_OK)
		say(f, "%s:1: the file is empty", path);
	else
		say_schema(f, err);
	return f->err = -EINVAL;
}

void
config_file_free(struct config_file *f)
{
	cyaml_config_t cfg = reader(f);

	cyaml_free(&cfg, &schema, f->raw, 0);
	if (f->doc)
		yaml_document_delete(f->doc);
	free(f->doc);
}
