/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/kv_merge.h"

#include <stdlib.h>

#include "reactor/base.h"

#define SUM_BYTES_MAX 64

static char *
append(const char *base, size_t base_len, const char *const *op, const size_t *len, int n, size_t *out_len)
{
	size_t total = base_len;
	char *out, *p;

	for (int i = 0; i < n; i++)
		total += len[i];
	out = malloc(MAX(total, 1));
	if (!out)
		return NULL;
	p = out;
	if (base_len)
		memcpy(p, base, base_len);
	p += base_len;
	for (int i = 0; i < n; i++) {
		memcpy(p, op[i], len[i]);
		p += len[i];
	}
	*out_len = total;
	return out;
}

/* A shorter vector counts as if zeros followed, so a record may grow columns. */
static bool
add(char *sum, size_t *sum_len, const char *v, size_t len)
{
	if (len % 8 || len > SUM_BYTES_MAX)
		return false;
	for (size_t i = 0; i < len; i += 8)
		put_le64(sum + i, get_le64(sum + i) + get_le64(v + i));
	*sum_len = MAX(*sum_len, len);
	return true;
}

static char *
merge(const char *key, size_t klen, const char *base, size_t base_len, const char *const *op,
      const size_t *len, int n, unsigned char *success, size_t *out_len)
{
	char sum[SUM_BYTES_MAX] = { 0 };
	char *out = NULL;

	*out_len = 0;
	if (klen > 0 && key[0] == 'C') {
		out = append(base, base_len, op, len, n, out_len);
	} else if (klen > 0 && (key[0] == 'U' || key[0] == 'P')) {
		bool good = add(sum, out_len, base, base_len);

		for (int i = 0; i < n; i++)
			good = good && add(sum, out_len, op[i], len[i]);
		if (good)
			out = append(sum, *out_len, NULL, NULL, 0, out_len);
	}
	*success = out != NULL;
	return out;
}

char *
kv_merge_full(void *state, const char *key, size_t klen, const char *base, size_t base_len,
              const char *const *op, const size_t *len, int n, unsigned char *success, size_t *out_len)
{
	(void)state;
	return merge(key, klen, base, base ? base_len : 0, op, len, n, success, out_len);
}

char *
kv_merge_partial(void *state, const char *key, size_t klen, const char *const *op, const size_t *len,
                 int n, unsigned char *success, size_t *out_len)
{
	(void)state;
	return merge(key, klen, NULL, 0, op, len, n, success, out_len);
}

void
kv_merge_free(void *state, const char *val, size_t len)
{
	(void)state;
	(void)len;
	free((void *)(uintptr_t)val);
}
