#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# One scenario, with a volume and a server of its own; run.sh calls it.
# Exit status: 0 passed, 77 skipped (the last line says why), else failed.
set -euo pipefail
. "$E2E/lib.sh"
trap 'trap "" TERM INT HUP; cleanup' EXIT
trap 'exit 143' TERM INT HUP

server_format
server_start
. "$1"
server_stop TERM
server_log_clean
