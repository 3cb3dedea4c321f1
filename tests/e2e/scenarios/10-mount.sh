# SPDX-License-Identifier: Apache-2.0
# about: mount v3, nconnect=4, of subdirectories, with every option that changes the traffic
# modes: quick full
guest -e - mount.sh
