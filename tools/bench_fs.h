/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What `dittofs bench` measures: a directory through system calls
 * (bench_path.c), or an NFS server through libnfs (bench_nfs.c), behind the
 * same functions.  Each thread opens its own.  Everything blocks.
 *
 * Names are relative to the directory or share.  Results are 0 or -errno;
 * -EINTR: io->watch said stop.
 */
#ifndef TOOLS_BENCH_FS_H
#define TOOLS_BENCH_FS_H

#include "reactor/hist.h"
#include "tools/bench_watch.h"

struct bench_fs;

/* A file to write or to read, front to end, in blocks. */
struct bench_io {
	uint64_t bytes;
	uint32_t block;
	int depth;                 /* blocks under way at once, where the target can */
	bool sync;                 /* fsync (COMMIT) before it is closed */
	uint64_t seed;             /* of the file: each block begins and ends with a stamp made of it and the offset */
	uint8_t *buf;              /* depth blocks, lent; contents do not compress */
	struct hist *latency;      /* of each block; may be NULL */
	struct bench_watch *watch; /* `done` counts bytes; may be NULL */
};

struct bench_fs_ops {
	/* -errno and a sentence for the user in why[]. */
	int  (*open)(struct bench_fs **fs, const char *where, char why[256]);
	void (*close)(struct bench_fs *fs);
	int  (*mkdir)(struct bench_fs *fs, const char *name); /* -EEXIST when it is there */
	int  (*rmdir)(struct bench_fs *fs, const char *name);
	int  (*unlink)(struct bench_fs *fs, const char *name);
	int  (*stat)(struct bench_fs *fs, const char *name);
	int  (*space)(struct bench_fs *fs, uint64_t *free_bytes);
	/* Makes the file; -EEXIST when it is there. */
	int  (*write)(struct bench_fs *fs, const char *name, struct bench_io *io);
	/* -EBADMSG: the stamps are not what was written. */
	int  (*read)(struct bench_fs *fs, const char *name, struct bench_io *io);
	/* Makes the client forget the file's bytes; returns how many it still has, or -errno when it cannot tell. */
	int64_t (*forget)(struct bench_fs *fs, const char *name);
};

extern const struct bench_fs_ops bench_path, bench_nfs;

/* The stamps of the block at `off`, `len` bytes long. */
void bench_stamp(uint8_t *p, uint32_t len, uint64_t seed, uint64_t off);
bool bench_stamped(const uint8_t *p, uint32_t len, uint64_t seed, uint64_t off);

#endif
