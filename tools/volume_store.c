/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "store/s3v2.h"
#include "tools/volume.h"

static int
open_bucket(struct objstore **out, const struct config *c, const struct s3_opts *s3, char why[256])
{
	if (c->s3_signature == S3_V4)
		return s3_open(out, c->objects, s3, why);
#ifdef HAVE_LIBS3
	return s3v2_open(out, c->objects, s3, why);
#else
	snprintf(why, 256, "s3.signature: v2 is for a dittofs that was built with LIBS3 = 1 (config.mk); this one speaks v4");
	return -EINVAL;
#endif
}

int
volume_store_open(struct objstore **out, const struct config *c, int cores, bool create, char why[256])
{
	const struct s3_opts s3 = {
		.endpoint = c->s3_endpoint, .region = c->s3_region, .style = c->s3_style, .checksum = c->s3_checksum,
		.credentials_file = c->s3_credentials, .profile = c->s3_profile, .ca_file = c->s3_ca_file,
		.congestion = c->s3_congestion, .connections = c->s3_connections, .cores = (uint32_t)cores,
		.timeout_ns = c->s3_timeout_ns, .hedge_after_ns = c->s3_hedge_after_ns,
	};

	if (strncmp(c->objects, "s3://", 5) == 0)
		return open_bucket(out, c, &s3, why);
	return objstore_open(out, c->objects, create, why);
}

struct bringup {
	struct objstore *store;
	char why[256];
};

static int
core_init(int core, void *arg)
{
	struct bringup *b = arg;

	return objstore_init(b->store, core, b->why);
}

static void
core_fini(int core, void *arg)
{
	struct bringup *b = arg;

	objstore_fini(b->store, core);
}

int
volume_store_start(struct objstore *store, char why[256])
{
	static struct bringup b; /* the end of the reactor needs it: one at a time */
	const struct reactor_opts opts = {
		.cores = 1, .buf_bytes = 8 * MIB, .max_conns = 16, .worker_threads = 2, .init = core_init, .fini = core_fini, .arg = &b,
	};
	int err;

	b = (struct bringup){ .store = store };
	err = reactor_start(&opts, why);
	if (err < 0 && b.why[0])
		memcpy(why, b.why, sizeof(b.why));
	return err;
}
