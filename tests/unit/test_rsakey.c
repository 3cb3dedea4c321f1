/* SPDX-License-Identifier: Apache-2.0 */
/* Key files of all kinds, made by the openssl command as people make them; wrapping and signing; epoch keys as text. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crypto/epochkey.h"
#include "crypto/secret.h"

static char dir[64];

static void
make_dir(void)
{
	strcpy(dir, "/tmp/test_rsakey.XXXXXX");
	cr_assert(mkdtemp(dir) != NULL);
}

static void
remove_dir(void)
{
	char cmd[128];

	snprintf(cmd, sizeof(cmd), "rm -rf %s", dir);
	cr_assert(eq(int, system(cmd), 0));
}

TestSuite(rsakey, .init = make_dir, .fini = remove_dir);
TestSuite(epochkey, .init = make_dir, .fini = remove_dir);

static const char *
path(const char *name)
{
	static char p[4][128];
	static int i;

	i = (i + 1) % 4;
	snprintf(p[i], sizeof(p[i]), "%s/%s", dir, name);
	return p[i];
}

/* `openssl ARGS` in the directory; what it makes is ours alone. */
static void
openssl(const char *args)
{
	char cmd[512];

	snprintf(cmd, sizeof(cmd), "umask 077; cd %s && openssl %s >/dev/null 2>openssl.err", dir, args);
	cr_assert(eq(int, system(cmd), 0), "openssl %s", args);
}

static struct rsakey *
load(const char *name, const char *pass)
{
	struct rsakey *k;
	char why[256] = "";

	cr_assert(eq(int, rsakey_load(&k, path(name), pass, why), 0), "%s", why);
	return k;
}

/* It is refused with a sentence that has `says` in it. */
static void
refused(const char *name, const char *pass, int err, const char *says)
{
	struct rsakey *k;
	char why[256] = "";

	cr_expect(eq(int, rsakey_load(&k, path(name), pass, why), err), "%s", name);
	cr_expect(k == NULL);
	cr_expect(strstr(why, says) != NULL && (err == -ENOMEM || strstr(why, name)), "%s", why);
	rsakey_free(k);
}

Test(rsakey, every_kind_of_file)
{
	struct rsakey *k, *same;

	openssl("genrsa -out pkcs8.pem 2048");
	openssl("rsa -in pkcs8.pem -traditional -out pkcs1.pem");
	openssl("rsa -in pkcs8.pem -aes256 -traditional -passout pass:secret -out locked1.pem");
	openssl("pkcs8 -topk8 -in pkcs8.pem -v2 aes256 -passout pass:secret -out locked8.pem");
	openssl("genrsa -out other.pem 2048");
	k = load("pkcs8.pem", NULL);
	static const struct { const char *name, *pass; } others[] = {
		{ "pkcs1.pem", NULL }, { "pkcs1.pem", "not asked for" }, { "locked1.pem", "secret" }, { "locked8.pem", "secret" },
	};
	for (size_t i = 0; i < ARRAY_LEN(others); i++) {
		same = load(others[i].name, others[i].pass);
		cr_expect(memcmp(rsakey_id(k), rsakey_id(same), RSAKEY_ID) == 0, "the same key in %s", others[i].name);
		rsakey_free(same);
	}
	same = load("other.pem", NULL);
	cr_expect(memcmp(rsakey_id(k), rsakey_id(same), RSAKEY_ID) != 0);
	rsakey_free(same);
	rsakey_free(k);

	refused("locked1.pem", NULL, -EACCES, "DITTOFS_ENCRYPTION_PASSPHRASE");
	refused("locked8.pem", NULL, -EACCES, "DITTOFS_ENCRYPTION_PASSPHRASE");
	refused("locked1.pem", "Secret", -EACCES, "wrong one");
	refused("locked8.pem", "Secret", -EACCES, "wrong one");
	rsakey_free(NULL);
}

Test(rsakey, files_that_are_none)
{
	openssl("genrsa -out key.pem 2048");
	openssl("genrsa -out small.pem 1024");
	openssl("rsa -in key.pem -pubout -out public.pem");
	openssl("req -new -x509 -key key.pem -subj /CN=x -out cert.pem");
	openssl("ecparam -name prime256v1 -genkey -noout -out ec.pem");
	openssl("genpkey -algorithm ed25519 -out ed.pem");
	openssl("rsa -in key.pem -outform DER -out key.der");
	openssl("rand -out junk 70000");
	fclose(fopen(path("empty"), "w"));
	chmod(path("empty"), 0600);
	openssl("rsa -in key.pem -out cut.pem");
	cr_assert(eq(int, truncate(path("cut.pem"), 800), 0));
	refused("missing.pem", NULL, -ENOENT, "No such file");
	refused("small.pem", NULL, -EINVAL, "1024 bits");
	refused("public.pem", NULL, -EINVAL, "public key only");
	refused("cert.pem", NULL, -EINVAL, "public key only");
	refused("ec.pem", NULL, -EINVAL, "must be RSA");
	refused("ed.pem", NULL, -EINVAL, "must be RSA");
	refused("key.der", NULL, -EINVAL, "no private key in PEM form");
	refused("junk", NULL, -EINVAL, "no private key in PEM form");
	refused("empty", NULL, -EINVAL, "openssl genrsa");
	refused("cut.pem", NULL, -EINVAL, "no private key in PEM form");
	refused("", NULL, -EINVAL, "is no file");
	for (mode_t m = 0644; m >= 0604; m -= 040) {
		chmod(path("key.pem"), m);
		refused("key.pem", NULL, -EPERM, "chmod 600");
	}
	chmod(path("key.pem"), 0620);
	refused("key.pem", NULL, -EPERM, "chmod 600");
	chmod(path("key.pem"), 0400);
	rsakey_free(load("key.pem", NULL));
	cr_assert(eq(int, mkfifo(path("fifo"), 0600), 0));
	refused("fifo", NULL, -EINVAL, "is no file"); /* and does not wait for a writer */
}

/* Any byte of a key file changed: refused, or still some RSA key; it never crashes. */
Test(rsakey, damaged_files)
{
	char text[8192], why[256];
	struct rsakey *k;

	openssl("genrsa -out key.pem 2048");
	FILE *f = fopen(path("key.pem"), "r");
	size_t n = fread(text, 1, sizeof(text), f);

	fclose(f);
	for (size_t i = 0; i < n; i += 41) {
		char was = text[i];

		text[i] = was == 'A' ? 'B' : 'A';
		f = fopen(path("key.pem"), "w");
		fwrite(text, 1, n, f);
		fclose(f);
		int err = rsakey_load(&k, path("key.pem"), NULL, why);
		cr_expect(err == 0 || err == -EINVAL, "byte %zu: %d", i, err);
		rsakey_free(k);
		text[i] = was;
	}
}

Test(rsakey, wraps_and_signs)
{
	static const size_t bits[] = { 2048, 3072 };
	uint8_t secret[32], out[RSAKEY_BYTES], again[RSAKEY_BYTES], back[32];
	size_t len, other;

	secret_random(secret, sizeof(secret));
	openssl("genrsa -out other.pem 2048");
	struct rsakey *o = load("other.pem", NULL);

	for (size_t i = 0; i < ARRAY_LEN(bits); i++) {
		char cmd[64];

		snprintf(cmd, sizeof(cmd), "genrsa -out %zu.pem %zu", bits[i], bits[i]);
		openssl(cmd);
		snprintf(cmd, sizeof(cmd), "%zu.pem", bits[i]);
		struct rsakey *k = load(cmd, NULL);

		cr_assert(eq(int, rsakey_wrap(k, secret, 32, out, &len), 0));
		cr_assert(eq(sz, len, bits[i] / 8));
		cr_assert(eq(int, rsakey_wrap(k, secret, 32, again, &other), 0));
		cr_assert(memcmp(out, again, len) != 0, "OAEP is random");
		cr_assert(eq(int, rsakey_unwrap(k, out, len, back, 32), 0));
		cr_assert(memcmp(secret, back, 32) == 0);
		cr_assert(eq(int, rsakey_unwrap(k, out, len, back, 31), -E_DAMAGED));
		cr_assert(eq(int, rsakey_unwrap(k, out, len - 1, back, 32), -E_DAMAGED));
		cr_assert(eq(int, rsakey_unwrap(o, out, len, back, 32), -E_DAMAGED));
		out[len / 2] ^= 1;
		cr_assert(eq(int, rsakey_unwrap(k, out, len, back, 32), -E_DAMAGED));

		cr_assert(eq(int, rsakey_sign(k, "text", 4, out, &len), 0));
		cr_assert(eq(int, rsakey_verify(k, "text", 4, out, len), 0));
		cr_assert(eq(int, rsakey_verify(k, "texT", 4, out, len), -E_DAMAGED));
		cr_assert(eq(int, rsakey_verify(k, "text", 3, out, len), -E_DAMAGED));
		cr_assert(eq(int, rsakey_verify(o, "text", 4, out, len), -E_DAMAGED));
		cr_assert(eq(int, rsakey_verify(k, "text", 4, out, len - 1), -E_DAMAGED));
		out[0] ^= 1;
		cr_assert(eq(int, rsakey_verify(k, "text", 4, out, len), -E_DAMAGED));
		rsakey_free(k);
	}
	rsakey_free(o);
}

/* ---- passphrases */

static void
put(const char *name, const char *text, mode_t mode)
{
	FILE *f = fopen(path(name), "w");

	fputs(text, f);
	fclose(f);
	chmod(path(name), mode);
}

Test(rsakey, passphrases)
{
	char why[256] = "", *p, *value, longer[2000];

	unsetenv("PASS");
	cr_assert(eq(int, passphrase_load(&p, "PASS", "", why), 0));
	cr_assert(p == NULL, "there is none");
	setenv("PASS", "", 1);
	cr_assert(eq(int, passphrase_load(&p, "PASS", "", why), 0));
	cr_assert(p == NULL, "an empty one is none");
	setenv("PASS", "a secret", 1);
	value = getenv("PASS");
	cr_assert(eq(int, passphrase_load(&p, "PASS", "", why), 0));
	cr_assert(eq(str, p, (char *)"a secret"));
	cr_assert(getenv("PASS") == NULL && value[0] == '\0' && value[7] == '\0', "nothing of it is left there");
	passphrase_free(p);
	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	setenv("PASS", longer, 1);
	cr_assert(eq(int, passphrase_load(&p, "PASS", "", why), -E2BIG));
	cr_assert(strstr(why, "PASS") && !strstr(why, "xxx"), "%s", why);

	put("pass", "of a file \r\nmore\n", 0600);
	cr_assert(eq(int, passphrase_load(&p, "PASS", path("pass"), why), 0), "%s", why);
	cr_assert(eq(str, p, (char *)"of a file "));
	passphrase_free(p);
	chmod(path("pass"), 0644);
	cr_assert(eq(int, passphrase_load(&p, "PASS", path("pass"), why), -EPERM));
	cr_assert(strstr(why, "chmod 600") != NULL, "%s", why);
	put("nothing", "\n", 0600);
	cr_assert(eq(int, passphrase_load(&p, "PASS", path("nothing"), why), -EINVAL));
	cr_assert(strstr(why, "empty line") != NULL, "%s", why);
	put("long", longer, 0600);
	cr_assert(eq(int, passphrase_load(&p, "PASS", path("long"), why), -E2BIG));
	cr_assert(eq(int, passphrase_load(&p, "PASS", path("none"), why), -ENOENT));
	passphrase_free(NULL);
}

/* ---- epoch keys */

struct made {
	struct rsakey *rsa;
	struct epochkey e;
	uint8_t key[AEAD_KEY];
	char text[EPOCHKEY_TEXT];
	size_t len;
};

static void
make(struct made *m)
{
	openssl("genrsa -out key.pem 2048");
	m->rsa = load("key.pem", NULL);
	secret_random(m->key, sizeof(m->key));
	m->e = (struct epochkey){ .epoch = 7, .cipher = AEAD_CHACHA20, .made_s = 1790000000 };
	memset(m->e.uuid, 0xab, 16);
	int n = epochkey_wrap(&m->e, m->rsa, m->key, m->text);
	cr_assert(n > 0);
	m->len = (size_t)n;
	cr_assert(eq(sz, m->len, strlen(m->text)));
}

Test(epochkey, is_what_was_made)
{
	uint8_t key[AEAD_KEY];
	struct epochkey e;
	struct made m;

	make(&m);
	cr_assert(eq(int, epochkey_read(&e, m.text, m.len), 0));
	cr_assert(memcmp(&e, &m.e, sizeof(e)) == 0);
	cr_assert(eq(int, epochkey_unwrap(&e, m.rsa, m.text, m.len, key), 0));
	cr_assert(memcmp(key, m.key, sizeof(key)) == 0);
	cr_assert(strstr(m.text, "\nepoch 7\ncipher chacha20\nmade 1790000000\nrsa ") != NULL, "%s", m.text);
	openssl("genrsa -out other.pem 2048");
	struct rsakey *other = load("other.pem", NULL);

	cr_assert(eq(int, epochkey_unwrap(&e, other, m.text, m.len, key), -EACCES));
	rsakey_free(other);
	rsakey_free(m.rsa);
}

/* The longest: an RSA key of 4096 bits, the last epoch. */
Test(epochkey, has_room_for_the_largest)
{
	struct epochkey e = { .epoch = UINT32_MAX, .cipher = AEAD_AES256GCM, .made_s = 999999999999999999 }, back;
	char text[EPOCHKEY_TEXT];
	uint8_t key[AEAD_KEY] = { 1 };

	openssl("genrsa -out key.pem 4096");
	struct rsakey *k = load("key.pem", NULL);
	int n = epochkey_wrap(&e, k, key, text);

	cr_assert(n > 2048 && n < EPOCHKEY_TEXT);
	cr_assert(eq(int, epochkey_unwrap(&back, k, text, (size_t)n, key), 0));
	cr_assert(memcmp(&e, &back, sizeof(e)) == 0);
	rsakey_free(k);
}

Test(epochkey, every_byte_counts)
{
	uint8_t key[AEAD_KEY];
	struct epochkey e;
	struct made m;

	make(&m);
	for (size_t i = 0; i < m.len; i++) {
		char was = m.text[i];

		for (int d = 1; d < 256; d *= 16) {
			m.text[i] = (char)(was ^ d);
			cr_assert(epochkey_unwrap(&e, m.rsa, m.text, m.len, key) < 0, "byte %zu", i);
		}
		m.text[i] = was;
	}
	for (size_t n = 0; n < m.len; n++)
		cr_assert(epochkey_read(&e, m.text, n) < 0, "cut at %zu", n);
	cr_assert(eq(int, epochkey_read(&e, "dittofs epoch key 2\n", 20), -E_FORMAT));
	cr_assert(eq(int, epochkey_read(&e, "", 0), -E_FORMAT));
	rsakey_free(m.rsa);
}

/* Who knows the public half can wrap a key of his own, and can't sign it. */
Test(epochkey, planted_by_who_has_the_public_half)
{
	uint8_t key[AEAD_KEY] = { 0 }, wrapped[RSAKEY_BYTES];
	struct epochkey e;
	struct made m;
	size_t len;

	make(&m);
	cr_assert(eq(int, rsakey_wrap(m.rsa, key, sizeof(key), wrapped, &len), 0));
	char *at = strstr(m.text, "wrapped ") + 8;
	for (size_t i = 0; i < len; i++) {
		char hex[3];

		snprintf(hex, sizeof(hex), "%02x", wrapped[i]);
		memcpy(at + 2 * i, hex, 2);
	}
	cr_assert(eq(int, epochkey_read(&e, m.text, m.len), 0));
	cr_assert(eq(int, epochkey_unwrap(&e, m.rsa, m.text, m.len, key), -E_DAMAGED));
	rsakey_free(m.rsa);
}
