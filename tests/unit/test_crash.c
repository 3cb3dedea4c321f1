/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "reactor/base.h"

#define KILLED 256 /* the signal's number follows */

/* Passes `point` three times in a child, which then exits with 7.  The exit code, or KILLED and the signal. */
static int
pass_in_child(const char *at, const char *point, int *passes)
{
	int status, fd[2];
	char c;
	pid_t pid;

	cr_assert(eq(int, pipe(fd), 0));
	pid = fork();
	if (pid == 0) {
		setenv("DITTOFS_CRASH_AT", at, 1);
		for (int i = 0; i < 3; i++) {
			crash_point(point);
			(void)point; /* a release build does not look at it */
			if (write(fd[1], "x", 1) != 1)
				_exit(1);
		}
		_exit(7);
	}
	close(fd[1]);
	for (*passes = 0; read(fd[0], &c, 1) == 1; (*passes)++)
		;
	close(fd[0]);
	cr_assert(eq(int, waitpid(pid, &status, 0), pid));
	return WIFSIGNALED(status) ? KILLED + WTERMSIG(status) : WEXITSTATUS(status);
}

#ifdef CRASH_POINTS
Test(crash, kills_at_the_named_pass_and_nowhere_else)
{
	int passes, status;

	status = pass_in_child("here:2", "here", &passes);
	cr_assert(eq(int, status, KILLED + SIGKILL));
	cr_assert(eq(int, passes, 1));
	status = pass_in_child("here", "here", &passes);
	cr_assert(eq(int, status, KILLED + SIGKILL));
	cr_assert(eq(int, passes, 0));
	status = pass_in_child("here:4", "here", &passes);
	cr_assert(eq(int, status, 7));
	status = pass_in_child("elsewhere", "here", &passes);
	cr_assert(eq(int, status, 7));
	cr_assert(eq(int, passes, 3));
}

Test(crash, marks_what_is_synced)
{
	char name[] = "/tmp/test_crash.XXXXXX", text[100] = "";
	int fd = mkstemp(name);

	setenv("DITTOFS_SYNC_MARKS", name, 1);
	crash_synced("journal/0", 4096);
	crash_synced("journal/1", 1ull << 40);
	cr_assert(lt(int, 0, (int)read(fd, text, sizeof(text) - 1)));
	cr_assert(eq(int, strcmp(text, "journal/0 4096\njournal/1 1099511627776\n"), 0));
	unlink(name);
}
#else
Test(crash, a_release_build_has_no_crash_points)
{
	int passes, status = pass_in_child("here", "here", &passes);

	cr_assert(eq(int, status, 7));
	cr_assert(eq(int, passes, 3));
}
#endif
