/* SPDX-License-Identifier: Apache-2.0 */
/* File handles: what is taken for ours is byte for byte what we would have given out. */
#include <stdlib.h>

#include "proto/handle.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const struct volume vol = { .uuid = "0123456789abcde", .secret = "a secret of thirty-two bytes ..." };
	uint8_t again[HANDLE_BYTES];
	struct fref f;

	handle_init(&vol);
	if (handle_decode(&f, data, len) < 0)
		return 0;
	handle_encode(again, &f);
	if (len != sizeof again || memcmp(again, data, len) != 0)
		abort();
	return 0;
}
