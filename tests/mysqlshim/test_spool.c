/* A block is what was written, small or large, or it is none. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mysqlshim/spool.h"

#define LARGE (SPOOL_MEMORY_BYTES + 12345)

static uint8_t data[LARGE];

static void
fill(void)
{
	for (uint32_t i = 0; i < LARGE; i++)
		data[i] = (uint8_t)(i * 7 + (i >> 12));
}

static uint8_t *
written(struct spool *s, uint64_t bytes, const char *folder)
{
	cr_assert(spool_open(s, bytes, folder));
	for (uint64_t at = 0; at < bytes; at += 5000)
		cr_assert(spool_write(s, data + at, bytes - at < 5000 ? bytes - at : 5000));
	return spool_close(s);
}

static void
is_given_back(uint64_t bytes)
{
	struct spool s;

	fill();
	uint8_t *block = written(&s, bytes, ".");
	cr_assert(block);
	cr_assert_eq((uintptr_t)block % sizeof(uint64_t), 0);
	cr_assert_eq(memcmp(block, data, bytes), 0);
	spool_forget(block);
	cr_assert_eq(memcmp(block, data, bytes), 0);
	spool_free(block);
}

Test(mysqlshim_spool, a_small_block)
{
	is_given_back(1);
	is_given_back(SPOOL_MEMORY_BYTES);
}

Test(mysqlshim_spool, a_large_block)
{
	is_given_back(SPOOL_MEMORY_BYTES + 1);
	is_given_back(LARGE);
}

/* Of the mapping that holds the block. */
static long
resident_kib(const uint8_t *block)
{
	char line[512];
	unsigned long from = 0, to = 0;
	long kib = -1;
	FILE *file = fopen("/proc/self/smaps", "r");

	cr_assert(file);
	while (kib < 0 && fgets(line, sizeof line, file)) {
		bool inside = (uintptr_t)block >= from && (uintptr_t)block < to;

		if (!inside || sscanf(line, "Rss: %ld", &kib) != 1)
			(void)sscanf(line, "%lx-%lx ", &from, &to);
	}
	fclose(file);
	return kib;
}

Test(mysqlshim_spool, a_large_block_that_is_forgotten_is_not_in_this_process_memory)
{
	struct spool s;

	fill();
	uint8_t *block = written(&s, LARGE, ".");
	cr_assert_eq(memcmp(block, data, LARGE), 0);
	cr_assert_geq(resident_kib(block), LARGE >> 10);
	spool_forget(block);
	cr_assert_eq(resident_kib(block), 0);
	spool_free(block);
}

Test(mysqlshim_spool, what_is_not_whole_is_no_block)
{
	struct spool s;

	for (uint64_t bytes = 100; bytes <= LARGE; bytes += LARGE - 100) {
		cr_assert(spool_open(&s, bytes, "."));
		cr_assert(spool_write(&s, data, bytes - 1));
		cr_assert_null(spool_close(&s));
		spool_drop(&s);
	}
}

Test(mysqlshim_spool, more_than_was_announced_is_refused)
{
	struct spool s;

	cr_assert(spool_open(&s, 10, "."));
	cr_assert(spool_write(&s, data, 6));
	cr_assert_not(spool_write(&s, data, 5));
	spool_drop(&s);
}

Test(mysqlshim_spool, a_folder_that_is_not_there_takes_no_large_block)
{
	struct spool s;

	cr_assert_not(spool_open(&s, LARGE, "./there-is-no-such-folder"));
	spool_drop(&s);
	cr_assert(spool_open(&s, 10, "./there-is-no-such-folder"), "a small one needs none");
	spool_drop(&s);
}

/* Nothing stays where a crash would leave it. */
Test(mysqlshim_spool, it_leaves_no_name_in_the_folder)
{
	struct spool s;
	char folder[] = "spool-XXXXXX";

	cr_assert(mkdtemp(folder));
	fill();
	uint8_t *block = written(&s, LARGE, folder);
	cr_assert_eq(rmdir(folder), 0);
	cr_assert_eq(memcmp(block, data, LARGE), 0);
	spool_free(block);
}
