/* The state image: bytes that are cut or changed are refused or survived. */
#include "tests/certify/group_script.h"
#include "tests/certify/image.h"

#define IMAGE_MAX 65536

static uint8_t image[IMAGE_MAX], again[IMAGE_MAX];

static struct script
busy_group(void)
{
	struct group_config config = script_config;
	config.block_size = 3;
	struct script s = script_begin(&config);
	create(&s, &config);
	join(&s, 1, 0, 1);
	join(&s, 2, 0, 1);
	progress(&s, 2, 3, true);
	s.mark = 4;
	submit(&s, 2, 1, 5);
	submit(&s, 3, 1, 6);
	abandon(&s, 3, 2);
	horizon(&s, 4);
	submit(&s, 2, 2, 7);
	expel(&s, 3, 0);
	return s;
}

Test(certify_group_image, comes_back_and_goes_on_alike)
{
	struct script s = busy_group(), t = s;
	group_fork(s.g, 3);
	join(&s, 1, 2, 3);
	struct entry e = {.kind = ENTRY_ABANDON};
	e.abandon = (struct entry_abandon){group_applied(s.g), 0, 4, 1, 6};
	submit(&s, e.abandon.incarnation, 1, 9);
	cr_assert_eq(apply(&s, &e)->verdict, GROUP_ABANDONED);
	size_t n = image_write(s.g, image, IMAGE_MAX);
	t.mem = aligned_alloc(64, (group_size(group_config(s.g)) + 63) & ~(size_t)63);
	t.g = image_read(t.mem, group_config(s.g), image, n);
	cr_assert_not_null(t.g);
	cr_assert_eq(group_digest(s.g), group_digest(t.g));
	cr_assert_eq(image_write(t.g, again, IMAGE_MAX), n);
	cr_assert_eq(memcmp(image, again, n), 0);
	struct script *both[2] = {&s, &t};
	for (int i = 0; i < 2; i++) {
		uint64_t last = group_server(both[i]->g, (uint8_t[UUID_BYTES]){1})->incarnation;
		cr_assert(submit(both[i], last, 1, 5)->repeated);
		cr_assert(!group_offer_open(both[i]->g, last, 6));
		cr_assert(group_offer_open(both[i]->g, last, 8));
		cr_assert_eq(submit(both[i], last, 2, 6)->verdict, GROUP_REFUSED);
		cr_assert_eq(submit(both[i], last, 3, 10)->outcome.gtid.gno,
			     3 * GROUP_EPOCH_NUMBERS + 2);
		cr_assert_eq(join(both[i], 2, 3, 4)->change, GROUP_JOINED);
	}
	cr_assert_eq(group_digest(s.g), group_digest(t.g));
	script_end(&s);
	script_end(&t);
}

/* What lies behind a cut is void there too. */
Test(certify_group_image, has_where_the_order_was_cut)
{
	struct script s = busy_group();
	void *mem = aligned_alloc(64, (group_size(group_config(s.g)) + 63) & ~(size_t)63);
	cut(&s, 2, 3, 2);
	size_t n = image_write(s.g, image, IMAGE_MAX);
	struct group *t = image_read(mem, group_config(s.g), image, n);
	cr_assert_not_null(t);
	struct group *both[2] = {s.g, t};
	for (int i = 0; i < 2; i++) {
		s.g = both[i];
		cr_assert_eq(submit(&s, 2, 4, 50)->kind, GROUP_NOTHING);
		group_fork(s.g, 2);
		cr_assert_eq(join(&s, 1, 2, 3)->change, GROUP_JOINED);
	}
	cr_assert_eq(group_digest(both[0]), group_digest(both[1]));
	s.g = both[0];
	free(mem);
	script_end(&s);
}

Test(certify_group_image, cut_or_changed_is_refused_or_survived)
{
	struct script s = busy_group();
	struct group_config config = *group_config(s.g);
	void *mem = aligned_alloc(64, (group_size(&config) + 63) & ~(size_t)63);
	size_t n = image_write(s.g, image, IMAGE_MAX);
	for (size_t i = 0; i < n; i++)
		cr_assert_null(image_read(mem, &config, image, i), "cut at %zu", i);
	for (size_t i = 0; i < n; i++) {
		memcpy(again, image, n);
		again[i] ^= 0xff;
		(void)image_read(mem, &config, again, n);
	}
	config.inflight_max--;
	cr_assert_null(image_read(mem, &config, image, n), "asks for more than there is");
	free(mem);
	script_end(&s);
}

/* Every row is written again, some new ones come and the horizon moves, all while the image
 * is on its way: it is what the group is at its end. */
Test(certify_group_image, takes_in_what_is_applied_while_it_is_written)
{
	struct script s = busy_group();
	void *mem = aligned_alloc(64, (group_size(group_config(s.g)) + 63) & ~(size_t)63);
	struct writer w = writer_over(image, IMAGE_MAX);
	enum group_image_step step;
	group_image_begin(s.g);
	for (uint64_t i = 0; i < 300 && !group_image_closing(s.g); i++) {
		step = image_piece(s.g, &w, 1);
		if (i % 3 == 0 && !group_image_closing(s.g) && i < 200) {
			s.floor = 3 + i / 3;
			s.mark = group_applied(s.g);
			submit(&s, 2, 3 + i / 3, 5 + i % 7);
			progress(&s, 2, group_applied(s.g), true);
			horizon(&s, group_applied(s.g) - 1);
		}
	}
	while ((step = image_piece(s.g, &w, 1)) == GROUP_IMAGE_MORE)
		;
	cr_assert_eq(step, GROUP_IMAGE_DONE);
	struct group *t = image_read(mem, group_config(s.g), image, w.bytes);
	cr_assert_not_null(t);
	cr_assert_eq(group_digest(t), group_digest(s.g));
	cr_assert_eq(group_index_hashes(t), group_index_hashes(s.g));
	cr_assert_gt(group_index_hashes(t), 0);
	free(mem);
	script_end(&s);
}

/* A piece is lost, or comes twice: the rest does not pass for an image. */
Test(certify_group_image, with_a_piece_too_few_is_refused)
{
	struct script s = busy_group();
	struct group_config config = *group_config(s.g);
	void *mem = aligned_alloc(64, (group_size(&config) + 63) & ~(size_t)63);
	size_t n = image_write(s.g, image, IMAGE_MAX);
	cr_assert_not_null(image_read(mem, &config, image, n));
	for (size_t at = 0; at < n;) {
		size_t piece = 4 + bytes_get_u32(image + at);
		memcpy(again, image, at);
		memcpy(again + at, image + at + piece, n - at - piece);
		cr_assert_null(image_read(mem, &config, again, n - piece), "without %zu", at);
		at += piece;
	}
	free(mem);
	script_end(&s);
}
