/*
 * A fuzz target without a fuzzer: its corpus, then deterministic mutations.
 *
 *     replay CORPUS [MUTATIONS]
 *
 * Every input is a block of exactly its size from malloc, so that the address
 * sanitizer sees the first byte beyond. The inputs run in a child process: when
 * it dies, by whatever means, the parent knows which input it was, writes that
 * to fuzz-crash.bin in the working folder, and says how to run it alone (a
 * corpus may be a folder with one file, and MUTATIONS 0).
 */
#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/must.h"
#include "tests/fuzz/fuzz.h"

#define FILES_MAX         1024u
#define INPUT_BYTES_MAX   8192u
#define MUTATIONS_DEFAULT 20000u
#define EDITS_MAX         6u
#define SECONDS_MAX       60u /* for all inputs; an endless loop is a failure too */

struct corpus {
	uint32_t count;
	uint32_t bytes[FILES_MAX];
	uint8_t *data[FILES_MAX];
	char *name[FILES_MAX];
};

static struct corpus corpus;

static uint64_t
draw(uint64_t *state)
{
	uint64_t z = *state += 0x9E3779B97F4A7C15u;

	z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
	z = (z ^ z >> 27) * 0x94D049BB133111EBu;
	return z ^ z >> 31;
}

static int
visible(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

/* Sorted by name: the mutations depend on the order. */
static bool
corpus_read(const char *folder)
{
	struct dirent **entry;
	int found = scandir(folder, &entry, visible, alphasort);

	for (int i = 0; i < found && corpus.count < FILES_MAX; i++) {
		char path[4096];
		uint8_t *data = malloc(INPUT_BYTES_MAX);

		snprintf(path, sizeof path, "%s/%s", folder, entry[i]->d_name);
		FILE *file = fopen(path, "rb");
		if (!file || !data)
			return false;
		corpus.bytes[corpus.count] = (uint32_t)fread(data, 1, INPUT_BYTES_MAX, file);
		corpus.data[corpus.count] = data;
		corpus.name[corpus.count++] = entry[i]->d_name;
		fclose(file);
	}
	if (found > 0)
		free(entry); /* the array; the names stay */
	return found > 0;
}

/* One edit: a bit, a byte, a boundary number of 1, 2, 4 or 8 bytes, a cut, or a
 * piece of another input put in. */
static uint32_t
edit(uint8_t *data, uint32_t n, uint64_t *state)
{
	static const uint64_t edge[8] = {0, 1, 0x7F, 0xFF, 0x8000, 0xFFFF, 0x7FFFFFFF, UINT64_MAX};
	uint32_t at = n > 0 ? (uint32_t)(draw(state) % n) : 0;
	uint32_t width = 1u << draw(state) % 4, other = (uint32_t)(draw(state) % corpus.count);
	uint64_t value = edge[draw(state) % 8] - draw(state) % 2;
	uint32_t kind = (uint32_t)(draw(state) % 6), room = INPUT_BYTES_MAX - at;

	if (kind == 5) {
		uint32_t bytes = corpus.bytes[other] < room ? corpus.bytes[other] : room;
		if (bytes > 0)
			memcpy(data + at, corpus.data[other], bytes);
		return at + bytes > n ? at + bytes : n;
	}
	if (n == 0)
		return n;
	if (kind == 0)
		data[at] ^= (uint8_t)(1u << draw(state) % 8);
	else if (kind == 1)
		data[at] = (uint8_t)draw(state);
	else if (kind == 2)
		return at;
	else
		memcpy(data + at, &value, width < n - at ? width : n - at);
	return n;
}

/* Input number `number`: first the corpus as it is, then mutations of it. */
static uint32_t
input_make(uint32_t number, uint8_t *data)
{
	uint64_t state = number;
	uint32_t from = number % corpus.count, n = corpus.bytes[from];

	memcpy(data, corpus.data[from], n);
	if (number < corpus.count)
		return n;
	uint32_t edits = 1 + (uint32_t)(draw(&state) % EDITS_MAX);
	for (uint32_t i = 0; i < edits; i++)
		n = edit(data, n, &state);
	must(n <= INPUT_BYTES_MAX);
	return n;
}

static void
run_all(uint32_t count, volatile uint32_t *current)
{
	static uint8_t data[INPUT_BYTES_MAX];

	alarm(SECONDS_MAX);
	for (uint32_t i = 0; i < count; i++) {
		uint32_t n = input_make(i, data);
		uint8_t *exact = malloc(n > 0 ? n : 1);

		must(exact);
		memcpy(exact, data, n);
		*current = i;
		if (LLVMFuzzerTestOneInput(exact, n) != 0)
			must(!"a target answers 0");
		free(exact);
	}
}

static int
tell_crash(uint32_t number, int status)
{
	static uint8_t data[INPUT_BYTES_MAX];
	uint32_t n = input_make(number, data);
	FILE *file = fopen("fuzz-crash.bin", "wb");

	if (file) {
		fwrite(data, 1, n, file);
		fclose(file);
	}
	fprintf(stderr, "input %u (%u bytes, from %s): %s %d; written to fuzz-crash.bin\n", number,
		n, corpus.name[number % corpus.count], WIFSIGNALED(status) ? "signal" : "exit",
		WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
	return 1;
}

int
main(int argc, char **argv)
{
	if (argc < 2 || !corpus_read(argv[1])) {
		fprintf(stderr, "usage: replay CORPUS [MUTATIONS]; CORPUS is a folder of inputs\n");
		return 2;
	}
	uint32_t mutations = MUTATIONS_DEFAULT;
	if (argc > 2)
		mutations = (uint32_t)strtoul(argv[2], NULL, 10);
	uint32_t count = corpus.count + mutations;
	uint32_t *current = mmap(NULL, sizeof *current, PROT_READ | PROT_WRITE,
				 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (current == MAP_FAILED)
		return 2;
	int status = 0;
	pid_t child = fork();
	if (child == 0) {
		run_all(count, current);
		exit(0);
	}
	if (child < 0 || waitpid(child, &status, 0) != child)
		return 2;
	if (status != 0)
		return tell_crash(*current, status);
	printf("%u corpus files and %u mutations\n", corpus.count, mutations);
	return 0;
}
