/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "tools/config.h"
#include "tools/config_words.h"

static const char *const styles[] = { S3_STYLE_WORDS(WORD_OF) };
static const char *const checksums[] = { S3_CHECKSUM_WORDS(WORD_OF) };
static const char *const signatures[] = { S3_SIGNATURE_WORDS(WORD_OF) };
static const char *const wakes[] = { CORE_WAKE_WORDS(WORD_OF) };
static const char *const levels[] = { LOG_LEVEL_WORDS(WORD_OF) };
static const char *const verify[] = { VERIFY_WORDS(WORD_OF) };

/* A number of units with the unit behind it: "512MiB", "50us". */
static json_t *
with_unit(uint64_t v, uint64_t unit, const char *name)
{
	if (v % unit != 0) /* exactly, in bytes or nanoseconds */
		return json_sprintf("%" PRIu64 "%s", v, name[strlen(name) - 1] == 's' ? "ns" : "");
	return json_sprintf("%" PRIu64 "%s", v / unit, name);
}

static json_t *mib(uint64_t bytes) { return with_unit(bytes, MIB, "MiB"); }
static json_t *ms(uint64_t ns)     { return with_unit(ns, 1000000, "ms"); }

static json_t *
paths_tree(const struct config *c)
{
	return json_pack("{s:s, s:s, s:s, s:s, s:s}", "meta", c->meta, "journal", c->journal, "cache", c->cache, "objects", c->objects,
		"control", c->control);
}

static json_t *
memory_tree(const struct config *c)
{
	return json_pack("{s:o, s:o, s:I, s:I, s:b}", "buffer_size", mib(c->buffer_bytes), "metadata_cache",
		mib(c->metadata_cache_bytes), "inodes", (json_int_t)c->inodes, "names", (json_int_t)c->names, "preload", c->preload);
}

static json_t *
network_tree(const struct config *c)
{
	return json_pack("{s:o, s:o, s:s, s:o, s:I, s:b}", "busy_poll", with_unit(c->busy_poll_ns, 1000, "us"), "idle_timeout",
		with_unit(c->idle_timeout_ns, 1000000000, "s"), "congestion", c->congestion, "gather_replies",
		with_unit(c->gather_bytes, 1, ""), "max_connections", (json_int_t)c->max_connections, "rpcbind", c->rpcbind);
}

static json_t *
cache_tree(const struct config *c)
{
	json_t *dirs = json_array();

	for (unsigned i = 0; i < c->ncache_dirs; i++)
		json_array_append_new(dirs, json_string(c->cache_dir[i]));
	return json_pack("{s:o, s:o, s:f, s:s, s:I}", "cache_dir", dirs, "cache_size", mib(c->cache_bytes), "free_space_ratio",
		c->cache_free, "verify_checksum", verify[c->cache_verify], "prefetch", (json_int_t)c->prefetch);
}

static json_t *
writeback_tree(const struct config *c)
{
	return json_pack("{s:s, s:o, s:o, s:o, s:o, s:f, s:I, s:i}", "durability", c->remote ? "remote" : "local", "max_size",
		mib(c->journal_bytes), "metadata_log", mib(c->metadata_log_bytes), "upload_delay", ms(c->upload_delay_ns),
		"pack_below", with_unit(c->pack_below, KIB, "KiB"), "free_space_ratio", c->journal_free, "max_pending",
		(json_int_t)c->max_pending, "uploads", (int)c->uploads);
}

static json_t *
compaction_tree(const struct config *c)
{
	return json_pack("{s:i, s:i, s:f, s:o, s:o}", "merge", (int)c->compact_merge, "gathered", (int)c->compact_gathered, "repack",
		c->repack_below, "delay", ms(c->compact_delay_ns), "rate", mib(c->compact_rate));
}

static json_t *
s3_tree(const struct config *c)
{
	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:I, s:o, s:o}", "endpoint", c->s3_endpoint,
		"region", c->s3_region, "style", styles[c->s3_style], "checksum", checksums[c->s3_checksum],
		"signature", signatures[c->s3_signature],
		"credentials_file", c->s3_credentials, "profile", c->s3_profile, "ca_file", c->s3_ca_file,
		"congestion", c->s3_congestion, "connections", (json_int_t)c->s3_connections, "timeout", ms(c->s3_timeout_ns),
		"hedge_after", ms(c->s3_hedge_after_ns));
}

static const char *
compression_word(const struct config_compression *c, char out[CODEC_WORD_MAX])
{
	if (c->formatted)
		return CONFIG_FORMATTED;
	codec_word(&c->choice, out);
	return out;
}

static json_t *
shares_tree(const struct config *c)
{
	char net[EXPORT_NET_STRLEN], word[CODEC_WORD_MAX];
	json_t *shares = json_array();

	for (unsigned i = 0; i < c->nshares; i++) {
		const struct export *s = &c->shares[i];
		json_t *clients = json_array();
		char keep[32];

		snprintf(keep, sizeof(keep), "%" PRIu64 "s", s->retention_ns / 1000000000);
		for (int k = 0; k < s->nnets; k++)
			json_array_append_new(clients, json_string(export_net_format(&s->net[k], net)));
		json_array_append_new(shares, json_pack("{s:s, s:o, s:b, s:s, s:s, s:I, s:I, s:{s:s}}", "name", s->name, "clients", clients,
			"read_only", s->read_only, "squash", export_squash_name(s->squash),
			"compression", compression_word(&c->compression[i], word),
			"anon_uid", (json_int_t)s->anon_uid, "anon_gid", (json_int_t)s->anon_gid, "trash", "retention", keep));
	}
	return shares;
}

/* Every effective setting once; YAML and the JSON of `config show` are both made from this tree. */
static json_t *
config_tree(const struct config *c)
{
	char listen[80], metrics[80] = "";

	format_listen(&c->listen, listen, sizeof(listen));
	if (c->metrics.ss_family)
		format_listen(&c->metrics, metrics, sizeof(metrics));
	return json_pack("{s:i, s:s, s:i, s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:{s:o}, s:{s:o, s:o, s:o}, s:o, s:{s:s, s:s}, s:{s:b, s:o}, s:{s:s}, s:o}", "version", 1,
		"listen", listen, "cores", (int)c->cores, "core_wake", wakes[c->core_wake], "log_level", levels[c->log_level],
		"paths", paths_tree(c), "memory", memory_tree(c), "network", network_tree(c), "cache", cache_tree(c), "writeback",
		writeback_tree(c), "compaction", compaction_tree(c), "garbage", "keep", ms(c->garbage_keep_ns), "backup", "every", ms(c->backup_every_ns),
		"keep", ms(c->backup_keep_ns), "rate", mib(c->backup_rate), "s3", s3_tree(c),
		"encryption", "key_file", c->key_file, "passphrase_file", c->passphrase_file,
		"shutdown", "drain", c->drain, "drain_limit", ms(c->drain_limit_ns), "metrics", "listen", metrics, "shares", shares_tree(c));
}

/* Block style; strings quoted as JSON does, which YAML reads the same. */
static void
print_yaml(FILE *f, const json_t *v, int indent)
{
	const char *key;
	json_t *item;
	size_t i;

	if (json_is_object(v)) {
		bool first = true;

		json_object_foreach((json_t *)v, key, item) {
			bool deep = json_is_object(item) || (json_is_array(item) && json_is_object(json_array_get(item, 0)));

			fprintf(f, "%*s%s:%s", first && indent < 0 ? 0 : abs(indent), "", key, deep ? "\n" : " ");
			first = false;
			print_yaml(f, item, abs(indent) + 2);
		}
	} else if (json_is_array(v) && json_is_object(json_array_get(v, 0))) {
		json_array_foreach(v, i, item) {
			fprintf(f, "%*s- ", indent, "");
			print_yaml(f, item, -(indent + 2));
		}
	} else {
		char *s = json_dumps(v, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(6));

		fprintf(f, "%s\n", s);
		free(s);
	}
}

char *
config_show(const struct config *c)
{
	json_t *tree = config_tree(c);
	char *out = NULL;
	size_t len;
	FILE *f = open_memstream(&out, &len);

	print_yaml(f, tree, 0);
	fclose(f);
	json_decref(tree);
	return out;
}

char *
config_show_json(const struct config *c)
{
	json_t *tree = config_tree(c);
	char *out = json_dumps(tree, JSON_INDENT(2) | JSON_REAL_PRECISION(6));

	json_decref(tree);
	return out;
}

char *
config_template(const char *share, const char *objects, const struct s3_opts *s3, const char *key_file, const char *passphrase_file)
{
	static const struct s3_opts none = { .endpoint = "", .region = "", .credentials_file = "", .profile = "", .ca_file = "" };
	char *out = NULL;

	if (!s3)
		s3 = &none;

	if (asprintf(&out,
		"# dittofs configuration.  `dittofs config check` reads it, `dittofs config show` prints\n"
		"# every setting with its default.  Relative paths are relative to this file.\n"
		"version: 1\n"
		"\n"
		"# NFS and MOUNT, on one port.  Loopback only until you change it; all addresses: \":12049\".\n"
		"listen: \"127.0.0.1:12049\"\n"
		"\n"
		"# Reactor threads, one per core; 0: as many as this process may use.\n"
		"cores: 0\n"
		"# How one wakes another that sleeps.  ring: with its next submission to the kernel.  event: with a\n"
		"# system call of its own.\n"
		"core_wake: ring\n"
		"log_level: info            # error, warn, info, debug\n"
		"\n"
		"paths:\n"
		"  meta: meta               # RocksDB\n"
		"  journal: journal         # acknowledged writes that are not yet in the object store; a fast disk\n"
		"  cache: cache             # for cache.cache_dir, where that says nothing\n"
		"  objects: \"%s\"  # the object store: file://DIRECTORY or s3://BUCKET/PREFIX\n"
		"  control: control.sock    # `dittofs status` talks to this\n"
		"\n"
		"memory:\n"
		"  buffer_size: 512MiB      # payloads, dirty data and cached frames, all cores together\n"
		"  metadata_cache: 128MiB   # RocksDB's block cache\n"
		"  inodes: 262144           # kept in memory, 400 bytes each\n"
		"  names: 0                 # names and attributes beside them in short form, 250 bytes each; 0: an eighth of the memory\n"
		"  preload: true            # both are read in the background after a start; false: each when it is first asked for\n"
		"\n"
		"network:\n"
		"  busy_poll: 50us          # how long an idle core polls before it sleeps: latency for CPU; 0 saves CPU\n"
		"  congestion: \"\"           # TCP congestion control of client connections; \"\": the system's, cubic on loopback\n"
		"  gather_replies: 2MiB     # what is ready leaves in one send of at most so much; 0: each reply in a send of its own\n"
		"  max_connections: 4096\n"
		"  idle_timeout: 0          # close connections that are silent so long; 0: never\n"
		"  rpcbind: false           # register with rpcbind, for clients that ask port 111\n"
		"\n"
		"# Frames (64 KiB) that were read or uploaded, below the memory cache (memory.buffer_size) on local\n"
		"# disks.  They are found again after a restart.  A disk that fails costs a line in the log.\n"
		"cache:\n"
		"  # Directories, on as many disks as you like.  Without this line: paths.cache where the objects are\n"
		"  # in a bucket, none where they are in a local directory, which the page cache serves already.\n"
		"  # cache_dir: [/ssd1/dittofs, /ssd2/dittofs]\n"
		"  cache_size: 100GiB       # all of them together; 36 bytes of memory a frame; 0: no disk cache\n"
		"  free_space_ratio: 0.1    # of each disk that stays free, whoever fills it\n"
		"  # Checks of what comes from a cache disk.  none: it is trusted.  full: where a whole block (4 MiB) is\n"
		"  # read at once.  shrink and extend: every frame; it is read whole and has one checksum, so there is\n"
		"  # nothing to shrink or to extend.  What does not match is read from the object store.\n"
		"  verify_checksum: extend\n"
		"  prefetch: 1              # files read in order are read ahead by up to so many times 32 MiB; 0: not\n"
		"\n"
		"writeback:\n"
		"  # What COMMIT (fsync) and stable WRITEs promise.  local: the data is in the journal, on this\n"
		"  # machine's disk.  remote: it is in the object store too; while that is away, who wants it waits.\n"
		"  durability: local\n"
		"  max_size: 2GiB           # of the journal; when it is full, writers wait\n"
		"  metadata_log: 64MiB      # beside RocksDB in paths.meta, a start after a crash replays at most so much\n"
		"  upload_delay: 5s         # how long small writes gather before they are uploaded\n"
		"  pack_below: 1MiB         # smaller blocks of several files share an object; 0: each has its own\n"
		"  max_pending: 0           # files waiting for upload; beyond it writers of further ones wait; 0: any number\n"
		"  free_space_ratio: 0.1    # of the journal's disk: it does not grow where less is free\n"
		"  uploads: 8               # in flight\n"
		"\n"
		"# Files that were written in many small pieces are merged in the background, so that reads need fewer requests.\n"
		"compaction:\n"
		"  merge: 5                 # 64 KiB in which a read finds so many pieces are written anew; 0: never\n"
		"  gathered: 100            # from so many pieces in 64 MiB on, each MiB too with 16 or more\n"
		"  repack: 0.5              # an object of several files of which less than this part is needed is written anew; 0: never\n"
		"  delay: 2s                # after it was last uploaded, or first read\n"
		"  rate: 64MiB              # a second at most, all cores together\n"
		"\n"
		"# What nobody needs any more (removed, overwritten, merged) stays in the object store for a while: a copy of the\n"
		"# metadata in a directory (dittofs backup VOLUME DIR) that is younger than this is whole.\n"
		"garbage:\n"
		"  keep: 15s                # 5s at least, for readers who are still at it; 168h: copies of the last week\n"
		"\n"
		"# Backups of the metadata beside the objects: `dittofs restore` makes a volume of one, when this disk is lost.\n"
		"# What one that is kept needs stays in the object store so long, beyond garbage.keep.\n"
		"backup:\n"
		"  # every: 1h              # where something changed; 0: by hand only.  Without this line: 1h for a bucket, 0 for a directory\n"
		"  keep: 24h                # all of the last two days, one a day before that, and the newest in any case\n"
		"  rate: 64MiB              # a second at most\n"
		"\n"
		"# For objects in s3://: AWS, or what speaks its protocol.  Secrets never stand here: they come from\n"
		"# AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, or from a file of mode 0600.\n"
		"s3:\n"
		"  endpoint: \"%s\"             # http://HOST:PORT or https://HOST; \"\": AWS in this region\n"
		"  region: \"%s\"               # \"\": us-east-1\n"
		"  style: %s              # path (HOST/BUCKET), virtual (BUCKET.HOST), auto: virtual on AWS, path elsewhere\n"
		"  # So that the store refuses what changed on its way: sha256 (every server checks it), md5, none, or crc32c, which\n"
		"  # costs least (sha256 where the store does not say that it checked it).  auto: crc32c over https, else sha256.\n"
		"  checksum: auto\n"
		"  signature: v4            # v2 for old endpoints, in builds with LIBS3 = 1 (config.mk)\n"
		"  credentials_file: \"%s\"     # as of the AWS command line; \"\": the environment, then ~/.aws/credentials\n"
		"  profile: \"%s\"              # in that file; \"\": AWS_PROFILE, then default\n"
		"  ca_file: \"%s\"              # who signs the server's certificate; \"\": the system's list\n"
		"  congestion: \"\"           # TCP congestion control; \"\": the system's, and cubic on loopback\n"
		"  connections: 32          # kept alive, all cores together\n"
		"  timeout: 30s             # how long a request is tried again before its caller hears of it\n"
		"  hedge_after: 1s          # a second GET when the first has brought nothing for so long; 0: never\n"
		"\n"
		"# The key of a volume that was made with --encrypt: an RSA private key that wraps the keys which data\n"
		"# in the object store is encrypted with.  Both files must be yours alone (mode 0600).\n"
		"encryption:\n"
		"  key_file: \"%s\"             # PEM; without it the data cannot be read: keep a copy elsewhere\n"
		"  passphrase_file: \"%s\"      # of a key under a passphrase; \"\": DITTOFS_ENCRYPTION_PASSPHRASE\n"
		"\n"
		"shutdown:\n"
		"  drain: true              # SIGTERM uploads everything first; false: the next start goes on with it\n"
		"  drain_limit: 0           # ... but starts no upload after so long; 0: when all is uploaded\n"
		"\n"
		"# HTTP for reading only: /metrics (Prometheus), /healthz and /livez (probes), / (a page with live plots).  \"\": off, as no\n"
		"# port is opened that nobody asked for.  It asks for no password: leave it on loopback, where Prometheus' agent or a\n"
		"# proxy with one finds it; elsewhere whoever reaches it sees shares, clients' addresses and figures.\n"
		"metrics:\n"
		"  listen: \"\"               # 127.0.0.1:12050, say\n"
		"\n"
		"shares:\n"
		"  - name: %s\n"
		"    # Networks that may use it, checked on every call; \"*\": everyone.  Without this line:\n"
		"    # loopback and private networks.\n"
		"    # clients: [\"127.0.0.0/8\", \"192.168.1.0/24\"]\n"
		"    read_only: false\n"
		"    squash: none           # none, root (uid 0 becomes anon_uid), all\n"
		"    # Of new file data in the object store, from the next start on: none, lz4, zstd or zstd:LEVEL (1 to 19).\n"
		"    # formatted: as `format --compress` said.  What would not save an eighth of its bytes stays as it is.\n"
		"    compression: formatted\n"
		"    anon_uid: 65534\n"
		"    anon_gid: 65534\n"
		"    trash:\n"
		"      retention: 0         # 24h or 7d: what is removed stays in .trash of the root for so long, and takes room\n", objects, s3->endpoint, s3->region, styles[s3->style], s3->credentials_file, s3->profile,
		s3->ca_file, key_file, passphrase_file, share) < 0)
		return NULL;
	return out;
}
