/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/rpcbind.h"

#include "reactor/base.h" /* before <sys/param.h>, which has a MIN too */

#include <arpa/inet.h>
#include <netconfig.h>
#include <netinet/in.h>
#include <rpc/rpc.h>
#include <rpc/rpcb_clnt.h>
#include <string.h>

#include "proto/nfs3.h"
#include "reactor/log.h"

static const struct service {
	const char *name;
	uint32_t prog, vers;
} services[] = {
	{ "NFS", NFS3_PROGRAM, NFS3_VERSION },
	{ "MOUNT", MOUNT3_PROGRAM, MOUNT3_VERSION },
};

/* What of it is registered: by service and by transport. */
static const char *const netids[] = { "tcp", "tcp6" };
static bool registered[ARRAY_LEN(services)][ARRAY_LEN(netids)];

/* The address that clients of this transport reach; false: they reach none. */
static bool
address_for(size_t net, const struct sockaddr_storage *addr, uint16_t port, struct sockaddr_storage *out)
{
	bool six = addr->ss_family == AF_INET6;
	struct sockaddr_in *in = (struct sockaddr_in *)out;

	*out = *addr;
	if (six)
		((struct sockaddr_in6 *)out)->sin6_port = htons(port);
	else
		in->sin_port = htons(port);
	if (six == (net == 1))
		return true;
	/* An IPv6 socket on any address takes IPv4 too. */
	if (!six || !IN6_IS_ADDR_UNSPECIFIED(&((const struct sockaddr_in6 *)addr)->sin6_addr))
		return false;
	memset(out, 0, sizeof *out);
	in->sin_family = AF_INET;
	in->sin_port = htons(port);
	return true;
}

static bool
register_one(const struct service *s, size_t net, struct sockaddr_storage *at)
{
	socklen_t len = at->ss_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
	struct netbuf nb = { .maxlen = len, .len = len, .buf = at };
	struct netconfig *nc = getnetconfigent(netids[net]);
	bool ok;

	if (!nc) {
		log_warn("cannot register %s with rpcbind: /etc/netconfig has no \"%s\" (package libtirpc-common)",
		         s->name, netids[net]);
		return false;
	}
	ok = rpcb_set(s->prog, s->vers, nc, &nb);
	freenetconfigent(nc);
	return ok;
}

void
rpcbind_register(const struct sockaddr_storage *addr, uint16_t port)
{
	struct sockaddr_storage at;

	for (size_t i = 0; i < ARRAY_LEN(services); i++) {
		for (size_t net = 0; net < ARRAY_LEN(netids); net++) {
			if (!address_for(net, addr, port, &at))
				continue;
			registered[i][net] = register_one(&services[i], net, &at);
			if (registered[i][net])
				continue;
			log_warn("rpcbind did not register %s (program %u version %u, %s): start rpcbind, or stop the other "
			         "NFS server that is registered (see rpcinfo -p), or let clients mount with "
			         "-o port=%u,mountport=%u; serving goes on",
			         services[i].name, services[i].prog, services[i].vers, netids[net], port, port);
			return; /* the others would fail alike */
		}
	}
}

void
rpcbind_unregister(void)
{
	for (size_t i = 0; i < ARRAY_LEN(services); i++) {
		for (size_t net = 0; net < ARRAY_LEN(netids); net++) {
			struct netconfig *nc = registered[i][net] ? getnetconfigent(netids[net]) : NULL;

			if (!nc)
				continue;
			if (!rpcb_unset(services[i].prog, services[i].vers, nc))
				log_warn("rpcbind did not take back %s on %s", services[i].name, netids[net]);
			freenetconfigent(nc);
			registered[i][net] = false;
		}
	}
}
