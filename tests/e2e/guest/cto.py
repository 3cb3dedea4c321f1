#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Two clients at once: cto.py A and cto.py B, in step through $RESULT.

Close-to-open (what one has closed, the other sees when it opens), races that only
one may win, and halves of the same pages written from both sides.
"""
import errno
import mmap
import os
import random
import sys
import threading

sys.path.insert(0, os.path.join(os.environ["E2E"], "guest"))
from nfs import FULL, SEED, await_, check, drop_caches, equal, get, put, reach  # noqa: E402

ME = sys.argv[1]
OTHER = "B" if ME == "A" else "A"
steps = 0


def meet():
    global steps
    steps += 1
    reach("cto.%s.%d" % (ME, steps))
    await_("cto.%s.%d" % (OTHER, steps))


def turn(who):
    """The block is this one's; the other waits until it is over: for x in turn("A"): ..."""
    if who == ME:
        yield None
    meet()


def close_to_open():
    for i in range(20 if FULL else 5):
        writer, reader = ("A", "B") if i % 2 == 0 else ("B", "A")
        data = random.Random(SEED + i).randbytes(1 + 40000 * i)
        for _ in turn(writer):
            put("shared", data)
        for _ in turn(reader):
            equal(get("shared"), data, "round %d" % i)
            with open("shared", "ab") as f:
                f.write(b"tail")
        for _ in turn(writer):
            equal(get("shared"), data + b"tail", "appended")
            os.truncate("shared", 1)
        for _ in turn(reader):
            equal(get("shared"), data[:1], "truncated")
    # a file replaced by rename is the new one at the next open
    for _ in turn("A"):
        put("shared.new", b"renamed over")
        os.rename("shared.new", "shared")
    for _ in turn("B"):
        equal(get("shared"), b"renamed over")
        os.chmod("shared", 0o400)
    for _ in turn("A"):
        fd = os.open("shared", os.O_RDONLY)
        equal(os.fstat(fd).st_mode & 0o777, 0o400, "mode at open")
        os.close(fd)


def open_while_removed():
    """Without delegations the holder of a file that another removes gets ESTALE, never another file's bytes."""
    for _ in turn("A"):
        put("removed", b"was here")
    if ME == "A":  # B would only rename it, were it open there too
        fd = os.open("removed", os.O_RDONLY)
    meet()
    for _ in turn("B"):
        os.unlink("removed")
        put("removed", b"a new one")
    if ME == "A":
        drop_caches()
        try:
            got = os.pread(fd, 99, 0)
            check(False, "read %r of a removed file" % got)
        except OSError as e:
            equal(e.errno, errno.ESTALE)
        equal(get("removed"), b"a new one")
        os.close(fd)
    meet()


def races(kind, n):
    """Both try the same things; each must succeed for exactly one."""
    won = []
    if ME == "A":
        os.mkdir(kind)
        if kind == "rename":
            for i in range(n):
                put("rename/from%d" % i)
    meet()
    os.stat(kind)
    for i in range(n):
        p = "%s/%d" % (kind, i)
        try:
            if kind == "create":
                os.close(os.open(p, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
            elif kind == "mkdir":
                os.mkdir(p)
            elif kind == "symlink":
                os.symlink("x", p)
            elif kind == "link":
                if not os.path.exists("mine." + ME):
                    put("mine." + ME)
                os.link("mine." + ME, p)
            elif kind == "rename":
                os.rename("rename/from%d" % i, "rename/%s%d" % (ME, i))
            won.append(i)
        except OSError as e:
            equal(e.errno, errno.ENOENT if kind == "rename" else errno.EEXIST, "%s %d" % (kind, i))
    with open(os.path.join(os.environ["RESULT"], "won.%s.%s" % (kind, ME)), "w") as f:
        f.write(" ".join(map(str, won)))
    meet()
    with open(os.path.join(os.environ["RESULT"], "won.%s.%s" % (kind, OTHER))) as f:
        theirs = [int(x) for x in f.read().split()]
    equal(sorted(won + theirs), list(range(n)), "%s: won by one of the two" % kind)
    print("%s: %s won %d, the other %d" % (kind, ME, len(won), len(theirs)))
    meet()


def halves():
    """A writes the even blocks, B the odd ones, of 512 bytes to 8 KiB, directly; both see both."""
    for size in (512, 1000, 4096, 8192):
        n = 120 if FULL else 30
        name = "halves%d" % size
        if ME == "A":
            put(name)
        meet()
        fd = os.open(name, os.O_RDWR | os.O_DIRECT)
        m = mmap.mmap(-1, size)
        for i in range(0 if ME == "A" else 1, n, 2):
            m[:] = bytes([i + 1]) * size
            equal(os.pwritev(fd, [m], i * size), size)
        meet()
        whole = mmap.mmap(-1, size * n)
        equal(os.preadv(fd, [whole], 0), size * n)
        for i in range(n):
            check(whole[i * size:(i + 1) * size] == bytes([i + 1]) * size, "block", i, "of", size)
        os.close(fd)
        meet()


def crowd():
    """Both fill one directory and empty each other's half."""
    n = 400 if FULL else 60
    if ME == "A":
        os.mkdir("crowd")
    meet()
    for i in range(n):
        put("crowd/%s%d" % (ME, i), ME.encode())
    meet()
    drop_caches()
    equal(sorted(os.listdir("crowd")), sorted(w + str(i) for w in "AB" for i in range(n)))
    meet()
    for i in range(n):
        os.unlink("crowd/%s%d" % (OTHER, i))
    meet()
    drop_caches()
    equal(os.listdir("crowd"), [])
    meet()


if ME == "B":
    # The client's verifier of an exclusive create is its jiffies and pid, and two guests that
    # booted together have the same of both: go on with a pid that the other is far from.
    for _ in range(500):
        t = threading.Thread(target=int)
        t.start()
        t.join()
    child = os.fork()
    if child:
        sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
close_to_open()
open_while_removed()
for what in ("create", "mkdir", "symlink", "link", "rename"):
    races(what, 100 if FULL else 25)
halves()
crowd()
