/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every file may use: error codes of our own, byte order, small
 * arithmetic, and the crash points of the crash tests.  No state, any thread.
 */
#ifndef REACTOR_BASE_H
#define REACTOR_BASE_H

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/*
 * Results are 0 or a count, or a negative errno.  Where errno has no word for
 * it there are these; proto/status.c maps all of them to nfsstat3.
 */
enum {
	E_BADHANDLE = 1000, /* the bytes are no handle of ours (forged, other volume) */
	E_BADCOOKIE = 1001, /* a READDIR cookie that no directory of ours gave out */
	E_NOTSYNC   = 1002, /* the SETATTR guard does not match */
	E_JUKEBOX   = 1003, /* try again later: no room, the object store is away */
	E_DAMAGED   = 1004, /* a checksum does not match: bytes are not what was written */
	E_FORMAT    = 1005, /* a record or file of a version that this program does not know */
	E_TOOSMALL  = 1006, /* the reply size that the client allows holds nothing */
	E_BADTYPE   = 1007, /* MKNOD of a type that it cannot make */
	E_FENCED    = 1008, /* another server has taken over these objects */
};

#define KIB ((uint64_t)1024)
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)

#define CACHELINE 64
#define PAGE      4096u

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define MIN(a, b)    ((a) < (b) ? (a) : (b))
#define MAX(a, b)    ((a) > (b) ? (a) : (b))
#define ROUND_UP(n, to)   (((n) + (to) - 1) / (to) * (to))
#define ROUND_DOWN(n, to) ((n) / (to) * (to))

#define fallthrough __attribute__((fallthrough))

/* The finalizer of MurmurHash3 (Appleby, public domain): spreads inos over cores and tables. */
static inline uint64_t
mix64(uint64_t x)
{
	x ^= x >> 33;
	x *= 0xff51afd7ed558ccdULL;
	x ^= x >> 33;
	x *= 0xc4ceb9fe1a85ec53ULL;
	x ^= x >> 33;
	return x;
}

/* Unaligned loads and stores: le for values on disk, be for keys and the wire. */
static inline uint16_t get_le16(const void *p) { uint16_t v; memcpy(&v, p, 2); return le16toh(v); }
static inline uint32_t get_le32(const void *p) { uint32_t v; memcpy(&v, p, 4); return le32toh(v); }
static inline uint64_t get_le64(const void *p) { uint64_t v; memcpy(&v, p, 8); return le64toh(v); }
static inline void put_le16(void *p, uint16_t v) { v = htole16(v); memcpy(p, &v, 2); }
static inline void put_le32(void *p, uint32_t v) { v = htole32(v); memcpy(p, &v, 4); }
static inline void put_le64(void *p, uint64_t v) { v = htole64(v); memcpy(p, &v, 8); }
static inline uint32_t get_be32(const void *p) { uint32_t v; memcpy(&v, p, 4); return be32toh(v); }
static inline uint64_t get_be64(const void *p) { uint64_t v; memcpy(&v, p, 8); return be64toh(v); }
static inline void put_be32(void *p, uint32_t v) { v = htobe32(v); memcpy(p, &v, 4); }
static inline void put_be64(void *p, uint64_t v) { v = htobe64(v); memcpy(p, &v, 8); }

/*
 * crash_point("name") marks an instant at which the crash tests kill the
 * process: the n-th pass of the point that DITTOFS_CRASH_AT=name[:n] names
 * ends it with SIGKILL.  Only builds with CRASH_POINTS=1 (config.mk; the debug
 * build has it) contain them.  `make list-crash-points` lists the names.
 */
#ifdef CRASH_POINTS
void crash_point(const char *name);
/* Tells the power-cut tests that `path` is durable up to `offset` bytes. */
void crash_synced(const char *path, uint64_t offset);
#else
#define crash_point(name)          ((void)0)
#define crash_synced(path, offset) ((void)0)
#endif

#endif
