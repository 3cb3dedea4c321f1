/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/secret.h"

#include <openssl/crypto.h>
#include <sys/mman.h>
#include <sys/random.h>

void *
secret_alloc(size_t len)
{
	size_t pages = ROUND_UP(len, PAGE);
	void *p = mmap(NULL, pages, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return NULL;
	(void)madvise(p, pages, MADV_DONTDUMP);
	(void)mlock(p, pages);
	return p;
}

void
secret_free(void *p, size_t len)
{
	if (!p)
		return;
	secret_wipe(p, len);
	munmap(p, ROUND_UP(len, PAGE));
}

void
secret_wipe(void *p, size_t len)
{
	OPENSSL_cleanse(p, len);
}

void
secret_random(void *p, size_t len)
{
	uint8_t *at = p;

	while (len > 0) {
		ssize_t n = getrandom(at, len, 0);

		assert(n > 0 || errno == EINTR);
		if (n > 0) {
			at += n;
			len -= (size_t)n;
		}
	}
}
