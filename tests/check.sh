#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# `make check`: every test there is.  Each suite prints what it does and ends with
# `N passed, N failed, N skipped`; the last line here is the sum.  SUITES="unit e2e" runs some.
cd "$(dirname "$0")/.." || exit 1
logs=build/check
mkdir -p "$logs"
jobs=$(nproc)
passed=0 failed=0 skipped=0 table= what_failed=
declare -A last process # of those that run beside the others: a line's last process, each suite's
names=()

# Ctrl-C: what runs in the background does not hear it by itself.  Each removes what it made; this ends when all have.
trap 'trap "" INT TERM; kill 0; wait; exit 130' INT TERM

wanted() { case " ${SUITES:-$1} " in *" $1 "*) ;; *) return 1 ;; esac; }

# count NAME STATUS SECONDS: adds the closing line of its log to the sum, and the lines that tell of failures to those
# that are shown once more at the end.
count() {
	local name=$1 rc=$2 line p f s
	line=$(grep -E '^[0-9]+ passed, [0-9]+ failed, [0-9]+ skipped$' "$logs/$name.log" | tail -n 1)
	read -r p _ f _ s _ <<<"${line:-0 passed, 0 failed, 0 skipped}"
	[ "$rc" = 0 ] || [ "$f" != 0 ] || f=1
	[ -n "$line" ] || { [ "$rc" = 0 ] && p=1; }
	[ "$f" = 0 ] || what_failed+="== $name"$'\n'$(grep -E -A 6 '(^| )FAIL(ED)?( |$)|^not ok |Assertion |ERROR: |runtime error: |Error [0-9]+$' "$logs/$name.log" | head -n 40)$'\n'
	passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
	table+=$(printf '%-16s %7d %7d %8d %6d s' "$name" "$p" "$f" "$s" "$3")$'\n'
}

# suite NAME COMMAND...: runs it and shows its output.
suite() {
	local name=$1 start=$SECONDS
	shift
	wanted "$name" || return
	echo "== $name: $*"
	"$@" 2>&1 | tee "$logs/$name.log"
	count "$name" "${PIPESTATUS[0]}" $((SECONDS - start))
}

# beside LINE NAME COMMAND...: the same while other suites run; those of one line one after another.
# `join` shows what they said, in the order given.
beside() {
	local before=${last[$1]:-} number=$1 name=$2
	shift 2
	wanted "$name" || return
	echo "== $name (line $number): $*"
	rm -f "$logs/$name.end"
	(
		trap 'exit 143' TERM # behind the suite, which tidies up
		[ -z "$before" ] || tail --pid="$before" -s 0.2 -f /dev/null
		start=$SECONDS
		"$@" >"$logs/$name.log" 2>&1
		echo "$? $((SECONDS - start))" >"$logs/$name.end"
	) &
	last[$number]=$! process[$name]=$!
	names+=("$name")
}
join() {
	local name end
	for name in "${names[@]}"; do
		wait "${process[$name]}"
		echo "== $name"
		cat "$logs/$name.log"
		end=(1 0) # it was killed
		[ ! -e "$logs/$name.end" ] || read -r -a end <"$logs/$name.end"
		count "$name" "${end[@]}"
	done
}

build() { make --no-print-directory -j"$jobs" "$@"; }

release=build/release-none/dittofs debug=build/debug-none/dittofs asan=build/debug-address+undefined/dittofs

suite layers       make --no-print-directory layers
suite headers      make --no-print-directory hdr-check
suite build        build all
beside 1 e2e-s3    env SLOW=3 tests/e2e/run.sh --binary $release --store s3
beside 2 s3        env SLOW=2 tests/s3/run.sh --binary $release
beside 2 e2e-s3-remote env SLOW=3 tests/e2e/run.sh --binary $release --store s3 --durability remote --small --encrypt
suite build-debug  build BUILD=debug all
suite build-libs3  build LIBS3=1 all
suite build-asan   build BUILD=debug SAN=address,undefined all
beside 3 s3-v2     env SLOW=2 tests/s3/run.sh --binary build/release-none-libs3/dittofs --signature v2 --only none --only early --only shorter --only killed
beside 1 e2e       env SLOW=3 tests/e2e/run.sh --binary $release --small --skip restart
beside 3 tidy      tests/cli/tidy.py --binary $release
beside 3 trash     tests/cli/trash.py --binary $release
beside 3 metrics   tests/cli/metrics.py --binary $release
beside 3 reload    tests/cli/reload.py --binary $release
beside 3 tidy-s3   tests/cli/tidy.py --binary $release --s3
beside 3 backup    tests/cli/backup.py --binary $debug
beside 3 backup-s3 tests/cli/backup.py --binary $debug --s3 --encrypt
beside 3 sealed    tests/cli/sealed.py --binary $debug
beside 2 e2e-asan  env SLOW=6 tests/e2e/run.sh --binary $asan --quick
beside 3 crash     tests/crash/run.sh --binary $debug --rounds 140 --seed 1
beside 3 powercut  tests/crash/run.sh --binary $debug --rounds 60 --powercut --seed 2
suite unit         build BUILD=debug unit
suite unit-asan    build BUILD=debug SAN=address,undefined unit
suite stress-tsan  build BUILD=debug SAN=thread stress
suite fuzz-replay  build BUILD=debug SAN=address,undefined fuzz-replay
suite cli          tests/cli/run.sh --binary $release
suite bench        tests/cli/bench.sh --binary $release
suite load         tests/load/run.sh --binary $release
suite coherence    tests/coherence/run.sh --binary $release
suite benchmarks   build bench-check
join

printf '\n%-16s %7s %7s %8s %8s\n%s\n' SUITE passed failed skipped time "$table"
[ -z "$what_failed" ] || printf 'What failed, once more (whole logs: %s):\n%s\n' "$logs" "$what_failed"
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]
