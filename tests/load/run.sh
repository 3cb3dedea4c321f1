#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Holds a server under 1,000 connections with 64 calls each, slow readers and half-open ones among them:
#   run.sh [--binary PATH] [--seconds N] [--conns N] [--depth N] [--cores N] [--dir DIR] ...
# About 40 s.  Ends with `N passed, N failed, N skipped`.
set -eu
cd "$(dirname "$0")/../.."
binary=build/release-none/dittofs dir= rest=
while [ $# -gt 0 ]; do
	case $1 in
	--binary) binary=$2; shift 2 ;;
	--dir) dir=$2; shift 2 ;;
	*) rest="$rest $1"; shift ;;
	esac
done
[ -x "$binary" ] || { echo "load: no $binary: make" >&2; exit 2; }
. tests/client/build.sh
build_test load tests/load
own=
if [ -z "$dir" ]; then
	own=1
	dir=$(mktemp -d "${TMPDIR:-/tmp}/dittofs-load.XXXXXX")
fi
rc=0
# shellcheck disable=SC2086 # the rest are words
build/tests/load --binary "$binary" --dir "$dir" $rest || rc=$?
if [ $rc -ne 0 ]; then
	echo "load: the server's log is $dir/server.log" >&2
elif [ -n "$own" ]; then
	rm -rf "$dir"
fi
exit $rc
