#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# init, commits, clone with and without hard links, merge, gc, fsck.
set -euo pipefail
. "$E2E/guest/lib.sh"
export HOME=/tmp GIT_AUTHOR_NAME=e2e GIT_AUTHOR_EMAIL=e2e@localhost GIT_COMMITTER_NAME=e2e GIT_COMMITTER_EMAIL=e2e@localhost
export GIT_CONFIG_COUNT=3 GIT_CONFIG_KEY_0=safe.directory GIT_CONFIG_VALUE_0='*' \
	GIT_CONFIG_KEY_1=gc.auto GIT_CONFIG_VALUE_1=0 GIT_CONFIG_KEY_2=init.defaultBranch GIT_CONFIG_VALUE_2=main
git init -q origin
cd origin
tar -xf "$INPUT/small.tar"
git add .
git commit -qm "first"
for i in 1 2 3; do
	echo "line $i" >>small/new
	git add small/new
	git commit -qm "commit $i"
done
git checkout -qb side HEAD~1
git mv small renamed
git commit -qm "renamed"
git checkout -q main
git merge -q -m "merged" side
[ "$(cat renamed/new)" = "$(printf 'line 1\nline 2\nline 3')" ]
cd ..
drop_caches
git clone -q origin linked
git clone -q --no-local origin packed
cd packed
echo "from the clone" >clone
git add clone
git commit -qm "in the clone"
git push -q origin HEAD:refs/heads/pushed
cd ../origin
git gc -q --prune=now
drop_caches
for r in . ../linked ../packed; do
	git -C "$r" fsck --full --strict --no-progress 2>/tmp/fsck || { cat /tmp/fsck >&2; exit 1; }
	# refresh compares what is on disk with the index by content
	changed=$(git -C "$r" status --porcelain)
	[ -z "$changed" ] || { echo "$r: $changed" >&2; exit 1; }
done
[ "$(git rev-parse pushed)" = "$(git -C ../packed rev-parse HEAD)" ]
[ "$(git rev-parse HEAD^{tree})" = "$(git -C ../linked rev-parse HEAD^{tree})" ]
