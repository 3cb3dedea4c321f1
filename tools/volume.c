/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/volume.h"

#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "tools/oncore.h"

#define MARKER_BYTES 512

void
uuid_format(const uint8_t u[16], char out[UUID_STRLEN])
{
	snprintf(out, UUID_STRLEN,
		"%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", u[0], u[1], u[2], u[3],
		u[4], u[5], u[6], u[7], u[8], u[9], u[10], u[11], u[12], u[13], u[14], u[15]);
}

/* ---- marker objects: <prefix>/dittofs.json says whose objects these are */

struct marker {
	struct obj_req req;
	struct iovec iov;
	char text[MARKER_BYTES];
};

static void
marker_init(struct marker *m, struct objstore *store, const struct share_rec *share)
{
	memset(m, 0, sizeof(*m));
	m->req.store = store;
	m->req.iov = &m->iov;
	m->req.niov = 1;
	snprintf(m->req.name, sizeof(m->req.name), "%s/dittofs.json", share->prefix);
	m->iov.iov_base = m->text;
}

static enum op_state
marker_put(void *arg, struct op *op)
{
	struct marker *m = arg;

	return m->req.store->ops->put(&m->req, op);
}

static enum op_state
marker_head(void *arg, struct op *op)
{
	struct marker *m = arg;

	return m->req.store->ops->head(&m->req, op);
}

static enum op_state
marker_get(void *arg, struct op *op)
{
	struct marker *m = arg;

	return m->req.store->ops->get(&m->req, op);
}

static int
marker_write(struct objstore *store, const struct volume *vol, const struct share_rec *share, char why[256])
{
	char uuid[UUID_STRLEN];
	struct marker m;

	marker_init(&m, store, share);
	uuid_format(vol->uuid, uuid);
	int n = snprintf(m.text, sizeof(m.text), "{\"format\": %u, \"volume\": \"%s\", \"share\": \"%s\"}\n",
		vol->format_version, uuid, share->name);
	m.iov.iov_len = m.req.len = (size_t)n;
	m.req.exclusive = true; /* two servers cannot take one prefix */
	int err = on_core(0, marker_put, &m);
	if (err == -EEXIST)
		snprintf(why, 256, "%.120s already holds the objects of a volume below %s; choose another place", store->url, share->prefix);
	else if (err < 0)
		snprintf(why, 256, "cannot write %s to %.120s: %s", m.req.name, store->url, objstore_error(err));
	return err;
}

static int
marker_check(const struct volume_open *v, struct objstore *store, const struct share_rec *share, char why[256])
{
	char uuid[UUID_STRLEN];
	struct marker m;

	marker_init(&m, store, share);
	int err = on_core(0, marker_head, &m);
	if (err == 0 && m.req.size > sizeof(m.text))
		err = -E_DAMAGED;
	m.iov.iov_len = m.req.len = m.req.size;
	if (err == 0)
		err = on_core(0, marker_get, &m);
	if (err < 0) {
		snprintf(why, 256, "share %s: its marker %s cannot be read from %.100s (%s); is paths.objects right?",
			share->name, m.req.name, store->url, objstore_error(err));
		return err;
	}
	json_t *j = json_loadb(m.text, m.req.len, 0, NULL);
	const char *have = json_string_value(json_object_get(j, "volume"));

	uuid_format(v->vol.uuid, uuid);
	if (!have || strcmp(have, uuid)) {
		snprintf(why, 256, "share %s: the objects in %.80s belong to volume %.36s, the metadata to %s; is paths.objects right?",
			share->name, store->url, have ? have : "(unreadable)", uuid);
		err = -EINVAL;
	}
	json_decref(j);
	return err;
}

int
volume_check_markers(const struct volume_open *v, struct objstore *store, char why[256])
{
	for (int i = 0; i < v->nshares; i++) {
		int err = marker_check(v, store, &v->shares[i], why);

		if (err < 0)
			return err;
	}
	return 0;
}

/* ---- format */

/* The directory and its parents, 0700: file data and file names lie below. */
static int
make_dir(const char *path, char why[256])
{
	char part[4096];

	snprintf(part, sizeof(part), "%s", path);
	for (char *p = part + 1;; p++) {
		if (*p != '/' && *p != '\0')
			continue;
		char at = *p;

		*p = '\0';
		if (mkdir(part, 0700) < 0 && errno != EEXIST) {
			snprintf(why, 256, "cannot make %.180s: %s", part, strerror(errno));
			return -errno;
		}
		*p = at;
		if (at == '\0')
			break;
	}
	if (access(path, R_OK | W_OK | X_OK) < 0) {
		snprintf(why, 256, "%.180s is not writable: %s", path, strerror(errno));
		return -errno;
	}
	return 0;
}

static int
write_markers(const struct config *c, const struct volume *vol, const struct share_rec *shares, int n, char why[256])
{
	struct objstore *store;

	int err = volume_store_open(&store, c, 1, true, why);
	if (err < 0)
		return err;
	err = volume_store_start(store, why);
	if (err < 0)
		goto close;
	for (int i = 0; i < n && err == 0; i++)
		err = marker_write(store, vol, &shares[i], why);
	reactor_stop();
	reactor_join();
close:
	objstore_close(store);
	return err;
}

int
volume_format(const struct config *c, char why[256])
{
	struct volume vol = {
		.format_version = FORMAT_VERSION, .block_bytes = BLOCK_BYTES, .frame_bytes = FRAME_BYTES,
	};
	struct share_rec shares[CONFIG_SHARES_MAX];
	struct kv_opts kv = { .path = c->meta, .create = true, .cache_bytes = 8 * MIB, .memtable_bytes = 8 * MIB };
	struct timespec now;
	int err;

	if ((err = make_dir(c->meta, why)) < 0 || (err = make_dir(c->journal, why)) < 0 ||
	    (err = make_dir(c->cache, why)) < 0 || (strncmp(c->objects, "file://", 7) == 0 && (err = make_dir(c->objects + 7, why)) < 0))
		return err;
	if (getrandom(vol.uuid, sizeof(vol.uuid), 0) < 0 || getrandom(vol.secret, sizeof(vol.secret), 0) < 0)
		return -errno;
	vol.uuid[6] = (uint8_t)((vol.uuid[6] & 0x0f) | 0x40); /* RFC 4122 §4.4: random */
	vol.uuid[8] = (uint8_t)((vol.uuid[8] & 0x3f) | 0x80);
	clock_gettime(CLOCK_REALTIME, &now);
	vol.formatted_ns = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
	for (unsigned i = 0; i < c->nshares; i++) {
		shares[i] = (struct share_rec){ .id = i + 1 };
		memcpy(shares[i].name, c->shares[i].name, sizeof(shares[i].name));
		memcpy(shares[i].prefix, c->shares[i].name + 1, sizeof(shares[i].prefix) - 1);
	}
	if ((err = kv_open(&kv, why)) < 0)
		return err;
	/* The objects' place is claimed first: what is there of another volume stays untouched. */
	err = write_markers(c, &vol, shares, (int)c->nshares, why);
	if (err == 0)
		err = meta_format(&vol, shares, (int)c->nshares, why);
	kv_close();
	return err;
}

/* ---- open */

static int
lock_volume(struct volume_open *v, const struct config *c, char why[256])
{
	char path[4200];

	snprintf(path, sizeof(path), "%s/lock", c->journal);
	v->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (v->lock_fd < 0) {
		snprintf(why, 256, "cannot open %.160s: %s%s", path, strerror(errno),
			errno == ENOENT ? "; `dittofs format` makes a volume" : "");
		return -errno;
	}
	if (flock(v->lock_fd, LOCK_EX | LOCK_NB) < 0) {
		snprintf(why, 256, "the volume is already open in another dittofs (it holds %.160s); stop that one first", path);
		close(v->lock_fd);
		return -EBUSY;
	}
	return 0;
}

static int
match_shares(struct volume_open *v, struct config *c, char why[256])
{
	for (unsigned i = 0; i < c->nshares; i++) {
		struct export *e = &c->shares[i];
		int k = 0;

		while (k < v->nshares && strcmp(v->shares[k].name, e->name))
			k++;
		if (k == v->nshares) {
			snprintf(why, 256, "%.120s: shares: the volume has no share %s (its first is %s)", c->file, e->name, v->shares[0].name);
			return -ENOENT;
		}
		e->share = v->shares[k].id;
		e->root = v->shares[k].root;
	}
	return 0;
}

int
volume_open(struct volume_open *v, struct config *c, int cores, char why[256])
{
	struct kv_opts kv = {
		.path = c->meta, .cache_bytes = c->metadata_cache_bytes, .memtable_bytes = 64 * MIB,
	};

	memset(v, 0, sizeof(*v));
	int err = lock_volume(v, c, why);
	if (err < 0)
		return err;
	if ((err = kv_open(&kv, why)) < 0)
		goto unlock;
	if ((err = meta_load(&v->vol, v->shares, CONFIG_SHARES_MAX, &v->nshares, why)) < 0 ||
	    (err = match_shares(v, c, why)) < 0 || 
	    (err = volume_store_open(&v->store, c, cores, false, why)) < 0)
		goto close;
	return 0;
close:
	kv_close();
unlock:
	close(v->lock_fd);
	return err;
}

void
volume_close(struct volume_open *v)
{
	claim_unguard(v->store);
	objstore_close(v->store);
	kv_close();
	close(v->lock_fd);
}
