/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The data of regular files: READ, WRITE, COMMIT, truncation, and the uploader
 * that turns dirty extents into slices.  Runs on the inode's owner.
 *
 *   WRITE   payload bufs → journal (store/journal.h) + dirty extents (store/extent.h)
 *   flush   extents → slice → blocks → object (store/blockio.h) → one batch: C, B, I, U, J
 *   READ    dirty extents over the chunk's pieces over holes; frames through the cache
 */
#ifndef META_FILE_H
#define META_FILE_H

#include "meta/meta.h"
#include "meta/usage.h"
#include "reactor/reactor.h"
#include "store/frame.h"

#define FILE_IO_MAX (1 * MIB) /* rtmax and wtmax */
#define FILE_SIZE_MAX ((uint64_t)1 << 50)

/* RFC 1813 stable_how */
enum stable { STABLE_UNSTABLE, STABLE_DATA_SYNC, STABLE_FILE_SYNC };

/* Pieces of a READ's reply: at most this many, else it answers short (RFC 1813 allows it). */
#define READ_PIECES_MAX 272

struct file_read {
	struct meta_req req;
	uint64_t off;
	uint32_t count;
	/* results; pieces hold references of this core until file_read_put */
	struct attr attr;
	bool has_attr, eof;
	uint32_t len;
	struct bufref piece[READ_PIECES_MAX]; /* buf NULL: a hole, use buf_zeros */
	int npieces;
	bool afar;                            /* asked on another core than the owner's: see file_read_look */
	/* private: file_read.c's own */
	struct file_read_priv *priv;
	int stage;
	struct op step;
	struct op *wait;
};
enum op_state file_read(struct file_read *r, struct op *op);
/* On the core where file_read ran: puts the pieces. */
void file_read_put(struct file_read *r);
/*
 * Before it, where the connection is: true when the owner shows all that this READ takes; then r has the result, of
 * some instant since the call, which is OK, and file_read_put is said here.  False: the owner has to be asked, by file_read.
 */
bool file_read_look(struct file_read *r);
/* As meta_getattr_near, for who has several. */
void file_read_near(uint64_t ino, uint64_t off, uint32_t count, int step);

#define WRITE_BUFS_MAX 18
struct file_write {
	struct meta_req req;
	uint64_t off;
	uint32_t count;
	enum stable stable;
	/*
	 * The payload, given: bytes bufref.off .. +len of each, in order; each off is 0
	 * and the memory up to the next multiple of PAGE is ours to zero.
	 */
	struct bufref payload[WRITE_BUFS_MAX];
	int npayload;
	struct wcc wcc;
	enum stable committed;
	uint64_t verf;
	/* private */
	struct file_write_priv *priv;
	int stage;
	struct op step;
	struct op *wait;
};
/* Whatever the result, the payload is no longer the caller's. */
enum op_state file_write(struct file_write *w, struct op *op);

/*
 * Waiting until what was written is as durable as `durability` says (file_opts.remote):
 *
 *   local   it is in the journal, on stable storage of this machine.
 *   remote  also: it is in the object store, in objects that the store has acknowledged, and the
 *           records that say where (C, B, I) are durable in RocksDB.  Whatever happens to the journal's disk
 *           after the answer, RocksDB and the store have the bytes.
 *
 * A stable WRITE promises this for its own bytes, a COMMIT for all that was written to the
 * file before it came.  Names, sizes set by SETATTR and other metadata are durable in RocksDB
 * on this machine in both cases.  UNSTABLE WRITEs promise nothing; what they wrote is kept
 * by the journal all the same, and the verifier changes only with a restart.
 *
 * While the object store takes nothing, remote waits for file_opts.write_wait_ns and answers
 * JUKEBOX: never OK, and nothing is lost, the client asks again.  All files of a core that are waited for
 * at a time go to the store together, a round; several rounds are under way at once.
 */
struct file_sync {
	struct file *file;
	struct file_sync *next;
	uint64_t seq;
	struct timer timer;
	struct op timeout;
	struct op *wait;
};

struct file_commit {
	struct meta_req req;
	uint64_t off;
	uint32_t count;      /* 0: to the end; all of the file is committed anyway */
	struct wcc wcc;
	uint64_t verf;
	/* private */
	struct inode_get get;
	struct file_sync sync;
	int stage;
	struct op step;
	struct op *wait;
};
enum op_state file_commit(struct file_commit *c, struct op *op);

/*
 * All records of the inode up to seq, which it has.  The caller holds the inode.  op->res: 0, -ESTALE it was removed, -E_JUKEBOX
 * the object store is away, -EIO it can't be: the journal failed, or does not give back what it had.
 */
enum op_state file_sync(struct file_sync *s, struct inode *i, uint64_t seq, struct op *op);

/* ---- for inode.c and the namespace operations, on the owner ---- */

/* All journal records of the inode so far are durable. */
enum op_state file_quiesce(struct inode *i, struct op *op);
/*
 * Under the inode's lock: prepares a change of size to `size`.  Shrinking: a TRUNC record is durable in the
 * journal when it answers, C changes and garbage are in the batch, a->used, a->jseq and the U delta are updated.
 * After the batch is applied: file_truncated cuts the extents and chunk maps.
 */
struct file_trunc {
	struct inode *inode;
	struct attr *attr;       /* in/out: the lock's copy; size is set by this */
	uint64_t size;
	struct kv_batch *batch;
	/* private */
	struct kv_get_any kv;
	struct kv_scan scan;
	void *priv;
	int stage;
	struct op step;
	struct op *wait;
};
enum op_state file_trunc_prepare(struct file_trunc *t, struct op *op);
void file_truncated(struct file_trunc *t);
/* Size or used may have changed under the lock: attr.dirty follows. */
void file_unlocked(struct inode *i);
/*
 * The inode is gone, or clean and about to be evicted: drops dirty extents (retiring their journal records)
 * and chunk maps; i->file is NULL then.
 */
void file_forget(struct inode *i);
/* No data is held for it and nobody is at work on it: it may be evicted, after file_forget. */
bool file_is_clean(const struct inode *i);

/* ---- for tools ---- */
struct file_opts {
	const char *journal_dir;
	uint64_t journal_bytes;   /* all cores together */
	uint64_t upload_delay_ns;
	int uploads;              /* in flight, a core */
	bool remote;              /* durability: see struct file_sync */
	struct objstore *store;
	struct frame_how how[SHARES_MAX]; /* by share: how new data is stored; needs frame_start where that is encoded */
	uint64_t readahead_bytes; /* of a file that is read in order; 0: none */
	uint64_t slice_floor;     /* no slice id is below: those are of former owners of the objects (store/claim.h) */
	double journal_free;      /* the journal does not grow where less than this part of its disk is free */
	uint32_t max_pending;     /* files with data to upload, a core: writers of further ones wait; 0: any number */
	/* 0: the default, or what fits the buffers */
	uint32_t pack_below;      /* blocks of fewer bytes share objects; 1: none does */
	uint32_t segment_bytes;   /* of the journal */
	uint32_t max_files;       /* with data in memory, a core */
	uint32_t max_extents;     /* a core */
	uint64_t write_wait_ns;   /* how long a WRITE waits for room, and who waits for the object store, before JUKEBOX */
	uint64_t garbage_delay_ns; /* readers may still be at what was deleted, and a backup names it */
	/* Merging of slices (compact_plan.h) */
	uint32_t compact_merge;    /* a frame in which so many are to be merged is worth it; 0: none is */
	uint32_t compact_gathered; /* and so many pieces of a chunk */
	uint64_t compact_delay_ns; /* after it was last written or first read */
	uint64_t compact_rate;     /* bytes a second, all cores together */
	double repack_below;       /* a pack of which less than this part lives is written anew; 0: none is */
};
/* Blocking, after kv_open and before the reactors: scans the journals of the last run. */
int  file_open(const struct file_opts *opts, const struct volume *vol, char why[256]);
/*
 * On each core, while it runs: upload_delay_ns, pack_below, max_pending, garbage_delay_ns and those of merging are as in *o from
 * now on.  The rest of *o is that of file_options; all of it is lent until every core has taken the next one.
 */
void file_tune(const struct file_opts *o);
/* What file_open was given; on a core what was tuned last. */
const struct file_opts *file_options(void);
/* After file_open: how many inodes the journals of the last run hold data of, at most. */
uint32_t file_replay_inodes(void);
/* On each core, after meta_init: journal, cache, uploader, replayed extents of its inodes. */
int  file_init(int core);
void file_fini(int core);
/*
 * On the core: what of all that was dirty at since_ns (CLOCK_MONOTONIC) is not in the object store yet.
 * Asking makes its turn come now (SIGTERM with drain, `flush`): ask again until there is none.
 */
struct file_pending {
	uint64_t files, bytes; /* bytes: with what was written to these files since */
	bool away;             /* the last attempt to upload has failed; it is tried again */
	bool stuck;            /* some files are not uploaded before the next start; the log says why */
};
void file_pending(uint64_t since_ns, struct file_pending *p);
/* On each core, after the last call and before reactor_stop: starts no more uploads and deletions, waits for those
 * under way.  What is dirty stays in the journal for the next start. */
enum op_state file_stop(struct op *op);
/* The write verifier of this run. */
uint64_t file_verf(void);

struct file_stats {
	uint64_t reads, writes, commits, read_bytes, write_bytes;
	uint64_t dirty_bytes, dirty_files, journal_used_bytes, journal_bytes;
	uint64_t uploaded_bytes, uploaded_objects, upload_errors, uploading;
	uint64_t uploaded_plain_bytes; /* of file data: as clients wrote it, in uploaded_bytes as it was encoded */
	uint64_t cache_hits, cache_misses, cache_bytes;
	uint64_t pages_copied;    /* from another core's memory, for a READ (file_read_look); each is a hit, too */
	uint64_t deleted_objects, garbage;
	/* merges of slices; their bytes, the pieces before and after; chunks that are to be looked at; what failed */
	uint64_t compactions, compacted_bytes, compacted_pieces, compacted_into, compact_pending, compact_errors;
	uint64_t repacked, repacked_into, repacked_bytes; /* packs, before and after; what lived in them */
	double upload_rate;       /* bytes/s, as it was at upload_rate_ns: read it with file_upload_rate */
	uint64_t upload_rate_ns;
	bool away;                /* the last attempt to upload has failed */
	bool journal_broken;      /* it takes no more writes */
	uint64_t room_ns;         /* since when writers wait for room in the journal (reactor_now_ns); 0: none does */
};
#define FILE_RATE_NS (5 * (uint64_t)1000000000)
/* A moving average over some FILE_RATE_NS, at the instant now_ns (CLOCK_MONOTONIC). */
double file_upload_rate(const struct file_stats *s, uint64_t now_ns);
const struct file_stats *file_stats(int core);
/* Any thread: of these only how many chunks of that core are to be looked at for compaction. */
uint64_t file_compact_pending(int core);

#endif
