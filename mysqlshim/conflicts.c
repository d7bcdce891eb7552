#include "mysqlshim/conflicts.h"

#include "node/member.h"

static struct conflict *
place(struct conflicts *c, uint64_t number)
{
	return &c->row[number & (CONFLICTS_KEPT - 1)];
}

void
conflicts_add(struct conflicts *c, const struct conflict *row)
{
	pthread_mutex_lock(&c->lock);
	struct conflict *kept = place(c, c->next);
	*kept = *row;
	kept->number = c->next++;
	if (c->next - c->first > CONFLICTS_KEPT)
		c->first = c->next - CONFLICTS_KEPT;
	pthread_mutex_unlock(&c->lock);
}

bool
conflicts_next(struct conflicts *c, uint64_t number, struct conflict *row)
{
	pthread_mutex_lock(&c->lock);
	if (number < c->first)
		number = c->first;
	bool found = number < c->next;
	if (found)
		*row = *place(c, number);
	pthread_mutex_unlock(&c->lock);
	return found;
}

bool
conflicts_at(struct conflicts *c, uint64_t number, struct conflict *row)
{
	return conflicts_next(c, number, row) && row->number == number;
}

uint64_t
conflicts_count(struct conflicts *c)
{
	pthread_mutex_lock(&c->lock);
	uint64_t count = c->next - c->first;
	pthread_mutex_unlock(&c->lock);
	return count;
}

void
conflicts_clear(struct conflicts *c)
{
	pthread_mutex_lock(&c->lock);
	c->first = c->next;
	pthread_mutex_unlock(&c->lock);
}

const char *
conflicts_reason(const struct conflict *row)
{
	switch ((enum member_verdict)row->why.verdict) {
	case MEMBER_CONFLICT:
		return "CONFLICT";
	case MEMBER_STALE:
		return "STALE";
	case MEMBER_FULL:
		return "FULL";
	case MEMBER_GTID_REFUSED:
		return "GTID";
	case MEMBER_NO_ROOM:
		return "NO_ROOM";
	case MEMBER_ENDED:
		return "LEAVING";
	case MEMBER_ACCEPTED:
	case MEMBER_ABANDONED:
		break;
	}
	return "";
}
