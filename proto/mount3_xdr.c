/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/mount3_xdr.h"

#include "proto/handle.h"
#include "proto/rpc.h"

void
mount3_get_path(struct xdr *d, struct mount3_path *p)
{
	p->s = xdr_get_opaque(d, MNTPATHLEN, &p->len);
}

void
mount3_put_mnt(struct xdr *e, enum mountstat3 st, const struct fref *root)
{
	uint32_t *w;

	xdr_put_u32(e, st);
	if (st != MNT3_OK)
		return;
	xdr_put_u32(e, HANDLE_BYTES);
	w = xdr_words(e, HANDLE_BYTES / 4);
	if (w)
		handle_encode((uint8_t *)w, root);
	xdr_put_u32(e, 1); /* flavors */
	xdr_put_u32(e, RPC_AUTH_SYS);
}

/* Where a list's next item may not fit, it ends there, well formed. */
#define ITEM_END 4

static bool
has_room(struct xdr *e, size_t bytes)
{
	return !e->bad && e->x.x_handy >= bytes + ITEM_END;
}

void
mount3_put_dump(struct xdr *e, const struct mount3_entry *list, int n)
{
	for (int i = 0; i < n && has_room(e, 4 + 4 + 48 + 4 + 256); i++) {
		xdr_put_bool(e, true);
		xdr_put_string(e, list[i].host);
		xdr_put_string(e, list[i].dir);
	}
	xdr_put_bool(e, false);
}

void
mount3_put_exports(struct xdr *e, const struct export *list, int n)
{
	char net[EXPORT_NET_STRLEN];

	for (int i = 0; i < n && has_room(e, 4 + 4 + 64 + EXPORT_NETS_MAX * (8 + EXPORT_NET_STRLEN) + 4); i++) {
		xdr_put_bool(e, true);
		xdr_put_string(e, list[i].name);
		for (int k = 0; k < list[i].nnets; k++) {
			xdr_put_bool(e, true);
			xdr_put_string(e, export_net_format(&list[i].net[k], net));
		}
		xdr_put_bool(e, false);
	}
	xdr_put_bool(e, false);
}
