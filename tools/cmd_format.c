/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tools/cmd.h"
#include "tools/volume.h"

/* What a volume consists of below DIR; format refuses where any of it is. */
static const char *const parts[] = { CONFIG_FILE, "meta", "journal", "cache", "objects" };

static int
refuse_existing(const char *dir)
{
	char path[4200];

	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, parts[i]);
		if (access(path, F_OK) == 0)
			return cmd_fail("format", "%s exists: there is a volume already (or the rest of one); nothing was changed.  "
				"Choose another directory, or remove this one yourself", path);
	}
	return 0;
}

struct encrypt {
	enum aead cipher; /* AEAD_NONE: not at all */
	const char *key_file, *passphrase_file;
};

/* compression: instead of the config's, or NULL. */
static int
make_volume(const char *file, const char *dir, enum aead cipher, const struct codec_choice *compression, struct config *c)
{
	char why[256];

	if (cmd_config_of("format", file, dir, c))
		return 1;
	for (unsigned i = 0; compression && i < c->nshares; i++)
		c->compression[i] = (struct config_compression){ .choice = *compression };
	int err = volume_format(c, cipher, why);
	if (err < 0)
		return cmd_fail("format", "%s; what there was of it is removed again", why);
	printf("made a volume with %s%s below %s\nserve it:  dittofs serve %s%s\n", c->shares[0].name,
		c->nshares > 1 ? " and more" : "", c->meta, file ? "--config " : "", file ? file : dir);
	return 0;
}

int
cmd_format(int argc, char **argv)
{
	static const struct option opts[] = {
		{ "share", required_argument, NULL, 's' }, { "config", required_argument, NULL, 'c' },
		{ "objects", required_argument, NULL, 'o' }, { "endpoint", required_argument, NULL, 'e' },
		{ "region", required_argument, NULL, 'r' }, { "style", required_argument, NULL, 'y' },
		{ "credentials-file", required_argument, NULL, 'f' }, { "profile", required_argument, NULL, 'p' },
		{ "ca-file", required_argument, NULL, 'a' }, { "compress", required_argument, NULL, 'z' },
		{ "encrypt", required_argument, NULL, 'x' }, { "encrypt-key", required_argument, NULL, 'k' },
		{ "passphrase-file", required_argument, NULL, 'P' }, { "help", no_argument, NULL, 'h' }, { 0 },
	};
	static struct config c;
	const char *shares[CONFIG_SHARES_MAX] = { "/export" };
	const char *file = NULL, *objects = "file://objects";
	struct s3_opts s3 = { .endpoint = "", .region = "", .credentials_file = "", .profile = "", .ca_file = "" };
	struct codec_choice compression = { CODEC_RAW, 0 };
	struct encrypt encrypt = { .key_file = "", .passphrase_file = "" };
	bool changed = false; /* what --config says already */
	int o, n = 0;

	while ((o = getopt_long(argc, argv, "h", opts, NULL)) != -1) {
		if (o == 's' && n < CONFIG_SHARES_MAX)
			shares[n++] = optarg;
		else if (o == 'c')
			file = optarg;
		else if (o == 'o')
			objects = optarg, changed = true;
		else if (o == 'e')
			s3.endpoint = optarg, changed = true;
		else if (o == 'r')
			s3.region = optarg, changed = true;
		else if (o == 'y' && parse_style(optarg, &s3.style) == 0)
			changed = true;
		else if (o == 'f')
			s3.credentials_file = optarg, changed = true;
		else if (o == 'p')
			s3.profile = optarg, changed = true;
		else if (o == 'a')
			s3.ca_file = optarg, changed = true;
		else if (o == 'z' && codec_parse(optarg, &compression) == 0)
			changed = true;
		else if (o == 'z')
			return cmd_fail("format", "'%s' is no compression; --compress takes " CODEC_WORDS, optarg);
		else if (o == 'x' && (encrypt.cipher = aead_parse(optarg)) != AEAD_NONE)
			;
		else if (o == 'x')
			return cmd_fail("format", "--encrypt %s: there is no such cipher; it may be aes256gcm or chacha20", optarg);
		else if (o == 'k')
			encrypt.key_file = optarg, changed = true;
		else if (o == 'P')
			encrypt.passphrase_file = optarg, changed = true;
		else
			return cmd_usage("format", o == 'h');
	}
	if (!file && !encrypt.cipher != !*encrypt.key_file)
		return cmd_fail("format", "--encrypt CIPHER and --encrypt-key FILE go together; `openssl genrsa -aes256 -out FILE 3072` makes a key");
	if (file) {
		if (argc != optind || n || changed)
			return cmd_usage("format", false);
		return make_volume(file, NULL, encrypt.cipher, NULL, &c);
	}
	if (argc - optind != 1)
		return cmd_usage("format", false);
	const char *dir = argv[optind];

	if (refuse_existing(dir))
		return 1;
	bool made = mkdir(dir, 0700) == 0;

	if (!made && errno != EEXIST)
		return cmd_fail("format", "cannot make %s: %s", dir, strerror(errno));
	char path[4200], why[256];

	snprintf(path, sizeof(path), "%s/" CONFIG_FILE, dir);
	if (config_write(path, shares, n ? n : 1, objects, &s3, encrypt.key_file, encrypt.passphrase_file, why) < 0)
		cmd_fail("format", "%s", why);
	else if (make_volume(NULL, dir, encrypt.cipher, &compression, &c) == 0)
		return 0;
	/* Ours alone: refuse_existing saw none of it. */
	unlink(path);
	if (made)
		rmdir(dir);
	return 1;
}
