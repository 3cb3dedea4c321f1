#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Do the programs of bench/ still run?  Each for a moment, against a real server; no figure counts.
#   bench/check.sh BINARY PROGRAMS     about 20 s; ends with `N passed, N failed, N skipped`
cd "$(dirname "$0")/.." || exit 1
binary=$1 programs=$2 passed=0 failed=0
dir=$(mktemp -d "${TMPDIR:-/tmp}/dittofs-bench.XXXXXX") || exit 1
server=
trap '[ -z "$server" ] || kill $server; wait; rm -rf "$dir"' EXIT
trap 'exit 1' TERM INT HUP

# try NAME COMMAND...: must end with 0 and print something
try() {
	local name=$1 start=$SECONDS
	shift
	if timeout 300 "$@" >"$dir/out" 2>&1 && [ -s "$dir/out" ]; then
		passed=$((passed + 1))
		echo "ok   $name, $((SECONDS - start)) s"
	else
		failed=$((failed + 1))
		echo "FAIL $name: $*"
		tail -n 5 "$dir/out"
	fi
}

"$binary" format "$dir/vol" >/dev/null || exit 1
# it must not outlive this script, whatever ends that
setpriv --pdeathsig KILL "$binary" serve "$dir/vol" --listen 127.0.0.1:0 2>"$dir/log" &
server=$!
n=0
until grep -q 'serving .*127.0.0.1:[0-9]' "$dir/log" 2>/dev/null; do
	sleep 0.1
	n=$((n + 1))
	[ $n -lt 300 ] || { echo "bench/check.sh: no server:"; cat "$dir/log"; exit 1; }
done
port=$(grep -oE '127\.0\.0\.1:[0-9]+' "$dir/log" | head -n 1)
load="$programs/load/load $port /export --seconds 0.1 --warm 0 --size 4 --files 50"

try "load, many calls"  $load --depth 64 null getattr lookup read write writesync write:8,commit:1 \
	create rename remove mkdir rmdir readdirplus getattr:5,lookup:3,read:2,create:1
try "load, one call"    $load null getattr create remove
try "load, streams"     $load --depth 8 --bytes 1048576 --ops 8 --fresh seqwrite seqread
try "load, fixed rate"  $load --depth 128 --conns 8 --threads 2 --rate 500 getattr
try "load, threads"     $load --depth 32 --conns 8 --threads 2 --dirs 3 create rename remove
try bare_echo           "$programs/bare_echo" --seconds 0.1
try "bare_stream send"  "$programs/bare_stream" send --seconds 0.1
try "bare_stream recv"  "$programs/bare_stream" recv --seconds 0.1
try "bare_disk records" "$programs/bare_disk" records "$dir" --size 8 --seconds 0.1
try "bare_disk stream"  "$programs/bare_disk" stream "$dir" --size 8 --seconds 0.1
try bare_kv             "$programs/bare_kv" "$dir/kv" --entries 100 --seconds 0.1
try bare_memory         "$programs/bare_memory" 0.02
try codec               "$programs/codec" store 1 1
try seal                "$programs/seal" 0.02 1
try reactor_echo        "$programs/reactor_echo" 1 0.3
try reactor_stream      "$programs/reactor_stream" 0.3
try "sentences on bars" env PYTHONDONTWRITEBYTECODE=1 python3 -m unittest discover -s bench/suite -p 'test_*.py'
if [ "$(id -u)" = 0 ]; then
	run="bench/run --binary $binary --programs $programs --out $dir/report --quick --alone --anyway --rounds 1 --seconds 0.05"
	try bench/run $run --only calls,profile
	try "the plots are XML" python3 -c 'import sys, xml.dom.minidom as m; print([m.parse(f) for f in sys.argv[1:]])' "$dir"/report/*.svg
	cp "$dir/report/report.json" "$dir/first.json"
	try "bench/run s3" $run --only s3
	try "bench/run --compare" $run --only busy_poll --compare "$dir/first.json"
	try "bench/run --merge" bench/run --merge "$dir/first.json" "$dir/report/report.json" --out "$dir/merged"
fi
echo "$passed passed, $failed failed, 0 skipped"
[ $failed = 0 ]
