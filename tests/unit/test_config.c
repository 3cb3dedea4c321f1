/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tools/config.h"

static char why[4096];
static struct config c;

/* Loads the text as a file of its own; the file's name stays in `path`. */
static int
load(const char *text, char path[64])
{
	strcpy(path, "/tmp/test_config.XXXXXX");
	int fd = mkstemp(path);

	cr_assert(ge(int, fd, 0));
	cr_assert(eq(sz, (size_t)write(fd, text, strlen(text)), strlen(text)));
	close(fd);
	int err = config_load(&c, path, why, sizeof(why));
	unlink(path);
	return err;
}

/* The error must name file, line and key, and say `what`. */
static void
refused(const char *text, int line, const char *key, const char *what)
{
	char path[64], want[256];

	cr_assert(lt(int, load(text, path), 0), "taken: %s", text);
	snprintf(want, sizeof(want), "%s:%d: %s: ", path, line, key);
	cr_assert(strstr(why, want) != NULL, "no '%s' in: %s", want, why);
	cr_assert(strstr(why, what) != NULL, "no '%s' in: %s", what, why);
}

#define HEAD "version: 1\n"
#define SHARE "shares:\n  - name: /export\n"

Test(config, template_is_valid_and_complete)
{
	char path[64], *text = config_template("/export", "file://objects", NULL, "", "");

	cr_assert(eq(int, load(text, path), 0), "%s", why);
	cr_assert(eq(u32, c.nshares, 1));
	cr_assert_str_eq(c.shares[0].name, "/export");
	cr_assert(eq(u64, c.buffer_bytes, 512 * MIB));
	cr_assert_str_eq(c.meta, "/tmp/meta");
	cr_assert_str_eq(c.objects, "file:///tmp/objects");
	free(text);
}

Test(config, template_says_the_defaults)
{
	static struct config bare;
	char path[64], *text = config_template("/export", "file://objects", NULL, "", "");

	load(HEAD SHARE, path);
	bare = c;
	load(text, path);
	memset(bare.file, 0, sizeof(bare.file));
	memset(c.file, 0, sizeof(c.file));
	char *a = config_show(&bare), *b = config_show(&c);

	cr_assert_str_eq(a, b);
	free(a), free(b), free(text);
}

Test(config, show_can_be_loaded_again)
{
	char path[64];

	cr_assert(eq(int, load(HEAD "cores: 3\ncore_wake: event\nnetwork: {gather_replies: 1000}\nwriteback: {max_size: 128MiB, upload_delay: 250ms}\n"
		"shares:\n  - {name: /a, read_only: true, squash: root, clients: [10.0.0.0/8]}\n  - name: /b\n", path), 0), "%s", why);
	char *a = config_show(&c);

	cr_assert(eq(int, load(a, path), 0), "%s\n%s", why, a);
	char *b = config_show(&c);

	cr_assert_str_eq(a, b);
	cr_assert(eq(u32, c.cores, 3));
	cr_assert(eq(int, c.core_wake, REACTOR_WAKE_EVENT));
	cr_assert(eq(u64, c.gather_bytes, 1000));
	cr_assert(eq(u64, c.upload_delay_ns, 250000000));
	cr_assert(c.shares[0].read_only && c.shares[0].squash == SQUASH_ROOT && c.shares[0].nnets == 1);
	free(a), free(b);
}

Test(config, errors_name_line_and_key)
{
	refused("version: 7\n" SHARE, 1, "version", "reads version 1");
	refused(HEAD "listen: nowhere\n" SHARE, 2, "listen", "no address");
	refused(HEAD "cores: 65\n" SHARE, 2, "cores", "0 to 64");
	refused(HEAD "memory:\n  inodes: 4096\n  buffer_size: 300MB\n" SHARE, 4, "memory.buffer_size", "no size");
	refused(HEAD "memory:\n  buffer_size: 1MiB\n" SHARE, 3, "memory.buffer_size", "out of range");
	refused(HEAD "network:\n  busy_poll: soon\n" SHARE, 3, "network.busy_poll", "no duration");
	refused(HEAD "network:\n  gather_replies: all\n" SHARE, 3, "network.gather_replies", "no size");
	refused(HEAD "core_wake: bell\n" SHARE, 2, "core_wake", "");
	refused(HEAD "paths:\n  objects: s4://x\n" SHARE, 3, "paths.objects", "no object store");
	refused(HEAD "shares:\n  - name: export\n", 3, "shares.0.name", "no share name");
	refused(HEAD "shares:\n  - name: /a\n  - name: /a\n", 4, "shares.1.name", "twice");
	refused(HEAD "shares:\n  - name: /a\n    clients: [\"10.0.0.0/8\", \"10.0.0.0/99\"]\n", 4, "shares.0.clients.1", "");
}

Test(config, every_error_is_told)
{
	char path[64];

	cr_assert(lt(int, load(HEAD "listen: x\ncores: 99\n" SHARE, path), 0));
	cr_assert(strstr(why, "listen") && strstr(why, "cores"), "%s", why);
}

Test(config, schema_errors)
{
	const char *const bad[] = {
		"", "version: 1\n", HEAD "shares: []\n", HEAD SHARE "nonsense: 1\n", HEAD "cores: many\n" SHARE,
		HEAD "log_level: loud\n" SHARE, HEAD "shares:\n  - name: /a\n    squash: some\n", "version: [\n", "\t{",
		HEAD "memory: 5\n" SHARE,
	};
	char path[64];

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		cr_assert(lt(int, load(bad[i], path), 0), "taken: %s", bad[i]);
		cr_assert(strstr(why, path) != NULL, "no file in: %s", why);
	}
	refused(HEAD "log_level: loud\n" SHARE, 2, "log_level", "loud");
	refused(HEAD SHARE "    squash: some\n", 4, "shares.0.squash", "some");
	refused(HEAD SHARE "nonsense: 1\n", 4, "nonsense", "no such key");
}

Test(config, sizes_and_durations)
{
	uint64_t v;

	cr_assert(parse_size("64KiB", &v) == 0 && v == 65536);
	cr_assert(parse_size("1 GiB", &v) == 0 && v == GIB);
	cr_assert(parse_size("123", &v) == 0 && v == 123);
	cr_assert(lt(int, parse_size("", &v), 0));
	cr_assert(lt(int, parse_size("-1", &v), 0));
	cr_assert(lt(int, parse_size("1MB", &v), 0));
	cr_assert(lt(int, parse_size("99999999999999999999", &v), 0));
	cr_assert(lt(int, parse_size("9999999999TiB", &v), 0));
	cr_assert(parse_duration("5s", &v) == 0 && v == 5000000000);
	cr_assert(parse_duration("50us", &v) == 0 && v == 50000);
	cr_assert(parse_duration("0", &v) == 0 && v == 0);
	cr_assert(lt(int, parse_duration("5", &v), 0));
	cr_assert(lt(int, parse_duration("s", &v), 0));
}

Test(config, listen_addresses)
{
	const char *const good[] = { "127.0.0.1:12049", "[::1]:2049", "0.0.0.0:0" };
	const char *const bad[] = { "127.0.0.1", "1.2.3:4", "::1:80", "[::1]", "127.0.0.1:99999", "x:1", "127.0.0.1:", "[:1]:5" };
	struct sockaddr_storage a;
	char s[80];

	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		cr_assert(eq(int, parse_listen(good[i], &a), 0));
		format_listen(&a, s, sizeof(s));
		cr_assert_str_eq(s, good[i]);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		cr_assert(lt(int, parse_listen(bad[i], &a), 0), "%s", bad[i]);
}

/* The key's file stands beside the config, or anywhere; the template takes both. */
Test(config, encryption)
{
	char path[64], *text = config_template("/export", "file://objects", NULL, "/keys/vol.pem", "pass phrase");

	cr_assert(eq(int, load(text, path), 0), "%s", why);
	cr_assert_str_eq(c.key_file, "/keys/vol.pem");
	cr_assert_str_eq(c.passphrase_file, "/tmp/pass phrase");
	free(text);
	text = config_show(&c);
	cr_assert(strstr(text, "  key_file: \"/keys/vol.pem\"\n") != NULL, "%s", text);
	free(text);
	cr_assert(eq(int, load(HEAD "encryption: { key_file: a/b.pem }\n" SHARE, path), 0), "%s", why);
	cr_assert_str_eq(c.key_file, "/tmp/a/b.pem");
	cr_assert_str_eq(c.passphrase_file, "");
	cr_assert(eq(int, load(HEAD SHARE, path), 0));
	cr_assert_str_eq(c.key_file, "");
	refused(HEAD "encryption: { passphrase: secret }\n" SHARE, 2, "passphrase", "no such key");
}
