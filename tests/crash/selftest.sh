#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Is the oracle able to fail?  Runs the crash test on an nfs-ganesha (packages
# nfs-ganesha nfs-ganesha-vfs rpcbind), first as it is, which must pass, then with one
# promise broken behind its back, which must be found.  Root, by hand.  What begins
# with trash- is done to a dittofs (make BUILD=debug), and needs neither.
#   selftest.sh [SABOTAGE ...]
set -eu
cd "$(dirname "$0")/../.."
if [ -z "${SELFTEST_NS:-}" ]; then
	# a network of its own: rpcbind's port is fixed
	SELFTEST_NS=1 exec unshare -nm --propagation private "$0" "$@"
fi
ip link set lo up
mount -t tmpfs tmpfs /run
. tests/client/build.sh
build_test crash tests/crash
dir=$(mktemp -d "${TMPDIR:-/tmp}/dittofs-selftest.XXXXXX")
bind=
trap '[ -z "$bind" ] || kill $bind; rm -rf "$dir"' EXIT
passed=0 failed=0
[ $# -gt 0 ] || set -- none lose lose-dir return zeros junk shorter longer mode owner mtime link \
	copy target move swap trash-none trash-lose trash-lose-link trash-lose-dir trash-return trash-junk \
	trash-zeros trash-shorter trash-longer trash-mode

on_ganesha() {
	if [ -z "$bind" ]; then
		mkdir -p /run/rpcbind
		rpcbind -w -f >/dev/null 2>&1 &
		bind=$!
	fi
	DITTOFS_SABOTAGE=$PWD/tests/crash/sabotage.sh build/tests/crash --binary tests/client/ganesha.sh \
		--dir "$dir/v" --rounds 40 --seed 7 --loose --no-resend --no-usage --mount-offset 1
}

on_dittofs() {
	DITTOFS=$PWD/build/debug-none/dittofs build/tests/crash --binary tests/crash/sabotage_trash.py \
		--dir "$dir/v" --rounds 10 --seed 7 --trash 24h
}

for what in "$@"; do
	rm -rf "$dir/v" "$dir/marker"
	rc=0 on=on_ganesha
	case $what in trash-*) on=on_dittofs ;; esac
	SABOTAGE=$what MARKER=$dir/marker $on >"$dir/out" 2>&1 || rc=$?
	found=$(grep -m1 FAIL "$dir/out" || true)
	if [ "${what#trash-}" = none ] && [ $rc -eq 0 ]; then
		echo "ok   $what: nothing found, as it should be"
		passed=$((passed + 1))
	elif [ "${what#trash-}" != none ] && [ $rc -ne 0 ] && grep -q "sabotage: $what of " "$dir"/v/*.log; then
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
