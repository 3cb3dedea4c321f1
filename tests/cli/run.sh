#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The command line: what a person sees when things go well, and a clear error,
# with nothing lost, for each way in which they do not.
#   run.sh --binary PATH
cd "$(dirname "$0")/../.." || exit 1
. tests/cli/lib.sh
v=$tmp/vol
expect "no arguments"            2 'usage: dittofs COMMAND'   "$binary"
expect "--help"                  0 'format .*make a volume'   "$binary" --help
expect "unknown command"         2 "no command 'frobnicate'"  "$binary" frobnicate
for c in format serve status flush trash fsck gc compact warmup info backup restore key config version; do
	expect "$c --help"       0 "usage: dittofs $c"        "$binary" $c --help
	expect "$c --nonsense"   2 "usage: dittofs $c"        "$binary" $c --nonsense
done
expect "version"                 0 '^dittofs [0-9.]+, volume format 2' "$binary" version
expect "version --json"          0 '"format": 2'              "$binary" version --json

expect "serve without a volume"  1 'dittofs format'           "$binary" serve "$v"
expect "format"                  0 'made a volume with /export' "$binary" format "$v"
expect "format refuses a volume" 1 'exists.*nothing was changed' "$binary" format "$v"
expect "format, two shares"      0 'made a volume'            "$binary" format "$tmp/two" --share /a --share /b
expect "format --compress"       0 'made a volume'            "$binary" format "$tmp/zstd" --compress zstd:7
expect "format --compress zst"   1 "'zst' is no compression.*none, lz4, zstd or zstd:LEVEL" "$binary" format "$tmp/three" --compress zst
expect "format --compress, level" 1 "'zstd:20' is no compression.*from 1 to 19" "$binary" format "$tmp/three" --compress zstd:20
expect "format, bad share"       1 'no share name'            "$binary" format "$tmp/three" --share a/b
[ ! -e "$tmp/three" ] && ok "format leaves nothing behind" || bad "format leaves nothing behind"
expect "format below a file"     1 'cannot make'              "$binary" format /dev/null/x
# One that fails leaves what was there before, and nothing else: the second share's objects are another volume's.
mkdir -p "$tmp/half/mine/lost+found" "$tmp/half/objects" && cp -r "$tmp/two/objects/b" "$tmp/half/objects"
cat >"$tmp/half/dittofs.yaml" <<'Y'
version: 1
paths: { meta: mine, journal: a/b/journal, cache: a/cache, objects: "file://objects" }
shares: [ { name: /a }, { name: /b } ]
Y
(cd "$tmp/half" && find . | sort) >"$tmp/before"
expect "format beside another volume's objects" 1 'already holds the objects.*removed again' "$binary" format --config "$tmp/half/dittofs.yaml"
(cd "$tmp/half" && find . | sort) | diff "$tmp/before" - >"$tmp/out" && ok "it leaves what was there" || bad "it leaves what was there"
rm -rf "$tmp/half/objects/b"
expect "then it goes"            0 'made a volume'            "$binary" format --config "$tmp/half/dittofs.yaml"
expect "but once"                1 'mine has files in it'     "$binary" format --config "$tmp/half/dittofs.yaml"
expect "config check"            0 'fine'                     "$binary" config check "$v"
expect "config show"             0 'buffer_size: "512MiB"'    "$binary" config show "$v"
expect "config show, garbage"    0 'keep: "15000ms"'          "$binary" config show "$v"
expect "config show --json"      0 '"buffer_size": "512MiB"'  "$binary" config show --json "$v"
expect "status without server"   1 'no server answers'        "$binary" status "$v"
expect "gc without server"       1 'no server answers'        "$binary" gc "$v"
expect "compact without server"  1 'no server answers'        "$binary" compact "$v"
expect "warmup without server"   1 'no server answers'        "$binary" warmup "$v" /export
expect "warmup, reads nonsense"  2 'usage: dittofs warmup'    "$binary" warmup "$v" -p none
expect "warmup of nothing"       2 'usage: dittofs warmup'    "$binary" warmup
expect "flush without server"    1 'no server answers'        "$binary" flush "$v"
expect "serve --listen nonsense" 1 'an address like'          "$binary" serve "$v" --listen nowhere
expect "serve --cores nonsense"  1 'a number from 0'          "$binary" serve "$v" --cores many
expect "serve --log-level"       1 'one of error, warn'       "$binary" serve "$v" --log-level loud

cp "$v/dittofs.yaml" "$tmp/good.yaml"
sed -i 's/buffer_size: .*/buffer_size: 300MB/' "$v/dittofs.yaml"
expect "config error has line and key" 1 'dittofs.yaml:[0-9]+: memory.buffer_size: .300MB. is no size' "$binary" config check "$v"
expect "serve refuses a bad config"    1 'memory.buffer_size' "$binary" serve "$v"
cp "$tmp/good.yaml" "$v/dittofs.yaml"
sed -i 's/  keep: 15s /  keep: 1s /' "$v/dittofs.yaml"
expect "a keep that is too short"      1 'dittofs.yaml:[0-9]+: garbage.keep: too short.*at least 5s' "$binary" config check "$v"
cp "$tmp/good.yaml" "$v/dittofs.yaml"
sed -i 's/compression: .*/compression: gzip/' "$v/dittofs.yaml"
expect "a compression that is none"    1 "dittofs.yaml:[0-9]+: shares.0.compression: 'gzip' is no compression; write none, lz4" "$binary" config check "$v"
cp "$tmp/good.yaml" "$v/dittofs.yaml"
sed -i 's|name: /export|name: /other|' "$v/dittofs.yaml"
expect "a share that is not there"     1 'no share /other'    "$binary" serve "$v"
cp "$tmp/good.yaml" "$v/dittofs.yaml"

# The probes that the header lists are those of the program.
if command -v readelf >/dev/null; then
	grep -oE 'DTRACE_PROBE[0-9]\(dittofs, [a-z_]+' reactor/probe.h | sed 's/.* //' | sort -u >"$tmp/listed"
	readelf -n "$binary" | grep -A 1 'Provider: dittofs' | sed -n 's/.*Name: //p' | sort -u >"$tmp/out"
	[ -s "$tmp/listed" ] && cmp -s "$tmp/listed" "$tmp/out" && ok "USDT probes" || bad "USDT probes"
else
	skip "USDT probes" "there is no readelf"
fi

if serve "$v" --listen 127.0.0.1:0 --cores 2; then
	ok "serve"
	expect "status"                  0 '^/export .*read and write'     "$binary" status "$v"
	for _ in $(seq 1200); do
		"$binary" status "$v" | grep -q '^read ahead .* done after' && break
		sleep 0.05
	done
	expect "status shows what was read ahead" 0 '^read ahead 1 attributes and 0 names of 1 files, done after' "$binary" status "$v"
	expect "and --json"              0 '"state": "done"'               "$binary" status --json "$v"
	expect "warmup"                  0 '^0 files in 1 directories, 0 B' "$binary" warmup "$v"
	expect "warmup, no such share"   1 '/other: there is no such file' "$binary" warmup "$v" /other
	expect "status shows pools"      0 'process, against budget'       "$binary" status "$v"
	expect "status shows pending"    0 '^pending +0 B in 0 files'      "$binary" status "$v"
	expect "flush, nothing to do"    0 '^0.0 MiB in 0 files uploaded'  "$binary" flush "$v"
	expect "flush --json"            0 '"files": 0, "bytes": 0'        "$binary" flush --json "$v"
	leak=$v/objects/export/chunks/01/0/1_0_4096 # of a start before the first one that took an epoch
	mkdir -p "${leak%/*}" && head -c 4096 /dev/zero >"$leak"
	expect "gc, too young to tell"   0 'recent +1 objects'             "$binary" gc "$v"
	touch -d '2 hours ago' "$leak"
	expect "gc finds what is leaked" 0 'leaked +1 objects +4 KiB'    "$binary" gc "$v"
	expect "gc --delete --json"      0 '"deleted": .*|"objects": 1'    "$binary" gc "$v" --delete --json
	[ ! -e "$leak" ] && ok "gc --delete" || bad "gc --delete"
	expect "gc --age nonsense"       2 'usage: dittofs gc'             "$binary" gc "$v" --age old
	expect "backup"                  0 'files, .* of metadata in'      "$binary" backup "$v" "$tmp/a copy"
	expect "backup over a backup"    1 'dittofs backup: .*'            "$binary" backup "$v" "$tmp/a copy"
	expect "status shows requests"   0 '^put +[0-9]+ .* ms'            "$binary" status "$v"
	expect "status --json"           0 '"budget_bytes": [0-9]+'        "$binary" status --json "$v"
	expect "status --latency"        0 '^CALL +COUNT .*P99.9 us'       "$binary" status "$v" --latency
	expect "status --latency --json" 0 '"part": "journal sync"'        "$binary" status --json --latency "$v"
	expect "a volume already open"   1 'already open in another'       "$binary" serve "$v" --listen 127.0.0.1:0
	expect "port taken"              1 "port $port of 127.0.0.1 is taken" "$binary" serve "$tmp/two" --listen "127.0.0.1:$port"
	[ "$(stat -c %a "$v/control.sock")" = 600 ] && ok "control socket is 0600" || bad "control socket is 0600"
	stop "SIGTERM"
else
	bad "serve"
fi
sed -i 's/  preload: true /  preload: false /' "$v/dittofs.yaml"
if serve "$v" --listen 127.0.0.1:0; then
	expect "preload: false" 0 '"state": "off"' "$binary" status --json "$v"
	stop "and its end"
else
	bad "preload: false"
fi
cp "$tmp/good.yaml" "$v/dittofs.yaml"
expect "an address that is not ours" 1 'assign|not.*this machine|address' "$binary" serve "$v" --listen 192.0.2.1:2049
if serve "$tmp/zstd" --listen 127.0.0.1:0 --cores 2; then
	expect "compression as formatted" 0 '^/export .*compression zstd:7' "$binary" status "$tmp/zstd"
	stop "SIGTERM"
else
	bad "serve"
fi
for cores in 1 3 5; do
	if serve "$v" --listen 127.0.0.1:0 --cores $cores; then stop "--cores $cores"; else bad "--cores $cores"; fi
done

# Machines that lack something.
for few in 12 20 80; do
	expect "$few descriptors" 1 "too few descriptors: RLIMIT_NOFILE is $few" sh -c "ulimit -n $few; exec '$binary' serve '$v' --listen 127.0.0.1:0"
done
if command -v setpriv >/dev/null; then
	cp "$binary" "$tmp/dittofs"
	cp -r "$v" "$tmp/user" && chown -R 65534:65534 "$tmp/user"
	expect "directory not writable" 1 'ermission denied|not writable' setpriv --reuid=65534 --regid=65534 --clear-groups \
		"$tmp/dittofs" format "$tmp/nobody"
	expect "memlock"                1 'RLIMIT_MEMLOCK.*raise it' setpriv --reuid=65534 --regid=65534 --clear-groups \
		sh -c "ulimit -l 64; exec '$tmp/dittofs' serve '$tmp/user' --listen 127.0.0.1:0"
else
	skip "as an ordinary user" "there is no setpriv"
fi
if command -v python3 >/dev/null; then
	# A seccomp filter that answers EPERM to io_uring_setup (425), as container runtimes do.
	expect "no io_uring" 1 'io_uring' python3 tests/cli/without_io_uring.py "$binary" serve "$v" --listen 127.0.0.1:0
else
	skip "no io_uring" "there is no python3"
fi

# A copy of a volume is another server, and its objects were left to nobody when the first one was killed.
if serve "$v" --listen 127.0.0.1:0; then
	kill -KILL "$pid"
	wait "$pid" 2>/dev/null
	pid=
	rm -rf "$tmp/copy"
	cp -r "$v" "$tmp/copy"
	expect "a copy does not own the objects" 1 'owned by .*/vol/journal, since 20.*--take-over' "$binary" serve "$tmp/copy" --listen 127.0.0.1:0
	if serve "$tmp/copy" --listen 127.0.0.1:0 --take-over; then stop "serve --take-over"; else bad "serve --take-over"; fi
	if serve "$tmp/copy" --listen 127.0.0.1:0; then stop "and again without it"; else bad "and again without it"; fi
	if serve "$v" --listen 127.0.0.1:0; then stop "the first one, after its kill"; else bad "the first one, after its kill"; fi
	cp -r "$v" "$tmp/moved"
	if serve "$tmp/moved" --listen 127.0.0.1:0; then stop "a copy after a clean end"; else bad "a copy after a clean end"; fi
else
	bad "serve for its copy"
fi

# Volumes that are not what they were.
mv "$v/objects" "$v/objects.away"
expect "objects missing"        1 'objects' "$binary" serve "$v" --listen 127.0.0.1:0
cp -r "$tmp/two/objects" "$v/objects"
expect "another volume's objects" 1 'paths.objects' "$binary" serve "$v" --listen 127.0.0.1:0
rm -rf "$v/objects"
mv "$v/objects.away" "$v/objects"
mv "$v/meta" "$v/meta.away"
expect "metadata missing"       1 'meta' "$binary" serve "$v" --listen 127.0.0.1:0
mkdir "$v/meta"
expect "metadata empty"         1 'meta' "$binary" serve "$v" --listen 127.0.0.1:0
[ -z "$(ls -A "$v/meta")" ] && ok "nothing is made where metadata is missing" || bad "nothing is made where metadata is missing"
rm -rf "$v/meta"
mv "$v/meta.away" "$v/meta"
if serve "$v" --listen 127.0.0.1:0; then stop "and all is well again"; else bad "and all is well again"; fi
rm -rf "$v/meta" "$v/journal"/*
mv "$tmp/a copy" "$v/meta"
# The journal's lock file says who the owner is, so without it this is another server.
if serve "$v" --listen 127.0.0.1:0; then stop "back to a backup"; else bad "back to a backup"; fi

echo "$passed passed, $failed failed, $skipped skipped"
[ $failed = 0 ]
