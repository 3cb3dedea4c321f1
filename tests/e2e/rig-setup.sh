#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Makes the Linux client runnable on this machine: fetches its kernel once,
# falls back to Debian's user-mode-linux (slower guests) where that fails.
set -uo pipefail
LC=$(dirname "$(realpath "$0")")/linux-client
cache=${LINUX_CLIENT_CACHE:-/var/cache/linux-client}

[ "$(id -u)" = 0 ] || { echo "rig-setup: must be root (for a network namespace and a tap)" >&2; exit 1; }
mkdir -p "$cache" && exec 9>"$cache/lock" && flock 9 # of several that begin together one fetches
if [ ! -x "$cache/kernel/linux.uml" ] && ! "$LC" fetch; then
	command -v linux.uml >/dev/null ||
		apt-get install -y --no-install-recommends user-mode-linux >/dev/null || exit 1
fi
"$LC" check >/dev/null
