/* SPDX-License-Identifier: Apache-2.0 */
/* Hostile dittofs.yaml: an error with a sentence, or settings that can be shown and loaded again. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tools/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void
write_file(const char *path, const void *data, size_t len)
{
	FILE *f = fopen(path, "we");

	if (!f || fwrite(data, 1, len, f) != len || fclose(f))
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct config c;
	static char path[64], why[4096];

	if (!path[0])
		snprintf(path, sizeof(path), "/dev/shm/fuzz_config.%d.yaml", (int)getpid());
	write_file(path, data, len);
	if (config_load(&c, path, why, sizeof(why)) < 0) {
		if (!strstr(why, path))
			abort(); /* an error that does not say where */
	} else {
		char *text = config_show(&c);

		write_file(path, text, strlen(text));
		if (config_load(&c, path, why, sizeof(why)) < 0)
			abort();
		free(text);
	}
	unlink(path);
	return 0;
}
