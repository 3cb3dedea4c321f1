#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Speaks dittofs's command line for an nfs-ganesha that serves DIR/tree, so that
# the oracle and the load generator can be tried on a server that is not ours:
#   ganesha.sh format DIR | ganesha.sh serve DIR --listen ADDR:PORT [--cores N]
# MOUNT is on PORT + 1 (--mount-offset 1).  A kill -9 leaves the page cache in
# place, so nothing is lost; there is no duplicate request cache across restarts.
# DITTOFS_SABOTAGE=PROGRAM is run on DIR/tree before each start: for selftest.sh.
set -eu
cmd=$1 dir=$2
shift 2
case $cmd in
format)
	mkdir -p "$dir/tree"
	chmod 0777 "$dir/tree"
	exit 0 ;;
serve) ;;
*)
	echo "usage: $0 format|serve DIR ..." >&2
	exit 2 ;;
esac
addr=127.0.0.1 port=12049
while [ $# -gt 0 ]; do
	case $1 in
	--listen) addr=${2%:*} port=${2##*:}; shift 2 ;;
	--cores) shift 2 ;;
	*) shift ;;
	esac
done
[ -z "${DITTOFS_SABOTAGE:-}" ] || "$DITTOFS_SABOTAGE" "$dir/tree"
mkdir -p "$dir/recovery"
cat >"$dir/ganesha.conf" <<END
NFS_Core_Param {
	NFS_Port = $port; MNT_Port = $((port + 1));
	Enable_NLM = false; Enable_RQUOTA = false; Enable_UDP = false;
	Protocols = 3; mount_path_pseudo = true;
	DRC_Disabled = true; RPC_Max_Connections = 8192;
}
NFSv4 { Graceless = true; RecoveryRoot = "$dir/recovery"; }
MDCACHE { Entries_HWMark = 20000; }
EXPORT {
	Export_Id = 1; Path = "$dir/tree"; Pseudo = /export; Protocols = 3;
	Access_Type = RW; Squash = none; Sectype = sys, none; Transports = TCP;
	MaxRead = 1048576; MaxWrite = 1048576; PrefRead = 1048576; PrefWrite = 1048576;
	FSAL { Name = VFS; }
}
LOG { Default_Log_Level = WARN; Components { ALL = WARN; } }
END
# ready when both ports answer
(
	i=0
	while [ $i -lt 400 ]; do
		hex=$(printf ':%04X ' "$((port + 1))")
		if grep -q "$hex.* 0A " /proc/net/tcp /proc/net/tcp6 2>/dev/null; then
			sleep 0.2
			echo "serving tree on $addr:$port" >&2
			exit 0
		fi
		sleep 0.02
		i=$((i + 1))
	done
) &
exec ganesha.nfsd -F -f "$dir/ganesha.conf" -L "$dir/ganesha.log" -p "$dir/ganesha.pid" -N NIV_WARN
