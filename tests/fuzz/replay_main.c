/* SPDX-License-Identifier: Apache-2.0 */
/* Runs a fuzz target over files, or over all files of directories: with any compiler, without libFuzzer. */
#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerInitialize(int *argc, char ***argv) __attribute__((weak));

static int files;

static int
replay_file(const char *path)
{
	FILE *f = fopen(path, "re");
	uint8_t *data;
	long len;

	if (!f || fseek(f, 0, SEEK_END) < 0 || (len = ftell(f)) < 0 || fseek(f, 0, SEEK_SET) < 0) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		return 1;
	}
	/* Exactly so many bytes, so that ASan sees who reads on. */
	data = malloc(len > 0 ? (size_t)len : 1);
	if (!data || fread(data, 1, (size_t)len, f) != (size_t)len) {
		fprintf(stderr, "%s: cannot read it\n", path);
		return 1;
	}
	fclose(f);
	LLVMFuzzerTestOneInput(data, (size_t)len);
	free(data);
	files++;
	return 0;
}

static int
replay(const char *path)
{
	DIR *d = opendir(path);
	struct dirent *e;
	char file[4096];
	int err = 0;

	if (!d)
		return errno == ENOTDIR ? replay_file(path) : (perror(path), 1);
	while ((e = readdir(d))) {
		if (e->d_name[0] == '.')
			continue;
		snprintf(file, sizeof file, "%s/%s", path, e->d_name);
		err |= replay_file(file);
	}
	closedir(d);
	return err;
}

int
main(int argc, char **argv)
{
	int err = 0;

	if (LLVMFuzzerInitialize)
		LLVMFuzzerInitialize(&argc, &argv);
	for (int i = 1; i < argc; i++)
		err |= replay(argv[i]);
	printf("%-24s %4d inputs\n", strrchr(argv[0], '/') ? strrchr(argv[0], '/') + 1 : argv[0], files);
	return err || files == 0;
}
