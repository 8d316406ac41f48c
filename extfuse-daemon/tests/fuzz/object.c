// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * libFuzzer: the checks of the BPF object.  Input: an object, or a start of
 * one.  Mutated are names, constants and the layout in it: what our checks
 * read.  The rest is libbpf's to parse, and libbpf 1.1 dies of some of it.
 */
#include <elf.h>
#include <linux/btf.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../../lib/ladder.h"

static int fd = -1;
static int lines;

static void count_line(const char *line)
{
	(void)line;
	lines++;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max,
			       unsigned int seed);

struct range {
	size_t at;
	size_t len;
};

/* Where strings and constants are: .rodata, .strtab, and .BTF's strings */
static int find_ranges(const uint8_t *data, size_t size, struct range *r)
{
	const Elf64_Ehdr *eh = (const void *)data;
	const struct btf_header *btf;
	const Elf64_Shdr *sh;
	const char *names;
	int i, n = 0;

	if (size < sizeof(*eh) || memcmp(data, ELFMAG, SELFMAG) ||
	    eh->e_shoff + eh->e_shnum * sizeof(*sh) > size)
		return 0;
	sh = (const void *)(data + eh->e_shoff);
	names = (const char *)data + sh[eh->e_shstrndx].sh_offset;
	for (i = 0; i < eh->e_shnum && n < 3; i++) {
		r[n] = (struct range) { sh[i].sh_offset, sh[i].sh_size };
		btf = (const void *)(data + sh[i].sh_offset);
		if (i == eh->e_shstrndx ||
		    !strcmp(names + sh[i].sh_name, ".rodata"))
			n++;
		else if (!strcmp(names + sh[i].sh_name, ".BTF"))
			r[n++] = (struct range) {
				sh[i].sh_offset + btf->hdr_len + btf->str_off + 1,
				btf->str_len - 2,
			};
	}
	return n;
}

/* Ranges are those of the first input, which is whole and never moves. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max,
			       unsigned int seed)
{
	static struct range ranges[3];
	static size_t whole;
	struct range *r;
	size_t at, len, i;

	(void)max;
	if (!whole && find_ranges(data, size, ranges) == 3)
		whole = size;
	srand(seed);
	if (!whole || size < whole)
		return size;
	if (seed % 64 == 0)
		return rand() % size;
	for (i = 0; i <= seed % 3; i++) {
		r = &ranges[rand() % 3];
		at = r->at + rand() % r->len;
		len = r->at + r->len - at;
		LLVMFuzzerMutate(data + at, len < 8 ? len : 8, len < 8 ? len : 8);
	}
	return size;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ebpf_opts opts = {
		.size = sizeof(opts),
		.log = count_line,
	};
	char path[32];
	int err;

	if (fd < 0)
		fd = memfd_create("object", MFD_CLOEXEC);
	if (fd < 0 || ftruncate(fd, 0) ||
	    pwrite(fd, data, size, 0) != (ssize_t)size)
		abort();
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	lines = 0;
	err = ebpf_check(path, &opts);
	/* a refusal has one line that says why */
	if (err > 0 || (err ? lines != 1 : lines != 0))
		abort();
	return 0;
}
