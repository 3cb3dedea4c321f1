# SPDX-License-Identifier: Apache-2.0
# about: sqlite3 in three journal modes, integrity_check
# modes: full s3
guest workloads.sh sqlite
