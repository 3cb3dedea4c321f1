/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "crypto/secret.h"
#include "crypto/seal.h"

static const uint8_t uuid[16] = "0123456789abcde";
static const uint8_t key1[AEAD_KEY] = "one", key2[AEAD_KEY] = "two";

static void
start(void)
{
	cr_assert(eq(int, seal_start(uuid), 0));
	cr_assert(eq(int, seal_add(1, AEAD_AES256GCM, key1), 0));
	cr_assert(eq(int, seal_add(2, AEAD_CHACHA20, key2), 0));
}

TestSuite(seal, .init = start, .fini = seal_stop);

#define LEN 1000
static const struct seal_place place = { .slice = 77, .index = 3, .block_plain = 200000, .frame = 2, .plain = LEN, .codec = 1 };

static void
fill(uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		p[i] = (uint8_t)(i * 7 + i / 256);
}

Test(seal, comes_back)
{
	uint8_t plain[LEN], out[LEN], trailer[SEAL_BYTES], back[LEN];
	const struct iovec cut[2] = { { plain, 333 }, { plain + 333, LEN - 333 } };

	fill(plain, LEN);
	for (uint32_t e = 1; e <= 2; e++) {
		cr_assert(eq(int, seal_frame(e, &place, cut, 2, out, trailer), 0));
		cr_assert(memcmp(out, plain, LEN) != 0);
		cr_assert(eq(int, seal_open(e, &place, out, LEN, trailer, back), 0));
		cr_assert(memcmp(back, plain, LEN) == 0);
		cr_assert(eq(int, seal_open(e, &place, out, LEN, trailer, out), 0), "where it lies");
		cr_assert(memcmp(out, plain, LEN) == 0);
		const struct iovec here = { out, LEN };
		cr_assert(eq(int, seal_frame(e, &place, &here, 1, out, trailer), 0));
		cr_assert(eq(int, seal_open(e, &place, out, LEN, trailer, back), 0));
		cr_assert(memcmp(back, plain, LEN) == 0);
	}
}

/* No other place, epoch or volume takes it. */
Test(seal, is_bound_to_its_place)
{
	uint8_t plain[LEN], out[LEN], trailer[SEAL_BYTES], back[LEN], zeros[LEN] = { 0 };
	const struct iovec iov = { plain, LEN };
	struct seal_place other[6];

	fill(plain, LEN);
	for (int i = 0; i < 6; i++)
		other[i] = place;
	other[0].slice++;
	other[1].index++;
	other[2].block_plain++;
	other[3].frame++;
	other[4].plain++;
	other[5].codec++;
	for (uint32_t e = 1; e <= 2; e++) {
		cr_assert(eq(int, seal_frame(e, &place, &iov, 1, out, trailer), 0));
		for (int i = 0; i < 6; i++) {
			memset(back, 0xee, sizeof(back));
			cr_assert(eq(int, seal_open(e, &other[i], out, LEN, trailer, back), -E_DAMAGED), "place %d", i);
			cr_assert(memcmp(back, zeros, LEN) == 0);
		}
		cr_assert(eq(int, seal_open(3 - e, &place, out, LEN, trailer, back), -E_DAMAGED));
		cr_assert(eq(int, seal_open(3, &place, out, LEN, trailer, back), -ENOKEY));
		cr_assert(eq(int, seal_open(0, &place, out, LEN, trailer, back), -ENOKEY));
		cr_assert(eq(int, seal_open(e, &place, out, LEN - 1, trailer, back), -E_DAMAGED));
	}
	cr_assert(eq(int, seal_frame(1, &place, &iov, 1, out, trailer), 0));
	seal_stop();
	uint8_t next[16];

	memcpy(next, uuid, 16);
	next[15]++;
	cr_assert(eq(int, seal_start(next), 0));
	cr_assert(eq(int, seal_add(1, AEAD_AES256GCM, key1), 0));
	cr_assert(eq(int, seal_open(1, &place, out, LEN, trailer, back), -E_DAMAGED), "another volume");
	seal_stop();
	cr_assert(eq(int, seal_start(uuid), 0));
	cr_assert(eq(int, seal_add(1, AEAD_AES256GCM, key2), 0));
	cr_assert(eq(int, seal_open(1, &place, out, LEN, trailer, back), -E_DAMAGED), "another key, though the thread knew the right one");
	seal_stop();
	cr_assert(eq(int, seal_start(uuid), 0));
	cr_assert(eq(int, seal_add(1, AEAD_CHACHA20, key1), 0));
	cr_assert(eq(int, seal_open(1, &place, out, LEN, trailer, back), -E_DAMAGED), "another cipher");
	seal_stop();
	cr_assert(eq(int, seal_start(uuid), 0));
	cr_assert(eq(int, seal_add(1, AEAD_AES256GCM, key1), 0));
	cr_assert(eq(int, seal_open(1, &place, out, LEN, trailer, back), 0), "and the next start reads it");
	cr_assert(memcmp(back, plain, LEN) == 0);
}

Test(seal, every_bit_counts)
{
	uint8_t plain[200], out[200 + SEAL_BYTES], back[200];
	struct seal_place at = place;
	const struct iovec iov = { plain, sizeof(plain) };

	at.plain = sizeof(plain);
	fill(plain, sizeof(plain));
	for (uint32_t e = 1; e <= 2; e++) {
		cr_assert(eq(int, seal_frame(e, &at, &iov, 1, out, out + 200), 0));
		for (size_t bit = 0; bit < 8 * sizeof(out); bit++) {
			out[bit / 8] ^= (uint8_t)(1 << bit % 8);
			cr_assert(eq(int, seal_open(e, &at, out, 200, out + 200, back), -E_DAMAGED), "bit %zu", bit);
			out[bit / 8] ^= (uint8_t)(1 << bit % 8);
		}
		cr_assert(eq(int, seal_open(e, &at, out, 200, out + 200, back), 0));
	}
}

static int
by_bytes(const void *a, const void *b)
{
	return memcmp(a, b, AEAD_NONCE);
}

#define SEALINGS 20000
#define THREADS  4
static uint8_t trailers[THREADS * SEALINGS][SEAL_BYTES];

static void *
seal_many(void *arg)
{
	static const uint8_t plain[16];
	const struct iovec iov = { (void *)plain, sizeof(plain) };
	uint8_t out[16], (*trailer)[SEAL_BYTES] = arg;

	for (int i = 0; i < SEALINGS; i++)
		if (seal_frame(1 + i % 2, &place, &iov, 1, out, trailer[i]) < 0)
			abort();
	return NULL;
}

/* The same text at the same place, again and again, from several threads. */
Test(seal, no_nonce_twice)
{
	pthread_t t[THREADS];

	for (int i = 0; i < THREADS; i++)
		cr_assert(eq(int, pthread_create(&t[i], NULL, seal_many, trailers[i * SEALINGS]), 0));
	for (int i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
	qsort(trailers, THREADS * SEALINGS, SEAL_BYTES, by_bytes);
	for (int i = 1; i < THREADS * SEALINGS; i++)
		cr_assert(memcmp(trailers[i - 1], trailers[i], AEAD_NONCE) != 0);
}

/* From block to block and back, and over epochs: what a thread remembers is of the right block. */
Test(seal, many_blocks)
{
	enum { N = 64 };
	static uint8_t out[N][100], trailer[N][SEAL_BYTES];
	uint8_t plain[100], back[100];
	const struct iovec iov = { plain, sizeof(plain) };
	struct seal_place at = { .block_plain = 100, .plain = 100 };

	for (int i = 0; i < N; i++) {
		at.slice = (uint64_t)(i / 4);
		at.index = (uint32_t)(i / 2 % 2);
		memset(plain, i, sizeof(plain));
		cr_assert(eq(int, seal_frame(1 + i % 2, &at, &iov, 1, out[i], trailer[i]), 0));
	}
	for (int k = 0; k < 7 * N; k++) {
		int i = k * 7 % N;

		at.slice = (uint64_t)(i / 4);
		at.index = (uint32_t)(i / 2 % 2);
		memset(plain, i, sizeof(plain));
		cr_assert(eq(int, seal_open(1 + i % 2, &at, out[i], 100, trailer[i], back), 0), "block %d", i);
		cr_assert(memcmp(plain, back, 100) == 0);
	}
}

Test(seal, epochs)
{
	uint32_t n = 2;

	cr_assert(eq(int, (int)seal_epoch(), 2));
	cr_assert(eq(int, seal_add(1, AEAD_AES256GCM, key1), -EEXIST));
	cr_assert(eq(int, (int)seal_cipher(1), AEAD_AES256GCM));
	cr_assert(eq(int, (int)seal_cipher(2), AEAD_CHACHA20));
	cr_assert(eq(int, (int)seal_cipher(3), AEAD_NONE));
	cr_assert(eq(int, (int)seal_cipher(0), AEAD_NONE));
	cr_assert(eq(int, seal_add(9, AEAD_AES256GCM, key1), 0));
	cr_assert(eq(int, seal_add(5, AEAD_AES256GCM, key1), 0));
	cr_assert(eq(int, (int)seal_epoch(), 9), "the highest, in whichever order they come");
	for (n = 100; n < 100 + SEAL_EPOCHS - 4; n++)
		cr_assert(eq(int, seal_add(n, AEAD_AES256GCM, key1), 0));
	cr_assert(eq(int, seal_add(n, AEAD_AES256GCM, key1), -ENOSPC));
	seal_stop();
	cr_assert(eq(int, (int)seal_epoch(), 0));
	cr_assert(eq(int, (int)seal_cipher(1), AEAD_NONE));
}

/* What a core dump may hold: /proc/self/smaps marks pages that it has not with `dd`. */
Test(secret, stays_out_of_core_dumps)
{
	char *p = secret_alloc(100), line[512], flags[512] = "";
	bool here = false;

	cr_assert(p != NULL);
	for (int i = 0; i < 100; i++)
		cr_assert(eq(chr, p[i], 0));
	FILE *f = fopen("/proc/self/smaps", "r");
	unsigned long from, to;

	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%lx-%lx ", &from, &to) == 2 && strchr(line, '-') < strchr(line, ' '))
			here = (uintptr_t)p >= from && (uintptr_t)p < to;
		else if (here && !strncmp(line, "VmFlags:", 8))
			strcpy(flags, line);
	}
	fclose(f);
	cr_assert(strstr(flags, " dd") != NULL, "%s", flags);
	secret_free(p, 100);
	secret_free(NULL, 100);
}

/* As of a machine that goes on twice from one snapshot: what one has of nonces the other must not use. */
Test(seal, a_copy_of_the_process_takes_other_nonces)
{
	uint8_t plain[LEN] = { 0 }, out[LEN], mine[SEAL_BYTES], its[SEAL_BYTES];
	const struct iovec iov = { plain, LEN };
	int end[2], status;
	pid_t pid;

	cr_assert(eq(int, seal_frame(1, &place, &iov, 1, out, mine), 0));
	cr_assert(eq(int, pipe(end), 0));
	pid = fork();
	cr_assert(pid >= 0);
	cr_assert(eq(int, seal_frame(1, &place, &iov, 1, out, mine), 0));
	if (pid == 0)
		_exit(write(end[1], mine, SEAL_BYTES) != SEAL_BYTES);
	cr_assert(eq(int, (int)read(end[0], its, SEAL_BYTES), SEAL_BYTES));
	cr_assert(waitpid(pid, &status, 0) == pid && status == 0);
	cr_assert(memcmp(mine, its, AEAD_NONCE) != 0);
	close(end[0]);
	close(end[1]);
}

/* A text as a whole: bound to its name, to its length, and to the volume. */
Test(seal, objects_by_name)
{
	uint8_t plain[LEN], text[LEN], trailer[SEAL_BYTES];
	const uint8_t other[16] = "another volume";

	fill(plain, LEN);
	for (uint32_t e = 1; e <= 2; e++) {
		memcpy(text, plain, LEN);
		cr_assert(eq(int, seal_object(e, "export/backups/data/1-1", text, LEN, trailer), 0));
		cr_assert(memcmp(text, plain, LEN) != 0);
		uint8_t sealed[LEN];

		memcpy(sealed, text, LEN);
		cr_assert(eq(int, seal_open_object(e, "export/backups/data/1-1", text, LEN, trailer), 0));
		cr_assert(memcmp(text, plain, LEN) == 0);
		static const char *const names[] = { "export/backups/data/1-2", "export/backups/data/1-", "", "export/backups/data/1-11" };

		for (size_t i = 0; i < ARRAY_LEN(names); i++) {
			memcpy(text, sealed, LEN);
			cr_assert(eq(int, seal_open_object(e, names[i], text, LEN, trailer), -E_DAMAGED));
		}
		memcpy(text, sealed, LEN);
		cr_assert(eq(int, seal_open_object(e, "export/backups/data/1-1", text, LEN - 1, trailer), -E_DAMAGED));
		memcpy(text, sealed, LEN);
		cr_assert(eq(int, seal_open_object(3 - e, "export/backups/data/1-1", text, LEN, trailer), -E_DAMAGED));
		text[e] = sealed[e] ^ 1;
		cr_assert(eq(int, seal_open_object(e, "export/backups/data/1-1", text, LEN, trailer), -E_DAMAGED));
		seal_stop();
		cr_assert(eq(int, seal_start(other), 0));
		cr_assert(eq(int, seal_add(e, e == 1 ? AEAD_AES256GCM : AEAD_CHACHA20, e == 1 ? key1 : key2), 0));
		memcpy(text, sealed, LEN);
		cr_assert(eq(int, seal_open_object(e, "export/backups/data/1-1", text, LEN, trailer), -E_DAMAGED));
		seal_stop();
		start();
	}
	cr_assert(eq(int, seal_object(3, "x", text, LEN, trailer), -ENOKEY));
	cr_assert(eq(int, seal_open_object(3, "x", text, LEN, trailer), -ENOKEY));
}
