/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/objbench_place.h"

#include <ftw.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "reactor/reactor.h"
#include "tools/config.h"

static struct {
	struct objstore *store;
	char why[256];
} core; /* the end of the reactor needs it */

static int
core_init(int id, void *arg)
{
	(void)arg;
	return objstore_init(core.store, id, core.why);
}

static void
core_fini(int id, void *arg)
{
	(void)arg;
	objstore_fini(core.store, id);
}

/* A volume's settings, when it is one that was named: what stands in *url then lasts. */
static int
of_volume(const char *where, const char **url, struct s3_opts *s3, char why[256])
{
	static struct config c;
	char path[4096];

	*url = where;
	if (strstr(where, "://"))
		return 0;
	snprintf(path, sizeof(path), "%s/" CONFIG_FILE, where);
	int err = config_load(&c, path, why, 256);
	*url = c.objects;
	s3->endpoint = c.s3_endpoint, s3->region = c.s3_region, s3->style = c.s3_style, s3->checksum = c.s3_checksum;
	s3->credentials_file = c.s3_credentials, s3->profile = c.s3_profile, s3->ca_file = c.s3_ca_file;
	s3->congestion = c.s3_congestion;
	s3->timeout_ns = c.s3_timeout_ns, s3->hedge_after_ns = c.s3_hedge_after_ns;
	return err;
}

static int
start(int lanes, char why[256])
{
	/* Workers as the server has them: they carry the requests to a local store. */
	const struct reactor_opts opts = {
		.cores = 1, .busy_poll_us = 50, .buf_bytes = 8 * MIB, .max_conns = (uint32_t)MAX(16, lanes), .init = core_init,
		.fini = core_fini,
	};
	int err = reactor_start(&opts, why);

	if (err < 0 && core.why[0])
		memcpy(why, core.why, sizeof(core.why));
	return err;
}

static int
remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st, (void)type, (void)at;
	return remove(path);
}

static void
remove_dir(const struct objbench_place *p)
{
	if (p->dir[0] && nftw(p->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT) != 0 && errno != ENOENT)
		fprintf(stderr, "dittofs objbench: could not remove %s: %s\n", p->dir, strerror(errno));
}

static int
make_name(struct objbench_place *p, const char *url, char why[256])
{
	size_t len = strlen(url);
	uint32_t r;

	if (getrandom(&r, sizeof(r), 0) != sizeof(r))
		return -EIO;
	while (len > 0 && url[len - 1] == '/')
		len--;
	if (snprintf(p->url, sizeof(p->url), "%.*s/dittofs-objbench-%d-%08" PRIx32, (int)len, url, getpid(), r) >= (int)sizeof(p->url)) {
		snprintf(why, 256, "%.100s... is too long", url);
		return -ENAMETOOLONG;
	}
	return 0;
}

/* The store makes the last directory only; that it did not exist is what makes it ours. */
static int
open_file(struct objbench_place *p, char why[256])
{
	const char *path = p->url + strlen("file://");
	int err;

	if (access(path, F_OK) == 0)
		return -EEXIST;
	err = objstore_open(&p->store, p->url, true, why);
	if (err == 0 || access(path, F_OK) == 0)
		snprintf(p->dir, sizeof(p->dir), "%s", path);
	return err;
}

int
objbench_place_open(struct objbench_place *p, const char *where, struct s3_opts *s3, int lanes, char why[256])
{
	const char *url;
	int err;

	*p = (struct objbench_place){ 0 };
	if ((err = of_volume(where, &url, s3, why)) < 0 || (err = make_name(p, url, why)) < 0)
		return err;
	s3->cores = 1;
	s3->connections = (uint32_t)lanes;
	err = strncmp(p->url, "s3://", 5) ? open_file(p, why) : s3_open(&p->store, p->url, s3, why);
	if (err < 0) {
		remove_dir(p);
		return err;
	}
	core.store = p->store;
	err = start(lanes, why);
	if (err < 0) {
		objstore_close(p->store);
		remove_dir(p);
	}
	return err;
}

void
objbench_place_close(struct objbench_place *p)
{
	reactor_stop();
	reactor_join();
	objstore_close(p->store);
	remove_dir(p);
}
