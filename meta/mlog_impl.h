/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the metadata log know of each other.
 *
 *   mlog.c         groups: gathering, writing, answering
 *   mlog_files.c   the segment files, and the thread that has RocksDB flushed
 *   mlog_scan.c    what the last run left
 *   mlog_format.c  the bytes
 */
#ifndef META_MLOG_IMPL_H
#define META_MLOG_IMPL_H

#include "meta/mlog_format.h"

struct mlog_seg {
	int fd;
	uint64_t last;         /* the newest group in it, 0: none of this run */
	char path[600];
};

struct mlog_files {
	char dir[512];
	struct mlog_head head;
	uint32_t seg_bytes;
	struct mlog_seg seg[MLOG_SEGMENTS];
	uint32_t open, fill;   /* the next group begins at `fill` of seg[open] */
};

/* Blocking; draws run[] and writes the head, with which all before is void. */
int  mlog_files_open(struct mlog_files *f, const struct mlog_opts *o, uint8_t run[MLOG_RUN_BYTES], char why[256]);
void mlog_files_close(struct mlog_files *f, bool clean);
uint32_t mlog_files_next(const struct mlog_files *f);
/* To the next segment, which is free. */
void mlog_files_turn(struct mlog_files *f);

/* The thread that runs `go(flush)` when it is woken. */
int  mlog_flusher_start(int (*go)(int (*flush)(void)), int (*flush)(void));
void mlog_flusher_stop(void);
void mlog_flusher_wake(void);
/* Blocking: wakes it and waits for a whole round of it: its result. */
int  mlog_flusher_wait(void);

#endif
