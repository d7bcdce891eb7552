/*
 * hw/log_open.c - the log's directory: lock, identity, files made ahead of need.
 *
 * The identity is checked before anything is written. A log that was copied, or moved
 * here from another server, is an old image of somebody's memory: voting from it would
 * forget what was promised since. So it is refused, and the sentence says what to do.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "hw/log_file.h"

#define SEGMENT_NAME_BYTES 32
#define LOG_BYTES_MAX      (8ull << 30)
#define SEGMENTS_MIN       3
#define LOCK_ATTEMPTS      500
#define LOCK_WAIT_US       10000

static void
segment_name(char *out, uint32_t number)
{
	snprintf(out, SEGMENT_NAME_BYTES, "segment-%04u", number);
}

static void
id_text(char out[37], const uint8_t *id)
{
	for (int i = 0, at = 0; i < LOG_ID_BYTES; i++) {
		at += snprintf(out + at, 37 - (size_t)at, "%02x", id[i]);
		if (i == 3 || i == 5 || i == 7 || i == 9)
			out[at++] = '-';
	}
}

void *
log_pages(size_t bytes)
{
	void *memory = aligned_alloc(LOG_BLOCK_BYTES, bytes);
	if (memory)
		memset(memory, 0, bytes);
	return memory;
}

int
log_write_now(const struct log_slot *slot, const uint8_t *data, uint32_t bytes, uint32_t offset)
{
	struct iovec part = {.iov_base = (void *)(uintptr_t)data, .iov_len = bytes};
	ssize_t done;

	do
		done = pwritev2(slot->fd, &part, 1, offset, RWF_DSYNC);
	while (done < 0 && errno == EINTR);
	if (done < 0)
		return -errno;
	return (uint32_t)done == bytes ? 0 : -EIO;
}

struct log_segment
log_slot_header(const struct hw_log *log, const struct log_slot *slot, enum log_segment_state state)
{
	struct log_segment header = {
		.state = state,
		.number = slot->number,
		.segment_bytes = log->segment_bytes,
		.generation = slot->generation,
		.first_lsn = slot->first_lsn,
		.first_ordinal = slot->first_ordinal,
	};
	header.oldest_generation =
		atomic_load_explicit(&log->kept_generation, memory_order_acquire);
	memcpy(header.disk, log->identity.disk, LOG_ID_BYTES);
	/* A spare has none yet, and the preparer must not read what the owner may set. */
	if (state == LOG_SEGMENT_LIVE)
		memcpy(header.epoch, log->identity.epoch, EPOCH_BYTES);
	memcpy(header.server, log->options.server, LOG_ID_BYTES);
	memcpy(header.path, log->directory, sizeof header.path);
	return header;
}

/* The SPARE header goes last: a file that a crash left half made has none. */
static int
fill_file(struct hw_log *log, struct log_slot *slot, uint8_t *zeros)
{
	for (uint32_t at = 0; at < log->segment_bytes; at += LOG_BATCH_BYTES_MAX) {
		uint32_t left = log->segment_bytes - at;
		uint32_t bytes = left < LOG_BATCH_BYTES_MAX ? left : LOG_BATCH_BYTES_MAX;
		if (atomic_load_explicit(&log->stopping, memory_order_relaxed))
			return -ECANCELED;
		ssize_t done = pwrite(slot->fd, zeros, bytes, at);
		if (done < 0)
			return -errno;
		if ((uint32_t)done != bytes)
			return -ENOSPC;
	}
	if (fsync(slot->fd) != 0 || fsync(log->directory_fd) != 0)
		return -errno;
	return 0;
}

static int
make_file(struct hw_log *log, struct log_slot *slot, uint8_t *zeros)
{
	char name[SEGMENT_NAME_BYTES];
	segment_name(name, slot->number);

	slot->index = calloc(log->segment_bytes / LOG_BLOCK_BYTES, sizeof *slot->index);
	if (!slot->index)
		return -ENOMEM;
	slot->fd = openat(log->directory_fd, name,
			  O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | log->open_flags, 0600);
	int code = slot->fd < 0 ? -errno : fill_file(log, slot, zeros);
	if (code == 0)
		return 0;
	if (slot->fd >= 0) {
		close(slot->fd);
		unlinkat(log->directory_fd, name, 0);
	}
	slot->fd = -1;
	free(slot->index);
	slot->index = NULL;
	return code;
}

/* New file or old: what a torn first batch may have left is wiped, so that a later
 * torn write cannot complete it. The header goes first, by itself: else a crash could leave
 * a live segment whose first batches are wiped, and a scan would miss them. Its copy comes
 * next, where the first batch will not come: see log_format.h. */
static int
write_spare(struct hw_log *log, struct log_slot *slot, uint8_t *block)
{
	struct log_segment header = log_slot_header(log, slot, LOG_SEGMENT_SPARE);

	log_segment_encode(&header, block);
	int code = log_write_now(slot, block, LOG_BLOCK_BYTES, 0);
	if (code == 0)
		code = log_write_now(slot, block, LOG_BLOCK_BYTES,
				     log->segment_bytes - LOG_BLOCK_BYTES);
	memset(block, 0, LOG_BLOCK_BYTES);
	if (code == 0)
		code = log_write_now(slot, block, LOG_BATCH_BYTES_MAX, LOG_BLOCK_BYTES);
	return code;
}

static int
make_spare(struct hw_log *log, struct log_slot *slot)
{
	uint8_t *block = log_pages(LOG_BUFFER_BYTES);
	int code = block ? 0 : -ENOMEM;

	if (code == 0 && atomic_load_explicit(&slot->state, memory_order_acquire) == SLOT_ABSENT)
		code = make_file(log, slot, block);
	if (code == 0) {
		slot->generation =
			atomic_load_explicit(&log->next_generation, memory_order_acquire);
		slot->first_lsn = 0;
		slot->first_ordinal = 0;
		slot->index_count = 0;
		code = write_spare(log, slot, block);
	}
	free(block);
	if (code == 0)
		atomic_store_explicit(&slot->state, SLOT_SPARE, memory_order_release);
	return code;
}

/* A used file needs no room on the disk, so it comes before a new one; and of these the one
 * that was dropped first: see hw_log_drop(). */
static struct log_slot *
slot_to_prepare(struct hw_log *log)
{
	struct log_slot *absent = NULL, *dropped = NULL;
	uint32_t spares = 0;

	for (uint32_t i = 0; i < log->slot_count; i++) {
		struct log_slot *slot = &log->slot[i];
		int state = atomic_load_explicit(&slot->state, memory_order_acquire);
		if (state == SLOT_SPARE)
			spares++;
		else if (state == SLOT_DROPPED &&
			 (!dropped || slot->generation < dropped->generation))
			dropped = slot;
		else if (state == SLOT_ABSENT && !absent)
			absent = slot;
	}
	if (spares >= LOG_SPARES)
		return NULL;
	return dropped ? dropped : absent;
}

static void *
preparer_main(void *argument)
{
	struct hw_log *log = argument;

	while (!atomic_load_explicit(&log->stopping, memory_order_acquire)) {
		struct log_slot *slot = slot_to_prepare(log);
		int code = slot ? make_spare(log, slot) : 0;
		if (slot) {
			atomic_store_explicit(&log->space_error, -code, memory_order_release);
			sem_post(&log->prepared);
		}
		if (slot && code == 0)
			continue;
		/* A full disk is asked again once a second; else wait to be called. */
		struct timespec until;
		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_sec += 1;
		if (code != 0)
			sem_timedwait(&log->prepare, &until);
		else
			sem_wait(&log->prepare);
	}
	return NULL;
}

int
log_start_preparer(struct hw_log *log)
{
	sigset_t all, before;

	must(!log->preparer_runs);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	int refused = pthread_create(&log->preparer, NULL, preparer_main, log);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	log->preparer_runs = refused == 0;
	return -refused;
}

static int
lock_directory(struct hw_log *log, struct hw_error *error)
{
	char holder[32];

	log->lock_fd = openat(log->directory_fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (log->lock_fd < 0)
		return hw_error_set(error, -errno, "%s/lock: %s: give this user the directory",
				    log->directory, strerror(errno));
	for (int i = 0; flock(log->lock_fd, LOCK_EX | LOCK_NB) != 0; i++) {
		ssize_t n = pread(log->lock_fd, holder, sizeof holder - 1, 0);
		holder[n > 0 ? n : 0] = '\0';
		holder[strcspn(holder, "\n")] = '\0';
		/* A killed process keeps the lock until its last write is done. */
		long pid = strtol(holder, NULL, 10);
		if (i < LOCK_ATTEMPTS && pid > 0 && kill((pid_t)pid, 0) != 0 && errno == ESRCH) {
			usleep(LOCK_WAIT_US);
			continue;
		}
		return hw_error_set(error, -EBUSY,
				    "log directory %s in use by pid %s: stop that process, or give "
				    "this one a directory of its own ([log] directory)",
				    log->directory, holder);
	}
	int n = snprintf(holder, sizeof holder, "%d\n", (int)getpid());
	if (ftruncate(log->lock_fd, 0) != 0 || pwrite(log->lock_fd, holder, (size_t)n, 0) != n)
		return hw_error_set(error, -errno, "%s/lock: %s: free some space on the disk",
				    log->directory, strerror(errno));
	return 0;
}

static int
enter_directory(struct hw_log *log, struct hw_error *error)
{
	const char *wanted = log->options.directory;
	char path[PATH_MAX];

	if (mkdir(wanted, 0700) != 0 && errno != EEXIST)
		return hw_error_set(error, -errno,
				    "log directory %s cannot be made: %s: make its "
				    "parent, and give it to this user",
				    wanted, strerror(errno));
	if (!realpath(wanted, path) || strlen(path) > LOG_PATH_BYTES_MAX)
		return hw_error_set(error, -ENAMETOOLONG,
				    "log directory %s: no path of at most %d "
				    "bytes",
				    wanted, LOG_PATH_BYTES_MAX);
	memcpy(log->directory, path, strlen(path) + 1);
	log->directory_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (log->directory_fd < 0)
		return hw_error_set(error, -errno, "log directory %s: %s: give it to this user",
				    wanted, strerror(errno));
	return lock_directory(log, error);
}

/* O_DIRECT is a property of the file system, so the lock file can tell. */
static void
probe_direct(struct hw_log *log)
{
	int fd = openat(log->directory_fd, "lock", O_RDWR | O_CLOEXEC | O_DIRECT);
	log->open_flags = fd >= 0 ? O_DIRECT : 0;
	if (fd >= 0)
		close(fd);
}

static int
check_identity(struct hw_log *log, const struct log_segment *header, bool first,
	       struct hw_error *error)
{
	char theirs[37], ours[37];

	if (memcmp(header->server, log->options.server, LOG_ID_BYTES) != 0) {
		id_text(theirs, header->server);
		id_text(ours, log->options.server);
		return hw_error_set(error, -EPERM,
				    "the log in %s belongs to server %s, this is %s: point [log] "
				    "directory at this server's own log, or move that one away and "
				    "join as a new voter",
				    log->directory, theirs, ours);
	}
	if (strcmp(header->path, log->directory) != 0)
		return hw_error_set(
			error, -EPERM,
			"the log in %s was made as %s: a copied log may be an old image "
			"that forgot its promises. Move it back, or remove it and join "
			"as a new voter",
			log->directory, header->path);
	if (!first && memcmp(header->disk, log->identity.disk, LOG_ID_BYTES) != 0)
		return hw_error_set(error, -EPERM,
				    "%s mixes segments of two logs: restore what was there, or "
				    "empty it and join as a new voter",
				    log->directory);
	memcpy(log->identity.disk, header->disk, LOG_ID_BYTES);
	log->segment_bytes = header->segment_bytes;
	return 0;
}

static int
open_file(struct hw_log *log, uint32_t number, struct hw_error *error)
{
	char name[SEGMENT_NAME_BYTES];
	struct log_slot *slot = &log->slot[number];

	segment_name(name, number);
	slot->fd = openat(log->directory_fd, name, O_RDWR | O_CLOEXEC | log->open_flags);
	if (slot->fd < 0)
		return hw_error_set(error, -errno, "%s/%s: %s: give it to this user",
				    log->directory, name, strerror(errno));
	atomic_store_explicit(&slot->state, SLOT_UNKNOWN, memory_order_release);
	if (number >= log->slot_count)
		log->slot_count = number + 1;
	return 0;
}

/* Opens every segment file there is; answers how many, or -errno. */
static int
open_files(struct hw_log *log, struct hw_error *error)
{
	int duplicate = dup(log->directory_fd);
	DIR *directory = duplicate < 0 ? NULL : fdopendir(duplicate);
	int count = 0, code = 0;

	if (!directory)
		return hw_error_set(error, -errno, "%s: %s: give it to this user", log->directory,
				    strerror(errno));
	rewinddir(directory);
	for (struct dirent *entry; code == 0 && (entry = readdir(directory)) != NULL;) {
		char *end;
		if (strncmp(entry->d_name, "segment-", 8) != 0)
			continue;
		unsigned long number = strtoul(entry->d_name + 8, &end, 10);
		if (*end != '\0' || number >= HW_LOG_SEGMENTS_MAX)
			continue;
		code = open_file(log, (uint32_t)number, error);
		count++;
	}
	closedir(directory);
	return code < 0 ? code : count;
}

static int
check_version(const struct hw_log *log, uint16_t version, struct hw_error *error)
{
	if (version == 0 || version == LOG_VERSION)
		return 0;
	return hw_error_set(
		error, -EPROTONOSUPPORT,
		"the log in %s is of format %u, this release reads and writes format "
		"%u: start the release that wrote it. To begin anew with this one, stop "
		"all servers and nodes, move every node's log away, start the nodes with "
		"--format, and bootstrap the groups: the servers keep their data",
		log->directory, version, LOG_VERSION);
}

/* Reads all headers. The live ones must agree with us and with one another. */
static int
read_headers(struct hw_log *log, uint32_t *valid_count, struct hw_error *error)
{
	uint8_t *block = log_pages(LOG_BLOCK_BYTES);
	struct log_segment header;
	uint64_t newest = 0;
	int code = block ? 0 : -ENOMEM;

	*valid_count = 0;
	for (uint32_t i = 0; i < log->slot_count && code == 0; i++) {
		struct log_slot *slot = &log->slot[i];
		if (atomic_load(&slot->state) != SLOT_UNKNOWN)
			continue;
		ssize_t n = pread(slot->fd, block, LOG_BLOCK_BYTES, 0);
		code = check_version(log, log_segment_version(block, n > 0 ? (size_t)n : 0), error);
		if (code != 0)
			break;
		if (n != LOG_BLOCK_BYTES || !log_segment_decode(&header, block, LOG_BLOCK_BYTES) ||
		    header.number != i)
			continue;
		code = check_identity(log, &header, *valid_count == 0, error);
		(*valid_count)++;
		slot->generation = header.generation;
		if (header.oldest_generation > log->oldest_generation)
			log->oldest_generation = header.oldest_generation;
		if (header.state != LOG_SEGMENT_LIVE)
			continue;
		slot->first_lsn = header.first_lsn;
		slot->first_ordinal = header.first_ordinal;
		atomic_store(&slot->state, SLOT_LIVE);
		if (header.generation > newest) {
			newest = header.generation;
			memcpy(log->identity.epoch, header.epoch, EPOCH_BYTES);
		}
	}
	free(block);
	return code;
}

static bool
is_zero(const uint8_t *id)
{
	static const uint8_t zero[LOG_ID_BYTES];
	return memcmp(id, zero, LOG_ID_BYTES) == 0;
}

static int
adopt(struct hw_log *log, struct hw_error *error)
{
	uint32_t valid_count;
	char theirs[37], ours[37];

	int code = read_headers(log, &valid_count, error);
	if (code < 0)
		return code;
	if (valid_count == 0)
		return hw_error_set(error, -EILSEQ,
				    "%s holds segment files without one valid header: if a first "
				    "start was interrupted, remove them; else take the disk for "
				    "lost, empty the directory and join as a new voter",
				    log->directory);
	if (is_zero(log->options.epoch))
		return 0;
	if (memcmp(log->options.epoch, log->identity.epoch, EPOCH_BYTES) == 0)
		return 0;
	id_text(theirs, log->identity.epoch);
	id_text(ours, log->options.epoch);
	return hw_error_set(error, -EPERM,
			    "the log in %s is of epoch %s, the configuration says %s: correct the "
			    "epoch, or empty the directory and join that epoch as a new voter",
			    log->directory, theirs, ours);
}

/* The first header is on disk before open returns: the disk's id must outlive a crash
 * as soon as anybody can have heard it. */
static int
format(struct hw_log *log, struct hw_error *error)
{
	if (getrandom(log->identity.disk, LOG_ID_BYTES, 0) != LOG_ID_BYTES)
		return hw_error_set(error, -EIO, "no random bytes for the log's disk id");
	memcpy(log->identity.epoch, log->options.epoch, EPOCH_BYTES);
	log->identity.formatted_now = true;
	atomic_store(&log->next_generation, 1);
	atomic_store(&log->kept_generation, 1);
	log->next_ordinal = 1;
	int code = log_start_preparer(log);
	if (code == 0)
		code = log_wait_segment(log);
	if (code != 0)
		return hw_error_set(
			error, code,
			"no log segment of %u bytes can be made in %s: %s: free space, or "
			"lower [log] segment_bytes",
			log->segment_bytes, log->directory, strerror(-code));
	struct log_segment header = log_slot_header(log, log->active, LOG_SEGMENT_LIVE);
	log_segment_encode(&header, log->buffer[0].data);
	code = log_write_now(log->active, log->buffer[0].data, LOG_BLOCK_BYTES, 0);
	if (code != 0)
		return hw_error_set(error, code, "%s: first write: %s", log->directory,
				    strerror(-code));
	log->header_pending = false;
	log->first_generation = log->active->generation;
	return 0;
}

/* A log that held less than it was told to would have no room left before it is time to trim
 * it: images are written by log_bytes_max (dpdk/plan.c). */
static int
set_slot_count(struct hw_log *log, uint32_t at_least, struct hw_error *error)
{
	uint64_t max = log->options.log_bytes_max ? log->options.log_bytes_max : LOG_BYTES_MAX;
	uint64_t count = max / log->segment_bytes;

	if (count > HW_LOG_SEGMENTS_MAX)
		return hw_error_set(
			error, -EINVAL,
			"[log] log_bytes_max = %llu is more than %d segments of %u bytes: give "
			"%llu at most, or a larger segment_bytes, which only a new log takes",
			(unsigned long long)max, HW_LOG_SEGMENTS_MAX, log->segment_bytes,
			(unsigned long long)HW_LOG_SEGMENTS_MAX * log->segment_bytes);
	if (count < SEGMENTS_MIN)
		count = SEGMENTS_MIN;
	if (count < at_least)
		count = at_least;
	log->slot_count = (uint32_t)count;
	return 0;
}

static int
set_sizes(struct hw_log *log, struct hw_error *error)
{
	const struct hw_log_options *options = &log->options;
	uint64_t max = options->log_bytes_max ? options->log_bytes_max : LOG_BYTES_MAX;

	log->segment_bytes = options->segment_bytes ? options->segment_bytes : HW_LOG_SEGMENT_BYTES;
	if (log->segment_bytes % LOG_BLOCK_BYTES != 0 ||
	    log->segment_bytes < HW_LOG_SEGMENT_BYTES_MIN ||
	    log->segment_bytes > HW_LOG_SEGMENT_BYTES_MAX)
		return hw_error_set(error, -EINVAL,
				    "[log] segment_bytes = %u: give a multiple of %d from %u to %u",
				    log->segment_bytes, LOG_BLOCK_BYTES, HW_LOG_SEGMENT_BYTES_MIN,
				    HW_LOG_SEGMENT_BYTES_MAX);
	uint64_t count = max / log->segment_bytes;
	if (count < SEGMENTS_MIN)
		return hw_error_set(
			error, -EINVAL,
			"[log] log_bytes_max = %llu: give room for at least %d segments "
			"of %u bytes",
			(unsigned long long)max, SEGMENTS_MIN, log->segment_bytes);
	log->slot_count = 0; /* counts the files that are there, until open_files() is done */
	return 0;
}

static int
allocate(struct hw_log *log)
{
	for (uint32_t i = 0; i < HW_LOG_BUFFERS; i++) {
		log->buffer[i].data = log_pages(LOG_BUFFER_BYTES);
		if (!log->buffer[i].data)
			return -ENOMEM;
	}
	for (uint32_t i = 0; i < HW_LOG_READS_MAX; i++) {
		log->read_data[i] = log_pages(LOG_BATCH_BYTES_MAX);
		if (!log->read_data[i])
			return -ENOMEM;
	}
	return 0;
}

static int
open_log(struct hw_log *log, struct hw_error *error)
{
	log->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (log->event_fd < 0)
		return hw_error_set(error, -errno, "no eventfd: %s: raise the limit of open files",
				    strerror(errno));
	if (log->options.memory) {
		snprintf(log->mode, sizeof log->mode, "memory: nothing survives a power loss");
		log->identity.formatted_now = true;
		memcpy(log->identity.epoch, log->options.epoch, EPOCH_BYTES);
		return 0;
	}
	if (allocate(log) != 0)
		return hw_error_set(error, -ENOMEM, "no memory for the log's buffers");
	int code = set_sizes(log, error);
	if (code == 0)
		code = enter_directory(log, error);
	if (code != 0)
		return code;
	probe_direct(log);
	int found = open_files(log, error);
	if (found < 0)
		return found;
	uint32_t highest = log->slot_count;
	if (found > 0)
		code = adopt(log, error);
	if (code == 0)
		code = set_slot_count(log, highest, error);
	if (code == 0 && found == 0)
		code = format(log, error);
	if (code != 0)
		return code;
	code = log_io_open(log);
	if (code != 0)
		return hw_error_set(error, code,
				    "the log's helper thread: %s: raise the limit of "
				    "threads",
				    strerror(-code));
	return 0;
}

int
hw_log_open(const struct hw_log_options *options, struct hw_log **out, struct hw_error *error)
{
	struct hw_log *log = calloc(1, sizeof *log);

	*out = NULL;
	if (!log)
		return hw_error_set(error, -ENOMEM, "no memory for the log");
	log->options = *options;
	log->directory_fd = log->lock_fd = log->event_fd = -1;
	for (uint32_t i = 0; i < HW_LOG_SEGMENTS_MAX; i++) {
		log->slot[i].fd = -1;
		log->slot[i].number = i;
	}
	sem_init(&log->prepare, 0, 0);
	sem_init(&log->prepared, 0, 0);
	int code = open_log(log, error);
	if (code != 0)
		hw_log_close(log);
	else
		*out = log;
	return code;
}

static void
close_fd(int fd)
{
	if (fd >= 0)
		close(fd);
}

void
hw_log_close(struct hw_log *log)
{
	if (log->preparer_runs) {
		atomic_store_explicit(&log->stopping, true, memory_order_release);
		sem_post(&log->prepare);
		pthread_join(log->preparer, NULL);
	}
	if (log->io) {
		log_wait_jobs(log);
		log_io_close(log);
	}
	for (uint32_t i = 0; i < HW_LOG_SEGMENTS_MAX; i++) {
		close_fd(log->slot[i].fd);
		free(log->slot[i].index);
	}
	for (uint32_t i = 0; i < HW_LOG_BUFFERS; i++)
		free(log->buffer[i].data);
	for (uint32_t i = 0; i < HW_LOG_READS_MAX; i++)
		free(log->read_data[i]);
	sem_destroy(&log->prepare);
	sem_destroy(&log->prepared);
	close_fd(log->event_fd);
	close_fd(log->directory_fd);
	if (log->lock_fd >= 0)
		flock(log->lock_fd, LOCK_UN); /* whoever may hold it open besides */
	close_fd(log->lock_fd);
	free(log);
}
