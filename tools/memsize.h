/* SPDX-License-Identifier: Apache-2.0 */
/* How much memory there is. */
#ifndef TOOLS_MEMSIZE_H
#define TOOLS_MEMSIZE_H

#include <stdint.h>

/* What this process may use at most: the machine's memory, or less where its control group (v2) is limited. */
uint64_t memsize_bytes(void);

#endif
