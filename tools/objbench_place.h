/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where `dittofs objbench` works: a prefix below the store that was named, which nobody else
 * has, and the one reactor core that the store is used from.  Main thread; blocking.
 */
#ifndef TOOLS_OBJBENCH_PLACE_H
#define TOOLS_OBJBENCH_PLACE_H

#include "store/objstore.h"
#include "store/s3.h"

struct objbench_place {
	struct objstore *store;
	char url[512];              /* of the prefix */
	char dir[512];              /* file://: its directory */
};

/*
 * `where`: file:///DIR or s3://BUCKET/PREFIX with `s3` (of which cores and connections are set here), or a
 * volume's directory, whose config says where.  -errno and a sentence in why[].
 */
int  objbench_place_open(struct objbench_place *p, const char *where, struct s3_opts *s3, int lanes, char why[256]);
/* No request is under way.  Removes the directory, when it is one, with what the store keeps in it. */
void objbench_place_close(struct objbench_place *p);

#endif
