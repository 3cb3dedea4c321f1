#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Builds a C project, runs it, and lets make judge the times of its files.
set -euo pipefail
. "$E2E/guest/lib.sh"
tar -xf "$INPUT/project.tar"
cd project
make -s
drop_caches
./program # its status says whether it computed right
make -q || { echo "make would build again what it has just built" >&2; exit 1; }
sleep 0.02
touch include/unit7.h
! make -q || { echo "make does not see a newer header" >&2; exit 1; }
[ "$(make -n | grep -c -- '-c -o')" = 1 ]
make -s
make -q
./program
make -s clean
[ ! -e program ]
