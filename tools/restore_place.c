/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/restore_place.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static bool
is_there(const char *dir, const char *name)
{
	char path[PATH_MAX];

	return snprintf(path, sizeof(path), "%s/%s", dir, name) < (int)sizeof(path) && access(path, F_OK) == 0;
}

bool
restore_place_is_configured(const struct restore_place *p)
{
	/* One that an interrupted restore wrote is written anew. */
	return p->file || (p->dir && !p->objects && is_there(p->dir, CONFIG_FILE));
}

int
restore_place_flags(struct restore_place *p, char why[256])
{
	struct config *c = &p->config;
	char dir[2048] = "";

	config_defaults(c);
	if (!p->objects) {
		snprintf(why, 256, "there is no " CONFIG_FILE " in %.120s: say with --objects where the objects are", p->dir);
		return -ENOENT;
	}
	if (strncmp(p->objects, "file:///", 8) && strncmp(p->objects, "s3://", 5)) {
		snprintf(why, 256, "--objects '%.100s' is no object store; write s3://BUCKET/PREFIX or file:///DIRECTORY", p->objects);
		return -EINVAL;
	}
	if (p->dir && *p->dir != '/' && !getcwd(dir, sizeof(dir) / 2))
		return -errno;
	if (strlen(p->objects) >= 240 || (p->dir && strlen(p->dir) > 900)) {
		snprintf(why, 256, "the path is too long");
		return -ENAMETOOLONG;
	}
	if (p->dir)
		snprintf(dir + strlen(dir), sizeof(dir) - strlen(dir), "%s%s", *dir ? "/" : "", p->dir);
	snprintf(c->meta, sizeof(c->meta), "%s/meta", dir);
	snprintf(c->journal, sizeof(c->journal), "%s/journal", dir);
	snprintf(c->cache, sizeof(c->cache), "%s/cache", dir);
	snprintf(c->objects, sizeof(c->objects), "%s", p->objects);
	snprintf(c->s3_endpoint, sizeof(c->s3_endpoint), "%s", p->s3.endpoint);
	snprintf(c->s3_region, sizeof(c->s3_region), "%s", p->s3.region);
	c->s3_style = p->s3.style;
	snprintf(c->s3_credentials, sizeof(c->s3_credentials), "%s", p->s3.credentials_file);
	snprintf(c->s3_profile, sizeof(c->s3_profile), "%s", p->s3.profile);
	snprintf(c->s3_ca_file, sizeof(c->s3_ca_file), "%s", p->s3.ca_file);
	snprintf(c->key_file, sizeof(c->key_file), "%s", p->key_file);
	snprintf(c->passphrase_file, sizeof(c->passphrase_file), "%s", p->passphrase_file);
	return 0;
}

/* What a server leaves that found nothing: RocksDB's log and lock, and ours of the journal. */
static bool
is_trace(const char *name)
{
	return !strncmp(name, "LOG", 3) || !strcmp(name, "LOCK") || !strcmp(name, "lock");
}

/* Of a directory that is not there, too; traces do not count, and go where that is asked for. */
static bool
is_empty(const char *path, bool remove_traces)
{
	DIR *d = opendir(path);
	struct dirent *e;
	bool found = false;

	while (d && (e = readdir(d)) != NULL) {
		bool trace = is_trace(e->d_name);

		found |= !trace && strcmp(e->d_name, ".") && strcmp(e->d_name, "..");
		if (trace && remove_traces)
			unlinkat(dirfd(d), e->d_name, 0);
	}
	if (d)
		closedir(d);
	return !found;
}

int
restore_place_check(struct restore_place *p, char why[256])
{
	const struct config *c = &p->config;

	snprintf(p->part, sizeof(p->part), "%.4000s" RESTORE_PART, c->meta);
	if (!is_empty(c->meta, false)) {
		snprintf(why, 256, "%.150s is there: nothing was changed.  Move it away before, if its metadata is lost", c->meta);
		return -EEXIST;
	}
	if (!is_empty(c->journal, false)) {
		snprintf(why, 256, "%.150s has a journal of other metadata in it: move that away before", c->journal);
		return -EEXIST;
	}
	if (!restore_place_is_configured(p) && access(p->part, F_OK) != 0 && !is_empty(p->dir, false)) {
		snprintf(why, 256, "%.150s is not empty; nothing was changed%s", p->dir, is_there(p->dir, CONFIG_FILE) ?
			".  Its " CONFIG_FILE " says where the objects are: leave --objects out" : "");
		return -ENOTEMPTY;
	}
	return 0;
}

static int
make_dir(const char *path, char why[256])
{
	if (mkdir(path, 0700) == 0 || errno == EEXIST)
		return 0;
	snprintf(why, 256, "cannot make %.200s: %s", path, strerror(errno));
	return -errno;
}

int
restore_place_begin(struct restore_place *p, char why[256])
{
	int err = p->dir ? make_dir(p->dir, why) : 0;

	return err < 0 ? err : make_dir(p->part, why);
}

/* As `format` does it. */
static int
write_file(const struct restore_place *p, const struct backup_manifest *m, char why[256])
{
	const char *shares[CONFIG_SHARES_MAX];
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/" CONFIG_FILE, p->dir);
	for (uint32_t i = 0; i < m->nshares; i++)
		shares[i] = m->share[i];
	unlink(path); /* an interrupted restore's */
	return config_write(path, shares, (int)m->nshares, p->objects, &p->s3, p->key_file, p->passphrase_file, why);
}

static int
sync_parent(const char *path)
{
	char parent[PATH_MAX];
	int fd, err;

	snprintf(parent, sizeof(parent), "%s", path);
	*strrchr(parent, '/') = '\0';
	fd = open(*parent ? parent : "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	err = fd < 0 || fsync(fd) < 0 ? -errno : 0;
	if (fd >= 0)
		close(fd);
	return err;
}

int
restore_place_finish(struct restore_place *p, const struct backup_manifest *m, char why[256])
{
	const struct config *c = &p->config;
	int err;

	if ((err = make_dir(c->journal, why)) < 0 || (err = make_dir(c->cache, why)) < 0)
		return err;
	if (!restore_place_is_configured(p) && (err = write_file(p, m, why)) < 0)
		return err;
	crash_point("restore.before_rename");
	if (is_empty(c->meta, true))
		(void)rmdir(c->meta);
	err = rename(p->part, c->meta) < 0 ? -errno : sync_parent(c->meta);
	if (err < 0)
		snprintf(why, 256, "cannot rename %.100s to %.100s: %s", p->part, c->meta, strerror(-err));
	return err;
}
