/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The object store in a bucket of S3 or what speaks its protocol (AWS, Ceph RGW, MinIO,
 * R2, GCS), behind store/objstore.h.  objstore_init gives a core its connections;
 * requests are signed with Signature V4, retried, and judged by class:
 *
 *   away     no connection, timeouts, resets, 5xx, SlowDown: again after a jittered
 *            pause that doubles, until `timeout` is over, then -E_JUKEBOX
 *   refused  credentials, region, bucket, certificate: -EACCES, and a sentence in the log that
 *            names the setting, once until it works again
 *   missing  -ENOENT
 *
 * Credentials that the store refuses are read again; so revoked and restored ones
 * need no restart.
 */
#ifndef STORE_S3_H
#define STORE_S3_H

#include "store/objstore.h"

enum s3_style { S3_AUTO, S3_PATH, S3_VIRTUAL };
enum s3_signature { S3_V4, S3_V2 }; /* V2: store/s3v2.h */
/* What is sent with a PUT so that the store notices bytes that changed on their way. */
enum s3_checksum {
	S3_SHA256, /* in the signature: every V4 server checks it */
	S3_MD5,    /* Content-MD5, and the ETag compared */
	S3_CRC32C, /* x-amz-checksum-crc32c, cheapest; S3_SHA256 where the store does not say that it checked it */
	S3_NOSUM,
	S3_AUTOSUM, /* S3_CRC32C over https, which nobody on the way can change, else S3_SHA256 */
};

struct s3_opts {
	const char *endpoint;         /* http[s]://host[:port]; "": AWS in this region */
	const char *region;           /* "": us-east-1 */
	enum s3_style style;          /* auto: virtual on AWS, path elsewhere */
	enum s3_checksum checksum;
	const char *credentials_file; /* "": environment, then ~/.aws/credentials */
	const char *profile;          /* "": AWS_PROFILE, then "default" */
	const char *ca_file;          /* "": the system's */
	const char *congestion;       /* TCP; "": the system's, cubic on loopback */
	uint32_t connections;         /* all cores together */
	uint32_t cores;
	uint64_t timeout_ns;          /* how long a request is retried */
	uint64_t hedge_after_ns;      /* a second GET when the first has no byte for so long; 0: never */
};

/* "s3://bucket/prefix"; strings are copied.  Blocking, no request; -errno and a sentence in why[]. */
int s3_open(struct objstore **out, const char *url, const struct s3_opts *o, char why[256]);

#endif
