/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/export.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>

#define MAPPED_BITS 96
static const uint8_t mapped_prefix[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };

void
export_init(struct export *e, const struct share_rec *share)
{
	static const char *const private_nets[] = {
		"127.0.0.0/8", "::1", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "fc00::/7",
		"fe80::/10",
	};
	char why[256];

	*e = (struct export){
		.share = share->id,
		.root = share->root,
		.anon_uid = EXPORT_ANON_ID,
		.anon_gid = EXPORT_ANON_ID,
	};
	snprintf(e->name, sizeof e->name, "%s", share->name);
	for (size_t i = 0; i < ARRAY_LEN(private_nets); i++) {
		int err = export_net_parse(&e->net[e->nnets++], private_nets[i], why);

		assert(err == 0);
	}
}

/* Whether a bit below the prefix is set. */
static bool
net_has_host_bits(const struct export_net *n)
{
	for (unsigned bit = n->bits; bit < 128; bit++)
		if (n->addr[bit / 8] & 0x80 >> bit % 8)
			return true;
	return false;
}

/* "24" after the slash: digits only, 0..max. */
static bool
parse_prefix(const char *s, unsigned max, unsigned *bits)
{
	char *end;
	unsigned long v;

	if (*s < '0' || *s > '9')
		return false;
	v = strtoul(s, &end, 10);
	*bits = (unsigned)v;
	return *end == '\0' && v <= max;
}

int
export_net_parse(struct export_net *n, const char *s, char why[256])
{
	char addr[INET6_ADDRSTRLEN];
	const char *slash = strchr(s, '/');
	size_t len = slash ? (size_t)(slash - s) : strlen(s);
	unsigned width, bits;

	*n = (struct export_net){ .bits = 0 };
	if (strcmp(s, "*") == 0)
		return 0;
	if (len == 0 || len >= sizeof addr)
		goto no_address;
	memcpy(addr, s, len);
	addr[len] = '\0';
	if (inet_pton(AF_INET, addr, n->addr + 12) == 1) {
		memcpy(n->addr, mapped_prefix, sizeof mapped_prefix);
		width = 32;
	} else if (inet_pton(AF_INET6, addr, n->addr) == 1) {
		width = 128;
	} else {
		goto no_address;
	}
	bits = width;
	if (slash && !parse_prefix(slash + 1, width, &bits)) {
		snprintf(why, 256, "\"%.80s\": the prefix after the slash must be a number from 0 to %u", s, width);
		return -EINVAL;
	}
	n->bits = (uint8_t)(bits + 128 - width);
	if (net_has_host_bits(n)) {
		snprintf(why, 256, "\"%.80s\": the address has bits set below its prefix of %u; write the network's own "
		         "address, or the address alone for one host", s, bits);
		return -EINVAL;
	}
	return 0;

no_address:
	snprintf(why, 256, "\"%.80s\" is not a network: write an IPv4 or IPv6 address, with /BITS behind it for a whole "
	         "network, or * for everybody (names are not looked up)", s);
	return -EINVAL;
}

char *
export_net_format(const struct export_net *n, char out[EXPORT_NET_STRLEN])
{
	bool v4 = n->bits >= MAPPED_BITS && memcmp(n->addr, mapped_prefix, sizeof mapped_prefix) == 0;
	unsigned width = v4 ? 32 : 128, bits = v4 ? n->bits - MAPPED_BITS : n->bits;
	char addr[INET6_ADDRSTRLEN];

	inet_ntop(v4 ? AF_INET : AF_INET6, v4 ? n->addr + 12 : n->addr, addr, sizeof addr);
	if (n->bits == 0)
		snprintf(out, EXPORT_NET_STRLEN, "*");
	else if (bits == width)
		snprintf(out, EXPORT_NET_STRLEN, "%s", addr);
	else
		snprintf(out, EXPORT_NET_STRLEN, "%s/%u", addr, bits);
	return out;
}

static const char *const squash_names[] = { "none", "root", "all" };

int
export_squash_parse(const char *s)
{
	for (size_t i = 0; i < ARRAY_LEN(squash_names); i++)
		if (strcmp(s, squash_names[i]) == 0)
			return (int)i;
	return -EINVAL;
}

const char *
export_squash_name(enum squash s)
{
	return squash_names[s];
}

int
export_check(const struct export *e, char why[256])
{
	if (e->name[0] != '/' || strnlen(e->name, sizeof e->name) == sizeof e->name) {
		snprintf(why, 256, "a share's name must begin with / and have at most %zu characters", sizeof e->name - 1);
		return -EINVAL;
	}
	if (e->share == 0 || e->root == 0) {
		snprintf(why, 256, "%s: there is no such share in this volume", e->name);
		return -EINVAL;
	}
	if (e->nnets < 0 || e->nnets > EXPORT_NETS_MAX) {
		snprintf(why, 256, "%s: at most %d networks", e->name, EXPORT_NETS_MAX);
		return -EINVAL;
	}
	return 0;
}

static bool
net_has(const struct export_net *n, const uint8_t addr[16])
{
	unsigned bytes = n->bits / 8, rest = n->bits % 8;

	if (memcmp(n->addr, addr, bytes) != 0)
		return false;
	return rest == 0 || (n->addr[bytes] ^ addr[bytes]) >> (8 - rest) == 0;
}

void
export_take(struct export *e, const struct export *new)
{
	__atomic_store_n(&e->read_only, new->read_only, __ATOMIC_RELAXED);
	memcpy(e->net, new->net, sizeof(e->net));
	e->nnets = new->nnets;
	e->squash = new->squash;
	e->anon_uid = new->anon_uid;
	e->anon_gid = new->anon_gid;
}

bool
export_allows(const struct export *e, const struct sockaddr_storage *peer)
{
	uint8_t addr[16];

	if (peer->ss_family == AF_INET) {
		memcpy(addr, mapped_prefix, sizeof mapped_prefix);
		memcpy(addr + 12, &((const struct sockaddr_in *)peer)->sin_addr, 4);
	} else if (peer->ss_family == AF_INET6) {
		memcpy(addr, &((const struct sockaddr_in6 *)peer)->sin6_addr, 16);
	} else {
		return false;
	}
	for (int i = 0; i < e->nnets; i++)
		if (net_has(&e->net[i], addr))
			return true;
	return false;
}

void
export_squash(const struct export *e, bool has_cred, struct cred *c)
{
	if (!has_cred || e->squash == SQUASH_ALL) {
		*c = (struct cred){ .uid = e->anon_uid, .gid = e->anon_gid };
		return;
	}
	if (e->squash == SQUASH_NONE)
		return;
	/* Root's group gives rights of its own: it goes wherever it stands. */
	if (c->uid == 0)
		c->uid = e->anon_uid;
	if (c->gid == 0)
		c->gid = e->anon_gid;
	for (uint32_t i = 0; i < c->ngids; i++)
		if (c->gids[i] == 0)
			c->gids[i] = e->anon_gid;
}
