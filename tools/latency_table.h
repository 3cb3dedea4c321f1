/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TOOLS_LATENCY_TABLE_H
#define TOOLS_LATENCY_TABLE_H

#include <jansson.h>

/* The server's answer to GET /latency (report_latency.c) as tables on stdout. */
void latency_print(const json_t *j);

#endif
