/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TOOLS_WEB_H
#define TOOLS_WEB_H

#include "tools/daemon.h"

struct web_reply {
	unsigned status;  /* HTTP's */
	const char *type; /* MIME */
	char *body;       /* gives; NULL: no memory */
};

/* What stands at a URL of metrics.listen, all of it for reading only.  Admin threads, one at a time. */
void web_get(const struct daemon *d, const char *url, struct web_reply *r);

#endif
