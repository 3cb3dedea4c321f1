/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names of functions for the log of slow laps.  dladdr knows exported names
 * only, and ours are static; so the symbol table of the program is read.
 */
#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "reactor/core.h"

static const ElfW(Sym) *syms;
static size_t nsyms;
static const char *strs;
static size_t strs_bytes;
static uintptr_t load_bias;

static int
note_bias(struct dl_phdr_info *info, size_t size, void *arg)
{
	(void)size;
	(void)arg;
	load_bias = info->dlpi_addr;
	return 1; /* the first is the program itself */
}

static bool
within(size_t bytes, uint64_t off, uint64_t len)
{
	return off <= bytes && len <= bytes - off;
}

static void
find_table(const uint8_t *file, size_t bytes)
{
	const ElfW(Ehdr) *eh = (const void *)file;
	const ElfW(Shdr) *sh;

	if (bytes < sizeof(*eh) || memcmp(eh->e_ident, ELFMAG, SELFMAG) != 0 ||
	    eh->e_shentsize != sizeof(*sh) ||
	    !within(bytes, eh->e_shoff, (uint64_t)eh->e_shnum * sizeof(*sh)))
		return;
	sh = (const void *)(file + eh->e_shoff);
	for (int i = 0; i < eh->e_shnum; i++) {
		const ElfW(Shdr) *str;

		if (sh[i].sh_type != SHT_SYMTAB || sh[i].sh_link >= eh->e_shnum)
			continue;
		str = &sh[sh[i].sh_link];
		if (!within(bytes, sh[i].sh_offset, sh[i].sh_size) ||
		    !within(bytes, str->sh_offset, str->sh_size))
			return;
		syms = (const void *)(file + sh[i].sh_offset);
		nsyms = sh[i].sh_size / sizeof(*syms);
		strs = (const char *)file + str->sh_offset;
		strs_bytes = str->sh_size;
		return;
	}
}

void
symbol_init(void)
{
	struct stat st;
	void *file;
	int fd;

	if (syms)
		return;
	fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	if (fstat(fd, &st) == 0) {
		file = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
		if (file != MAP_FAILED) {
			dl_iterate_phdr(note_bias, NULL);
			find_table(file, (size_t)st.st_size);
		}
	}
	close(fd);
}

const char *
symbol_name(uintptr_t fn)
{
	for (size_t i = 0; i < nsyms; i++)
		if ((syms[i].st_info & 0xf) == STT_FUNC && syms[i].st_name < strs_bytes &&
		    syms[i].st_value + load_bias == fn)
			return strs + syms[i].st_name;
	return "?";
}
