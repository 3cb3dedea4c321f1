# SPDX-License-Identifier: Apache-2.0
# What a scenario (and tests/posix) may call: one dittofs server in the rig's
# network namespace and Linux guests that mount it. Sourced by bash with -eu;
# the caller has set and exported:
#   E2E      this folder            BINARY   the dittofs to test
#   NETNS    the rig's namespace    WORK     folder on a disk (the server uses O_DIRECT)
#   MODE     quick or full          CORES    of the server
#   STORE    file or s3             DURABILITY local or remote
# and may set SLOW, a factor on every time limit (sanitizer builds), ENCRYPT, COMPRESS
# (a codec, also where the store is a directory) and TRASH (retention of what is removed).

LC=$E2E/linux-client
PORT=${PORT:-12049}
MOUNTPORT=${MOUNTPORT:-$PORT} # dittofs serves both; a server to compare with may not
SLOW=${SLOW:-1}
NFS_OPTS=vers=3,proto=tcp,port=$PORT,mountport=$MOUNTPORT,mountproto=tcp,nolock

VOL=$WORK/vol            # the embedded volume
LOG=$WORK/server.log     # of every start, one after another
RESULT=$WORK/result      # shared with all guests, there $RESULT too
SERVER=                  # pid while it runs
GUESTS=()                # pids of guest_start, oldest first
GUEST=                   # pid of guest
STARTED=0                # how many ever; $WORK/guest.N has the exit status of the Nth

fail() { echo "FAIL: $*" >&2; exit 1; }
note() { echo "$(date +%T) $*"; }

# Waits up to $1 seconds for the command in $2... to succeed.
within() {
	local end=$((SECONDS + $1 * SLOW))
	shift
	until "$@"; do
		[ $SECONDS -lt $end ] || return 1
		sleep 0.05
	done
}

# ------------------------------------------------------------- the server
server_serving() { [ "$(grep -c 'serving .*on ' "$LOG")" -gt "$1" ]; }
server_gone() { ! kill -0 "$SERVER" 2>/dev/null; }
server_decided() { server_serving "$1" || server_gone; }

server_format() {
	local objects=() compress=none
	# In a bucket all is compressed, with each codec in one of the two suites; in a directory nothing is.
	if [ "${STORE:-file}" = s3 ]; then
		compress=zstd:1
		[ "${DURABILITY:-local}" != remote ] || compress=lz4
		objects=(--objects "s3://$S3_BUCKET/$(basename "$WORK")" --endpoint "$S3_ENDPOINT")
	fi
	objects+=(--compress "${COMPRESS:-$compress}")
	if [ -n "${ENCRYPT:-}" ]; then
		(umask 077 && openssl genrsa -out "$WORK/key.pem" 2048 2>/dev/null)
		objects+=(--encrypt aes256gcm --encrypt-key "$WORK/key.pem")
	fi
	"$LC" server "$BINARY" format "$VOL" "${objects[@]}" >>"$LOG" 2>&1 || fail "dittofs format: $?, see $LOG"
	[ "${DURABILITY:-local}" != remote ] || sed -i 's/^  durability: local/  durability: remote/' "$VOL/dittofs.yaml"
	[ -z "${TRASH:-}" ] || server_trash "$TRASH"
}

# What is removed stays for $1, from the next start on.
server_trash() {
	sed -i "s/^      retention: .*/      retention: $1/" "$VOL/dittofs.yaml"
	grep -q "^      retention: $1\$" "$VOL/dittofs.yaml" || fail "no retention in $VOL/dittofs.yaml"
}

server_start() {
	local before
	: >>"$LOG"
	before=$(grep -c 'serving .*on ' "$LOG" || true)
	"$LC" server "$BINARY" serve "$VOL" --listen "10.77.0.1:$PORT" --cores "$CORES" >>"$LOG" 2>&1 &
	SERVER=$!
	echo "$SERVER" >"$WORK/server.pid"
	within 30 server_decided "$before" || fail "the server is not serving after 30 s"
	server_serving "$before" || fail "the server ended as it started"
}

# server_stop TERM|KILL: a graceful end must be quick and clean
server_stop() {
	local rc=0 pid=$SERVER
	server_gone && fail "the server is gone: it crashed"
	kill -"$1" "$pid"
	{ # bash's own word of a killed child
		within 30 server_gone || kill -ABRT "$pid" # with a core and a stack, if it may
		wait "$pid" || rc=$?
	} 2>/dev/null
	SERVER=
	rm -f "$WORK/server.pid"
	[ $rc != 134 ] || fail "the server was there 30 s after SIG$1"
	[ "$1" = KILL ] || [ $rc = 0 ] || fail "the server ended with $rc after SIG$1"
}

# server_restart TERM|KILL [SECONDS down]
server_restart() {
	note "restart, SIG$1"
	server_stop "$1"
	sleep "${2:-0}"
	server_start
}

# A sanitizer or an assert may have spoken although the exit status was 0.
server_log_clean() {
	! grep -nE 'Sanitizer|runtime error:|[Aa]ssert(ion)?( .*)? failed|^PANIC' "$LOG" || fail "the server's log"
}

# ------------------------------------------------------------- the guests
# guest [-e EXPORT|-] [-o MORE_OPTIONS] [-t SECONDS] [-n NAME] SCRIPT [ARGS]
# boots a client, mounts, runs guest/SCRIPT on the mount, returns its status.
# EXPORT - mounts nothing. NAME is $ME in the guest. guest_start does not wait.
guest() {
	local rc=0
	guest_command "$@"
	"${COMMAND[@]}" & # a trap would have to wait for one in the foreground
	GUEST=$!
	wait "$GUEST" || rc=$?
	GUEST=
	return $rc
}

guest_start() {
	guest_command "$@"
	STARTED=$((STARTED + 1))
	# the status goes to a file: the shell forgets it once another child gets the same pid
	(
		trap 'kill "$pid"' TERM
		rc=0
		"${COMMAND[@]}" &
		pid=$!
		wait "$pid" || rc=$?
		echo "$rc" >"$WORK/guest.$STARTED"
	) &
	GUESTS+=($!)
}

guest_command() {
	local export=/export more= limit=300 name=a o OPTIND
	while getopts e:o:t:n: o; do
		case $o in
		e) export=$OPTARG ;; o) more=,$OPTARG ;; t) limit=$OPTARG ;; n) name=$OPTARG ;;
		*) fail "guest: option" ;;
		esac
	done
	shift $((OPTIND - 1))
	local script=$1
	shift
	case $script in /*) ;; *) script=$E2E/guest/$script ;; esac
	mkdir -p "$RESULT"
	COMMAND=("$LC" exec -t $((limit * SLOW)) -r "$RESULT")
	[ "$export" = - ] || COMMAND+=(-e "$export" -o "$NFS_OPTS$more")
	COMMAND+=(-x E2E="$E2E" -x MODE="$MODE" -x INPUT="${INPUT:-}" -x ME="$name" -x NFS_OPTS="$NFS_OPTS"
		-x SEED="${SEED:-1}" -x PYTHONDONTWRITEBYTECODE=1 "$script" "$@")
}

# Waits for all of guest_start; fails where one did.
guest_wait() {
	local n
	while guests_run; do sleep 0.1; done
	GUESTS=()
	for ((n = 1; n <= STARTED; n++)); do
		[ "$(cat "$WORK/guest.$n")" = 0 ] || fail "guest $n ended with $(cat "$WORK/guest.$n")"
	done
}

guests_run() {
	local n
	for ((n = 1; n <= STARTED; n++)); do [ -s "$WORK/guest.$n" ] || return 0; done
	return 1
}

# Two seconds into each workload of the started guests (workloads.sh -u) the server
# goes down and comes back. A guest repeats a workload until met.NAME:WORKLOAD says
# that a restart fell into it.
# restart_under TERM|KILL
restart_under() {
	local sig=$1 now last= next=0 before p due
	while guests_run; do
		now=$(cat "$RESULT"/phase.* 2>/dev/null || true)
		due=
		for p in $now; do [ -e "$RESULT/met.$p" ] || due=1; done
		if [ "$(wc -w <<<"$now")" -lt ${#GUESTS[@]} ]; then
			: # one has not even mounted
		elif [ "$now" != "$last" ]; then
			last=$now
			[ $next -gt $SECONDS ] || next=$((SECONDS + 2))
		elif [ -n "$due" ] && [ $SECONDS -ge $next ]; then
			before=$now
			server_restart "$sig" 0.3
			now=$(cat "$RESULT"/phase.*)
			# those that ran before it and still run after it
			for p in $(grep -xF "$before" <<<"$now"); do : >"$RESULT/met.$p"; done
			last=
		fi
		sleep 0.1
	done
	guest_wait
	note "$(grep -c 'serving .*on ' "$LOG") starts of the server"
}

# Ends what a scenario started, whatever became of it.
cleanup() {
	local p
	for p in $GUEST "${GUESTS[@]}"; do kill -TERM "$p" 2>/dev/null || true; done
	[ -z "$SERVER" ] || kill -KILL "$SERVER" 2>/dev/null || true
	wait 2>/dev/null
}
