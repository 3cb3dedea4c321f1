/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the journal know of each other.  Not for the layers above.
 *
 *   journal.c         appends, groups in flight, sync, reading back
 *   journal_ring.c    the segments of this run: used again in order, room
 *   journal_grow.c    segment files, and the making of more
 *   journal_scan.c    the segments of earlier runs: read at start, deleted in order
 *   journal_format.c  the bytes
 */
#ifndef STORE_JOURNAL_IMPL_H
#define STORE_JOURNAL_IMPL_H

#include <stdatomic.h>

#include "reactor/disk.h"
#include "reactor/diskwrite.h"
#include "reactor/latency.h"
#include "reactor/reactor.h"
#include "reactor/worker.h"
#include "store/journal_format.h"

#define JGROUP_BYTES   (2 * MIB) /* a group closes before it is longer */
#define JGROUPS        32        /* gathering, waiting and in flight */
#define JIN_FLIGHT     2
#define JIN_FLIGHT_FULL 12       /* of groups that take no more records: streams, see may_issue */
#define JGROUP_LARGE   (JGROUP_BYTES / 8) /* so large it does not wait to grow */
#define JPATH_MAX      512

/* A segment file.  Freed when it has no holder and no list any more. */
struct jseg {
	struct jseg *next;
	_Atomic uint32_t holders; /* live records, and 1 for the list that it is in */
	int fd;
	uint32_t bytes;
	uint64_t number, epoch, first_seq, last_seq;
	uint64_t retire_seq;      /* ring: free once this is durable */
	uint32_t core;
	bool retiring;            /* was seen without live records, which is final */
	char path[JPATH_MAX];
};

static inline bool
jseg_is_live(const struct jseg *s)
{
	return atomic_load_explicit(&s->holders, memory_order_acquire) > 1;
}

/* Drops the list's hold.  The file stays as it is. */
void jseg_release(struct jseg *s);
/* fsync of a directory. */
int  jdir_sync(const char *dir);
/* Reads and writes past the page cache, where the file system can. */
void jseg_direct(int fd);

struct jgroup {
	struct op op;             /* of the write */
	struct disk_write write;
	struct journal *j;
	struct op *waiters, **waiters_tail;
	struct jseg *seg;
	uint8_t *head, *desc;     /* two blocks, one after the other */
	bool heads_segment;       /* the first of its segment carries the header */
	bool done;
	uint32_t off, bytes;      /* in the segment; all that is written */
	uint64_t opened_ns, issued_ns; /* for its first record; to the disk */
	uint64_t first_seq;
	uint32_t nrec;
	int niov;
	struct iovec iov[JGROUP_RECORDS + 1];
	struct buf *hold[JGROUP_RECORDS];
};

enum grow_stage {
	GROW_IDLE, GROW_CREATE, GROW_ZERO, GROW_SYNC, GROW_UNDO,
	GROW_PAUSED, /* half zeroed, until the journal is at rest again or needs it */
};

/* The making of one more segment, in the background. */
struct jgrow {
	struct work work;
	struct op op;
	enum grow_stage stage;
	struct jseg *seg;
	uint32_t zeroed;
	bool reserved;            /* the blocks are allocated: it can be used before all is zeroed */
	bool complained;
	uint64_t retry_ns;
};

/* The segment that becomes free. */
struct jwipe {
	struct op op;
	struct disk_write write;
	struct iovec iov;
	bool running;
};

struct jfifo {
	struct jseg *head, **tail;
	uint32_t count;
};

struct journal {
	int core, err;
	struct journal_opts opts;
	char dir[JPATH_MAX - 64];
	uint8_t uuid[16], run[16];
	_Atomic uint64_t last, durable; /* written by the core, read by the reaper (journal_scan.c) */
	struct lap_hook hook;

	/* Groups by number: acked <= issued <= next, at group[n % JGROUPS]. */
	uint64_t acked, issued, next;
	struct jgroup *gather;    /* the last one while it takes records, or NULL */
	struct jgroup *group;
	struct op *woken, **woken_tail; /* whose records are durable: resumed in the next lap */
	struct buf *pages[JGROUPS * 2 * PAGE / BUF_LARGE_BYTES];
	struct journal_stats stats;
	struct hist *sync_time, *write_time; /* of groups: until durable, on the disk */

	/* Segments, oldest first; `open` is the last of used while it takes groups, or NULL. */
	struct jfifo used, free;
	struct jseg *open;
	uint32_t fill;            /* where the next group goes in open */
	uint64_t number;          /* the next segment's */
	uint64_t files;           /* names given */
	uint64_t total_bytes, used_bytes;
	struct { uint64_t used, total; } seen; /* journal_usage at the end of the last lap, for other threads */
	struct op *room, **room_tail;
	bool clean;               /* at the end of the last lap: nothing live, all durable */
	struct jgrow grow;
	struct jwipe wipe;
	struct timer poll;
	struct op poll_op;
};

/* Fail-stop after an error of the disk: all who wait and all who come get -EIO.  journal.c. */
void journal_fail(struct journal *j, const struct jseg *s, uint32_t at, int err);

/* ---- journal_ring.c */
/* Blocking: the first segment. */
int  jring_open(struct journal *j, char why[256]);
void jring_close(struct journal *j);
/* Opens the next free segment for groups, or NULL; the open one is full. */
struct jseg *jring_next(struct journal *j);
/* Once a lap: frees segments, wakes who waits for room, makes more. */
void jring_lap(struct journal *j);
/* A new segment, prewritten and synced. */
void jring_add(struct journal *j, struct jseg *s);
void jring_fail(struct journal *j);

/* ---- journal_grow.c */
/* Blocking: the first segment. */
int  jgrow_first(struct journal *j, char why[256]);
/* Once a lap: begins to make one more, where it will be wanted.  True: it wants to be asked again soon. */
bool jgrow_lap(struct journal *j);
/* Blocking: gives up one that is not finished. */
void jgrow_close(struct journal *j);

/* ---- journal_scan.c */
/* Segments of earlier runs are left: nothing of this run may be overwritten before. */
bool jscan_is_left(void);
void jscan_opened(struct journal *j);
void jscan_closed(struct journal *j);
/* On each journal's core, now and then. */
void jscan_reap(struct journal *j);
bool jscan_wants_poll(const struct journal *j);

#endif
