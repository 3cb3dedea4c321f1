/* SPDX-License-Identifier: Apache-2.0 */
/* The calls of the last rounds, in a ring, for the message of a failure. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/crash/run.h"

enum { RECORDS = 1 << 18, PRINTED = 400 };

#define PENDING 0xfffffffe
#define NOTE    0xfffffffd

struct record {
	uint64_t issue, ack, off;
	uint32_t round, proc, status, len, how, id, xid;
	uint32_t n1, n2, d1, d2, s1, s2;
	struct nfs_sattr sattr;
	char note[48];
};

struct history {
	uint32_t n; /* in all */
	struct record ring[RECORDS];
};

struct history *
history_new(void)
{
	return calloc(1, sizeof(struct history));
}

void
history_free(struct history *h)
{
	free(h);
}

static uint32_t
node_id(const struct node *n)
{
	return n ? n->id : 0;
}

uint32_t
history_call(struct history *h, const struct act *a, uint32_t round)
{
	struct record *r = &h->ring[h->n % RECORDS];

	*r = (struct record){
		.issue = a->issue, .off = a->off, .round = round, .proc = a->proc,
		.status = PENDING, .len = a->len, .how = a->how, .id = a->id, .xid = a->call.xid,
		.n1 = node_id(a->made ? a->made : a->n1), .n2 = node_id(a->n2),
		.d1 = node_id(a->d1), .d2 = node_id(a->d2), .sattr = a->sattr,
	};
	if (a->s1)
		r->s1 = (uint32_t)(a->s1 - a->s1->dir->slot);
	if (a->s2)
		r->s2 = (uint32_t)(a->s2 - a->s2->dir->slot);
	return h->n++;
}

void
history_reply(struct history *h, uint32_t record, uint64_t now, uint32_t status)
{
	if (h->n - record > RECORDS)
		return; /* overwritten since */
	h->ring[record % RECORDS].ack = now;
	h->ring[record % RECORDS].status = status;
}

void
history_note(struct history *h, uint32_t round, uint64_t now, const char *note)
{
	struct record *r = &h->ring[h->n++ % RECORDS];

	*r = (struct record){ .issue = now, .round = round, .status = NOTE };
	snprintf(r->note, sizeof(r->note), "%s", note);
}

static void
print_slot(uint32_t dir, uint32_t slot)
{
	char name[256];

	slot_name(name, dir, slot);
	fprintf(stderr, " d%u/\"%.24s%s\"", dir, name, strlen(name) > 24 ? "..." : "");
}

static void
print_sattr(const struct nfs_sattr *s)
{
	if (s->set & NFS_SET_MODE)
		fprintf(stderr, " mode=%o", s->mode);
	if (s->set & NFS_SET_UID)
		fprintf(stderr, " uid=%u", s->uid);
	if (s->set & NFS_SET_GID)
		fprintf(stderr, " gid=%u", s->gid);
	if (s->set & NFS_SET_SIZE)
		fprintf(stderr, " size=%" PRIu64, s->size);
	if (s->set & NFS_SET_MTIME)
		fprintf(stderr, " mtime=%" PRIu64, s->mtime);
	if (s->set & NFS_SET_MTIME_NOW)
		fprintf(stderr, " mtime=now");
}

static void
print_record(const struct record *r)
{
	static const char *const stable[] = { "UNSTABLE", "DATA_SYNC", "FILE_SYNC" };
	static const char *const how[] = { "UNCHECKED", "GUARDED", "EXCLUSIVE" };

	fprintf(stderr, "    r%u %8" PRIu64, r->round, r->issue);
	if (r->status == NOTE) {
		fprintf(stderr, "          ---- %s\n", r->note);
		return;
	}
	if (r->status == PENDING)
		fprintf(stderr, "..?       ");
	else
		fprintf(stderr, "..%-8" PRIu64, r->ack);
	fprintf(stderr, "%-8s", nfs_proc_name(r->proc));
	if (r->d1)
		print_slot(r->d1, r->s1);
	if (r->d2)
		print_slot(r->d2, r->s2);
	if (r->n1)
		fprintf(stderr, " n%u", r->n1);
	if (r->n2)
		fprintf(stderr, " over n%u", r->n2);
	if (r->proc == NFS_CREATE && r->how < 3)
		fprintf(stderr, " %s", how[r->how]);
	if (r->proc == NFS_WRITE && r->how < 3)
		fprintf(stderr, " #%u %s", r->id, stable[r->how]);
	if (r->proc == NFS_WRITE || r->proc == NFS_READ || r->proc == NFS_COMMIT)
		fprintf(stderr, " %" PRIu64 "+%u", r->off, r->len);
	print_sattr(&r->sattr);
	fprintf(stderr, " xid=%08x: %s\n", r->xid,
	        r->status == PENDING ? "no answer" : nfs_status_name(r->status));
}

static bool
concerns(const struct record *r, uint32_t node)
{
	return node && (r->n1 == node || r->n2 == node || r->d1 == node || r->d2 == node);
}

void
history_print(const struct history *h, uint32_t node, uint32_t other)
{
	uint32_t left = h->n < RECORDS ? h->n : RECORDS, found = 0, i;

	if (!node && !other)
		return;
	for (i = h->n; left > 0 && found < PRINTED; left--) {
		const struct record *r = &h->ring[--i % RECORDS];

		found += concerns(r, node) || concerns(r, other);
	}
	fprintf(stderr, "  the last %u calls on n%u", found, node);
	if (other)
		fprintf(stderr, " and n%u", other);
	fprintf(stderr, " (called..answered):\n");
	for (; i != h->n; i++) {
		const struct record *r = &h->ring[i % RECORDS];

		if (concerns(r, node) || concerns(r, other) || r->status == NOTE)
			print_record(r);
	}
}
