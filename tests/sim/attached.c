/*
 * tests/sim/attached.c - see sim.h: by which session a member hangs on a node, and who is expelled,
 * from what was delivered alone.
 *
 * A suspicion names the session that was timed. It may be ordered long after, behind an attachment
 * of a later session: then its member is well, and stays (rule 13).
 */
#include "base/bytes.h"
#include "base/must.h"
#include "certify/entry.h"
#include "tests/sim/sim.h"

void
attached_reset(struct sim *s)
{
	memset(s->attached, 0, sizeof s->attached);
}

/* From here on nothing is known: what survivors had accepted comes behind the fork, and is about
 * incarnations that the fork has ended, or whose numbers come again. */
void
attached_forked(struct sim *s, uint32_t group)
{
	s->attached[group].forked = true;
	s->attached[group].count = 0;
}

static struct sim_incarnation *
find(struct sim *s, uint32_t group, uint64_t incarnation)
{
	struct sim_attached *a = &s->attached[group];

	for (uint32_t i = a->count; i > 0; i--)
		if (a->incarnation[i - 1].number == incarnation)
			return &a->incarnation[i - 1];
	return NULL;
}

static void
attaches(struct sim *s, uint32_t group, const struct entry_attach *e)
{
	struct sim_attached *a = &s->attached[group];
	struct sim_incarnation *i = find(s, group, e->incarnation);

	if (a->forked || (i == NULL && a->count == SIM_ATTACHED_MAX))
		return;
	if (i == NULL) {
		i = &a->incarnation[a->count++];
		*i = (struct sim_incarnation){.number = e->incarnation};
	}
	if (i->session < e->session)
		i->session = e->session;
}

static void
leaves(struct sim *s, uint32_t group, const struct entry_leave *e)
{
	struct sim_incarnation *i = find(s, group, e->incarnation);

	if (i != NULL)
		i->ended = true;
}

static void
suspects(struct sim *s, uint32_t group, const struct entry_expel *e)
{
	struct sim_incarnation *i = find(s, group, e->incarnation);

	if (i == NULL)
		return;
	if (e->session >= i->session) {
		i->ended = true;
		return;
	}
	sim_trace(s, "group %u: incarnation %llu is suspected by session %llu, and has %llu", group,
		  (unsigned long long)e->incarnation, (unsigned long long)e->session,
		  (unsigned long long)i->session);
	s->totals.spared += !i->ended && !i->spared;
	i->spared = true;
}

/* A value that is delivered for the first time. */
void
attached_delivered(struct sim *s, const struct node_output *out)
{
	struct reader r = reader_over(out->data, out->bytes);
	struct entry e;

	while (r.bytes > 4 && out->group != 0) {
		uint32_t bytes = reader_u32(&r);
		const uint8_t *entry = reader_take(&r, bytes);

		if (entry == NULL || !entry_decode(&e, entry, bytes))
			return;
		if (e.kind == ENTRY_ATTACH)
			attaches(s, out->group, &e.attach);
		else if (e.kind == ENTRY_EXPEL)
			suspects(s, out->group, &e.expel);
		else if (e.kind == ENTRY_LEAVE)
			leaves(s, out->group, &e.leave);
	}
}

/* A member is told that it is expelled. One that starts hears it of an incarnation whose number it
 * has yet to be told. */
void
attached_expelled(struct sim *s, const struct sim_server *v)
{
	uint32_t group = s->group_number[v->group];
	const struct sim_incarnation *i = find(s, group, v->incarnation);

	if (v->state == SERVER_STARTING)
		return;
	if (i != NULL && i->spared && !i->ended)
		sim_fail(s, "server %u is expelled, by a suspicion of a session that it had left",
			 v->number);
}
