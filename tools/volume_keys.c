/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/volume_keys.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "crypto/digest.h"
#include "crypto/seal.h"
#include "crypto/secret.h"
#include "reactor/log.h"
#include "tools/oncore.h"

#define ID_DIGITS 16   /* in an object's name */
#define TRIES     1000 /* epochs whose object is there already: of rotations that were cut short */

static_assert(KEYS_MAX <= SEAL_EPOCHS, "all of them are opened");

/* The first digits of an RSA key's id. */
static const char *
short_id(const uint8_t id[RSAKEY_ID], char out[ID_DIGITS + 1])
{
	digest_hex(id, ID_DIGITS / 2, out);
	return out;
}

/* ---- records */

static int
see_key(void *arg, const void *key, size_t klen, const void *val, size_t vlen)
{
	struct volume_keys *k = arg;
	struct volume_key *v = &k->v[k->n];
	int err;

	if (k->n == KEYS_MAX)
		return -ENOSPC;
	if (vlen >= sizeof(v->text))
		return -E_FORMAT;
	memcpy(v->text, val, vlen);
	v->text[vlen] = '\0';
	v->len = vlen;
	err = epochkey_read(&v->e, v->text, v->len);
	if (err < 0)
		return err;
	if (klen != 5 || get_be32((const uint8_t *)key + 1) != v->e.epoch)
		return -E_DAMAGED;
	k->n++;
	return 0;
}

int
volume_keys_read(struct volume_keys *k, char why[256])
{
	struct kv_scan s = { .from = "K", .from_len = 1, .to = "L", .to_len = 1, .fn = see_key, .arg = k };
	int err;

	k->n = 0;
	k->v = malloc(KEYS_MAX * sizeof(*k->v));
	err = k->v ? kv_scan_now(&s) : -ENOMEM;
	if (err < 0)
		snprintf(why, 256, "the record of key epoch %d cannot be read: %s", k->n + 1,
			err == -E_FORMAT ? "it was made by a newer program" : err == -E_DAMAGED ? "it is damaged" : strerror(-err));
	return err;
}

void
volume_keys_free(struct volume_keys *k)
{
	free(k->v);
	k->v = NULL;
	k->n = 0;
}

static int
write_records(const struct volume_key *v, int n, char why[256])
{
	struct kv_batch *b = kv_batch_new();
	uint8_t key[8];
	int err;

	for (int i = 0; i < n; i++)
		kv_batch_put(b, key, key_epoch(key, v[i].e.epoch), v[i].text, v[i].len);
	err = kv_write_now(b);
	kv_batch_free(b);
	if (err < 0)
		snprintf(why, 256, "the keys' records cannot be written: %s", strerror(-err));
	return err;
}

/* ---- objects */

struct key_object {
	struct obj_req req;
	struct iovec iov;
};

static void
object_init(struct key_object *o, struct objstore *store, const char *prefix, const struct volume_key *k)
{
	char id[ID_DIGITS + 1];

	memset(o, 0, sizeof(*o));
	o->req.store = store;
	o->iov = (struct iovec){ (void *)k->text, k->len };
	o->req.iov = &o->iov;
	o->req.niov = 1;
	o->req.len = k->len;
	snprintf(o->req.name, sizeof(o->req.name), "%s%skeys/%" PRIu32 "-%s", prefix, *prefix ? "/" : "", k->e.epoch,
		short_id(k->e.rsa, id));
}

static enum op_state
put(void *arg, struct op *op)
{
	struct key_object *o = arg;

	return o->req.store->ops->put(&o->req, op);
}

static enum op_state
get(void *arg, struct op *op)
{
	struct key_object *o = arg;

	return o->req.store->ops->get(&o->req, op);
}

static enum op_state
del(void *arg, struct op *op)
{
	struct key_object *o = arg;

	o->req.names = &o->req.name;
	o->req.nnames = 1;
	return o->req.store->ops->del(&o->req, op);
}

static int
put_object(struct objstore *store, const char *prefix, const struct volume_key *k, bool exclusive, char why[256])
{
	struct key_object o;
	int err;

	object_init(&o, store, prefix, k);
	o.req.exclusive = exclusive;
	err = on_core(0, put, &o);
	if (err < 0 && err != -EEXIST)
		snprintf(why, 256, "cannot write %s to %.100s: %s", o.req.name, store->url, objstore_error(err));
	return err;
}

void
volume_key_remove(struct objstore *store, const char *prefix, const struct volume_key *k)
{
	struct key_object o;

	object_init(&o, store, prefix, k);
	if (on_core(0, del, &o) < 0)
		log_warn("%s stays in %s; it is of no use without the RSA key", o.req.name, store->url);
}

static enum op_state
list(void *arg, struct op *op)
{
	struct key_object *o = arg;

	return o->req.store->ops->list(&o->req, op);
}

/* The objects of all epochs, to `see`; what is no key's name is left out. */
static int
each_object(struct objstore *store, const char *prefix, int (*see)(void *arg, struct objstore *store, const struct obj_entry *e), void *arg)
{
	struct obj_entry *page = malloc(LIST_MAX * sizeof(*page));
	struct key_object o = { .req.more = true };
	char after[OBJ_NAME] = "";
	int err = page ? 0 : -ENOMEM;

	while (err == 0 && o.req.more) {
		memset(&o, 0, sizeof(o));
		o.req.store = store;
		snprintf(o.req.name, sizeof(o.req.name), "%s%skeys/", prefix, *prefix ? "/" : "");
		memcpy(o.req.after, after, sizeof(after));
		o.req.entry = page;
		o.req.nentries = LIST_MAX;
		err = on_core(0, list, &o);
		for (int i = 0; i < o.req.nentries && err == 0; i++) {
			const char *dash = strrchr(page[i].name, '-');

			memcpy(after, page[i].name, sizeof(after));
			if (dash && strlen(dash + 1) == ID_DIGITS)
				err = see(arg, store, &page[i]);
		}
	}
	free(page);
	return err;
}

/* ---- opening */

int
volume_rsa_load(struct rsakey **out, const struct config *c, char why[256])
{
	char *pass;
	int err;

	*out = NULL;
	if (!c->key_file[0]) {
		snprintf(why, 256, "the volume is encrypted and %.120s names no key: set encryption.key_file to the RSA key that it was made "
			"with", c->file);
		return -EINVAL;
	}
	err = passphrase_load(&pass, "DITTOFS_ENCRYPTION_PASSPHRASE", c->passphrase_file, why);
	if (err == 0)
		err = rsakey_load(out, c->key_file, pass, why);
	passphrase_free(pass);
	return err;
}

static int
why_locked(const struct volume_key *k, struct rsakey *rsa, const struct config *c, int err, char why[256])
{
	char is[ID_DIGITS + 1], have[ID_DIGITS + 1];

	if (err == -EACCES)
		snprintf(why, 256, "the keys of this volume are wrapped for RSA key %s, and encryption.key_file (%.90s) holds %s: name the "
			"other file, or the one before `dittofs key rewrap`", short_id(k->e.rsa, is), c->key_file,
			short_id(rsakey_id(rsa), have));
	else
		snprintf(why, 256, "the key of epoch %" PRIu32 " cannot be opened: its record is %s", k->e.epoch,
			err == -E_DAMAGED ? "damaged, or was signed by somebody else" : "of a newer program");
	return err;
}

static int
unlock_all(const uint8_t uuid[16], const struct volume_keys *k, struct rsakey *rsa, const struct config *c, char why[256])
{
	uint8_t key[AEAD_KEY];
	struct epochkey e;
	int err = seal_start(uuid);

	if (err < 0) {
		snprintf(why, 256, "no memory for the keys");
		return err;
	}
	for (int i = 0; i < k->n && err == 0; i++) {
		err = epochkey_unwrap(&e, rsa, k->v[i].text, k->v[i].len, key);
		if (err == 0 && memcmp(e.uuid, uuid, 16) != 0)
			err = -E_DAMAGED;
		if (err < 0)
			why_locked(&k->v[i], rsa, c, err, why);
		else
			err = seal_add(e.epoch, e.cipher, key);
	}
	secret_wipe(key, sizeof(key));
	if (err < 0)
		seal_stop();
	return err;
}

int
volume_unlock(const struct volume_open *v, const struct config *c, struct rsakey **keep, char why[256])
{
	struct volume_keys k;
	struct rsakey *rsa = NULL;
	int err = volume_keys_read(&k, why);

	if (err == 0 && k.n == 0 && v->vol.format_version >= FORMAT_SEALED) {
		snprintf(why, 256, "the volume is encrypted and has no key record: its metadata is not whole");
		err = -E_DAMAGED;
	} else if (err == 0 && k.n == 0 && c->key_file[0]) {
		snprintf(why, 256, "encryption.key_file is set in %.90s, but the volume was made without --encrypt: its objects are not "
			"encrypted.  Take the line out, or make an encrypted volume", c->file);
		err = -EINVAL;
	} else if (err == 0 && k.n > 0) {
		err = volume_rsa_load(&rsa, c, why);
		if (err == 0)
			err = unlock_all(v->vol.uuid, &k, rsa, c, why);
		if (err == 0)
			log_info("objects are encrypted: %s, key epoch %" PRIu32 " of %d", aead_name(seal_cipher(seal_epoch())), seal_epoch(),
				k.n);
	}
	if (keep)
		*keep = err == 0 ? rsa : NULL;
	if (!keep || err < 0)
		rsakey_free(rsa);
	volume_keys_free(&k);
	return err;
}

/* One object, as its record would be. */
static int
read_object(void *arg, struct objstore *store, const struct obj_entry *e)
{
	struct volume_keys *k = arg;
	struct volume_key *v = &k->v[k->n];
	struct key_object o = { .req.store = store, .iov = { v->text, e->size } };
	int err;

	if (k->n == KEYS_MAX)
		return -ENOSPC;
	if (e->size >= sizeof(v->text))
		return 0; /* none of ours */
	o.req.iov = &o.iov;
	o.req.niov = 1;
	o.req.len = v->len = e->size;
	memcpy(o.req.name, e->name, sizeof(o.req.name));
	err = on_core(0, get, &o);
	if (err < 0)
		return err;
	v->text[v->len] = '\0';
	k->n += epochkey_read(&v->e, v->text, v->len) == 0;
	return 0;
}

/* Those for this RSA key; a rewrap that was cut short leaves both.  In the order of epochs, as records are. */
static void
keep_own(struct volume_keys *k, const struct rsakey *rsa)
{
	int n = 0;

	for (int i = 0; i < k->n; i++)
		if (memcmp(k->v[i].e.rsa, rsakey_id(rsa), RSAKEY_ID) == 0)
			k->v[n++] = k->v[i];
	k->n = n > 0 ? n : k->n; /* none: the first tells which it is */
}

int
volume_unlock_objects(struct objstore *store, const char *prefix, const uint8_t uuid[16], const struct config *c, int *n, char why[256])
{
	struct volume_keys k = { .v = malloc(KEYS_MAX * sizeof(*k.v)) };
	struct rsakey *rsa = NULL;
	int err = k.v ? each_object(store, prefix, read_object, &k) : -ENOMEM;

	if (err < 0)
		snprintf(why, 256, "the keys of the volume cannot be read from %.150s: %s", store->url, objstore_error(err));
	else if (k.n == 0 && c->key_file[0])
		snprintf(why, 256, "a key is named, but the volume in %.100s is not encrypted, or its keys are gone", store->url), err = -EINVAL;
	else if (k.n > 0 && (err = volume_rsa_load(&rsa, c, why)) == 0) {
		keep_own(&k, rsa);
		err = unlock_all(uuid, &k, rsa, c, why);
	}
	*n = k.n;
	rsakey_free(rsa);
	volume_keys_free(&k);
	return err;
}

/* ---- making */

static int
make_text(struct volume_key *out, const uint8_t key[AEAD_KEY], struct rsakey *rsa, char why[256])
{
	int n = epochkey_wrap(&out->e, rsa, key, out->text);
	uint8_t back[AEAD_KEY];
	struct epochkey e;

	/* Once more as it will be read: what cannot be opened must not become the key of anything. */
	if (n < 0 || epochkey_unwrap(&e, rsa, out->text, (size_t)n, back) < 0 || memcmp(back, key, AEAD_KEY) != 0) {
		snprintf(why, 256, "the RSA key cannot wrap the key of epoch %" PRIu32, out->e.epoch);
		return -EIO;
	}
	secret_wipe(back, sizeof(back));
	out->len = (size_t)n;
	return 0;
}

static int
make_from(struct objstore *store, const char *prefix, struct rsakey *rsa, struct volume_key *out, char why[256])
{
	uint8_t key[AEAD_KEY];
	int err = -EEXIST;

	secret_random(key, sizeof(key));
	/* An object without a record is of a rotation that was cut short: nothing was sealed with it.  Or somebody planted it. */
	for (int i = 0; i < TRIES && err == -EEXIST; i++, out->e.epoch++) {
		err = make_text(out, key, rsa, why);
		if (err == 0)
			err = put_object(store, prefix, out, true, why);
		if (err == 0)
			break;
	}
	secret_wipe(key, sizeof(key));
	if (err == -EEXIST)
		snprintf(why, 256, "%skeys/ in %.150s has objects of all the next %d epochs", prefix, store->url, TRIES);
	return err;
}

int
volume_key_make(struct objstore *store, const char *prefix, const uint8_t uuid[16], enum aead cipher, struct rsakey *rsa,
                struct volume_key *out, char why[256])
{
	struct volume_keys k;
	int err = volume_keys_read(&k, why);

	memset(out, 0, sizeof(*out));
	memcpy(out->e.uuid, uuid, 16);
	out->e.cipher = cipher;
	out->e.made_s = (uint64_t)time(NULL);
	out->e.epoch = err == 0 && k.n > 0 ? k.v[k.n - 1].e.epoch + 1 : 1;
	if (err == 0 && k.n == KEYS_MAX) {
		snprintf(why, 256, "the volume has %d keys already, more it cannot have", KEYS_MAX);
		err = -ENOSPC;
	}
	volume_keys_free(&k);
	if (err == 0)
		err = make_from(store, prefix, rsa, out, why);
	crash_point("key.object_made");
	if (err == 0)
		err = write_records(out, 1, why);
	crash_point("key.record_made");
	return err;
}

static int
rewrap_one(struct objstore *store, const char *prefix, struct rsakey *from, struct rsakey *to, const struct volume_key *old,
           struct volume_key *new, char why[256])
{
	uint8_t key[AEAD_KEY];
	int err;

	if (memcmp(old->e.rsa, rsakey_id(to), RSAKEY_ID) == 0) {
		*new = *old; /* by a run that was killed before the end */
		return put_object(store, prefix, new, false, why);
	}
	err = epochkey_unwrap(&new->e, from, old->text, old->len, key);
	if (err < 0)
		snprintf(why, 256, "the key of epoch %" PRIu32 " cannot be opened with encryption.key_file: it is %s", old->e.epoch,
			err == -EACCES ? "wrapped for another RSA key" : "damaged");
	else
		err = make_text(new, key, to, why);
	secret_wipe(key, sizeof(key));
	/* Not exclusive: what is there is of a run that was killed, and of no record. */
	return err < 0 ? err : put_object(store, prefix, new, false, why);
}

/* Wrapped for another RSA key than the one whose short id `arg` is. */
static int
remove_other(void *arg, struct objstore *store, const struct obj_entry *e)
{
	struct key_object d = { .req.store = store };

	memcpy(d.req.name, e->name, sizeof(d.req.name));
	return strcmp(strrchr(e->name, '-') + 1, arg) ? on_core(0, del, &d) : 0;
}

/* Objects that are wrapped for other RSA keys, of whichever epochs: also those that an earlier run left. */
static int
remove_others(struct objstore *store, const char *prefix, const uint8_t rsa[RSAKEY_ID], char why[256])
{
	char id[ID_DIGITS + 1];
	int err;

	short_id(rsa, id);
	err = each_object(store, prefix, remove_other, id);
	if (err < 0)
		snprintf(why, 256, "the new RSA key is in force, but the objects for the old one cannot be removed from %.90s (%s): run it once more",
			store->url, objstore_error(err));
	return err;
}

int
volume_keys_rewrap(struct objstore *store, const char *prefix, struct rsakey *from, struct rsakey *to, int *n, char why[256])
{
	struct volume_keys old;
	struct volume_key *new = calloc(KEYS_MAX, sizeof(*new));
	int err = volume_keys_read(&old, why);

	if (err == 0 && !new) {
		snprintf(why, 256, "no memory for the keys");
		err = -ENOMEM;
	}
	for (int i = 0; i < old.n && err == 0; i++) {
		err = rewrap_one(store, prefix, from, to, &old.v[i], &new[i], why);
		crash_point("key.rewrapped_one");
	}
	if (err == 0)
		err = write_records(new, old.n, why);
	crash_point("key.rewrapped");
	if (err == 0)
		err = remove_others(store, prefix, rsakey_id(to), why);
	*n = old.n;
	volume_keys_free(&old);
	free(new);
	return err;
}
