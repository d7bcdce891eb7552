/*
 * What certification costs: a whole group, fed with submissions that are accepted.
 *
 * The rows are drawn at random from as many as are live, so that each is a miss of
 * the caches; with 8 rows per transaction the misses overlap within it, with 1 only
 * where the next entry is prefetched, as a node does with those of one value. The
 * horizon follows, so that what it frees is swept in passing: no figure is had by
 * putting work off. The longest step is that of a write set that fills an entry,
 * taken STEP_HASHES at a time; on a host that is shared it also holds whatever
 * the scheduler did in between, hence the percentile beside it.
 *
 * A state image is written and loaded in slices, with the budgets that a node gives them:
 * each is to stay below 50 us (DESIGN section 4, "Trimming").
 */
#include <sys/mman.h>

#include "certify/group.h"
#include "perf/bench.h"

#define ROWS_MAX    8
#define AHEAD       1   /* entries prefetched, as node/group.c */
#define STEP_HASHES 256 /* budget of one step */
#define LARGE_ROWS  20000
#define DRAWN       65536 /* submissions that are drawn beforehand, a power of two */
#define SLICE_SLOTS 2048  /* of the index, as node/image.c */
#define PIECES_MAX  (1 << 20)

struct certifier {
	struct group_config config;
	struct group *g;
	size_t bytes;
	uint64_t rows;
	uint64_t sequence;
	uint64_t random;
	uint8_t *hashes; /* DRAWN write sets */
	struct entry entry;
};

static struct histogram step_ns, write_ns, load_ns, check_ns;

static uint64_t
draw(struct certifier *c)
{
	c->random ^= c->random << 13;
	c->random ^= c->random >> 7;
	c->random ^= c->random << 17;
	return c->random;
}

/* What the server's hash would be. */
static uint64_t
hash_of(uint64_t row)
{
	row = (row + 1) * 0xBF58476D1CE4E5B9u;
	return (row ^ (row >> 29)) & ~ENTRY_HASH_SHARED;
}

static void
apply(struct certifier *c, const struct entry *e)
{
	group_apply_start(c->g, group_applied(c->g) + 1, e);
	while (group_apply_step(c->g, STEP_HASHES) == GROUP_MORE)
		;
}

static void
fill_submission(struct certifier *c, struct entry *e, const uint8_t *hashes, uint32_t count)
{
	c->sequence++;
	e->kind = ENTRY_SUBMIT;
	e->submit = (struct entry_submit){.incarnation = 2,
					  .sequence = c->sequence,
					  .floor = c->sequence,
					  .gtid_spec = GTID_AUTOMATIC,
					  .snapshot = {.mark = group_applied(c->g)},
					  .hash_count = count,
					  .hashes = hashes};
}

static void
horizon(struct certifier *c, uint64_t index)
{
	struct entry e = {.kind = ENTRY_HORIZON, .horizon = {index}};
	apply(c, &e);
}

static struct group *
new_group(const struct group_config *config, size_t *bytes)
{
	*bytes = group_size(config);
	void *mem = mmap(NULL, *bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	must(mem != MAP_FAILED);
	(void)madvise(mem, *bytes, MADV_HUGEPAGE); /* slower where it is refused */
	return group_init(mem, config);
}

/* A group of one member, every row written once. */
static void
begin(struct certifier *c, uint32_t rows)
{
	struct group_config config = {.block_size = 1000000,
				      .index_hashes_max = rows + rows / 4,
				      .inflight_max = 1024,
				      .members_max = 9,
				      .protocol = 1};
	*c = (struct certifier){.config = config, .rows = rows, .random = 88172645};
	c->g = new_group(&config, &c->bytes);
	c->hashes = malloc((size_t)DRAWN * ROWS_MAX * ENTRY_HASH_BYTES);
	must(c->hashes != NULL);
	struct entry e = {.kind = ENTRY_CREATE, .create = {{1}, config, {NULL, 0}}};
	apply(c, &e);
	e = (struct entry){.kind = ENTRY_JOIN, .join = {.server_uuid = {2}, .host = ""}};
	apply(c, &e);
	for (uint64_t row = 0; row < rows; row += 1000) {
		for (uint64_t i = 0; i < 1000; i++)
			bytes_put_u64(c->hashes + i * ENTRY_HASH_BYTES, hash_of(row + i));
		fill_submission(c, &e, c->hashes, 1000);
		apply(c, &e);
		must(group_effect(c->g)->verdict == GROUP_ACCEPTED);
	}
	for (uint64_t i = 0; i < (uint64_t)DRAWN * ROWS_MAX; i++)
		bytes_put_u64(c->hashes + i * ENTRY_HASH_BYTES, hash_of(draw(c) % rows));
}

static void
end(struct certifier *c)
{
	munmap((void *)c->g, c->bytes);
	free(c->hashes);
}

/* ns per transaction of `count` rows, `ahead` of them prefetched. */
static double
transactions_ns(struct certifier *c, uint64_t transactions, uint32_t count, uint64_t ahead)
{
	const uint64_t each = (uint64_t)ROWS_MAX * ENTRY_HASH_BYTES;
	const uint64_t from = draw(c); /* other rows than the last run's first */
	uint64_t began = bench_cpu_ns();
	for (uint64_t i = 0; i < transactions; i++) {
		struct entry next = {.kind = ENTRY_SUBMIT};
		next.submit.hashes = c->hashes + ((from + i + ahead) % DRAWN) * each;
		next.submit.hash_count = count;
		if (ahead > 0)
			group_prefetch(c->g, &next);
		fill_submission(c, &c->entry, c->hashes + ((from + i) % DRAWN) * each, count);
		apply(c, &c->entry);
		must(group_effect(c->g)->verdict == GROUP_ACCEPTED);
		if (i % 10000 == 9999) /* a tenth of a window behind: rows die, and are swept */
			horizon(c, group_applied(c->g) - 5000);
	}
	return (double)(bench_cpu_ns() - began) / (double)transactions;
}

static void
measure_steps(struct certifier *c, uint64_t transactions)
{
	uint8_t *large = malloc((size_t)LARGE_ROWS * ENTRY_HASH_BYTES);
	must(large != NULL);
	for (uint64_t t = 0; t < transactions; t++) {
		for (uint64_t i = 0; i < LARGE_ROWS; i++)
			bytes_put_u64(large + i * ENTRY_HASH_BYTES, hash_of(draw(c) % c->rows));
		fill_submission(c, &c->entry, large, LARGE_ROWS);
		uint64_t began = bench_now_ns();
		group_apply_start(c->g, group_applied(c->g) + 1, &c->entry);
		enum group_step more = GROUP_MORE;
		while (more == GROUP_MORE) {
			more = group_apply_step(c->g, STEP_HASHES);
			uint64_t now = bench_now_ns();
			histogram_add(&step_ns, now - began);
			began = now;
		}
		must(group_effect(c->g)->verdict == GROUP_ACCEPTED);
		horizon(c, group_applied(c->g) - 1);
	}
	free(large);
}

static enum group_image_step
timed(enum group_image_step step, uint64_t began_ns, struct histogram *h)
{
	histogram_add(h, bench_now_ns() - began_ns);
	must(step != GROUP_IMAGE_BAD);
	return step;
}

/* Nothing is applied meanwhile: what is written is the index, and then the rest. */
static size_t
write_image(struct certifier *c, uint8_t *image, size_t bytes_max, uint32_t *sizes, uint32_t *count)
{
	enum group_image_step step = GROUP_IMAGE_MORE;
	size_t bytes = 0;

	*count = 0;
	group_image_begin(c->g);
	while (step == GROUP_IMAGE_MORE) {
		if (group_image_ready(c->g))
			group_image_close(c->g);
		must(bytes_max - bytes >= GROUP_PIECE_BYTES_MIN && *count < PIECES_MAX);
		struct writer w = writer_over(image + bytes, GROUP_PIECE_BYTES_MIN);
		uint64_t began = bench_now_ns();
		step = timed(group_image_next(c->g, &w, SLICE_SLOTS), began, &write_ns);
		if (w.bytes > 0)
			sizes[(*count)++] = (uint32_t)w.bytes;
		bytes += w.bytes;
	}
	return bytes;
}

static void
measure_image(struct certifier *c)
{
	size_t bytes_max = 64 * c->rows + (1 << 20), group_bytes, at = 0;
	uint8_t *image = malloc(bytes_max);
	uint32_t *sizes = malloc(PIECES_MAX * sizeof *sizes), count;

	must(image != NULL && sizes != NULL);
	size_t bytes = write_image(c, image, bytes_max, sizes, &count);
	struct group *g = new_group(&c->config, &group_bytes);
	for (uint32_t i = 0; i < count; at += sizes[i++]) {
		uint64_t began = bench_now_ns();
		must(timed(group_load(g, image + at, sizes[i]), began, &load_ns) ==
		     GROUP_IMAGE_MORE);
	}
	enum group_image_step step = GROUP_IMAGE_MORE;
	while (step == GROUP_IMAGE_MORE) {
		uint64_t began = bench_now_ns();
		step = timed(group_load_check(g, SLICE_SLOTS), began, &check_ns);
	}
	must(group_applied(g) == group_applied(c->g));
	printf("state image: %.1f MiB in %u pieces\n", (double)bytes / (1 << 20), count);
	munmap((void *)g, group_bytes);
	free(image);
	free(sizes);
}

static void
report(const char *what, uint32_t rows, double ns)
{
	printf("%-44s %8.1f ns each, %6.2f M/s; %6.1f ns per hash, %6.2f M/s\n", what, ns,
	       1000.0 / ns, ns / rows, 1000.0 * rows / ns);
}

static void
measure(uint32_t rows, bool smallest)
{
	struct certifier c;
	uint64_t transactions = smallest ? 20000 : 1000000;
	begin(&c, rows);
	printf("live rows %u, %zu MiB\n", rows, c.bytes >> 20);
	report("transactions of 8 rows", 8, transactions_ns(&c, transactions, 8, 0));
	report("transactions of 8 rows, prefetched", 8,
	       transactions_ns(&c, transactions, 8, AHEAD));
	report("transactions of 1 row", 1, transactions_ns(&c, transactions, 1, 0));
	report("transactions of 1 row, prefetched", 1, transactions_ns(&c, transactions, 1, AHEAD));
	measure_steps(&c, smallest ? 3 : 50);
	measure_image(&c);
	end(&c);
}

int
main(int argc, char **argv)
{
	struct bench bench = bench_start("bench_certify", argc, argv, 1);

	bench_pin(&bench, 0);
	if (bench.smallest) {
		measure(50000, true);
	} else {
		measure(1000000, false);
		measure(10000000, false);
	}
	bench_print_latency("one step of 256 hashes, with the clock", &step_ns);
	bench_print_latency("one slice of a state image, written", &write_ns);
	bench_print_latency("one piece of it, loaded", &load_ns);
	bench_print_latency("one slice of the index, checked", &check_ns);
	return 0;
}
