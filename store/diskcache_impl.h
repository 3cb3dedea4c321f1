/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the disk cache know of each other:
 *
 *   diskcache.c        the index of a core, find, insert, forget
 *   diskcache_log.c    a core's log in a directory: write, seal, make segments
 *   diskcache_evict.c  the oldest segment goes, what was hit stays
 *   diskcache_load.c   the segments of the last run
 *   diskcache_dir.c    directories, of all cores: state, room, trouble
 */
#ifndef STORE_DISKCACHE_IMPL_H
#define STORE_DISKCACHE_IMPL_H

#include <stdatomic.h>

#include "reactor/disk.h"
#include "reactor/log.h"
#include "reactor/worker.h"
#include "store/cache.h"
#include "store/diskcache.h"
#include "store/diskcache_format.h"

#define NONE      0u      /* no entry: the first is 1 */
#define NO_SLOT   UINT16_MAX
#define BATCH     16      /* frames of one write */
#define HITS_MAX  3
#define TICK_NS   (2 * (uint64_t)1000000000)
#define PATH_BYTES 1024

/* ---- directories, shared by all cores */

/* Found at start. */
struct cfile {
	uint64_t serial, bytes;
	uint32_t core;
};

struct cdir {
	char path[PATH_BYTES];     /* <cache_dir>/<volume uuid> */
	int index;
	_Atomic bool broken;       /* nothing is read or written until a probe finds it well */
	_Atomic bool is_short;     /* its file system is fuller than it may be */
	_Atomic uint64_t bytes;    /* of its files */
	struct log_limit damage, shortage;
	_Atomic int loading;       /* cores that are at it */
	struct cfile *file;        /* by serial */
	uint32_t nfiles;
	/* core 0's */
	struct work work;
	struct op step;
	bool looking;
	uint64_t retry_ns;         /* 0: it is not known here yet that it is broken */
};

/* A segment file, of all cores that have frames in it: the last reference closes it. */
struct cseg {
	struct shard_msg msg;      /* on its way to other cores */
	struct cdir *dir;
	int fd;
	_Atomic uint32_t holders;
	uint64_t serial, bytes;
	uint64_t others;           /* cores beside its owner that have frames in it */
	uint32_t core;             /* of its name */
	int owner;
	void (*visit)(struct cseg *s);       /* on each of the others */
	void (*told)(struct cseg *s);        /* on its owner, when all were visited */
	uint64_t left;             /* still to be visited */
	struct work work;          /* closes it */
	struct op step;
	struct cframe *found;      /* while it is loaded */
	uint32_t nfound;
};

extern struct diskcache_opts cache_disk_opts;

struct cdir *cdir_get(int i);
uint64_t cdir_serial(void);
uint64_t cdir_segment_bytes(void);
uint64_t cdir_budget(void); /* of a core in a directory */
struct cseg *cseg_new(struct cdir *d, uint64_t serial, uint64_t bytes, uint32_t core);
void cseg_path(const struct cseg *s, char out[PATH_BYTES + 64]);
/* Reads and writes go past the page cache, where the file system lets them. */
void cseg_direct(const struct cseg *s);
void cseg_put(struct cseg *s);
/* Goes round the others, and comes home. */
void cseg_tell(struct cseg *s, void (*visit)(struct cseg *s), void (*told)(struct cseg *s));
/* False: all cores together would have more than they may. */
bool cdir_reserve(struct cdir *d, uint64_t bytes);
/* Its files have so many bytes more or less. */
void cdir_bytes(struct cdir *d, uint64_t more, uint64_t less);
/* The directory is not used any more, for the reason that one line tells. */
void cdir_break(struct cdir *d, const char *what, int err);
/* A file, or a frame in it, is not what it should be: one line a second. */
void cdir_damaged(struct cdir *d, const char *what, uint64_t serial);
void cdir_no_room(struct cdir *d);
/* On a worker: is there room for `bytes` more, as the free ratio wants it?  0, -ENOSPC, -errno. */
int  cdir_room(const struct cdir *d, uint64_t bytes);
/* On core 0, now and then. */
void cdir_look(struct cdir *d);
bool cdir_is_looking(void);

/* ---- a core's own */

struct centry {
	uint64_t key;              /* slice and frame; 0: dead, until its segment goes */
	uint32_t ino, crc;
	uint32_t next;             /* in the bucket, or free */
	uint32_t seg_next;         /* in its segment */
	uint16_t slot, page, last; /* last: plain - 1 */
	uint8_t hits;
};
static_assert(sizeof(struct centry) == 32, "bytes a frame: say so in diskcache.h");

/* A segment as this core sees it. */
struct cslot {
	struct cseg *seg;          /* NULL: free */
	uint32_t first, live;
	uint16_t older, newer;     /* in the log of its owner; newer also links free ones */
};

/* A frame that waits to be written. */
struct cput {
	struct cput *next;
	struct cframe f;
	struct buf *buf;
	uint8_t hits;
};

enum clog_stage { LOG_IDLE, LOG_MAKE, LOG_WRITE, LOG_SEAL, LOG_CUT };
enum evict_stage { EVICT_IDLE, EVICT_NEXT, EVICT_LAP, EVICT_ROOM, EVICT_READ, EVICT_TELL, EVICT_UNLINK };

struct clog {
	struct cdir *dir;
	uint16_t oldest, newest;   /* sealed segments */
	uint64_t bytes;            /* of all files of this core here: open, sealed, not loaded yet */
	/* writing */
	enum clog_stage stage;
	bool running;              /* its steps are on the stack: who kicks it meanwhile is heard by them */
	uint16_t open;             /* slot */
	uint32_t fill, nframes;
	uint8_t *summary;
	struct cput *head, **tail;
	struct cput *batch[BATCH];
	struct iovec iov[BATCH];
	int nbatch;
	struct cseg *made;
	struct work work;
	struct op step;
	uint64_t again_ns;         /* no new segment before */
	/* eviction */
	struct {
		enum evict_stage stage;
		uint16_t slot;
		struct cseg *seg;
		struct buf *buf;
		struct cframe f;
		uint8_t hits;
		struct work work;
		struct op step;
	} evict;
	bool shrink;               /* one segment goes, whatever was hit */
	/* loading */
	uint16_t loaded;           /* the newest that was loaded */
};

struct cloader {
	int dir;
	uint32_t file;
	struct cseg *seg;
	uint16_t slot;
	struct work work;
	struct op step;
	bool busy, done;
};

struct dcore {
	struct diskcache_stats *stats;
	struct centry *entry;
	uint32_t *bucket, mask;
	uint32_t nentries, free, fresh, nfree, nslots; /* fresh: never used from here on */
	struct cslot *slot;
	uint16_t free_slot;
	struct slab puts;
	uint64_t waiting_bytes, max_waiting;
	struct clog log[DISKCACHE_DIRS_MAX];
	int nlogs;
	struct cloader load;
	struct timer timer;
	struct op tick;
	bool quit, fini;
};
extern __thread struct dcore *dcore;

struct diskcache_stats *diskcache_count(void);

/* ---- diskcache.c */
static inline uint64_t
centry_key(uint64_t slice, uint32_t frame)
{
	return slice << 10 | frame;
}
/* A slot for the segment, which it takes over one reference of; NO_SLOT. */
uint16_t slot_new(struct cseg *s);
/* Forgets its frames, gives up the reference. */
void slot_drop(uint16_t slot);
/* False: the index is full. */
bool entry_add(uint16_t slot, const struct cframe *f, uint8_t hits);
uint32_t entry_find(uint64_t key);
/* Not found any more; its place is free again when its segment goes. */
void entry_kill(uint32_t i);
/* The first of the slot, taken from it; NONE.  Then entry_free. */
uint32_t entry_pop(uint16_t slot);
void entry_free(uint32_t i);

/* ---- diskcache_log.c */
int  log_init(struct clog *l, struct cdir *d);
void log_fini(struct clog *l);
void log_kick(struct clog *l);
bool log_put(struct clog *l, const struct cframe *f, struct buf *b, uint8_t hits);
bool log_is_idle(const struct clog *l);
/* Is it time to evict, for room or for places in the index? */
bool log_is_full(const struct clog *l);
/* Its files have so many bytes more or less. */
void log_bytes(struct clog *l, uint64_t more, uint64_t less);

/* ---- diskcache_evict.c */
/* Goes on where it waited; begins where there is need, or the directory is broken: then with all of them. */
void evict_kick(struct clog *l);

/* ---- diskcache_load.c */
void load_start(void);
bool load_is_idle(void);

#endif
