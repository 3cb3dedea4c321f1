/* SPDX-License-Identifier: Apache-2.0 */
#include <jansson.h>

#include "crypto/digest.h"
#include "tools/daemon.h"
#include "tools/volume_keys.h"

static json_t *
one(const struct epochkey *e)
{
	char rsa[2 * RSAKEY_ID + 1];

	digest_hex(e->rsa, RSAKEY_ID, rsa);
	return json_pack("{s:I, s:s, s:I, s:s}", "epoch", (json_int_t)e->epoch, "cipher", aead_name(e->cipher), "made", (json_int_t)e->made_s,
		"rsa", rsa);
}

char *
report_keys_json(void)
{
	json_t *keys = json_array();
	struct volume_keys k;
	char why[256] = "";
	int err = volume_keys_read(&k, why);

	for (int i = 0; i < k.n && err == 0; i++)
		json_array_append_new(keys, one(&k.v[i].e));
	volume_keys_free(&k);
	json_t *j = json_pack("{s:o, s:s?}", "keys", keys, "error", err < 0 ? why : NULL);
	char *text = json_dumps(j, JSON_INDENT(2));

	json_decref(j);
	return text;
}
