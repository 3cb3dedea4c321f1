#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# deps.sh PACKAGE...: installs the Debian packages that are missing; says nothing when none is.
missing=
for p in "$@"; do
	dpkg-query -W -f '${Status}' "$p" 2>/dev/null | grep -q 'ok installed' || missing="$missing $p"
done
[ -n "$missing" ] || exit 0
sudo=
[ "$(id -u)" = 0 ] || sudo=sudo
echo "installing:$missing"
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
{ $sudo apt-get update && $sudo apt-get install -y --no-install-recommends $missing; } >"$log" 2>&1 || {
	tail -n 15 "$log"
	echo "deps: apt-get could not install:$missing (all of it: $log)" >&2
	exit 1
}
rm -f "$log"
