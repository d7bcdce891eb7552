/*
 * What a member lacks: before its JOIN is logged, the lowest accepted transaction is
 * looked for that is not in what it has executed.
 *
 * From the end of the log backwards, each transaction is added to what it has; as soon
 * as that is all that the group has executed, nothing older can be missing. So the
 * search costs what the member lacks and is to be fed anyway, however long the log is.
 * A lower bound is enough: what it has already, it does not queue again. So what is
 * decided while the search runs, or before the JOIN is, does not matter.
 *
 * One search at a time, since it needs the memory of a GTID set. Who finds it busy is
 * not answered, and asks again by the clock, as does whose search has ended.
 */
#include "base/must.h"
#include "node/internal.h"

#define LOOK_BURST 8192 /* entries of a step */
#define STRIDE     32   /* entries between two looks whether that was all */

static bool
has_all(struct node *n, const struct node_group *g)
{
	return gtid_set_contains_set(n->scratch_gtids, group_executed(g->state));
}

static void
end(struct node *n, bool found)
{
	struct node_search *q = &n->search;
	struct node_session *s = &n->session[q->session];
	int session = q->session;

	node_cursor_forget(n, &q->cursor);
	q->session = NODE_NO_SESSION;
	if (found)
		s->missing = q->missing;
	else
		node_attend_refuse(n, session, MEMBER_REFUSED_GAP);
}

/* Adds what was decided since the last look. What memory does not hold any more is met
 * again from the end: what was counted is in the set. */
static void
catch_up(struct node *n, const struct node_group *g)
{
	struct node_search *q = &n->search;
	uint64_t last = group_applied(g->state);

	if (q->top + 1 < node_group_first_result(n, g)) {
		q->next = last;
		q->top = last;
	}
	for (; q->top < last; q->top++) {
		const struct node_result *r = node_group_result(n, g, q->top + 1);

		if (r->kind == RESULT_ACCEPTED)
			(void)gtid_set_add(n->scratch_gtids, &r->gtid);
	}
}

/* False: it lacks this one, which was given up here. */
static bool
look_at(struct node *n, const struct node_group *g, const struct node_result *r)
{
	struct node_search *q = &n->search;
	const struct node_payload_place *place = node_payload_place(n, g, r->payload);

	if (r->kind != RESULT_ACCEPTED || gtid_set_contains(n->scratch_gtids, &r->gtid))
		return true;
	if (q->next < q->missing)
		q->missing = q->next;
	(void)gtid_set_add(n->scratch_gtids, &r->gtid);
	return !place || !place->gone;
}

/* True: there is more to do, and nothing to wait for. */
bool
node_search(struct node *n)
{
	struct node_search *q = &n->search;

	if (q->session == NODE_NO_SESSION)
		return false;
	struct node_group *g = node_group_by_number(n, q->group);
	must(g && g->state);
	catch_up(n, g);
	for (uint32_t i = 0; i < LOOK_BURST; i++) {
		struct node_result r;

		if ((i == 0 || q->next % STRIDE == 0) && has_all(n, g)) {
			end(n, true);
			return false;
		}
		enum history_answer answer =
			q->next == 0 ? HISTORY_LOST
				     : node_cursor_result(n, g, &q->cursor, q->next, &r);
		if (answer == HISTORY_LOST) {
			end(n, has_all(n, g));
			return false;
		}
		if (answer == HISTORY_WAIT)
			return false;
		if (!look_at(n, g, &r)) {
			end(n, false);
			return false;
		}
		q->next--;
	}
	return true;
}

/* Looks for what the member of this session lacks, unless that is done or another one
 * is being looked for. */
void
node_search_begin(struct node *n, int session, struct gtid_bytes executed)
{
	struct node_search *q = &n->search;
	struct node_session *s = &n->session[session];
	const struct node_group *g = node_group_by_number(n, s->group);

	if (s->missing != 0 || q->session != NODE_NO_SESSION)
		return;
	gtid_set_clear(n->scratch_gtids);
	if (gtid_set_decode(n->scratch_gtids, executed) != GTID_SET_ADDED && executed.bytes > 0) {
		node_attend_refuse(n, session, MEMBER_REFUSED_GAP);
		return;
	}
	q->session = session;
	q->group = g->number;
	q->top = group_applied(g->state);
	q->next = q->top;
	q->missing = q->top + 1;
	(void)node_search(n);
}

void
node_search_forget(struct node *n, int session)
{
	if (n->search.session != session)
		return;
	node_cursor_forget(n, &n->search.cursor);
	n->search.session = NODE_NO_SESSION;
}
