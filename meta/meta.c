/* SPDX-License-Identifier: Apache-2.0 */
/* The life of the metadata layer: open once, init and fini on each core. */
#include <stdio.h>

#include "meta/attrcache.h"
#include "meta/dir.h"
#include "meta/file.h"
#include "meta/ino.h"
#include "meta/namecache.h"
#include "meta/once.h"
#include "meta/trash.h"
#include "meta/usage.h"
#include "meta/volume.h"

/* Changes of the namespace under way on a core; more wait in line. */
#define TXNS 256

static struct meta_config config;
static uint32_t max_inodes, max_names;

const struct meta_config *
meta_config(void)
{
	return &config;
}

int
meta_open(const struct meta_opts *o, char why[256])
{
	uint32_t ids[SHARES_MAX];
	int err;

	assert(o->nshares > 0 && o->nshares < SHARES_MAX && o->max_inodes > 0);
	config = (struct meta_config){
		.capacity_bytes = o->capacity_bytes, .capacity_inodes = o->capacity_inodes
	};
	snprintf(config.objects_path, sizeof(config.objects_path), "%s", o->objects_path ? o->objects_path : "");
	max_inodes = o->max_inodes;
	max_names = o->max_names;
	fsstat_open();
	dir_set_secret(o->volume->secret);
	for (int i = 0; i < o->nshares; i++)
		ids[i] = o->shares[i].id;
	err = usage_load(ids, o->nshares);
	if (!err)
		err = once_open();
	if (!err)
		return trash_open(o->shares, o->retention_s, o->nshares, why);
	snprintf(why, 256, "the metadata cannot be read: %s", err > -1000 ? strerror(-err) : "it is damaged");
	return err;
}

int
meta_init(int core)
{
	/* What is dirty since the last run stays in memory until it is uploaded, beside what is in use. */
	int err = inode_init(max_inodes + file_replay_inodes());

	(void)core;
	if (err)
		return err;
	kv_thread_init();
	err = txn_init(TXNS);
	if (err)
		goto no_txn;
	err = ino_init();
	if (err)
		goto no_ino;
	err = attrcache_init(max_names);
	if (err)
		goto no_attrs;
	err = namecache_init(max_names);
	if (err)
		goto no_names;
	err = trash_init();
	if (!err)
		return 0;
	namecache_fini();
no_names:
	attrcache_fini();
no_attrs:
	ino_fini();
no_ino:
	txn_fini();
no_txn:
	inode_fini();
	return err;
}

void
meta_fini(int core)
{
	(void)core;
	trash_fini();
	namecache_fini();
	attrcache_fini();
	ino_fini();
	txn_fini();
	inode_fini();
}
