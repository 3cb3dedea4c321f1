# Everything a person may want to change lives here; Makefile holds only rules.
VERSION = 0.1.0
PREFIX  = /usr/local
CC      = gcc
AR      = gcc-ar
FUZZ_CC = clang-14

# debug | release
BUILD   = release
# none | address,undefined | thread
SAN     = none
# 1: `s3.signature: v2` for old endpoints, through libs3 (libs3-dev): GPL-3, and a second libcurl in the process.
LIBS3   = 0
# Crash points for the crash tests: the debug build has them.
CRASH_POINTS_debug   = 1
CRASH_POINTS_release = 0

PKGS      = liburing libtirpc rocksdb libisal libxxhash liblz4 libzstd libbsd-overlay libcyaml jansson libmicrohttpd libcurl yaml-0.1 libnfs expat libcrypto
TEST_PKGS = criterion

STD   = -std=gnu11
WARN  = -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes \
        -Wpointer-arith -Wwrite-strings -Wvla -Wundef -Wformat=2 -Wswitch-enum \
        -Wimplicit-fallthrough -Wconversion -Wno-sign-conversion -Wno-format-truncation
WERROR = -Werror
OPT_debug   = -O1 -g3 -fno-omit-frame-pointer
OPT_release = -O2 -g -fno-omit-frame-pointer -flto=auto

# Debian 12 packages that the build, the tests and the benchmarks need (make deps).
DEPS_BUILD = gcc libc6-dev pkg-config liburing-dev libtirpc-dev librocksdb-dev libisal-dev libxxhash-dev liblz4-dev libzstd-dev \
             libbsd-dev libcyaml-dev libjansson-dev libmicrohttpd-dev libcurl4-openssl-dev libyaml-dev libnfs-dev \
             libexpat1-dev libssl-dev systemtap-sdt-dev
DEPS_TEST  = libcriterion-dev clang-14 libclang-rt-14-dev python3 git rsync sqlite3 fio \
             kmod nfs-common iproute2 netbase procps \
             radosgw ceph-mon ceph-osd curl openssl libs3-dev
DEPS_BENCH = iproute2 nfs-ganesha nfs-ganesha-vfs rpcbind python3 linux-perf radosgw ceph-mon ceph-osd curl openssl
