/* SPDX-License-Identifier: Apache-2.0 */
#include "store/objstore.h"

#include <stdio.h>

#include "store/objfile.h"

int
objstore_open(struct objstore **out, const char *url, bool create, char why[256])
{
	static const char file[] = "file://";

	if (strlen(url) >= sizeof((*out)->url)) {
		snprintf(why, 256, "the object store's URL is longer than %zu bytes",
		         sizeof((*out)->url) - 1);
		return -ENAMETOOLONG;
	}
	if (strncmp(url, file, sizeof(file) - 1) == 0 && url[sizeof(file) - 1] == '/')
		return objfile_open(out, url + sizeof(file) - 1, create, why);
	snprintf(why, 256, "no object store of this kind: %.160s; it may be file:///an/absolute/directory",
	         url);
	return -EINVAL;
}

void
objstore_close(struct objstore *s)
{
	s->ops->close(s);
}

int
objstore_space(struct objstore *s, uint64_t *total, uint64_t *free_bytes)
{
	if (s->ops->space)
		return s->ops->space(s, total, free_bytes);
	*total = *free_bytes = (uint64_t)INT64_MAX;
	return 0;
}
