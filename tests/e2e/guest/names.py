#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Names and what hangs on them: links, renames, silly renames, special files, times, appends, truncates, maps."""
import errno
import mmap
import os
import socket
import stat
import sys
import time

sys.path.insert(0, os.path.join(os.environ["E2E"], "guest"))
from nfs import check, drop_caches, equal, fails, get, put, run_all  # noqa: E402


def ls(d="."):
    return sorted(os.listdir(d))


def hard_links():
    put("a", b"one")
    os.mkdir("d")
    os.link("a", "d/b")
    equal((os.stat("a").st_nlink, os.stat("a").st_ino), (2, os.stat("d/b").st_ino))
    put("d/b", b"two, longer")
    equal(get("a"), b"two, longer")
    fails(errno.EEXIST, os.link, "a", "d/b")
    fails(errno.EPERM, os.link, "d", "e")
    fails(errno.ENOENT, os.link, "nothing", "x")
    os.unlink("a")
    drop_caches()
    equal((os.stat("d/b").st_nlink, get("d/b")), (1, b"two, longer"))
    for i in range(300):
        os.link("d/b", "d/l%d" % i)
    drop_caches()
    equal(os.stat("d/b").st_nlink, 301)
    for i in range(300):
        os.unlink("d/l%d" % i)
    equal(os.stat("d/b").st_nlink, 1)


def symlinks():
    put("target", b"here")
    os.symlink("target", "s")
    os.symlink("../symlinks/target", "up")
    os.symlink("/no/such", "dangling")
    os.symlink("loop", "loop")
    long = "x" * 1000 + "/" + "y" * 200
    os.symlink(long, "long")
    drop_caches()
    equal((os.readlink("s"), os.readlink("dangling"), os.readlink("long")), ("target", "/no/such", long))
    equal((get("s"), get("up")), (b"here", b"here"))
    equal(os.lstat("long").st_size, len(long))
    fails(errno.ENOENT, os.stat, "dangling")
    fails(errno.ELOOP, os.stat, "loop")
    fails(errno.EINVAL, os.readlink, "target")
    fails(errno.EEXIST, os.symlink, "x", "s")
    os.rename("s", "t")
    equal(get("t"), b"here")
    os.link("t", "hard", follow_symlinks=False)
    equal((os.lstat("hard").st_nlink, os.readlink("hard")), (2, "target"))


def renames():
    put("a", b"a")
    put("b", b"b")
    inode = os.stat("a").st_ino
    os.rename("a", "b")
    drop_caches()
    equal((ls(), get("b"), os.stat("b").st_ino), (["b"], b"a", inode))
    os.makedirs("d/e/f")
    os.mkdir("empty")
    os.mkdir("full")
    put("full/x")
    os.rename("b", "d/e/f/c")
    links = os.stat("d").st_nlink
    os.rename("d/e", "moved")
    equal((os.stat("d").st_nlink, get("moved/f/c")), (links - 1, b"a"))
    equal(os.stat("moved/..").st_ino, os.stat(".").st_ino, "the parent of a moved directory")
    os.rename("moved", "empty")
    equal(ls(), ["d", "empty", "full"])
    fails((errno.ENOTEMPTY, errno.EEXIST), os.rename, "empty", "full")
    fails(errno.EINVAL, os.rename, "empty", "empty/f/inside")
    put("file")
    fails(errno.ENOTDIR, os.rename, "empty", "file")
    fails(errno.EISDIR, os.rename, "file", "empty")
    fails(errno.ENOENT, os.rename, "nothing", "x")
    os.link("file", "same")
    os.rename("file", "same")  # POSIX: two names of one file, nothing happens
    equal([n for n in ls() if n in ("file", "same")], ["file", "same"])
    fails((errno.ENOTEMPTY, errno.EEXIST), os.rmdir, "full")
    fails(errno.ENOTDIR, os.rmdir, "file")
    fails(errno.EISDIR, os.unlink, "full")


def silly_rename():
    """An open file whose name goes away stays usable; the client leaves .nfs* meanwhile, and nothing after."""
    put("unlinked", b"still here")
    put("old", b"old contents")
    put("new", b"new contents")
    u, o = os.open("unlinked", os.O_RDWR), os.open("old", os.O_RDWR)
    os.unlink("unlinked")
    os.rename("new", "old")
    drop_caches()
    equal([n for n in ls() if not n.startswith(".nfs")], ["old"])
    equal(os.read(u, 99), b"still here")
    os.pwrite(u, b"more", 100)
    os.fsync(u)
    equal((os.pread(o, 99, 0), get("old")), (b"old contents", b"new contents"))
    os.posix_fadvise(u, 0, 0, os.POSIX_FADV_DONTNEED)
    equal(os.pread(u, 200, 0), b"still here" + bytes(90) + b"more")
    os.close(u)
    os.close(o)
    end = time.monotonic() + 10  # the client removes them behind close()
    while ls() != ["old"] and time.monotonic() < end:
        time.sleep(0.05)
    drop_caches()
    equal(ls(), ["old"])
    os.mkdir("gone")
    os.chdir("gone")
    os.rmdir("../gone")
    fails((errno.ENOENT, errno.ESTALE), put, "x")
    os.chdir("..") if os.path.exists("..") else None


def long_names():
    for n in ["n" * 255, "é" * 127 + "x", " ", "...", "a\nb", "\\", "-rf", "\x7f\x01"]:
        put(n, n.encode())
        os.mkdir(n[:-1] + "D" if len(n) > 1 else "D" + n)
    drop_caches()
    equal(len(ls()), 16)
    for n in ls():
        if os.path.isfile(n):
            equal(get(n), n.encode())
    put(b"\xff\xfenot utf-8", b"x")
    check(b"\xff\xfenot utf-8" in os.listdir(b"."), "a name that is not UTF-8")
    fails(errno.ENAMETOOLONG, put, "n" * 256)
    fails(errno.ENAMETOOLONG, os.mkdir, "n" * 256)
    fails(errno.ENAMETOOLONG, os.stat, "n" * 256)
    deep = "/".join(["deep%d" % i for i in range(100)])
    os.makedirs(deep)
    put(deep + "/leaf", b"leaf")
    drop_caches()
    equal(get(deep + "/leaf"), b"leaf")


def special_files():
    os.mkfifo("fifo", 0o640)
    os.mknod("null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    os.mknod("block", stat.S_IFBLK | 0o600, os.makedev(259, 70000))
    s = socket.socket(socket.AF_UNIX)
    s.bind("socket")
    drop_caches()
    kinds = {n: stat.S_IFMT(os.lstat(n).st_mode) for n in ls()}
    equal(kinds, {"fifo": stat.S_IFIFO, "null": stat.S_IFCHR, "block": stat.S_IFBLK, "socket": stat.S_IFSOCK})
    equal((os.stat("null").st_rdev, os.stat("block").st_rdev), (os.makedev(1, 3), os.makedev(259, 70000)))
    equal(get("/dev/null"), b"")
    with open("null", "wb") as f:
        f.write(b"gone")
    r = os.open("fifo", os.O_RDWR)
    os.write(r, b"through")
    equal(os.read(r, 99), b"through")


def times():
    put("f", b"x")
    ns = (1234567890123456789, 987654321987654321)
    os.utime("f", ns=ns)
    drop_caches()
    st = os.stat("f")
    equal((st.st_atime_ns, st.st_mtime_ns), ns)
    check(abs(st.st_ctime - time.time()) < 60, "ctime is now")
    os.symlink("f", "s")
    os.utime("s", ns=ns, follow_symlinks=False)
    drop_caches()
    equal((os.lstat("s").st_mtime_ns, os.stat("f").st_mtime_ns), (ns[1], ns[1]))
    for far in (1 << 31, (1 << 32) - 1):
        os.utime("f", (far, far))
        drop_caches()
        equal(os.stat("f").st_mtime, far)
    os.utime("f")
    check(abs(os.stat("f").st_mtime - time.time()) < 60, "utime to now")
    # each of these moves the right ones
    def moved(what, f, mtime, ctime, path="f"):
        before = os.stat(path)
        time.sleep(0.02)
        f()
        drop_caches()
        after = os.stat(path)
        equal((after.st_mtime_ns > before.st_mtime_ns, after.st_ctime_ns > before.st_ctime_ns), (mtime, ctime), what)
    moved("write", lambda: put("f", b"yy"), True, True)
    moved("chmod", lambda: os.chmod("f", 0o600), False, True)
    moved("link", lambda: os.link("f", "g"), False, True)
    moved("truncate", lambda: os.truncate("f", 1), True, True)
    moved("create in a directory", lambda: put("h"), True, True, ".")
    moved("remove in a directory", lambda: os.unlink("h"), True, True, ".")
    moved("write in a directory", lambda: put("f", b"z"), False, False, ".")
    moved("rename in a directory", lambda: os.rename("g", "i"), True, True, ".")


def append_truncate_overwrite():
    for i in range(50):
        with open("log", "ab") as f:
            f.write(b"line %04d\n" % i)
    equal(get("log"), b"".join(b"line %04d\n" % i for i in range(50)))
    with open("log", "r+b") as f:
        f.seek(10)
        f.write(b"OVER")
        f.truncate(25)
    drop_caches()
    equal(get("log"), b"line 0000\nOVER 0001\nline ")
    os.truncate("log", 100000)
    drop_caches()
    equal((os.stat("log").st_size, get("log")[25:]), (100000, bytes(100000 - 25)))
    put("log", b"new")  # O_TRUNC
    drop_caches()
    equal(get("log"), b"new")
    fails(errno.EISDIR, os.open, ".", os.O_WRONLY)
    fails(errno.EEXIST, os.open, "log", os.O_CREAT | os.O_EXCL)
    fails(errno.ENOENT, os.open, "none", os.O_RDONLY)
    fails(errno.ENOTDIR, os.stat, "log/x")


def memory_map():
    size = 3 * 4096 + 17
    put("m", bytes(size))
    with open("m", "r+b") as f, mmap.mmap(f.fileno(), size) as m:
        m[0:5] = b"first"
        m[4094:4099] = b"cross"
        m[size - 4:size] = b"last"
        m.flush()
        drop_caches()
        want = bytearray(size)
        want[0:5], want[4094:4099], want[size - 4:] = b"first", b"cross", b"last"
        equal(get("m"), bytes(want))
        m[5000:5003] = b"new"  # written back at unmap, not by msync
    want[5000:5003] = b"new"
    drop_caches()
    equal(get("m"), bytes(want))
    with open("m", "rb") as f, mmap.mmap(f.fileno(), size, prot=mmap.PROT_READ) as m:
        equal(m[:], bytes(want))


def directories():
    for i in range(40):
        os.mkdir("d%d" % i)
    equal(os.stat(".").st_nlink, 42)
    for i in range(40):
        equal(os.stat("d%d" % i).st_nlink, 2)
        os.rmdir("d%d" % i)
    equal((os.stat(".").st_nlink, ls()), (2, []))
    fails(errno.ENOENT, os.rmdir, "d1")
    fails((errno.EINVAL, errno.ENOTEMPTY), os.rmdir, ".")
    put("f")
    fails(errno.EEXIST, os.mkdir, "f")
    fails(errno.ENOTDIR, os.mkdir, "f/d")


def usage():
    """What df and du say moves with what is stored."""
    def used():
        v = os.statvfs(".")
        check(0 < v.f_bfree <= v.f_blocks and v.f_bavail <= v.f_bfree, "blocks", v)
        check(0 < v.f_ffree <= v.f_files, "inodes", v)
        equal(v.f_namemax, 255, "name_max")
        check(v.f_frsize >= 512 and v.f_frsize & (v.f_frsize - 1) == 0, "block size", v.f_frsize)
        return v.f_files - v.f_ffree
    before = used()
    for i in range(20):
        put("f%d" % i)
    os.link("f0", "l")
    os.mkdir("d")
    os.symlink("x", "s")
    equal(used() - before, 22, "inodes that df counts")
    size = 24 << 20
    put("f0", os.urandom(size))
    drop_caches()
    blocks = os.stat("f0").st_blocks * 512
    check(size * 9 // 10 <= blocks <= size * 11 // 10, "st_blocks * 512 of 24 MiB:", blocks)
    for n in ls():
        os.rmdir(n) if n == "d" else os.unlink(n)
    equal(used() - before, 0, "inodes that df counts in the end")


run_all([hard_links, symlinks, renames, silly_rename, long_names, special_files, times, append_truncate_overwrite,
         memory_map, directories, usage])
