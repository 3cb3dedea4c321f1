/* SPDX-License-Identifier: Apache-2.0 */
#include "store/s3_xml.h"

#include <expat.h>
#include <stdio.h>

static void
give_up(struct s3_xml *x)
{
	x->err = -EBADMSG;
	XML_StopParser(x->parser, XML_FALSE);
}

static void
on_start(void *arg, const char *name, const char **attr)
{
	struct s3_xml *x = arg;
	const char *colon = strrchr(name, ':');

	(void)attr;
	if (x->err < 0)
		return;
	if (colon)
		name = colon + 1;
	if (x->depth == (int)ARRAY_LEN(x->name) || strlen(name) >= sizeof(x->name[0])) {
		give_up(x);
		return;
	}
	snprintf(x->name[x->depth++], sizeof(x->name[0]), "%s", name);
	x->leaf = true;
	x->len = 0;
}

static void
on_text(void *arg, const char *p, int n)
{
	struct s3_xml *x = arg;

	if (!x->leaf || x->err < 0)
		return;
	if (x->len + (size_t)n >= sizeof(x->text)) {
		give_up(x);
		return;
	}
	memcpy(x->text + x->len, p, (size_t)n);
	x->len += (size_t)n;
}

static void
on_end(void *arg, const char *name)
{
	struct s3_xml *x = arg;
	int d = x->depth - 1;

	(void)name;
	if (x->err < 0)
		return;
	x->text[x->len] = '\0';
	x->on(x->arg, d > 0 ? x->name[d - 1] : "", x->name[d], x->leaf ? x->text : NULL);
	x->leaf = false;
	x->depth--;
}

static void
on_doctype(void *arg, const char *name, const char *sysid, const char *pubid, int internal)
{
	(void)name;
	(void)sysid;
	(void)pubid;
	(void)internal;
	give_up(arg);
}

int
s3_xml_init(struct s3_xml *x, void (*on)(void *, const char *, const char *, const char *), void *arg)
{
	x->parser = XML_ParserCreate(NULL);
	if (!x->parser)
		return -ENOMEM;
	x->on = on;
	x->arg = arg;
	x->depth = 0;
	x->leaf = false;
	x->len = 0;
	x->err = 0;
	XML_SetUserData(x->parser, x);
	XML_SetElementHandler(x->parser, on_start, on_end);
	XML_SetCharacterDataHandler(x->parser, on_text);
	XML_SetStartDoctypeDeclHandler(x->parser, on_doctype);
	return 0;
}

void
s3_xml_fini(struct s3_xml *x)
{
	if (x->parser)
		XML_ParserFree(x->parser);
	x->parser = NULL;
}

static void
feed(struct s3_xml *x, const void *p, size_t len, int final)
{
	if (x->err == 0 && XML_Parse(x->parser, p, (int)len, final) != XML_STATUS_OK)
		x->err = -EBADMSG;
}

void
s3_xml_feed(struct s3_xml *x, const void *p, size_t len)
{
	assert(len <= INT32_MAX);
	feed(x, p, len, 0);
}

int
s3_xml_end(struct s3_xml *x)
{
	feed(x, "", 0, 1);
	return x->err;
}
