/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames on local disks, below the memory cache and above the object store.
 *
 * Each core has a log of segment files in each cache directory (diskcache_format.h), O_DIRECT
 * through its ring, and an index of them in memory: 36 bytes a frame, sized at start.  A frame
 * is kept by the core that owns its inode.  Segments are written once; when
 * there is no more room the oldest goes, and what was found in it since it was written is written
 * again at the front (FIFO with reinsertion).
 *
 * Nobody waits for this cache: a frame that cannot be written now is not cached.
 * What is wrong with a disk costs a log line and nothing else: a damaged frame is
 * forgotten, a directory that fails is left alone and tried again each minute, and the object
 * store has it all.
 *
 * open and close: one thread, no reactors.  The rest: on each core, for itself.
 */
#ifndef STORE_DISKCACHE_H
#define STORE_DISKCACHE_H

#include "reactor/buf.h"
#include "store/block.h"

#define DISKCACHE_DIRS_MAX 16

/*
 * Checks of what is read from a cache disk.  A frame is read whole and has one checksum, so there is
 * nothing to shrink to or to extend: both check every frame.
 */
enum disk_verify {
	DISK_VERIFY_NONE,   /* the disks are trusted */
	DISK_VERIFY_FULL,   /* where all frames of a block are read at once */
	DISK_VERIFY_SHRINK,
	DISK_VERIFY_EXTEND,
};

struct diskcache_opts {
	const char *dir[DISKCACHE_DIRS_MAX];
	int ndirs;                 /* 0: no disk cache */
	int cores;
	uint64_t bytes;            /* all directories and cores together */
	double free_ratio;         /* of each file system that stays free */
	enum disk_verify verify;
	uint8_t uuid[16];          /* of the volume: each has a folder of its own */
	/* for tests and comparisons */
	bool fifo;                 /* no reinsertion */
	uint64_t retry_ns;         /* of a directory that failed; 0: a minute */
};

/*
 * Blocking.  Makes the directories and lists their files; one that cannot be used is logged and left out until it
 * can be.  Frames of the last run are found as the cores load them, while they serve.
 */
int  diskcache_open(const struct diskcache_opts *o);
void diskcache_close(void);
/* Per core.  `write_bytes`: of buffers, at most, that wait to be written. */
int  diskcache_init(uint64_t write_bytes);
void diskcache_fini(void);
/* No more loading and caching; open segments are sealed.  True: it has come to rest. */
bool diskcache_quit(void);

/*
 * Reads a frame of `plain` bytes into `into`, which is lent.  False: it is not there, and the
 * op does not resume.  Else op->res: 0, or negative and the object store is to be asked (what is damaged was logged
 * and is forgotten).  `whole`: the block's frames are all read together.
 */
struct cseg;
struct disk_fetch {
	struct op step;
	struct op *wait;
	struct cseg *seg;
	struct buf *into;
	uint64_t slice;
	uint32_t frame, plain, crc, len;
	bool verify;
};
bool diskcache_read(struct disk_fetch *r, uint64_t slice, uint32_t frame, uint32_t plain, struct buf *into,
                    bool whole, struct op *op);
/*
 * Keeps the frame, if that is possible without waiting: takes a reference for as long as it is written.  `fresh`: it
 * was just uploaded; what readers brought goes before it.
 */
void diskcache_insert(uint64_t slice, uint32_t frame, uint64_t ino, struct buf *b, uint32_t plain, bool fresh);
void diskcache_forget(uint64_t slice, uint32_t first_frame, uint32_t nframes);

/* Any thread, relaxed. */
struct diskcache_stats {
	uint64_t hits, misses;             /* frames; only where memory had none */
	uint64_t inserts, skipped;         /* written; not, because the disk had enough to do */
	uint64_t evicted, reinserted, damaged;
	uint64_t frames;                   /* held now */
	uint64_t index_bytes;              /* of memory, when it is full */
};
const struct diskcache_stats *diskcache_stats(int core);

struct diskcache_dir {
	const char *path;
	const char *state;                 /* ok, loading, no room, failed */
	uint64_t bytes, max_bytes;
};
/* False: there is no directory i. */
bool diskcache_dir(int i, struct diskcache_dir *out);

#endif
