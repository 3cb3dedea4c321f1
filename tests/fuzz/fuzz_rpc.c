/* SPDX-License-Identifier: Apache-2.0 */
/* RPC call headers: a verdict, with everything in its bounds. */
#include <stdlib.h>

#include "proto/rpc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct rpc_head h;
	uint8_t *p = malloc(len + 1); /* aligned, as records are */

	memcpy(p, data, len);
	if (rpc_parse(&h, p, len) == RPC_OK && (h.len > len || h.len % 4 != 0 || h.cred.ngids > CRED_GIDS_MAX))
		abort();
	free(p);
	return 0;
}
