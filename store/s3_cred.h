/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where S3 credentials come from, in this order: the file that the config names, or
 * AWS_ACCESS_KEY_ID and its like in the environment, or the shared credentials file
 * (AWS_SHARED_CREDENTIALS_FILE, else ~/.aws/credentials).  A file must be ours (or root's) and closed
 * to others (no mode bits for group and others); it has AWS's form: [profile], then
 * aws_access_key_id, aws_secret_access_key and perhaps aws_session_token.
 * Blocking; start-up and workers.
 */
#ifndef STORE_S3_CRED_H
#define STORE_S3_CRED_H

#include "reactor/base.h"

struct s3_cred {
	char access[132], secret[132];
	char token[2560]; /* "": none */
	char from[192];   /* where it came from, for messages */
};

/* file and profile may be "".  -errno and a sentence in why[], which never holds what the file says. */
int s3_cred_load(struct s3_cred *c, const char *file, const char *profile, char why[256]);
/* From the text of a credentials file; 0, -ENOENT no such profile, -EINVAL not complete, too long. */
int s3_cred_parse(struct s3_cred *c, const char *text, size_t len, const char *profile);
void s3_cred_wipe(struct s3_cred *c);

#endif
