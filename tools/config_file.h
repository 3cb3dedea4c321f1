/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The YAML file by its schema, before anybody has looked at what the values mean.  The only user of libcyaml and
 * libyaml.  Main thread; blocking.
 */
#ifndef TOOLS_CONFIG_FILE_H
#define TOOLS_CONFIG_FILE_H

#include "tools/config.h"

/* As libcyaml loads it: everything optional is a pointer, NULL where absent. */
struct raw_trash { char *retention; };
struct raw_share {
	char *name;
	char **clients;
	unsigned clients_count;
	bool *read_only;
	enum squash *squash;
	char *compression;
	uint32_t *anon_uid, *anon_gid;
	struct raw_trash *trash;
};

struct raw_paths { char *meta, *journal, *cache, *objects, *control; };
struct raw_memory { char *buffer_size, *metadata_cache; uint32_t *inodes, *names; bool *preload; };
struct raw_network { char *busy_poll, *idle_timeout, *congestion, *gather_replies; uint32_t *max_connections; bool *rpcbind; };
enum durability { DURABILITY_LOCAL, DURABILITY_REMOTE };
struct raw_writeback {
	enum durability *durability;
	char *max_size, *metadata_log, *upload_delay, *pack_below;
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
struct raw_compaction { uint32_t *merge, *gathered; double *repack; char *delay, *rate; };
struct raw_garbage { char *keep; };
struct raw_backup { char *every, *keep, *rate; };
struct raw_encryption { char *key_file, *passphrase_file; };
struct raw_shutdown { bool *drain; char *drain_limit; };
struct raw_metrics { char *listen; };
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
	enum reactor_wake *core_wake;
	enum log_level *log_level;
	struct raw_paths *paths;
	struct raw_memory *memory;
	struct raw_network *network;
	struct raw_cache *cache;
	struct raw_writeback *writeback;
	struct raw_compaction *compaction;
	struct raw_garbage *garbage;
	struct raw_backup *backup;
	struct raw_encryption *encryption;
	struct raw_shutdown *shutdown;
	struct raw_metrics *metrics;
	struct raw_s3 *s3;
	struct raw_share *shares;
	unsigned shares_count;
};

struct config_file {
	const char *path;
	struct raw *raw;
	int err;
	/* private: sentences, libcyaml's first finding, and the document once more, for its line numbers */
	char *why;
	size_t cap, len;
	char what[256], key[256];
	unsigned line;
	struct yaml_document_s *doc; /* NULL: it is no YAML at all */
};

/* 0; or -EINVAL, with "file:line: key: what is wrong" in why[], where the schema does not take it.  Free it in either case. */
int  config_file_load(struct config_file *f, const char *path, char *why, size_t why_len);
void config_file_free(struct config_file *f);
/* A value that the schema takes and we do not: one more such line, and f->err.  `key` is dotted: "shares.1.squash". */
void config_file_bad(struct config_file *f, const char *key, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

#endif
