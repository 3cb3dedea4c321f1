/* SPDX-License-Identifier: Apache-2.0 */
/* What S3 says, as bytes: headers, XML, credentials files; in any pieces, cut anywhere. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "store/s3_answer.h"
#include "store/s3_cred.h"
#include "store/s3_xml.h"
#include "tests/fake/rig.h"

static void
header(struct s3_answer *a, const char *line)
{
	s3_answer_header(a, line, strlen(line));
}

Test(s3_answer, headers)
{
	struct s3_answer a;

	s3_answer_start(&a);
	header(&a, "HTTP/1.1 100 Continue");
	header(&a, "etag: \"of the 100\"");
	header(&a, "HTTP/1.1 206 Partial Content");
	cr_expect(strcmp(a.etag, "") == 0);
	header(&a, "CONTENT-length:   123");
	header(&a, "Content-Range: bytes 10-132/1000");
	header(&a, "ETag: \"d41d8cd98f00b204e9800998ecf8427e-3\"");
	header(&a, "Date: Sun, 06 Nov 1994 08:49:37 GMT");
	header(&a, "Retry-After: 7");
	header(&a, "x-amz-bucket-region: us-west-2");
	header(&a, "no colon");
	header(&a, ":");
	cr_expect(eq(int, a.status, 206));
	cr_expect(a.has_length && a.length == 123);
	cr_expect(a.has_range && a.first == 10 && a.last == 132 && a.total == 1000);
	cr_expect(strcmp(a.etag, "d41d8cd98f00b204e9800998ecf8427e-3") == 0);
	cr_expect(eq(long, a.date, 784111777)); /* RFC 9110 §5.6.7's example */
	cr_expect(eq(u32, a.retry_after_s, 7));
	cr_expect(strcmp(a.region, "us-west-2") == 0);
}

Test(s3_answer, bad_headers)
{
	static const char *const ranges[] = {
		"bytes 5-4/10", "bytes 0-10/10", "bytes a-b/c", "bytes 1-2", "bytes 1-2/", "bytes */10", "lines 1-2/3",
		"bytes 99999999999999999999-1/2", "bytes 1-2/3x", "", "bytes ",
	};
	struct s3_answer a;
	char line[4096];

	for (size_t i = 0; i < ARRAY_LEN(ranges); i++) {
		s3_answer_start(&a);
		snprintf(line, sizeof(line), "content-range: %s", ranges[i]);
		header(&a, line);
		cr_expect(not(a.has_range), "%s", ranges[i]);
	}
	s3_answer_start(&a);
	header(&a, "content-range: bytes 1-2/*");
	cr_expect(a.has_range && a.total == UINT64_MAX);
	header(&a, "content-length: 12x");
	cr_expect(not(a.has_length));
	header(&a, "HTTP/1.1");
	cr_expect(eq(int, a.status, 0));
	header(&a, "HTTP/1.1 99999999999999999999");
	cr_expect(eq(int, a.status, 0));
	memset(line, 'x', sizeof(line));
	memcpy(line, "etag: ", 6);
	s3_answer_header(&a, line, sizeof(line));
	cr_expect(strcmp(a.etag, "") == 0);
	memcpy(line, "location: ", 10);
	s3_answer_header(&a, line, sizeof(line));
	cr_expect(strcmp(a.location, "") == 0);
}

/* Each piece of an error's body, and nothing that would garble the log. */
Test(s3_answer, error_in_pieces)
{
	static const char body[] = "<?xml version='1.0'?><Error><Code>Slow&#68;own</Code><Message>a\tb\xc3\xa4</Message><Region>x</Region></Error>";
	struct s3_answer a;

	for (size_t cut = 0; cut < sizeof(body); cut++) {
		s3_answer_start(&a);
		a.status = 503;
		s3_answer_text(&a, body, cut);
		s3_answer_text(&a, body + cut, sizeof(body) - 1 - cut);
		s3_answer_end(&a);
		cr_assert(strcmp(a.code, "SlowDown") == 0, "%s", a.code);
		cr_assert(strcmp(a.message, "ab") == 0, "%s", a.message);
		cr_assert(eq(int, s3_answer_class(&a), S3_SLOW));
	}
	for (size_t len = 0; len < sizeof(body); len++) { /* cut off */
		s3_answer_start(&a);
		a.status = 503;
		s3_answer_text(&a, body, len);
		s3_answer_end(&a);
		cr_assert(eq(int, s3_answer_class(&a), S3_SLOW));
	}
}

Test(s3_answer, long_body)
{
	struct s3_answer a;
	char junk[1000];

	memset(junk, '<', sizeof(junk));
	s3_answer_start(&a);
	a.status = 500;
	for (int i = 0; i < 5; i++)
		s3_answer_text(&a, junk, sizeof(junk));
	cr_expect(eq(u32, a.text_len, sizeof(a.text)));
	s3_answer_end(&a);
	cr_expect(eq(int, s3_answer_class(&a), S3_RETRY));
}

/* ---- XML */

static char told[512];

static void
tell(void *arg, const char *parent, const char *name, const char *text)
{
	size_t n = strlen(told);

	(void)arg;
	snprintf(told + n, sizeof(told) - n, "%s/%s=%s;", parent, name, text ? text : "-");
}

static int
parse(const char *xml, size_t step)
{
	struct s3_xml x;
	int err;

	told[0] = '\0';
	cr_assert(eq(int, s3_xml_init(&x, tell, NULL), 0));
	for (size_t at = 0; at < strlen(xml); at += step)
		s3_xml_feed(&x, xml + at, MIN(step, strlen(xml) - at));
	err = s3_xml_end(&x);
	s3_xml_fini(&x);
	return err;
}

Test(s3_xml, elements)
{
	for (size_t step = 1; step < 40; step++) {
		cr_expect(eq(int, parse("<a xmlns:s='u'><s:b>1<!-- c -->2</s:b><c/><d><e>x&lt;</e></d></a>", step), 0));
		cr_expect(strcmp(told, "a/b=12;a/c=;d/e=x<;a/d=-;/a=-;") == 0, "%s", told);
	}
}

Test(s3_xml, refused)
{
	static char text[8192];

	cr_expect(eq(int, parse("", 1), -EBADMSG));
	cr_expect(eq(int, parse("<a>", 1), -EBADMSG));
	cr_expect(eq(int, parse("<a></b>", 1), -EBADMSG));
	cr_expect(eq(int, parse("<a>\x01</a>", 1), -EBADMSG));
	cr_expect(eq(int, parse("<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>", 1), -EBADMSG));
	cr_expect(eq(int, parse("<a2345678901234567890123456789012/>", 7), -EBADMSG));
	for (int i = 0; i < 17; i++)
		strcat(text, "<a>");
	for (int i = 0; i < 17; i++)
		strcat(text, "</a>");
	cr_expect(eq(int, parse(text, 100), -EBADMSG)); /* too deep */
	cr_expect(eq(int, parse(text + 3, 100), -EBADMSG));
	memset(text, 'x', sizeof(text) - 1);
	memcpy(text, "<a>", 3);
	memcpy(text + sizeof(text) - 5, "</a>", 4);
	cr_expect(eq(int, parse(text, 100), -EBADMSG)); /* too long */
}

/* ---- credentials */

#define PARSE(text, profile) s3_cred_parse(&c, text, strlen(text), profile)

Test(s3_cred, parse)
{
	struct s3_cred c;

	cr_expect(eq(int, PARSE("[a]\naws_access_key_id=A\naws_secret_access_key=B\n"
	                        "# x\n[ b ]\r\n  aws_access_key_id = C  \r\naws_secret_access_key=D/+=\n\naws_session_token=E==", "b"), 0));
	cr_expect(strcmp(c.access, "C") == 0 && strcmp(c.secret, "D/+=") == 0 && strcmp(c.token, "E==") == 0);
	cr_expect(eq(int, PARSE("[a]\naws_access_key_id=A\naws_secret_access_key=B\nregion=x\nnonsense\n", "a"), 0));
	cr_expect(strcmp(c.token, "") == 0);
	cr_expect(eq(int, PARSE("[a]\naws_access_key_id=A\naws_secret_access_key=B\n", "b"), -ENOENT));
	cr_expect(eq(int, PARSE("", "b"), -ENOENT));
	cr_expect(eq(int, PARSE("[b]", "b"), -EINVAL));
	cr_expect(eq(int, PARSE("[b]\naws_access_key_id=A\n", "b"), -EINVAL));
	cr_expect(eq(int, PARSE("[b]\naws_access_key_id=A\naws_secret_access_key=two words\n", "b"), -EINVAL));
	cr_expect(eq(int, PARSE("[b]\naws_access_key_id=A\naws_secret_access_key=\x80\n", "b"), -EINVAL));
}

static char path[256];

static void
write_file(const char *text, mode_t mode)
{
	FILE *f = fopen(path, "we");

	fputs(text, f);
	fchmod(fileno(f), mode);
	fclose(f);
}

Test(s3_cred, files)
{
	static const char text[] = "[default]\naws_access_key_id=A\naws_secret_access_key=VERYSECRET\n";
	struct s3_cred c;
	char why[256] = "";

	unsetenv("AWS_ACCESS_KEY_ID");
	unsetenv("AWS_PROFILE");
	snprintf(path, sizeof(path), "%s/cred", rig_dir());
	cr_expect(eq(int, s3_cred_load(&c, path, "", why), -ENOENT));
	write_file(text, 0600);
	cr_expect(eq(int, s3_cred_load(&c, path, "", why), 0));
	cr_expect(strstr(c.from, "[default]") != NULL);
	cr_expect(eq(int, s3_cred_load(&c, path, "other", why), -ENOENT));
	cr_expect(strstr(why, "[other]") != NULL, "%s", why);
	for (int mode = 0601; mode <= 0677; mode++) { /* anything for anybody else */
		chmod(path, (mode_t)mode);
		cr_expect(eq(int, s3_cred_load(&c, path, "", why), mode == 0600 ? 0 : -EPERM), "%o", mode);
		cr_expect(strstr(why, "VERYSECRET") == NULL);
	}
	cr_expect(eq(int, s3_cred_load(&c, rig_dir(), "", why), -EINVAL)); /* a directory */
	/* The shared file of AWS's tools, and the environment before it. */
	chmod(path, 0600);
	setenv("AWS_SHARED_CREDENTIALS_FILE", path, 1);
	cr_expect(eq(int, s3_cred_load(&c, "", "", why), 0));
	cr_expect(strcmp(c.access, "A") == 0);
	setenv("AWS_ACCESS_KEY_ID", "E", 1);
	unsetenv("AWS_SECRET_ACCESS_KEY");
	cr_expect(eq(int, s3_cred_load(&c, "", "", why), -EINVAL));
	setenv("AWS_SECRET_ACCESS_KEY", "S", 1);
	setenv("AWS_SESSION_TOKEN", "T", 1);
	cr_expect(eq(int, s3_cred_load(&c, "", "", why), 0));
	cr_expect(strcmp(c.access, "E") == 0 && strcmp(c.token, "T") == 0);
	s3_cred_wipe(&c);
	cr_expect(c.secret[0] == '\0' && c.token[0] == '\0');
	rig_dir_remove();
}
