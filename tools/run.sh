#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# run.sh BINARY DIR: `make run`: formats an embedded volume in DIR once and serves it.
set -e
[ -e "$2/dittofs.yaml" ] || "$1" format "$2"
port=$("$1" config show --json "$2" | sed -n 's/.*"listen": ".*:\([0-9]*\)".*/\1/p')
cat <<E
Mount it on this machine, as root:
  mount -t nfs -o vers=3,proto=tcp,port=$port,mountport=$port,mountproto=tcp,nolock 127.0.0.1:/export /mnt
Ctrl-C stops the server.
E
exec "$1" serve "$2"
