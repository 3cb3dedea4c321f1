#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Transactions of every kind in three journal modes, then its own integrity check.
# Locks are the client's (nolock).
set -euo pipefail
. "$E2E/guest/lib.sh"
rows=20000 small=60
[ "$MODE" = full ] || rows=4000 small=15

for mode in delete truncate wal; do
	{
		echo "pragma journal_mode=$mode; pragma synchronous=full; pragma cache_size=200;"
		echo "create table t(id integer primary key, k integer, v text); create index t_k on t(k); create table log(n integer);"
		echo "begin; with recursive c(x) as (select 1 union all select x+1 from c where x<$rows)
			insert into t select x, x*7919%$rows, hex(x*x)||printf('%.*c', x%200, 'x') from c; commit;"
		for ((i = 0; i < small; i++)); do
			echo "begin; update t set v=v||'$i' where k between $((i * 50)) and $((i * 50 + 20)); insert into log values($i); commit;"
		done
		echo "begin; delete from t where id%3=0; rollback;"
		echo "begin; delete from t where id%5=0; savepoint s; update t set v=''; rollback to s; commit;"
		[ $mode = wal ] || echo "vacuum;"
		echo "select count(*), sum(k), sum(length(v)), (select count(*) from log) from t;"
	} >/tmp/$mode.sql
	sqlite3 -bail /tmp/reference.$mode </tmp/$mode.sql >/tmp/want
	sqlite3 -bail $mode.db </tmp/$mode.sql >/tmp/got
	cmp /tmp/want /tmp/got
	rm -f /tmp/reference.$mode
	drop_caches
	got=$(sqlite3 -bail $mode.db "pragma integrity_check; select count(*), sum(k), sum(length(v)), (select count(*) from log) from t;")
	[ "$got" = "ok
$(tail -n1 /tmp/want)" ] || { echo "$mode: $got" >&2; exit 1; }
	[ $mode = truncate ] || [ "$(echo $mode.db*)" = $mode.db ] || { echo "left behind: $(echo $mode.db*)" >&2; exit 1; }
done
