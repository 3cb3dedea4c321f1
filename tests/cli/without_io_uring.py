#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs a command under a seccomp filter that answers EPERM to io_uring_setup, as container runtimes do."""
import ctypes
import os
import struct
import sys

PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS, MODE_FILTER, IO_URING_SETUP, EPERM = 22, 38, 2, 425, 1
FILTER = [
    (0x20, 0, 0, 0),                   # load the system call's number
    (0x15, 0, 1, IO_URING_SETUP),      # is it io_uring_setup?
    (0x06, 0, 0, 0x00050000 | EPERM),  # then EPERM
    (0x06, 0, 0, 0x7FFF0000),          # else as ever
]


def main():
    code = b"".join(struct.pack("HBBI", *f) for f in FILTER)
    memory = ctypes.create_string_buffer(code)
    prog = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(FILTER), ctypes.addressof(memory)))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(PR_SET_SECCOMP, MODE_FILTER, prog, 0, 0):
        sys.exit(f"seccomp: {os.strerror(ctypes.get_errno())}")
    os.execv(sys.argv[1], sys.argv[1:])


main()
