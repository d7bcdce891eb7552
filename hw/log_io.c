/*
 * hw/log_io.c - one write and a few reads at a time, by io_uring or by a thread.
 *
 * The thread does what the ring does, with the same flags, where the kernel or a
 * container's filter refuses io_uring. Both tell the owner through `event_fd`.
 *
 * The lock file is registered with the ring beside the segments. A ring is torn down
 * after its process is gone, and a write of a killed process may still be on its way to
 * the disk then: a successor that had the lock by that time would scan and wipe the
 * tail under it. A registered file stays open, and its lock held, until the last write
 * has completed. So where files cannot be registered, the helper thread writes: a
 * process does not end before its threads have left the kernel.
 *
 * Plain ring flags: SINGLE_ISSUER and DEFER_TASKRUN would save a little, but bind
 * the ring to the thread that made it, and open runs before the poll core does.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#ifdef SYNOD_URING
#include <liburing.h>
#endif

#include "hw/log_file.h"

#define SUBMIT_ATTEMPTS 8 /* the kernel may be short of memory for a moment */

struct log_io {
	bool uring;
	bool buffers_registered;
#ifdef SYNOD_URING
	struct io_uring ring;
#endif
	pthread_t thread;
	sem_t posted;
	_Atomic bool stopping;
};

int32_t
log_io_now(const struct log_job *job)
{
	struct iovec part = {.iov_base = job->data, .iov_len = job->bytes};
	int fd = job->slot->fd;
	ssize_t done;

	do
		done = job->write ? pwritev2(fd, &part, 1, job->offset, RWF_DSYNC)
				  : preadv2(fd, &part, 1, job->offset, 0);
	while (done < 0 && errno == EINTR);
	return done < 0 ? -errno : (int32_t)done;
}

static void *
helper_main(void *argument)
{
	struct hw_log *log = argument;
	struct log_io *io = log->io;

	while (!atomic_load_explicit(&io->stopping, memory_order_acquire)) {
		while (sem_wait(&io->posted) != 0)
			must(errno == EINTR);
		for (uint32_t i = 0; i < LOG_JOBS; i++) {
			struct log_job *job = &log->job[i];
			if (atomic_load_explicit(&job->state, memory_order_acquire) != JOB_POSTED)
				continue;
			job->result = log_io_now(job);
			atomic_store_explicit(&job->state, JOB_DONE, memory_order_release);
			eventfd_write(log->event_fd, 1);
		}
	}
	return NULL;
}

static int
open_helper(struct hw_log *log, const char *why)
{
	sigset_t all, before;

	snprintf(log->mode, sizeof log->mode, "helper thread, pwritev2 %sRWF_DSYNC (%s)",
		 log->open_flags ? "O_DIRECT " : "", why);
	if (sem_init(&log->io->posted, 0, 0) != 0)
		return -errno;
	/* The process's signals are for its own threads; SIGXFSZ would end it. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	int refused = pthread_create(&log->io->thread, NULL, helper_main, log);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return -refused;
}

#ifdef SYNOD_URING
static int
open_ring(struct hw_log *log)
{
	struct log_io *io = log->io;
	struct iovec part[HW_LOG_BUFFERS];

	int code = io_uring_queue_init(4 * LOG_JOBS, &io->ring, 0);
	if (code < 0)
		return code;
	code = io_uring_register_eventfd(&io->ring, log->event_fd);
	if (code == 0) /* one more than segments may ever be: the lock */
		code = io_uring_register_files_sparse(&io->ring, log->slot_count + 2);
	if (code == 0)
		code = io_uring_register_files_update(&io->ring, log->slot_count + 1, &log->lock_fd,
						      1);
	if (code < 0) {
		io_uring_queue_exit(&io->ring);
		return code;
	}
	for (uint32_t i = 0; i < HW_LOG_BUFFERS; i++)
		part[i] = (struct iovec){log->buffer[i].data, LOG_BUFFER_BYTES};
	/* Refused under a small RLIMIT_MEMLOCK: then without, a little slower. */
	io->buffers_registered = io_uring_register_buffers(&io->ring, part, HW_LOG_BUFFERS) == 0;
	io->uring = true;
	snprintf(log->mode, sizeof log->mode, "io_uring, %sRWF_DSYNC, registered files%s",
		 log->open_flags ? "O_DIRECT " : "", io->buffers_registered ? " and buffers" : "");
	return 0;
}

static void
ring_submit(struct hw_log *log, uint32_t number)
{
	struct log_io *io = log->io;
	struct log_job *job = &log->job[number];
	struct io_uring_sqe *sqe = io_uring_get_sqe(&io->ring);
	must(sqe != NULL); /* the queue is larger than the jobs are many */

	if (!job->slot->registered)
		job->slot->registered = io_uring_register_files_update(&io->ring, job->slot->number,
								       &job->slot->fd, 1) == 1;
	int fd = job->slot->registered ? (int)job->slot->number : job->slot->fd;
	if (job->write && io->buffers_registered)
		io_uring_prep_write_fixed(sqe, fd, job->data, job->bytes, job->offset,
					  (int)log->oldest);
	else if (job->write)
		io_uring_prep_write(sqe, fd, job->data, job->bytes, job->offset);
	else
		io_uring_prep_read(sqe, fd, job->data, job->bytes, job->offset);
	if (job->write)
		sqe->rw_flags = RWF_DSYNC;
	if (job->slot->registered)
		sqe->flags |= IOSQE_FIXED_FILE;
	io_uring_sqe_set_data64(sqe, number);
	int code = 0;
	for (int attempt = 0; attempt < SUBMIT_ATTEMPTS && code <= 0; attempt++)
		code = io_uring_submit(&io->ring);
	if (code <= 0) {
		job->result = code < 0 ? code : -EIO;
		atomic_store_explicit(&job->state, JOB_DONE, memory_order_relaxed);
	}
}

static void
ring_collect(struct hw_log *log)
{
	struct io_uring_cqe *cqe[LOG_JOBS];
	unsigned n = io_uring_peek_batch_cqe(&log->io->ring, cqe, LOG_JOBS);

	for (unsigned i = 0; i < n; i++) {
		uint64_t number = io_uring_cqe_get_data64(cqe[i]);
		must(number < LOG_JOBS);
		log->job[number].result = cqe[i]->res;
		atomic_store_explicit(&log->job[number].state, JOB_DONE, memory_order_relaxed);
	}
	io_uring_cq_advance(&log->io->ring, n);
}
#endif

int
log_io_open(struct hw_log *log)
{
	char why[128] = "built without liburing";

	log->io = calloc(1, sizeof *log->io);
	if (!log->io)
		return -ENOMEM;
	if (log->options.helper_thread)
		return open_helper(log, "as configured");
#ifdef SYNOD_URING
	int code = open_ring(log);
	if (code == 0)
		return 0;
	snprintf(why, sizeof why, "io_uring refused: %s", strerror(-code));
#endif
	return open_helper(log, why);
}

void
log_io_close(struct hw_log *log)
{
	struct log_io *io = log->io;

	if (!io)
		return;
#ifdef SYNOD_URING
	if (io->uring) {
		io_uring_unregister_files(&io->ring);
		io_uring_queue_exit(&io->ring);
	}
#endif
	if (!io->uring && io->thread) {
		atomic_store_explicit(&io->stopping, true, memory_order_release);
		sem_post(&io->posted);
		pthread_join(io->thread, NULL);
		sem_destroy(&io->posted);
	}
	free(io);
	log->io = NULL;
}

void
log_io_submit(struct hw_log *log, uint32_t number)
{
	struct log_job *job = &log->job[number];

	must(atomic_load_explicit(&job->state, memory_order_relaxed) == JOB_IDLE);
	must(job->offset % LOG_BLOCK_BYTES == 0);
	must(job->bytes % LOG_BLOCK_BYTES == 0);
	/* Pairs with the acquire in helper_main(): it sees the fields above. */
	atomic_store_explicit(&job->state, JOB_POSTED, memory_order_release);
#ifdef SYNOD_URING
	if (log->io->uring) {
		ring_submit(log, number);
		return;
	}
#endif
	sem_post(&log->io->posted);
}

void
log_io_collect(struct hw_log *log)
{
#ifdef SYNOD_URING
	if (log->io->uring)
		ring_collect(log);
#else
	(void)log; /* the helper sets the state itself */
#endif
}

void
log_io_wait(struct hw_log *log)
{
	struct pollfd event = {.fd = log->event_fd, .events = POLLIN};

	poll(&event, 1, 1000);
	hw_log_woken(log);
}
