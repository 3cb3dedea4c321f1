# SPDX-License-Identifier: Apache-2.0
# For the scripts beside it, sourced at the root of the tree: takes --binary PATH; $tmp is theirs
# until they end; what they count stands in $passed, $failed, $skipped.
binary=
[ "$1" = --binary ] && binary=$(realpath "$2")
[ -x "$binary" ] || { echo "usage: $0 --binary PATH" >&2; exit 2; }
tmp=$(mktemp -d "${TMPDIR:-/var/tmp}/dittofs-cli.XXXXXX")
chmod 711 "$tmp"
pid= passed=0 failed=0 skipped=0
finish() {
	trap '' INT TERM HUP
	[ -z "$pid" ] || kill "$pid" 2>/dev/null
	wait 2>/dev/null
	rm -rf "$tmp"
}
trap finish EXIT

ok() { passed=$((passed + 1)); printf 'ok       %s\n' "$1"; }
bad() { failed=$((failed + 1)); printf 'FAILED   %s\n' "$1"; sed 's/^/         | /' "$tmp/out"; }
skip() { skipped=$((skipped + 1)); printf 'skipped  %s: %s\n' "$1" "$2"; }

# expect NAME STATUS PATTERN COMMAND...: its exit status and (extended regular expression) what it says.
expect() {
	local name=$1 want=$2 pattern=$3 rc
	shift 3
	timeout 60 "$@" >"$tmp/out" 2>&1 </dev/null
	rc=$?
	if [ $rc = "$want" ] && grep -qE -- "$pattern" "$tmp/out"; then
		ok "$name"
	else
		bad "$name (exit status $rc, wanted $want and: $pattern)"
	fi
}

# serve ARGS...: in the background until it says "serving"; its port in $port.
serve() {
	: >"$tmp/log" # the last one's tells a port too
	"$binary" serve "$@" 2>"$tmp/log" &
	pid=$!
	for _ in $(seq 1200); do
		port=$(sed -n 's/.*serving .* on .*:\([0-9]*\) with.*/\1/p' "$tmp/log")
		[ -z "$port" ] || return 0
		kill -0 "$pid" 2>/dev/null || break
		sleep 0.05
	done
	cp "$tmp/log" "$tmp/out"
	return 1
}

# stop NAME: SIGTERM; it must end with 0 and say that all is on disk.
stop() {
	kill "$pid"
	wait "$pid"
	local rc=$?
	pid=
	cp "$tmp/log" "$tmp/out"
	if [ $rc = 0 ] && grep -q 'everything acknowledged is on disk' "$tmp/log"; then ok "$1"; else bad "$1 ($rc)"; fi
}
