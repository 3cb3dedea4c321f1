/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/rsakey.h"

#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crypto/digest.h"
#include "crypto/secret.h"

#define FILE_MAX       65536
#define PASSPHRASE_MAX 1024
#define BITS_MAX       (RSAKEY_BYTES * 8)

struct rsakey {
	EVP_PKEY *pkey;
	uint8_t id[RSAKEY_ID];
};

/* ---- files that nobody else may read */

/* `what`: "the key file". */
static int
check_file(int fd, const char *what, const char *file, char why[256])
{
	struct stat st;

	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		snprintf(why, 256, "%s %.150s is no file", what, file);
		return -EINVAL;
	}
	if (st.st_mode & 077 || (st.st_uid != geteuid() && st.st_uid != 0)) {
		snprintf(why, 256, "%s %.150s is open to others (mode %04o): chmod 600, and it must be yours", what, file,
		         (unsigned)st.st_mode & 07777);
		return -EPERM;
	}
	return 0;
}

/* Into a secret of FILE_MAX bytes, with a final zero.  Returns the bytes. */
static int
read_file(char *text, const char *what, const char *file, char why[256])
{
	int err, fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	ssize_t n;

	if (fd < 0) {
		err = -errno;
		snprintf(why, 256, "cannot open %s %.150s: %s", what, file, strerror(errno));
		return err;
	}
	err = check_file(fd, what, file, why);
	if (err == 0 && (n = read(fd, text, FILE_MAX - 1)) < 0) {
		err = -errno;
		snprintf(why, 256, "cannot read %s %.150s: %s", what, file, strerror(errno));
	} else if (err == 0) {
		text[n] = '\0';
		err = (int)n;
	}
	close(fd);
	return err;
}

/* ---- passphrases */

static int
keep_passphrase(char **out, const char *s, size_t len)
{
	if (len == 0)
		return 0; /* an empty one is none */
	if (len >= PASSPHRASE_MAX)
		return -E2BIG;
	*out = secret_alloc(PASSPHRASE_MAX);
	if (!*out)
		return -ENOMEM;
	memcpy(*out, s, len);
	(*out)[len] = '\0';
	return 0;
}

static int
passphrase_of_file(char **out, const char *file, char why[256])
{
	char *text = secret_alloc(FILE_MAX);
	int n = text ? read_file(text, "the passphrase file", file, why) : -ENOMEM;

	if (n >= 0)
		n = keep_passphrase(out, text, strcspn(text, "\r\n"));
	if (n == -E2BIG)
		snprintf(why, 256, "the first line of the passphrase file %.100s has %d bytes or more", file, PASSPHRASE_MAX);
	else if (n == -ENOMEM)
		snprintf(why, 256, "no memory for the passphrase");
	else if (n == 0 && !*out)
		snprintf(why, 256, "the passphrase file %.120s begins with an empty line", file);
	if (text)
		secret_free(text, FILE_MAX);
	return n < 0 ? n : *out ? 0 : -EINVAL;
}

int
passphrase_load(char **out, const char *env, const char *file, char why[256])
{
	char *value;
	int err;

	*out = NULL;
	if (*file)
		return passphrase_of_file(out, file, why);
	value = getenv(env);
	if (!value)
		return 0;
	err = keep_passphrase(out, value, strlen(value));
	if (err == -E2BIG)
		snprintf(why, 256, "%.60s has %d bytes or more", env, PASSPHRASE_MAX);
	else if (err < 0)
		snprintf(why, 256, "no memory for the passphrase");
	OPENSSL_cleanse(value, strlen(value));
	unsetenv(env);
	return err;
}

void
passphrase_free(char *p)
{
	if (p)
		secret_free(p, PASSPHRASE_MAX);
}

/* ---- the key */

struct asked {
	const char *passphrase;
	bool is;
};

static int
give_passphrase(char *buf, int size, int writing, void *arg)
{
	struct asked *a = arg;
	size_t len;

	(void)writing;
	a->is = true;
	if (!a->passphrase)
		return -1;
	len = strlen(a->passphrase);
	if (size < 0 || len > (size_t)size)
		return -1;
	memcpy(buf, a->passphrase, len);
	return (int)len;
}

static int
why_no_key(const char *file, const char *text, const struct asked *a, char why[256])
{
	if (a->is && !a->passphrase) {
		snprintf(why, 256, "the key file %.120s is under a passphrase: set DITTOFS_ENCRYPTION_PASSPHRASE, or name a file "
		         "that holds it (passphrase_file)", file);
		return -EACCES;
	}
	if (a->is) {
		snprintf(why, 256, "the key file %.140s cannot be opened with this passphrase: it is the wrong one, or the file is damaged",
		         file);
		return -EACCES;
	}
	if (strstr(text, "-----BEGIN PUBLIC KEY") || strstr(text, "-----BEGIN CERTIFICATE"))
		snprintf(why, 256, "the key file %.130s holds a public key only; the private one is needed (openssl genrsa -out FILE 3072)",
		         file);
	else
		snprintf(why, 256, "the key file %.130s holds no private key in PEM form; `openssl genrsa -out FILE 3072` makes one", file);
	return -EINVAL;
}

static int
check_kind(EVP_PKEY *pkey, const char *file, char why[256])
{
	int bits = EVP_PKEY_get_bits(pkey);

	if (!EVP_PKEY_is_a(pkey, "RSA")) {
		snprintf(why, 256, "the key file %.100s holds a key of the kind %.20s; it must be RSA (openssl genrsa -out FILE 3072)", file,
		         EVP_PKEY_get0_type_name(pkey) ? EVP_PKEY_get0_type_name(pkey) : "?");
		return -EINVAL;
	}
	if (bits < RSAKEY_BITS_MIN || bits > BITS_MAX) {
		snprintf(why, 256, "the key file %.120s holds an RSA key of %d bits; %d to %d are possible", file, bits, RSAKEY_BITS_MIN,
		         BITS_MAX);
		return -EINVAL;
	}
	return 0;
}

static int
take_id(struct rsakey *k)
{
	uint8_t *der = NULL;
	int len = i2d_PUBKEY(k->pkey, &der);
	struct iovec iov = { der, (size_t)MAX(len, 0) };

	if (len <= 0)
		return -ENOMEM;
	digest_sha256(&iov, 1, k->id);
	OPENSSL_free(der);
	return 0;
}

static int
parse(struct rsakey *k, const char *file, char *text, int len, const char *passphrase, char why[256])
{
	struct asked asked = { .passphrase = passphrase };
	BIO *bio = BIO_new_mem_buf(text, len);
	int err;

	k->pkey = bio ? PEM_read_bio_PrivateKey(bio, NULL, give_passphrase, &asked) : NULL;
	BIO_free(bio);
	ERR_clear_error(); /* what it has to say is of no help to people */
	if (!k->pkey)
		return why_no_key(file, text, &asked, why);
	err = check_kind(k->pkey, file, why);
	if (err == 0 && (err = take_id(k)) < 0)
		snprintf(why, 256, "no memory for the key of %.150s", file);
	return err;
}

int
rsakey_load(struct rsakey **out, const char *file, const char *passphrase, char why[256])
{
	struct rsakey *k = calloc(1, sizeof(*k));
	char *text = secret_alloc(FILE_MAX);
	int err = -ENOMEM;

	*out = NULL;
	if (!k || !text)
		snprintf(why, 256, "no memory for the key");
	else if ((err = read_file(text, "the key file", file, why)) >= 0)
		err = parse(k, file, text, err, passphrase, why);
	if (text)
		secret_free(text, FILE_MAX);
	if (err < 0)
		rsakey_free(k);
	else
		*out = k;
	return err;
}

void
rsakey_free(struct rsakey *k)
{
	if (!k)
		return;
	EVP_PKEY_free(k->pkey);
	free(k);
}

const uint8_t *
rsakey_id(const struct rsakey *k)
{
	return k->id;
}

/* ---- what it does */

static bool
oaep(EVP_PKEY_CTX *c)
{
	return EVP_PKEY_CTX_set_rsa_padding(c, RSA_PKCS1_OAEP_PADDING) == 1 && EVP_PKEY_CTX_set_rsa_oaep_md(c, EVP_sha256()) == 1 &&
	       EVP_PKEY_CTX_set_rsa_mgf1_md(c, EVP_sha256()) == 1;
}

int
rsakey_wrap(struct rsakey *k, const void *secret, size_t secret_len, uint8_t out[RSAKEY_BYTES], size_t *len)
{
	EVP_PKEY_CTX *c = EVP_PKEY_CTX_new(k->pkey, NULL);
	bool ok;

	*len = RSAKEY_BYTES;
	ok = c && EVP_PKEY_encrypt_init(c) == 1 && oaep(c) && EVP_PKEY_encrypt(c, out, len, secret, secret_len) == 1;
	EVP_PKEY_CTX_free(c);
	ERR_clear_error();
	return ok ? 0 : -EIO;
}

int
rsakey_unwrap(struct rsakey *k, const uint8_t *wrapped, size_t wrapped_len, void *secret, size_t secret_len)
{
	uint8_t plain[RSAKEY_BYTES];
	size_t len = sizeof(plain);
	EVP_PKEY_CTX *c = EVP_PKEY_CTX_new(k->pkey, NULL);
	bool ok = c && EVP_PKEY_decrypt_init(c) == 1 && oaep(c) && EVP_PKEY_decrypt(c, plain, &len, wrapped, wrapped_len) == 1 &&
	          len == secret_len;

	if (ok)
		memcpy(secret, plain, secret_len);
	OPENSSL_cleanse(plain, sizeof(plain));
	EVP_PKEY_CTX_free(c);
	ERR_clear_error();
	return ok ? 0 : -E_DAMAGED;
}

static bool
pss(EVP_PKEY_CTX *c)
{
	return EVP_PKEY_CTX_set_rsa_padding(c, RSA_PKCS1_PSS_PADDING) == 1 &&
	       EVP_PKEY_CTX_set_rsa_pss_saltlen(c, RSA_PSS_SALTLEN_DIGEST) == 1;
}

int
rsakey_sign(struct rsakey *k, const void *text, size_t text_len, uint8_t out[RSAKEY_BYTES], size_t *len)
{
	EVP_MD_CTX *c = EVP_MD_CTX_new();
	EVP_PKEY_CTX *p;
	bool ok;

	*len = RSAKEY_BYTES;
	ok = c && EVP_DigestSignInit(c, &p, EVP_sha256(), NULL, k->pkey) == 1 && pss(p) &&
	     EVP_DigestSign(c, out, len, text, text_len) == 1;
	EVP_MD_CTX_free(c);
	ERR_clear_error();
	return ok ? 0 : -EIO;
}

int
rsakey_verify(struct rsakey *k, const void *text, size_t text_len, const uint8_t *sig, size_t len)
{
	EVP_MD_CTX *c = EVP_MD_CTX_new();
	EVP_PKEY_CTX *p;
	bool ok = c && EVP_DigestVerifyInit(c, &p, EVP_sha256(), NULL, k->pkey) == 1 && pss(p) &&
	          EVP_DigestVerify(c, sig, len, text, text_len) == 1;

	EVP_MD_CTX_free(c);
	ERR_clear_error();
	return ok ? 0 : -E_DAMAGED;
}
