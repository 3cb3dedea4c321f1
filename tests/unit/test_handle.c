/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "proto/handle.h"

static const struct volume vol = { .uuid = "abcdefghijklmno", .secret = "0123456789abcdef0123456789abcdef" };
static const struct fref f = { .ino = 0x1122334455667788, .gen = 99, .share = 7 };

Test(handle, comes_back)
{
	uint8_t h[HANDLE_BYTES], again[HANDLE_BYTES];
	struct fref g;

	handle_init(&vol);
	handle_encode(h, &f);
	cr_assert(eq(int, handle_decode(&g, h, sizeof h), 0));
	cr_assert(eq(u64, g.ino, f.ino));
	cr_assert(eq(u64, g.gen, f.gen));
	cr_assert(eq(u32, g.share, f.share));
	handle_encode(again, &f); /* stable: clients compare the bytes */
	cr_assert(memcmp(h, again, sizeof h) == 0);
}

Test(handle, any_changed_bit_is_seen)
{
	uint8_t h[HANDLE_BYTES];
	struct fref g;

	handle_init(&vol);
	handle_encode(h, &f);
	cr_assert(eq(int, handle_decode(&g, h, sizeof h), 0)); /* that it was good before does not help */
	for (int bit = 0; bit < 8 * HANDLE_BYTES; bit++) {
		h[bit / 8] ^= (uint8_t)(1 << bit % 8);
		cr_assert(eq(int, handle_decode(&g, h, sizeof h), -E_BADHANDLE), "bit %d", bit);
		h[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	for (size_t len = 0; len < HANDLE_BYTES; len++)
		cr_assert(eq(int, handle_decode(&g, h, len), -E_BADHANDLE));
}

Test(handle, of_another_volume)
{
	struct volume other = vol;
	uint8_t h[HANDLE_BYTES];
	struct fref g;

	handle_init(&vol);
	handle_encode(h, &f);
	cr_assert(eq(int, handle_decode(&g, h, sizeof h), 0));
	other.secret[31] ^= 1;
	handle_init(&other);
	cr_assert(eq(int, handle_decode(&g, h, sizeof h), -E_BADHANDLE));
	/* The same secret, as of a copied directory that was given a uuid of its own. */
	other = vol;
	other.uuid[0] ^= 1;
	handle_init(&other);
	cr_assert(eq(int, handle_decode(&g, h, sizeof h), -E_BADHANDLE));
	handle_init(&vol);
	cr_assert(eq(int, handle_decode(&g, h, sizeof h), 0));
}

/* More than are remembered, again and again, each beside one that was made up with its MAC. */
Test(handle, many_in_turn)
{
	enum { N = 500 };
	uint8_t h[N][HANDLE_BYTES], forged[HANDLE_BYTES];
	struct fref g, of[N];

	handle_init(&vol);
	for (uint32_t i = 0; i < N; i++) {
		of[i] = (struct fref){ .ino = i / 2 + 1, .gen = i % 2 + 1, .share = i % 3 };
		handle_encode(h[i], &of[i]);
	}
	for (uint32_t k = 0; k < 6 * N; k++) {
		uint32_t i = k / 3 * 7 % N; /* three times the same, then another */

		cr_assert(eq(int, handle_decode(&g, h[i], sizeof h[i]), 0));
		cr_assert(g.ino == of[i].ino && g.gen == of[i].gen && g.share == of[i].share);
		memcpy(forged, h[(i + 1) % N], sizeof forged);
		memcpy(forged + 24, h[i] + 24, 8);
		cr_assert(eq(int, handle_decode(&g, forged, sizeof forged), -E_BADHANDLE));
	}
}
