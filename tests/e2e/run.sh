#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The real daemon with the real Linux client: every scenario in scenarios/.
# README.md beside this file says what is in each and how to add one.
set -euo pipefail

export E2E MODE=full CORES=2 BINARY STORE=file DURABILITY=local ENCRYPT=
E2E=$(dirname "$(realpath "$0")")
TOP=$(realpath "$E2E/../..")
BINARY=$TOP/build/release-none/dittofs
only=() skip=() small= list= keep=

usage() {
	cat <<'U'
usage: tests/e2e/run.sh [--binary PATH] [--quick | --small] [--only NAME]... [--skip NAME]... [--cores N]
                        [--store file|s3] [--durability local|remote] [--encrypt] [--keep] [--list]
  --binary PATH  the dittofs to test                 (build/release-none/dittofs)
  --quick        a subset, half a minute to two; with --store s3 those that matter there
  --small        everything, with workloads of the size that --quick has
  --only NAME    only scenarios with NAME in their name
  --skip NAME    not those
  --cores N      of the server                       (2)
  --store s3     the objects in a bucket of tests/s3/rgw.sh
  --durability   writeback.durability of the server  (local)
  --encrypt      what goes to the object store is encrypted
  --keep         keep the work folder of every scenario
environment: TMPDIR (must be on a disk, default build/), SLOW=N (factor on time limits), SEED=N
U
}

while [ $# -gt 0 ]; do
	case $1 in
	--binary) BINARY=$(realpath -e -- "$2"); shift ;;
	--quick) MODE=quick ;;
	--small) small=1 ;;
	--only) only+=("$2"); shift ;;
	--skip) skip+=("$2"); shift ;;
	--cores) CORES=$2; shift ;;
	--store) STORE=$2; shift ;;
	--durability) DURABILITY=$2; shift ;;
	--encrypt) ENCRYPT=1 ;;
	--keep) keep=1 ;;
	--list) list=1 ;;
	-h | --help) usage; exit 0 ;;
	*) usage >&2; exit 2 ;;
	esac
	shift
done

wanted() { # is scenario $1, in file $2, asked for?
	local o
	for o in "${skip[@]}"; do case $1 in *"$o"*) return 1 ;; esac; done
	if [ ${#only[@]} -gt 0 ]; then
		for o in "${only[@]}"; do case $1 in *"$o"*) return 0 ;; esac; done
		return 1
	fi
	case $small$MODE$STORE in
	1* | full*) ;;
	*s3) grep -q '^# modes: .*s3' "$2" ;;
	*) grep -q '^# modes: .*quick' "$2" ;;
	esac
}

if [ -n "$list" ]; then
	for f in "$E2E"/scenarios/*.sh; do
		n=${f##*/}
		printf '%-16s %-11s %s\n' "${n%.sh}" "$(sed -n 's/^# modes: //p' "$f")" "$(sed -n 's/^# about: //p' "$f")"
	done
	exit 0
fi

die() { echo "e2e: $*" >&2; exit 1; }
[ -x "$BINARY" ] || die "no $BINARY; run make, or name one with --binary"
for t in fio git rsync sqlite3 gcc make python3; do
	[ -x "/usr/bin/$t" ] || die "/usr/bin/$t is missing; make deps installs what the tests need"
done

# The rig: a missing one is a failure, never a silent pass.
"$E2E/rig-setup.sh" >&2 || die "the Linux client cannot run here"
LC=$E2E/linux-client

base=${TMPDIR:-$TOP/build}
mkdir -p "$base"
RUN=$(mktemp -d "$base/e2e.XXXXXX")
KEPT=$TOP/build/e2e-failed/$STORE-$DURABILITY
current=
eval "$("$LC" setup)"
[ -n "${NETNS:-}" ] || die "no network namespace"
export NETNS

finish() {
	trap - EXIT
	trap '' INT TERM HUP # a second one, as a whole group gets from more than one side, must not cut this short
	[ -z "$current" ] || { kill -TERM "$current" 2>/dev/null && wait "$current" || true; } 2>/dev/null
	"$LC" teardown # ends whatever is left in our namespace
	[ -z "${S3_DIR:-}" ] || rm -rf --one-file-system "$S3_DIR"
	[ -n "$keep" ] && echo "kept $RUN" || rm -rf --one-file-system "$RUN"
}
trap finish EXIT
trap 'exit 130' INT HUP
trap 'exit 143' TERM

if [ "$STORE" = s3 ]; then
	# a UNIX socket's path has room for 107 bytes
	S3_DIR=$(mktemp -d /var/tmp/e2e-s3.XXXXXX)
	"$LC" server "$TOP/tests/s3/rgw.sh" start "$S3_DIR/rgw" >"$S3_DIR/env" || die "there is no S3 server"
	set -a
	. "$S3_DIR/env"
	set +a
	export AWS_ACCESS_KEY_ID=$S3_ACCESS_KEY AWS_SECRET_ACCESS_KEY=$S3_SECRET_KEY
fi

[ -z "$small" ] || MODE=quick
export INPUT=$RUN/input
"$E2E/guest/tree.py" input "$INPUT" "$MODE"
"$E2E/guest/tree.py" input "$INPUT/quick" quick

passed=0 failed=0 skipped=0
for f in "$E2E"/scenarios/*.sh; do
	name=${f##*/} name=${name%.sh}
	wanted "$name" "$f" || continue
	export WORK=$RUN/$name
	mkdir -p "$WORK"
	t=$EPOCHREALTIME rc=0
	"$BASH" "$E2E/scenario.sh" "$f" >"$WORK/output" 2>&1 &
	current=$!
	wait "$current" || rc=$?
	current=
	took=$(((${EPOCHREALTIME/./} - ${t/./}) / 100000))
	case $rc in
	0) verdict=ok passed=$((passed + 1)) ;;
	77) verdict=skip skipped=$((skipped + 1)) ;;
	*) verdict=FAIL failed=$((failed + 1)) ;;
	esac
	printf '%-4s %-18s %4d.%d s' "$verdict" "$name" $((took / 10)) $((took % 10))
	[ $rc != 77 ] || printf '  (%s)' "$(tail -n1 "$WORK/output")"
	echo
	if [ $verdict = FAIL ]; then
		rm -rf "${KEPT:?}/$name"
		mkdir -p "$KEPT/$name"
		cp "$WORK/output" "$WORK/server.log" "$KEPT/$name/" 2>/dev/null || true
		echo "  exit status $rc; kept: $KEPT/$name/{output,server.log}; the ends of both:"
		tail -n 25 "$WORK/output" | cut -c-300 | sed 's/^/  | /'
		echo "  |-- server"
		tail -n 25 "$WORK/server.log" | cut -c-300 | sed 's/^/  | /'
	fi
	[ -n "$keep" ] || rm -rf --one-file-system "$WORK"
done

echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ] && [ "$passed" != 0 ]
