# SPDX-License-Identifier: Apache-2.0
# about: 20,000 files in one directory created, listed, stat'ed, removed
# modes: full
guest -o nconnect=4 workloads.sh bigdir
