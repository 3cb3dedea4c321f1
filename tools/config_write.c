/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tools/config.h"

/* A path of the command line is relative to where one stands, in the config to the config. */
static const char *
absolute(const char *path, char out[4096])
{
	char here[2048];

	if (!*path || *path == '/' || !getcwd(here, sizeof(here)))
		return path;
	snprintf(out, 4096, "%s/%.2000s", here, path);
	return out;
}

static char *
text_of(const char *const *shares, const char *objects, const struct s3_opts *opts, const char *key_file, const char *passphrase_file)
{
	char credentials[4096], ca[4096], key[4096], passphrase[4096];
	struct s3_opts s3 = *opts;

	s3.credentials_file = absolute(s3.credentials_file, credentials);
	s3.ca_file = absolute(s3.ca_file, ca);
	return config_template(shares[0], objects, &s3, absolute(key_file, key), absolute(passphrase_file, passphrase));
}

int
config_write(const char *path, const char *const *shares, int n, const char *objects, const struct s3_opts *s3,
             const char *key_file, const char *passphrase_file, char why[256])
{
	char *text = text_of(shares, objects, s3, key_file, passphrase_file);
	int fd = text ? open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644) : -1;
	FILE *f = fd < 0 ? NULL : fdopen(fd, "w");
	int err = 0;

	if (f) {
		fputs(text, f);
		for (int i = 1; i < n; i++)
			fprintf(f, "  - name: %s\n", shares[i]);
	}
	if (!f || fflush(f) || fsync(fd))
		err = errno ? -errno : -EIO;
	if (f && fclose(f) && !err)
		err = -errno;
	if (err < 0)
		snprintf(why, 256, "cannot write %.200s: %s", path, strerror(-err));
	if (err < 0 && fd >= 0)
		unlink(path);
	free(text);
	return err;
}
