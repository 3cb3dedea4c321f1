# SPDX-License-Identifier: Apache-2.0
# about: fio verify=crc32c, buffered and O_DIRECT
# modes: full s3
guest workloads.sh fio
