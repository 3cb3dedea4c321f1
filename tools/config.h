/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dittofs.yaml: one file, checked against a schema (libcyaml), every error
 * with its line and key.  Relative paths are relative to the file's folder.
 * Secrets never stand in it.  Start-up only, one thread.
 */
#ifndef TOOLS_CONFIG_H
#define TOOLS_CONFIG_H

#include <netinet/in.h>
#include <sys/socket.h>

#include "proto/export.h"
#include "reactor/log.h"
#include "reactor/reactor.h"
#include "store/codec.h"
#include "store/diskcache.h"
#include "store/s3.h"

#define CONFIG_SHARES_MAX 32
#define CONFIG_CACHE_DIR_MAX 960
#define CONFIG_FILE "dittofs.yaml"
#define CONFIG_FORMATTED "formatted"
#define GARBAGE_KEEP_LEAST_NS 5000000000u

/* shares.N.compression: of new data. */
struct config_compression {
	bool formatted;                               /* as the volume's record of the share says; format: none */
	struct codec_choice choice;
};

struct config {
	char file[4096];                              /* where it came from */
	struct sockaddr_storage listen;
	uint32_t cores;                               /* 0: as many as this process may use */
	enum reactor_wake core_wake;
	enum log_level log_level;
	struct sockaddr_storage metrics;              /* metrics.listen; ss_family 0: off */

	char meta[4096], journal[4096], cache[4096], control[4096]; /* absolute */
	char objects[4096];                           /* file:///... or s3://bucket/prefix */

	char s3_endpoint[256], s3_region[64];         /* "": see store/s3.h; used with s3:// only */
	enum s3_style s3_style;
	enum s3_checksum s3_checksum;
	enum s3_signature s3_signature;
	char s3_credentials[512], s3_profile[64], s3_ca_file[512], s3_congestion[16];
	uint32_t s3_connections;                      /* all cores */
	uint64_t s3_timeout_ns, s3_hedge_after_ns;

	uint64_t buffer_bytes, metadata_cache_bytes;
	uint32_t inodes;                              /* in memory, all cores */
	uint32_t names;                               /* in short form beside them, all cores; 0: by the machine's memory */
	bool preload;                                 /* both are read from RocksDB after a start */

	uint64_t busy_poll_ns, idle_timeout_ns;
	char congestion[16];                          /* "": the system's, cubic on loopback */
	uint64_t gather_bytes;                        /* network.gather_replies; 0: each in its own send */
	uint32_t max_connections;                     /* all cores */
	bool rpcbind;

	uint64_t journal_bytes, metadata_log_bytes, upload_delay_ns;
	bool remote;                                  /* writeback.durability */
	double journal_free;                          /* writeback.free_space_ratio */
	uint64_t pack_below;
	uint32_t max_pending, uploads;                /* files; PUTs in flight; all cores */
	uint32_t compact_merge, compact_gathered;     /* compaction.merge, .gathered; merge 0: none */
	uint64_t compact_delay_ns, compact_rate;      /* bytes a second, all cores */
	double repack_below;                          /* compaction.repack; 0: none */
	uint64_t garbage_keep_ns;                     /* garbage.keep */
	uint64_t backup_every_ns, backup_keep_ns, backup_rate; /* every 0: none by itself; bytes a second */
	char key_file[512], passphrase_file[512];     /* encryption; "": none */
	bool drain;
	bool take_over;                               /* serve --take-over; not in the file */
	uint64_t drain_limit_ns;                      /* 0: none */

	char cache_dir[DISKCACHE_DIRS_MAX][CONFIG_CACHE_DIR_MAX]; /* absolute */
	unsigned ncache_dirs;                         /* 0: no disk cache */
	uint64_t cache_bytes;                         /* all directories; 0: no disk cache */
	double cache_free;                            /* of each file system */
	enum disk_verify cache_verify;
	uint32_t prefetch;                            /* windows of 32 MiB read ahead, a file */

	struct export shares[CONFIG_SHARES_MAX];      /* but for share and root, which the volume knows */
	struct config_compression compression[CONFIG_SHARES_MAX];
	unsigned nshares;
};

/* 0, or a negative errno with sentences (file:line: key: what is wrong and what to do) in why[]. */
int config_load(struct config *c, const char *path, char *why, size_t why_len);
/* The effective settings as YAML, defaults included; the caller frees. */
char *config_show(const struct config *c);
/*
 * The commented file that `format` writes for a volume with one share, with its objects in
 * `objects` (as in paths.objects); the caller frees.  Of s3 are used: endpoint, region, style, credentials_file,
 * profile and ca_file; NULL: defaults.  The two files: as in `encryption`, "" for none.
 */
char *config_template(const char *share, const char *objects, const struct s3_opts *s3, const char *key_file,
                      const char *passphrase_file);
/*
 * That file, for so many shares, durably and with nothing of it there when it fails (a sentence in why[]).  The files that s3
 * and the others name are relative to where one stands.
 */
int config_write(const char *path, const char *const *shares, int n, const char *objects, const struct s3_opts *s3,
                 const char *key_file, const char *passphrase_file, char why[256]);
/* What holds where a file says nothing. */
void config_defaults(struct config *c);
/* The ready-made JSON of it, for `config show --json`; the caller frees. */
char *config_show_json(const struct config *c);

/* "300MiB", "1GiB", "64KiB", "4096": -EINVAL.  Powers of two; "MB" is refused as ambiguous. */
int parse_size(const char *s, uint64_t *bytes);
/* "1.5 GiB", for people; static, overwritten by the fourth call after it. */
const char *format_bytes(uint64_t bytes);
/* "5s", "250ms", "50us", "1h", "0": -EINVAL. */
int parse_duration(const char *s, uint64_t *ns);
/* "auto", "path", "virtual": -EINVAL. */
int parse_style(const char *s, enum s3_style *out);
/* "127.0.0.1:12049", "[::1]:12049", ":12049" (all addresses): -EINVAL. */
int parse_listen(const char *s, struct sockaddr_storage *out);
/* Nobody else's machine gets there. */
bool listen_is_loopback(const struct sockaddr_storage *a);
void format_listen(const struct sockaddr_storage *a, char *out, size_t len);

#endif
