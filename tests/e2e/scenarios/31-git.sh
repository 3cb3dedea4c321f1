# SPDX-License-Identifier: Apache-2.0
# about: git init, commit, clone, merge, push, gc, fsck
# modes: full
guest workloads.sh git
