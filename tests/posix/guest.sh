#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# In a guest: takes test files from the list in $RESULT/list until none is left,
# runs each in a fresh directory of the mount, leaves its TAP in $RESULT/tap.
# guest.sh PJDFSTEST
set -euo pipefail
pjd=$1
mount --bind "$E2E/../posix/conf" "$pjd/tests/conf"
umask 022
mkdir "$ME"
cd "$ME"
while read -r t; do
	name=${t//\//_}
	mkdir "$RESULT/claim/$name" 2>/dev/null || continue # another guest's
	mkdir work
	rc=0
	(cd work && exec timeout 900 sh "$pjd/tests/$t" >/tmp/tap 2>/tmp/err) || rc=$?
	[ $rc = 0 ] || echo "# $t ended with $rc" >>/tmp/tap
	cp /tmp/tap "$RESULT/tap/$name"
	rm -rf work
done <"$RESULT/list"
