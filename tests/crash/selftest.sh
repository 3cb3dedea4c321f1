#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Is the oracle able to fail?  Runs the crash test on an nfs-ganesha (packages
# nfs-ganesha nfs-ganesha-vfs rpcbind), first as it is, which must pass, then with one
# promise broken behind its back, which must be found.  Root, by hand.
#   selftest.sh [SABOTAGE ...]
set -eu
cd "$(dirname "$0")/../.."
if [ -z "${SELFTEST_NS:-}" ]; then
	# a network of its own: rpcbind's port is fixed
	SELFTEST_NS=1 exec unshare -nm --propagation private "$0" "$@"
fi
ip link set lo up
mount -t tmpfs tmpfs /run
mkdir -p /run/rpcbind
rpcbind -w -f >/dev/null 2>&1 &
bind=$!
. tests/client/build.sh
build_test crash tests/crash
dir=$(mktemp -d "${TMPDIR:-/tmp}/dittofs-selftest.XXXXXX")
trap 'kill $bind; rm -rf "$dir"' EXIT
passed=0 failed=0
[ $# -gt 0 ] || set -- none lose lose-dir return zeros junk shorter longer mode owner mtime link \
	copy target move swap
for what in "$@"; do
	rm -rf "$dir/v" "$dir/marker"
	rc=0
	SABOTAGE=$what MARKER=$dir/marker DITTOFS_SABOTAGE=$PWD/tests/crash/sabotage.sh \
		build/tests/crash --binary tests/client/ganesha.sh --dir "$dir/v" --rounds 40 --seed 7 \
		--loose --no-resend --no-usage --mount-offset 1 >"$dir/out" 2>&1 || rc=$?
	found=$(grep -m1 FAIL "$dir/out" || true)
	if [ "$what" = none ] && [ $rc -eq 0 ]; then
		echo "ok   none: nothing found, as it should be"
		passed=$((passed + 1))
	elif [ "$what" != none ] && [ $rc -ne 0 ] && grep -q "sabotage: $what of /" "$dir"/v/*.log; then
		echo "ok   $what: $found"
		passed=$((passed + 1))
	else
		echo "FAIL $what: exit $rc ${found:-nothing found}"
		cp "$dir/out" "${TMPDIR:-/tmp}/selftest-$what.out"
		failed=$((failed + 1))
	fi
done
echo "$passed passed, $failed failed, 0 skipped"
[ $failed -eq 0 ]
