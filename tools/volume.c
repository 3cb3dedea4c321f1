/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/volume.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

#include "crypto/seal.h"
#include "tools/marker.h"

int
volume_check_markers(const struct volume_open *v, struct objstore *store, char why[256])
{
	for (int i = 0; i < v->nshares; i++) {
		int err = marker_check(store, v->vol.uuid, &v->shares[i], why);

		if (err < 0)
			return err;
	}
	return 0;
}

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
		if (!c->compression[i].formatted) {
			v->shares[k].codec = c->compression[i].choice.codec;
			v->shares[k].level = c->compression[i].choice.level;
		}
	}
	return 0;
}

int
volume_open(struct volume_open *v, struct config *c, int cores, char why[256])
{
	struct kv_opts kv = {
		.path = c->meta, .cache_bytes = c->metadata_cache_bytes, .memtable_bytes = 64 * MIB,
		.log_bytes = c->metadata_log_bytes,
	};

	memset(v, 0, sizeof(*v));
	int err = lock_volume(v, c, why);
	if (err < 0)
		return err;
	if ((err = kv_open(&kv, why)) < 0)
		goto unlock;
	if ((err = meta_load(&v->vol, v->shares, CONFIG_SHARES_MAX, &v->nshares, why)) < 0 ||
	    (err = meta_upgrade(&v->vol, why)) < 0 ||
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

struct frame_how
volume_how(const struct share_rec *share)
{
	return (struct frame_how){ .choice = { share->codec, share->level } };
}

void
volume_compression(const struct volume_open *v, uint32_t share, char word[CODEC_WORD_MAX])
{
	word[0] = '\0';
	for (int i = 0; i < v->nshares; i++)
		if (v->shares[i].id == share) {
			struct frame_how how = volume_how(&v->shares[i]);

			codec_word(&how.choice, word);
		}
}

void
volume_close(struct volume_open *v)
{
	seal_stop();
	claim_unguard(v->store);
	objstore_close(v->store);
	kv_close();
	close(v->lock_fd);
	free(v->backup);
}
