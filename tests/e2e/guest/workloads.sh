#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Runs workloads one after another on the mount, each in a fresh directory:
# workloads.sh [-u] NAME... (guest/work/NAME.sh or .py). Tells the machine in
# $RESULT/phase.$ME which one runs. With -u each is repeated until the machine says
# that it has met a restart of the server.
set -euo pipefail
. "$E2E/guest/lib.sh"
until_met=
[ "$1" != -u ] || { until_met=1; shift; }

for name; do
	script=$E2E/guest/work/$name.sh
	[ -e "$script" ] || script=$E2E/guest/work/$name.py
	for ((k = 1; ; k++)); do
		# several clients may run the same workload, so the directory has the client's name
		d=$ME.$name.$k
		mkdir "$d"
		echo "$ME:$name" >"$RESULT/phase.$ME"
		t=$EPOCHREALTIME
		(cd "$d" && "$script") || { rc=$?; echo "$ME: $name ended with $rc" >&2; dmesg | tail -n 5 >&2; exit $rc; }
		echo "$ME: $name $(((${EPOCHREALTIME/./} - ${t/./}) / 1000)) ms"
		[ -n "$until_met" ] && [ ! -e "$RESULT/met.$ME:$name" ] || break
		[ $k -lt 30 ] || { echo "$ME: no restart fell into $name" >&2; exit 1; }
	done
done
[ -z "$until_met" ] || : >"$RESULT/met.$ME:end" # nothing to wait for any more
echo "$ME:end" >"$RESULT/phase.$ME"
rm -r ./"$ME".*
kernel_quiet
