# SPDX-License-Identifier: Apache-2.0
# about: random file operations against a model: large and small pages, synchronous
# modes: quick full s3
guest workloads.sh oracle
SEED=$((${SEED:-1} + 1)) guest -o rsize=4096,wsize=8192 workloads.sh oracle
[ "$MODE" = quick ] || SEED=$((${SEED:-1} + 2)) guest -o sync,nconnect=4 workloads.sh oracle
