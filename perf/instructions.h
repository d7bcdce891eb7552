/*
 * perf/instructions.h - how many instructions a piece of work takes, exactly.
 *
 * A child process does the work while the parent has it trap after every single
 * instruction, and counts. That needs no counter of the processor, which virtual
 * machines mostly hide, and the count repeats within a percent or two on a loaded
 * host, too: where a time moved and the count did not, the machine did.
 *
 * Never      changes anything in the caller's memory: the child has a copy.
 * Units      instructions outside the kernel; a repeated string instruction is one.
 * Limits     some tens of microseconds per instruction: give it little work.
 * Errors     0 where tracing is not allowed.
 * Threads    the caller's alone.
 */
#ifndef PERF_INSTRUCTIONS_H
#define PERF_INSTRUCTIONS_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/must.h"

/* The kernel stops the child with SIGTRAP after a step, and with SIGSTOP where the
 * child says so itself: before the work and behind it. */
static inline uint64_t
instructions_follow(pid_t child)
{
	uint64_t count = 0, last = 0;
	int status;

	if (waitpid(child, &status, 0) != child || !WIFSTOPPED(status))
		return 0;
	for (;;) {
		if (ptrace(PTRACE_SINGLESTEP, child, NULL, NULL) != 0)
			return 0;
		if (waitpid(child, &status, 0) != child || !WIFSTOPPED(status))
			return 0;
		if (WSTOPSIG(status) != SIGTRAP)
			return WSTOPSIG(status) == SIGSTOP ? count : 0;
		uint64_t at = (uint64_t)ptrace(PTRACE_PEEKUSER, child,
					       offsetof(struct user_regs_struct, rip), NULL);
		count += at != last;
		last = at;
	}
}

static inline uint64_t
instructions_of(void (*work)(void *context, uint32_t count), void *context, uint32_t count)
{
	int status;
	pid_t child = fork();

	must(child >= 0);
	if (child == 0) {
		bool traced = ptrace(PTRACE_TRACEME, 0, NULL, NULL) == 0;
		if (traced)
			raise(SIGSTOP);
		if (traced && count > 0)
			work(context, count);
		if (traced)
			raise(SIGSTOP);
		_exit(0);
	}
	uint64_t steps = instructions_follow(child);
	kill(child, SIGKILL);
	(void)waitpid(child, &status, 0);
	return steps;
}

#endif /* PERF_INSTRUCTIONS_H */
