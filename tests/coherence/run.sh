#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# What is acknowledged over one connection is seen over all others:
#   run.sh [--binary PATH] [--seconds N] [--cores N] [--seed N] [--dir DIR]
# Ends with `N passed, N failed, N skipped`.
set -eu
cd "$(dirname "$0")/../.."
. tests/client/build.sh
run_test coherence "$@"
