#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Runs workloads one after another on the mount, each in a fresh directory:
# workloads.sh NAME... (guest/work/NAME.sh or .py). Tells the machine in
# $RESULT/phase.$ME which one has begun; restarts are timed by it.
set -euo pipefail
. "$E2E/guest/lib.sh"

for name; do
	# several clients may run the same workload, so the directory has the client's name
	mkdir "$ME.$name"
	echo "$name" >>"$RESULT/phase.$ME"
	script=$E2E/guest/work/$name.sh
	[ -e "$script" ] || script=$E2E/guest/work/$name.py
	t=$EPOCHREALTIME
	(cd "$ME.$name" && "$script") || { rc=$?; echo "$ME: $name ended with $rc" >&2; dmesg | tail -n 5 >&2; exit $rc; }
	echo "$ME: $name $(((${EPOCHREALTIME/./} - ${t/./}) / 1000)) ms"
done
echo end >>"$RESULT/phase.$ME"
rm -r ./"$ME".*
kernel_quiet
