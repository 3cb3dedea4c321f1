/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an S3 server says, hostile: the first byte says what it is (headers and an error's body, XML in pieces, or a
 * credentials file); everything in its bounds, and nothing unprintable for the log.
 */
#include <stdlib.h>

#include "store/s3_answer.h"
#include "store/s3_cred.h"
#include "store/s3_xml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void
printable(const char *s)
{
	for (; *s; s++)
		if (*s < ' ' || *s > '~')
			abort();
}

/* Header lines up to an empty one, then the body, in pieces of `step`. */
static void
answer(const uint8_t *data, size_t len, size_t step)
{
	static struct s3_answer a;
	const uint8_t *end = data + len, *nl;

	s3_answer_start(&a);
	while (data < end && (nl = memchr(data, '\n', (size_t)(end - data))) != NULL && nl > data) {
		s3_answer_header(&a, (const char *)data, (size_t)(nl - data));
		data = nl + 1;
	}
	for (; data < end; data += MIN(step, (size_t)(end - data)))
		s3_answer_text(&a, data, MIN(step, (size_t)(end - data)));
	s3_answer_end(&a);
	(void)s3_answer_class(&a);
	printable(a.etag);
	printable(a.region);
	printable(a.location);
	printable(a.code);
	printable(a.message);
	if (a.has_range && (a.first > a.last || a.last >= a.total))
		abort();
}

static void
on_element(void *arg, const char *parent, const char *name, const char *text)
{
	size_t *n = arg;

	*n += strlen(parent) + strlen(name) + (text ? strlen(text) : 0);
}

static void
xml(const uint8_t *data, size_t len, size_t step)
{
	static struct s3_xml x;
	size_t n = 0;

	if (s3_xml_init(&x, on_element, &n) < 0)
		return;
	for (const uint8_t *end = data + len; data < end; data += MIN(step, (size_t)(end - data)))
		s3_xml_feed(&x, data, MIN(step, (size_t)(end - data)));
	(void)s3_xml_end(&x);
	s3_xml_fini(&x);
}

static void
credentials(const uint8_t *data, size_t len)
{
	static struct s3_cred c;

	if (s3_cred_parse(&c, (const char *)data, len, "default") < 0)
		return;
	if (!c.access[0] || !c.secret[0])
		abort();
	printable(c.access);
	printable(c.secret);
	printable(c.token);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	size_t step;

	if (len == 0)
		return 0;
	step = data[0] / 4u + 1;
	switch (data[0] % 4) {
	case 0:
	case 1:
		answer(data + 1, len - 1, step);
		break;
	case 2:
		xml(data + 1, len - 1, step);
		break;
	case 3:
		credentials(data + 1, len - 1);
		break;
	}
	return 0;
}
