/* tests/device/disk_faults.c - a disk that fails, below a synodd on real files.
 *
 * Linked into a build of synodd whose log is written by the helper thread, it stands in
 * for the three calls by which that reads and writes. What a disk does next is in the
 * file LOG_DIRECTORY.faults, a line, read at each call:
 *
 *     write_error          every write fails with EIO
 *     slow_ms N            a write takes N milliseconds longer
 *     unreadable N         a read that touches byte N of a segment fails with EIO
 *
 * Without that file, or with another one than a segment, it does what was asked. */
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define PATH_BYTES 1024

struct fault {
	bool write_error;
	long slow_ms;
	long long unreadable; /* -1: nothing is */
};

static struct fault
fault_of(int fd)
{
	struct fault fault = {.unreadable = -1};
	char link[64], path[PATH_BYTES + 16], line[64];

	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	ssize_t n = readlink(link, path, PATH_BYTES);
	if (n <= 0)
		return fault;
	path[n] = '\0';
	char *name = strrchr(path, '/');
	if (!name || strncmp(name, "/segment-", 9) != 0)
		return fault;
	memcpy(name, ".faults", sizeof ".faults");
	FILE *file = fopen(path, "re");
	if (!file)
		return fault;
	if (fgets(line, sizeof line, file)) {
		fault.write_error = strncmp(line, "write_error", 11) == 0;
		(void)sscanf(line, "slow_ms %ld", &fault.slow_ms);
		(void)sscanf(line, "unreadable %lld", &fault.unreadable);
	}
	fclose(file);
	return fault;
}

static bool
unreadable(const struct fault *fault, off_t offset, size_t bytes)
{
	return fault->unreadable >= offset && fault->unreadable < offset + (off_t)bytes;
}

ssize_t
pwritev2(int fd, const struct iovec *part, int count, off_t offset, int flags)
{
	struct fault fault = fault_of(fd);
	struct timespec pause = {fault.slow_ms / 1000, fault.slow_ms % 1000 * 1000000};

	if (fault.write_error) {
		errno = EIO;
		return -1;
	}
	if (fault.slow_ms > 0)
		(void)nanosleep(&pause, NULL);
	return syscall(SYS_pwritev2, fd, part, (long)count, (long)offset, 0L, (long)flags);
}

ssize_t
preadv2(int fd, const struct iovec *part, int count, off_t offset, int flags)
{
	struct fault fault = fault_of(fd);

	for (int i = 0; i < count; i++) {
		if (!unreadable(&fault, offset, part[i].iov_len))
			continue;
		errno = EIO;
		return -1;
	}
	return syscall(SYS_preadv2, fd, part, (long)count, (long)offset, 0L, (long)flags);
}

ssize_t
pread(int fd, void *data, size_t bytes, off_t offset)
{
	struct fault fault = fault_of(fd);

	if (unreadable(&fault, offset, bytes)) {
		errno = EIO;
		return -1;
	}
	return syscall(SYS_pread64, fd, data, bytes, (long)offset);
}
