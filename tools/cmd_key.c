/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <time.h>

#include "crypto/seal.h"
#include "reactor/reactor.h"
#include "tools/cmd.h"
#include "tools/control_client.h"
#include "tools/daemon.h"
#include "tools/volume_keys.h"

struct key_args {
	const char *file, *new_key, *new_passphrase_file;
	enum aead cipher;
	bool json;
	struct config config;
	struct volume_open vol;
};

/* ---- list: of the running server, or of the volume that nobody has open */

static void
show(const json_t *keys)
{
	size_t n = json_array_size(keys);

	if (n == 0)
		printf("the volume is not encrypted\n");
	else
		printf("%-6s %-10s %-20s %s\n", "EPOCH", "CIPHER", "MADE (UTC)", "RSA KEY");
	for (size_t i = 0; i < n; i++) {
		const json_t *k = json_array_get(keys, i);
		time_t made = (time_t)json_integer_value(json_object_get(k, "made"));
		char when[32] = "?";
		struct tm tm;

		if (gmtime_r(&made, &tm))
			strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S", &tm);
		printf("%-6lld %-10s %-20s %.16s%s\n", json_integer_value(json_object_get(k, "epoch")),
			json_string_value(json_object_get(k, "cipher")), when, json_string_value(json_object_get(k, "rsa")),
			i + 1 == n ? "   new data" : "");
	}
}

static int
list(struct key_args *a)
{
	char why[256], *text = NULL;
	int err = control_get(a->config.control, "/keys", &text, why);

	if (err < 0) {
		err = volume_open(&a->vol, &a->config, 1, why);
		if (err < 0)
			return cmd_fail("key", "%s", why);
		text = report_keys_json();
		volume_close(&a->vol);
	}
	json_t *j = json_loads(text, 0, NULL);
	const char *error = json_string_value(json_object_get(j, "error"));

	if (error)
		err = cmd_fail("key", "%s", error);
	else if (a->json)
		err = puts(text) < 0;
	else
		show(json_object_get(j, "keys")), err = 0;
	json_decref(j);
	free(text);
	return err;
}

/* ---- what changes keys: with the volume open, its objects claimed, and a reactor for the store */

static int
with_store(struct key_args *a, int (*change)(struct key_args *a, struct rsakey *rsa, char why[256]), struct rsakey *rsa, char why[256])
{
	sigset_t stop;
	int err;

	sigemptyset(&stop);
	sigaddset(&stop, SIGTERM);
	sigaddset(&stop, SIGINT);
	pthread_sigmask(SIG_BLOCK, &stop, NULL);
	if ((err = volume_claim(&a->vol, &a->config, &stop, why)) < 0 || (err = volume_store_start(a->vol.store, why)) < 0)
		return err;
	err = change(a, rsa, why);
	volume_release(&a->vol);
	reactor_stop();
	reactor_join();
	return err;
}

static int
make_next(struct key_args *a, struct rsakey *rsa, char why[256])
{
	const struct volume_open *v = &a->vol;
	struct volume_key made;
	int err = volume_key_make(v->store, v->shares[0].prefix, v->vol.uuid, a->cipher, rsa, &made, why);

	if (err == 0)
		printf("key epoch %" PRIu32 " (%s): what is uploaded from now on is encrypted with it\n", made.e.epoch, aead_name(made.e.cipher));
	return err;
}

static int
not_encrypted(char why[256])
{
	snprintf(why, 256, "the volume is not encrypted, so it has no keys; `dittofs format --encrypt` makes one that is");
	return -EINVAL;
}

static int
rotate(struct key_args *a, char why[256])
{
	struct rsakey *rsa = NULL;
	int err = volume_unlock(&a->vol, &a->config, &rsa, why);

	if (!a->cipher)
		a->cipher = seal_cipher(seal_epoch());
	if (err == 0)
		err = rsa ? with_store(a, make_next, rsa, why) : not_encrypted(why);
	rsakey_free(rsa);
	return err;
}

static int
wrap_all(struct key_args *a, struct rsakey *from, char why[256])
{
	struct rsakey *to = NULL;
	char *pass;
	int n, err = passphrase_load(&pass, "DITTOFS_ENCRYPTION_NEW_PASSPHRASE", a->new_passphrase_file, why);

	if (err == 0)
		err = rsakey_load(&to, a->new_key, pass, why);
	if (err == -EACCES && !pass)
		snprintf(why, 256, "the key file %.120s is under a passphrase: set DITTOFS_ENCRYPTION_NEW_PASSPHRASE, or give "
			"--new-passphrase-file", a->new_key);
	passphrase_free(pass);
	if (err == 0)
		err = volume_keys_rewrap(a->vol.store, a->vol.shares[0].prefix, from, to, &n, why);
	if (err == 0)
		printf("%d keys are wrapped for the new RSA key; now set encryption.key_file in %s to %s\n", n, a->config.file, a->new_key);
	rsakey_free(to);
	return err;
}

static int
rewrap(struct key_args *a, char why[256])
{
	struct volume_keys k;
	struct rsakey *from = NULL;
	int err = volume_keys_read(&k, why);

	if (err == 0)
		err = k.n > 0 ? volume_rsa_load(&from, &a->config, why) : not_encrypted(why);
	if (err == 0)
		err = with_store(a, wrap_all, from, why);
	volume_keys_free(&k);
	rsakey_free(from);
	return err;
}

static int
change(struct key_args *a, int (*fn)(struct key_args *a, char why[256]))
{
	char why[256];
	int err = volume_open(&a->vol, &a->config, 1, why);

	if (err < 0)
		return cmd_fail("key", "%s", why);
	err = fn(a, why);
	volume_close(&a->vol);
	return err < 0 ? cmd_fail("key", "%s", why) : 0;
}

int
cmd_key(int argc, char **argv)
{
	static const struct option opts[] = {
		{ "cipher", required_argument, NULL, 'x' }, { "new-key", required_argument, NULL, 'k' },
		{ "new-passphrase-file", required_argument, NULL, 'P' }, { "json", no_argument, NULL, 'j' },
		{ "config", required_argument, NULL, 'c' }, { "help", no_argument, NULL, 'h' }, { 0 },
	};
	static struct key_args a;
	int o;

	a = (struct key_args){ .new_passphrase_file = "" };
	while ((o = getopt_long(argc, argv, "h", opts, NULL)) != -1) {
		if (o == 'x' && (a.cipher = aead_parse(optarg)) != AEAD_NONE)
			;
		else if (o == 'k')
			a.new_key = optarg;
		else if (o == 'P')
			a.new_passphrase_file = optarg;
		else if (o == 'j')
			a.json = true;
		else if (o == 'c')
			a.file = optarg;
		else
			return cmd_usage("key", o == 'h');
	}
	const char *what = optind < argc ? argv[optind++] : "";
	bool is_rewrap = !strcmp(what, "rewrap"), is_rotate = !strcmp(what, "rotate");

	if (argc - optind != (a.file ? 0 : 1) || is_rewrap != !!a.new_key || (!is_rewrap && !is_rotate && strcmp(what, "list")))
		return cmd_usage("key", false);
	prctl(PR_SET_DUMPABLE, 0); /* as the server: no core dump of keys */
	log_set_level(LOG_WARN);
	if (cmd_config_of("key", a.file, argv[optind], &a.config))
		return 1;
	return is_rewrap ? change(&a, rewrap) : is_rotate ? change(&a, rotate) : list(&a);
}
