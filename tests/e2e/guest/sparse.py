#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A file of 5 GiB with holes: what is in them, what they cost, and what truncate leaves."""
import mmap
import os
import random
import sys

sys.path.insert(0, os.path.join(os.environ["E2E"], "guest"))
from nfs import FULL, SEED, check, drop_caches, equal, fails  # noqa: E402

MIB, GIB = 1 << 20, 1 << 30
SIZE = 5 * GIB
rnd = random.Random(SEED)

# islands of data: at chunk and block edges, around 2^31 and 2^32, in the last byte
islands = {
    0: 1, 4 * MIB - 3: 6, 64 * MIB - 4096: 8192, 700 * MIB + 1: MIB, 2 * GIB - 5: 10, 3 * GIB + 17: 3 * MIB,
    4 * GIB - 70000: 140001, 4 * GIB + 64 * MIB: 65536, SIZE - 1: 1,
}
islands = {at: rnd.randbytes(n) for at, n in islands.items()}
written = sum(len(d) for d in islands.values())


def blocks():
    return os.stat("sparse").st_blocks * 512


def expected(at, n):
    out = bytearray(n)
    for a, d in islands.items():
        lo, hi = max(a, at), min(a + len(d), at + n)
        if lo < hi:
            out[lo - at:hi - at] = d[lo - a:hi - a]
    return out


def look(fd, at, n, end=SIZE):
    n = min(n, end - at)
    got = os.pread(fd, n, at)
    while 0 < len(got) < n:
        more = os.pread(fd, n - len(got), at + len(got))
        if not more:
            break
        got += more
    equal(len(got), n, "length of the read at %d" % at)
    want = expected(at, n)
    if got != want:
        first = next(i for i in range(n) if got[i] != want[i])
        raise AssertionError("at %d: %r, want %r" % (at + first, got[first:first + 16], bytes(want[first:first + 16])))


fd = os.open("sparse", os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644)
for at in rnd.sample(list(islands), len(islands)):
    equal(os.pwrite(fd, islands[at], at), len(islands[at]))
os.fsync(fd)
equal(os.fstat(fd).st_size, SIZE, "size")
drop_caches()
# what is charged is near to what was written, not to the size; an island of a
# byte costs at most a frame (64 KiB) at each end
check(written * 9 // 10 <= blocks() <= written + len(islands) * 2 * 65536, "st_blocks * 512:", blocks(), "of", written)

# around each island and in the middle of the holes
for at, d in islands.items():
    look(fd, max(0, at - 100000), len(d) + 200000)
for _ in range(40):
    look(fd, rnd.randrange(SIZE - 1), rnd.randrange(1, 300000))
equal(os.pread(fd, 10, SIZE), b"", "read at the end")
equal(os.pread(fd, 10, SIZE + GIB), b"", "read behind the end")

# all of it, from the server (in quick mode one part with the 32-bit edge in it), in pieces of 4 MiB
d = os.open("sparse", os.O_RDONLY | os.O_DIRECT)
m = mmap.mmap(-1, 4 * MIB)
zero = bytes(4 * MIB)
for at in range(0 if FULL else 3900 * MIB, SIZE if FULL else 4300 * MIB, 4 * MIB):
    equal(os.preadv(d, [m], at), 4 * MIB, "direct read at %d" % at)
    hole = not any(a < at + 4 * MIB and at < a + len(x) for a, x in islands.items())
    check(m[:] == (zero if hole else expected(at, 4 * MIB)), "contents at", at)
os.close(d)

# cut in the middle of an island, and up again: the rest of it reads as zeros
cut = 4 * GIB + 5
os.ftruncate(fd, cut)
os.ftruncate(fd, SIZE)
islands = {a: x[:max(0, cut - a)] for a, x in islands.items() if a < cut}
drop_caches()
look(fd, 4 * GIB - 200000, 400000)
look(fd, 4 * GIB + 64 * MIB - 10, 70000)
look(fd, SIZE - 300, 300)
left = sum(len(x) for x in islands.values())
check(blocks() <= left + len(islands) * 2 * 65536, "st_blocks * 512:", blocks(), "of", left, "after the cut")

os.ftruncate(fd, 0)
os.fsync(fd)
equal((os.fstat(fd).st_size, blocks() <= 65536), (0, True), "after truncate to 0")
# far out, then too far
os.pwrite(fd, b"far", 8 << 40)
os.fsync(fd)
drop_caches()
equal((os.fstat(fd).st_size, os.pread(fd, 9, (8 << 40) - 6)), ((8 << 40) + 3, bytes(6) + b"far"), "at 8 TiB")
fails((22, 27), os.pwrite, fd, b"x", 2**63 - 1)
os.close(fd)
os.unlink("sparse")
