#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What durability costs on a store that is far away: small files written with an fsync each, to a
# RADOS Gateway on this machine behind a proxy that adds latency to each request. Prints Markdown:
# files a second and PUTs a file, with packs and without; then the latency of a 8 KiB write by durability.
#   bench/fsync.sh --binary PATH --client PATH [--files N] [--rounds N] [--dir DIR]
cd "$(dirname "$0")/.." || exit 1
files=10000 rounds=1 dir=build/bench-fsync
. bench/args.sh
mkdir -p "$dir" && dir=$(realpath "$dir") || exit 1
pids=
finish() {
	# shellcheck disable=SC2086 # numbers
	[ -z "$pids" ] || kill $pids 2>/dev/null
	wait 2>/dev/null
	tests/s3/rgw.sh wipe "$dir/rgw" >/dev/null 2>&1
	rm -rf "$dir"/vol* "$dir/control" "$dir"/*.log
}
trap finish EXIT
die() { echo "bench/fsync.sh: $*" >&2; exit 1; }

tests/s3/rgw.sh start "$dir/rgw" >/dev/null || die "no gateway"
# shellcheck disable=SC1091 # made by rgw.sh
. "$dir/rgw/env"
export AWS_ACCESS_KEY_ID=$S3_ACCESS_KEY AWS_SECRET_ACCESS_KEY=$S3_SECRET_KEY
tests/s3/proxy.py serve --listen 127.0.0.1:0 --upstream "127.0.0.1:$S3_PORT" --control "$dir/control" >"$dir/proxy.log" &
pids="$pids $!"
until port=$(grep -oE '[0-9]{4,5}' "$dir/proxy.log" | tail -n 1) && [ -n "$port" ]; do sleep 0.1; done

delay() { # SECONDS a request
	tests/s3/proxy.py tell "$dir/control" clear >/dev/null
	tests/s3/proxy.py tell "$dir/control" add do=delay s="$1" >/dev/null
}
value() { python3 -c 'import json, sys; print(json.load(sys.stdin)[sys.argv[1]])' "$1"; }
puts() { "$binary" status --json "$1" | python3 -c 'import json, sys
print(next(c["requests"] for c in json.load(sys.stdin)["object_store"]["requests"] if c["class"] == "put"))'; }

n=0
# run SETTINGS CLIENT-ARGUMENTS...: a fresh volume with `key: value` lines replaced; sets $result and $puts_a_file.
run() {
	local settings=$1 s v log server before
	shift
	n=$((n + 1))
	v=$dir/vol$n log=$dir/serve$n.log
	"$binary" format "$v" --objects "s3://$S3_BUCKET/vol$n" --endpoint "http://127.0.0.1:$port" >/dev/null || die "format"
	for s in $settings; do
		sed -i "s/^\( *${s%%=*}:\) [^ ]*/\1 ${s#*=}/" "$v/dittofs.yaml"
	done
	"$binary" serve "$v" --listen 127.0.0.1:0 2>"$log" &
	server=$!
	until nfs=$(sed -n 's/.*serving .* on .*:\([0-9]*\) with.*/\1/p' "$log") && [ -n "$nfs" ]; do
		kill -0 $server 2>/dev/null || { cat "$log" >&2; die "it does not serve"; }
		sleep 0.1
	done
	before=$(puts "$v")
	result=$("$client" "127.0.0.1:$nfs" /export "$@") || die "$result"
	"$binary" flush "$v" >/dev/null
	puts_a_file=$(python3 -c "print('%.3f' % (($(puts "$v") - $before) / $(value files <<<"$result")))")
	kill $server && wait $server
	rm -rf "$v"
}

delay 0.02
echo "| 20 ms added, $files files of 8 KiB, an fsync each | at a time | uploads | files/s | fsync p50 | p99 | PUTs a file |"
echo "|---|---|---|---|---|---|---|"
for round in $(seq "$rounds"); do
	for many in "64 8" "256 64"; do
		read -r depth uploads <<<"$many"
		for what in "remote, packs=durability=remote" "remote, no packs=durability=remote pack_below=0" "local=durability=local"; do
			run "${what#*=} uploads=$uploads" --files "$files" --depth "$depth"
			echo "| ${what%%=*} | $depth | $uploads | $(value files_per_s <<<"$result") | $(value p50_ms <<<"$result") ms |" \
				"$(value p99_ms <<<"$result") ms | $puts_a_file |"
		done
	done
done

delay 0.05
echo
echo "| 50 ms added, FILE_SYNC WRITE of 8 KiB | at a time | writes/s | p50 | p99 |"
echo "|---|---|---|---|---|"
for round in $(seq "$rounds"); do
	for durability in local remote; do
		for depth in 1 16; do
			run "durability=$durability" --files $((depth * 100)) --depth $depth --stable
			echo "| $durability | $depth | $(value files_per_s <<<"$result") | $(value p50_ms <<<"$result") ms |" \
				"$(value p99_ms <<<"$result") ms |"
		done
	done
done
