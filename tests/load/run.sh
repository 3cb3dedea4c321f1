#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Holds a server under 1,000 connections with 64 calls each, slow readers and half-open ones among them:
#   run.sh [--binary PATH] [--seconds N] [--conns N] [--depth N] [--cores N] [--dir DIR] ...
# About 40 s.  Ends with `N passed, N failed, N skipped`.
set -eu
cd "$(dirname "$0")/../.."
. tests/client/build.sh
run_test load "$@"
