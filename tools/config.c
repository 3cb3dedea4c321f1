/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "reactor/net.h"
#include "store/block.h"
#include "tools/config_file.h"

#define BACKUP_EVERY_NS  (3600 * 1000000000ULL)
#define RETENTION_MAX_NS (10 * 365 * 24 * 3600 * 1000000000ULL)

struct loader {
	struct config *c;
	struct config_file file;
};

static void
take_size(struct loader *l, const char *key, const char *s, uint64_t *out, uint64_t min, uint64_t max)
{
	uint64_t v;

	if (!s)
		return;
	if (parse_size(s, &v) < 0)
		config_file_bad(&l->file, key, "'%s' is no size; write for instance 512MiB or 2GiB", s);
	else if (v < min || v > max)
		config_file_bad(&l->file, key, "%s is out of range, %" PRIu64 " to %" PRIu64 " MiB are possible", s, min / MIB, max / MIB);
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
		config_file_bad(&l->file, key, "'%s' is no duration; write for instance 50us, 200ms, 5s or 0", s);
	else if (v > max_ns)
		config_file_bad(&l->file, key, "%s is too long, at most %" PRIu64 " ms", s, max_ns / 1000000);
	else
		*out = v;
}

static void
take_uint(struct loader *l, const char *key, const uint32_t *v, uint32_t *out, uint32_t min, uint32_t max)
{
	if (!v)
		return;
	if (*v < min || *v > max)
		config_file_bad(&l->file, key, "%u is out of range, %u to %u are possible", *v, min, max);
	else
		*out = *v;
}

static void
take_ratio(struct loader *l, const char *key, const double *v, double *out)
{
	if (!v)
		return;
	if (!(*v >= 0 && *v < 1))
		config_file_bad(&l->file, key, "%g is out of range, 0 to 0.99 are possible", *v);
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
		config_file_bad(&l->file, key, "the path is too long");
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
			config_file_bad(&l->file, "paths.objects", "the bucket and prefix are too long");
		return;
	}
	if (strncmp(objects, "file://", 7) || !objects[7]) {
		config_file_bad(&l->file, "paths.objects", "'%s' is no object store; write file://DIRECTORY or s3://BUCKET/PREFIX", objects);
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
		config_file_bad(&l->file, key, "it is too long, at most %zu bytes", room - 1);
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
		config_file_bad(&l->file, "s3.endpoint", "'%s' is no endpoint; write http://HOST:PORT or https://HOST", c->s3_endpoint);
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
		config_file_bad(&l->file, "s3.timeout", "too short, at least 1s");
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
			config_file_bad(&l->file, key, "the path is too long");
		else
			memcpy(c->cache_dir[c->ncache_dirs++], path, strlen(path) + 1);
	}
	if (!(r && r->cache_dir) && strncmp(c->objects, "file://", 7) && strlen(c->cache) < CONFIG_CACHE_DIR_MAX)
		memcpy(c->cache_dir[c->ncache_dirs++], c->cache, strlen(c->cache) + 1);
	if (!r)
		return;
	take_size(l, "cache.cache_size", r->cache_size, &c->cache_bytes, 0, 1024 * 1024 * GIB);
	if (c->cache_bytes > 0 && c->cache_bytes < 64 * MIB)
		config_file_bad(&l->file, "cache.cache_size", "less than 64MiB is none; 0 switches the disk cache off");
	take_ratio(l, "cache.free_space_ratio", r->free_space_ratio, &c->cache_free);
	if (r->verify_checksum)
		c->cache_verify = *r->verify_checksum;
	take_uint(l, "cache.prefetch", r->prefetch, &c->prefetch, 0, 64);
}

static void
take_compression(struct loader *l, unsigned i, const char *word)
{
	struct config_compression *c = &l->c->compression[i];
	char key[64];

	*c = (struct config_compression){ .formatted = !word || !strcmp(word, CONFIG_FORMATTED) };
	if (c->formatted || codec_parse(word, &c->choice) == 0)
		return;
	snprintf(key, sizeof(key), "shares.%u.compression", i);
	config_file_bad(&l->file, key, "'%s' is no compression; write " CODEC_WORDS ", or " CONFIG_FORMATTED, word);
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
		config_file_bad(&l->file, key, "'%s' is no share name; write one name behind a slash, like /export", r->name);
	for (unsigned k = 0; k < i; k++)
		if (!strcmp(l->c->shares[k].name, s->name))
			config_file_bad(&l->file, key, "%s stands here twice", s->name);
	if (r->clients)
		s->nnets = 0;
	for (unsigned k = 0; k < r->clients_count; k++) {
		snprintf(key, sizeof(key), "shares.%u.clients.%u", i, k);
		if (export_net_parse(&s->net[k], r->clients[k], why) < 0)
			config_file_bad(&l->file, key, "%s", why);
		s->nnets++;
	}
	if (r->read_only)
		s->read_only = *r->read_only;
	if (r->squash)
		s->squash = *r->squash;
	take_compression(l, i, r->compression);
	if (r->anon_uid)
		s->anon_uid = *r->anon_uid;
	if (r->anon_gid)
		s->anon_gid = *r->anon_gid;
	if (r->trash) {
		snprintf(key, sizeof(key), "shares.%u.trash.retention", i);
		take_duration(l, key, r->trash->retention, &s->retention_ns, RETENTION_MAX_NS);
		if (s->retention_ns > 0 && s->retention_ns < 1000000000)
			config_file_bad(&l->file, key, "%s is too short, at least 1s; 0 keeps nothing", r->trash->retention);
	}
}

/* Into a bucket by itself; a local directory is often on the disk that they are to help against. */
static void
take_backup(struct loader *l, const struct raw_backup *r)
{
	struct config *c = l->c;

	if (strncmp(c->objects, "file://", 7))
		c->backup_every_ns = BACKUP_EVERY_NS;
	if (!r)
		return;
	take_duration(l, "backup.every", r->every, &c->backup_every_ns, RETENTION_MAX_NS);
	if (c->backup_every_ns > 0 && c->backup_every_ns < 1000000000)
		config_file_bad(&l->file, "backup.every", "%s is too often, at least 1s; 0 makes none by itself", r->every);
	take_duration(l, "backup.keep", r->keep, &c->backup_keep_ns, RETENTION_MAX_NS);
	if (c->backup_keep_ns < c->backup_every_ns)
		config_file_bad(&l->file, "backup.keep", "shorter than backup.every: what the only backup needs would be deleted before there is another");
	take_size(l, "backup.rate", r->rate, &c->backup_rate, 1 * MIB, 1024 * GIB);
}

static void
take_all(struct loader *l, const struct raw *r)
{
	struct config *c = l->c;
	const uint64_t hour = 3600 * 1000000000ULL;

	if (r->version != 1)
		config_file_bad(&l->file, "version", "%u is not known to dittofs " VERSION ", which reads version 1", r->version);
	if (r->listen && parse_listen(r->listen, &c->listen) < 0)
		config_file_bad(&l->file, "listen", "'%s' is no address; write for instance 127.0.0.1:12049 or [::]:12049", r->listen);
	take_uint(l, "cores", r->cores, &c->cores, 0, 64);
	if (r->core_wake)
		c->core_wake = *r->core_wake;
	if (r->log_level)
		c->log_level = *r->log_level;
	take_paths(l, r->paths);
	take_cache(l, r->cache);
	if (r->memory) {
		take_size(l, "memory.buffer_size", r->memory->buffer_size, &c->buffer_bytes, 64 * MIB, 1024 * GIB);
		take_size(l, "memory.metadata_cache", r->memory->metadata_cache, &c->metadata_cache_bytes, 8 * MIB, 1024 * GIB);
		take_uint(l, "memory.inodes", r->memory->inodes, &c->inodes, 1024, 1u << 28);
		take_uint(l, "memory.names", r->memory->names, &c->names, 0, 1u << 30);
		if (r->memory->preload)
			c->preload = *r->memory->preload;
	}
	if (r->network) {
		take_duration(l, "network.busy_poll", r->network->busy_poll, &c->busy_poll_ns, 1000000000);
		take_duration(l, "network.idle_timeout", r->network->idle_timeout, &c->idle_timeout_ns, 24 * hour);
		take_size(l, "network.gather_replies", r->network->gather_replies, &c->gather_bytes, 0, 64 * MIB);
		take_uint(l, "network.max_connections", r->network->max_connections, &c->max_connections, 1, 1000000);
		if (r->network->rpcbind)
			c->rpcbind = *r->network->rpcbind;
		if (r->network->congestion) {
			if (strlen(r->network->congestion) >= sizeof(c->congestion))
				config_file_bad(&l->file, "network.congestion", "the name is too long; see /proc/sys/net/ipv4/tcp_available_congestion_control");
			snprintf(c->congestion, sizeof(c->congestion), "%s", r->network->congestion);
		}
	}
	if (r->writeback) {
		take_size(l, "writeback.max_size", r->writeback->max_size, &c->journal_bytes, 64 * MIB, 1024 * GIB);
		take_size(l, "writeback.metadata_log", r->writeback->metadata_log, &c->metadata_log_bytes, 1 * MIB, 4 * GIB);
		take_duration(l, "writeback.upload_delay", r->writeback->upload_delay, &c->upload_delay_ns, hour);
		take_size(l, "writeback.pack_below", r->writeback->pack_below, &c->pack_below, 0, BLOCK_BYTES);
		take_ratio(l, "writeback.free_space_ratio", r->writeback->free_space_ratio, &c->journal_free);
		take_uint(l, "writeback.max_pending", r->writeback->max_pending, &c->max_pending, 0, UINT32_MAX);
		take_uint(l, "writeback.uploads", r->writeback->uploads, &c->uploads, 1, 256);
		if (r->writeback->durability)
			c->remote = *r->writeback->durability == DURABILITY_REMOTE;
	}
	if (r->compaction) {
		take_uint(l, "compaction.merge", r->compaction->merge, &c->compact_merge, 0, 16);
		if (c->compact_merge == 1)
			config_file_bad(&l->file, "compaction.merge", "one piece is not merged with itself: 2 or more, or 0 for none");
		take_uint(l, "compaction.gathered", r->compaction->gathered, &c->compact_gathered, 1, 1000000);
		take_ratio(l, "compaction.repack", r->compaction->repack, &c->repack_below);
		take_duration(l, "compaction.delay", r->compaction->delay, &c->compact_delay_ns, hour);
		take_size(l, "compaction.rate", r->compaction->rate, &c->compact_rate, 1 * MIB, 1024 * GIB);
	}
	if (r->garbage) {
		take_duration(l, "garbage.keep", r->garbage->keep, &c->garbage_keep_ns, 366 * 24 * hour);
		if (c->garbage_keep_ns < GARBAGE_KEEP_LEAST_NS)
			config_file_bad(&l->file, "garbage.keep", "too short: readers may still be at it, so at least 5s");
	}
	take_backup(l, r->backup);
	if (r->encryption) {
		take_file(l, "encryption.key_file", r->encryption->key_file, c->key_file);
		take_file(l, "encryption.passphrase_file", r->encryption->passphrase_file, c->passphrase_file);
	}
	if (r->shutdown) {
		if (r->shutdown->drain)
			c->drain = *r->shutdown->drain;
		take_duration(l, "shutdown.drain_limit", r->shutdown->drain_limit, &c->drain_limit_ns, 24 * hour);
	}
	if (r->metrics && r->metrics->listen && r->metrics->listen[0] && parse_listen(r->metrics->listen, &c->metrics) < 0)
		config_file_bad(&l->file, "metrics.listen", "'%s' is no address; write for instance 127.0.0.1:12050, or \"\" for none", r->metrics->listen);
	if (r->s3)
		take_s3(l, r->s3);
	for (unsigned i = 0; i < r->shares_count; i++)
		take_share(l, i, &r->shares[i]);
	c->nshares = r->shares_count;
}

void
config_defaults(struct config *c)
{
	*c = (struct config){
		.log_level = LOG_INFO,
		.buffer_bytes = 512 * MIB,
		.metadata_cache_bytes = 128 * MIB,
		.inodes = 262144,
		.preload = true,
		.core_wake = REACTOR_WAKE_RING,
		.busy_poll_ns = 50000,
		.gather_bytes = NET_GATHER_BYTES,
		.max_connections = 4096,
		.journal_bytes = 2 * GIB,
		.metadata_log_bytes = 64 * MIB,
		.upload_delay_ns = 5000000000,
		.journal_free = 0.1,
		.pack_below = PACK_BELOW_BYTES,
		.uploads = 8,
		.compact_merge = 5,
		.compact_gathered = 100,
		.repack_below = 0.5,
		.compact_delay_ns = 2000000000,
		.compact_rate = 64 * MIB,
		.garbage_keep_ns = 15000000000,
		.backup_keep_ns = 24 * BACKUP_EVERY_NS,
		.backup_rate = 64 * MIB,
		.drain = true,
		.cache_bytes = 100 * GIB,
		.cache_free = 0.1,
		.cache_verify = DISK_VERIFY_EXTEND,
		.prefetch = 1,
		.s3_checksum = S3_AUTOSUM,
		.s3_connections = 32,
		.s3_timeout_ns = 30 * 1000000000ULL,
		.s3_hedge_after_ns = 1000000000,
	};
	parse_listen("127.0.0.1:12049", &c->listen);
}

int
config_load(struct config *c, const char *path, char *why, size_t why_len)
{
	struct loader l = { .c = c };

	config_defaults(c);
	if (!realpath(path, c->file)) {
		snprintf(why, why_len, "%s: %s; `dittofs format DIR` makes a volume with its %s", path, strerror(errno), CONFIG_FILE);
		return -errno;
	}
	if (config_file_load(&l.file, path, why, why_len) == 0)
		take_all(&l, l.file.raw);
	config_file_free(&l.file);
	return l.file.err;
}
