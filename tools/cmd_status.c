/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "tools/backup_manifest.h"
#include "tools/backup_manifest.h"
#include "tools/cmd.h"
#include "tools/control_client.h"
#include "tools/latency_table.h"

static uint64_t
n(const json_t *j, const char *key)
{
	return (uint64_t)json_integer_value(json_object_get(j, key));
}

static const char *
s(const json_t *j, const char *key)
{
	const char *v = json_string_value(json_object_get(j, key));

	return v ? v : "?";
}

static void
print_shares(const json_t *shares)
{
	json_t *e;
	size_t i;

	printf("\n%-24s %12s %12s %24s  %s\n", "SHARE", "USED", "INODES", "OF THESE IN THE TRASH", "ACCESS");
	json_array_foreach(shares, i, e) {
		const json_t *t = json_object_get(e, "trash");

		printf("%-24s %12s %12" PRIu64 " %12s %11" PRIu64 "  %s, squash %s, compression %s\n", s(e, "name"), format_bytes(n(e, "used_bytes")),
			n(e, "used_inodes"), format_bytes(n(t, "bytes")), n(t, "inodes"),
			json_is_true(json_object_get(e, "read_only")) ? "read only" : "read and write", s(e, "squash"), s(e, "compression"));
	}
}

static void
print_clients(const json_t *clients)
{
	json_t *e, *m;
	size_t i, k;

	printf("\n%-24s %5s %12s %12s %12s  %s\n", "CLIENT", "CONNS", "CALLS", "RECEIVED", "SENT", "MOUNTS");
	json_array_foreach(clients, i, e) {
		printf("%-24s %5" PRIu64 " %12" PRIu64 " %12s %12s ", s(e, "address"), n(e, "connections"), n(e, "calls"),
			format_bytes(n(e, "bytes_in")), format_bytes(n(e, "bytes_out")));
		json_array_foreach(json_object_get(e, "mounts"), k, m)
			printf(" %s", json_string_value(m));
		putchar('\n');
	}
	if (json_array_size(clients) == 0)
		puts("(none)");
}

static void
print_requests(const json_t *store)
{
	json_t *e;
	size_t i;

	printf("\n%-10s %10s %10s %10s %10s %9s %8s %8s  %s\n", "REQUESTS", "COUNT", "BYTES", "SENT", "RECEIVED", "MEAN", "ERRORS",
		"RETRIES", s(store, "url"));
	json_array_foreach(json_object_get(store, "requests"), i, e)
		printf("%-10s %10" PRIu64 " %10s %10s %10s %6.1f ms %8" PRIu64 " %8" PRIu64 "\n", s(e, "class"), n(e, "requests"),
			format_bytes(n(e, "bytes")), format_bytes(n(e, "sent")), format_bytes(n(e, "received")),
			(double)n(e, "ns") / 1e6 / (double)MAX(n(e, "requests"), 1), n(e, "errors"), n(e, "retries"));
}

static void
print_memory(const json_t *mem)
{
	json_t *e;
	size_t i;

	printf("\n%-24s %12s %12s\n", "MEMORY", "USED", "OF");
	json_array_foreach(json_object_get(mem, "pools"), i, e)
		printf("%-24s %12s %12s\n", s(e, "pool"), format_bytes(n(e, "used_bytes")), format_bytes(n(e, "total_bytes")));
	printf("%-24s %12s %12s  (peak %s)\n", "process, against budget", format_bytes(n(mem, "rss_bytes")), format_bytes(n(mem, "budget_bytes")),
		format_bytes(n(mem, "peak_rss_bytes")));
}

static void
print_preload(const json_t *p)
{
	if (!strcmp(s(p, "state"), "off"))
		return;
	printf("read ahead %" PRIu64 " attributes and %" PRIu64 " names of %" PRIu64 " files, %s after %.1f s\n", n(p, "attributes"),
		n(p, "names"), n(p, "inodes"), s(p, "state"), json_real_value(json_object_get(p, "seconds")));
}

static void
print_calls(const json_t *calls)
{
	json_t *e;
	size_t i;

	printf("\n%-12s %12s %10s %10s %10s %10s %10s\n", "CALL", "COUNT", "ERRORS", "MEAN us", "P50 us", "P99 us", "MAX us");
	json_array_foreach(json_object_get(calls, "procedures"), i, e)
		printf("%-12s %12" PRIu64 " %10" PRIu64 " %10.0f %10.0f %10.0f %10.0f\n", s(e, "procedure"), n(e, "calls"),
			n(e, "errors"), json_real_value(json_object_get(e, "mean_us")), json_real_value(json_object_get(e, "p50_us")),
			json_real_value(json_object_get(e, "p99_us")), json_real_value(json_object_get(e, "max_us")));
}

static double
percent(uint64_t part, uint64_t all)
{
	return all ? 100.0 * (double)part / (double)all : 0.0;
}

static void
print_pending(const json_t *p)
{
	int64_t eta = json_integer_value(json_object_get(p, "eta_s"));

	printf("\npending   %s in %" PRIu64 " files, %" PRIu64 " uploads under way at %s/s", format_bytes(n(p, "bytes")), n(p, "files"),
		n(p, "uploads_now"), format_bytes(n(p, "bytes_per_second")));
	if (eta > 0)
		printf(", about %" PRId64 " s to go", eta);
	puts(json_is_true(json_object_get(p, "store_away")) ? "; the object store takes nothing just now" : "");
	printf("uploaded  %s as %s (%.0f %%) in %" PRIu64 " objects, %" PRIu64 " errors; durability %s\n",
		format_bytes(n(p, "uploaded_plain_bytes")), format_bytes(n(p, "uploaded_bytes")),
		percent(n(p, "uploaded_bytes"), n(p, "uploaded_plain_bytes")), n(p, "uploaded_objects"), n(p, "errors"),
		s(p, "durability"));
}

static void
print_cache(const json_t *cache)
{
	const json_t *disk = json_object_get(cache, "disk");
	uint64_t hits = n(cache, "hits"), all = hits + n(cache, "misses"), near = n(disk, "hits"), asked = near + n(disk, "misses");
	json_t *e;
	size_t i;

	printf("cache     memory %s, %.1f %% of %" PRIu64 " look-ups hit, %" PRIu64 " evicted\n", format_bytes(n(cache, "bytes")),
		percent(hits, all), all, n(cache, "evicted"));
	if (json_array_size(json_object_get(disk, "dirs")) == 0)
		return;
	printf("          disk, %.1f %% of %" PRIu64 " look-ups hit, %" PRIu64 " frames, %" PRIu64 " evicted, %" PRIu64 " damaged\n",
		percent(near, asked), asked, n(disk, "frames"), n(disk, "evicted"), n(disk, "damaged"));
	json_array_foreach(json_object_get(disk, "dirs"), i, e)
		printf("          %s: %s, %s of %s\n", s(e, "path"), s(e, "state"), format_bytes(n(e, "bytes")), format_bytes(n(e, "max_bytes")));
}

static void
print_backup(const json_t *b)
{
	const char *error = json_string_value(json_object_get(b, "error"));
	char newest[BACKUP_TIME], next[BACKUP_TIME];

	backup_time(newest, n(b, "newest"));
	backup_time(next, n(b, "next"));
	printf("backups   %" PRIu64 "%s%s, next %s", n(b, "kept"), n(b, "kept") ? ", newest " : "", n(b, "kept") ? newest : "",
		n(b, "next") ? next : "by hand");
	if (json_is_true(json_object_get(b, "running")))
		printf("; under way, %s of %s", format_bytes(n(b, "done_bytes")), format_bytes(n(b, "total_bytes")));
	printf("%s%s\n", error ? "; the last one failed: " : "", error ? error : "");
}

static void
print_status(const json_t *j)
{
	const json_t *pend = json_object_get(j, "pending"), *jour = json_object_get(j, "journal");
	const json_t *garbage = json_object_get(j, "garbage"), *comp = json_object_get(j, "compaction");

	printf("dittofs %s, volume %s, %s on port %" PRIu64 " with %" PRIu64 " cores for %" PRIu64 " s\n", s(j, "version"),
		s(j, "volume"), s(j, "state"), n(j, "port"), n(j, "cores"), n(j, "uptime_s"));
	print_shares(json_object_get(j, "shares"));
	print_clients(json_object_get(j, "clients"));
	print_pending(pend);
	printf("journal   %s of %s\n", format_bytes(n(jour, "used_bytes")), format_bytes(n(jour, "total_bytes")));
	print_cache(json_object_get(j, "cache"));
	printf("deletion  %" PRIu64 " waiting, %" PRIu64 " objects deleted\n", n(garbage, "waiting"), n(garbage, "deleted_objects"));
	printf("compacted %s, %" PRIu64 " pieces into %" PRIu64 "; %" PRIu64 " chunks to look at, %" PRIu64 " errors\n",
		format_bytes(n(comp, "bytes")), n(comp, "pieces_before"), n(comp, "pieces_after"), n(comp, "pending_chunks"),
		n(comp, "errors"));
	print_backup(json_object_get(j, "backup"));
	if (n(comp, "packs_before") > 0)
		printf("          %s in %" PRIu64 " packs of which little was needed into %" PRIu64 "\n", format_bytes(n(comp, "packs_bytes")),
			n(comp, "packs_before"), n(comp, "packs_after"));
	print_requests(json_object_get(j, "object_store"));
	print_preload(json_object_get(j, "preload"));
	print_memory(json_object_get(j, "memory"));
	print_calls(json_object_get(j, "calls"));
}

int
cmd_status(int argc, char **argv)
{
	static const struct option opts[] = {
		{ "json", no_argument, NULL, 'j' }, { "config", required_argument, NULL, 'c' },
		{ "latency", no_argument, NULL, 'l' }, { "help", no_argument, NULL, 'h' }, { 0 },
	};
	static struct config c;
	const char *file = NULL;
	bool json = false, latency = false;
	char *body, why[256];
	int o;

	while ((o = getopt_long(argc, argv, "h", opts, NULL)) != -1) {
		if (o == 'j')
			json = true;
		else if (o == 'l')
			latency = true;
		else if (o == 'c')
			file = optarg;
		else
			return cmd_usage("status", o == 'h');
	}
	if (argc - optind != (file ? 0 : 1))
		return cmd_usage("status", false);
	if (cmd_config_of("status", file, argv[optind], &c))
		return 1;
	if (control_get(c.control, latency ? "/latency" : "/status", &body, why) < 0)
		return cmd_fail("status", "%s", why);
	if (json) {
		puts(body);
	} else {
		json_t *j = json_loads(body, 0, NULL);

		if (!j)
			return cmd_fail("status", "the server's answer is no JSON; is it of another version?");
		(latency ? latency_print : print_status)(j);
		json_decref(j);
	}
	free(body);
	return 0;
}
