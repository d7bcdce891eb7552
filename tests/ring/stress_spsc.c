/*
 * Two threads on one ring, across the wrap of its counters.
 *
 * A plain program: Criterion does not start under ThreadSanitizer. Elements are
 * the numbers from 0, so that a lost, doubled or reordered one shows at once;
 * each names a record in a plain array, written before the push and read after
 * the pop, so that the sanitizer judges the barriers and not only the result.
 */
#include <pthread.h>
#include <sched.h>
#include <stdio.h>

#include "ring/spsc.h"

#define CAPACITY      64u
#define ELEMENT_COUNT 200000u
#define BURST_MAX     17u
#define RECORD_COUNT  (4 * CAPACITY) /* reused only after the consumer read it */

static uint64_t slot[CAPACITY];
static uint64_t record[RECORD_COUNT];
static struct spsc ring;

static void *
producer_main(void *unused)
{
	uint64_t sent = 0, burst[BURST_MAX];

	(void)unused;
	while (sent < ELEMENT_COUNT) {
		uint32_t n = 1 + (uint32_t)(sent % BURST_MAX), pushed;

		if (n > ELEMENT_COUNT - sent)
			n = (uint32_t)(ELEMENT_COUNT - sent);
		for (uint32_t i = 0; i < n; i++) {
			burst[i] = sent + i;
			record[(sent + i) % RECORD_COUNT] = ~(sent + i);
		}
		for (uint32_t done = 0; done < n; done += pushed) {
			pushed = spsc_push(&ring, burst + done, n - done);
			if (pushed == 0)
				sched_yield();
		}
		sent += n;
	}
	return NULL;
}

static int
consume(void)
{
	uint64_t received = 0, burst[BURST_MAX];

	while (received < ELEMENT_COUNT) {
		uint32_t n = spsc_pop(&ring, burst, 1 + (uint32_t)(received % BURST_MAX));

		if (n == 0)
			sched_yield();
		for (uint32_t i = 0; i < n; i++, received++) {
			if (burst[i] == received && record[received % RECORD_COUNT] == ~received)
				continue;
			fprintf(stderr, "element %llu: got %llu, record %llx\n",
				(unsigned long long)received, (unsigned long long)burst[i],
				(unsigned long long)record[received % RECORD_COUNT]);
			return 1;
		}
	}
	return spsc_pop(&ring, burst, 1) == 0 ? 0 : 1;
}

int
main(void)
{
	pthread_t producer;

	spsc_init_at(&ring, slot, CAPACITY, UINT32_MAX - ELEMENT_COUNT / 2);
	if (pthread_create(&producer, NULL, producer_main, NULL) != 0)
		return 2;
	if (consume() != 0)
		return 1;
	pthread_join(producer, NULL);
	printf("%u elements across the wrap\n", ELEMENT_COUNT);
	return 0;
}
