/* SPDX-License-Identifier: Apache-2.0 */
/* Answers: each is checked against what the world allows, then applied to it. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "tests/crash/run.h"

static uint32_t
id_of(const struct node *n)
{
	return n ? n->id : 0;
}

static void
wrong(struct act *a, const char *what)
{
	struct node *n = a->n1 ? a->n1 : a->d1;

	run_fail(a->run, id_of(n), a->d1 == n ? 0 : id_of(a->d1), "%s of n%u: %s (xid %08x)",
	         nfs_proc_name(a->proc), id_of(n), what, a->call.xid);
}

static void
wrong_status(struct act *a, uint32_t status)
{
	char what[256];
	size_t n = (size_t)snprintf(what, sizeof(what), "answered %s%s, right is",
	                            nfs_status_name(status),
	                            a->resent ? " to the same xid sent again" : "");

	for (const uint32_t *s = a->want; *s != ANY_END && n < sizeof(what) - 32; s++)
		n += (size_t)snprintf(what + n, sizeof(what) - n, " %s", nfs_status_name(*s));
	wrong(a, what);
}

static bool
wanted(const struct act *a, uint32_t status)
{
	for (const uint32_t *s = a->want; *s != ANY_END; s++)
		if (*s == status)
			return true;
	return false;
}

/* Attributes that came with an answer, as far as nothing is changing them. */
static void
check_attr(struct act *a, const struct node *n, const struct nfs_attr *attr)
{
	struct view view = { .issue = a->issue };
	bool still = !n->busy_links && n->linked < a->issue;
	char what[256];

	if (a->resent || !a->run->opt.strict)
		return;
	if (attr->type != n->type || (attr->fileid != n->fileid && n->fileid)) {
		snprintf(what, sizeof(what), "type %u, fileid %" PRIu64 " instead of %u, %" PRIu64,
		         attr->type, attr->fileid, n->type, n->fileid);
		wrong(a, what);
		return;
	}
	if (n->type == NFS_DIR)
		still = !n->users && n->touched < a->issue;
	if (still && attr->nlink != n->links) {
		snprintf(what, sizeof(what), "nlink %u instead of %u", attr->nlink, n->links);
		wrong(a, what);
	}
	if (n->attr_known && !n->busy_attr && n->chattr < a->issue &&
	    (attr->mode != n->mode || attr->uid != n->uid || attr->gid != n->gid)) {
		snprintf(what, sizeof(what), "mode %o owner %u.%u instead of %o %u.%u",
		         attr->mode, attr->uid, attr->gid, n->mode, n->uid, n->gid);
		wrong(a, what);
	}
	if (n->type == NFS_REG && !content_size_ok(&n->content, &view, attr->size)) {
		int m = snprintf(what, sizeof(what), "size %" PRIu64 ", possible are", attr->size);

		content_sizes(&n->content, &view, what + m, sizeof(what) - (size_t)m);
		wrong(a, what);
	}
}

static void
reply_new(struct act *a, struct nfs_result *res)
{
	struct node *n = a->made;

	/* an answer from the cache of a run before has no attributes (RFC 1813: optional) */
	if (!res->has_fh || (!res->has_attr && !a->resent)) {
		wrong(a, "no handle or no attributes in the answer");
		return;
	}
	if (a->applied || !n) { /* it was there: found by a check, or UNCHECKED, or EXCLUSIVE again */
		n = a->s1->node;
		if (!nfs_fh_equal(&res->fh, &n->fh) ||
		    (res->has_attr && n->fileid && res->attr.fileid != n->fileid))
			wrong(a, "another file than the one that is there");
		return;
	}
	if (!res->has_attr) {
		act_apply(a, &res->fh, NULL);
		return;
	}
	if (res->attr.type != n->type)
		wrong(a, "made something of another type");
	else if (a->sattr.set & NFS_SET_MODE && res->attr.mode != a->sattr.mode)
		wrong(a, "made with another mode");
	else if (a->sattr.set & NFS_SET_SIZE && res->attr.size != a->sattr.size)
		wrong(a, "made with another size");
	else if (res->attr.nlink != (n->type == NFS_DIR ? 2 : 1))
		wrong(a, "made with a wrong nlink");
	act_apply(a, &res->fh, &res->attr);
}

static void
reply_write(struct act *a, struct nfs_result *res)
{
	struct world *w = &a->run->world;

	if (res->count != a->len)
		wrong(a, "wrote less than it was given");
	if (res->committed < a->how)
		wrong(a, "committed less than was asked for");
	content_acked(&a->n1->content, a->change, w->clock, res->committed != NFS_UNSTABLE,
	              res->verf);
	if (res->wcc.has_after)
		check_attr(a, a->n1, &res->wcc.after);
}

static void
reply_read(struct act *a, struct nfs_result *res)
{
	struct view view = { .issue = a->issue };
	struct content *c = &a->n1->content;
	char why[400];
	uint64_t end = a->off + res->count;

	if (res->count > a->len) {
		wrong(a, "more bytes than asked for");
		return;
	}
	if (content_check(c, &view, a->off, res->data, res->count, false, &a->run->tally.torn, why,
	                  sizeof(why)) < 0) {
		wrong(a, why);
		return;
	}
	a->run->tally.reads++;
	if (res->has_attr)
		check_attr(a, a->n1, &res->attr);
	if (!a->run->opt.strict)
		return;
	if (res->count && res->eof && !content_size_ok(c, &view, end))
		wrong(a, "end of file where there can be none");
	if (!res->count && a->len && !res->eof)
		wrong(a, "no bytes, and yet not the end of the file");
}

static bool
slot_still(const struct act *a, const struct slot *s)
{
	return !s->busy && s->changed < a->issue;
}

static void
reply_lookup(struct act *a, struct nfs_result *res)
{
	struct slot *s = a->look;
	char what[320];

	if (!slot_still(a, s))
		return;
	if ((res->status == NFS_OK) != (s->node != NULL)) {
		snprintf(what, sizeof(what), "\"%s\" %s", s->name,
		         s->node ? "is not found" : "is found, but was removed");
		run_fail(a->run, id_of(s->node), a->n1->id, "LOOKUP in d%u: %s", a->n1->id, what);
	} else if (s->node && !nfs_fh_equal(&res->fh, &s->node->fh)) {
		wrong(a, "another handle than the name has");
	} else if (s->node && res->has_attr) {
		check_attr(a, s->node, &res->attr);
	}
}

static void
reply_listing(struct act *a, struct nfs_result *res)
{
	struct node *dir = a->n1;
	struct nfs_dirent e;
	char what[320];
	bool listed[SLOTS_WIDE] = { false };

	while (nfs_dirent_next(res, a->proc == NFS_READDIRPLUS, &e) > 0) {
		struct slot *s = dir_find(dir, e.name, e.name_len);

		if (!s && e.name_len <= 2 && memcmp(e.name, "..", e.name_len) == 0)
			continue;
		if (!s || listed[s - dir->slot]) {
			snprintf(what, sizeof(what), "\"%.*s\" %s", (int)e.name_len, e.name,
			         s ? "is listed twice" : "was never made");
			wrong(a, what);
			return;
		}
		listed[s - dir->slot] = true;
		if (slot_still(a, s) && (!s->node || s->node->fileid != e.fileid)) {
			snprintf(what, sizeof(what), "\"%s\" is listed as %" PRIu64 ", %s", s->name,
			         e.fileid, s->node ? "it is another" : "it was removed");
			wrong(a, what);
			return;
		}
	}
	for (uint32_t i = 0; i < dir->nslots && res->eof; i++)
		if (!listed[i] && dir->slot[i].node && slot_still(a, &dir->slot[i])) {
			snprintf(what, sizeof(what), "\"%s\" is not listed", dir->slot[i].name);
			wrong(a, what);
			return;
		}
}

static void
reply_readlink(struct act *a, struct nfs_result *res)
{
	if (res->data_len != strlen(a->n1->target) ||
	    memcmp(res->data, a->n1->target, res->data_len) != 0)
		wrong(a, "another target");
}

static void
reply_ok(struct act *a, struct nfs_result *res)
{
	struct world *w = &a->run->world;

	switch (a->proc) {
	case NFS_CREATE:
	case NFS_MKDIR:
	case NFS_SYMLINK:
	case NFS_MKNOD:
		reply_new(a, res);
		if (a->has_change)
			content_acked(&a->n1->content, a->change, w->clock, true, 0);
		return;
	case NFS_WRITE:
		reply_write(a, res);
		return;
	case NFS_COMMIT:
		content_committed(&a->n1->content, a->issue, a->off, a->len, res->verf);
		return;
	case NFS_SETATTR:
		if (a->has_change)
			content_acked(&a->n1->content, a->change, w->clock, true, 0);
		break;
	case NFS_READ:
		if (!a->resent)
			reply_read(a, res);
		return;
	case NFS_READLINK:
		reply_readlink(a, res);
		return;
	case NFS_GETATTR:
		check_attr(a, a->n1, &res->attr);
		return;
	case NFS_READDIR:
	case NFS_READDIRPLUS:
		if (!a->resent)
			reply_listing(a, res);
		return;
	default:
		break;
	}
	if (a->effect && !a->applied)
		act_apply(a, NULL, NULL);
}

/* Answers that are right because of what goes on beside the call. */
static bool
excused(const struct act *a, uint32_t status)
{
	const struct node *n = a->n1;
	bool looks = a->proc == NFS_GETATTR || a->proc == NFS_READ || a->proc == NFS_READLINK ||
	             a->proc == NFS_READDIR || a->proc == NFS_READDIRPLUS ||
	             a->proc == NFS_LOOKUP;
	bool on_node = looks || a->proc == NFS_WRITE || a->proc == NFS_COMMIT ||
	               a->proc == NFS_SETATTR;

	/* of another server: any error where one is due, and listings that race */
	if (!a->run->opt.strict && (looks || (!a->effect && status != NFS_OK)))
		return true;
	if (status == NFSERR_STALE && on_node && n->dying)
		return true;
	if (status == NFSERR_ROFS && on_node && n->dying && a->run->trash) /* there nothing changes */
		return true;
	if (status == NFSERR_NOT_SYNC && a->guarded && !a->applied)
		return n->touched > a->first_issue || n->linked > a->first_issue;
	return false;
}

static void
reply_act(struct act *a, struct nfs_result *res)
{
	struct run *r = a->run;

	if (res->status == NFSERR_JUKEBOX) {
		r->tally.jukebox++;
		act_void(a);
		return;
	}
	if (a->proc == NFS_LOOKUP && (res->status == NFS_OK || res->status == NFSERR_NOENT)) {
		if (!a->resent)
			reply_lookup(a, res);
		return;
	}
	if (!wanted(a, res->status)) {
		/* it may have come before the removal that made it stale: then others saw it */
		if (a->has_change && (res->status == NFSERR_STALE || res->status == NFSERR_ROFS))
			a->n1->content.change[a->change].weak = true;
		else
			act_void(a);
		if (!excused(a, res->status))
			wrong_status(a, res->status);
		return;
	}
	if (a->proc == NFS_CREATE && res->status == NFSERR_EXIST && a->want[0] == NFS_OK &&
	    a->n1->excl && !a->resent && a->run->opt.strict)
		wrong(a, "EXIST, though the verifier is the one it was made with");
	if (res->status == NFS_OK)
		reply_ok(a, res);
}

void
reply_done(struct rpc_call *call)
{
	struct act *a = (struct act *)(void *)call;
	struct run *r = a->run;
	struct nfs_result res;
	int err;

	if (call->res == -ECONNRESET)
		return; /* abandoned: it stays in doubt until a check settles it */
	world_tick(&r->world);
	err = nfs_result(call, &res);
	history_reply(r->history, a->record, r->world.clock, err ? 99999 : res.status);
	r->tally.answered++;
	r->tally.resent += a->resent;
	if (err)
		wrong(a, err == -EPROTO ? "refused by the RPC layer" : "malformed answer");
	else if (!r->failed)
		reply_act(a, &res);
	act_finish(a);
}
