/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The vectors are AWS's own: the "aws-sig-v4-test-suite", and the examples of the S3 API
 * Reference, "Authenticating Requests: Using the Authorization Header".
 */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>

#include "crypto/digest.h"
#include "crypto/sigv4.h"

#define SUITE_HOST { "host", "example.amazonaws.com" }
#define SUITE_DATE { "x-amz-date", "20150830T123600Z" }

struct vector {
	const char *name, *method, *path, *query, *payload;
	struct sigv4_header header[6];
	const char *signature;
};

static int
count_headers(const struct sigv4_header *h)
{
	int n = 0;

	while (n < 6 && h[n].name)
		n++;
	return n;
}

static void
check_vectors(struct sigv4 *s, const struct vector *v, size_t n, const char *date)
{
	for (size_t i = 0; i < n; i++) {
		struct sigv4_header h[6];
		struct sigv4_request r = {
			.method = v[i].method, .path = v[i].path, .query = v[i].query,
			.payload = v[i].payload ? v[i].payload : SIGV4_EMPTY, .header = h,
			.nheaders = count_headers(v[i].header), .date = date,
		};
		char auth[SIGV4_AUTH];

		memcpy(h, v[i].header, sizeof(h));
		cr_assert(eq(int, sigv4_sign(s, &r, auth), 0));
		cr_expect(strcmp(strstr(auth, "Signature=") + 10, v[i].signature) == 0, "%s: %s", v[i].name, auth);
	}
}

Test(sigv4, test_suite)
{
	static const struct vector vectors[] = {
		{ "get-vanilla", "GET", "/", "", NULL, { SUITE_HOST, SUITE_DATE },
		  "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31" },
		{ "get-vanilla-query-order-key-case", "GET", "/", "Param1=value1&Param2=value2", NULL,
		  { SUITE_DATE, SUITE_HOST },
		  "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500" },
		{ "get-header-value-trim", "GET", "/", "", NULL,
		  { SUITE_HOST, { "my-header1", " value1" }, { "my-header2", " \"a   b   c\"" }, SUITE_DATE },
		  "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736" },
		{ "get-utf8", "GET", "/%E1%88%B4", "", NULL, { SUITE_HOST, SUITE_DATE },
		  "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85" },
		{ "post-vanilla", "POST", "/", "", NULL, { SUITE_HOST, SUITE_DATE },
		  "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b" },
		{ "post-header-key-sort", "POST", "/", "", NULL,
		  { SUITE_HOST, { "my-header1", "value1" }, SUITE_DATE },
		  "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c" },
	};
	struct sigv4 s;

	cr_assert(eq(int, sigv4_init(&s, "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "us-east-1", "service"), 0));
	check_vectors(&s, vectors, ARRAY_LEN(vectors), "20150830T123600Z");
	sigv4_fini(&s);
}

Test(sigv4, s3_examples)
{
	static const char date[] = "20130524T000000Z";
	static const struct vector vectors[] = {
		{ "GET Object", "GET", "/test.txt", "", NULL,
		  { { "host", "examplebucket.s3.amazonaws.com" }, { "range", "bytes=0-9" },
		    { "x-amz-content-sha256", SIGV4_EMPTY }, { "x-amz-date", date } },
		  "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41" },
		{ "PUT Object", "PUT", "/test%24file.text", "",
		  "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072",
		  { { "date", "Fri, 24 May 2013 00:00:00 GMT" }, { "host", "examplebucket.s3.amazonaws.com" },
		    { "x-amz-content-sha256", "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072" },
		    { "x-amz-date", date }, { "x-amz-storage-class", "REDUCED_REDUNDANCY" } },
		  "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd" },
		{ "GET Bucket Lifecycle", "GET", "/", "lifecycle=", NULL,
		  { { "host", "examplebucket.s3.amazonaws.com" }, { "x-amz-content-sha256", SIGV4_EMPTY },
		    { "x-amz-date", date } },
		  "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543" },
		{ "Get Bucket (List Objects)", "GET", "/", "max-keys=2&prefix=J", NULL,
		  { { "host", "examplebucket.s3.amazonaws.com" }, { "x-amz-content-sha256", SIGV4_EMPTY },
		    { "x-amz-date", date } },
		  "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7" },
	};
	struct sigv4 s;

	cr_assert(eq(int, sigv4_init(&s, "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "us-east-1", "s3"), 0));
	check_vectors(&s, vectors, ARRAY_LEN(vectors), date);
	sigv4_fini(&s);
}

/* A name that begins another's comes first, although ':' sorts behind '-'. */
Test(sigv4, headers_are_sorted_by_name)
{
	struct sigv4_header h[] = { { "x-amz-copy-source-range", "b" }, { "x-amz-copy-source", "a" }, { "host", "h" } };
	struct sigv4_request r = { .method = "PUT", .path = "/", .query = "", .payload = SIGV4_UNSIGNED, .header = h,
	                           .nheaders = 3, .date = "20150830T123600Z" };
	char auth[SIGV4_AUTH];
	struct sigv4 s;

	cr_assert(eq(int, sigv4_init(&s, "a", "s", "r", "s3"), 0));
	cr_assert(eq(int, sigv4_sign(&s, &r, auth), 0));
	cr_assert(ne(ptr, strstr(auth, "SignedHeaders=host;x-amz-copy-source;x-amz-copy-source-range,"), NULL));
}

/* The key of a day serves that day; another day, another key, and back. */
Test(sigv4, key_of_the_day)
{
	char auth[3][SIGV4_AUTH];
	struct sigv4 s;

	cr_assert(eq(int, sigv4_init(&s, "a", "s", "r", "s3"), 0));
	for (int i = 0; i < 3; i++) {
		struct sigv4_header h[] = { { "host", "h" } };
		struct sigv4_request r = { .method = "GET", .path = "/", .query = "", .payload = SIGV4_UNSIGNED, .header = h,
		                           .nheaders = 1, .date = i == 1 ? "20150831T000000Z" : "20150830T235959Z" };

		cr_assert(eq(int, sigv4_sign(&s, &r, auth[i]), 0));
	}
	cr_assert(strcmp(auth[0], auth[2]) == 0);
	cr_assert(strcmp(auth[0], auth[1]) != 0);
}

Test(sigv4, refused)
{
	char many[256];
	struct sigv4 s;

	memset(many, 'x', sizeof(many) - 1);
	many[255] = '\0';
	cr_assert(eq(int, sigv4_init(&s, "", "s", "r", "s3"), -EINVAL));
	cr_assert(eq(int, sigv4_init(&s, "a", "", "r", "s3"), -EINVAL));
	cr_assert(eq(int, sigv4_init(&s, "a", many, "r", "s3"), -EINVAL));
	cr_assert(eq(int, sigv4_init(&s, "a", "s", "", "s3"), -EINVAL));
}

Test(sigv4, encode)
{
	char out[32];

	cr_assert(eq(int, sigv4_encode(out, sizeof(out), "a b+c/d=~_-.", true), 18));
	cr_assert(strcmp(out, "a%20b%2Bc/d%3D~_-.") == 0, "%s", out);
	cr_assert(eq(int, sigv4_encode(out, sizeof(out), "a/b", false), 5));
	cr_assert(strcmp(out, "a%2Fb") == 0, "%s", out);
	cr_assert(eq(int, sigv4_encode(out, 4, "ab", true), -ENOSPC));
	cr_assert(eq(int, sigv4_encode(out, 5, "ab", true), 2));
	cr_assert(eq(int, sigv4_encode(out, sizeof(out), "", true), 0));
}

Test(digest, known_answers)
{
	struct iovec iov[] = { { (char *)"a", 1 }, { NULL, 0 }, { (char *)"bc", 2 } };
	uint8_t sha[DIGEST_SHA256], md5[DIGEST_MD5];
	char text[SIGV4_HEX];

	digest_sha256(iov, 3, sha); /* FIPS 180-2, appendix B.1 */
	digest_hex(sha, sizeof(sha), text);
	cr_assert(strcmp(text, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad") == 0, "%s", text);
	digest_sha256(NULL, 0, sha);
	digest_hex(sha, sizeof(sha), text);
	cr_assert(strcmp(text, SIGV4_EMPTY) == 0, "%s", text);
	digest_md5(iov, 3, md5); /* RFC 1321, A.5 */
	digest_hex(md5, sizeof(md5), text);
	cr_assert(strcmp(text, "900150983cd24fb0d6963f7d28e17f72") == 0, "%s", text);
	digest_base64(md5, sizeof(md5), text);
	cr_assert(strcmp(text, "kAFQmDzST7DWlj99KOF/cg==") == 0, "%s", text);
}
