/*
 * A state image in one go, for those who test what it says and not how it is written:
 * its pieces, each behind its length (u32).
 */
#ifndef TESTS_CERTIFY_IMAGE_H
#define TESTS_CERTIFY_IMAGE_H

#include "base/must.h"
#include "certify/group.h"

/* Adds a piece of the image. `budget` slots of the index. */
static inline enum group_image_step
image_piece(struct group *g, struct writer *w, uint32_t budget)
{
	uint8_t *head = writer_take(w, 4);
	size_t room = w->capacity - w->bytes;
	must(head != NULL);
	struct writer piece =
		writer_over(head + 4, room < GROUP_PIECE_BYTES_MIN ? room : GROUP_PIECE_BYTES_MIN);
	if (group_image_ready(g))
		group_image_close(g);
	enum group_image_step step = group_image_next(g, &piece, budget);
	bytes_put_u32(head, (uint32_t)piece.bytes);
	must(writer_take(w, piece.bytes) != NULL);
	if (piece.bytes == 0)
		w->bytes -= 4;
	return step;
}

static inline size_t
image_write(struct group *g, uint8_t *out, size_t capacity)
{
	struct writer w = writer_over(out, capacity);
	group_image_begin(g);
	while (image_piece(g, &w, 1000) == GROUP_IMAGE_MORE)
		;
	return w.bytes;
}

/* NULL: malformed, or one that asks for more than `config`. */
static inline struct group *
image_read(void *mem, const struct group_config *config, const uint8_t *data, size_t bytes)
{
	struct group *g = group_init(mem, config);
	struct reader r = reader_over(data, bytes);
	enum group_image_step step = GROUP_IMAGE_MORE;
	while (step == GROUP_IMAGE_MORE && r.bytes > 0) {
		uint32_t n = reader_u32(&r);
		const uint8_t *piece = reader_take(&r, n);
		step = r.bad ? GROUP_IMAGE_BAD : group_load(g, piece, n);
	}
	if (step == GROUP_IMAGE_BAD)
		return NULL;
	while ((step = group_load_check(g, 1000)) == GROUP_IMAGE_MORE)
		;
	return step == GROUP_IMAGE_DONE ? g : NULL;
}

#endif /* TESTS_CERTIFY_IMAGE_H */
