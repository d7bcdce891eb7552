/* Encoding of paxos/codec.h: one fixed part for all kinds. A field that a kind
 * does not have must be 0, so that a later version can give it a meaning. */
#include "paxos/codec.h"

#include "base/bytes.h"
#include "base/must.h"

enum field {
	F_BALLOT = 1 << 0,
	F_ACCEPTED = 1 << 1,
	F_SLOT = 1 << 2,
	F_FROM = 1 << 3,
	F_TO = 1 << 4,
	F_DELIVERED = 1 << 5,
	F_LOW = 1 << 6,
	F_NONCE = 1 << 7,
	F_COUNT = 1 << 8,
	F_VALUE = 1 << 9,
};

/* 0 for a kind that does not exist. */
static uint32_t
fields_of(uint8_t kind)
{
	switch (kind) {
	case PAXOS_PREPARE:
		return F_BALLOT | F_SLOT | F_FROM | F_TO | F_DELIVERED;
	case PAXOS_PROMISE:
		return F_BALLOT | F_FROM | F_TO | F_DELIVERED | F_COUNT | F_ACCEPTED;
	case PAXOS_REPORT:
		return F_BALLOT | F_SLOT | F_ACCEPTED | F_NONCE | F_VALUE;
	case PAXOS_ACCEPT:
		return F_BALLOT | F_SLOT | F_FROM | F_TO | F_DELIVERED | F_VALUE;
	case PAXOS_ACCEPTED:
		return F_BALLOT | F_FROM | F_TO | F_DELIVERED;
	case PAXOS_REFUSE:
		return F_BALLOT | F_ACCEPTED;
	case PAXOS_DECIDED:
		return F_BALLOT | F_FROM | F_TO | F_DELIVERED | F_NONCE;
	case PAXOS_LEARN:
		return F_FROM | F_TO;
	case PAXOS_LEARNED:
		return F_SLOT | F_DELIVERED | F_VALUE;
	case PAXOS_RECOVER:
		return F_SLOT | F_FROM | F_NONCE;
	case PAXOS_RECOVERED:
		return F_BALLOT | F_FROM | F_TO | F_DELIVERED | F_LOW | F_NONCE | F_COUNT |
		       F_ACCEPTED;
	case PAXOS_SKIP:
		return F_BALLOT | F_FROM | F_TO;
	case PAXOS_MUTE:
		return F_DELIVERED | F_NONCE;
	case PAXOS_RECORD_START:
		return F_NONCE | F_COUNT;
	case PAXOS_RECORD_PROMISE:
		return F_BALLOT | F_LOW;
	case PAXOS_RECORD_SETTLED:
		return F_NONCE | F_SLOT;
	case PAXOS_RECORD_CONFIGURATION:
		return F_NONCE | F_SLOT | F_FROM | F_TO | F_COUNT | F_ACCEPTED;
	case PAXOS_RECORD_RESERVE:
		return F_TO;
	case PAXOS_RECORD_DELIVERED:
		return F_DELIVERED;
	default:
		return 0;
	}
}

/* The fields that are not 0. */
static uint32_t
fields_used(const struct paxos_message *m)
{
	uint32_t used = 0;
	used |= m->ballot ? F_BALLOT : 0;
	used |= m->accepted ? F_ACCEPTED : 0;
	used |= m->slot ? F_SLOT : 0;
	used |= m->from ? F_FROM : 0;
	used |= m->to ? F_TO : 0;
	used |= m->delivered ? F_DELIVERED : 0;
	used |= m->low_ballot || m->low_end ? F_LOW : 0;
	used |= m->nonce ? F_NONCE : 0;
	used |= m->count ? F_COUNT : 0;
	used |= m->value.bytes || m->value.change ? F_VALUE : 0;
	return used;
}

void
paxos_encode(const struct paxos_message *message, uint8_t *out)
{
	struct writer w = writer_over(out, PAXOS_FIXED_BYTES);

	must((fields_used(message) & ~fields_of(message->kind)) == 0);
	must(message->value.bytes <= PAXOS_VALUE_BYTES_MAX);
	writer_u64(&w, message->ballot);
	writer_u64(&w, message->accepted);
	writer_u64(&w, message->slot);
	writer_u64(&w, message->from);
	writer_u64(&w, message->to);
	writer_u64(&w, message->delivered);
	writer_u64(&w, message->low_ballot);
	writer_u64(&w, message->low_end);
	writer_u64(&w, message->nonce);
	/* No kind has both. */
	writer_u32(&w, message->count | message->value.change);
	writer_u32(&w, message->value.bytes);
	must(!w.bad);
	must(w.bytes == PAXOS_FIXED_BYTES);
}

bool
paxos_decode(struct paxos_message *message, uint8_t kind, const uint8_t *body, uint32_t body_bytes,
	     const uint8_t **value)
{
	struct reader r = reader_over(body, body_bytes);

	*message = (struct paxos_message){.kind = kind};
	message->ballot = reader_u64(&r);
	message->accepted = reader_u64(&r);
	message->slot = reader_u64(&r);
	message->from = reader_u64(&r);
	message->to = reader_u64(&r);
	message->delivered = reader_u64(&r);
	message->low_ballot = reader_u64(&r);
	message->low_end = reader_u64(&r);
	message->nonce = reader_u64(&r);
	uint32_t shared = reader_u32(&r);
	if (fields_of(kind) & F_VALUE)
		message->value.change = shared;
	else
		message->count = shared;
	message->value.bytes = reader_u32(&r);
	message->value.handle = PAXOS_NO_VALUE;
	*value = reader_take(&r, message->value.bytes);
	if (!reader_done(&r) || message->value.bytes > PAXOS_VALUE_BYTES_MAX)
		return false;
	return fields_of(kind) != 0 && (fields_used(message) & ~fields_of(kind)) == 0;
}
