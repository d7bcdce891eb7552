/*
 * What a hop over ring/spsc.h costs.
 *
 * Same core: one thread pushes and pops, which is the price of the code alone, in the
 * thread's own time. Across cores: one thread pushes, another pops; what is measured
 * is the line that travels between their caches, as the median over chunks, since a
 * chunk in which one of the two was off its core says nothing. A round trip is one element there
 * and one back over two rings, each side spinning.
 *
 * Cross-core figures are bimodal on shared hosts (who shares a core complex
 * with whom changes between runs): compare them within one run only.
 */
#include <pthread.h>

#include "perf/bench.h"
#include "ring/spsc.h"

#define CAPACITY  1024u
#define BURST_MAX 32u
#define CHUNK     16384u /* elements that are timed together */
#define SPINS_MAX 10000u /* a fruitless spin for so long gives the core away */

struct hop {
	const struct bench *bench;
	uint32_t burst;
	uint64_t element_count;
	struct spsc there, back;
};

static uint64_t slot_there[CAPACITY], slot_back[CAPACITY];
static struct hop hop;
static struct histogram round_trip, chunk_ps;

static double
same_core_ns(uint64_t element_count, uint32_t burst)
{
	uint64_t elem[BURST_MAX] = {0}, done = 0, began;

	spsc_init(&hop.there, slot_there, CAPACITY);
	began = bench_cpu_ns();
	for (; done < element_count; done += burst) {
		elem[0] = done;
		must(spsc_push(&hop.there, elem, burst) == burst);
		must(spsc_pop(&hop.there, elem, burst) == burst);
		must(elem[0] == done);
	}
	return (double)(bench_cpu_ns() - began) / (double)done;
}

/* On a host where both threads share one core, spinning alone would measure
 * the scheduler's tick. */
static void
spin(uint32_t *fruitless)
{
	if (++*fruitless % SPINS_MAX == 0)
		sched_yield();
}

static void *
push_all(void *unused)
{
	uint64_t elem[BURST_MAX] = {0};
	uint32_t fruitless = 0;

	(void)unused;
	bench_pin(hop.bench, 1);
	for (uint64_t done = 0; done < hop.element_count; done += hop.burst) {
		uint32_t pushed = 0;

		for (uint32_t i = 0; i < hop.burst; i++)
			elem[i] = done + i;
		while (pushed < hop.burst) {
			uint32_t n = spsc_push(&hop.there, elem + pushed, hop.burst - pushed);
			pushed += n;
			if (n == 0)
				spin(&fruitless);
		}
	}
	return NULL;
}

static double
cross_core_ns(uint64_t element_count, uint32_t burst)
{
	uint64_t elem[BURST_MAX], done = 0;
	uint32_t fruitless = 0;
	pthread_t producer;

	memset(&chunk_ps, 0, sizeof chunk_ps);
	hop.burst = burst;
	hop.element_count = element_count / burst * burst;
	spsc_init(&hop.there, slot_there, CAPACITY);
	must(pthread_create(&producer, NULL, push_all, NULL) == 0);
	while (done == 0) /* the clock starts when the other thread does */
		done = spsc_pop(&hop.there, elem, burst);
	uint64_t from = done, began = bench_now_ns();
	while (done < hop.element_count) {
		uint32_t n = spsc_pop(&hop.there, elem, burst);
		if (n > 0)
			must(elem[0] == done);
		else
			spin(&fruitless);
		done += n;
		if (done - from < CHUNK)
			continue;
		uint64_t now = bench_now_ns();
		histogram_add(&chunk_ps, (now - began) * 1000 / (done - from));
		from = done;
		began = now;
	}
	pthread_join(producer, NULL);
	return (double)histogram_percentile(&chunk_ps, 500000) / 1000;
}

static void *
echo_all(void *unused)
{
	uint32_t fruitless = 0;
	uint64_t elem;

	(void)unused;
	bench_pin(hop.bench, 1);
	for (uint64_t done = 0; done < hop.element_count; done++) {
		while (spsc_pop(&hop.there, &elem, 1) == 0)
			spin(&fruitless);
		must(spsc_push(&hop.back, &elem, 1) == 1);
	}
	return NULL;
}

static void
measure_round_trips(uint64_t count)
{
	uint32_t fruitless = 0;
	pthread_t other;
	uint64_t elem;

	hop.element_count = count;
	spsc_init(&hop.there, slot_there, CAPACITY);
	spsc_init(&hop.back, slot_back, CAPACITY);
	must(pthread_create(&other, NULL, echo_all, NULL) == 0);
	for (uint64_t i = 0; i < count; i++) {
		uint64_t began = bench_now_ns();

		must(spsc_push(&hop.there, &i, 1) == 1);
		while (spsc_pop(&hop.back, &elem, 1) == 0)
			spin(&fruitless);
		must(elem == i);
		histogram_add(&round_trip, bench_now_ns() - began);
	}
	pthread_join(other, NULL);
}

int
main(int argc, char **argv)
{
	static const uint32_t burst[3] = {1, 8, BURST_MAX};
	struct bench bench = bench_start("bench_ring", argc, argv, 2);
	uint64_t count = bench.smallest ? 64000 : 64000000;

	hop.bench = &bench;
	bench_pin(&bench, 0);
	for (uint32_t i = 0; i < 3; i++)
		printf("hop, same core, bursts of %-2u                  %8.2f ns per element\n",
		       burst[i], same_core_ns(count, burst[i]));
	for (uint32_t i = 0; i < 3; i++)
		printf("hop, across cores, bursts of %-2u               %8.2f ns per element\n",
		       burst[i], cross_core_ns(count, burst[i]));
	measure_round_trips(count / 64);
	bench_print_latency("round trip, across cores (with the clock)", &round_trip);
	return 0;
}
