/* The last words of a process that traps. */
#include "dpdk/trap.h"

#include <execinfo.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#define FRAMES_MAX  32
#define STACK_BYTES (64 << 10)

static const int fatal[] = {SIGILL, SIGTRAP, SIGABRT, SIGSEGV, SIGBUS, SIGFPE};

/* The one thread that runs the loop, and any that has no stack of its own for it. */
static char stack[STACK_BYTES];

static void
tell(const char *text)
{
	ssize_t ignored = write(STDERR_FILENO, text, strlen(text));

	(void)ignored;
}

static void
on_fatal(int number)
{
	void *frame[FRAMES_MAX];
	const char *name = sigabbrev_np(number);

	tell("synodd: ended by SIG");
	tell(name ? name : "?");
	tell(": a fault of the program; please report these frames, and keep the log directory:\n");
	backtrace_symbols_fd(frame, backtrace(frame, FRAMES_MAX), STDERR_FILENO);
	raise(number); /* SA_RESETHAND: as if nobody had looked */
}

void
trap_report(void)
{
	void *frame[1];
	stack_t alternate = {.ss_sp = stack, .ss_size = sizeof stack};
	struct sigaction action = {.sa_handler = on_fatal,
				   .sa_flags = (int)(SA_RESETHAND | SA_NODEFER | SA_ONSTACK)};

	(void)backtrace(frame, 1); /* loads what it needs now, not in the handler */
	(void)sigaltstack(&alternate, NULL);
	sigemptyset(&action.sa_mask);
	for (size_t i = 0; i < sizeof fatal / sizeof *fatal; i++) {
		struct sigaction before;

		/* A sanitizer says more than this would. */
		if (sigaction(fatal[i], NULL, &before) == 0 && before.sa_handler == SIG_DFL)
			sigaction(fatal[i], &action, NULL);
	}
}
