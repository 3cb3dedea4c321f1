#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# cold.sh put leaves files, cold.sh get says whether they are what was put.
set -euo pipefail
. "$E2E/guest/lib.sh"
export HOME=/tmp GIT_AUTHOR_NAME=e2e GIT_AUTHOR_EMAIL=e2e@localhost GIT_COMMITTER_NAME=e2e GIT_COMMITTER_EMAIL=e2e@localhost
export GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=safe.directory GIT_CONFIG_VALUE_0='*'
case $1 in
put)
	tar -xpf "$INPUT/tree.tar"
	git init -q repo
	tar -xpf "$INPUT/small.tar" -C repo
	git -C repo add -A
	git -C repo commit -qm first
	sqlite3 -bail a.db "create table t(id integer primary key, v text);
		with recursive c(x) as (select 1 union all select x+1 from c where x<5000) insert into t select x, hex(x*x) from c;"
	sync
	;;
get)
	"$TREE" same tree "$INPUT/tree.sums"
	git -C repo fsck --full --strict --no-progress
	[ -z "$(git -C repo status --porcelain)" ]
	[ "$(sqlite3 -bail a.db 'pragma integrity_check; select count(*), sum(length(v)) from t')" = "ok
5000|$(sqlite3 :memory: 'with recursive c(x) as (select 1 union all select x+1 from c where x<5000) select sum(length(hex(x*x))) from c')" ]
	;;
esac
kernel_quiet
