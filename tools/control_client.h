/* SPDX-License-Identifier: Apache-2.0 */
/* The subcommands' side of the control socket.  The only user of libcurl in tools. */
#ifndef TOOLS_CONTROL_CLIENT_H
#define TOOLS_CONTROL_CLIENT_H

#include "reactor/base.h"

/* GET url ("/status"): *body is the answer, terminated, the caller frees.  -errno with a sentence in why[]. */
int control_get(const char *socket, const char *url, char **body, char why[256]);

/* "/page?key=" and a value behind it, escaped; -ENAMETOOLONG. */
int control_url(char *url, size_t room, const char *start, const char *value);

#endif
