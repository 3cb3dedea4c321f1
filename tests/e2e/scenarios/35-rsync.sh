# SPDX-License-Identifier: Apache-2.0
# about: rsync in, changes, out
# modes: full
guest workloads.sh rsync
