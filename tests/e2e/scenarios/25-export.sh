# SPDX-License-Identifier: Apache-2.0
# about: read_only, squash and the allowed networks of a share, seen by a client that is mounted
# modes: full
setting() { sed -i -E "s|^( *)(# *)?$1:.*|\1$1: $2|" "$VOL/dittofs.yaml"; }

guest_start export.py
for stage in root_squash all_squash read_only refused allowed_again; do
	until [ -e "$RESULT/$stage.wanted" ]; do guests_run || break 2; sleep 0.05; done
	setting squash none
	setting anon_uid 12345
	setting anon_gid 12345
	setting read_only false
	setting clients '["*"]'
	case $stage in
	root_squash) setting squash root ;;
	all_squash) setting squash all ;;
	read_only) setting read_only true ;;
	refused) setting clients '["127.0.0.0/8", "192.0.2.0/24"]' ;;
	esac
	server_restart TERM
	touch "$RESULT/$stage.served"
done
guest_wait
