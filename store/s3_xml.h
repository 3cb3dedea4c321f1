/* SPDX-License-Identifier: Apache-2.0 */
/*
 * S3's XML answers by expat, as they come in pieces: elements that hold text are
 * told with their text, others when they end.  Names are without their namespace
 * prefix.  Bounds: texts of 4 KiB, a depth of 16, no document type (so no entities); beyond
 * them, and where it is not well-formed, the error sticks.
 */
#ifndef STORE_S3_XML_H
#define STORE_S3_XML_H

#include "reactor/base.h"

struct s3_xml {
	void *parser;
	/* `text` is NULL at the end of an element that holds elements. */
	void (*on)(void *arg, const char *parent, const char *name, const char *text);
	void *arg;
	char name[16][32];
	int depth;
	bool leaf;
	char text[4096];
	size_t len;
	int err;
};

int  s3_xml_init(struct s3_xml *x, void (*on)(void *, const char *, const char *, const char *), void *arg);
void s3_xml_fini(struct s3_xml *x);
void s3_xml_feed(struct s3_xml *x, const void *p, size_t len);
/* 0: all of it was there and well-formed, else -EBADMSG. */
int  s3_xml_end(struct s3_xml *x);

#endif
