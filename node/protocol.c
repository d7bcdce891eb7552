#include "node/protocol.h"

#include "base/must.h"
#include "paxos/paxos.h"

enum field {
	F_NODE = 1u << 0,
	F_REASON = 1u << 1,
	F_VERDICT = 1u << 2,
	F_FLAGS = 1u << 3,
	F_SESSION = 1u << 4,
	F_SEQUENCE = 1u << 5,
	F_INDEX = 1u << 6,
	F_PREVIOUS = 1u << 7,
	F_OWN = 1u << 8,
	F_DEPENDENCY = 1u << 9,
	F_MARK = 1u << 10,
	F_HASH = 1u << 11,
	F_UUID = 1u << 12,
	F_NONCE = 1u << 13,
	F_GTID = 1u << 14,
	F_WINNER = 1u << 15,
	F_DATA = 1u << 16,
	F_COUNTS = 1u << 17,
};

#define KINDS (PROTOCOL_END - PROTOCOL_OPEN)

static const uint32_t fields_of[KINDS] = {
	[PROTOCOL_OPEN - PROTOCOL_OPEN] = F_UUID,
	[PROTOCOL_GROUP - PROTOCOL_OPEN] = F_NODE | F_FLAGS | F_INDEX | F_DATA,
	[PROTOCOL_JOIN - PROTOCOL_OPEN] = F_FLAGS | F_MARK | F_UUID | F_DATA,
	[PROTOCOL_JOINED - PROTOCOL_OPEN] = F_REASON | F_INDEX | F_NONCE,
	[PROTOCOL_ATTACH - PROTOCOL_OPEN] = F_SESSION | F_SEQUENCE | F_INDEX,
	[PROTOCOL_ATTACHED - PROTOCOL_OPEN] = F_FLAGS | F_SESSION | F_INDEX | F_OWN | F_MARK,
	[PROTOCOL_SUBMIT - PROTOCOL_OPEN] = F_DATA,
	[PROTOCOL_ABANDON - PROTOCOL_OPEN] = F_DATA,
	[PROTOCOL_VERDICT - PROTOCOL_OPEN] =
		F_VERDICT | F_SEQUENCE | F_INDEX | F_DEPENDENCY | F_HASH | F_GTID | F_WINNER,
	[PROTOCOL_ENTRY - PROTOCOL_OPEN] =
		F_FLAGS | F_INDEX | F_PREVIOUS | F_OWN | F_DEPENDENCY | F_GTID | F_DATA,
	[PROTOCOL_THROUGH - PROTOCOL_OPEN] = F_INDEX | F_PREVIOUS | F_OWN,
	[PROTOCOL_VIEW - PROTOCOL_OPEN] = F_SEQUENCE | F_INDEX | F_PREVIOUS | F_OWN | F_DATA,
	[PROTOCOL_PROGRESS - PROTOCOL_OPEN] = F_FLAGS | F_SEQUENCE | F_INDEX | F_MARK | F_HASH,
	[PROTOCOL_LEAVE - PROTOCOL_OPEN] = 0,
	[PROTOCOL_ENDED - PROTOCOL_OPEN] = F_FLAGS | F_REASON,
	[PROTOCOL_COUNTS - PROTOCOL_OPEN] = F_COUNTS,
	[PROTOCOL_OFFER - PROTOCOL_OPEN] = F_FLAGS | F_SEQUENCE | F_INDEX | F_MARK,
	[PROTOCOL_FETCH - PROTOCOL_OPEN] = F_SEQUENCE | F_INDEX | F_DEPENDENCY,
	[PROTOCOL_CHUNK - PROTOCOL_OPEN] =
		F_FLAGS | F_SEQUENCE | F_INDEX | F_DEPENDENCY | F_MARK | F_DATA,
	[PROTOCOL_HELD - PROTOCOL_OPEN] = F_FLAGS | F_SEQUENCE | F_HASH,
	[PROTOCOL_VOTERS - PROTOCOL_OPEN] = F_FLAGS | F_INDEX,
	[PROTOCOL_LEAD - PROTOCOL_OPEN] = F_FLAGS | F_INDEX,
	[PROTOCOL_ORDER - PROTOCOL_OPEN] = F_DATA,
	[PROTOCOL_RESULTS - PROTOCOL_OPEN] = F_FLAGS | F_INDEX | F_HASH,
	[PROTOCOL_FORCE - PROTOCOL_OPEN] = F_FLAGS | F_INDEX | F_UUID,
	[PROTOCOL_COMPARE - PROTOCOL_OPEN] = F_FLAGS | F_INDEX | F_HASH,
	[PROTOCOL_IMAGE - PROTOCOL_OPEN] = F_SEQUENCE | F_INDEX | F_MARK,
	[PROTOCOL_ASK - PROTOCOL_OPEN] = F_SEQUENCE | F_INDEX,
	[PROTOCOL_PART - PROTOCOL_OPEN] = F_SEQUENCE | F_INDEX | F_DATA,
	[PROTOCOL_LACK - PROTOCOL_OPEN] = F_FLAGS | F_INDEX | F_GTID,
	[PROTOCOL_ROOM - PROTOCOL_OPEN] = F_FLAGS | F_INDEX,
	[PROTOCOL_BARRIER - PROTOCOL_OPEN] = F_SEQUENCE,
	[PROTOCOL_BARRIER_AT - PROTOCOL_OPEN] = F_SEQUENCE | F_INDEX,
	[PROTOCOL_SURVEY - PROTOCOL_OPEN] = F_SESSION | F_SEQUENCE | F_INDEX,
	[PROTOCOL_HIGHEST - PROTOCOL_OPEN] = F_SESSION | F_SEQUENCE | F_INDEX,
	[PROTOCOL_DISK - PROTOCOL_OPEN] =
		F_FLAGS | F_SEQUENCE | F_INDEX | F_PREVIOUS | F_OWN | F_MARK | F_UUID,
	[PROTOCOL_PIECE - PROTOCOL_OPEN] = F_FLAGS | F_SEQUENCE | F_INDEX | F_PREVIOUS | F_OWN |
					   F_DEPENDENCY | F_MARK | F_GTID | F_DATA,
};

void
protocol_write_gtid(struct writer *w, const struct gtid *gtid)
{
	must(gtid->source.tag_bytes <= TAG_BYTES_MAX);
	writer_raw(w, gtid->source.uuid, UUID_BYTES);
	writer_u8(w, gtid->source.tag_bytes);
	writer_raw(w, gtid->source.tag, gtid->source.tag_bytes);
	writer_u64(w, gtid->gno);
}

void
protocol_read_gtid(struct reader *r, struct gtid *gtid)
{
	memset(gtid, 0, sizeof *gtid);
	reader_raw(r, gtid->source.uuid, UUID_BYTES);
	gtid->source.tag_bytes = reader_u8(r);
	if (gtid->source.tag_bytes > TAG_BYTES_MAX) {
		gtid->source.tag_bytes = 0;
		r->bad = true;
	}
	reader_raw(r, gtid->source.tag, gtid->source.tag_bytes);
	gtid->gno = reader_u64(r);
	if (gtid->gno > GNO_MAX)
		r->bad = true;
}

void
protocol_write_node(struct writer *w, const struct protocol_node *node)
{
	writer_u8(w, node->number);
	writer_raw(w, node->key, CRYPTO_KEY_BYTES);
	writer_raw(w, node->endpoint.address, ENDPOINT_ADDRESS_BYTES);
	writer_u16(w, node->endpoint.port);
}

bool
protocol_read_node(struct reader *r, struct protocol_node *node)
{
	*node = (struct protocol_node){.number = reader_u8(r)};
	reader_raw(r, node->key, CRYPTO_KEY_BYTES);
	reader_raw(r, node->endpoint.address, ENDPOINT_ADDRESS_BYTES);
	node->endpoint.port = reader_u16(r);
	return !r->bad;
}

static void
write_u64_if(struct writer *w, bool wanted, uint64_t value)
{
	if (wanted)
		writer_u64(w, value);
}

static void
read_u64_if(struct reader *r, bool wanted, uint64_t *value)
{
	if (wanted)
		*value = reader_u64(r);
}

static void
write_fields(struct writer *w, uint32_t fields, const struct protocol_message *m)
{
	if (fields & F_NODE)
		writer_u8(w, m->node);
	if (fields & F_REASON)
		writer_u8(w, m->reason);
	if (fields & F_VERDICT)
		writer_u8(w, m->verdict);
	if (fields & F_FLAGS)
		writer_u32(w, m->flags);
	write_u64_if(w, fields & F_SESSION, m->session);
	write_u64_if(w, fields & F_SEQUENCE, m->sequence);
	write_u64_if(w, fields & F_INDEX, m->index);
	write_u64_if(w, fields & F_PREVIOUS, m->previous);
	write_u64_if(w, fields & F_OWN, m->own);
	write_u64_if(w, fields & F_DEPENDENCY, m->dependency);
	write_u64_if(w, fields & F_MARK, m->mark);
	write_u64_if(w, fields & F_HASH, m->winner_hash);
	write_u64_if(w, fields & F_COUNTS, m->checked);
	write_u64_if(w, fields & F_COUNTS, m->conflicts);
	write_u64_if(w, fields & F_COUNTS, m->rows);
	if (fields & F_UUID)
		writer_raw(w, m->uuid, UUID_BYTES);
	if (fields & F_NONCE)
		writer_raw(w, m->nonce, NONCE_BYTES);
	if (fields & F_GTID)
		protocol_write_gtid(w, &m->gtid);
	if (fields & F_WINNER)
		protocol_write_gtid(w, &m->winner);
	if (fields & F_DATA)
		writer_raw(w, m->data, m->bytes);
}

static void
read_fields(struct reader *r, uint32_t fields, struct protocol_message *m)
{
	if (fields & F_NODE)
		m->node = reader_u8(r);
	if (fields & F_REASON)
		m->reason = reader_u8(r);
	if (fields & F_VERDICT)
		m->verdict = reader_u8(r);
	if (fields & F_FLAGS)
		m->flags = reader_u32(r);
	read_u64_if(r, fields & F_SESSION, &m->session);
	read_u64_if(r, fields & F_SEQUENCE, &m->sequence);
	read_u64_if(r, fields & F_INDEX, &m->index);
	read_u64_if(r, fields & F_PREVIOUS, &m->previous);
	read_u64_if(r, fields & F_OWN, &m->own);
	read_u64_if(r, fields & F_DEPENDENCY, &m->dependency);
	read_u64_if(r, fields & F_MARK, &m->mark);
	read_u64_if(r, fields & F_HASH, &m->winner_hash);
	read_u64_if(r, fields & F_COUNTS, &m->checked);
	read_u64_if(r, fields & F_COUNTS, &m->conflicts);
	read_u64_if(r, fields & F_COUNTS, &m->rows);
	if (fields & F_UUID)
		reader_raw(r, m->uuid, UUID_BYTES);
	if (fields & F_NONCE)
		reader_raw(r, m->nonce, NONCE_BYTES);
	if (fields & F_GTID)
		protocol_read_gtid(r, &m->gtid);
	if (fields & F_WINNER)
		protocol_read_gtid(r, &m->winner);
	if (fields & F_DATA) {
		m->bytes = (uint32_t)r->bytes;
		m->data = reader_take(r, r->bytes);
	}
}

uint32_t
protocol_encode(const struct protocol_message *m, const uint8_t *epoch, struct writer *out)
{
	must(m->kind >= PROTOCOL_OPEN);
	must(m->kind < PROTOCOL_END);

	uint8_t *head = writer_take(out, FRAME_HEADER_BYTES);
	write_fields(out, fields_of[m->kind - PROTOCOL_OPEN], m);
	if (out->bad)
		return 0;
	struct frame frame = {
		.frame_bytes = (uint32_t)out->bytes,
		.kind = m->kind,
		.group = m->group,
		.source = FRAME_SOURCE_MEMBER,
		.incarnation = m->incarnation,
	};
	memcpy(frame.epoch, epoch, EPOCH_BYTES);
	frame_encode(&frame, head);
	return frame.frame_bytes;
}

bool
protocol_decode(struct protocol_message *m, const struct frame *frame, const uint8_t *data,
		size_t bytes)
{
	memset(m, 0, sizeof *m);
	if (frame->kind < PROTOCOL_OPEN || frame->kind >= PROTOCOL_END)
		return false;
	if (frame->frame_bytes != bytes || frame->source != FRAME_SOURCE_MEMBER)
		return false;
	struct reader r = reader_over(data + FRAME_HEADER_BYTES, bytes - FRAME_HEADER_BYTES);
	m->kind = frame->kind;
	m->group = frame->group;
	m->incarnation = frame->incarnation;
	read_fields(&r, fields_of[m->kind - PROTOCOL_OPEN], m);
	return reader_done(&r);
}
