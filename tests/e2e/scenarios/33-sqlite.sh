# SPDX-License-Identifier: Apache-2.0
# about: sqlite3 in three journal modes, integrity_check
# modes: full
guest workloads.sh sqlite
