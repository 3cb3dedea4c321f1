/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <fcntl.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "reactor/base.h"
#include "reactor/log.h"

static int pipe_fd[2];

static void
to_pipe(void)
{
	cr_assert(eq(int, pipe2(pipe_fd, O_NONBLOCK), 0));
	/* Only our own end may be non-blocking: stderr of a daemon is not. */
	cr_assert(eq(int, fcntl(pipe_fd[1], F_SETFL, 0), 0));
	dup2(pipe_fd[1], 2);
}

static char *
logged(void)
{
	static char text[1 << 20];
	ssize_t n = read(pipe_fd[0], text, sizeof(text) - 1);

	text[n > 0 ? n : 0] = '\0';
	return text;
}

Test(log, levels, .init = to_pipe)
{
	log_info("one");
	log_debug("two");
	log_set_level(LOG_ERROR);
	log_warn("three");
	log_error("four %d", 4);
	char *text = logged();

	cr_assert(ne(ptr, strstr(text, " info one\n"), NULL));
	cr_assert(eq(ptr, strstr(text, "two"), NULL));
	cr_assert(eq(ptr, strstr(text, "three"), NULL));
	cr_assert(ne(ptr, strstr(text, " error four 4\n"), NULL));
}

Test(log, level_names)
{
	cr_assert(eq(int, log_level_parse("error"), LOG_ERROR));
	cr_assert(eq(int, log_level_parse("debug"), LOG_DEBUG));
	cr_assert(eq(int, log_level_parse("loud"), -EINVAL));
}

Test(log, due_at_most_so_often)
{
	struct log_limit l = { 0 };
	uint64_t unsaid = 7;

	cr_assert(log_turn(&l, UINT64_MAX, &unsaid));
	cr_assert(eq(u64, unsaid, 0));
	for (int i = 0; i < 3; i++)
		cr_assert(not(log_turn(&l, UINT64_MAX, &unsaid)));
	cr_assert(log_turn(&l, 0, &unsaid));
	cr_assert(eq(u64, unsaid, 3));
	cr_assert(log_turn(&l, 0, &unsaid));
	cr_assert(eq(u64, unsaid, 0));
}

Test(log, a_line_is_one_line_and_bounded, .init = to_pipe)
{
	char big[5000];

	memset(big, 'x', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	log_info("a\nb\rc\x1b[31m");
	log_info("%s", big);
	char *text = logged(), *second = strchr(text, '\n') + 1;

	cr_assert(ne(ptr, strstr(text, "info a?b?c?[31m\n"), NULL));
	cr_assert(eq(sz, strlen(second), 1023));
	cr_assert(eq(ptr, strchr(second, '\n'), second + 1022));
}

/* A pipe that nobody empties: no wait, and later a word on what is missing. */
Test(log, a_full_pipe_does_not_block, .init = to_pipe, .timeout = 600)
{
	log_set_level(LOG_DEBUG);
	for (int i = 0; i < 20000; i++)
		log_debug("a line to fill the pipe with, number %d", i);
	(void)logged();
	log_info("after");
	char *text = logged();

	cr_assert(ne(ptr, strstr(text, "log lines dropped"), NULL), "%s", text);
	cr_assert(ne(ptr, strstr(text, "info after\n"), NULL));
}

/* Each thread has a second's worth; then it is told what is missing. */
Test(log, a_flood_is_cut, .init = to_pipe, .timeout = 600)
{
	unsigned lines = 0, more = 0;
	struct timespec start, end;

	clock_gettime(CLOCK_REALTIME, &start);
	for (int i = 0; i < 3 * LOG_LINES_A_SECOND; i++)
		log_error("flood %d", i);
	log_set_level(LOG_DEBUG);
	log_debug("is asked for");
	clock_gettime(CLOCK_REALTIME, &end);
	usleep(1100000);
	log_error("later");
	for (char *p = logged(); *p; p = strchr(p, '\n') + 1) {
		lines += strstr(p, " flood ") != NULL && strstr(p, " flood ") < strchr(p, '\n');
		if (*p == '(')
			more += (unsigned)atoi(p + 1);
		if (!strchr(p, '\n')[1])
			cr_assert(ne(ptr, strstr(p, "error later\n"), NULL));
	}
	cr_assert(ge(int, (int)lines, LOG_LINES_A_SECOND));
	cr_assert(le(int, (int)lines, (int)(end.tv_sec - start.tv_sec + 1) * LOG_LINES_A_SECOND));
	cr_assert(eq(int, (int)(lines + more), 3 * LOG_LINES_A_SECOND));
}
