/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A volume as a whole: directories, database, marker objects.  Start-up and
 * `format` only; blocking, main thread.
 */
#ifndef TOOLS_VOLUME_H
#define TOOLS_VOLUME_H

#include <signal.h>

#include "crypto/aead.h"
#include "meta/file.h"
#include "store/claim.h"
#include "tools/config.h"

struct volume_open {
	struct volume vol;
	struct share_rec shares[CONFIG_SHARES_MAX];
	int nshares;
	struct objstore *store;
	struct claim claim;
	int lock_fd;
	struct backup_id *backup; /* those that volume_claim found (tools/backup_manifest.h), sorted */
	size_t nbackups;
};

/*
 * Makes the volume that the config describes: directories, marker objects, metadata, and with a cipher its first key,
 * wrapped for the RSA key of the config.  -EEXIST where there is one.
 * On failure what it made is removed again, and what was there before stays.
 */
int volume_format(const struct config *c, enum aead cipher, char why[256]);
/*
 * Takes the volume's lock, opens database and object store, reads V and X.
 * Fills share and root of the config's exports.  -EBUSY: another process has it open.
 */
int  volume_open(struct volume_open *v, struct config *c, int cores, char why[256]);
void volume_close(struct volume_open *v);
/* How the share's new frames are made; and in a word. */
struct frame_how volume_how(const struct share_rec *share);
void volume_compression(const struct volume_open *v, uint32_t share, char word[CODEC_WORD_MAX]);
/* Reactors running: each share's marker object must name this volume. */
int  volume_check_markers(const struct volume_open *v, struct objstore *store, char why[256]);
/*
 * Before the reactors run (it has some of its own): markers checked, the next epoch of the objects taken (store/claim.h).
 * Another server's: -EBUSY, unless the config says to take over.  While the store is away it tries
 * again, until one of the signals in `stop` (blocked) comes.
 */
int  volume_claim(struct volume_open *v, const struct config *c, const sigset_t *stop, char why[256]);
/* Reactors running, nothing else left to do: the next server may have a different directory. */
void volume_release(struct volume_open *v);
/* "HOST (DIRECTORY, since TIME)" */
void volume_say_owner(const struct claim_owner *o, char out[256]);

/* The object store that the config names, for so many cores (each says objstore_init).  Blocking, as objstore_open. */
int volume_store_open(struct objstore **out, const struct config *c, int cores, bool create, char why[256]);
/* One reactor that serves the store, where there is none yet, for on_core(0, ...); ended by reactor_stop and reactor_join. */
int volume_store_start(struct objstore *store, char why[256]);

#endif
