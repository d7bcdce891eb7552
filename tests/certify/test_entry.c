/* The codec: what was encoded is decoded, and nothing else is. */
#include <criterion/criterion.h>

#include "certify/entry.h"

static uint8_t buffer[ENTRY_BYTES_MAX + 1];
static uint8_t again[ENTRY_BYTES_MAX + 1];

/* uuid 0x11.., "blue": 1-5, 7-9 */
static const uint8_t executed[] = {1,    0,    0,    0,    0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11,
				   0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 4,    'b',
				   'l',  'u',  'e',  2,    0,    0,    0,    1,    0,    0,    0,
				   0,    0,    0,    0,    5,    0,    0,    0,    0,    0,    0,
				   0,    7,    0,    0,    0,    0,    0,    0,    0,    9,    0,
				   0,    0,    0,    0,    0,    0};

static struct entry
submit_of(const uint8_t *hashes, uint32_t hash_count, const uint8_t *ranges, uint32_t range_count)
{
	struct entry e = {.kind = ENTRY_SUBMIT};
	e.submit = (struct entry_submit){
		.incarnation = 7,
		.session = 3,
		.sequence = 12,
		.floor = 10,
		.gtid_spec = GTID_ASSIGNED,
		.assigned = {{.uuid = {1, 2}, .tag_bytes = 3, .tag = "red"}, 99},
		.snapshot = {.mark = 40, .range_count = range_count, .ranges = ranges},
		.hash_count = hash_count,
		.hashes = hashes,
		.payload_bytes = 5,
		.payload = (const uint8_t *)"bytes",
	};
	return e;
}

static size_t
encode(const struct entry *e)
{
	struct writer w = writer_over(buffer, sizeof buffer);
	entry_encode(e, &w);
	cr_assert(!w.bad);
	return w.bytes;
}

/* One form only: what decodes, encodes to the same bytes; no prefix decodes. */
static void
check(const struct entry *e)
{
	struct entry out;
	size_t n = encode(e);
	cr_assert(entry_decode(&out, buffer, n), "kind %d", (int)e->kind);
	cr_assert_eq(out.kind, e->kind);
	struct writer w = writer_over(again, sizeof again);
	entry_encode(&out, &w);
	cr_assert_eq(w.bytes, n);
	cr_assert_eq(memcmp(buffer, again, n), 0);
	for (size_t i = 0; i < n; i++)
		cr_assert(!entry_decode(&out, buffer, i), "kind %d cut at %zu", (int)e->kind, i);
	buffer[n] = 0;
	cr_assert(!entry_decode(&out, buffer, n + 1), "kind %d with a byte more", (int)e->kind);
}

Test(certify_entry, every_kind_round_trips)
{
	struct gtid_bytes set = {executed, sizeof executed};
	struct entry e = {.kind = ENTRY_NOOP};
	check(&e);
	e = (struct entry){.kind = ENTRY_CREATE};
	e.create = (struct entry_create){{9}, {1000000, 1 << 20, 64, 9, 1}, set};
	check(&e);
	e = (struct entry){.kind = ENTRY_JOIN};
	e.join = (struct entry_join){.nonce = {1},
				     .server_uuid = {2},
				     .last_incarnation = 77,
				     .host_bytes = 4,
				     .host = "db-1",
				     .port = 3306,
				     .mysql_version = 90704,
				     .flags = JOIN_BOOTSTRAP,
				     .epoch = 63,
				     .executed = set};
	check(&e);
	e = (struct entry){.kind = ENTRY_LEAVE, .leave = {5}};
	check(&e);
	e = (struct entry){.kind = ENTRY_EXPEL, .expel = {5, 6, EXPEL_LAG}};
	check(&e);
	e = (struct entry){.kind = ENTRY_ATTACH, .attach = {5, 6, 2}};
	check(&e);
	e = (struct entry){.kind = ENTRY_ABANDON, .abandon = {5, 6, 70, 68, 9}};
	check(&e);
	e = (struct entry){.kind = ENTRY_PROGRESS, .progress = {5, 6, 70, 71, 1}};
	check(&e);
	e = (struct entry){.kind = ENTRY_HORIZON, .horizon = {1000}};
	check(&e);
	e = (struct entry){.kind = ENTRY_CLOSE, .close = {63}};
	check(&e);
}

Test(certify_entry, submissions_round_trip)
{
	uint8_t hashes[3 * ENTRY_HASH_BYTES], ranges[2 * SNAPSHOT_RANGE_BYTES];
	for (uint32_t i = 0; i < 3; i++)
		bytes_put_u64(hashes + i * ENTRY_HASH_BYTES, 0x7fffffffffffffffu - i);
	bytes_put_u64(ranges, 42);
	bytes_put_u64(ranges + 8, 42);
	bytes_put_u64(ranges + 16, 44);
	bytes_put_u64(ranges + 24, 50);
	struct entry e = submit_of(hashes, 3, ranges, 2), out;
	check(&e);
	e.submit.gtid_spec = GTID_AUTOMATIC_TAG;
	check(&e);
	e.submit.gtid_spec = GTID_AUTOMATIC;
	check(&e);
	cr_assert(entry_decode(&out, buffer, encode(&e)));
	cr_assert_eq(entry_hash(&out.submit, 2), 0x7ffffffffffffffdu);
	cr_assert_eq(snapshot_range(&out.submit.snapshot, 1).to, 50);
}

Test(certify_entry, what_would_mislead_a_lookup_does_not_decode)
{
	uint8_t hash[ENTRY_HASH_BYTES], ranges[2 * SNAPSHOT_RANGE_BYTES];
	struct entry out;
	bytes_put_u64(hash, ENTRY_HASH_SHARED | 1);
	struct entry e = submit_of(hash, 1, ranges, 0);
	cr_assert(!entry_decode(&out, buffer, encode(&e)), "the shared bit");

	/* A binary search over unordered ranges would miss one. */
	static const uint64_t bad[][4] = {
		{40, 41, 43, 44}, /* touches the mark */
		{42, 41, 43, 44}, /* ends before it begins */
		{42, 45, 45, 46}, /* overlap */
		{50, 51, 43, 44}, /* descending */
	};
	bytes_put_u64(hash, 1);
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		for (size_t j = 0; j < 4; j++)
			bytes_put_u64(ranges + 8 * j, bad[i][j]);
		e = submit_of(hash, 1, ranges, 2);
		cr_assert(!entry_decode(&out, buffer, encode(&e)), "ranges %zu", i);
	}
}

Test(certify_entry, a_reference_to_a_payload_is_whole_or_does_not_decode)
{
	uint8_t hash[ENTRY_HASH_BYTES], reference[ENTRY_SPREAD_BYTES];
	struct entry_spread spread = {1u << 30, 99, 4096, 5, 0, 7}, decoded;
	struct entry out;
	bytes_put_u64(hash, 1);
	struct entry e = submit_of(hash, 1, hash, 0);
	entry_spread_encode(&spread, reference);
	e.submit.flags = SUBMIT_SPREAD;
	e.submit.payload = reference;
	e.submit.payload_bytes = sizeof reference;
	check(&e);
	cr_assert(entry_spread_decode(&decoded, reference, sizeof reference));
	cr_assert_eq(decoded.bytes, spread.bytes);
	cr_assert_eq(decoded.digest, 99);
	cr_assert_eq(decoded.chunk_bytes, 4096);
	cr_assert_eq(decoded.holders, 5);
	cr_assert_eq(entry_hash_count(&e.submit), 1);
	e.submit.payload_bytes--;
	cr_assert(!entry_decode(&out, buffer, encode(&e)), "a byte short");
	e.submit.payload_bytes++;
	bytes_put_u32(reference + 16, ENTRY_CHUNK_BYTES_MIN - 1);
	cr_assert(!entry_decode(&out, buffer, encode(&e)), "chunks too small");
	bytes_put_u32(reference + 16, 4100);
	cr_assert(!entry_decode(&out, buffer, encode(&e)), "a hash in two chunks");
	bytes_put_u32(reference + 16, 4096);
	bytes_put_u64(reference, 0);
	cr_assert(!entry_decode(&out, buffer, encode(&e)), "of nothing");
}

Test(certify_entry, a_write_set_that_went_ahead_is_the_only_one)
{
	uint8_t hash[ENTRY_HASH_BYTES], reference[ENTRY_SPREAD_BYTES];
	struct entry_spread spread = {1u << 20, 99, 4096, 5, 1000, 6}, decoded;
	struct entry out;
	bytes_put_u64(hash, 1);
	struct entry e = submit_of(hash, 0, hash, 0);
	entry_spread_encode(&spread, reference);
	e.submit.flags = SUBMIT_SPREAD;
	e.submit.payload = reference;
	e.submit.payload_bytes = sizeof reference;
	check(&e);
	cr_assert(entry_spread_decode(&decoded, reference, sizeof reference));
	cr_assert_eq(decoded.hash_count, 1000);
	cr_assert_eq(entry_hash_count(&e.submit), 1000);
	bytes_put_u64(reference, 8000);
	cr_assert(!entry_decode(&out, buffer, encode(&e)), "without a payload");
	bytes_put_u64(reference, 8001);
	cr_assert(entry_decode(&out, buffer, encode(&e)));
	e.submit.flags |= SUBMIT_EMPTY;
	cr_assert(!entry_decode(&out, buffer, encode(&e)), "it changes rows");
	e = submit_of(hash, 1, hash, 0);
	e.submit.flags = SUBMIT_SPREAD;
	e.submit.payload = reference;
	e.submit.payload_bytes = sizeof reference;
	cr_assert(!entry_decode(&out, buffer, encode(&e)), "two write sets");
}

Test(certify_entry, a_set_has_one_form)
{
	uint8_t bytes[sizeof executed];
	static const struct {
		size_t at;
		uint8_t value;
	} bad[] = {
		{0, 2},    /* a source is missing */
		{20, 33},  /* tag too long */
		{20, 0},   /* what was the tag is now a count */
		{25, 1},   /* bytes left over */
		{45, 6},   /* 1-5 and 6-9 touch */
		{29, 0},   /* number 0 */
		{53, 6},   /* 7-6 */
		{60, 0x80} /* above GNO_MAX */
	};
	cr_assert(gtid_bytes_valid((struct gtid_bytes){executed, sizeof executed}));
	cr_assert(gtid_bytes_valid((struct gtid_bytes){NULL, 0}));
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		memcpy(bytes, executed, sizeof bytes);
		bytes[bad[i].at] = bad[i].value;
		cr_assert(!gtid_bytes_valid((struct gtid_bytes){bytes, sizeof bytes}), "%zu", i);
	}
}

Test(certify_entry, snapshot_contains_by_mark_and_by_range)
{
	uint8_t ranges[2 * SNAPSHOT_RANGE_BYTES];
	bytes_put_u64(ranges, 12);
	bytes_put_u64(ranges + 8, 13);
	bytes_put_u64(ranges + 16, 15);
	bytes_put_u64(ranges + 24, 15);
	struct snapshot s = {.mark = 10, .range_count = 2, .ranges = ranges};
	static const bool seen[] = {[9] = 1, [10] = 1, [12] = 1, [13] = 1, [15] = 1, [16] = 0};
	for (uint64_t i = 9; i <= 16; i++)
		cr_assert_eq(snapshot_contains(&s, i), seen[i], "index %d", (int)i);
}

/* Own transactions between those of others, as while a large one is fed. */
Test(certify_entry, many_short_ranges_are_written_as_bits)
{
	uint8_t hash[ENTRY_HASH_BYTES], ranges[100 * SNAPSHOT_RANGE_BYTES];
	for (uint32_t i = 0; i < 100; i++) {
		bytes_put_u64(ranges + i * SNAPSHOT_RANGE_BYTES, 42 + 5 * i);
		bytes_put_u64(ranges + i * SNAPSHOT_RANGE_BYTES + 8, 42 + 5 * i + i % 3);
	}
	bytes_put_u64(hash, 1);
	struct entry e = submit_of(hash, 1, ranges, 100), out;
	size_t n = encode(&e);
	cr_assert(n < 200, "%zu", n);
	cr_assert(entry_decode(&out, buffer, n));
	cr_assert_eq(out.submit.snapshot.range_count, 0);
	cr_assert_eq(snapshot_last(&out.submit.snapshot), 42 + 5 * 99);
	cr_assert_eq(snapshot_last(&e.submit.snapshot), 42 + 5 * 99);
	for (uint64_t i = 1; i < 700; i++)
		cr_assert_eq(snapshot_contains(&out.submit.snapshot, i),
			     snapshot_contains(&e.submit.snapshot, i), "%d", (int)i);
	check(&out);
	struct snapshot *s = &out.submit.snapshot;
	uint8_t bits[4] = {1, 0, 0, 0};
	*s = (struct snapshot){.mark = 40, .bit_bytes = 4, .bits = bits};
	cr_assert(!entry_decode(&e, buffer, encode(&out)), "nothing in the last byte");
	bits[3] = 1;
	cr_assert(entry_decode(&e, buffer, encode(&out)));
	s->mark = UINT64_MAX - 31;
	cr_assert(!entry_decode(&e, buffer, encode(&out)), "beyond the last index");
	bytes_put_u64(ranges + 99 * SNAPSHOT_RANGE_BYTES, 42 + 20000);
	bytes_put_u64(ranges + 99 * SNAPSHOT_RANGE_BYTES + 8, 42 + 20000);
	*s = (struct snapshot){.mark = 40, .range_count = 100, .ranges = ranges};
	cr_assert(entry_decode(&e, buffer, encode(&out)));
	cr_assert_eq(e.submit.snapshot.range_count, 100, "far apart, ranges are shorter");
}

Test(certify_entry, any_bytes_are_survived)
{
	uint8_t hashes[2 * ENTRY_HASH_BYTES] = {1}, ranges[SNAPSHOT_RANGE_BYTES] = {50};
	bytes_put_u64(ranges + 8, 60);
	struct entry e = submit_of(hashes, 2, ranges, 1), out;
	size_t n = encode(&e), taken = 0;
	uint64_t x = 88172645463325252u;
	for (int i = 0; i < 20000; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		memcpy(again, buffer, n);
		again[x % n] = (uint8_t)(x >> 32);
		again[0] = i % 3 ? again[0] : (uint8_t)(x >> 40) % 12;
		taken += entry_decode(&out, again, n);
	}
	cr_assert(taken > 0 && taken < 20000);
}

/* The windows of sequences are counted from the floor up: at the end of the numbers they
 * would wrap, and an image that holds such a member could not be read by anybody. */
Test(certify_entry, sequences_stay_far_from_the_end_of_the_numbers)
{
	static const uint64_t far = UINT64_MAX;
	const struct entry bad[] = {
		{.kind = ENTRY_ABANDON, .abandon = {5, 6, far, 1}},
		{.kind = ENTRY_ABANDON, .abandon = {5, 6, 7, 8}},
		{.kind = ENTRY_ABANDON, .abandon = {5, 6, 7, 0}},
		{.kind = ENTRY_PROGRESS, .progress = {5, far, 70, 71, 1}},
		{.kind = ENTRY_SUBMIT,
		 .submit = {.incarnation = 2,
			    .sequence = far,
			    .floor = 1,
			    .flags = SUBMIT_EMPTY,
			    .gtid_spec = GTID_AUTOMATIC}},
	};
	uint8_t bytes[256];
	struct entry decoded;

	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		struct writer w = writer_over(bytes, sizeof bytes);
		entry_encode(&bad[i], &w);
		cr_assert(!w.bad);
		cr_assert_not(entry_decode(&decoded, bytes, w.bytes), "entry %zu", i);
	}
}
