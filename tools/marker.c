/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/marker.h"

#include <jansson.h>
#include <stdio.h>

#include "tools/oncore.h"

#define MARKER_BYTES 512

void
uuid_format(const uint8_t u[16], char out[UUID_STRLEN])
{
	snprintf(out, UUID_STRLEN,
		"%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", u[0], u[1], u[2], u[3],
		u[4], u[5], u[6], u[7], u[8], u[9], u[10], u[11], u[12], u[13], u[14], u[15]);
}

int
uuid_parse(const char *text, uint8_t out[16])
{
	static const uint8_t at[16] = { 0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34 };
	char again[UUID_STRLEN];

	if (!text || strlen(text) != UUID_STRLEN - 1)
		return -EINVAL;
	for (int i = 0; i < 16; i++)
		if (sscanf(text + at[i], "%2hhx", &out[i]) != 1)
			return -EINVAL;
	uuid_format(out, again);
	return strcmp(again, text) ? -EINVAL : 0;
}

struct marker {
	struct obj_req req;
	struct iovec iov;
	char text[MARKER_BYTES];
};

static void
marker_init(struct marker *m, struct objstore *store, const char *prefix)
{
	memset(m, 0, sizeof(*m));
	m->req.store = store;
	m->req.iov = &m->iov;
	m->req.niov = 1;
	snprintf(m->req.name, sizeof(m->req.name), "%s/dittofs.json", prefix);
	m->iov.iov_base = m->text;
}

static enum op_state
put(void *arg, struct op *op)
{
	struct marker *m = arg;

	return m->req.store->ops->put(&m->req, op);
}

static enum op_state
head(void *arg, struct op *op)
{
	struct marker *m = arg;

	return m->req.store->ops->head(&m->req, op);
}

static enum op_state
get(void *arg, struct op *op)
{
	struct marker *m = arg;

	return m->req.store->ops->get(&m->req, op);
}

static enum op_state
del(void *arg, struct op *op)
{
	struct marker *m = arg;

	m->req.names = &m->req.name;
	m->req.nnames = 1;
	return m->req.store->ops->del(&m->req, op);
}

int
marker_make(struct objstore *store, const uint8_t uuid[16], const struct share_rec *share, char why[256])
{
	char text[UUID_STRLEN], other[256];
	struct marker m;

	marker_init(&m, store, share->prefix);
	uuid_format(uuid, text);
	int n = snprintf(m.text, sizeof(m.text), "{\"format\": %u, \"volume\": \"%s\", \"share\": \"%s\"}\n", FORMAT_VERSION,
		text, share->name);
	m.iov.iov_len = m.req.len = (size_t)n;
	m.req.exclusive = true; /* two servers cannot take one prefix */
	int err = on_core(0, put, &m);
	/* A reply that was lost makes the second attempt meet our own. */
	if (err == -EEXIST && marker_check(store, uuid, share, other) == 0)
		return 0;
	if (err == -EEXIST)
		snprintf(why, 256, "%.120s already holds the objects of a volume below %s; choose another place", store->url, share->prefix);
	else if (err < 0)
		snprintf(why, 256, "cannot write %s to %.120s: %s", m.req.name, store->url, objstore_error(err));
	return err;
}

/* *out: it as JSON, or NULL where it is none. */
static int
fetch(struct marker *m, struct objstore *store, const char *prefix, json_t **out)
{
	marker_init(m, store, prefix);
	int err = on_core(0, head, m);
	if (err == 0 && m->req.size > sizeof(m->text))
		err = -E_DAMAGED;
	m->iov.iov_len = m->req.len = m->req.size;
	if (err == 0)
		err = on_core(0, get, m);
	*out = err == 0 ? json_loadb(m->text, m->req.size, 0, NULL) : NULL;
	return err;
}

int
marker_read(struct objstore *store, const char *prefix, uint8_t uuid[16])
{
	struct marker m;
	json_t *j;
	int err = fetch(&m, store, prefix, &j);

	if (err == 0 && uuid_parse(json_string_value(json_object_get(j, "volume")), uuid) < 0)
		err = -E_DAMAGED;
	json_decref(j);
	return err;
}

int
marker_check(struct objstore *store, const uint8_t uuid[16], const struct share_rec *share, char why[256])
{
	char text[UUID_STRLEN];
	struct marker m;
	json_t *j;
	int err = fetch(&m, store, share->prefix, &j);

	if (err < 0) {
		snprintf(why, 256, "share %s: its marker %s cannot be read from %.100s (%s); is paths.objects right?",
			share->name, m.req.name, store->url, objstore_error(err));
		return err;
	}
	const char *have = json_string_value(json_object_get(j, "volume"));

	uuid_format(uuid, text);
	if (!have || strcmp(have, text)) {
		snprintf(why, 256, "share %s: the objects in %.80s belong to volume %.36s, the metadata to %s; is paths.objects right?",
			share->name, store->url, have ? have : "(unreadable)", text);
		err = -EINVAL;
	}
	json_decref(j);
	return err;
}

int
marker_remove(struct objstore *store, const struct share_rec *share)
{
	struct marker m;

	marker_init(&m, store, share->prefix);
	return on_core(0, del, &m);
}
