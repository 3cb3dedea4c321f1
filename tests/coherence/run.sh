#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# What is acknowledged over one connection is seen over all others:
#   run.sh [--binary PATH] [--seconds N] [--cores N] [--seed N]
# Ends with `N passed, N failed, N skipped`.
set -eu
cd "$(dirname "$0")/../.."
binary=build/release-none/dittofs rest=
while [ $# -gt 0 ]; do
	case $1 in
	--binary) binary=$2; shift 2 ;;
	*) rest="$rest $1"; shift ;;
	esac
done
[ -x "$binary" ] || { echo "coherence: no $binary: make" >&2; exit 2; }
. tests/client/build.sh
build_test coherence tests/coherence
dir=$(mktemp -d "${TMPDIR:-/tmp}/dittofs-coherence.XXXXXX")
rc=0
# shellcheck disable=SC2086 # the rest are words
build/tests/coherence --binary "$binary" --dir "$dir" $rest || rc=$?
if [ $rc -ne 0 ]; then
	echo "coherence: the server's log is $dir/server.log" >&2
else
	rm -rf "$dir"
fi
exit $rc
