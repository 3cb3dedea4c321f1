#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Unpacks a source tree, compares every checksum from the server, packs and compares it again, removes it.
set -euo pipefail
. "$E2E/guest/lib.sh"
tar -xpf "$INPUT/tree.tar"
drop_caches
"$TREE" same tree "$INPUT/tree.sums"
tar --format=posix -cf again.tar tree
tar -df "$INPUT/tree.tar"
tar -df again.tar
rm -r tree
[ "$(ls -A)" = again.tar ]
