/*
 * Three producers and one consumer that sleeps, across the wrap.
 *
 * A plain program: Criterion does not start under ThreadSanitizer. Each element
 * names its producer and its turn; per producer the turns must arrive complete
 * and in order. The consumer blocks on an eventfd whenever the mailbox lets it;
 * an element that lies there while it sleeps shows as a sleep that ran out.
 */
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "ring/mailbox.h"

#define PRODUCER_COUNT 3u
#define TURN_COUNT     20000u /* per producer */
#define CAPACITY       16u
#define BURST_MAX      7u
#define SLEEP_MS_MAX   10000 /* a lost wake-up, not a slow machine */

static struct mailbox_slot slot[CAPACITY];
static struct mailbox box;
static uint64_t record[PRODUCER_COUNT][TURN_COUNT]; /* plain: the sanitizer watches it */
static int wake_fd;

static void *
producer_main(void *argument)
{
	uint64_t me = (uint64_t)(uintptr_t)argument, one = 1;
	bool wake;

	for (uint64_t turn = 0; turn < TURN_COUNT; turn++) {
		record[me][turn] = ~turn;
		while (!mailbox_push(&box, me << 32 | turn, &wake))
			sched_yield();
		if (wake && write(wake_fd, &one, sizeof one) != sizeof one)
			return argument;
		if (turn % 64 == me)
			sched_yield(); /* let the consumer fall asleep */
	}
	return NULL;
}

/* False when the sleep ran out although a producer still had to come. */
static bool
consumer_sleep(void)
{
	struct pollfd ready = {.fd = wake_fd, .events = POLLIN};
	uint64_t count;

	if (poll(&ready, 1, SLEEP_MS_MAX) != 1)
		return false;
	return read(wake_fd, &count, sizeof count) == sizeof count;
}

static bool
check(uint64_t elem, uint64_t *turn_next)
{
	uint64_t who = elem >> 32, turn = elem & UINT32_MAX;

	if (who >= PRODUCER_COUNT || turn != turn_next[who]) {
		fprintf(stderr, "producer %llu: turn %llu out of order\n", (unsigned long long)who,
			(unsigned long long)turn);
		return false;
	}
	turn_next[who]++;
	return record[who][turn] == ~turn;
}

static int
consume(void)
{
	uint64_t turn_next[PRODUCER_COUNT] = {0}, burst[BURST_MAX];
	uint32_t received = 0, sleeps = 0;

	while (received < PRODUCER_COUNT * TURN_COUNT) {
		uint32_t n = mailbox_pop(&box, burst, 1 + received % BURST_MAX);

		for (uint32_t i = 0; i < n; i++)
			if (!check(burst[i], turn_next))
				return 1;
		received += n;
		if (n > 0 || !mailbox_arm(&box))
			continue;
		sleeps++;
		if (!consumer_sleep()) {
			fprintf(stderr, "slept past element %u: a wake-up was lost\n", received);
			return 1;
		}
	}
	printf("%u elements, %u sleeps\n", received, sleeps);
	return sleeps > 0 ? 0 : 1;
}

int
main(void)
{
	pthread_t producer[PRODUCER_COUNT];
	int failed;

	wake_fd = eventfd(0, EFD_CLOEXEC);
	if (wake_fd < 0)
		return 2;
	mailbox_init_at(&box, slot, CAPACITY, UINT64_MAX - PRODUCER_COUNT * TURN_COUNT / 2);
	for (uintptr_t i = 0; i < PRODUCER_COUNT; i++)
		if (pthread_create(&producer[i], NULL, producer_main, (void *)i) != 0)
			return 2;
	failed = consume();
	if (failed)
		return failed;
	for (uint32_t i = 0; i < PRODUCER_COUNT; i++)
		pthread_join(producer[i], NULL);
	return 0;
}
