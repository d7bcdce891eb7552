/* The state image: bytes that are cut or changed are refused or survived. */
#include "tests/certify/group_script.h"

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
	size_t n = group_encode(s.g, image, IMAGE_MAX);
	cr_assert_leq(n, group_image_bytes(s.g));
	t.mem = aligned_alloc(64, (group_size(group_config(s.g)) + 63) & ~(size_t)63);
	t.g = group_decode(t.mem, group_config(s.g), image, n);
	cr_assert_not_null(t.g);
	cr_assert_eq(group_digest(s.g), group_digest(t.g));
	cr_assert_eq(group_encode(t.g, again, IMAGE_MAX), n);
	cr_assert_eq(memcmp(image, again, n), 0);
	struct script *both[2] = {&s, &t};
	for (int i = 0; i < 2; i++) {
		cr_assert(submit(both[i], 2, 1, 5)->repeated);
		cr_assert_eq(submit(both[i], 2, 3, 6)->verdict, GROUP_REFUSED);
		cr_assert_eq(join(both[i], 2, 3, 4)->change, GROUP_JOINED);
	}
	cr_assert_eq(group_digest(s.g), group_digest(t.g));
	script_end(&s);
	script_end(&t);
}

Test(certify_group_image, cut_or_changed_is_refused_or_survived)
{
	struct script s = busy_group();
	struct group_config config = *group_config(s.g);
	void *mem = aligned_alloc(64, (group_size(&config) + 63) & ~(size_t)63);
	size_t n = group_encode(s.g, image, IMAGE_MAX);
	for (size_t i = 0; i < n; i++)
		cr_assert_null(group_decode(mem, &config, image, i), "cut at %zu", i);
	for (size_t i = 0; i < n; i++) {
		memcpy(again, image, n);
		again[i] ^= 0xff;
		(void)group_decode(mem, &config, again, n);
	}
	config.inflight_max--;
	cr_assert_null(group_decode(mem, &config, image, n), "asks for more than there is");
	free(mem);
	script_end(&s);
}
