#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# pjdfstest through the real Linux client, on three guests. README.md beside
# this file says how to get pjdfstest.
set -euo pipefail

HERE=$(dirname "$(realpath "$0")")
TOP=$(realpath "$HERE/../..")
export E2E=$TOP/tests/e2e MODE=full CORES=2 ENCRYPT= COMPRESS= TRASH= BINARY=$TOP/build/release-none/dittofs
pjd=${PJDFSTEST:-} guests=3 keep=

usage() {
	cat <<'U'
usage: tests/posix/run-posix.sh --pjdfstest PATH [--mode quick|full] [--binary PATH] [--cores N] [--guests N] [--keep DIR]
                    [--compress CODEC] [--encrypt] [--trash RETENTION]
  --pjdfstest PATH  a built checkout of pjdfstest, or PJDFSTEST in the environment
  --mode quick      a part of it, one or two minutes; full is all of it (5 to 10)
  --keep DIR        copies every TAP file and the server's log there
  --compress CODEC, --encrypt, --trash RETENTION
                    what goes to the object store is compressed, encrypted; what is removed stays for so long (24h)
Exit status 0: no failure but those in known_failures.txt.
U
}

while [ $# -gt 0 ]; do
	case $1 in
	--pjdfstest) pjd=$2; shift ;;
	--mode) MODE=$2; shift ;;
	--binary) BINARY=$(realpath -e -- "$2"); shift ;;
	--cores) CORES=$2; shift ;;
	--guests) guests=$2; shift ;;
	--keep) keep=$2; shift ;;
	--compress) COMPRESS=$2; shift ;;
	--encrypt) ENCRYPT=1 ;;
	--trash) TRASH=$2; shift ;;
	-h | --help) usage; exit 0 ;;
	*) usage >&2; exit 2 ;;
	esac
	shift
done
die() { echo "run-posix: $*" >&2; exit 2; }
[ -n "$pjd" ] || { usage >&2; exit 2; }
pjd=$(realpath -e -- "$pjd")
[ -x "$pjd/pjdfstest" ] && [ -d "$pjd/tests" ] || die "no built pjdfstest in $pjd (see tests/posix/README.md)"
[ -x "$BINARY" ] || die "no $BINARY"
command -v openssl >/dev/null || die "pjdfstest needs openssl" # for names

"$E2E/rig-setup.sh" >&2 || die "the Linux client cannot run here"
base=${TMPDIR:-$TOP/build}
mkdir -p "$base"
WORK=$(mktemp -d "$base/posix.XXXXXX")
export WORK
eval "$("$E2E/linux-client" setup)"
export NETNS
. "$E2E/lib.sh"
finish() {
	trap - EXIT
	trap '' INT TERM HUP
	cleanup
	"$LC" teardown
	[ -z "$keep" ] || { mkdir -p "$keep" && cp -r "$RESULT/tap" "$LOG" "$keep/"; } || true
	rm -rf --one-file-system "$WORK"
}
trap finish EXIT
trap 'exit 130' INT TERM HUP

mkdir -p "$RESULT/claim" "$RESULT/tap"
# the longest first, so that the guests end together
(cd "$pjd/tests" && grep -HoE '^echo "1\.\.[0-9]+"' ./*/*.t) | sed 's,^\./\(.*\):echo "1\.\.\([0-9]*\)",\2 \1,' |
	sort -rn | awk -v mode="$MODE" '
		# quick: the short files, and a few on what is easily broken
		mode == "full" || $1 <= 24 || $2 ~ /^(chmod\/00|rename\/2[0-4]|open\/07|unlink\/1[0-4]|utimensat)/ { print $2 }' |
	awk '!seen[$0]++' >"$RESULT/list"
# files whose plan is not a constant
(cd "$pjd/tests" && ls -d ./*/*.t | sed 's,^\./,,') | sort >"$WORK/all"
[ "$MODE" = quick ] || grep -vxFf "$RESULT/list" "$WORK/all" >>"$RESULT/list" || true
[ -s "$RESULT/list" ] || die "no test files in $pjd/tests"

server_format
server_start
started=$SECONDS
for ((i = 1; i <= guests; i++)); do guest_start -t 1800 -n "guest$i" "$HERE/guest.sh" "$pjd"; done
guest_wait
server_stop TERM
server_log_clean

# One line a test: FILE NUMBER ok|not TEXT. What a plan promised and did not come is a failure.
while read -r t; do
	tap=$RESULT/tap/${t//\//_}
	[ -e "$tap" ] || { echo "$t 0 not the file was not run"; continue; }
	awk -v t="$t" '
		/^1\.\.[0-9]+/ { plan = substr($1, 4) + 0 }
		/^ok [0-9]+/ { n = $2 + 0; seen[n] = 1; print t, n, "ok" }
		/^not ok/ { n = $3 + 0; seen[n] = 1; $1 = $2 = $3 = ""; print t, n, ($0 ~ /# TODO/ ? "ok" : "not"), $0 }
		END { if (!plan) print t, 0, "not no plan"
			for (i = 1; i <= plan; i++) if (!(i in seen)) print t, i, "not did not run" }' "$tap"
done <"$RESULT/list" >"$WORK/results"

awk '{ d = $1; sub(/\/.*/, "", d); all[d]++; if ($3 == "ok") ok[d]++ }
	END { for (d in all) printf "%-16s %5d passed %4d failed\n", d, ok[d], all[d] - ok[d] }' "$WORK/results" | sort

# FILE NUMBER reason
grep -vE '^ *(#|$)' "$HERE/known_failures.txt" | awk '{ print $1, $2 }' | sort >"$WORK/known" || true
awk '$3 == "not" { print $1, $2 }' "$WORK/results" | sort >"$WORK/failed"
unexpected=$(comm -23 "$WORK/failed" "$WORK/known")
fixed=$(awk '$3 == "ok" { print $1, $2 }' "$WORK/results" | sort | comm -12 - "$WORK/known")
[ -z "$fixed" ] || { echo "known failures that passed (take them out of known_failures.txt):"; sed 's/^/  /' <<<"$fixed"; }
if [ -n "$unexpected" ]; then
	echo "unexpected failures:"
	awk 'NR == FNR { bad[$0] = 1; next } !(($1 " " $2) in bad) { next }
		/ did not run$/ { if (gone[$1]++) next; $0 = $0 ", nor do those behind it" }
		{ print "  " $0 }' <(echo "$unexpected") "$WORK/results" | head -n 200
fi
awk -v known="$(comm -12 "$WORK/failed" "$WORK/known" | wc -l)" -v s=$((SECONDS - started)) '
	$3 == "ok" { ok++ } END { printf "%d tests: %d passed, %d failed (%d known), %d s\n", NR, ok, NR - ok, known, s }' "$WORK/results"
[ -z "$unexpected" ]
