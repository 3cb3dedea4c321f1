#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Does a name cost the same in a directory of any size?  LOOKUP of random names, 64 outstanding, in a
# directory of a hundred and in one of --files, each on a server of its own, in turn; cold (the
# server has just started), and after a READDIRPLUS walk.  Needs some minutes.
#   bench/dirsize.sh --binary PATH --client PATH [--files N] [--rounds N] [--dir DIR]
cd "$(dirname "$0")/.." || exit 1
if [ -z "${BENCH_INSIDE:-}" ]; then
	[ "$(id -u)" = 0 ] || { echo "bench/dirsize.sh: must be root, for a network namespace" >&2; exit 2; }
	BENCH_INSIDE=1 exec unshare --net "$PWD/bench/dirsize.sh" "$@"
fi
ip link set lo up || exit 1
binary= client= files=1000000 rounds=5 dir=build/dirsize-data
while [ $# -gt 0 ]; do
	case $1 in
	--binary) binary=$2 ;; --client) client=$2 ;; --files) files=$2 ;; --rounds) rounds=$2 ;; --dir) dir=$2 ;;
	*) echo "bench/dirsize.sh: what is $1?" >&2; exit 2 ;;
	esac
	shift 2
done
[ -x "$binary" ] && [ -x "$client" ] || { echo "bench/dirsize.sh: needs --binary and --client" >&2; exit 2; }
rm -rf "$dir"
mkdir -p "$dir" || exit 1
pids=
trap 'kill $pids 2>/dev/null; wait' EXIT

start() { # FILES PORT
	"$binary" serve "$dir/$1" --listen "127.0.0.1:$2" 2>"$dir/$1.log" &
	pid=$! pids="$pids $!"
	until grep -qs serving "$dir/$1.log"; do
		kill -0 $pid 2>/dev/null || { cat "$dir/$1.log" >&2; exit 1; }
		sleep 0.1
	done
}
load() { # FILES PORT DEPTH TEST...
	local n=$1 port=$2 depth=$3
	shift 3
	"$client" "127.0.0.1:$port" /export --seconds 1 --depth "$depth" --files "$n" "$@" || exit 1
}
rate() { sed -n 's/.*"ops_per_s": \([0-9.]*\).*/\1/p'; }
median() { sort -n | awk '{ v[NR] = $1 } END { printf "%.0f (%.0f-%.0f)\n", v[int((NR + 1) / 2)], v[1], v[NR] }'; }

port=21049
for n in 100 "$files"; do
	"$binary" format "$dir/$n" >/dev/null || exit 1
	start "$n" $port
	load "$n" $port 256 create >/dev/null
	kill $pid && wait $pid
	start "$n" $port
	port=$((port + 1))
done
for when in cold warm; do
	for round in $(seq "$rounds"); do
		load 100 21049 64 stat | rate >>"$dir/$when.small"
		load "$files" 21050 64 stat | rate >>"$dir/$when.large"
	done
	for walk in 1 2 3; do
		load "$files" 21050 8 readdirplus >/dev/null
	done
done
for when in cold warm; do
	echo "$when: 100 names $(median <"$dir/$when.small") /s, $files names $(median <"$dir/$when.large") /s," \
		"in turn $(paste "$dir/$when.small" "$dir/$when.large" | awk '{ print $1 / $2 }' | sort -n |
			awk '{ v[NR] = $1 } END { printf "%.2f times as long\n", v[int((NR + 1) / 2)] }')"
done
