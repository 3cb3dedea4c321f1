/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the data path know of each other (file*.c, chunkmap.c,
 * flush*.c, replay.c, garbage.c); nothing for the layers above.  All of it is
 * per core and is touched by that core only, but where stated.
 */
#ifndef META_FILE_CORE_H
#define META_FILE_CORE_H

#include "meta/file.h"
#include "store/blockio.h"
#include "store/extent.h"

#define SEC_NS ((uint64_t)1000000000)
#define MSEC_NS ((uint64_t)1000000)

struct chunk;
struct flush;
struct file_list;

/* How much of a block of the file was written lately: says when to look whether it is full. */
struct fill {
	uint64_t block; /* number + 1 in the file; 0: unused */
	uint64_t bytes;
};
#define FILLS     8
#define READY_MAX 16

/* A reader who goes through the file in order. */
struct stream {
	uint64_t next, done; /* where its next READ would be, and how far ahead was fetched */
	uint64_t run;        /* bytes that were read in order */
	uint32_t used;       /* by the file's clock; 0: never */
	bool fresh;          /* its first READ may be a random one */
};

#define STREAMS 4
struct readahead {
	struct stream stream[STREAMS];
	uint32_t clock;      /* counts READs */
	bool mapping;        /* a chunk is being loaded for it */
};

/* An inode's data in memory: from the first READ or WRITE until it is clean and makes room for another. */
struct file {
	struct inode *inode;       /* NULL: forgotten while somebody is at work on it */
	struct file_list *list;    /* the one it is in: clean by use, dirty by age */
	struct file *prev, *next;
	uint32_t users;            /* operations under way */
	struct extents dirty;
	uint64_t since_ns;         /* dirty: no extent is older */
	struct chunk *chunks;      /* in memory */
	uint64_t map_gen;          /* counts the changes of its chunks in RocksDB */
	struct flush *flush;       /* what is uploading some of it */
	uint64_t cut;              /* the smallest size since that began */
	uint64_t pass_at;          /* how far the uploader's pass has come; 0: the next turn begins one */
	uint64_t pass_seq, pass_ns; /* when it began: the journal's last record, the time */
	uint64_t stored;           /* by passes that have ended: records up to it are in the object store */
	uint64_t stored_ns;        /* and what was dirty then */
	struct file_sync *waits;   /* who waits for the object store */
	struct file *want_prev, *want_next;
	bool wanted;
	struct fill fill[FILLS];
	uint64_t ready[READY_MAX]; /* blocks that may be full */
	uint32_t nready;
	struct file *ready_prev, *ready_next;
	bool in_ready;
	bool stuck;                /* is not uploaded: gone, or its bytes cannot be read (logged) */
	bool replayed;             /* some extents are records of an earlier run */
	uint64_t counted;          /* of dirty.bytes, in the statistics */
	uint64_t landed;           /* of dirty.bytes, in attr.used already: their batch is applied, not yet durable */
	uint64_t shown;            /* of attr.dirty, in FSSTAT's sum */
	struct readahead ra;
};

struct file_list {
	struct file *head, *tail;
	uint32_t count;
};

/* The oldest record whose segment must stay. */
struct hold {
	bool used;
	uint64_t seq;
	struct jloc loc;
};

struct retire {
	struct hold gather, syncing;
	bool running;
	bool broken;               /* RocksDB takes no more changes: what is held stays held */
	bool ended;                /* file_stop is over */
	uint64_t tail;
	struct kv_batch *batch;
	struct kv_write write;
	struct op step;
	enum { RETIRE_WRITTEN, RETIRE_SYNCED } stage;
};

struct file_core {
	struct journal *journal;
	struct slab slab;
	struct file_list clean, dirty, stuck;
	struct retire retire;
	uint64_t kept_from;
	uint64_t tail;               /* the greatest that journal_tail has said */
	uint64_t reclaim_again_ns;
	struct op *stopped, stop;    /* who waits for file_stop */
	struct timer stop_timer;
	struct file_stats stats;
};
extern __thread struct file_core *file_core;

/* ---- file_open.c */
const struct volume *file_volume(void);
/* The prefix of a share's objects; any thread. */
const char *share_prefix(uint32_t share);
/* How its new frames are made; any thread. */
const struct frame_how *share_how(uint32_t share);
int share_count(void);
const char *share_prefix_at(int i);
uint32_t share_id_at(int i);
uint64_t file_epoch(void);
/* All records of this run are above it. */
uint64_t file_old_seq(void);
/* What the journals of earlier runs hold, in order of ino and seq; until file_recs_free. */
const struct jrecord *file_recs(size_t *n);
void file_recs_free(void);
/* Adds to the batch that all records of this core's journal below `tail` are retired. */
void journal_tail_put(struct kv_batch *b, uint64_t tail);

/* ---- file.c */
/* The inode's file, made where there is none, and one more user; NULL: the slab is empty. */
struct file *file_get(struct inode *i);
void file_put(struct file *f);
/* Its extents, attr.used or size have changed: puts it into the right list, counts. `a` is the inode's or the lock's copy. */
void file_changed(struct file *f, struct attr *a);
/* Dirty files of this core that no flush has, the longest dirty first. */
struct file_list *file_dirty_list(void);
/* Some files are not uploaded, and why is in the log. */
bool file_is_stuck(void);
struct journal *file_journal(void);
/* Records below it are not found by the next start; as RocksDB knows by now. */
uint64_t journal_kept_from(void);
/* What to put: all records of this core below it are retired. */
uint64_t journal_tail_now(void);
/* A batch with journal_tail_put(tail) was applied. */
void journal_tail_applied(uint64_t tail);
struct file_stats *file_count(void);
/* One file fewer holds records of an earlier run. */
void file_replayed(struct file *f, bool replayed);

/* The hook of buf.h: the cache gives first, then dirty extents that are safe in the journal. */
uint64_t file_reclaim(uint64_t want_bytes);
void file_lists_fini(void);

/* ---- retire.c */
int  retire_init(void); /* per core */
void retire_fini(void);
/*
 * Records that are about to be dropped may be overwritten only when the metadata
 * change that made them void is durable: the oldest of this run at and beyond
 * `off` is kept until a sync from now on has ended.
 */
void retire_hold(const struct file *f, uint64_t off);
/* Nothing is dirty: the next start needs to read nothing of the journal, and is told. */
void tail_note(void);
/* The last of what file_stop waits for; true: nothing is under way, and nothing begins any more. */
bool retire_quit(void);

/* ---- file_write.c */
/* There may be room now for who waits to write. */
void write_kick(void);
int  write_init(void);
void write_fini(void);

/* ---- file_read.c */
int  read_init(void);
void read_fini(void);
/* relatime: a READ leaves the atime as it is. */
bool file_atime_stays(const struct attr *a);

/* ---- read_look.c */
/* On the owner, when r has its result and nothing has changed since: shows what was asked from afar. */
void file_read_show(const struct file_read *r, struct inode *i);

/* Errors that a file operation of the wrong kind of inode answers: 0, -EISDIR, -EINVAL. */
int  file_check_type(const struct attr *a);

#endif
