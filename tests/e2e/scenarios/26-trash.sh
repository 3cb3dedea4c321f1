# SPDX-License-Identifier: Apache-2.0
# about: rm -r, .trash, mv out of it: as root and as users, files that are open, another client's view
# modes: quick full s3
server_trash 24h
server_restart TERM
guest trash.py
