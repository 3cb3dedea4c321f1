/* SPDX-License-Identifier: Apache-2.0 */
#include "store/s3_cred.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX 65536

void
s3_cred_wipe(struct s3_cred *c)
{
	explicit_bzero(c->access, sizeof(c->access));
	explicit_bzero(c->secret, sizeof(c->secret));
	explicit_bzero(c->token, sizeof(c->token));
}

/* ---- the file */

static bool
is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

/* [*p, *end) without spaces at both ends. */
static void
trim(const char **p, const char **end)
{
	while (*p < *end && is_space(**p))
		(*p)++;
	while (*p < *end && is_space((*end)[-1]))
		(*end)--;
}

static bool
is_word(const char *p, const char *end, const char *word)
{
	return (size_t)(end - p) == strlen(word) && memcmp(p, word, (size_t)(end - p)) == 0;
}

/* A value of printable bytes without spaces: it goes into a header line. */
static int
take(char *out, size_t room, const char *p, const char *end)
{
	size_t len = (size_t)(end - p);

	if (len >= room)
		return -EINVAL;
	for (size_t i = 0; i < len; i++)
		if (p[i] <= ' ' || p[i] > '~')
			return -EINVAL;
	memcpy(out, p, len);
	out[len] = '\0';
	return 0;
}

static int
take_line(struct s3_cred *c, const char *p, const char *end)
{
	const char *key = memchr(p, '=', (size_t)(end - p)), *value;

	if (!key)
		return 0;
	value = key + 1;
	trim(&p, &key);
	trim(&value, &end);
	if (is_word(p, key, "aws_access_key_id"))
		return take(c->access, sizeof(c->access), value, end);
	if (is_word(p, key, "aws_secret_access_key"))
		return take(c->secret, sizeof(c->secret), value, end);
	if (is_word(p, key, "aws_session_token"))
		return take(c->token, sizeof(c->token), value, end);
	return 0; /* region and the like are others' */
}

int
s3_cred_parse(struct s3_cred *c, const char *text, size_t len, const char *profile)
{
	const char *p = text, *stop = text + len, *next;
	bool here = false, seen = false;
	int err = 0;

	c->access[0] = c->secret[0] = c->token[0] = '\0';
	for (; p < stop && err == 0; p = next + 1) {
		const char *end;

		next = memchr(p, '\n', (size_t)(stop - p));
		if (!next)
			next = stop;
		end = next;
		trim(&p, &end);
		if (p == end || *p == '#' || *p == ';')
			continue;
		if (*p == '[') {
			const char *name = p + 1, *name_end = end[-1] == ']' ? end - 1 : end;

			trim(&name, &name_end);
			here = is_word(name, name_end, profile);
			seen = seen || here;
		} else if (here) {
			err = take_line(c, p, end);
		}
	}
	if (err == 0 && !seen)
		return -ENOENT;
	return err == 0 && c->access[0] && c->secret[0] ? 0 : -EINVAL;
}

static int
read_file(const char *path, char *text, size_t *len, char why[256])
{
	struct stat st;
	ssize_t n;
	int err = 0, fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0) {
		err = -errno;
		snprintf(why, 256, "cannot open the credentials file %.150s: %s", path, strerror(errno));
		return err;
	}
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		err = -EINVAL;
		snprintf(why, 256, "the credentials file %.150s is no file", path);
	} else if (st.st_mode & 077 || (st.st_uid != geteuid() && st.st_uid != 0)) {
		err = -EPERM;
		snprintf(why, 256, "the credentials file %.150s is open to others (mode %04o): chmod 600, and it must be yours", path,
		         (unsigned)st.st_mode & 07777);
	} else if ((n = read(fd, text, FILE_MAX)) < 0) {
		err = -errno;
		snprintf(why, 256, "cannot read the credentials file %.150s: %s", path, strerror(errno));
	} else {
		*len = (size_t)n;
	}
	close(fd);
	return err;
}

static int
from_file(struct s3_cred *c, const char *path, const char *profile, char why[256])
{
	char *text = malloc(FILE_MAX);
	size_t len = 0;
	int err;

	if (!text)
		return -ENOMEM;
	err = read_file(path, text, &len, why);
	if (err == 0) {
		err = s3_cred_parse(c, text, len, profile);
		if (err == -ENOENT)
			snprintf(why, 256, "the credentials file %.120s has no profile [%.60s]", path, profile);
		else if (err < 0)
			snprintf(why, 256, "profile [%.60s] of the credentials file %.120s is not complete: it needs "
			         "aws_access_key_id and aws_secret_access_key", profile, path);
	}
	snprintf(c->from, sizeof(c->from), "profile [%.40s] of %.130s", profile, path);
	explicit_bzero(text, FILE_MAX);
	free(text);
	return err;
}

/* ---- the environment */

static const char *
env(const char *name)
{
	const char *v = getenv(name);

	return v ? v : "";
}

static int
from_env(struct s3_cred *c, char why[256])
{
	const char *access = env("AWS_ACCESS_KEY_ID"), *secret = env("AWS_SECRET_ACCESS_KEY"), *token = env("AWS_SESSION_TOKEN");

	snprintf(c->from, sizeof(c->from), "AWS_ACCESS_KEY_ID in the environment");
	if (take(c->access, sizeof(c->access), access, access + strlen(access)) == 0 &&
	    take(c->secret, sizeof(c->secret), secret, secret + strlen(secret)) == 0 &&
	    take(c->token, sizeof(c->token), token, token + strlen(token)) == 0 && c->secret[0])
		return 0;
	snprintf(why, 256, "AWS_ACCESS_KEY_ID is set, but it or AWS_SECRET_ACCESS_KEY or AWS_SESSION_TOKEN is not right");
	return -EINVAL;
}

int
s3_cred_load(struct s3_cred *c, const char *file, const char *profile, char why[256])
{
	char path[512];
	int err;

	memset(c, 0, sizeof(*c));
	if (!*profile)
		profile = env("AWS_PROFILE");
	if (!*profile)
		profile = "default";
	if (*file)
		return from_file(c, file, profile, why);
	if (*env("AWS_ACCESS_KEY_ID"))
		return from_env(c, why);
	if (*env("AWS_SHARED_CREDENTIALS_FILE"))
		return from_file(c, env("AWS_SHARED_CREDENTIALS_FILE"), profile, why);
	snprintf(path, sizeof(path), "%.480s/.aws/credentials", env("HOME"));
	err = from_file(c, path, profile, why);
	if (err == -ENOENT && access(path, F_OK) < 0)
		snprintf(why, 256, "no S3 credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or write them into a "
		         "file of mode 0600 that s3.credentials_file names (or ~/.aws/credentials)");
	return err;
}
