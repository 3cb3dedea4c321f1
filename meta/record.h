/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys and values in RocksDB.  Keys are big-endian so that they sort;
 * values little-endian with a version byte first.  Pure functions, any thread.
 * Decoders answer -E_FORMAT for a version that they do not know, -E_DAMAGED for a wrong length.
 *
 *   'V'                        volume
 *   'X' name                   share
 *   'I' ino                    inode; a symlink's target follows inline
 *   'D' dir hash name          directory entry: child ino, generation, type
 *   'C' ino chunk              slice records of SLICE_REC_BYTES, appended by merge, oldest first (no version byte; each record has one)
 *   'B' slice index            block
 *   'P' pack                   pack: live blocks, live bytes, total bytes (three le64, merged by addition)
 *   'R' slice                  reference count, where it is not 1
 *   'G' due kind id            garbage: an inode whose chunks are to be released ('i' ino), a slice ('s' slice), a pack ('p' pack)
 *   'T' share deleted ino      in the trash: where it was, under which name; `deleted` in seconds since 1970
 *   'U' share                  bytes and inodes used, and of these in the trash (le64 each, merged by addition; deltas
 *                              are two's complement; without a trash the last two are missing)
 *   'S'                        next slice id (le64), taken in batches
 *   'N'                        next ino (le64), taken in batches
 *   'J' journal                below this sequence number all records of that journal are retired
 *   'L' stream                 number of the last batch of this stream of the log (mlog.h; le64, no version byte)
 *   'K' epoch                  a key that data is sealed with, wrapped: the text of crypto/epochkey.h (no version byte; its first line has one)
 *   'Q' core slot              a mutation's reply, for retransmissions across a restart
 */
#ifndef META_RECORD_H
#define META_RECORD_H

#include "reactor/base.h"
#include "store/block.h"

#define CHUNK_BYTES (64 * MIB)
#define NAME_BYTES_MAX   255
#define SYMLINK_BYTES_MAX 4095
#define LINK_MAX_DITTO   65000u
#define FORMAT_VERSION 2 /* 2: beside RocksDB is a log of our own (mlog.h) */
#define FORMAT_SEALED  3 /* of volumes with keys only: a program that knows none would upload what nobody encrypted */

/* The values of RFC 1813's ftype3. */
enum ftype { FT_NONE, FT_REG, FT_DIR, FT_BLK, FT_CHR, FT_LNK, FT_SOCK, FT_FIFO };

struct attr {
	uint64_t ino, gen;
	uint32_t type;              /* enum ftype */
	uint32_t mode;              /* 07777 */
	uint32_t uid, gid, nlink;
	uint32_t rdev_major, rdev_minor;
	uint32_t share;
	uint64_t size, used;        /* bytes; used: in the object store, as 'U' sums it */
	uint64_t atime_ns, mtime_ns, ctime_ns; /* since 1970 */
	uint64_t parent;            /* of a directory; a file's: the directory it was made in (a hint); in the trash: trash.h */
	uint64_t jseq;              /* journal records up to this one are counted in size and times */
	uint64_t verf;              /* exclusive create's verifier, 0: none */
	uint64_t dirty;             /* in memory only: bytes not in `used` yet; clients are shown the sum */
};

struct volume {
	uint8_t uuid[16];
	uint32_t format_version;
	uint64_t formatted_ns;
	uint32_t block_bytes, frame_bytes;
	uint8_t secret[32];         /* SipHash of names [0..15], MAC of handles [16..31] */
};

struct share_rec {
	char name[64];              /* "/export" */
	uint32_t id;                /* 1.. ; also in handles; fsid = id */
	uint64_t root;              /* ino */
	uint32_t codec, level;
	char prefix[64];            /* of object names */
};

/* A piece of a chunk: bytes [pos, pos+len) are bytes [off, off+len) of the slice; slice 0 is a hole. */
#define SLICE_REC_BYTES 24
struct slice_rec {
	uint32_t pos, len, off;
	uint64_t slice;
};

/* Key builders return the key's length. */
size_t key_volume(uint8_t *k);
size_t key_share(uint8_t *k, const char *name);
size_t key_inode(uint8_t *k, uint64_t ino);
size_t key_dirent(uint8_t *k, uint64_t dir, uint64_t hash, const char *name, size_t len);
#define KEY_DIRENT_NAME 17 /* where the name begins */
size_t key_dirent_from(uint8_t *k, uint64_t dir, uint64_t hash); /* the first key with this hash or above */
size_t key_chunk(uint8_t *k, uint64_t ino, uint64_t chunk);
size_t key_block(uint8_t *k, uint64_t slice, uint32_t index);
size_t key_pack(uint8_t *k, uint64_t pack);
size_t key_garbage(uint8_t *k, uint64_t due_s, char kind, uint64_t id);
size_t key_trash(uint8_t *k, uint32_t share, uint64_t deleted_s, uint64_t ino);
size_t key_usage(uint8_t *k, uint32_t share);
size_t key_slice_next(uint8_t *k);
size_t key_ino_next(uint8_t *k);
size_t key_journal(uint8_t *k, uint32_t journal);
size_t key_epoch(uint8_t *k, uint32_t epoch);
size_t key_once(uint8_t *k, uint32_t core, uint32_t slot);

/* What two kinds of key say; false: not of that kind and length (a newer version's, damage). */
struct garbage_key { uint64_t due_s; char kind; uint64_t id; };
struct trash_key { uint32_t share; uint64_t deleted_s, ino; };
bool   key_read_garbage(struct garbage_key *g, const void *key, size_t len);
bool   key_read_trash(struct trash_key *t, const void *key, size_t len);

#define COOKIE_DOT    1u
#define COOKIE_DOTDOT 2u
/* 63 bits and above COOKIE_DOTDOT: a READDIR cookie.  SipHash-2-4 of the name. */
uint64_t name_hash(const uint8_t secret[16], const char *name, size_t len);

/* Encoders return the length; `v` has room for ATTR_BYTES_MAX (+ target) etc. */
#define ATTR_BYTES_MAX 160
size_t attr_encode(uint8_t *v, const struct attr *a);
/* *used_bytes: where an inline symlink target begins. */
int    attr_decode(struct attr *a, const uint8_t *v, size_t len, size_t *used_bytes);
#define DIRENT_BYTES 24
struct dirent_rec { uint64_t ino, gen; uint32_t type; };
size_t dirent_encode(uint8_t *v, const struct dirent_rec *d);
int    dirent_decode(struct dirent_rec *d, const uint8_t *v, size_t len);
void   slice_encode(uint8_t v[SLICE_REC_BYTES], const struct slice_rec *s);
int    slice_decode(struct slice_rec *s, const uint8_t v[SLICE_REC_BYTES]);
#define BLOCK_REC_BYTES_MAX (64 + 9 * FRAMES_PER_BLOCK)
size_t block_encode(uint8_t *v, const struct block_rec *b);
int    block_decode(struct block_rec *b, const uint8_t *v, size_t len);
#define VOLUME_BYTES_MAX 128
size_t volume_encode(uint8_t *v, const struct volume *vol);
int    volume_decode(struct volume *vol, const uint8_t *v, size_t len);
/* What was removed, as it was then; nobody changes it while it is in the trash. */
struct trash_rec {
	uint64_t gen;
	uint64_t parent;            /* the directory whose entry it was */
	uint64_t until_s;           /* what the share's retention promised */
	uint32_t uid, type;
	uint32_t name_len;
	char name[NAME_BYTES_MAX];  /* not terminated */
};
#define TRASH_BYTES_MAX (32 + NAME_BYTES_MAX)
size_t trash_encode(uint8_t *v, const struct trash_rec *t);
int    trash_decode(struct trash_rec *t, const uint8_t *v, size_t len);
#define SHARE_BYTES_MAX 192
size_t share_encode(uint8_t *v, const struct share_rec *s);
int    share_decode(struct share_rec *s, const uint8_t *v, size_t len);

#endif
