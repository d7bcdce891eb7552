/* tests/sim/words.c - see sim.h: names, for who reads a trace. */
#include <stdio.h>

#include "tests/sim/sim.h"

const char *
word_process(uint8_t process)
{
	static const char *const name[SIM_PROCESSES_MAX] = {
		"node 0",   "node 1",   "node 2",   "node 3",   "node 4",   "node 5",   "node 6",
		"server 0", "server 1", "server 2", "server 3", "server 4", "server 5",
	};

	must(process < SIM_PROCESSES_MAX);
	return name[process];
}

const char *
word_fault(enum sim_fault fault)
{
	static const char *const name[FAULT_COUNT] = {
		[FAULT_NODE_CRASH] = "node crashes",
		[FAULT_SERVER_CRASH] = "server crashes",
		[FAULT_NODE_BUDGET] = "node dies amid a step",
		[FAULT_CUT_ONE_WAY] = "link cut one way",
		[FAULT_ISOLATE] = "one cut off",
		[FAULT_HALVES] = "halves",
		[FAULT_SLOW_DISK] = "slow disk",
		[FAULT_LOG_FAILS] = "disk fails",
		[FAULT_POWER] = "power fails",
		[FAULT_STALL] = "stall",
		[FAULT_CLEAN_STOP] = "orderly stop",
		[FAULT_SERVER_STOPS] = "server stops",
		[FAULT_FORGED] = "forged datagrams",
		[FAULT_BENT] = "rotten memory",
		[FAULT_VOTERS] = "other voters",
		[FAULT_DEAF] = "deaf or dumb",
		[FAULT_CLOCK] = "clock jumps",
		[FAULT_LEAD] = "others to lead",
		[FAULT_EXPEL] = "member expelled",
		[FAULT_DROP] = "group given up",
		[FAULT_LEFT_BEHIND] = "one left behind",
		[FAULT_FORCE] = "majority lost",
		[FAULT_NODES] = "node added or forgotten",
	};

	must(fault < FAULT_COUNT);
	return name[fault];
}

const char *
word_tail(enum paxos_tail tail)
{
	switch (tail) {
	case PAXOS_TAIL_CLEAN:
		return "which ends cleanly";
	case PAXOS_TAIL_CUT:
		return "whose last batch may be cut";
	case PAXOS_TAIL_ROTTEN:
		return "of which the end may be missing";
	case PAXOS_TAIL_MISSING:
		return "which lacks what was acknowledged";
	}
	return "which nobody can judge";
}

const char *
word_verdict(enum member_verdict verdict)
{
	switch (verdict) {
	case MEMBER_ACCEPTED:
		return "accepted";
	case MEMBER_CONFLICT:
		return "refused for a conflict";
	case MEMBER_STALE:
		return "refused, its snapshot is too old";
	case MEMBER_FULL:
		return "refused, the index is full";
	case MEMBER_GTID_REFUSED:
		return "refused for its GTID";
	case MEMBER_ABANDONED:
		return "abandoned";
	case MEMBER_NO_ROOM:
		return "not sent, there is no room";
	case MEMBER_ENDED:
		return "void, the incarnation has ended";
	}
	return "of a verdict without a name";
}

const char *
word_refusal(enum member_refusal refusal)
{
	switch (refusal) {
	case MEMBER_REFUSED_NONE:
		return "for nothing";
	case MEMBER_REFUSED_NO_GROUP:
		return "there is no such group";
	case MEMBER_REFUSED_GROUP_EXISTS:
		return "the group exists";
	case MEMBER_REFUSED_VERSION:
		return "another version";
	case MEMBER_REFUSED_EPOCH:
		return "another epoch";
	case MEMBER_REFUSED_EXTRA_GTIDS:
		return "it has transactions that the group lacks";
	case MEMBER_REFUSED_GAP:
		return "what it lacks is older than the log";
	case MEMBER_REFUSED_FULL:
		return "there is no room for it";
	case MEMBER_REFUSED_BLOCK_SIZE:
		return "another block size";
	case MEMBER_REFUSED_INCARNATION:
		return "another START came first";
	case MEMBER_REFUSED_KEY:
		return "its key does not open the group";
	case MEMBER_REFUSED_SEAL:
		return "it is not sealed";
	case MEMBER_REFUSED_UNTRUSTED:
	case MEMBER_REFUSED_EXPIRED:
	case MEMBER_REFUSED_REVOKED:
	case MEMBER_REFUSED_FORGED:
		return "its certificates are not good";
	case MEMBER_REFUSED_NOT_SHOWN:
	case MEMBER_REFUSED_NOT_GOOD:
		return "the node's certificates are missing or not good";
	}
	return "for a reason without a name";
}

struct sim_word
word_set(uint32_t processes)
{
	struct sim_word word = {0};
	size_t used = 0;

	for (uint32_t i = 0; i < SIM_PROCESSES_MAX && used + 4 < sizeof word.text; i++) {
		if (processes >> i & 1)
			used += (size_t)snprintf(word.text + used, sizeof word.text - used, "%s%u",
						 used > 0 ? " " : "", i);
	}
	return word;
}
