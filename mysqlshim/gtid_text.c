#include "mysqlshim/gtid_text.h"

#include <stdio.h>
#include <string.h>

#define UUID_CHARS 36
#define BLANKS     " \t\r\n"

static int
digit_of(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

bool
uuid_parse(uint8_t uuid[UUID_BYTES], const char *text)
{
	uint32_t digits = 0;

	memset(uuid, 0, UUID_BYTES);
	for (; *text && digits <= 2 * UUID_BYTES; text++) {
		int digit = digit_of(*text);

		if (*text == '-' || *text == '{' || *text == '}')
			continue;
		if (digit < 0 || digits == 2 * UUID_BYTES)
			return false;
		uuid[digits / 2] = (uint8_t)(uuid[digits / 2] << 4 | digit);
		digits++;
	}
	return digits == 2 * UUID_BYTES;
}

void
uuid_format(const uint8_t uuid[UUID_BYTES], char text[37])
{
	static const char digit[] = "0123456789abcdef";
	char *to = text;

	for (uint32_t i = 0; i < UUID_BYTES; i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			*to++ = '-';
		*to++ = digit[uuid[i] >> 4];
		*to++ = digit[uuid[i] & 15];
	}
	*to = '\0';
}

void
gtid_format(const struct gtid *gtid, char text[GTID_CHARS_MAX + 1])
{
	char uuid[37];

	uuid_format(gtid->source.uuid, uuid);
	snprintf(text, GTID_CHARS_MAX + 1, "%s:%.*s%s%llu", uuid, gtid->source.tag_bytes,
		 gtid->source.tag, gtid->source.tag_bytes ? ":" : "",
		 (unsigned long long)gtid->gno);
}

static bool
read_number(const char **at, uint64_t *number)
{
	*number = 0;
	if (digit_of(**at) < 0 || digit_of(**at) > 9)
		return false;
	for (; **at >= '0' && **at <= '9'; (*at)++) {
		if (*number > GNO_MAX / 10)
			return false;
		*number = *number * 10 + (uint64_t)(**at - '0');
	}
	return true;
}

/* "5" or "5-9", for the source that was read before it. */
static bool
read_interval(const char **at, struct gtid_set *set, const struct gtid_source *source)
{
	struct gtid_interval in = {.source = *source};

	if (!read_number(at, &in.from))
		return false;
	in.to = in.from;
	if (**at == '-') {
		(*at)++;
		if (!read_number(at, &in.to))
			return false;
	}
	if (in.from == 0 || in.to < in.from || in.to > GNO_MAX)
		return false;
	enum gtid_result added = gtid_set_add_interval(set, &in);
	return added == GTID_SET_ADDED || added == GTID_SET_PRESENT;
}

static bool
read_tag(const char **at, struct gtid_source *source)
{
	size_t chars = strcspn(*at, ":," BLANKS);

	if (chars == 0 || chars > TAG_BYTES_MAX)
		return false;
	memset(source->tag, 0, sizeof source->tag);
	memcpy(source->tag, *at, chars);
	source->tag_bytes = (uint8_t)chars;
	*at += chars;
	return true;
}

/* One UUID with all that follows it up to a comma or the end. */
static bool
read_source(const char **at, struct gtid_set *set)
{
	struct gtid_source source = {0};
	char uuid[UUID_CHARS + 1] = {0};

	if (strlen(*at) < UUID_CHARS)
		return false;
	memcpy(uuid, *at, UUID_CHARS);
	if (!uuid_parse(source.uuid, uuid))
		return false;
	*at += UUID_CHARS;
	while (**at == ':') {
		bool number = digit_of(*++*at) >= 0 && digit_of(**at) <= 9;

		if (!(number ? read_interval(at, set, &source) : read_tag(at, &source)))
			return false;
	}
	return true;
}

bool
gtid_text_parse(struct gtid_set *set, const char *text)
{
	text += strspn(text, BLANKS);
	while (*text) {
		if (!read_source(&text, set))
			return false;
		text += strspn(text, BLANKS);
		if (*text == '\0')
			return true;
		if (*text++ != ',')
			return false;
		text += strspn(text, BLANKS);
	}
	return true;
}
