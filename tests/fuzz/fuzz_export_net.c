/* SPDX-License-Identifier: Apache-2.0 */
/* Networks of the config: an error with a sentence, or a network that is shown as one that means the same. */
#include <stdlib.h>

#include "proto/export.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	char *s = malloc(len + 1), why[256] = "", out[EXPORT_NET_STRLEN];
	struct export_net n, m;

	memcpy(s, data, len);
	s[len] = '\0';
	if (export_net_parse(&n, s, why) < 0) {
		if (!why[0])
			abort();
	} else if (export_net_parse(&m, export_net_format(&n, out), why) < 0 || m.bits != n.bits ||
	           memcmp(m.addr, n.addr, sizeof n.addr) != 0) {
		abort();
	}
	free(s);
	return 0;
}
