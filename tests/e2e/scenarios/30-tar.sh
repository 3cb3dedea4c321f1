# SPDX-License-Identifier: Apache-2.0
# about: tar unpacks a source tree, every checksum compared from the server
# modes: full
guest workloads.sh tar
