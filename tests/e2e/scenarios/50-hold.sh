# SPDX-License-Identifier: Apache-2.0
# about: open files, listings, unstable writes held across SIGTERM and kill -9
# modes: quick full s3
# a graceful end, a kill, a kill with some seconds without a server
guest_start hold.py 3
for n in 0 1 2; do
	until [ -e "$RESULT/hold.$n.ready" ]; do guests_run || break 2; sleep 0.05; done
	case $n in 0) server_restart TERM ;; 1) server_restart KILL ;; 2) server_restart KILL 4 ;; esac
	touch "$RESULT/hold.$n.back"
done
guest_wait
