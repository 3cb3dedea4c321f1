# SPDX-License-Identifier: Apache-2.0
"""Cache disks that break: every byte is right, the log has a line about it, and what is good goes on being used."""
import glob
import os
import shutil
import subprocess
import time

from rig import Failed, Server, content, within

MIB = 1 << 20
FILES, SIZE = 10, 3 * MIB


mounted = []


def unmount():
    for d in mounted:
        subprocess.run(["umount", "-l", d], check=True)
    mounted.clear()


class Disks:
    """A server with so little memory for blocks that reads come from its cache directories."""

    def __init__(self, rig, name, ndirs, bytes_each=None, cache_size="256MiB"):
        self.rig = rig
        self.dirs = [os.path.join(rig.top, "%s-disk%d" % (name, i)) for i in range(ndirs)]
        for d in self.dirs:
            os.mkdir(d)
            if bytes_each:
                subprocess.run(["mount", "-t", "tmpfs", "-o", "size=%d" % bytes_each, "tmpfs", d], check=True)
                mounted.append(d)
        self.server = Server(rig.top, name, rig.binary, rig.gateway, rig.proxy.port,
                             more="cache: {cache_dir: [%s], cache_size: %s, free_space_ratio: 0}" % (", ".join(self.dirs), cache_size))
        self.server.format()
        self.server.start()
        m = self.server.mount()
        for i in range(FILES):
            f = m.create("/f%d" % i)
            f.write(0, content(8000 + i, SIZE))
            f.fsync()
        m.close()
        self.server.drained()

    def end(self):
        if self.server.process.poll() is None:
            self.server.kill()
        unmount()

    def remount(self, how):
        """While the server does not run: a file system that is written to stays writable."""
        subprocess.run(["mount", "-o", "remount," + how, self.dirs[0]], check=True)

    def files(self, i=0):
        return sorted(glob.glob(self.dirs[i] + "/*/*.cache"))

    def disk(self):
        return self.server.status()["cache"]["disk"]

    def states(self):
        return [d["state"] for d in self.disk()["dirs"]]

    def read_all(self):
        m = self.server.mount()
        for i in range(FILES):
            if m.open("/f%d" % i).read(0, SIZE + 1) != content(8000 + i, SIZE):
                raise Failed("/f%d is not what was written" % i)
        m.close()

    def again(self, harm=None):
        """Ended in peace, so that the disks have everything, harmed, and started with nothing in memory."""
        self.server.stop()
        if harm:
            harm()
        self.server.start()
        within(20, "the load of the cache", lambda: "loading" not in self.states())

    def gets(self):
        return self.rig.proxy.count()["requests"].get("GET", 0)

    def expect(self, name, pattern, act, before=None):
        """act() reads everything; the log has a line like pattern more than before, and not a hundred."""
        before, gets = self.server.said(pattern) if before is None else before, self.gets()
        act()
        within(20, "a line like '%s' in the log" % pattern, lambda: self.server.said(pattern) > before)
        lines = self.server.said(pattern) - before
        if lines > 8:
            raise Failed("%d lines like '%s'" % (lines, pattern))
        self.rig.table.append(("cache: " + name, "every byte right; %d log line%s" % (lines, "s" if lines > 1 else ""),
                               "%d GETs instead" % (self.gets() - gets)))


def flip(path):
    with open(path, "r+b") as f:
        for at in range(20000, os.path.getsize(path), 65536):
            f.seek(at)
            byte = f.read(1)
            f.seek(at)
            f.write(bytes([byte[0] ^ 4]))


def cut(path):
    os.truncate(path, os.path.getsize(path) // 2 + 100)


def swap(paths):
    for a, b in zip(paths[::2], paths[1::2]):
        os.rename(a, a + ".x")
        os.rename(b, a)
        os.rename(a + ".x", b)


def damaged(rig):
    """At rest and under a running server: bits flipped, files cut, files swapped; and then the whole directory is gone."""
    d = Disks(rig, "damaged", 1)
    try:
        d.again()
        d.read_all()
        d.again()
        d.read_all()
        if d.disk()["hits"] < FILES * SIZE // 65536 // 2:  # a disk that has enough to do leaves frames out
            raise Failed("the disk cache is not used: %s" % d.disk())
        line = "cache file [0-9a-f]+ in .*the object store has it"
        for name, harm in (("bits flipped", lambda: [flip(p) for p in d.files()]), ("files cut", lambda: [cut(p) for p in d.files()]),
                           ("files swapped", lambda: swap(d.files()))):
            d.expect(name, line, lambda h=harm: (d.again(h), d.read_all()))
            d.read_all()
            d.again()
        d.expect("bits flipped while running", line, lambda: ([flip(p) for p in d.files()], d.read_all()))
        d.again()
        d.expect("directory removed while running", "cache directory .*left alone, and tried again", lambda: (
            shutil.rmtree(d.dirs[0]), d.read_all(), write_more(d)))
        d.read_all()
        if d.states() != ["failed"]:
            raise Failed("a directory that is gone is %s" % d.states())
        d.again(lambda: os.mkdir(d.dirs[0]))
        d.read_all()
        within(10, "use of a new directory", lambda: d.files())
    finally:
        d.end()


def write_more(d):
    """New blocks, which the cache would keep."""
    m = d.server.mount()
    f = m.create("/more%d" % time.monotonic_ns())
    for i in range(6):
        f.write(i * MIB, content(i, MIB))
    f.fsync()
    m.close()
    d.server.drained()


def full_and_read_only(rig):
    """A disk of 12 MiB with 30 to keep; then it can only be read."""
    d = Disks(rig, "fulldisk", 1, 12 * MIB)
    try:
        d.expect("disk full", "its file system is full", lambda: (d.read_all(), write_more(d), d.read_all()), before=0)
        d.expect("disk read-only", "cache directory .*Read-only file system.*left alone", lambda: (
            d.again(lambda: d.remount("ro")), d.read_all(), write_more(d), d.read_all()))
        d.again(lambda: d.remount("rw"))
        d.read_all()
        if d.states() == ["failed"]:
            raise Failed("a disk that can be written again is failed")
    finally:
        d.end()


def one_of_two(rig):
    """One disk fails, the other goes on: its frames are hit as before."""
    d = Disks(rig, "twodisks", 2, 64 * MIB)
    try:
        d.read_all()
        d.again()
        if not d.files(0) or not d.files(1):
            raise Failed("one of two disks is not used")
        d.expect("one disk of two fails", "cache directory .*disk0/.*left alone", lambda: (
            d.again(lambda: d.remount("ro")), write_more(d), d.read_all()))
        if d.states() != ["failed", "ok"]:
            raise Failed("the disks are %s" % d.states())
        if not d.disk()["hits"]:
            raise Failed("the disk that is left is not used")
        d.again(lambda: d.remount("rw"))
        d.expect("one disk of two goes while running", "cache directory .*disk0/.*left alone", lambda: (
            shutil.rmtree(os.path.dirname(d.files(0)[0])), write_more(d), d.read_all()))
        if d.states() != ["failed", "ok"]:
            raise Failed("the disks are %s" % d.states())
    finally:
        d.end()


SCENES = [("cache damaged", damaged), ("cache disk full, read-only", full_and_read_only), ("cache: one of two disks", one_of_two)]
