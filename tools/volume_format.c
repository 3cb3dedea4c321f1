/* SPDX-License-Identifier: Apache-2.0 */
/* Making a volume, and unmaking what there is of it when that fails. */
#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "reactor/log.h"
#include "reactor/reactor.h"
#include "tools/marker.h"
#include "tools/volume_keys.h"

#define MADE_MAX 256

/* Directories that were not there before, parents first. */
struct made {
	char *path[MADE_MAX];
	int n;
};

/* Whether it is missing, and then it is noted: whoever makes it, it is of this format. */
static bool
note_missing(struct made *made, const char *path)
{
	struct stat st;

	if (lstat(path, &st) == 0 || errno != ENOENT || made->n == MADE_MAX)
		return false;
	made->path[made->n] = strdup(path);
	if (!made->path[made->n])
		return false;
	made->n++;
	return true;
}

/* The directory and its parents, 0700: file data and file names lie below. */
static int
make_dir(struct made *made, const char *path, char why[256])
{
	char part[4096];

	snprintf(part, sizeof(part), "%s", path);
	for (char *p = part + 1;; p++) {
		if (*p != '/' && *p != '\0')
			continue;
		char at = *p;

		*p = '\0';
		note_missing(made, part);
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

/* With `remove` all files of the directory itself go.  How many there were. */
static int
files_of(const char *dir, bool remove)
{
	DIR *d = opendir(dir);
	struct dirent *e;
	struct stat st;
	int n = 0;

	if (!d)
		return 0;
	while ((e = readdir(d)) != NULL) {
		if (fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 || S_ISDIR(st.st_mode))
			continue;
		n++;
		if (remove && unlinkat(dirfd(d), e->d_name, 0) < 0)
			log_warn("%s/%s stays: %s", dir, e->d_name, strerror(errno));
	}
	closedir(d);
	return n;
}

static int
make_dirs(const struct config *c, struct made *made, char why[256])
{
	const char *objects = strncmp(c->objects, "file://", 7) == 0 ? c->objects + 7 : NULL;
	char path[PATH_MAX];
	int err;

	if ((err = make_dir(made, c->meta, why)) < 0 || (err = make_dir(made, c->journal, why)) < 0 ||
	    (err = make_dir(made, c->cache, why)) < 0 || (objects && (err = make_dir(made, objects, why)) < 0))
		return err;
	/* What the store will make there itself. */
	for (unsigned i = 0; objects && i <= c->nshares; i++) {
		snprintf(path, sizeof(path), "%s/%s", objects, i < c->nshares ? c->shares[i].name + 1 : ".tmp");
		note_missing(made, path);
	}
	/* So that every file there is ours.  A lost+found is no file. */
	if (files_of(c->meta, false) > 0) {
		snprintf(why, 256, "%.160s has files in it: the place of another volume's metadata?", c->meta);
		return -EEXIST;
	}
	return 0;
}

static int
remove_empty(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st;
	(void)at;
	if (type == FTW_DP)
		rmdir(path);
	return 0;
}

/* Never a file: what is not empty is not ours alone. */
static void
unmake_dirs(struct made *made, bool failed)
{
	while (made->n-- > 0) {
		char *path = made->path[made->n];

		if (failed)
			nftw(path, remove_empty, 8, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
		free(path);
	}
}

struct first_key {
	enum aead cipher; /* AEAD_NONE: none */
	struct rsakey *rsa;
};

/* The objects' place is claimed first: what is there of another volume stays untouched. */
static int
make_markers(struct objstore *store, const struct volume *vol, struct share_rec *shares, int n, const struct first_key *first,
             char why[256])
{
	struct volume_key key = { .len = 0 };
	char other[256];
	int err = 0, k;

	for (k = 0; k < n && err == 0; k++)
		err = marker_make(store, vol->uuid, &shares[k], why);
	if (err == 0 && first->cipher)
		err = volume_key_make(store, shares[0].prefix, vol->uuid, first->cipher, first->rsa, &key, why);
	if (err == 0)
		err = meta_format(vol, shares, n, why);
	if (err < 0 && key.len > 0)
		volume_key_remove(store, shares[0].prefix, &key);
	/* Also the one whose answer was lost. */
	for (; err < 0 && k-- > 0;)
		if (marker_check(store, vol->uuid, &shares[k], other) == 0 && marker_remove(store, &shares[k]) < 0)
			log_warn("%s/dittofs.json stays in %s: remove it before the next attempt", shares[k].prefix, store->url);
	return err;
}

static int
fill(const struct config *c, const struct volume *vol, struct share_rec *shares, const struct first_key *first, char why[256])
{
	struct kv_opts kv = { .path = c->meta, .create = true, .cache_bytes = 8 * MIB, .memtable_bytes = 8 * MIB,
	                      .log_bytes = c->metadata_log_bytes };
	struct objstore *store;
	int err = kv_open(&kv, why);

	if (err < 0)
		return err;
	if ((err = volume_store_open(&store, c, 1, true, why)) < 0)
		goto close_kv;
	if ((err = volume_store_start(store, why)) < 0)
		goto close_store;
	err = make_markers(store, vol, shares, (int)c->nshares, first, why);
	reactor_stop();
	reactor_join();
close_store:
	objstore_close(store);
close_kv:
	kv_close();
	return err;
}

static void
unmake_metadata(const struct config *c)
{
	char log[PATH_MAX];

	snprintf(log, sizeof(log), "%s/" KV_LOG_DIR, c->meta);
	files_of(log, true);
	(void)rmdir(log);
	files_of(c->meta, true);
}

int
volume_format(const struct config *c, enum aead cipher, char why[256])
{
	struct volume vol = {
		.format_version = cipher ? FORMAT_SEALED : FORMAT_VERSION, .block_bytes = BLOCK_BYTES, .frame_bytes = FRAME_BYTES,
	};
	struct share_rec shares[CONFIG_SHARES_MAX];
	struct first_key first = { .cipher = cipher };
	struct made made = { .n = 0 };
	struct timespec now;
	int err;

	if (getrandom(vol.uuid, sizeof(vol.uuid), 0) < 0 || getrandom(vol.secret, sizeof(vol.secret), 0) < 0) {
		snprintf(why, 256, "no random bytes: %s", strerror(errno));
		return -errno;
	}
	if (!cipher && c->key_file[0]) {
		snprintf(why, 256, "encryption.key_file is set, and no cipher is chosen: add --encrypt aes256gcm or chacha20");
		return -EINVAL;
	}
	if (cipher && (err = volume_rsa_load(&first.rsa, c, why)) < 0)
		return err;
	vol.uuid[6] = (uint8_t)((vol.uuid[6] & 0x0f) | 0x40); /* RFC 4122 §4.4: random */
	vol.uuid[8] = (uint8_t)((vol.uuid[8] & 0x3f) | 0x80);
	clock_gettime(CLOCK_REALTIME, &now);
	vol.formatted_ns = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
	for (unsigned i = 0; i < c->nshares; i++) {
		shares[i] = (struct share_rec){ .id = i + 1, .codec = c->compression[i].choice.codec, .level = c->compression[i].choice.level };
		memcpy(shares[i].name, c->shares[i].name, sizeof(shares[i].name));
		memcpy(shares[i].prefix, c->shares[i].name + 1, sizeof(shares[i].prefix) - 1);
	}
	err = make_dirs(c, &made, why);
	if (err == 0 && (err = fill(c, &vol, shares, &first, why)) < 0)
		unmake_metadata(c);
	unmake_dirs(&made, err < 0);
	rsakey_free(first.rsa);
	return err;
}
