/* The sentences behind a refusal: each fits, names what it knows, and ends. */
#include <criterion/criterion.h>
#include <string.h>

#include "mysqlshim/explain.h"
#include "node/member.h"

Test(mysqlshim_explain, a_conflict_names_its_winner)
{
	struct explain why = {.verdict = MEMBER_CONFLICT,
			      .winner_hash = UINT64_C(0x0123456789abcdef),
			      .winner = {.gno = INT64_MAX}};
	char text[EXPLAIN_CHARS_MAX];

	memset(why.winner.source.uuid, 0xaa, UUID_BYTES);
	why.winner.source.tag_bytes = TAG_BYTES_MAX;
	memset(why.winner.source.tag, 't', TAG_BYTES_MAX);
	cr_assert(explain_refusal(&why, text));
	cr_assert(strstr(text, "aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa:"));
	cr_assert(strstr(text, ":9223372036854775807 "));
	cr_assert(strstr(text, "0123456789abcdef"));
	cr_assert(strstr(text, "again."), "cut off: %s", text);
	why.winner.gno = 0;
	cr_assert(explain_refusal(&why, text));
	cr_assert(strstr(text, "another, earlier one"));
}

Test(mysqlshim_explain, every_refusal_has_a_sentence_and_no_other_verdict)
{
	char text[EXPLAIN_CHARS_MAX];

	for (uint8_t verdict = 0; verdict <= MEMBER_ENDED; verdict++) {
		bool refused = verdict > MEMBER_ACCEPTED && verdict != MEMBER_ABANDONED;

		cr_assert_eq(explain_refusal(&(struct explain){.verdict = verdict}, text), refused);
		cr_assert_eq(strlen(text) > 0, refused);
		cr_assert(!refused || text[strlen(text) - 1] == '.');
	}
}
