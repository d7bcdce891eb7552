/*
 * mysqlshim/spool.h - one block of bytes that is written once, front to back, and read
 * many times: a transaction on its way to the nodes.
 *
 *     spool_open(&s, bytes, folder)   spool_write(&s, ...)   block = spool_close(&s)
 *     ... spool_free(block)
 *
 * Up to SPOOL_MEMORY_BYTES it is memory. What is larger is a file without a name in the
 * server's tmpdir, beside the server's own binlog cache of the same transaction, mapped
 * for reading: the kernel keeps of it what fits. The cache itself will not do: it belongs
 * to its client's thread, and is gone when that client's commit fails, while the group
 * has accepted the transaction and this server has to apply it all the same.
 *
 * Ownership  the block, from spool_close() to spool_free(). Without a spool_close(), or
 *            after one that answered NULL, spool_drop().
 * Limits     the folder's free room.
 * Errors     false, and NULL: no memory, no room, or less written than was announced. A
 *            disk that cannot give back what it took ends the process (SIGBUS), as it
 *            does where a server's memory is swapped.
 * Threads    one per spool; a block may be freed by another one.
 */
#ifndef MYSQLSHIM_SPOOL_H
#define MYSQLSHIM_SPOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SPOOL_MEMORY_BYTES (1u << 20)

struct spool {
	uint64_t bytes;   /* announced */
	uint64_t written; /* of them */
	uint8_t *memory;  /* or NULL, and */
	int file;
};

bool spool_open(struct spool *spool, uint64_t bytes, const char *folder);
bool spool_write(struct spool *spool, const void *data, size_t bytes);
/* Aligned for u64. */
uint8_t *spool_close(struct spool *spool);
void spool_drop(struct spool *spool);

void spool_free(const void *block);

/* What was read of it so far need not stay in this process' memory. */
void spool_forget(const void *block);

#ifdef __cplusplus
}
#endif

#endif /* MYSQLSHIM_SPOOL_H */
