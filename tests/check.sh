#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# `make check`: every test there is.  Each suite prints what it does and ends with
# `N passed, N failed, N skipped`; the last line here is the sum.  SUITES="unit e2e" runs some.
cd "$(dirname "$0")/.." || exit 1
logs=build/check
mkdir -p "$logs"
jobs=$(nproc)
passed=0 failed=0 skipped=0 table=
declare -A pid

wanted() { case " ${SUITES:-$1} " in *" $1 "*) ;; *) return 1 ;; esac; }

# count NAME STATUS SECONDS: adds the closing line of its log to the sum.
count() {
	local name=$1 rc=$2 line p f s
	line=$(grep -E '^[0-9]+ passed, [0-9]+ failed, [0-9]+ skipped$' "$logs/$name.log" | tail -n 1)
	read -r p _ f _ s _ <<<"${line:-0 passed, 0 failed, 0 skipped}"
	[ "$rc" = 0 ] || [ "$f" != 0 ] || f=1
	[ -n "$line" ] || { [ "$rc" = 0 ] && p=1; }
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

# beside NAME COMMAND...: the same while other suites run, for one that mostly waits; `join NAME` shows what it said.
beside() {
	local name=$1
	shift
	wanted "$name" || return
	echo "== $name begins: $*"
	(
		start=$SECONDS
		"$@" >"$logs/$name.log" 2>&1
		echo "$? $((SECONDS - start))" >"$logs/$name.end"
	) &
	pid[$name]=$!
}
join() {
	local name=$1 end
	wanted "$name" || return
	wait "${pid[$name]}"
	echo "== $name"
	cat "$logs/$name.log"
	read -r -a end <"$logs/$name.end"
	count "$name" "${end[@]}"
}

build() { make --no-print-directory -j"$jobs" "$@"; }

suite layers       make --no-print-directory layers
suite headers      make --no-print-directory hdr-check
suite build        build all
suite build-debug  build BUILD=debug all
suite unit         build BUILD=debug unit
suite unit-asan    build BUILD=debug SAN=address,undefined unit
suite stress-tsan  build BUILD=debug SAN=thread stress
suite fuzz-replay  build BUILD=debug SAN=address,undefined fuzz-replay
suite cli          tests/cli/run.sh --binary build/release-none/dittofs
suite bench        tests/cli/bench.sh --binary build/release-none/dittofs
beside s3         tests/s3/run.sh --binary build/release-none/dittofs
suite crash        tests/crash/run.sh --binary build/debug-none/dittofs --rounds 140 --seed 1
suite powercut     tests/crash/run.sh --binary build/debug-none/dittofs --rounds 60 --powercut --seed 2
join   s3
suite load         tests/load/run.sh --binary build/release-none/dittofs
suite build-libs3  build LIBS3=1 all
suite s3-v2        tests/s3/run.sh --binary build/release-none-libs3/dittofs --signature v2 --only none --only early --only killed
suite benchmarks   build bench-check
suite e2e          tests/e2e/run.sh --binary build/release-none/dittofs
suite e2e-s3       tests/e2e/run.sh --binary build/release-none/dittofs --store s3 --quick
suite e2e-s3-remote tests/e2e/run.sh --binary build/release-none/dittofs --store s3 --durability remote --quick --only sqlite --only cold
suite build-asan   build BUILD=debug SAN=address,undefined all
suite e2e-asan     env SLOW=3 tests/e2e/run.sh --binary build/debug-address+undefined/dittofs --quick

printf '\n%-16s %7s %7s %8s %8s\n%s\n' SUITE passed failed skipped time "$table"
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]
