#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# `dittofs bench` and `objbench`: their arguments, their figures, and that nothing stays behind.
#   bench.sh --binary PATH
cd "$(dirname "$0")/../.." || exit 1
. tests/cli/lib.sh
d=$tmp/dir
mkdir "$d"
echo mine >"$d/mine"
small="--big-file-size 3MiB --block-size 256KiB --small-file-size 5000 --small-file-count 7"

# untouched NAME: nothing but what was there.
untouched() {
	ls -A "$d" >"$tmp/out"
	if [ "$(cat "$tmp/out")" = mine ] && [ "$(cat "$d/mine")" = mine ]; then ok "$1"; else bad "$1"; fi
}

# json NAME EXPRESSION COMMAND...: its output is JSON, of which the Python expression in j holds.
json() {
	local name=$1 expr=$2
	shift 2
	if timeout 60 "$@" >"$tmp/out" 2>"$tmp/err" </dev/null &&
		python3 -c 'import json, sys; j = json.load(open(sys.argv[1])); assert eval(sys.argv[2]), j' "$tmp/out" "$expr" 2>>"$tmp/err"; then
		ok "$name"
	else
		cat "$tmp/err" >>"$tmp/out"
		bad "$name"
	fi
}

# interrupt NAME SIGNAL STATUS COMMAND...: is in the middle of writing when the signal comes.
interrupt() {
	local name=$1 signal=$2 want=$3 rc
	shift 3
	"$@" >"$tmp/out" 2>&1 </dev/null &
	local bench=$!
	for _ in $(seq 1200); do
		ls "$d"/*/big.0 >"$tmp/ls" 2>&1 && break
		sleep 0.05
	done
	kill -"$signal" $bench
	wait $bench
	rc=$?
	if [ $rc = "$want" ] && grep -q 'interrupted' "$tmp/out" && [ -s "$tmp/ls" ]; then
		ok "$name"
	else
		bad "$name (exit status $rc, wanted $want)"
	fi
}

expect "--help"                  0 'usage: dittofs bench'           "$binary" bench --help
expect "--nonsense"              2 'usage: dittofs bench'           "$binary" bench --nonsense
expect "no target"               2 'usage: dittofs bench'           "$binary" bench
expect "two targets"             2 'usage: dittofs bench'           "$binary" bench "$d" "$d"
expect "threads nonsense"        2 'a number from 1 to'             "$binary" bench "$d" -p none
expect "size nonsense"           2 'big-file-size: a size like'     "$binary" bench "$d" --big-file-size 1GB
expect "block nonsense"          2 'block-size: a size like'        "$binary" bench "$d" --block-size 0
expect "no such directory"       1 'there is no such directory'     "$binary" bench "$tmp/nowhere"
expect "not a directory"         1 'Not a directory'                "$binary" bench "$d/mine"
expect "no room"                 1 'no room: .* are needed'         "$binary" bench "$d" --big-file-size 1024GiB -p 256
expect "no address"              1 'nfs://host'                     "$binary" bench nfs://127.0.0.1
expect "no port"                 1 'nfs://host'                     "$binary" bench nfs://127.0.0.1:99999/x
expect "nobody there"            1 'no NFS server answers'          "$binary" bench nfs://127.0.0.1:1/x
if command -v setpriv >/dev/null; then
	cp "$binary" "$tmp/dittofs"
	expect "not writable"    1 'is not writable'                setpriv --reuid=65534 --regid=65534 --clear-groups \
		"$tmp/dittofs" bench "$d"
else
	skip "not writable" "there is no setpriv"
fi
untouched "refusals leave nothing behind"

expect "a table"                 0 '^Write big file .*MiB/s .*s/file.* a block' "$binary" bench "$d" $small -p 2
grep -qE '^Stat file .*files/s .*ms/file' "$tmp/out" && ok "a row for each item" || bad "a row for each item"
grep -q '^Reads: .*cache' "$tmp/out" && ok "says what the cache may have done" || bad "says what the cache may have done"
all='[i["item"] for i in j["items"]] == ["Write big file", "Write small file", "Read big file", "Read small file", "Stat file"]'
json "--json" "$all and j['items'][0]['bytes'] == 2 * 3 * 2**20 and j['items'][3]['count'] == 14 and j['threads'] == 2" \
	"$binary" bench "$d" $small -p 2 --json
json "percentiles rise" "all(0 < l['p50'] <= l['p95'] <= l['p99'] <= l['p99_9'] <= l['max'] for l in (i['latency_us'] for i in j['items']))" \
	"$binary" bench "$d" $small --fsync --json
json "big files alone" "len(j['items']) == 2" "$binary" bench "$d" $small --small-file-count 0 --json
json "small files alone" "len(j['items']) == 3" "$binary" bench "$d" $small --big-file-size 0 --json
json "a last block that is short" "j['items'][1]['latency_us']['count'] == 4 and j['items'][1]['bytes'] == 1000003" \
	"$binary" bench "$d" --big-file-size 1000003 --block-size 256KiB --small-file-count 0 --json
untouched "runs leave nothing behind"
interrupt "SIGINT"  INT  130 "$binary" bench "$d" --big-file-size 4GiB --block-size 4KiB -p 2
interrupt "SIGTERM" TERM 143 "$binary" bench "$d" --big-file-size 4GiB --block-size 4KiB -p 2
untouched "interrupted runs leave nothing behind"

v=$tmp/vol
"$binary" format "$v" >/dev/null
if serve "$v" --listen 127.0.0.1:0 --cores 2; then
	share=nfs://127.0.0.1:$port/export
	expect "no such share"   1 'cannot be mounted'          "$binary" bench "nfs://127.0.0.1:$port/other"
	expect "a server"        0 '^Read big file .*MiB/s'     "$binary" bench "$share" $small -p 2 --depth 4
	expect "its operations"  0 '^CPU [0-9.]+ % of one core, memory' "$binary" bench "$share" $small --server "$v"
	grep -qE '^WRITE +[0-9]+ +[0-9.]+ ms' "$tmp/out" && ok "with ms each" || bad "with ms each"
	json "its operations, --json" "[c['calls'] for c in j['server']['calls'] if c['procedure'] == 'READ'] == [12 + 7]" \
		"$binary" bench "$share" $small --server "$v" --json
	expect "another volume"  1 'no server answers|dittofs.yaml' "$binary" bench "$share" $small --server "$tmp/dir"
	expect "stats"           0 '^ *[0-9]+% +[0-9.]+M '      "$binary" stats "$v" -n 2 -i 0.05
	grep -q '^------usage------ ---nfs-ops--- --cache-- --s3-ops--$' "$tmp/out" && ok "stats, its head" || bad "stats, its head"
	json "stats --json" "j['seconds'] > 0 and j['mem_bytes'] > 2**20 and j['reads_per_s'] == 0" \
		"$binary" stats "$v" -n 1 -i 0.05 --json
	expect "stats, bad interval" 2 'seconds from'           "$binary" stats "$v" -i never
	json "a server, --json" "$all and j['items'][2]['bytes'] == 2 * 3 * 2**20" "$binary" bench "$share" $small -p 2 --json
	"$binary" bench "$share" --big-file-size 64MiB --block-size 512 --depth 1 >"$tmp/out" 2>&1 </dev/null &
	bench=$!
	for _ in $(seq 1200); do # it is at work: a signal before it asks for signals is lost, for the shell starts it deaf to them
		"$binary" status "$v" | grep -qE '^/export +[1-9]' && break
		sleep 0.05
	done
	kill -INT $bench
	wait $bench
	[ $? = 130 ] && ok "a server, SIGINT" || bad "a server, SIGINT"
	expect "removed from the server" 0 '^/export +0 B +1 ' "$binary" status "$v"
	stop "the server ends well"
else
	bad "serve"
fi

expect "stats --help"                0 'usage: dittofs stats'        "$binary" stats --help
expect "stats without a server"      1 'no server answers'           "$binary" stats "$v"
expect "objbench --help"             0 'usage: dittofs objbench'     "$binary" objbench --help
expect "objbench without a store"    2 'usage: dittofs objbench'     "$binary" objbench
expect "objbench, size nonsense"     2 'object-size: a size like'    "$binary" objbench "file://$d" --object-size 4MB
expect "objbench, no such directory" 1 'nowhere'                     "$binary" objbench "file://$tmp/nowhere"
expect "objbench, no such kind"      1 'no object store of this kind' "$binary" objbench ftp://x/y
expect "objbench, no such volume"    1 'dittofs.yaml'                "$binary" objbench "$d"
expect "objbench, no credentials"    1 '[Cc]redentials'              env -u AWS_ACCESS_KEY_ID HOME="$d" "$binary" objbench s3://bucket/x
untouched "refusals leave nothing behind"

few="--object-size 300KiB --total-size 3MiB --small-object-size 3000 --small-objects 20"
expect "objbench"                    0 '^Upload objects .*MiB/s .*ms/object.* a request' "$binary" objbench "file://$d" $few
grep -qE '^conditional +of several puts at once one wins +pass' "$tmp/out" && ok "a table of tests" || bad "a table of tests"
json "objbench --json" "all(t['passed'] for t in j['tests']) and len(j['tests']) > 15 and [i['count'] for i in j['items']] == [10, 10, 20, 20, 20, 20, 20]" \
	"$binary" objbench "file://$d" $few -p 3 --json
json "objbench, figures alone" "j['tests'] == [] and len(j['items']) == 2 and j['items'][1]['bytes'] == 10 * 300 * 1024" \
	"$binary" objbench "file://$d" $few --skip-functional-tests --small-objects 0 --json
json "objbench, tests alone" "len(j['tests']) > 15 and j['items'] == []" "$binary" objbench "file://$d" --total-size 0 --small-objects 0 --json
json "objbench, a volume's store" "all(t['passed'] for t in j['tests'])" "$binary" objbench "$v" $few --json
[ -z "$(ls "$v/objects" | grep objbench)" ] && ok "the volume's store is as before" || bad "the volume's store is as before"
untouched "objbench leaves nothing behind"
"$binary" objbench "file://$d" --skip-functional-tests --object-size 4KiB --total-size 1GiB >"$tmp/out" 2>&1 </dev/null &
bench=$!
for _ in $(seq 1200); do
	ls "$d"/dittofs-objbench*/big >"$tmp/ls" 2>&1 && break
	sleep 0.05
done
kill -INT $bench
wait $bench
[ $? = 130 ] && ok "objbench, SIGINT" || bad "objbench, SIGINT"
untouched "objbench, interrupted, leaves nothing behind"

echo "$passed passed, $failed failed, $skipped skipped"
[ $failed = 0 ]
