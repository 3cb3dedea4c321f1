#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Fuzzes one target for a while:  tests/fuzz/run.sh PROGRAM SECONDS
# What it learns stays in build/fuzz/corpus, what breaks it in build/fuzz/found.
set -u
name=$(basename "$1")
name=${name#fuzz_}
work=build/fuzz/corpus/$name found=build/fuzz/found
mkdir -p "$work" "$found"
seeds=tests/fuzz/corpus/$name
[ -d "$seeds" ] || seeds=
log=build/fuzz/$name.log
if ! "$1" -max_total_time="$2" -timeout=20 -rss_limit_mb=2048 -artifact_prefix="$found/$name-" \
	-verbosity=1 -print_final_stats=1 "$work" $seeds >"$log" 2>&1; then
	echo "$name: BROKEN, see $log"
	tail -40 "$log"
	exit 1
fi
runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
cov=$(sed -n 's/.* cov: \([0-9]*\) .*/\1/p' "$log" | tail -1)
echo "$name: $runs runs in $2 s, coverage $cov, nothing found"
