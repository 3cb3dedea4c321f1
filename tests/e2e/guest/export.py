#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What a share's settings do to a client that has it mounted; the machine changes them between the stages."""
import errno
import os
import stat
import sys

sys.path.insert(0, os.path.join(os.environ["E2E"], "guest"))
from nfs import await_, drop_caches, equal, fails, get, put, reach  # noqa: E402

ANON = 12345


def owner(path):
    st = os.lstat(path)
    return st.st_uid, st.st_gid


def as_user(uid, function):
    os.setegid(uid)
    os.seteuid(uid)
    try:
        function()
    finally:
        os.seteuid(0)
        os.setegid(0)


def no_squash():
    os.chmod(".", 0o777)
    put("roots", b"root's", 0o600)
    os.mkdir("rootdir", 0o755)
    put("rootdir/f", b"x")
    put("users", b"user's", 0o600)
    os.chown("users", 1000, 1000)
    equal((owner("roots"), get("users")), ((0, 0), b"user's"))
    os.mknod("device", stat.S_IFCHR | 0o600, os.makedev(1, 3))


def root_squash():
    put("by-root", b"x")
    equal(owner("by-root"), (ANON, ANON), "created by root")
    fails(errno.EACCES, get, "roots")
    fails(errno.EACCES, get, "users")
    fails(errno.EACCES, put, "rootdir/new")
    fails(errno.EACCES, os.unlink, "rootdir/f")
    fails(errno.EPERM, os.chown, "users", 0, 0)
    fails(errno.EPERM, os.chmod, "rootdir", 0o777)
    as_user(1000, lambda: equal(get("users"), b"user's", "an ordinary user is not squashed"))
    as_user(1000, lambda: put("by-user"))
    equal(owner("by-user"), (1000, 1000))


def all_squash():
    as_user(1000, lambda: put("by-all"))
    equal(owner("by-all"), (ANON, ANON), "created by uid 1000")
    as_user(1000, lambda: fails(errno.EACCES, get, "users"))


def read_only():
    equal((get("roots"), get("users"), sorted(os.listdir("rootdir"))), (b"root's", b"user's", ["f"]))
    for function, *args in (
            (put, "new"), (put, "users", b"x"), (os.unlink, "roots"), (os.mkdir, "d"), (os.rmdir, "rootdir"),
            (os.rename, "roots", "r"), (os.link, "roots", "l"), (os.symlink, "x", "s"), (os.mkfifo, "p"),
            (os.chmod, "roots", 0o644), (os.chown, "roots", 1, 1), (os.truncate, "roots", 0), (os.utime, "roots", (1, 1))):
        # a client that asks ACCESS before it writes to a file hears of no permission
        fails((errno.EROFS, errno.EACCES) if args[0] == "users" or function is os.truncate else errno.EROFS, function, *args)


def refused():
    # not only at MOUNT: this client is mounted
    for function, *args in ((get, "roots"), (os.listdir, "rootdir"), (os.stat, "users"), (put, "new"), (os.mkdir, "d")):
        fails((errno.EACCES, errno.EPERM), function, *args)
    equal(os.system("mkdir -p /mnt/again; mount -t nfs -o $NFS_OPTS,retry=0 $SERVER_ADDR:/export /mnt/again 2>/dev/null") != 0,
          True, "a mount from a network that is not allowed fails")


def allowed_again():
    equal((get("roots"), get("users")), (b"root's", b"user's"))
    put("at last", b"x")


os.umask(0)
for stage in (no_squash, root_squash, all_squash, read_only, refused, allowed_again):
    name = stage.__name__
    if stage is not no_squash:
        reach(name + ".wanted")
        await_(name + ".served")
    drop_caches()
    stage()
    print("ok", name)
