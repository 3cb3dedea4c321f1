#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Runs Criterion programs, some at a time, each for at most TIMEOUT seconds: a line for each in
# the order given, the output of those that fail, and at the end how many single tests passed,
# failed and were skipped.
#
#   tests/unit/run.sh PROGRAM...        environment: TIMEOUT (1200), JOBS of a program (2), PROGRAMS at a time (as many as cores)
# Time limits, here and in the tests, are for what hangs: a program that takes half a minute on an idle
# machine with two cores took five beside builds and other suites.
set -u
out=$(mktemp -d) || exit 1
trap 'rm -rf "$out"' EXIT
passed=0 failed=0 skipped=0
at_a_time=${PROGRAMS:-$(nproc)} next=0
# Criterion's own: it keeps its record of a test that has a timeout.
echo 'leak:libcriterion' >"$out/lsan"
export LSAN_OPTIONS="suppressions=$out/lsan:print_suppressions=0"

# run PROGRAM: its words in NAME.tap and NAME.err, then its exit status and seconds in NAME.end.
# To a file: with its TAP on stdout Criterion would give the tests /dev/null for stderr, and what a failed
# assert or a sanitizer says of a crash would be lost.
run() {
	local at=$out/${1##*/} start=$SECONDS rc pid
	: >"$at.tap"
	timeout -k 5 "${TIMEOUT:-1200}" "$1" --jobs "${JOBS:-2}" --tap="$at.tap" >"$at.err" 2>&1 &
	pid=$!
	trap 'kill $pid; exit 143' TERM # it is a process group of its own, which Ctrl-C does not reach
	wait $pid
	rc=$?
	echo "$rc $((SECONDS - start))" >"$at.part"
	mv "$at.part" "$at.end"
}

# tell PROGRAM: its line, and adds its tests to the sum.
tell() {
	local at=$out/${1##*/} verdict=ok rc took p f s
	read -r rc took <"$at.end"
	count() { grep -c -E "$1" "$at.tap"; }
	s=$(count '^ok .*# SKIP')
	p=$(($(count '^ok ') - s))
	f=$(count '^not ok ')
	# A program that ends badly, or that ran nothing, counts as a failed test itself.
	if [ "$rc" -ne 0 ] || [ $((p + f + s)) -eq 0 ]; then
		verdict=FAIL
		[ "$f" -gt 0 ] || f=1
	fi
	[ "$rc" -eq 124 ] && verdict="FAIL (over ${TIMEOUT:-1200} s)"
	printf '%-20s %4d passed, %d failed, %d skipped  %4d s  %s\n' "${1##*/}" "$p" "$f" "$s" "$took" "$verdict"
	[ "$verdict" = ok ] || cat "$at.tap" "$at.err"
	passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
}

programs=("$@")
tell_ended() {
	while [ $next -lt ${#programs[@]} ] && [ -e "$out/${programs[next]##*/}.end" ]; do
		tell "${programs[next]}"
		next=$((next + 1))
	done
}
for program; do
	while [ "$(jobs -rp | wc -l)" -ge "$at_a_time" ]; do wait -n; done
	tell_ended
	run "$program" &
done
wait
tell_ended
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
