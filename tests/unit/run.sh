#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs Criterion programs, each for at most TIMEOUT seconds: a line for each, the
# output of those that fail, and at the end how many single tests passed,
# failed and were skipped.
#
#   tests/unit/run.sh PROGRAM...        environment: TIMEOUT (300), JOBS (2)
set -u
out=$(mktemp -d) || exit 1
trap 'rm -rf "$out"' EXIT
passed=0 failed=0 skipped=0
# Criterion's own: it keeps its record of a test that has a timeout.
echo 'leak:libcriterion' >"$out/lsan"
export LSAN_OPTIONS="suppressions=$out/lsan:print_suppressions=0"
count() { grep -c -E "$1" "$out/tap"; }

for program; do
	start=$(date +%s)
	timeout -k 5 "${TIMEOUT:-300}" "$program" --jobs "${JOBS:-2}" --tap >"$out/tap" 2>"$out/err"
	rc=$?
	s=$(count '^ok .*# SKIP')
	p=$(($(count '^ok ') - s))
	f=$(count '^not ok ')
	verdict=ok
	# A program that ends badly, or that ran nothing, counts as a failed test itself.
	if [ "$rc" -ne 0 ] || [ $((p + f + s)) -eq 0 ]; then
		verdict=FAIL
		[ "$f" -gt 0 ] || f=1
	fi
	[ "$rc" -eq 124 ] && verdict="FAIL (over ${TIMEOUT:-300} s)"
	printf '%-20s %4d passed, %d failed, %d skipped  %4d s  %s\n' \
		"$(basename "$program")" "$p" "$f" "$s" $(($(date +%s) - start)) "$verdict"
	[ "$verdict" = ok ] || cat "$out/tap" "$out/err"
	passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
done
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
