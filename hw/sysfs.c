/* hw/sysfs.c - see sysfs.h. */
#include "hw/sysfs.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

uint32_t
hw_cpus_count(const struct hw_cpus *cpus)
{
	uint32_t count = 0;

	for (size_t i = 0; i < HW_CPUS_MAX / 64; i++)
		count += (uint32_t)__builtin_popcountll(cpus->word[i]);
	return count;
}

/* A number at `*at`, which moves behind it. */
static bool
take_number(const char **at, uint64_t *number)
{
	char *end;

	if (!isdigit((unsigned char)**at))
		return false;
	errno = 0;
	*number = strtoull(*at, &end, 10);
	*at = end;
	return errno == 0;
}

static bool
take_list(const char *at, struct hw_cpus *cpus)
{
	for (;;) {
		uint64_t first, last;
		if (!take_number(&at, &first))
			return false;
		last = first;
		if (*at == '-') {
			at++;
			if (!take_number(&at, &last))
				return false;
		}
		if (last < first || last >= HW_CPUS_MAX)
			return false;
		for (uint64_t cpu = first; cpu <= last; cpu++)
			hw_cpus_add(cpus, (uint32_t)cpu);
		if (*at != ',')
			return *at == '\0' || strcmp(at, "\n") == 0;
		at++;
	}
}

bool
hw_sysfs_cpu_list(const char *text, struct hw_cpus *cpus)
{
	memset(cpus, 0, sizeof *cpus);
	if (text[0] == '\0' || strcmp(text, "\n") == 0 || strncmp(text, "(null)", 6) == 0)
		return true;
	if (take_list(text, cpus))
		return true;
	memset(cpus, 0, sizeof *cpus);
	return false;
}

void
hw_cpus_text(const struct hw_cpus *cpus, char *out, size_t bytes)
{
	size_t used = 0;

	out[0] = '\0';
	for (uint32_t cpu = 0; cpu < HW_CPUS_MAX && used < bytes; cpu++) {
		uint32_t last = cpu;
		if (!hw_cpus_has(cpus, cpu))
			continue;
		while (hw_cpus_has(cpus, last + 1))
			last++;
		const char *comma = used > 0 ? "," : "";
		if (last > cpu)
			used += (size_t)snprintf(out + used, bytes - used, "%s%u-%u", comma, cpu,
						 last);
		else
			used += (size_t)snprintf(out + used, bytes - used, "%s%u", comma, cpu);
		cpu = last;
	}
}

bool
hw_sysfs_count(const char *text, uint64_t *count)
{
	*count = 0;
	return take_number(&text, count) && (*text == '\0' || strcmp(text, "\n") == 0);
}

bool
hw_sysfs_node(const char *text, int32_t *node)
{
	uint64_t number;

	*node = -1;
	if (strncmp(text, "-1", 2) == 0)
		return text[2] == '\0' || strcmp(text + 2, "\n") == 0;
	if (!hw_sysfs_count(text, &number) || number >= HW_CPUS_MAX)
		return false;
	*node = (int32_t)number;
	return true;
}

bool
hw_sysfs_meminfo(const char *text, const char *field, uint64_t *bytes)
{
	size_t n = strlen(field);

	*bytes = 0;
	for (const char *at = strstr(text, field); at; at = strstr(at + 1, field)) {
		bool starts = at == text || at[-1] == '\n' || at[-1] == ' ';
		uint64_t number;
		if (!starts || at[n] != ':')
			continue;
		at += n + 1;
		at += strspn(at, " \t");
		if (!take_number(&at, &number) || strncmp(at, " kB", 3) != 0)
			return false;
		*bytes = number * 1024;
		return true;
	}
	return false;
}
