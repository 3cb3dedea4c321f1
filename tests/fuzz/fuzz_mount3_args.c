/* SPDX-License-Identifier: Apache-2.0 */
/* MOUNT's arguments. */
#include <stdlib.h>

#include "proto/mount3_xdr.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct mount3_path path;
	struct xdr d;
	uint8_t *p = malloc(len + 1);

	memcpy(p, data, len);
	xdr_in(&d, p, len);
	mount3_get_path(&d, &path);
	if (!d.bad && (path.len > MNTPATHLEN || path.len > len || (const uint8_t *)path.s < p))
		abort();
	free(p);
	return 0;
}
