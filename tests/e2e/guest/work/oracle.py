#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Random operations on a file, each checked against a copy in memory.

oracle.py [SEED OPERATIONS]; writes in every overlap, appends, truncates up and down,
memory maps, O_DIRECT, reopening, and reads that bypass the cache. A failure prints the
seed and the last operations.
"""
import mmap
import os
import random
import sys

sys.path.insert(0, os.path.join(os.environ["E2E"], "guest"))
from nfs import FULL, SEED, drop_caches  # noqa: E402

LIMIT = 3 << 20
EDGES = [0, 1, 511, 512, 4095, 4096, 4097, 65535, 65536, 65537, 131072, 1 << 20, (1 << 20) + 1]


class File:
    def __init__(self, name, rnd):
        self.name, self.rnd, self.log = name, rnd, []
        self.model = bytearray()
        self.fd = os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644)

    def place(self):
        if self.rnd.random() < 0.5:
            return self.rnd.choice(EDGES)
        return self.rnd.randrange(len(self.model) + 70000)

    def length(self):
        return self.rnd.choice([1, 7, 512, 4096, 5000, 65536, 70001, self.rnd.randrange(1, 300000)])

    def store(self, at, data):
        if at > len(self.model):
            self.model.extend(bytes(at - len(self.model)))
        self.model[at:at + len(data)] = data

    # the operations
    def write(self):
        at, data = self.place(), self.rnd.randbytes(self.length())
        if at + len(data) > LIMIT:
            return
        self.log.append("write %d+%d" % (at, len(data)))
        assert os.pwrite(self.fd, data, at) == len(data)
        self.store(at, data)

    def append(self):
        data = self.rnd.randbytes(self.length())
        if len(self.model) + len(data) > LIMIT:
            return
        self.log.append("append %d" % len(data))
        fd = os.open(self.name, os.O_WRONLY | os.O_APPEND)
        assert os.write(fd, data) == len(data)
        os.close(fd)
        self.store(len(self.model), data)

    def direct_write(self):
        # not aligned: the client sends it as it is
        at, data = self.place(), self.rnd.randbytes(self.length())
        if at + len(data) > LIMIT:
            return
        self.log.append("direct write %d+%d" % (at, len(data)))
        fd = os.open(self.name, os.O_WRONLY | os.O_DIRECT)
        m = mmap.mmap(-1, len(data))
        m.write(data)
        assert os.pwritev(fd, [m], at) == len(data)
        os.close(fd)
        self.store(at, data)

    def mapped_write(self):
        if not self.model:
            return
        at = self.rnd.randrange(len(self.model))
        data = self.rnd.randbytes(min(self.length(), len(self.model) - at))
        self.log.append("mapped write %d+%d" % (at, len(data)))
        with mmap.mmap(self.fd, len(self.model)) as m:
            m[at:at + len(data)] = data
            if self.rnd.random() < 0.5:
                m.flush()
        self.store(at, data)

    def truncate(self):
        size = self.place() if self.rnd.random() < 0.7 else 0
        self.log.append("truncate %d" % size)
        os.ftruncate(self.fd, size)
        if size <= len(self.model):
            del self.model[size:]
        else:
            self.model.extend(bytes(size - len(self.model)))

    def down_and_up(self):
        # what was behind the cut must come back as zeros
        size, cut = len(self.model), self.rnd.randrange(len(self.model) + 1)
        self.log.append("truncate %d then %d" % (cut, size))
        os.ftruncate(self.fd, cut)
        os.ftruncate(self.fd, size)
        self.model[cut:] = bytes(size - cut)

    def sync(self):
        self.log.append("fsync")
        os.fsync(self.fd)

    def reopen(self):
        self.log.append("reopen")
        os.close(self.fd)
        self.fd = os.open(self.name, os.O_RDWR | (os.O_SYNC if self.rnd.random() < 0.2 else 0))

    def forget(self):
        self.log.append("forget pages")
        os.fsync(self.fd)
        os.posix_fadvise(self.fd, 0, 0, os.POSIX_FADV_DONTNEED)

    def read(self):
        at, n = self.place(), self.length()
        self.log.append("read %d+%d" % (at, n))
        self.same(os.pread(self.fd, n, at), at, n)

    def direct_read(self):
        at, n = self.place() & ~4095, (self.length() + 4095) & ~4095
        self.log.append("direct read %d+%d" % (at, n))
        fd = os.open(self.name, os.O_RDONLY | os.O_DIRECT)
        m = mmap.mmap(-1, n)
        got = os.preadv(fd, [m], at)
        os.close(fd)
        self.same(m[:got], at, n)

    def stat(self):
        got = os.stat(self.name).st_size
        if got != len(self.model):
            self.wrong("size %d, want %d" % (got, len(self.model)))

    def same(self, got, at, n):
        want = self.model[at:at + n]
        if got != want:
            first = next((i for i, (a, b) in enumerate(zip(got, want)) if a != b), min(len(got), len(want)))
            self.wrong("%d bytes at %d, want %d; first difference at %d: %s, want %s" % (
                len(got), at, len(want), at + first, bytes(got[first:first + 16]).hex(), bytes(want[first:first + 16]).hex()))

    def wrong(self, what):
        raise AssertionError("%s: %s\nthe last operations:\n  %s" % (self.name, what, "\n  ".join(self.log[-40:])))

    def whole(self):
        self.log.append("read all")
        n = len(self.model)
        got = b""
        while len(got) <= n:
            part = os.pread(self.fd, n + 1 - len(got), len(got))
            if not part:
                break
            got += part
        self.same(got, 0, n)
        self.stat()


OPERATIONS = [File.write] * 6 + [File.read] * 4 + [File.append, File.direct_write, File.mapped_write, File.truncate,
                                                   File.down_and_up, File.sync, File.reopen, File.forget,
                                                   File.direct_read, File.direct_read, File.stat]


def main():
    seed, operations = (int(sys.argv[1]), int(sys.argv[2])) if len(sys.argv) == 3 else (SEED, 1200 if FULL else 300)
    rnd = random.Random(seed)
    try:
        files = [File("oracle%d" % i, rnd) for i in range(3)]
        for _ in range(operations):
            rnd.choice(OPERATIONS)(rnd.choice(files))
        drop_caches()
        for f in files:
            f.whole()
    except BaseException:
        print("oracle: seed %d, %d operations" % (seed, operations), file=sys.stderr)
        raise


main()
