/* SPDX-License-Identifier: Apache-2.0 */
/* Random changes of a few names in a few directories, so that they meet often; from any number of threads. */
#ifndef TESTS_META_LOAD_H
#define TESTS_META_LOAD_H

#include "tests/fake/meta_world.h"

#define DIRS    7
#define NAMES   6

static struct fref dirs[DIRS];
static _Atomic uint64_t done[8], restored, purged;

/* Something of the last hour that has any: restored to any name, or removed for good; where a share has a trash. */
HELPER void
load_trash(uint64_t r)
{
	struct readdir_entry e[4];
	char names[4 * 256], name[256];
	struct meta_readdir m = { .req.f = trash_folder_ref(trash_place(1, 0)), .bytes_max = 65536, .entry = e, .max_entries = 3,
		                  .names = names, .names_cap = sizeof(names) };
	struct fref hour;
	int res = ON_OWNER(meta_readdir, &m);

	cr_assert(res == 0, "%d", res);
	if (m.n < 3)
		return;
	hour = trash_folder_ref(e[2].ino);
	m.req.f = hour;
	m.cookie = (r >> 8) % (TRASH_HOUR_S * TRASH_INO_MAX); /* anywhere */
	m.max_entries = 1;
	res = ON_OWNER(meta_readdir, &m);
	cr_assert(res == 0, "%d", res);
	if (m.n == 0)
		return;
	snprintf(name, sizeof(name), "%.*s", (int)e[0].name_len, names + e[0].name_off);
	if (r & 3) {
		char to[8] = { 'n', (char)('0' + r / 4 % NAMES) };

		res = do_rename(&superuser, hour, name, dirs[r / 64 % DIRS], to);
		restored += res == 0;
	} else {
		res = do_unlink(&superuser, hour, name, e[0].type == FT_DIR);
		purged += res == 0;
	}
	cr_assert(res == 0 || res == -ENOENT || res == -EISDIR || res == -ENOTDIR || res == -ENOTEMPTY || res == -ESTALE,
	          "in the trash: %d", res);
}

HELPER void
load_step(uint64_t r)
{
	struct fref a = dirs[r % DIRS], b = dirs[r / 8 % DIRS], f;
	char x[32], y[32];
	int res = 0, what = (int)(r / 64 % 8);

	if (world.retention_s[0] && r >> 61 == 0)
		load_trash(mix64(r));
	snprintf(x, sizeof(x), "n%lu", r / 512 % NAMES);
	snprintf(y, sizeof(y), "n%lu", r / 4096 % NAMES);
	switch (what) {
	case 0:
		res = do_create(&superuser, a, x, FT_REG, 0644, NULL);
		break;
	case 1:
		res = do_create(&superuser, a, x, r & 1u << 20 ? FT_DIR : FT_LNK, 0755, NULL);
		break;
	case 2:
		res = do_unlink(&superuser, a, x, false);
		break;
	case 3:
		res = do_unlink(&superuser, a, x, true);
		break;
	case 4:
	case 5:
		res = do_rename(&superuser, a, x, b, y);
		break;
	case 6:
		res = do_lookup(&superuser, a, x, &f);
		if (res == 0)
			res = do_link(&superuser, f, b, y);
		break;
	default:
		res = do_lookup(&superuser, a, x, &f);
		if (res == 0)
			res = do_setattr(&superuser, f, (struct sattr){ .set_mode = true, .mode = (uint32_t)r & 0777,
			                                               .set_mtime = TIME_CLIENT, .mtime_ns = r });
		break;
	}
	if (res == 0)
		done[what]++;
	cr_assert(res == 0 || res == -ENOENT || res == -EEXIST || res == -EISDIR || res == -ENOTDIR || res == -EPERM ||
	                  res == -ENOTEMPTY || res == -EINVAL || res == -ESTALE ||
	                  (res == -EROFS && world.retention_s[0]),
	          "operation %d: %d", what, res);
}

HELPER void
load_dirs(void)
{
	for (int i = 0; i < DIRS; i++) {
		char name[32];

		snprintf(name, sizeof(name), "d%d", i);
		dirs[i] = mkdir_in(i < 3 ? world.root : dirs[i - 3], name);
	}
}

#endif
