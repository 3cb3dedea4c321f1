# SPDX-License-Identifier: Apache-2.0
# about: a source tree, a git repository and a database, read back from a server that has nothing cached
# modes: full s3
guest cold.sh put
for sig in KILL TERM; do
	server_stop $sig
	rm -rf "${VOL:?}"/cache/*
	server_start
	guest cold.sh get
done
