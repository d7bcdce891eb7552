/*
 * Any bytes as what certify/ reads. The first byte chooses:
 *
 *     0  one entry: what decodes encodes to the same bytes
 *     1  a log: u16 length and bytes of each entry, applied to a group; the group's
 *        image decodes to a group that goes on alike
 *     2  an image: what decodes encodes to an image that decodes
 */
#include <stdlib.h>
#include <string.h>

#include "base/must.h"
#include "certify/group.h"
#include "tests/certify/image.h"
#include "tests/fuzz/fuzz.h"

#define IMAGE_BYTES (1 << 20)
#define LOG_ENTRIES 64
#define HASHES_MAX  (ENTRY_BYTES_MAX / ENTRY_HASH_BYTES)

static const struct group_config config = {
	.block_size = 2,
	.index_hashes_max = 16,
	.inflight_max = 4,
	.members_max = 3,
	.protocol = 1,
};

/* Two groups and an image between them; taken once. */
static uint8_t *memory[2];
static uint8_t *image[2];

static void
memory_take(void)
{
	for (int i = 0; i < 2 && memory[i] == NULL; i++) {
		memory[i] = aligned_alloc(64, (group_size(&config) + 63) / 64 * 64);
		image[i] = malloc(IMAGE_BYTES);
		must(memory[i] != NULL);
		must(image[i] != NULL);
	}
}

static void
one_entry(const uint8_t *data, size_t size)
{
	static uint8_t again[ENTRY_BYTES_MAX];
	struct writer w = writer_over(again, sizeof again);
	struct entry e;

	if (!entry_decode(&e, data, size))
		return;
	entry_encode(&e, &w);
	must(!w.bad);
	must(w.bytes == size);
	must(memcmp(again, data, size) == 0);
}

static size_t
image_of(struct group *g, uint8_t *out)
{
	return image_write(g, out, IMAGE_BYTES);
}

/* `g` and what its image decodes to are one. */
static struct group *
through_image(struct group *g)
{
	size_t bytes = image_of(g, image[0]);
	struct group *other = image_read(memory[1], &config, image[0], bytes);

	must(other != NULL);
	must(group_digest(other) == group_digest(g));
	must(group_index_hashes(other) == group_index_hashes(g));
	must(image_of(other, image[1]) == bytes);
	return other;
}

/* Hashes that went ahead of the entry: of their positions, one at a time. */
static void
apply(struct group *g, const struct entry *e, uint32_t budget)
{
	enum group_step step;
	uint8_t hash[ENTRY_HASH_BYTES];

	group_apply_start(g, group_applied(g) + 1, e);
	for (uint32_t i = 0; (step = group_apply_step(g, budget)) != GROUP_DONE; i++) {
		must(i < ENTRY_BYTES_MAX);
		if (step != GROUP_HASHES)
			continue;
		bytes_put_u64(hash, group_hashes_next(g) % 8);
		group_hashes(g, hash, 1);
	}
	must(group_effect(g)->index == group_applied(g));
}

static void
a_log(const uint8_t *data, size_t size)
{
	struct reader r = reader_over(data, size);
	struct group *g = group_init(memory[0], &config);
	struct group *other = NULL;

	for (uint32_t i = 0; i < LOG_ENTRIES && r.bytes > 2; i++) {
		uint32_t bytes = reader_u16(&r);
		struct entry e;
		bytes = bytes < r.bytes ? bytes : (uint32_t)r.bytes;
		const uint8_t *at = reader_take(&r, bytes);
		if (!entry_decode(&e, at, bytes))
			continue;
		if (e.kind == ENTRY_SUBMIT && entry_hash_count(&e.submit) > HASHES_MAX)
			continue;
		apply(g, &e, 1 + i % 3);
		if (other != NULL)
			apply(other, &e, 1000);
		if (i % 4 == 3)
			other = through_image(g);
		group_sweep(g, i);
	}
	if (other != NULL)
		must(group_digest(other) == group_digest(g));
}

static void
an_image(const uint8_t *data, size_t size)
{
	struct group *g = image_read(memory[0], &config, data, size);

	if (g == NULL)
		return;
	size_t bytes = image_of(g, image[0]);
	must(image_read(memory[1], &config, image[0], bytes) != NULL);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 1)
		return 0;
	memory_take();
	if (data[0] == 0)
		one_entry(data + 1, size - 1);
	else if (data[0] == 1)
		a_log(data + 1, size - 1);
	else if (data[0] == 2)
		an_image(data + 1, size - 1);
	return 0;
}
