#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A real S3 server for tests: Ceph's RADOS Gateway with one monitor and one OSD, all of it
# on 127.0.0.1 and below one directory. README.md beside this file says what to know of it.
#
#   rgw.sh start DIR [PORT]   starts what does not run; prints S3_ENDPOINT= and more, one a line
#   rgw.sh stop DIR           ends it; the objects stay
#   rgw.sh kill DIR [all]     kill -9 of the gateway (with `all` of the OSD and the monitor too)
#   rgw.sh status DIR         prints what start printed, exit status 1 where it is not up
#   rgw.sh wipe DIR           ends it and removes what it made
#
# Environment of the first start of a DIR, kept for the later ones:
#   RGW_STORE=memstore    objects in the OSD's memory (2.2 bytes a byte): up in 1.2 s; survives stop, not `kill all`
#            =bluestore   objects in a sparse file below DIR: up in 6 s; survives everything
#   RGW_SIZE=8G           room in it; when it is full, PUTs hang
#   RGW_BUCKET=test       made at start
#   RGW_HOST=s3.localhost its own name: BUCKET.RGW_HOST is the bucket (libcurl takes *.localhost for 127.0.0.1 by itself)
#   RGW_TLS=1             HTTPS too, on PORT+1; DIR/tls.crt is its own authority
set -u
unset CEPH_ARGS CEPH_CONF CEPH_KEYRING
PATH=$PATH:/usr/sbin:/sbin
# The daemons outlive the caller: they must not hold its locks and pipes.
for fd in 3 4 5 6 7 8 9; do eval "exec $fd>&-"; done

die() { echo "rgw.sh: $*" >&2; exit 1; }
usage() { sed -n '6,10s/^# \{0,3\}//p' "$0" >&2; exit 2; }

# ---- its processes: mon.a, osd.0 and client.rgw, a pid file each

pid_of() { cat "$DIR/$1.pid" 2>/dev/null; }

up() { # does $1 run, and is it ours?
	local pid state
	pid=$(pid_of "$1")
	[ -n "$pid" ] && state=$(sed 's/^.*) //' "/proc/$pid/stat" 2>/dev/null) || return 1
	case $state in Z* | X* | '') return 1 ;; esac
	tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | grep -qF -- "-c $DIR/ceph.conf "
}

end_one() { # NAME SECONDS: SIGTERM, then SIGKILL, which is status 1
	local n=$(($2 * 20)) clean=0
	if up "$1"; then
		kill -TERM "$(pid_of "$1")" 2>/dev/null
		while [ $n -gt 0 ] && up "$1"; do sleep 0.05; n=$((n - 1)); done
		! up "$1" || { kill_one "$1"; clean=1; }
	fi
	rm -f "$DIR/$1.pid"
	return $clean
}

kill_one() {
	if up "$1"; then
		kill -KILL "$(pid_of "$1")"
		while up "$1"; do sleep 0.02; done
	fi
	rm -f "$DIR/$1.pid"
}

# A memory store writes its objects below DIR when it ends in peace; `clean` says that it did.
end_all() {
	local clean=
	end_one client.rgw 10
	! up osd.0 || ! end_one osd.0 60 || clean=1
	rm -f "$DIR/osd.0.pid"
	end_one mon.a 20
	[ -z "$clean" ] || : >"$DIR/clean"
	rm -f "$DIR"/*.asok
}

ready() {
	up mon.a && up osd.0 && up client.rgw && [ -s "$DIR/env" ] &&
		curl -s -o /dev/null -m 5 "http://127.0.0.1:$PORT/"
}

port_free() { ! (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# One that nobody listens on and no outgoing connection takes by chance; neighbours in pid, which may be
# starting one too, begin two ports further on.
find_port() { # FIRST
	local p=$(($1 + $$ * 2 % 800)) n
	for ((n = 0; n < 100; n++, p++)); do
		! port_free $p || ! port_free $((p + 1)) || { echo $p; return; }
	done
	die "no free port from $1 on"
}

# ---- start

write_settings() {
	[ -s "$DIR/settings" ] && [ -e "$DIR/seeded" ] || {
		rm -rf "$DIR"/{mon,osd,clean,seeded}
		cat >"$DIR/settings" <<-S
			STORE=${RGW_STORE:-memstore} SIZE=$(numfmt --from=iec "${RGW_SIZE:-8G}") BUCKET=${RGW_BUCKET:-test} HOST=${RGW_HOST:-s3.localhost} TLS=${RGW_TLS:-}
			FSID=$(cat /proc/sys/kernel/random/uuid) MONPORT=$(find_port 13300)
			ACCESS_KEY=RGWTESTACCESSKEY0001 SECRET_KEY=rgwtestsecretkey000000000000000000000001
		S
	}
	. "$DIR/settings"
	case $STORE in memstore | bluestore) ;; *) rm "$DIR/settings"; die "RGW_STORE: memstore or bluestore" ;; esac
	[ -n "$PORT" ] || PORT=${KEPT_PORT:-$(find_port 14300)}
	sed -i '/^KEPT_PORT/d' "$DIR/settings"
	echo "KEPT_PORT=$PORT" >>"$DIR/settings"
	# the monitor's address is part of its database
	port_free "$MONPORT" || die "the monitor's port 127.0.0.1:$MONPORT is in use"
	port_free "$PORT" || die "127.0.0.1:$PORT is in use"
	if [ $STORE = memstore ] && [ -e "$DIR/seeded" ] && [ ! -e "$DIR/clean" ]; then
		echo "rgw.sh: the memory store was killed: its objects are gone, starting empty" >&2
		rm -rf "$DIR"/{mon,osd,seeded}
	fi
	rm -f "$DIR/clean"
}

# README.md says which trap each unusual line avoids.
write_conf() {
	local front="beast tcp_nodelay=1 endpoint=127.0.0.1:$PORT"
	if [ -n "$TLS" ]; then
		front+=" ssl_endpoint=127.0.0.1:$((PORT + 1)) ssl_certificate=$DIR/tls.crt ssl_private_key=$DIR/tls.key"
		[ -s "$DIR/tls.crt" ] || openssl req -x509 -newkey rsa:2048 -nodes -days 3650 -subj "/CN=$HOST" \
			-addext "subjectAltName=DNS:$HOST,DNS:*.$HOST,DNS:localhost,IP:127.0.0.1" \
			-keyout "$DIR/tls.key" -out "$DIR/tls.crt" 2>/dev/null || die "openssl failed"
	fi
	cat >"$DIR/ceph.conf" <<-CONF
		[global]
		fsid = $FSID
		mon host = [v2:127.0.0.1:$MONPORT/0]
		public addr = 127.0.0.1
		cluster addr = 127.0.0.1
		ms bind ipv6 = false
		ms mon client mode = crc
		auth cluster required = none
		auth service required = none
		auth client required = none
		auth allow insecure global id reclaim = false
		keyring = $DIR/keyring
		run dir = $DIR
		log file = $DIR/\$name.log
		admin socket = $DIR/\$name.asok
		pid file = $DIR/\$name.pid
		crash dir = $DIR/crash
		mon cluster log to file = false
		heartbeat file =
		debug ms = 0/0
		mon data = $DIR/mon
		mon data avail warn = 1
		mon data avail crit = 0
		mon max pg per osd = 10000
		mon allow pool size one = true
		mon warn on pool no redundancy = false
		paxos propose interval = 0.02
		paxos min wait = 0.005
		osd pool default size = 1
		osd pool default min size = 1
		osd pool default pg num = 4
		osd pool default pgp num = 4
		osd pool default pg autoscale mode = off
		osd data = $DIR/osd
		osd objectstore = $STORE
		osd class load list = *
		osd class default list = *
		osd fast shutdown = $([ $STORE = memstore ] && echo false || echo true)
		memstore device bytes = $SIZE
		bluestore block size = $SIZE
		bluestore block db create = false
		bluestore block wal create = false
		bluestore cache size = 268435456
		osd memory target = 1073741824
		osd memory target autotune = false
		[client.rgw]
		rgw frontends = $front
		rgw data = $DIR
		rgw dns name = $HOST
		rgw enable apis = s3, admin
		rgw thread pool size = 64
		rgw dynamic resharding = false
		rgw gc obj min wait = 60
		rgw gc processor period = 60
	CONF
	mkdir -p "$DIR/crash"
	: >"$DIR/keyring"
}

# run WHAT COMMAND...: its output in DIR/WHAT.out; the last lines of it where it fails.
run() {
	local what=$1
	shift
	timeout 60 "$@" >"$DIR/$what.out" 2>&1 9>&- && return
	echo "rgw.sh: $what failed:" >&2
	tail -n 15 "$DIR/$what.out" "$DIR/client.rgw.log" >&2
	end_all
	exit 1
}

start_daemons() {
	local conf="-c $DIR/ceph.conf" uuid mkfs
	uuid=$(cat /proc/sys/kernel/random/uuid)
	if [ ! -e "$DIR/seeded" ]; then
		rm -rf "$DIR"/{mon,osd}
		mkdir "$DIR/mon" "$DIR/osd"
		{ trap '' TERM INT HUP; run mkfs-osd ceph-osd $conf -i 0 --no-mon-config --mkfs --osd-uuid "$uuid"; } &
		mkfs=$!
		run monmap monmaptool --create --clobber --fsid "$FSID" --addv a "[v2:127.0.0.1:$MONPORT]" "$DIR/monmap"
		run mkfs-mon ceph-mon $conf -i a --mkfs --monmap "$DIR/monmap" --keyring "$DIR/keyring"
		wait $mkfs || exit 1
	fi
	up mon.a || run mon ceph-mon $conf -i a
	[ -e "$DIR/seeded" ] || run osd-new ceph $conf osd new "$uuid" 0
	up osd.0 || run osd ceph-osd $conf -i 0
	[ -e "$DIR/seeded" ] || run user radosgw-admin $conf -n client.rgw user create --uid dittofs --display-name dittofs \
		--access-key "$ACCESS_KEY" --secret-key "$SECRET_KEY"
	run rgw radosgw $conf -n client.rgw
}

make_bucket() {
	local code n=0
	until code=$(curl -s -o "$DIR/bucket.out" -m 20 -w '%{http_code}' -X PUT --aws-sigv4 aws:amz:us-east-1:s3 \
		-H 'x-amz-content-sha256: UNSIGNED-PAYLOAD' --user "$ACCESS_KEY:$SECRET_KEY" "http://127.0.0.1:$PORT/$BUCKET") &&
		[ "$code" = 200 ]; do
		n=$((n + 1))
		# it may not have written its pid yet
		[ $n -lt 40 ] || { [ $n -lt 300 ] && up client.rgw; } || { tail -n 15 "$DIR/client.rgw.log" >&2; end_all; die "no bucket (HTTP $code)"; }
		sleep 0.05
	done
	: >"$DIR/seeded"
}

write_env() {
	cat >"$DIR/env" <<-E
		S3_ENDPOINT=http://127.0.0.1:$PORT
		S3_PORT=$PORT
		S3_REGION=us-east-1
		S3_ACCESS_KEY=$ACCESS_KEY
		S3_SECRET_KEY=$SECRET_KEY
		S3_BUCKET=$BUCKET
	E
	[ -z "$TLS" ] || printf 'S3_ENDPOINT_TLS=https://127.0.0.1:%s\nS3_CA_FILE=%s\n' $((PORT + 1)) "$DIR/tls.crt" >>"$DIR/env"
}

start() {
	local tool
	for tool in ceph-mon ceph-osd radosgw radosgw-admin monmaptool curl; do
		command -v $tool >/dev/null || die "there is no $tool; make deps-test installs it"
	done
	exec 9>"$DIR/lock"
	flock -w 120 9 || die "another rgw.sh is at work on $DIR"
	trap 'wait; end_all; exit 143' TERM INT HUP # when the daemon that is just being started has written its pid
	if [ -s "$DIR/settings" ]; then
		. "$DIR/settings"
		PORT=${PORT:-$KEPT_PORT}
		if [ "$PORT" = "$KEPT_PORT" ] && ready; then cat "$DIR/env"; return; fi
		# a killed gateway alone comes back beside the others: theirs are the objects
		if up mon.a && up osd.0 && [ -e "$DIR/seeded" ]; then
			end_one client.rgw 10
			sed -i "s/^KEPT_PORT=.*/KEPT_PORT=$PORT/" "$DIR/settings"
			write_conf
			start_daemons
			make_bucket
			write_env
			cat "$DIR/env"
			return
		fi
		end_all
	fi
	write_settings
	write_conf
	start_daemons
	make_bucket
	write_env
	cat "$DIR/env"
}

[ $# -ge 2 ] || usage
COMMAND=$1 DIR=$2 PORT=
[ "$COMMAND" != start ] || { PORT=${3:-} && mkdir -p "$DIR"; } || die "cannot make $DIR"
case $PORT in *[!0-9]*) usage ;; esac
[ -d "$DIR" ] || case $COMMAND in stop | kill | wipe) exit 0 ;; *) exit 1 ;; esac
DIR=$(cd "$DIR" && pwd -P) || exit 1
# A UNIX socket's path has room for 107 bytes.
case $DIR in *[!A-Za-z0-9_./-]* | /) die "the directory's name may only hold letters, digits and _ . / -" ;; esac
[ ${#DIR} -le 85 ] || die "the directory's name is too long: $DIR"

case $COMMAND in
start)
	[ -e "$DIR/lock" ] || [ -z "$(ls -A "$DIR")" ] || die "$DIR is neither empty nor made by rgw.sh"
	start
	;;
stop) end_all ;;
kill)
	kill_one client.rgw
	[ "${3:-}" != all ] || { kill_one osd.0; kill_one mon.a; }
	;;
status)
	[ -s "$DIR/settings" ] && . "$DIR/settings" && PORT=$KEPT_PORT && ready || exit 1
	cat "$DIR/env"
	;;
wipe)
	[ -e "$DIR/lock" ] || die "$DIR was not made by rgw.sh"
	end_all
	rm -rf "$DIR"/{mon,osd,crash,clean,seeded,ceph.conf,settings,env,monmap,keyring,tls.crt,tls.key,lock} "$DIR"/*.{log,out}
	rmdir "$DIR" 2>/dev/null || :
	;;
*) usage ;;
esac
