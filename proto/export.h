/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who may use a share, and as whom: a share's allowed networks, read-only,
 * and the squashing of users.  Rules are filled by tools from the config
 * before the reactors start; each core has its own copy, which changes when the config is read again (server_take_rules).
 * They are checked on every call, not only at MOUNT, because a handle outlives
 * the MOUNT that gave it out.  Pure functions, any thread.
 */
#ifndef PROTO_EXPORT_H
#define PROTO_EXPORT_H

#include <sys/socket.h>

#include "meta/meta.h"

#define EXPORTS_MAX     64
#define EXPORT_NETS_MAX 32
#define EXPORT_ANON_ID  65534u /* nobody, nogroup */

/* A network; IPv4 is kept as IPv4-mapped IPv6 (RFC 4291 §2.5.5.2), so one comparison does. */
struct export_net {
	uint8_t addr[16];
	uint8_t bits; /* 0..128, of the 16 bytes */
};

enum squash { SQUASH_NONE, SQUASH_ROOT, SQUASH_ALL };

struct export {
	uint32_t share;      /* share_rec.id, 1.. */
	uint64_t root;       /* share_rec.root */
	char name[64];       /* what clients mount: "/export" */
	struct export_net net[EXPORT_NETS_MAX];
	int nnets;           /* 0: nobody */
	bool read_only;
	enum squash squash;
	uint32_t anon_uid, anon_gid;
	uint64_t retention_ns; /* what is removed stays in .trash for so long (meta/trash.h); 0: there is none */
};

/*
 * The rules of a share that has none in the config: read and write, no
 * squashing, from loopback and private networks only (RFC 1918, RFC 4193, link-local).
 */
void export_init(struct export *e, const struct share_rec *share);

/*
 * "192.168.0.0/16", "10.1.2.3", "fd00::/8", "::1", or "*" for everybody.
 * -EINVAL with a sentence in why[]: no address, a prefix too long, or bits set
 * below the prefix (which is most often a typing error).
 */
int export_net_parse(struct export_net *n, const char *s, char why[256]);
/* The other way, for messages and `status`; returns out. */
#define EXPORT_NET_STRLEN 64
char *export_net_format(const struct export_net *n, char out[EXPORT_NET_STRLEN]);
/* "none", "root", "all"; else -EINVAL. */
int export_squash_parse(const char *s);
const char *export_squash_name(enum squash s);

/* Whether the rules are complete and sensible; -EINVAL with a sentence. */
int export_check(const struct export *e, char why[256]);

/* The rules of `new` for the same share; the core that e belongs to.  Another may be reading e->read_only. */
void export_take(struct export *e, const struct export *new);

/* Whether a peer at this address may use the share. */
bool export_allows(const struct export *e, const struct sockaddr_storage *peer);
/* Turns the caller's credentials into those he has on this share.  AUTH_NONE comes as has_cred false. */
void export_squash(const struct export *e, bool has_cred, struct cred *c);

#endif
