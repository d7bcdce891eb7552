/*
 * One push against one arm, begun together, many times over.
 *
 * The consumer is refused its sleep, or the producer is told to wake it, or both;
 * where both look the wrong way an element lies in the mailbox of a sleeper. The
 * window is a store that waits in one core's buffer for a few nanoseconds, so
 * ThreadSanitizer, which makes every access slow, never hits it: this program
 * is built without, and meets it within some ten thousand rounds where one of the
 * two orderings in ring/mailbox.h is weakened.
 */
#include <pthread.h>
#include <sched.h>
#include <stdio.h>

#include "ring/mailbox.h"

#define CAPACITY    2u
#define ROUND_COUNT 300000u
#define DAWDLE_MAX  48u
#define SPINS_MAX   2000u /* then the other thread may need this core */

static struct mailbox_slot slot[CAPACITY];
static struct mailbox box;
static alignas(MAILBOX_LINE) _Atomic uint32_t arrived;
static alignas(MAILBOX_LINE) bool wake[ROUND_COUNT];
static bool sleeps[ROUND_COUNT];

/* Both threads leave the `nth` meeting at nearly the same moment; then each
 * dawdles, by turns more and less, because who leaves first depends on which
 * two cores these are. */
static void
meet(uint32_t nth, uint32_t dawdle)
{
	atomic_fetch_add(&arrived, 1);
	for (uint32_t spins = 0; atomic_load(&arrived) < 2 * nth; spins++)
		if (spins % SPINS_MAX == SPINS_MAX - 1)
			sched_yield();
	for (volatile uint32_t i = 0; i < dawdle; i++)
		continue;
}

static void *
producer_main(void *unused)
{
	(void)unused;
	for (uint32_t i = 0; i < ROUND_COUNT; i++) {
		meet(2 * i + 1, i % DAWDLE_MAX);
		(void)mailbox_push(&box, i, &wake[i]);
		meet(2 * i + 2, 0);
	}
	return NULL;
}

int
main(void)
{
	uint32_t slept = 0;
	pthread_t producer;

	mailbox_init_at(&box, slot, CAPACITY, UINT64_MAX - ROUND_COUNT / 2);
	if (pthread_create(&producer, NULL, producer_main, NULL) != 0)
		return 2;
	for (uint32_t i = 0; i < ROUND_COUNT; i++) {
		uint64_t elem = 0;

		meet(2 * i + 1, i / DAWDLE_MAX % DAWDLE_MAX);
		sleeps[i] = mailbox_arm(&box);
		meet(2 * i + 2, 0);
		if (mailbox_pop(&box, &elem, 1) != 1 || elem != i || (sleeps[i] && !wake[i])) {
			fprintf(stderr, "round %u: sleeps %d, told to wake %d, element %llu\n", i,
				sleeps[i], wake[i], (unsigned long long)elem);
			return 1;
		}
		slept += sleeps[i];
	}
	pthread_join(producer, NULL);
	printf("%u rounds, %u would have slept\n", ROUND_COUNT, slept);
	return 0;
}
