/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Settings that are one of several words, each list once: the file is read by them, flags are, and `config show`
 * prints them.  WORDS(W) gives W(word, value) for each.
 */
#ifndef TOOLS_CONFIG_WORDS_H
#define TOOLS_CONFIG_WORDS_H

#define LOG_LEVEL_WORDS(W)    W("error", LOG_ERROR) W("warn", LOG_WARN) W("info", LOG_INFO) W("debug", LOG_DEBUG)
#define CORE_WAKE_WORDS(W)    W("ring", REACTOR_WAKE_RING) W("event", REACTOR_WAKE_EVENT)
#define VERIFY_WORDS(W) \
	W("none", DISK_VERIFY_NONE) W("full", DISK_VERIFY_FULL) W("shrink", DISK_VERIFY_SHRINK) W("extend", DISK_VERIFY_EXTEND)
#define S3_STYLE_WORDS(W)     W("auto", S3_AUTO) W("path", S3_PATH) W("virtual", S3_VIRTUAL)
#define S3_CHECKSUM_WORDS(W)  W("sha256", S3_SHA256) W("md5", S3_MD5) W("crc32c", S3_CRC32C) W("none", S3_NOSUM) \
	W("auto", S3_AUTOSUM)
#define S3_SIGNATURE_WORDS(W) W("v4", S3_V4) W("v2", S3_V2)

/* An entry of an array of the words by value. */
#define WORD_OF(word, value)  [value] = word,

#endif
