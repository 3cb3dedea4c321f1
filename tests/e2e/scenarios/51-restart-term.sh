# SPDX-License-Identifier: Apache-2.0
# about: all workloads of two clients while the server restarts by SIGTERM again and again
# modes: full
guest_start -t 300 -n a workloads.sh tar git build oracle
guest_start -t 300 -n b -o nconnect=4 workloads.sh fio bigdir rsync sqlite
restart_under TERM 1
