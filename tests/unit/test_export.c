/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include <arpa/inet.h>

#include "proto/export.h"

static struct sockaddr_storage
peer(const char *s)
{
	struct sockaddr_storage a = { .ss_family = AF_INET };

	if (inet_pton(AF_INET, s, &((struct sockaddr_in *)&a)->sin_addr) == 1)
		return a;
	a.ss_family = AF_INET6;
	cr_assert(eq(int, inet_pton(AF_INET6, s, &((struct sockaddr_in6 *)&a)->sin6_addr), 1));
	return a;
}

static bool
matches(const char *net, const char *addr)
{
	struct export e = { .nnets = 1 };
	struct sockaddr_storage a = peer(addr);
	char why[256] = "";

	cr_assert(eq(int, export_net_parse(&e.net[0], net, why), 0), "%s", why);
	return export_allows(&e, &a);
}

Test(export, networks)
{
	static const struct { const char *net, *addr; bool in; } t[] = {
		{ "10.0.0.0/8", "10.255.3.4", true },        { "10.0.0.0/8", "11.0.0.1", false },
		{ "192.168.4.0/22", "192.168.7.255", true }, { "192.168.4.0/22", "192.168.8.0", false },
		{ "1.2.3.4", "1.2.3.4", true },              { "1.2.3.4", "1.2.3.5", false },
		{ "1.2.3.4/32", "1.2.3.4", true },           { "1.2.3.4/31", "1.2.3.5", true },
		{ "0.0.0.0/0", "9.9.9.9", true },            { "0.0.0.0/0", "2001:db8::1", false },
		{ "*", "9.9.9.9", true },                    { "*", "2001:db8::1", true },
		{ "::/0", "2001:db8::1", true },             { "fd00::/8", "fdff::1", true },
		{ "fd00::/8", "fe00::1", false },            { "::1", "::1", true },
		{ "2001:db8::/33", "2001:db8:7fff::1", true }, { "2001:db8::/33", "2001:db8:8000::1", false },
		{ "10.0.0.0/8", "::ffff:10.1.1.1", true },   { "::ffff:10.0.0.0/104", "10.1.1.1", true },
		{ "10.0.0.0/8", "::10.1.1.1", false },
	};

	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		cr_assert(eq(int, matches(t[i].net, t[i].addr), t[i].in), "%s in %s", t[i].addr, t[i].net);
}

Test(export, no_network_is_nobody)
{
	struct export e = { .nnets = 0 };
	struct sockaddr_storage a = peer("127.0.0.1"), unix_peer = { .ss_family = AF_UNIX };

	cr_assert(not(export_allows(&e, &a)));
	e.nnets = 1; /* everybody */
	cr_assert(export_allows(&e, &a));
	cr_assert(not(export_allows(&e, &unix_peer)));
}

Test(export, what_is_no_network)
{
	static const struct { const char *s, *says; } t[] = {
		{ "", "not a network" },          { "/8", "not a network" },     { "host.example", "names are not looked up" },
		{ "10.0.0.0/", "from 0 to 32" },  { "10.0.0.0/33", "from 0 to 32" }, { "10.0.0.0/8x", "from 0 to 32" },
		{ "10.0.0.0/-1", "from 0 to 32" }, { "10.0.0.0/ 8", "from 0 to 32" }, { "fd00::/129", "from 0 to 128" },
		{ "10.0.0.0/99999999999999999999", "from 0 to 32" },
		{ "10.1.0.0/8", "bits set below" }, { "fd00::1/64", "bits set below" }, { "10.0.0", "not a network" },
		{ "10.0.0.0.0/8", "not a network" }, { "**", "not a network" },
		{ "an address that is much longer than any address can be, and longer than that again/8", "not a network" },
	};

	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		struct export_net n;
		char why[256] = "";

		cr_assert(eq(int, export_net_parse(&n, t[i].s, why), -EINVAL), "%s", t[i].s);
		cr_assert(strstr(why, t[i].says) != NULL, "%s: %s", t[i].s, why);
	}
}

Test(export, networks_are_shown_as_written)
{
	static const char *const t[] = { "10.0.0.0/8", "1.2.3.4", "0.0.0.0/0", "*", "fd00::/8", "::1", "2001:db8::/33" };

	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		struct export_net n;
		char why[256], out[EXPORT_NET_STRLEN];

		cr_assert(eq(int, export_net_parse(&n, t[i], why), 0));
		cr_assert(eq(str, export_net_format(&n, out), (char *)t[i]));
	}
}

static struct cred
squashed(enum squash how, bool has_cred, uint32_t uid)
{
	struct export e = { .squash = how, .anon_uid = 55, .anon_gid = 66 };
	struct cred c = { .uid = uid, .gid = uid, .ngids = 3, .gids = { 0, 7, 0 } };

	export_squash(&e, has_cred, &c);
	return c;
}

Test(export, squashing)
{
	struct cred c = squashed(SQUASH_NONE, true, 0);

	cr_assert(eq(u32, c.uid, 0));
	cr_assert(eq(u32, c.gids[0], 0));
	c = squashed(SQUASH_ROOT, true, 0);
	cr_assert(eq(u32, c.uid, 55));
	cr_assert(eq(u32, c.gid, 66));
	cr_assert(eq(u32, c.gids[0], 66));
	cr_assert(eq(u32, c.gids[1], 7));
	cr_assert(eq(u32, c.gids[2], 66));
	c = squashed(SQUASH_ROOT, true, 1000);
	cr_assert(eq(u32, c.uid, 1000));
	cr_assert(eq(u32, c.gid, 1000));
	cr_assert(eq(u32, c.gids[0], 66)); /* root's group, whoever has it */
	c = squashed(SQUASH_ALL, true, 1000);
	cr_assert(eq(u32, c.uid, 55));
	cr_assert(eq(u32, c.gid, 66));
	cr_assert(eq(u32, c.ngids, 0));
	c = squashed(SQUASH_NONE, false, 0); /* AUTH_NONE is nobody, whatever the rule */
	cr_assert(eq(u32, c.uid, 55));
	cr_assert(eq(u32, c.ngids, 0));
}

Test(export, names_of_squash)
{
	for (int i = SQUASH_NONE; i <= SQUASH_ALL; i++)
		cr_assert(eq(int, export_squash_parse(export_squash_name((enum squash)i)), i));
	cr_assert(eq(int, export_squash_parse("some"), -EINVAL));
}

Test(export, defaults_are_private)
{
	static const struct { const char *addr; bool in; } t[] = {
		{ "127.0.0.1", true }, { "::1", true }, { "10.3.4.5", true }, { "172.31.0.1", true }, { "172.32.0.1", false },
		{ "192.168.1.1", true }, { "8.8.8.8", false }, { "fe80::1", true }, { "2001:db8::1", false },
	};
	struct share_rec share = { .name = "/export", .id = 3, .root = 9 };
	struct export e;
	char why[256];

	export_init(&e, &share);
	cr_assert(eq(int, export_check(&e, why), 0));
	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		struct sockaddr_storage a = peer(t[i].addr);

		cr_assert(eq(int, export_allows(&e, &a), t[i].in), "%s", t[i].addr);
	}
	cr_assert(eq(str, e.name, (char *)"/export"));
	cr_assert(eq(u64, e.root, 9));
	e.root = 0;
	cr_assert(eq(int, export_check(&e, why), -EINVAL));
	e.root = 9;
	e.name[0] = 'x';
	cr_assert(eq(int, export_check(&e, why), -EINVAL));
}
