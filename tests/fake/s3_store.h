/* SPDX-License-Identifier: Apache-2.0 */
/* An S3 store with its cores running, for the tests of it: one at a time. */
#ifndef TESTS_S3_STORE_H
#define TESTS_S3_STORE_H

#include <criterion/criterion.h>

#include "store/s3.h"
#include "tests/fake/rig.h"

static struct objstore *store;

static int
core_init(int core, void *arg)
{
	char why[256] = "";
	int err = objstore_init(store, core, why);

	(void)arg;
	cr_assert(err == 0, "%s", why);
	return err;
}

static void
core_fini(int core, void *arg)
{
	(void)arg;
	objstore_fini(store, core);
}

static void
store_open(const char *url, const struct s3_opts *opts, int cores)
{
	char why[256] = "";
	int err = s3_open(&store, url, opts, why);

	cr_assert(err == 0, "%d %s", err, why);
	rig_start(cores, core_init, core_fini);
}

static void
store_close(void)
{
	rig_stop();
	objstore_close(store);
}

#endif
