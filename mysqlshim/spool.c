#include "mysqlshim/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/must.h"

#define PATH_CHARS 512

/* In front of every block. */
struct head {
	uint64_t mapped_bytes; /* with this head; 0: it is memory */
	uint64_t unused[7];
};

static int
nameless_file(const char *folder)
{
	char path[PATH_CHARS];
	int file = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	if (file >= 0)
		return file;
	/* A file system that knows no files without a name. */
	int chars = snprintf(path, sizeof path, "%s/synodXXXXXX", folder);
	if (chars < 0 || (size_t)chars >= sizeof path)
		return -1;
	file = mkostemp(path, O_CLOEXEC);
	if (file >= 0)
		unlink(path);
	return file;
}

static bool
write_all(int file, const uint8_t *data, size_t bytes)
{
	while (bytes > 0) {
		ssize_t n = write(file, data, bytes);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		data += n;
		bytes -= (size_t)n;
	}
	return true;
}

bool
spool_open(struct spool *s, uint64_t bytes, const char *folder)
{
	struct head head = {.mapped_bytes = sizeof head + bytes};

	*s = (struct spool){.bytes = bytes, .file = -1};
	if (bytes <= SPOOL_MEMORY_BYTES) {
		s->memory = malloc(sizeof head + bytes);
		if (s->memory)
			*(struct head *)(void *)s->memory = (struct head){.mapped_bytes = 0};
		return s->memory;
	}
	s->file = nameless_file(folder);
	return s->file >= 0 && write_all(s->file, (uint8_t *)&head, sizeof head);
}

bool
spool_write(struct spool *s, const void *data, size_t bytes)
{
	if (bytes > s->bytes - s->written)
		return false;
	if (s->memory)
		memcpy(s->memory + sizeof(struct head) + s->written, data, bytes);
	else if (!write_all(s->file, data, bytes))
		return false;
	s->written += bytes;
	return true;
}

uint8_t *
spool_close(struct spool *s)
{
	uint8_t *all = s->memory;

	if (s->written != s->bytes)
		return NULL;
	if (!all) {
		all = mmap(NULL, sizeof(struct head) + s->bytes, PROT_READ, MAP_SHARED, s->file, 0);
		if (all == MAP_FAILED)
			return NULL;
		close(s->file);
	}
	*s = (struct spool){.file = -1};
	return all + sizeof(struct head);
}

void
spool_drop(struct spool *s)
{
	free(s->memory);
	if (s->file >= 0)
		close(s->file);
	*s = (struct spool){.file = -1};
}

static struct head *
head_of(const void *block)
{
	must(block);
	return (struct head *)(uintptr_t)block - 1;
}

void
spool_free(const void *block)
{
	struct head *head = head_of(block);

	if (head->mapped_bytes == 0)
		free(head);
	else
		munmap(head, head->mapped_bytes);
}

void
spool_forget(const void *block)
{
	struct head *head = head_of(block);

	/* The file keeps it, and this process' next look at it finds it there. */
	if (head->mapped_bytes > 0)
		madvise(head, head->mapped_bytes, MADV_DONTNEED);
}
