/* SPDX-License-Identifier: Apache-2.0 */
/*
 * File data on its way to the object store and back under load, for the thread sanitizer:
 *
 *	file_stress [SECONDS [CORES]]
 *
 * Threads write, read, cut and remove files of their own and know each byte of them, while frames are compressed and sealed by
 * workers and opened by whoever reads, slices are merged, memory throws out, and keys of new epochs come.  Then most small
 * files go, and what is left is read while their packs are written anew.  At the end database and objects must agree.
 */
#define WORLD_PLAIN
#include "crypto/seal.h"
#include "tests/fake/data_world.h"
#include "tests/fake/rig.c"

#define THREADS 5
#define FILES   24        /* of a thread: the first few are large, the others share packs */
#define LARGE   3
#define SPAN    (3 * MIB)
#define SMALL   (24 * KIB)

static time_t until;

static struct model {
	struct fref f[FILES];
	uint64_t size[FILES];
	uint8_t *bytes[FILES], *buf, *got;
	uint64_t random, writes, reads;
} model[THREADS];

static uint64_t
rnd(struct model *m, uint64_t below)
{
	return mix64(m->random += 0x9e3779b97f4a7c15) % below;
}

static uint64_t
span(int i)
{
	return i < LARGE ? SPAN : SMALL;
}

static void
make(struct model *m, int i)
{
	char name[32];

	snprintf(name, sizeof(name), "t%d.%d", (int)(m - model), i);
	m->f[i] = data_create(name);
	m->size[i] = 0;
	memset(m->bytes[i], 0, span(i));
}

static void
remove_it(struct model *m, int i)
{
	char name[32];
	int res;

	snprintf(name, sizeof(name), "t%d.%d", (int)(m - model), i);
	while ((res = data_unlink(name)) == -E_JUKEBOX)
		;
	cr_assert(res == 0);
	make(m, i);
}

/* Half of what is written gets shorter when it is compressed. */
static void
write_at(struct model *m, int i, uint64_t off, uint64_t len)
{
	int res;

	if (rnd(m, 2))
		memset(m->buf, (int)rnd(m, 256), len);
	else
		data_fill(m->buf, len, m->random);
	while ((res = data_write(m->f[i], off, m->buf, (uint32_t)len, STABLE_UNSTABLE)) == -E_JUKEBOX)
		;
	cr_assert(res == 0);
	memcpy(m->bytes[i] + off, m->buf, len);
	m->size[i] = MAX(m->size[i], off + len);
	m->writes++;
}

static void
write_some(struct model *m, int i)
{
	uint64_t off = rnd(m, span(i) - 1);

	write_at(m, i, off, 1 + rnd(m, MIN(span(i) - off, (uint64_t)256 * KIB)));
}

static void
read_some(struct model *m, int i)
{
	uint64_t off = rnd(m, span(i)), len = 1 + rnd(m, (uint64_t)512 * KIB);
	uint64_t want = off < m->size[i] ? MIN(len, m->size[i] - off) : 0;
	int res;

	while ((res = data_read(m->f[i], off, m->got, (uint32_t)len)) == -E_JUKEBOX)
		;
	cr_assert(res == (int)want);
	cr_assert(memcmp(m->got, m->bytes[i] + off, want) == 0);
	m->reads++;
}

static void
cut(struct model *m, int i)
{
	uint64_t size = rnd(m, span(i));
	int res;

	while ((res = data_truncate(m->f[i], size)) == -E_JUKEBOX)
		;
	cr_assert(res == 0);
	if (size < m->size[i])
		memset(m->bytes[i] + size, 0, m->size[i] - size);
	m->size[i] = size;
}

static void
work(int me)
{
	struct model *m = &model[me];

	while (time(NULL) < until) {
		int i = (int)rnd(m, rnd(m, 2) ? LARGE : FILES);
		uint64_t what = rnd(m, 100);

		if (what < 50)
			write_some(m, i);
		else if (what < 85)
			read_some(m, i);
		else if (what < 90)
			cut(m, i);
		else if (what < 95)
			remove_it(m, i);
		else
			cr_assert(data_commit(m->f[i]) == 0);
	}
}

/* New keys while frames are sealed and opened with the old ones. */
static void
rotate(void)
{
	uint8_t key[AEAD_KEY];

	for (uint32_t epoch = 2; time(NULL) < until; epoch++) {
		memset(key, (int)epoch, sizeof(key));
		cr_assert(seal_add(epoch, epoch % 2 ? AEAD_AES256GCM : AEAD_CHACHA20, key) == 0);
		usleep(50000);
	}
}

/* A core's counters are its own. */
static enum op_state
stats_here(void *arg, struct op *op)
{
	*(struct file_stats *)arg = *file_stats(reactor_core());
	return op_done(op, 0);
}

static struct file_stats
stats_of(int core)
{
	struct file_stats s;

	cr_assert(rig_call(core, stats_here, &s) == 0);
	return s;
}

/* Of each pack a quarter stays. */
static void
thin_out(int me)
{
	struct model *m = &model[me];

	for (int i = LARGE; i < FILES; i++)
		write_at(m, i, 0, 20 * KIB);
	for (int i = LARGE; i < FILES; i++)
		if (i % 4)
			remove_it(m, i);
	while (stats_of(0).repacked == 0)
		read_some(m, LARGE + (int)rnd(m, FILES - LARGE));
}

static void
thread(int i)
{
	if (i < THREADS)
		work(i);
	else
		rotate();
}

static void
begin(int cores)
{
	static const uint8_t uuid[16] = "test", key[AEAD_KEY] = "of the first epoch";

	cr_assert(seal_start(uuid) == 0 && seal_add(1, AEAD_AES256GCM, key) == 0);
	data.buf_bytes = 24 * MIB; /* less than all files have */
	data.file.how[1].choice = (struct codec_choice){ CODEC_ZSTD, 1 };
	data.file.upload_delay_ns = 20000000;
	data.file.compact_merge = 2;
	data.file.compact_gathered = 20;
	data.file.compact_delay_ns = 1000000;
	data.file.compact_rate = GIB;
	data.file.repack_below = 0.7;
	data_start(cores);
	for (int t = 0; t < THREADS; t++) {
		model[t].random = (uint64_t)t * 7919;
		model[t].buf = malloc(SPAN);
		model[t].got = malloc(SPAN);
		for (int i = 0; i < FILES; i++) {
			model[t].bytes[i] = malloc(span(i));
			make(&model[t], i);
		}
	}
}

static void
whole(void)
{
	for (int t = 0; t < THREADS; t++)
		for (int i = 0; i < FILES; i++) {
			struct model *m = &model[t];

			cr_assert(data_attr(m->f[i]).size == m->size[i]);
			cr_assert(data_read(m->f[i], 0, m->got, (uint32_t)span(i)) == (int)m->size[i]);
			cr_assert(memcmp(m->got, m->bytes[i], m->size[i]) == 0);
		}
}

int
main(int argc, char **argv)
{
	int seconds = argc > 1 ? atoi(argv[1]) : 5, cores = argc > 2 ? atoi(argv[2]) : 2;
	uint64_t writes = 0, reads = 0;
	uint64_t merges = 0, packs;

	begin(cores);
	until = time(NULL) + seconds;
	rig_threads(THREADS + 1, thread);
	rig_threads(THREADS, thin_out);
	data_drain();
	whole();
	for (int core = 0; core < cores; core++)
		merges += stats_of(core).compactions;
	packs = stats_of(0).repacked;
	data_close();
	data_open(cores); /* nothing in memory */
	whole();
	data_check();
	data_stop();
	seal_stop();
	for (int t = 0; t < THREADS; t++) {
		writes += model[t].writes;
		reads += model[t].reads;
	}
	printf("file_stress: %lu writes, %lu reads, %lu merges, %lu packs anew, whole\n", writes, reads, merges, packs);
	return 0;
}
