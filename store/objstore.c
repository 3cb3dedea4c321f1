/* SPDX-License-Identifier: Apache-2.0 */
#include "store/objstore.h"

#include <stdio.h>

#include "store/objfile.h"

int
objstore_init(struct objstore *s, int core, char why[256])
{
	return s->ops->init ? s->ops->init(s, core, why) : 0;
}

void
objstore_fini(struct objstore *s, int core)
{
	if (s->ops->fini)
		s->ops->fini(s, core);
}

int
objstore_health(const struct objstore *s)
{
	return s->ops->health ? s->ops->health(s) : 0;
}

bool
objstore_name_ok(const char *name)
{
	char before = '/';
	size_t len = strnlen(name, OBJ_NAME);

	if (len == 0 || len == OBJ_NAME)
		return false;
	for (const char *p = name; *p; before = *p++) {
		bool plain = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') ||
		             (*p >= '0' && *p <= '9') || *p == '_' || *p == '-';

		if (!plain && !(before != '/' && (*p == '.' || *p == '/')))
			return false;
	}
	return before != '/';
}

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

const char *
objstore_error(int err)
{
	switch (-err) {
	case ENOENT:
		return "missing";
	case E_JUKEBOX:
		return "the object store cannot be reached";
	case EACCES:
		return "the object store refuses access";
	case ENOSPC:
		return "the object store is full";
	case E_DAMAGED:
		return "damaged";
	default:
		return strerror(-err < E_BADHANDLE ? -err : EIO);
	}
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
