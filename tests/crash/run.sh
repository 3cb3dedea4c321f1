#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs the crash test against a build of the server that has crash points:
#   run.sh [--binary PATH] [--rounds N] [--seed S] [--cores N] [--powercut] [--dir DIR] ...
# Whatever it does not know it hands to the program (crash --help lists it).
# Ends with `N passed, N failed, N skipped`; skipped are crash points that no
# round passed.  A volume that failed is kept in DIR.
set -eu
cd "$(dirname "$0")/../.."
binary=build/debug-none/dittofs dir= points=
rest=
while [ $# -gt 0 ]; do
	case $1 in
	--binary) binary=$2; shift 2 ;;
	--dir) dir=$2; shift 2 ;;
	--points) points=$2; shift 2 ;;
	*) rest="$rest $1"; shift ;;
	esac
done
[ -x "$binary" ] || { echo "crash: no $binary: make BUILD=debug" >&2; exit 2; }

. tests/client/build.sh
build_test crash tests/crash
# only builds with crash points know the variable
if [ -z "$points" ] && grep -q DITTOFS_CRASH_AT "$binary"; then
	# those of the key commands are for tests/cli/sealed.py, of backups for backup.py
	points=$(make -s list-crash-points | grep -vx name | grep -vE '^(key|backup|restore)\.' | tr '\n' ' ')
fi
own=
if [ -z "$dir" ]; then
	own=1
	dir=$(mktemp -d "${TMPDIR:-/tmp}/dittofs-crash.XXXXXX")
fi
(umask 077 && openssl genrsa -out "$dir/key.pem" 2048 2>/dev/null)
rc=0
# shellcheck disable=SC2086 # the rest are words
build/tests/crash --binary "$binary" --dir "$dir" --key "$dir/key.pem" --points "$points" $rest || rc=$?
# what failed is kept: the message says where
[ -z "$own" ] || [ $rc -ne 0 ] || rm -rf "$dir"
exit $rc
