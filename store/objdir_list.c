/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A directory is read for the names that come next, sorted, as many as a page has;
 * where they were not enough (directories among them may be empty), it is read again for those behind them.
 * "a-b" sorts before "a/b", so a directory's name is compared with its slash.
 */
#include "store/objdir_list.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEPTH_MAX 16

/* Of one directory: the smallest names behind `from` that were seen, at most LIST_MAX after a sort. */
struct names {
	int n;
	bool cut; /* there are more behind the last */
	char name[2 * LIST_MAX][OBJ_NAME];
};

struct walk {
	struct obj_req *r;
	int room, depth;
};

static int
by_name(const void *a, const void *b)
{
	return strcmp(a, b);
}

static void
keep_smallest(struct names *s)
{
	qsort(s->name, (size_t)s->n, OBJ_NAME, by_name);
	if (s->n > LIST_MAX) {
		s->n = LIST_MAX;
		s->cut = true;
	}
}

/* May anything at or below this path be asked for?  A directory ends in a slash. */
static bool
wanted(const struct obj_req *r, const char *path, bool dir)
{
	size_t len = strlen(path), prefix = strlen(r->name);

	if (strncmp(path, r->name, MIN(len, prefix)) || (!dir && len < prefix))
		return false;
	return strcmp(path, r->after) > 0 || (dir && strncmp(path, r->after, len) == 0);
}

static bool
is_dir(int dir, const struct dirent *e)
{
	struct stat st;

	if (e->d_type != DT_UNKNOWN)
		return e->d_type == DT_DIR;
	return fstatat(dir, e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode);
}

/* The next names of the directory `path` behind `from`. */
static int
gather(const struct walk *w, int fd, const char *path, const char *from, struct names *s)
{
	struct dirent *e;
	int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), err;
	DIR *dir = copy < 0 ? NULL : fdopendir(copy);

	s->n = 0;
	s->cut = false;
	if (!dir) {
		err = -errno;
		if (copy >= 0)
			close(copy);
		return err;
	}
	for (errno = 0; (e = readdir(dir)) != NULL; errno = 0) {
		char *to = s->name[s->n];
		bool sub = is_dir(copy, e);

		if (e->d_name[0] == '.' || snprintf(to, OBJ_NAME, "%s%s", path, e->d_name) >= OBJ_NAME - 1 || !objstore_name_ok(to))
			continue;
		if (sub)
			strcat(to, "/");
		if (!wanted(w->r, to, sub) || strcmp(to, from) <= 0)
			continue;
		if (++s->n == 2 * LIST_MAX)
			keep_smallest(s);
	}
	err = -errno;
	closedir(dir);
	keep_smallest(s);
	return err;
}

/* 1: the page is full. */
static int
emit(struct walk *w, int root, const char *path)
{
	struct obj_req *r = w->r;
	struct obj_entry *e;
	struct stat st;

	if (fstatat(root, path, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode))
		return 0; /* gone since, or no object */
	if (r->nentries == w->room) {
		r->more = true;
		return 1;
	}
	e = &r->entry[r->nentries++];
	snprintf(e->name, sizeof(e->name), "%s", path);
	e->size = (uint64_t)st.st_size;
	e->mtime_s = (uint64_t)st.st_mtim.tv_sec;
	return 0;
}

static int
walk(struct walk *w, int root, const char *path)
{
	int fd = openat(root, *path ? path : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW), err;
	struct names *s;
	char from[OBJ_NAME] = "";

	if (fd < 0)
		return errno == ENOENT || errno == ENOTDIR ? 0 : -errno;
	s = malloc(sizeof(*s));
	err = s && w->depth < DEPTH_MAX ? 0 : -ENOMEM;
	w->depth++;
	while (err == 0) {
		err = gather(w, fd, path, from, s);
		for (int i = 0; i < s->n && err == 0; i++)
			err = s->name[i][strlen(s->name[i]) - 1] == '/' ? walk(w, root, s->name[i]) : emit(w, root, s->name[i]);
		if (!s->cut)
			break;
		memcpy(from, s->name[s->n - 1], sizeof(from));
	}
	w->depth--;
	free(s);
	close(fd);
	return err;
}

int
objdir_list(int root, struct obj_req *r)
{
	struct walk w = { .r = r, .room = MIN(r->nentries, LIST_MAX) };
	int err;

	r->nentries = 0;
	r->more = false;
	err = walk(&w, root, "");
	return err < 0 ? err : 0;
}
