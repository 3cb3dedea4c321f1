#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# reactor < crypto < store < meta < proto < tools, bench, tests; proto sees reactor
# and meta only.  Fails when a folder includes a header of ours that it may not
# know, or when a foreign library's header stands outside of its one place.
rc=0
allow() {
	dir=$1; shift
	known=$(echo "$dir $*" | tr ' ' '|')
	bad=$(grep -rnE '^#include "(reactor|crypto|store|meta|proto|tools)/' "$dir" | grep -vE "\"($known)/")
	[ -z "$bad" ] || { echo "layers: $dir may not include:"; echo "$bad"; rc=1; }
}
only() {
	header=$1; shift
	bad=$(grep -rlE "^#include <$header" reactor crypto store meta proto tools | grep -vE "^($(echo "$*" | tr ' ' '|'))")
	[ -z "$bad" ] || { echo "layers: <$header...> is for $*, found in:"; echo "$bad"; rc=1; }
}
allow reactor
allow crypto reactor
allow store  reactor crypto
allow meta   reactor crypto store
allow proto  reactor meta
only liburing      reactor/uring
only rocksdb/      meta/kv
only rpc/          proto/
only openssl/      crypto/
only zstd          store/codec
only lz4           store/codec
only curl/         store/http tools/control_client
only expat         store/s3_xml
only libs3         store/s3v2
only cyaml/        tools/config_file
only microhttpd    tools/admin
only sys/sdt       reactor/probe
only nfsc/         tools/bench_nfs
exit $rc
