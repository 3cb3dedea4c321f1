/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Neither descriptors nor locks are kept: opening a directory costs 3 µs beside
 * an fsync of 100 and more.  Two workers that meet at a new directory both make it and
 * both sync its parent; the set is direct-mapped, and what it forgets costs one more sync.
 */
#include "store/objdir.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

void
objdir_init(struct objdirs *d, int root)
{
	memset(d, 0, sizeof(*d));
	d->root = root;
}

/* The directory that the first `len` bytes of a name spell; "." for the root itself. */
static void
cut(char out[OBJDIR_NAME], const char *name, size_t len)
{
	assert(len < OBJDIR_NAME);
	memcpy(out, name, len);
	out[len] = '\0';
	if (len == 0)
		memcpy(out, ".", 2);
}

static size_t
dir_len(const char *name, size_t len)
{
	while (len > 0 && name[len - 1] != '/')
		len--;
	return len > 0 ? len - 1 : 0;
}

static int
sync_dir(struct objdirs *d, const char *name, size_t len)
{
	char path[OBJDIR_NAME];
	int fd, err = 0;

	cut(path, name, len);
	fd = openat(d->root, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (fsync(fd) < 0)
		err = -errno;
	close(fd);
	return err;
}

static _Atomic uint64_t *
known_slot(struct objdirs *d, const char *name, size_t len, uint64_t *hash)
{
	*hash = XXH3_64bits(name, len) | 1; /* never 0, which is an empty slot */
	return &d->known[(*hash >> 1) % OBJDIR_KNOWN];
}

static int
make(struct objdirs *d, const char *name, size_t len)
{
	char path[OBJDIR_NAME];
	_Atomic uint64_t *slot;
	uint64_t hash;
	size_t parent;
	int err;

	if (len == 0)
		return 0;
	slot = known_slot(d, name, len, &hash);
	if (atomic_load_explicit(slot, memory_order_acquire) == hash)
		return 0;
	parent = dir_len(name, len);
	err = make(d, name, parent);
	if (err < 0)
		return err;
	cut(path, name, len);
	if (mkdirat(d->root, path, 0700) < 0 && errno != EEXIST)
		return -errno;
	/* Also where it was there already: a run that was killed may have made it and not synced it. */
	err = sync_dir(d, name, parent);
	if (err == 0)
		atomic_store_explicit(slot, hash, memory_order_release);
	return err;
}

int
objdir_make(struct objdirs *d, const char *name)
{
	return make(d, name, dir_len(name, strlen(name)));
}

void
objdir_forget(struct objdirs *d, const char *name)
{
	size_t len = dir_len(name, strlen(name));

	for (; len > 0; len = dir_len(name, len)) {
		uint64_t hash;
		_Atomic uint64_t *slot = known_slot(d, name, len, &hash);

		atomic_store_explicit(slot, 0, memory_order_release);
	}
}

int
objdir_sync(struct objdirs *d, const char (*names)[OBJDIR_NAME], int n)
{
	uint16_t first[OBJDIR_SYNC_MAX]; /* the first name of each directory */
	int ndirs = 0, err = 0;

	assert(n <= OBJDIR_SYNC_MAX);
	for (int i = 0; i < n; i++) {
		size_t len = dir_len(names[i], strlen(names[i]));
		int k = 0;

		/* names[k] has at least len bytes to compare: both arrays are OBJDIR_NAME long. */
		while (k < ndirs && (memcmp(names[first[k]], names[i], len) != 0 ||
		                     dir_len(names[first[k]], strlen(names[first[k]])) != len))
			k++;
		if (k == ndirs)
			first[ndirs++] = (uint16_t)i;
	}
	for (int k = 0; k < ndirs; k++) {
		const char *name = names[first[k]];
		int e = sync_dir(d, name, dir_len(name, strlen(name)));

		if (e < 0 && e != -ENOENT && err == 0)
			err = e;
	}
	return err;
}
