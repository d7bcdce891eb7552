/*
 * base/must.h - the assertion that stays on.
 *
 *     must(condition)        in every build that ships; traps in place
 *     must_slow(condition)   in tests and the simulator only
 *
 * <assert.h> is not used: the plugin is built with NDEBUG, and a consensus
 * engine that goes on past a broken invariant can tell two members different
 * things. must() never evaluates to an optimiser's assumption and its
 * condition never has a side effect. A trap leaves the process where it stood,
 * so that the core file shows the frame that broke.
 */
#ifndef BASE_MUST_H
#define BASE_MUST_H

#define must(condition)                                \
	do {                                           \
		if (__builtin_expect(!(condition), 0)) \
			__builtin_trap();              \
	} while (0)

#ifdef SYNOD_SLOW_CHECKS
#define must_slow(condition) must(condition)
#else
#define must_slow(condition)             \
	do {                             \
		if (0)                   \
			must(condition); \
	} while (0)
#endif

#endif /* BASE_MUST_H */
