#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Random writes that verify themselves, through the page cache and with O_DIRECT,
# then once more from the server alone.
set -euo pipefail
. "$E2E/guest/lib.sh"
# one block size a job and a multiple of it, so that blocks do not overlap and a
# second run can verify all of them
size=24000k
[ "$MODE" = full ] || size=3840k
cat >/tmp/jobs <<J
[global]
verify=crc32c
verify_fatal=1
verify_dump=0
randseed=$SEED
fallocate=none
thread=1
size=$size

[unaligned]
rw=randwrite
bs=3k
ioengine=psync
fsync=64

[large]
rw=randwrite
bs=160k
ioengine=psync
end_fsync=1

[direct]
rw=randwrite
bs=4k
ioengine=libaio
iodepth=16
direct=1

[direct-odd]
rw=randwrite
bs=10k
ioengine=libaio
iodepth=4
direct=1

[mixed]
rw=randrw
rwmixread=40
bs=4k
ioengine=psync
fdatasync=32

[sequential]
rw=write
bs=1m
size=48m
ioengine=psync
end_fsync=1
J
fio --eta=never --minimal --output=/tmp/fio.out /tmp/jobs || { cat /tmp/fio.out >&2; exit 1; }
drop_caches
fio --eta=never --minimal --output=/tmp/fio.out --verify_only /tmp/jobs || { cat /tmp/fio.out >&2; exit 1; }
