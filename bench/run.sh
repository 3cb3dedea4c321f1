#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# `make bench`: dittofs beside an nfs-ganesha that serves a directory of the same disk, same client,
# in turn, ROUNDS times; prints a table of medians (Markdown) and keeps the raw lines.
#   bench/run.sh --binary PATH --client PATH [--rounds N] [--dir DIR]
cd "$(dirname "$0")/.." || exit 1
# nfs-ganesha insists on an rpcbind, so all of it runs in a network and /run of its own.
if [ -z "${BENCH_INSIDE:-}" ]; then
	[ "$(id -u)" = 0 ] || { echo "bench/run.sh: must be root, for a network namespace" >&2; exit 2; }
	BENCH_INSIDE=1 exec unshare --net --mount "$PWD/bench/run.sh" "$@"
fi
ip link set lo up && mount -t tmpfs run /run && mkdir -p /run/rpcbind || exit 1
rounds=5 dir=build/bench-data depths="1 16 64" binary= client=
while [ $# -gt 0 ]; do
	case $1 in
	--binary) binary=$2 ;; --client) client=$2 ;; --rounds) rounds=$2 ;; --dir) dir=$2 ;;
	*) echo "bench/run.sh: what is $1?" >&2; exit 2 ;;
	esac
	shift 2
done
[ -x "$binary" ] && [ -x "$client" ] || { echo "bench/run.sh: needs --binary and --client" >&2; exit 2; }
port=21049 gport=22049
raw=$dir/raw.jsonl
rm -rf "$dir"
mkdir -p "$dir" || exit 1
rpcbind -w -f &
pids=$!
trap 'kill $pids 2>/dev/null; wait' EXIT

"$binary" format "$dir/ditto" >"$dir/format.log" || exit 1
"$binary" serve "$dir/ditto" --listen 127.0.0.1:$port 2>"$dir/ditto.log" &
ditto=$! pids="$pids $!"
tests/client/ganesha.sh format "$dir/ganesha"
tests/client/ganesha.sh serve "$dir/ganesha" --listen 127.0.0.1:$gport 2>"$dir/ganesha.log" &
ganesha=$! pids="$pids $!"
for log in ditto ganesha; do
	n=0
	until grep -q serving "$dir/$log.log"; do
		sleep 0.1
		n=$((n + 1))
		[ $n -lt 200 ] || { echo "bench/run.sh: $log does not serve:"; tail "$dir/$log.log"; exit 1; } >&2
	done
done
tests="write read randread randwrite create stat readdirplus remove"
for round in $(seq "$rounds"); do
	for depth in $depths; do
		echo "round $round of $rounds, $depth outstanding" >&2
		"$client" 127.0.0.1:$port /export --seconds 1 --depth $depth --pid $ditto $tests |
			sed "s/^{/{\"server\": \"dittofs\", \"round\": $round, /" >>"$raw" || exit 1
		"$client" 127.0.0.1:$gport /export --seconds 1 --depth $depth --pid $ganesha --mount-port $((gport + 1)) $tests |
			sed "s/^{/{\"server\": \"ganesha\", \"round\": $round, /" >>"$raw" || exit 1
	done
done
python3 bench/report.py "$raw" | tee "$dir/report.md"
