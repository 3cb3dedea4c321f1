# SPDX-License-Identifier: Apache-2.0
# about: permissions as other users, sticky, setgid, 16 groups
# modes: quick full
guest perms.py
