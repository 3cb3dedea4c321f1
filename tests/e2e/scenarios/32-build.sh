# SPDX-License-Identifier: Apache-2.0
# about: builds a C project with make
# modes: full
guest workloads.sh build
