# SPDX-License-Identifier: Apache-2.0
# about: the workloads of two clients while the server restarts by SIGTERM again and again
# modes: full
# small ones: it is the restarts that take the time
export MODE=quick INPUT=$INPUT/quick
guest_start -t 500 -n a workloads.sh -u tar git build oracle
guest_start -t 500 -n b -o nconnect=4 workloads.sh -u fio bigdir rsync sqlite
restart_under TERM
