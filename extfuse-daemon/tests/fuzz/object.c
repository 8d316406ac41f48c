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

static uint8_t *whole;	/* the object as it was */
static size_t whole_size;
static struct range ranges[3];

static void keep_whole(const uint8_t *data, size_t size)
{
	if (whole || find_ranges(data, size, ranges) != 3)
		return;
	whole = malloc(size);
	memcpy(whole, data, size);
	whole_size = size;
}

/* Every other time where a name begins */
static void mutate_range(uint8_t *data, const struct range *r)
{
	size_t at = r->at + rand() % r->len, end = r->at + r->len, len;

	if (rand() % 2)
		while (at + 1 < end && data[at - 1])
			at++;
	len = end - at < 8 ? end - at : 8;
	LLVMFuzzerMutate(data + at, len, len);
}

/* libbpf wants symbols and types to agree, so both get the new name */
static void rename_symbol(uint8_t *data)
{
	char *name = (char *)data + ranges[0].at + rand() % ranges[0].len;
	uint8_t *types = data + ranges[2].at, *found;
	size_t len, k;

	while (name[-1])
		name--;
	len = strlen(name);
	found = memmem(types, ranges[2].len, name, len + 1);
	if (!len || !found)
		return;
	k = rand() % len;
	found[k] = name[k] = 'a' + rand() % 26;
}

/* Most start from the whole object, lest the first check catches nearly all */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max,
			       unsigned int seed)
{
	size_t i;

	keep_whole(data, size);
	if (!whole || max < whole_size)
		return size;
	srand(seed);
	if (size != whole_size || rand() % 4)
		memcpy(data, whole, whole_size);
	if (seed % 64 == 0)
		return rand() % whole_size;
	for (i = 0; i <= seed % 3; i++)
		if (rand() % 2)
			rename_symbol(data);
		else
			mutate_range(data, &ranges[rand() % 3]);
	return whole_size;
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
