/* SPDX-License-Identifier: Apache-2.0 */
/* Random changes of a few names in a few directories, so that they meet often; from any number of threads. */
#ifndef TESTS_META_LOAD_H
#define TESTS_META_LOAD_H

#include "tests/fake/meta_world.h"

#define DIRS    7
#define NAMES   6

static struct fref dirs[DIRS];
static _Atomic uint64_t done[8];

HELPER void
load_step(uint64_t r)
{
	struct fref a = dirs[r % DIRS], b = dirs[r / 8 % DIRS], f;
	char x[32], y[32];
	int res = 0, what = (int)(r / 64 % 8);

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
	                  res == -ENOTEMPTY || res == -EINVAL || res == -ESTALE,
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
