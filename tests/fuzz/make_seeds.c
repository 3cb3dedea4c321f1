/* SPDX-License-Identifier: Apache-2.0 */
/* Writes the seeds of the protocol's fuzz targets from valid messages: make fuzz-seeds. */
#include <sys/stat.h>

#include "store/codec.h"
#include "store/diskcache_format.h"
#include "tests/fake/proto_client.h"

static const char *corpus;
static struct client_msg msg;
static uint8_t bytes[1 << 16];

static void
write_seed(const char *target, const char *name, const void *p, size_t len)
{
	char path[512];
	FILE *f;

	snprintf(path, sizeof path, "%s/%s", corpus, target);
	mkdir(path, 0777);
	snprintf(path, sizeof path, "%s/%s/%s", corpus, target, name);
	f = fopen(path, "we");
	if (!f || fwrite(p, 1, len, f) != len || fclose(f)) {
		perror(path);
		exit(1);
	}
}

/* A session's stream behind its three bytes of settings. */
static void
session_seed(const char *name, uint8_t plan, uint8_t piece, uint8_t how, const void *p, size_t len)
{
	bytes[0] = plan;
	bytes[1] = piece;
	bytes[2] = how;
	memcpy(bytes + 3, p, len);
	write_seed("session", name, bytes, len + 3);
}

static size_t
fragments(uint8_t *out, const struct client_msg *m, size_t size)
{
	size_t n = 0;

	for (size_t at = 4; at < m->len; at += size) {
		size_t k = MIN(size, m->len - at);

		client_mark(out + n, (uint32_t)k, at + k == m->len);
		memcpy(out + n + 4, m->bytes + at, k);
		n += 4 + k;
	}
	return n;
}

static void
nfs_seeds(void)
{
	static uint8_t all[1 << 15], cut[1 << 12];
	size_t n = 0;

	for (uint32_t proc = 0; proc < NFS3_PROCS; proc++) {
		const char *name = stats_proc_name((int)proc);

		client_call(&msg, proc, 100 + proc);
		session_seed(name, (uint8_t)(proc * 37), (uint8_t)(proc % 3 * 50), (uint8_t)(proc << 4), msg.bytes, msg.len);
		bytes[0] = (uint8_t)proc;
		memcpy(bytes + 1, msg.bytes + msg.args_at, msg.len - msg.args_at);
		write_seed("nfs3_args", name, bytes, 1 + msg.len - msg.args_at);
		memcpy(all + n, msg.bytes, msg.len);
		n += msg.len;
	}
	write_seed("rpc", "auth_sys", msg.bytes + 4, msg.len - 4);
	session_seed("pipelined", 0x55, 0, 1, all, n);
	session_seed("closed_early", 0x55, 0, 2, all, n);
	client_call(&msg, NFS3_WRITE, 101);
	session_seed("write_fragments", 0, 7, 0, cut, fragments(cut, &msg, 5));
	client_call(&msg, NFS3_RENAME, 101);
	session_seed("rename_fragments", 0, 0, 0, cut, fragments(cut, &msg, 30));
}

static void
more_seeds(void)
{
	static const char *const paths[] = { "/export", "/export/a/b", "/far/x", "/none" };
	static const char *const nets[] = { "10.0.0.0/8", "::1", "fd00::/8", "*", "1.2.3.4", "10.1.0.0/8", "host" };
	static const uint8_t cred[] = { 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 2, 0, 1, 0x86, 0xa3, 0, 0, 0, 3, 0, 0, 0, 0,
	                                0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 };
	struct fref f = { .ino = 7, .gen = 1, .share = 1 };
	uint8_t fh[HANDLE_BYTES];
	char name[32];

	for (uint32_t proc = 0; proc < MOUNT3_PROCS; proc++) {
		struct wire_out *w = client_begin(&msg, MOUNT3_PROGRAM, proc);

		if (proc == MOUNT3_MNT || proc == MOUNT3_UMNT)
			wire_put_string(w, paths[proc % ARRAY_LEN(paths)]);
		client_end_msg(&msg);
		session_seed(stats_proc_name(STATS_NFS_PROCS + (int)proc), 1, 0, 0, msg.bytes, msg.len);
	}
	for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
		struct wire_out w = { .p = bytes, .end = bytes + sizeof bytes };

		wire_put_string(&w, paths[i]);
		snprintf(name, sizeof name, "path%zu", i);
		write_seed("mount3_args", name, bytes, (size_t)(w.p - bytes));
	}
	for (size_t i = 0; i < ARRAY_LEN(nets); i++) {
		snprintf(name, sizeof name, "net%zu", i);
		write_seed("export_net", name, nets[i], strlen(nets[i]));
	}
	write_seed("rpc", "auth_none", cred, sizeof cred);
	handle_encode(fh, &f);
	write_seed("handle", "good", fh, sizeof fh);
	fh[9] ^= 1;
	write_seed("handle", "forged", fh, sizeof fh);
	/* A WRITE that needs buffers and fills. */
	struct wire_out *w = client_begin(&msg, NFS3_PROGRAM, NFS3_WRITE);
	client_put_fh(w, 101);
	wire_put_u64(w, 0);
	wire_put_u32(w, 9001);
	wire_put_u32(w, 0);
	wire_put_bytes(w, bytes, 9001);
	client_end_msg(&msg);
	session_seed("write_fill", 0, 200, 0, msg.bytes, msg.len);
	session_seed("write_short", 0, 200, 4, msg.bytes, msg.len);
	session_seed("write_short_closed", 0, 200, 6, msg.bytes, msg.len);
	session_seed("write_refused", 0, 200, 12, msg.bytes, msg.len);
}

/* Tails of cache segments: whole, with a frame that overlaps, cut. */
static void
diskcache_seeds(void)
{
	static const uint8_t uuid[16] = "volume";
	static uint8_t seed[1 + SEGMENT_TAIL_MAX];
	static const struct { const char *name; uint32_t n, step; } kinds[] = {
		{ "one", 1, 16 }, { "many", 200, 16 }, { "small", 130, 1 }, { "overlap", 3, 8 },
	};

	for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
		struct segment_tail t = { .serial = 7, .core = 1, .nframes = kinds[k].n, .page = kinds[k].n * kinds[k].step };
		uint32_t len;

		for (uint32_t i = 0; i < t.nframes; i++) {
			struct cframe f = { .slice = 9 + i / 64, .ino = 3, .frame = i % 64, .crc = i,
				            .plain = kinds[k].step == 1 ? 1 + i : FRAME_BYTES, .page = i * kinds[k].step };

			cframe_encode(seed + 1 + i * CFRAME_BYTES, &f);
		}
		len = segment_tail_encode(seed + 1, &t, uuid);
		seed[0] = 1;
		write_seed("diskcache", kinds[k].name, seed, 1 + len);
	}
	seed[0] = 2;
	write_seed("diskcache", "cut", seed, 1 + PAGE);
}

/* Words, zeros, and a short one, by each codec; and as frames of an object, not sealed and sealed. */
static void
codec_seeds(void)
{
	static const struct { const char *name; struct codec_choice c; uint32_t len; bool zeros; } kinds[] = {
		{ "lz4_words", { CODEC_LZ4, 0 }, 3000, false }, { "lz4_zeros", { CODEC_LZ4, 0 }, FRAME_BYTES, true },
		{ "zstd1_words", { CODEC_ZSTD, 1 }, 3000, false }, { "zstd19_words", { CODEC_ZSTD, 19 }, 3000, false },
		{ "zstd1_zeros", { CODEC_ZSTD, 1 }, FRAME_BYTES, true }, { "zstd1_short", { CODEC_ZSTD, 1 }, 200, false },
	};
	static uint8_t plain[FRAME_BYTES], seed[5 + FRAME_BYTES], frame[6 + FRAME_BYTES];
	struct codec_ctx *x = codec_new(CODEC_LEVEL_MAX);

	for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
		for (uint32_t i = 0; i < kinds[k].len; i++)
			plain[i] = kinds[k].zeros ? 0 : (uint8_t)"static int return "[(i + i / 40 * 7) % 18];
		seed[0] = kinds[k].c.codec;
		put_le32(seed + 1, kinds[k].len);
		uint32_t n = codec_encode(x, &kinds[k].c, plain, kinds[k].len, seed + 5, FRAME_BYTES);

		write_seed("codec", kinds[k].name, seed, 5 + n);
		frame[0] = (uint8_t)(k % 2 * 2);
		frame[1] = seed[0];
		put_le32(frame + 2, kinds[k].len - 1);
		memcpy(frame + 6, seed + 5, n);
		write_seed("frame", kinds[k].name, frame, 6 + n);
	}
	codec_free(x);
}

int
main(int argc, char **argv)
{
	if (argc != 2) {
		fprintf(stderr, "usage: make_seeds DIR\n");
		return 2;
	}
	corpus = argv[1];
	handle_init(&client_volume);
	nfs_seeds();
	more_seeds();
	diskcache_seeds();
	codec_seeds();
	return 0;
}
