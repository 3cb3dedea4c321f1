/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/backup_object.h"

#include <stdio.h>
#include <stdlib.h>

#include "store/claim.h"
#include "tools/oncore.h"

#define MAGIC   "DTTBAK1"
#define VERSION_1 1
#define LIST_ROOM 256 /* names a request */

/* ---- requests */

static enum op_state
put(void *arg, struct op *op)
{
	return claim_put(arg, op);
}

static enum op_state
del(void *arg, struct op *op)
{
	return claim_del(arg, op);
}

static enum op_state
get(void *arg, struct op *op)
{
	struct obj_req *r = arg;

	return r->store->ops->get(r, op);
}

static enum op_state
head(void *arg, struct op *op)
{
	struct obj_req *r = arg;

	return r->store->ops->head(r, op);
}

static enum op_state
list(void *arg, struct op *op)
{
	struct obj_req *r = arg;

	return r->store->ops->list(r, op);
}

static int
whole(const struct backup_place *at, const char *name, uint8_t *buf, size_t len, enum op_state (*what)(void *arg, struct op *op))
{
	struct iovec iov = { buf, len };
	struct obj_req r = { .store = at->store, .iov = &iov, .niov = 1, .len = len };

	snprintf(r.name, sizeof(r.name), "%s", name);
	return on_core(0, what, &r);
}

/* ---- lists */

/* All names that begin so, to `see`, in pages. */
static int
list_all(struct objstore *store, const char *begin, int (*see)(void *arg, const char *name), void *arg)
{
	struct obj_entry *page = malloc(LIST_ROOM * sizeof(*page));
	struct obj_req r = { .more = true };
	char after[OBJ_NAME] = "";
	int err = page ? 0 : -ENOMEM;

	while (err == 0 && r.more) {
		r = (struct obj_req){ .store = store, .entry = page, .nentries = LIST_ROOM };
		snprintf(r.name, sizeof(r.name), "%s", begin);
		memcpy(r.after, after, sizeof(after));
		err = on_core(0, list, &r);
		for (int i = 0; i < r.nentries && err == 0; i++)
			err = see(arg, page[i].name);
		if (err == 0 && r.more)
			memcpy(after, page[r.nentries - 1].name, sizeof(after));
	}
	free(page);
	return err;
}

struct gathered {
	const char *prefix;
	bool pieces;
	uint8_t *v;        /* ids, both kinds of 16 bytes */
	size_t n, room;
};
#define ID_BYTES sizeof(struct backup_id)
static_assert(ID_BYTES == sizeof(struct piece_id), "one array for both");

static int
see_name(void *arg, const char *name)
{
	struct gathered *g = arg;
	union { struct backup_id backup; struct piece_id piece; } id;

	if (!(g->pieces ? piece_name_parse(name, g->prefix, &id.piece) : backup_name_parse(name, g->prefix, &id.backup)))
		return 0;
	if (g->n == g->room) {
		size_t room = 2 * g->room + 64;
		uint8_t *v = realloc(g->v, room * ID_BYTES);

		if (!v)
			return -ENOMEM;
		g->v = v;
		g->room = room;
	}
	memcpy(g->v + g->n++ * ID_BYTES, &id, ID_BYTES);
	return 0;
}

static int
gather(const struct backup_place *at, bool pieces, void **out, size_t *n)
{
	struct gathered g = { .prefix = at->prefix, .pieces = pieces };
	char begin[OBJ_NAME];
	int err;

	(pieces ? piece_names : backup_names)(begin, at->prefix);
	err = list_all(at->store, begin, see_name, &g);
	if (g.n > 0)
		qsort(g.v, g.n, ID_BYTES, pieces ? piece_id_cmp : backup_id_cmp);
	*out = g.v;
	*n = g.n;
	return err;
}

int
backup_list(const struct backup_place *at, struct backup_id **out, size_t *n)
{
	void *v;
	int err = gather(at, false, &v, n);

	*out = v;
	return err;
}

int
backup_list_pieces(const struct backup_place *at, struct piece_id **out, size_t *n)
{
	void *v;
	int err = gather(at, true, &v, n);

	*out = v;
	return err;
}

/* ---- objects */

static size_t
tail(void)
{
	return seal_epoch() ? BACKUP_TAIL : 0;
}

int
backup_put(const struct backup_place *at, const char *name, uint8_t *buf, size_t bytes)
{
	uint32_t epoch = seal_epoch();
	int err = 0;

	memset(buf, 0, BACKUP_HEAD);
	memcpy(buf, MAGIC, sizeof(MAGIC));
	put_le16(buf + 8, VERSION_1);
	put_le16(buf + 10, (uint16_t)seal_cipher(epoch));
	put_le32(buf + 12, epoch);
	memcpy(buf + 16, at->uuid, 16);
	put_le64(buf + 32, bytes);
	if (epoch)
		err = seal_object(epoch, name, buf + BACKUP_HEAD, bytes, buf + BACKUP_HEAD + bytes);
	return err < 0 ? err : whole(at, name, buf, BACKUP_HEAD + bytes + tail(), put);
}

int
backup_get(const struct backup_place *at, const char *name, uint8_t *buf, size_t bytes)
{
	int err = whole(at, name, buf, BACKUP_HEAD + bytes + tail(), get);
	uint32_t epoch = get_le32(buf + 12);

	if (err < 0)
		return err;
	if (memcmp(buf, MAGIC, sizeof(MAGIC)) || memcmp(buf + 16, at->uuid, 16) || get_le64(buf + 32) != bytes || !epoch != !seal_epoch())
		return -E_DAMAGED;
	if (get_le16(buf + 8) != VERSION_1)
		return -E_FORMAT;
	return epoch ? seal_open_object(epoch, name, buf + BACKUP_HEAD, bytes, buf + BACKUP_HEAD + bytes) : 0;
}

int
backup_read(const struct backup_place *at, const struct backup_id *id, struct backup_manifest *m)
{
	struct obj_req r = { .store = at->store };
	uint8_t *buf = NULL;
	int err;

	backup_name(r.name, at->prefix, id);
	err = on_core(0, head, &r);
	size_t len = r.size - BACKUP_HEAD - tail();

	if (err == 0 && (r.size < BACKUP_HEAD + tail() || r.size > BACKUP_TEXT_MAX))
		err = -E_DAMAGED;
	if (err == 0 && !(buf = malloc(r.size)))
		err = -ENOMEM;
	if (err == 0)
		err = backup_get(at, r.name, buf, len);
	if (err == 0)
		err = backup_manifest_parse(m, (const char *)buf + BACKUP_HEAD, len);
	/* One that lies under another's name is no backup of that time. */
	if (err == 0 && (memcmp(m->uuid, at->uuid, 16) || backup_id_cmp(&m->id, id)))
		err = -E_DAMAGED;
	free(buf);
	return err;
}

int
backup_write(const struct backup_place *at, const struct backup_manifest *m)
{
	char name[OBJ_NAME], *text;
	uint8_t *buf = NULL;
	size_t len = 0;
	int err = -ENOMEM;

	text = backup_manifest_text(m, &len);
	if (text && len <= BACKUP_TEXT_MAX - BACKUP_ROOM(0))
		buf = malloc(BACKUP_ROOM(len));
	if (buf) {
		memcpy(buf + BACKUP_HEAD, text, len);
		backup_name(name, at->prefix, &m->id);
		err = backup_put(at, name, buf, len);
	}
	free(buf);
	free(text);
	return err;
}

int
backup_remove(const struct backup_place *at, char (*name)[OBJ_NAME], int n)
{
	struct obj_req r = { .store = at->store, .names = name, .nnames = n };

	return n > 0 ? on_core(0, del, &r) : 0;
}

const char *
backup_error(int err)
{
	switch (err) {
	case -ENOENT:     return "it is missing";
	case -E_DAMAGED:  return "it is damaged, or not this volume's";
	case -E_FORMAT:   return "it was made by a newer program";
	case -ENOMEM:     return "no memory for it";
	case -ENOKEY:     return "it is encrypted with a key that the volume has not";
	case -E_FENCED:   return "another server has taken over the objects";
	case -ECANCELED:  return "the server ends";
	default:          return objstore_error(err);
	}
}

/* ---- whose they are */

int
backup_find_prefixes(struct objstore *store, char (*prefix)[64], int room)
{
	struct obj_entry entry;
	struct obj_req r = { .more = true };
	char after[OBJ_NAME] = "";
	int n = 0, err;

	/* The first name of each folder; the next folder begins behind all that begin with this one and a slash. */
	while (r.more && n < room) {
		r = (struct obj_req){ .store = store, .entry = &entry, .nentries = 1 };
		memcpy(r.after, after, sizeof(after));
		if ((err = on_core(0, list, &r)) < 0)
			return err;
		if (r.nentries == 0)
			break;
		size_t len = strcspn(entry.name, "/");

		snprintf(after, sizeof(after), "%.*s%s", (int)len, entry.name, entry.name[len] ? "0" : ""); /* '0' follows '/' */
		if (!entry.name[len] || len >= sizeof(prefix[0]))
			continue;
		struct obj_req h = { .store = store };

		snprintf(h.name, sizeof(h.name), "%.*s/dittofs.json", (int)len, entry.name);
		err = on_core(0, head, &h);
		if (err < 0 && err != -ENOENT)
			return err;
		if (err == 0)
			snprintf(prefix[n++], sizeof(prefix[0]), "%.*s", (int)len, entry.name);
	}
	return n;
}
