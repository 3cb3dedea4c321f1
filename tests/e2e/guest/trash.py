#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What is removed is below .trash, hidden and complete; mv brings it back, byte for byte; and users see their own only."""
import errno
import hashlib
import os
import random
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.environ["E2E"], "guest"))
from nfs import SEED, check, drop_caches, equal, fails, get, put  # noqa: E402

ALICE, BOB = 1000, 1001


def hour():
    names = sorted(os.listdir(".trash"))
    check(names, "there is no folder in .trash")
    return ".trash/" + names[-1]


def in_trash():
    """What came last by its old name, and all of them."""
    all_ = [h + "/" + n for h in (".trash/" + d for d in sorted(os.listdir(".trash"))) for n in os.listdir(h)]
    return {p.rsplit("/", 1)[1].split("-", 2)[2]: p for p in all_}, all_


def as_user(uid, function, *args):
    os.setegid(uid)
    os.seteuid(uid)
    try:
        return function(*args)
    finally:
        os.seteuid(0)
        os.setegid(0)


def sums(top):
    out = {}
    for d, dirs, files in os.walk(top):
        for n in dirs:
            out[os.path.relpath(d + "/" + n, top)] = os.lstat(d + "/" + n).st_ino
        for n in files:
            p = d + "/" + n
            st = os.lstat(p)
            data = os.readlink(p).encode() if os.path.islink(p) else get(p)
            out[os.path.relpath(p, top)] = (st.st_ino, st.st_mode, st.st_mtime_ns, st.st_size, hashlib.sha256(data).digest())
    return out


def a_tree():
    r = random.Random(SEED)
    for i in range(12):
        d = "tree/" + "/".join("d%d" % r.randrange(3) for _ in range(r.randrange(4)))
        os.makedirs(d, exist_ok=True)
        put("%s/f%d" % (d, i), r.randbytes(r.choice((0, 1, 5000, 300000))))
        os.symlink("to %d" % i, "%s/l%d" % (d, i))
    put("tree/big", r.randbytes(6 << 20))
    before = sums("tree")
    parents = {}  # where it was, by inode: as `dittofs trash restore` knows it from the records
    for d, dirs, files in os.walk("tree"):
        for n in dirs + files:
            parents[os.lstat(d + "/" + n).st_ino] = d + "/" + n
    parents[os.lstat("tree").st_ino] = "tree"
    check(".trash" not in os.listdir("."), ".trash is listed")
    subprocess.run(["rm", "-r", "tree"], check=True)
    fails(errno.ENOENT, os.lstat, "tree")
    check(".trash" not in os.listdir("."), ".trash is listed")
    drop_caches()
    _, paths = in_trash()
    equal(len(paths), len(before) + 1, "entries in the trash")
    was = {p: parents[os.lstat(p).st_ino] for p in paths}
    for p in sorted(paths, key=lambda p: was[p].count("/")):
        subprocess.run(["mv", p, was[p]], check=True)
    drop_caches()
    equal(sums("tree"), before, "the tree that came back")
    equal(os.listdir(".trash"), [], "the trash when all came back")


def open_files():
    """The client's own silly rename, and a file that is replaced while it is read."""
    put("open", b"first" * 1000)
    with open("open", "rb") as f:
        os.unlink("open")
        drop_caches()
        equal(f.read(), b"first" * 1000, "a removed file that is open")
    put("new", b"second")
    put("replaced", b"first" * 1000)
    with open("replaced", "rb") as f:
        os.rename("new", "replaced")
        drop_caches()
        equal(f.read(), b"first" * 1000, "a replaced file that is open")
    # The client has renamed both before, so its names are what the trash knows.
    names, paths = in_trash()
    silly = [p for p in paths if "-.nfs" in p]
    equal([get(p) for p in silly], [b"first" * 1000] * 2, "what was open when it was removed")
    equal(get("replaced"), b"second")
    put("newer", b"third")
    os.rename("newer", "replaced")
    equal((get(in_trash()[0]["replaced"]), get("replaced")), (b"second", b"third"))


def no_changes():
    put("f", b"x")
    os.unlink("f")
    names, _ = in_trash()
    f = names["f"]
    fails(errno.EROFS, put, hour() + "/new")
    fails(errno.EROFS, os.mkdir, ".trash/new")
    fails(errno.EROFS, os.chmod, f, 0o777)
    fails(errno.EROFS, os.truncate, f, 0)
    fails(errno.EROFS, os.link, f, "linked")
    fails(errno.EROFS, os.rename, "replaced", hour() + "/x")
    fails((errno.EROFS, errno.EACCES), os.rmdir, hour())
    fails((errno.EROFS, errno.EEXIST), os.mkdir, ".trash")
    os.unlink(f)
    fails(errno.ENOENT, os.lstat, f)


def users():
    os.mkdir("home", 0o700)
    os.chown("home", ALICE, ALICE)
    as_user(ALICE, put, "home/secret", b"hers", 0o644)
    as_user(ALICE, os.unlink, "home/secret")
    names, _ = in_trash()
    secret = names["secret"]
    check("secret" in as_user(ALICE, in_trash)[0], "her own is not there for her")
    check("secret" not in as_user(BOB, in_trash)[0], "hers is there for him")
    check("secret" in in_trash()[0], "it is not there for root after that")
    fails((errno.EACCES, errno.ENOENT), as_user, BOB, get, secret)
    fails((errno.EACCES, errno.EPERM, errno.ENOENT), as_user, BOB, os.unlink, secret)
    equal(as_user(ALICE, get, secret), b"hers")
    as_user(ALICE, os.rename, secret, "home/secret")
    equal(as_user(ALICE, get, "home/secret"), b"hers")


os.chmod(".", 0o777)
a_tree()
open_files()
no_changes()
users()
shutil.rmtree("tree")
