/*
 * tests/sim/main.c - synod-sim: seeds, one after the other.
 *
 *     synod-sim --seed S --runs N [--nodes 1|3|5|7] [--seconds T] [--submissions K]
 *               [--rate R] [--jobs J] [--keep-going] [--force] [--added] [--bound] [--storm]
 *               [--trace]
 *
 * Ends with one line of totals, and 1 when a seed failed; before it, one line for
 * that seed which replays it.
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "commit.h"
#include "tests/sim/sim.h"

#define JOBS_MAX 64

struct plan {
	struct sim_options options;
	uint64_t runs;
	uint32_t jobs;
	bool keep_going;
	bool verbose;
};

static char replay[256]; /* for the handler of a trap: the line that reproduces it */
static size_t replay_bytes;

static void
trapped(int number)
{
	(void)number;
	ssize_t n = write(STDOUT_FILENO, replay, replay_bytes);
	_exit(n < 0 ? 2 : 1);
}

static void
replay_line(const struct plan *plan)
{
	char nodes[32] = "";
	char rate[32] = "";

	if (plan->options.nodes)
		snprintf(nodes, sizeof nodes, " --nodes %u", plan->options.nodes);
	if (plan->options.rate)
		snprintf(rate, sizeof rate, " --rate %u", plan->options.rate);
	int n = snprintf(
		replay, sizeof replay,
		"failed: synod-sim --seed %llu --runs 1%s%s%s%s%s%s --seconds %llu "
		"--submissions %u   commit %s\n",
		(unsigned long long)plan->options.seed, nodes, rate,
		plan->options.force ? " --force" : "", plan->options.added ? " --added" : "",
		plan->options.bound ? " --bound" : "", plan->options.storm ? " --storm" : "",
		(unsigned long long)(plan->options.duration_ns / SEC), plan->options.submissions,
		SIM_COMMIT);
	replay_bytes = n > 0 ? (size_t)n : 0;
}

static void
totals_add(struct sim_totals *sum, const struct sim_totals *part)
{
	const uint64_t *from = (const uint64_t *)part;
	uint64_t *to = (uint64_t *)sum;

	for (size_t i = 0; i < sizeof *sum / sizeof *to; i++)
		to[i] += from[i];
}

/* A process that runs every `jobs`th seed. It lies in memory that the parent shares,
 * so that what it had done is known when it traps. */
struct job {
	pid_t child;
	uint64_t next; /* position of the seed that runs, or comes next */
	struct sim_totals totals;
};

static void
run_seeds(struct plan plan, struct job *job)
{
	static struct sim sim;
	uint64_t first = plan.options.seed;

	for (; job->next < plan.runs; job->next += plan.jobs) {
		plan.options.seed = first + job->next;
		replay_line(&plan);
		bool fine = sim_run(&sim, &plan.options);
		if (!fine)
			fputs(replay, stdout);
		if (plan.verbose)
			printf("seed %llu: %u nodes, %u servers, %u submitted, at %.3f s, "
			       "digest %016llx\n",
			       (unsigned long long)plan.options.seed, sim.node_count,
			       sim.server_count, sim.submitted, (double)sim.now_ns / 1e9,
			       (unsigned long long)sim.digest);
		fflush(stdout);
		totals_add(&job->totals, &sim.totals);
		sim.totals = (struct sim_totals){0};
		if (!fine && !plan.keep_going)
			break;
	}
}

static void
job_begin(const struct plan *plan, struct job *job)
{
	struct plan first = *plan;

	first.options.seed += job->next;
	replay_line(&first); /* should it trap before it has begun */
	fflush(stdout);
	pid_t child = fork();
	if (child < 0) {
		perror("synod-sim: fork");
		exit(2);
	}
	if (child == 0) {
		run_seeds(*plan, job);
		_exit(0);
	}
	job->child = child; /* by the parent alone: the child shares `job` */
}

/* A job that trapped failed in the seed that ran; with --keep-going another
 * process goes on behind it. */
static void
job_trapped(const struct plan *plan, struct job *job)
{
	job->totals.runs++;
	job->totals.failures++;
	job->next += plan->jobs;
	if (plan->keep_going)
		job_begin(plan, job);
}

static void
jobs_stop(const struct plan *plan, const struct job *job)
{
	for (uint32_t i = 0; i < plan->jobs; i++) {
		if (job[i].child != 0)
			kill(job[i].child, SIGTERM);
	}
}

/* When one job has failed, the others need not go on. */
static struct sim_totals
run_jobs(const struct plan *plan)
{
	struct sim_totals sum = {0};
	struct job *job = mmap(NULL, JOBS_MAX * sizeof *job, PROT_READ | PROT_WRITE,
			       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	bool stopped = false;
	pid_t child;
	int status;

	if (job == MAP_FAILED) {
		perror("synod-sim: mmap");
		exit(2);
	}
	for (uint32_t i = 0; i < plan->jobs; i++) {
		job[i].next = i;
		job_begin(plan, &job[i]);
	}
	while ((child = wait(&status)) > 0) {
		uint32_t i = 0;
		while (i < plan->jobs && job[i].child != child)
			i++;
		if (i == plan->jobs)
			continue;
		job[i].child = 0;
		if (status != 0 && !stopped)
			job_trapped(plan, &job[i]);
		if (job[i].totals.failures == 0 || plan->keep_going || stopped)
			continue;
		stopped = true;
		jobs_stop(plan, job);
	}
	for (uint32_t i = 0; i < plan->jobs; i++)
		totals_add(&sum, &job[i].totals);
	return sum;
}

/* A single seed stays in this process, where a debugger looks. */
static struct sim_totals
run_one(const struct plan *plan)
{
	struct job job = {0};

	run_seeds(*plan, &job);
	return job.totals;
}

static uint64_t
number(const char *name, const char *text, uint64_t low, uint64_t high)
{
	char *end;

	errno = 0;
	unsigned long long value = strtoull(text, &end, 10);
	if (errno != 0 || *text == '\0' || *end != '\0' || value < low || value > high) {
		fprintf(stderr, "synod-sim: --%s takes a number from %llu to %llu, not '%s'\n",
			name, (unsigned long long)low, (unsigned long long)high, text);
		exit(2);
	}
	return value;
}

static void
usage(FILE *to)
{
	fputs("synod-sim: a whole appliance and its servers, simulated from a seed\n"
	      "  --seed S         the first seed (1)\n"
	      "  --runs N         seeds S to S+N-1 (1)\n"
	      "  --nodes N        1, 3, 5 or 7, else drawn from the seed\n"
	      "  --seconds T      of trouble, virtual; healing comes on top (10)\n"
	      "  --submissions K  at least so many in a run (100)\n"
	      "  --rate R         about so many a simulated second, else drawn from the seed\n"
	      "  --jobs J         processes that share the seeds (1)\n"
	      "  --keep-going     past a seed that fails\n"
	      "  --force          a majority is lost for good in every seed that has one\n"
	      "  --added          nodes are added in every seed of three or more\n"
	      "  --bound          logs have an end in every seed\n"
	      "  --storm          what is rare comes together: many more faults, at small sizes\n"
	      "  --trace          tell the story\n"
	      "  --verbose        a line for each seed\n"
	      "Ends with 1 when a seed failed, or when nothing was decided, no leader was\n"
	      "replaced, or nothing crashed in more than 20 runs.\n",
	      to);
}

static struct plan
plan_read(int argc, char **argv)
{
	static const struct option option[] = {
		{"seed", required_argument, NULL, 's'},
		{"runs", required_argument, NULL, 'r'},
		{"nodes", required_argument, NULL, 'n'},
		{"seconds", required_argument, NULL, 't'},
		{"submissions", required_argument, NULL, 'k'},
		{"rate", required_argument, NULL, 'p'},
		{"jobs", required_argument, NULL, 'j'},
		{"keep-going", no_argument, NULL, 'g'},
		{"force", no_argument, NULL, 'o'},
		{"added", no_argument, NULL, 'a'},
		{"bound", no_argument, NULL, 'e'},
		{"storm", no_argument, NULL, 'm'},
		{"trace", no_argument, NULL, 'v'},
		{"verbose", no_argument, NULL, 'b'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	struct plan plan = {.runs = 1, .jobs = 1};
	int c;

	plan.options = (struct sim_options){.seed = 1, .submissions = 100, .duration_ns = 10 * SEC};
	while ((c = getopt_long(argc, argv, "", option, NULL)) != -1) {
		if (c == 's')
			plan.options.seed = number("seed", optarg, 0, UINT64_MAX / 2);
		else if (c == 'r')
			plan.runs = number("runs", optarg, 1, 1000000000);
		else if (c == 'n')
			plan.options.nodes = (uint32_t)number("nodes", optarg, 1, 7) | 1;
		else if (c == 't')
			plan.options.duration_ns = number("seconds", optarg, 2, 60) * SEC;
		else if (c == 'k')
			plan.options.submissions = (uint32_t)number("submissions", optarg, 0, 2000);
		else if (c == 'p')
			plan.options.rate = (uint32_t)number("rate", optarg, 1, 100);
		else if (c == 'j')
			plan.jobs = (uint32_t)number("jobs", optarg, 1, JOBS_MAX);
		else if (c == 'g')
			plan.keep_going = true;
		else if (c == 'o')
			plan.options.force = true;
		else if (c == 'a')
			plan.options.added = true;
		else if (c == 'e')
			plan.options.bound = true;
		else if (c == 'm')
			plan.options.storm = true;
		else if (c == 'v')
			plan.options.trace = true;
		else if (c == 'b')
			plan.verbose = true;
		else {
			usage(c == 'h' ? stdout : stderr);
			exit(c == 'h' ? 0 : 2);
		}
	}
	return plan;
}

int
main(int argc, char **argv)
{
	struct plan plan = plan_read(argc, argv);
	struct timespec begin;
	struct timespec end;

	signal(SIGILL, trapped);
	signal(SIGTRAP, trapped);
	signal(SIGSEGV, trapped);
	signal(SIGABRT, trapped);
	clock_gettime(CLOCK_MONOTONIC, &begin);
	if (plan.options.trace)
		setvbuf(stdout, NULL, _IOLBF, 0); /* a trap loses no line */
	struct sim_totals t = plan.runs > 1 ? run_jobs(&plan) : run_one(&plan);
	clock_gettime(CLOCK_MONOTONIC, &end);
	double wall =
		(double)(end.tv_sec - begin.tv_sec) + (double)(end.tv_nsec - begin.tv_nsec) / 1e9;
	printf("submitted=%llu accepted=%llu conflicts=%llu abandoned=%llu stops=%llu "
	       "restarts=%llu spread=%llu write_sets=%llu bent=%llu bent_members=%llu rotten=%llu "
	       "changes=%llu "
	       "outdated=%llu restored=%llu gone=%llu renewed=%llu turns=%llu dropped=%llu "
	       "trims=%llu "
	       "images=%llu clones=%llu forced=%llu cut=%llu lost=%llu put_back=%llu "
	       "lacking=%llu added=%llu forgotten=%llu bound=%llu slowed=%llu full=%llu "
	       "lagging=%llu spared=%llu\n",
	       (unsigned long long)t.submissions, (unsigned long long)t.accepted,
	       (unsigned long long)t.conflicts, (unsigned long long)t.abandoned,
	       (unsigned long long)t.stops, (unsigned long long)t.restarts,
	       (unsigned long long)t.spread, (unsigned long long)t.write_sets,
	       (unsigned long long)t.bent, (unsigned long long)t.bent_members,
	       (unsigned long long)t.rotten, (unsigned long long)t.changes,
	       (unsigned long long)t.outdated, (unsigned long long)t.restored,
	       (unsigned long long)t.gone, (unsigned long long)t.renewed,
	       (unsigned long long)t.turns, (unsigned long long)t.dropped,
	       (unsigned long long)t.trims, (unsigned long long)t.images,
	       (unsigned long long)t.clones, (unsigned long long)t.forced,
	       (unsigned long long)t.cut, (unsigned long long)t.lost,
	       (unsigned long long)t.put_back, (unsigned long long)t.lacking,
	       (unsigned long long)t.added, (unsigned long long)t.forgotten,
	       (unsigned long long)t.bound, (unsigned long long)t.slowed,
	       (unsigned long long)t.full, (unsigned long long)t.lagging,
	       (unsigned long long)t.spared);
	printf("sealed=%llu forged=%llu replayed=%llu rekeys=%llu barriers=%llu\n",
	       (unsigned long long)t.sealed, (unsigned long long)t.forged,
	       (unsigned long long)t.replayed, (unsigned long long)t.rekeys,
	       (unsigned long long)t.barriers);
	printf("node_steps=%llu member_steps=%llu submissions_per_simulated_s=%.1f\n",
	       (unsigned long long)t.node_steps, (unsigned long long)t.member_steps,
	       (double)t.submissions / ((double)t.simulated_ns / 1e9));
	printf("runs=%llu simulated_s=%.0f wall_s=%.1f decided=%llu takeovers=%llu crashes=%llu "
	       "failures=%llu\n",
	       (unsigned long long)t.runs, (double)t.simulated_ns / 1e9, wall,
	       (unsigned long long)t.decided, (unsigned long long)t.takeovers,
	       (unsigned long long)t.crashes, (unsigned long long)t.failures);
	bool idle = plan.runs > 20 && (t.decided == 0 || t.takeovers == 0 || t.crashes == 0);
	return t.failures > 0 || idle;
}
