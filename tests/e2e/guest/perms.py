#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Permissions as other users: the server must judge by the uid, gid and groups in each call."""
import errno
import os
import shutil
import stat
import subprocess
import sys
import traceback

sys.path.insert(0, os.path.join(os.environ["E2E"], "guest"))
from nfs import check, drop_caches, equal, fails, get, put, run_all  # noqa: E402

ACCESS = (errno.EACCES, errno.EPERM)


def as_user(uid, function, gid=None, groups=()):
    """Runs function in a child that is this user for good."""
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        try:
            os.setgroups(groups)
            os.setgid(uid if gid is None else gid)
            os.setuid(uid)
            function()
            os._exit(0)
        except BaseException:
            traceback.print_exc(file=sys.stdout)
            sys.stdout.flush()
            os._exit(1)
    equal(os.waitpid(pid, 0)[1], 0, "as uid %d" % uid)


def files():
    put("private", b"secret", 0o600)
    put("shared", b"shared", 0o644)
    put("group", b"group", 0o640)
    os.chown("group", 0, 2000)
    os.chmod(".", 0o755)

    def other():
        fails(errno.EACCES, get, "private")
        fails(errno.EACCES, put, "private", b"x")
        fails(errno.EACCES, put, "shared", b"x")
        equal(get("shared"), b"shared")
        fails(errno.EACCES, os.truncate, "shared", 0)
        fails(errno.EPERM, os.chmod, "shared", 0o777)
        fails(errno.EPERM, os.chown, "shared", 1000, 1000)
        fails(errno.EACCES, os.utime, "shared")
        fails(errno.EPERM, os.utime, "shared", (1, 1))
        fails(errno.EACCES, put, "created", b"x")
        fails(errno.EACCES, os.unlink, "shared")
        fails(errno.EACCES, os.rename, "shared", "x")
        fails(errno.EACCES, os.mkdir, "x")
        fails(errno.EACCES, get, "group")
        check(os.access("shared", os.R_OK) and not os.access("shared", os.W_OK) and not os.access("shared", os.X_OK))
    as_user(1000, other)
    as_user(1000, lambda: equal(get("group"), b"group"), gid=2000)
    equal((get("shared"), get("private")), (b"shared", b"secret"))


def groups():
    """AUTH_SYS carries 16 of them."""
    put("g", b"g", 0o640)
    os.chown("g", 0, 3015)
    os.chmod(".", 0o755)
    as_user(1001, lambda: equal(get("g"), b"g"), groups=range(3000, 3016))
    as_user(1001, lambda: fails(errno.EACCES, get, "g"), groups=range(3000, 3015))
    # class, not sum: the owner and the group are refused what others may
    os.chmod("g", 0o604)
    as_user(1001, lambda: fails(errno.EACCES, get, "g"), groups=[3015])
    as_user(1001, lambda: equal(get("g"), b"g"))


def own_files():
    os.chmod(".", 0o777)

    def owner():
        put("mine", b"1", 0o644)
        equal((os.stat("mine").st_uid, os.stat("mine").st_gid), (1000, 1000))
        fd = os.open("mine", os.O_RDWR)
        os.chmod("mine", 0)
        fails(errno.EACCES, get, "mine")
        os.pwrite(fd, b"2", 0)  # opened before: a local file would allow it, so must the server for the owner
        os.fsync(fd)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        equal(os.pread(fd, 9, 0), b"2")
        os.close(fd)
        os.chmod("mine", 0o600)
        fails(errno.EPERM, os.chown, "mine", 1001, -1)
        fails(errno.EPERM, os.chown, "mine", -1, 1001)
        os.chown("mine", -1, 2000)  # a group of the owner's
        equal(os.stat("mine").st_gid, 2000)
        # created closed: the mode does not bind the one who creates
        fd = os.open("readonly", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o400)
        os.write(fd, b"written")
        os.close(fd)
        equal(get("readonly"), b"written")
        fails(errno.EACCES, put, "readonly", b"x")
    as_user(1000, owner, groups=[2000])


def directories():
    os.chmod(".", 0o755)
    os.mkdir("noexec", 0o744)
    put("noexec/f", b"x", 0o644)
    os.mkdir("noread", 0o711)
    put("noread/f", b"x", 0o644)
    drop_caches()

    def other():
        fails(errno.EACCES, get, "noexec/f")
        fails(errno.EACCES, os.stat, "noexec/f")
        equal(os.listdir("noexec"), ["f"])
        fails(errno.EACCES, os.listdir, "noread")
        equal(get("noread/f"), b"x")
    as_user(1000, other)


def sticky():
    os.mkdir("tmp")
    os.chmod("tmp", 0o1777)
    as_user(1000, lambda: (put("tmp/a", b"a"), os.mkdir("tmp/d"), put("tmp/d/x")))

    def other():
        put("tmp/b", b"b")
        fails(ACCESS, os.unlink, "tmp/a")
        fails(ACCESS, os.rename, "tmp/a", "tmp/c")
        fails(ACCESS, os.rename, "tmp/b", "tmp/a")
        fails(ACCESS, os.rmdir, "tmp/d")
        os.unlink("tmp/b")
    as_user(1001, other)
    as_user(1000, lambda: os.unlink("tmp/a"))


def setgid():
    os.mkdir("d")
    os.chown("d", 0, 2000)
    os.chmod("d", 0o2777)

    def user():
        put("d/f")
        os.mkdir("d/sub")
        equal(os.stat("d/f").st_gid, 2000, "a file takes the directory's group")
        st = os.stat("d/sub")
        equal((st.st_gid, bool(st.st_mode & stat.S_ISGID)), (2000, True), "a directory takes group and bit")
    as_user(1000, user)
    # the bits go when another writes, and when the owner is changed
    put("suid", b"x")
    os.chmod(".", 0o755)
    os.chmod("suid", 0o6777)
    as_user(1000, lambda: put("suid", b"y"))
    drop_caches()
    equal(stat.S_IMODE(os.stat("suid").st_mode), 0o777, "set-id bits after a write by another")
    put("given", b"x")
    os.chown("given", 1000, 1000)
    os.chmod("given", 0o6755)

    def owner():
        os.chown("given", -1, 2000)
        equal(stat.S_IMODE(os.stat("given").st_mode), 0o755, "set-id bits after chgrp")
        os.chmod("given", 0o2755)
        os.chown("given", -1, 1000)
    as_user(1000, owner, groups=[2000])
    # setgid for a group that is not one's own is dropped
    put("foreign", b"x")
    os.chown("foreign", 1000, 4000)

    def not_member():
        os.chmod("foreign", 0o2755)
        equal(stat.S_IMODE(os.stat("foreign").st_mode), 0o755, "setgid of a foreign group")
    as_user(1000, not_member)


def execute_only():
    """To run a program the client reads it: execute permission must do for READ."""
    os.chmod(".", 0o755)
    shutil.copy("/bin/true", "run")
    os.chmod("run", 0o711)
    shutil.copy("/bin/true", "norun")
    os.chmod("norun", 0o644)
    drop_caches()

    def other():
        home = os.getcwd()
        equal(subprocess.call([home + "/run"]), 0, "execute only")
        fails(errno.EACCES, subprocess.call, [home + "/norun"])
        fails(errno.EACCES, get, "run")
    as_user(1000, other)


run_all([files, groups, own_files, directories, sticky, setgid, execute_only])
