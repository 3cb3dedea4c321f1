#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# rsync in, again with nothing to do, a change in place and one by replacement, out again.
set -euo pipefail
. "$E2E/guest/lib.sh"
local=$(mktemp -d /tmp/rsync.XXXXXX)
tar -C "$local" -xpf "$INPUT/tree.tar"
rsync -aH "$local/tree" .
drop_caches
"$TREE" same tree "$INPUT/tree.sums"
again=$(rsync -aHi "$local/tree" .)
[ -z "$again" ] || { echo "the second rsync copied: $again" >&2; exit 1; }

# changes: a big file by its differing blocks, new, gone and renamed files
cd "$local/tree"
head -c 1500000 /dev/urandom >grown
rsync -a grown "$OLDPWD/tree/"
printf changed | dd of=grown bs=1 seek=700000 conv=notrunc status=none
echo more >>grown
big=$(find . -type f -size +100k -links 1 | sort | head -n 3)
for f in $big; do echo "more of it" >>"$f"; done
rm -rf ./dir1 ./file4*
mv dir3 moved
"$TREE" sums . "$local/new.sums"
cd "$OLDPWD"
rsync -aH --no-whole-file --inplace "$local/tree/grown" tree/
rsync -aH --no-whole-file --delete "$local/tree" .
drop_caches
"$TREE" same tree "$local/new.sums"
rm -rf "$local/tree"
rsync -aH tree "$local/"
"$TREE" same "$local/tree" "$local/new.sums"
rm -rf "$local"
