/* SPDX-License-Identifier: Apache-2.0 */
/* Listing a local store against a model: every prefix, every page size, in the order of bytes. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/objdir_list.h"
#include "tests/fake/rig.h"

static int root;
static char names[4096][OBJ_NAME];
static int nnames;
static struct obj_entry entry[LIST_MAX];

static int
by_bytes(const void *a, const void *b)
{
	return strcmp(a, b);
}

static void
make(const char *name)
{
	char path[512];

	snprintf(path, sizeof(path), "%s", name);
	for (char *p = path; *p; p++)
		if (*p == '/') {
			*p = '\0';
			mkdirat(root, path, 0700);
			*p = '/';
		}
	int fd = openat(root, name, O_WRONLY | O_CREAT, 0600);

	cr_assert(ge(int, fd, 0));
	cr_assert(eq(long, write(fd, name, strlen(name)), (long)strlen(name)));
	close(fd);
}

static void
keep(const char *name)
{
	make(name);
	snprintf(names[nnames++], OBJ_NAME, "%s", name);
}

static void
setup(void)
{
	root = open(rig_dir(), O_RDONLY | O_DIRECTORY);
	nnames = 0;
}

static void
teardown(void)
{
	close(root);
	rig_dir_remove();
}

TestSuite(objdir_list, .init = setup, .fini = teardown);

/* All pages of `size` names that begin with `prefix`. */
static void
check(const char *prefix, int size)
{
	struct obj_req r = { .entry = entry };
	int at = 0;

	qsort(names, (size_t)nnames, OBJ_NAME, by_bytes);
	snprintf(r.name, sizeof(r.name), "%s", prefix);
	do {
		r.nentries = size;
		cr_assert(eq(int, objdir_list(root, &r), 0));
		for (int i = 0; i < r.nentries; i++) {
			while (at < nnames && strncmp(names[at], prefix, strlen(prefix)))
				at++;
			cr_assert(at < nnames && strcmp(entry[i].name, names[at]) == 0, "prefix '%s' page %d: %s, not %s", prefix, size,
			          entry[i].name, at < nnames ? names[at] : "the end");
			cr_assert(eq(u64, entry[i].size, strlen(names[at])));
			at++;
		}
		cr_assert(not(r.more && r.nentries == 0));
		if (r.nentries > 0)
			memcpy(r.after, entry[r.nentries - 1].name, OBJ_NAME);
	} while (r.more);
	while (at < nnames && strncmp(names[at], prefix, strlen(prefix)))
		at++;
	cr_assert(eq(int, at, nnames));
}

Test(objdir_list, orders_and_prefixes)
{
	static const char *const of[] = {
		"a-b", "a/b", "a0", "a/b-c", "a/c/d", "a/c-d", "b", "ab/c", "ab-/c", "a.b/c", "a.b-", "dir/x/y/z", "dir/x-", "export/dittofs.json",
		"export/chunks/00/0/1_0_5", "export/chunks/FF/0/2_0_5", "export/packs/00/0/3",
	};
	static const char *const prefixes[] = { "", "a", "a/", "a/c", "a/c/", "ab", "b", "c", "dir/x", "export/chunks/", "export/chunks/0", "zz", "a/b/c/d" };

	for (size_t i = 0; i < ARRAY_LEN(of); i++)
		keep(of[i]);
	make(".tmp/x"); /* not ours */
	make("a/c/.hidden");
	make("odd name");
	mkdirat(root, "empty", 0700);
	mkdirat(root, "a/b-empty", 0700);
	cr_assert(eq(int, symlinkat("a0", root, "link"), 0));
	for (size_t i = 0; i < ARRAY_LEN(prefixes); i++)
		for (int size = 1; size < 20; size++)
			check(prefixes[i], size);
}

/* A directory with more names than a page, and many that hold nothing. */
Test(objdir_list, large)
{
	char name[64];

	for (int i = 0; i < 2500; i++) {
		snprintf(name, sizeof(name), "d/%d", i);
		keep(name);
	}
	for (int i = 0; i < 1500; i++) {
		snprintf(name, sizeof(name), "e/%04d", i);
		mkdirat(root, "e", 0700);
		mkdirat(root, name, 0700);
	}
	keep("e/1499/last");
	check("", LIST_MAX);
	check("", 333);
	check("d/1", 7);
	check("e/", 1);
}

Test(objdir_list, gone)
{
	struct obj_req r = { .entry = entry, .nentries = 5, .name = "nothing/here" };

	cr_assert(eq(int, objdir_list(root, &r), 0));
	cr_assert(eq(int, r.nentries, 0));
	cr_assert(not(r.more));
}
