/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the uploader's files know of each other:
 *
 *   flush.c         when: age, full blocks, pressure, who waits; backing off
 *   flush_wait.c    who waits for the object store, and their rounds
 *   flush_pick.c    what: a snapshot of extents as slices, blocks and objects
 *   flush_upload.c  bytes: those that are only in the journal are read back; then the PUTs
 *   flush_shrink.c  when the object store goes away
 *   flush_commit.c  one batch: C, B, P, I, U, J, G; then extents and journal records go
 *
 * A flush is one batch.  A file is in one flush at a time.
 */
#ifndef META_FLUSH_IMPL_H
#define META_FLUSH_IMPL_H

#include "meta/chunk_change.h"
#include "meta/file_core.h"
#include "meta/flush.h"
#include "meta/recread.h"

#define FLUSH_ROUNDS  4                 /* at once, a core, for who waits; */
#define FLUSHES       8                 /* the others are for what is due */
#define FLUSH_BULKY   2                 /* rounds with one large file each, at most */
#define FLUSH_FILES   128
#define FLUSH_SLICES  1024
#define FLUSH_CHUNKS  256
#define FLUSH_OWN     16                /* blocks that are objects of their own */
#define FLUSH_SMALL   UPLOAD_BLOCKS_MAX /* blocks of the pack */
#define FLUSH_REFS    16384
#define FLUSH_LOADS   4096              /* records to read back */
#define FLUSH_READERS 8
#define FLUSH_OBJECTS (FLUSH_OWN + 1)

struct flush_slice {
	uint64_t id;
	uint64_t upto;             /* the greatest seq in it */
	uint64_t off;              /* in the file */
	uint32_t len;
	uint32_t file, chunk;      /* of the flush */
	uint32_t first_ref, nrefs;
	uint32_t first_own, nown;
	int32_t small;             /* its last block, when that is in the pack; or -1 */
};

/* A chunk of a file that gets slices: file->chunk order. */
struct flush_chunk {
	uint64_t index;
	uint32_t file;
	uint32_t first_slice, nslices;
	struct chunk *chunk;       /* held */
	struct chunk_change next;  /* once the batch is applied */
};

struct flush_file {
	struct file *file;
	struct inode *inode;       /* held */
	uint32_t first_slice, nslices, first_chunk, nchunks;
	struct inode_lock lock;
	uint64_t pass_at;          /* where the file's pass goes on after this; 0: it ends with it */
	bool in_pass;
	bool gone;                 /* removed meanwhile */
	bool bad;                  /* cannot be uploaded: logged */
};

/* Refs whose bytes are only in the journal. */
struct flush_load {
	struct jloc loc;           /* held */
	uint32_t first_ref, nrefs;
};

struct flush_reader {
	struct flush *flush;
	struct record_read read;
	uint32_t load;
	struct op step;
};

struct flush_object {
	struct flush *flush;
	struct upload upload;
	enum { OBJECT_TODO, OBJECT_RUNNING, OBJECT_DONE } state;
	struct op step;
};

enum flush_stage {
	FLUSH_LOAD, FLUSH_UPLOAD, FLUSH_MAP, FLUSH_LOCK, FLUSH_WRITE, FLUSH_UNLOCK, FLUSH_SYNC,
	FLUSH_GIVE_UP, /* unlocking after an error */
	FLUSH_WAIT,    /* until it is tried again, from FLUSH_MAP on */
};

struct flush {
	struct flush *next;        /* the core's, those under way */
	enum flush_stage stage;
	uint64_t start_ns;
	bool round;                /* somebody waits for its files */
	bool bulky;                /* it is a round of one large file */
	bool shrunk;               /* to what the object store took before it went away */
	bool retired;              /* all of it is in the object store and recorded, durably */
	uint32_t share;
	uint64_t pack;             /* id, 0: none */

	uint32_t nfiles, nchunks, nslices, nown, nsmall, nrefs, nloads, nobjects;
	uint32_t small_refs;       /* of the pack */
	uint32_t small_bytes;
	uint64_t own_bytes, load_bytes;

	uint32_t at;               /* of the stage's loop */
	uint32_t readers, uploading, uploaded;
	int64_t used, trash_used;  /* the change of the share's usage; of that, in the trash */
	uint64_t tail;
	struct kv_batch *batch;
	struct kv_write write;
	struct chunk_get chunk_get;
	struct timer timer;
	struct op step;

	uint32_t order[FLUSH_FILES]; /* descending by ino, as locks are taken */
	struct flush_file file[FLUSH_FILES];
	struct flush_chunk chunk[FLUSH_CHUNKS];
	struct flush_slice slice[FLUSH_SLICES];
	struct flush_load load[FLUSH_LOADS];
	struct flush_reader reader[FLUSH_READERS];
	struct flush_object object[FLUSH_OBJECTS];
	struct upload_block own[FLUSH_OWN], small[FLUSH_SMALL];
	struct bufref ref[FLUSH_REFS];
};

/* ---- flush.c */
struct flush_core {
	struct slab slab;
	struct kv_batch *batch[FLUSHES];
	uint32_t nbatches;
	struct flush *flushes;     /* under way */
	uint32_t nrounds, nbulky, nothers;
	uint64_t load_budget;      /* bytes of buffers that one may take to read records back; */
	uint64_t own_budget;       /* and that it may hold for blocks of their own */
	uint64_t linger_bytes;     /* dirty: above it whole blocks are uploaded at once */

	struct file *ready;        /* files with blocks that may be full, first come first */
	struct file *ready_tail;
	bool kicked, stopping, pressure;
	struct op poll, ids_ready;
	struct timer age;
	struct op aged;
	uint64_t urgent_ns;        /* what has been dirty since then or longer is due */

	struct file *wanted;       /* files that somebody waits for and no flush has, first come first */
	struct file *wanted_tail;
	uint32_t nwanted;
	uint64_t round_ns;         /* how long a round takes: a moving mean */
	uint64_t round_at_ns;      /* not before then begins the next beside another */
	struct timer gather;
	struct op gathered;

	uint32_t uploading;
	bool away;                 /* the object store, or RocksDB, takes nothing */
	uint32_t failures;         /* in a row */
	struct timer backoff;
	struct op again;
};
extern __thread struct flush_core *flush_core;

/* Something failed: everybody waits, longer each time. */
void flush_failed(const char *what, int res);
void flush_worked(void);
/* It is over, well or ill: what it held is given back, its files are in their lists again. */
void flush_end(struct flush *fl);

/* ---- flush_wait.c */
void wanted_remove(struct file *f);
/* A round may begin now; where one must wait for others to join, a timer runs. */
bool round_is_due(void);
void round_began(struct flush *fl);
void round_ended(struct flush *fl);
/* Nobody is answered by an upload any more. */
void waits_stop(void);
/* All of the file that was dirty when its pass began is in the object store. */
void pass_end(struct file *f);

/* ---- flush_pick.c */
/* Whole blocks wait no longer than this. */
uint64_t flush_linger_ns(void);
/* Its turn has come, whole blocks or not. */
bool flush_is_due(const struct file *f);
/* Takes a snapshot of what is to be uploaded now; a round, of what is waited for.  False: nothing. */
bool flush_pick(struct flush *fl);

/* ---- flush_upload.c */
void flush_load(struct flush *fl);
void flush_upload(struct flush *fl);
/* Starts PUTs of any flush, as many as may run. */
void flush_pump(void);

/* ---- flush_shrink.c */
/* One that has no upload under way ends, with what is in the store already.  False: there is none. */
bool flush_let_go(void);

/* ---- flush_commit.c */
void flush_commit(struct flush *fl);

#endif
