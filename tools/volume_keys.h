/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The keys of an encrypted volume: K records in the metadata, and the same texts as objects <first share's prefix>/keys/EPOCH-ID,
 * ID being the first 16 digits of the RSA key's (crypto/epochkey.h).  The object is there before the record, so the
 * bucket and the RSA key suffice to open whatever lies in it.
 *
 * Blocking; start-up, `format` and `key`, main thread.
 */
#ifndef TOOLS_VOLUME_KEYS_H
#define TOOLS_VOLUME_KEYS_H

#include "crypto/epochkey.h"
#include "tools/volume.h"

#define KEYS_MAX 1024 /* epochs of a volume */

struct volume_key {
	struct epochkey e;
	size_t len;
	char text[EPOCHKEY_TEXT];
};
struct volume_keys {
	struct volume_key *v; /* by epoch */
	int n;
};
/* What the records say; no RSA key needed.  -E_DAMAGED and the like with a sentence in why[].  Free it in either case. */
int  volume_keys_read(struct volume_keys *k, char why[256]);
void volume_keys_free(struct volume_keys *k);

/*
 * The RSA key that the config names, with its passphrase from encryption.passphrase_file or DITTOFS_ENCRYPTION_PASSPHRASE.
 * -EINVAL: it names none.
 */
int volume_rsa_load(struct rsakey **out, const struct config *c, char why[256]);
/*
 * Opens the volume's keys for crypto/seal.h; seal_stop wipes them.  0 also for a volume without any.  Refused: a volume with keys
 * and no RSA key or another, and an RSA key for a volume without keys, which its user takes for encrypted.
 * `rsa` not NULL: the RSA key, or NULL where there is none; the caller frees.
 */
int volume_unlock(const struct volume_open *v, const struct config *c, struct rsakey **rsa, char why[256]);

/*
 * The same with no metadata at hand: the objects below `prefix` that are wrapped for that RSA key.  Reactors running.
 * *n: how many epochs; 0: there are none, and the volume is not encrypted.  A config that names no key for a volume with keys,
 * or the wrong one, is refused; and one that names a key for a volume without.
 */
int volume_unlock_objects(struct objstore *store, const char *prefix, const uint8_t uuid[16], const struct config *c, int *n, char why[256]);
/*
 * Makes the next epoch: object, then record.  Reactors running, the objects claimed or the volume just being made; the
 * metadata is open.  *out: what was made.
 */
int volume_key_make(struct objstore *store, const char *prefix, const uint8_t uuid[16], enum aead cipher, struct rsakey *rsa,
                    struct volume_key *out, char why[256]);
/*
 * Wraps all keys for another RSA key: objects, then all records at once, then the old objects go.  Killed at any instant, one
 * of the two RSA keys opens the volume.  As above.
 */
int volume_keys_rewrap(struct objstore *store, const char *prefix, struct rsakey *from, struct rsakey *to, int *n, char why[256]);
/* Of a format that failed. */
void volume_key_remove(struct objstore *store, const char *prefix, const struct volume_key *k);

#endif
