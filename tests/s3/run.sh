#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# dittofs on a real S3 server that misbehaves; README.md beside this file.
#   run.sh --binary PATH [--only NAME]... [--keep]
# environment: TMPDIR (on a disk, default /var/tmp), SLOW=N (factor on time limits)
set -eu
here=$(dirname "$(realpath "$0")")
[ "${1:-}" = --binary ] && [ -x "${2:-}" ] || { sed -n '3,5s/^# \{0,3\}//p' "$0" >&2; exit 2; }
[ "$(id -u)" = 0 ] || { echo "s3: must be root (a hosts file of its own)" >&2; exit 1; }
for t in radosgw ceph-mon ceph-osd curl unshare python3; do
	command -v "$t" >/dev/null || [ -x "/usr/sbin/$t" ] || { echo "s3: there is no $t; make deps-test installs what the tests need" >&2; exit 1; }
done
# a UNIX socket's path has room for 107 bytes, so not in build/ of any depth
export TMPDIR=${TMPDIR:-/var/tmp} PYTHONDONTWRITEBYTECODE=1
exec /usr/bin/python3 "$here/faults.py" "$@"
