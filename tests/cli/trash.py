#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The trash as a client and an operator use it: what is removed, listed, restored, emptied, and what a kill leaves of it.

    tests/cli/trash.py --binary PATH
"""
import errno
import json
import os
import signal
import subprocess
import sys
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
sys.path[:0] = [TOP + "/tests/s3", TOP + "/tests/cli"]
sys.dont_write_bytecode = True
from tidy import MIB, Server, content, of_one_server  # noqa: E402

TREE = {"tree/big": 5 * MIB, "tree/empty": 0, "tree/sub/small": 3000, "tree/sub/deep/er/x": 70000}
DIRS = ["tree", "tree/sub", "tree/sub/deep", "tree/sub/deep/er"]


class TrashServer(Server):
    def trash(self, verb, *args, status=0):
        p = self.raw("trash", verb, self.vol, *args)
        assert p.returncode == status, "trash %s %s: exit status %d, not %d: %s" % (verb, args, p.returncode, status, p.stdout)
        return p.stdout

    def raw(self, *args):
        return subprocess.run([self.binary, *args], env=self.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120)


def retention(vol, value):
    with open(vol + "/dittofs.yaml") as f:
        lines = f.readlines()
    at = next(i for i, line in enumerate(lines) if "      retention: " in line)
    lines[at] = "      retention: %s\n" % value
    with open(vol + "/dittofs.yaml", "w") as f:
        f.writelines(lines)


def refused(code, call, *args):
    try:
        call(*args)
    except OSError as e:
        assert e.errno == code, e
    else:
        raise AssertionError("%s was taken" % (args,))


def write(s, name, size):
    f = s.mount.create(name)
    f.write(0, content(name, size))
    f.fsync()


def plant(s):
    for d in DIRS:
        s.mount.mkdir(d)
    for name, size in TREE.items():
        write(s, name, size)


def whole(s):
    for name, size in TREE.items():
        assert s.mount.open(name).read(0, size + 1) == content(name, size), name


def remove_tree(s):
    for name in TREE:
        s.mount.unlink(name)
    for d in reversed(DIRS):
        s.mount.rmdir(d)


def in_trash(s):
    return {e["path"]: e for e in json.loads(s.trash("list", "--json"))}


def status(s):
    share = json.loads(s.run("status", "--json"))["shares"][0]
    return share["trash"]["inodes"], share["trash"]["bytes"], share["used_inodes"]


def hour(s):
    return ".trash/" + s.mount.list(".trash")[-1]


def a_tree_comes_back(s):
    plant(s)
    s.run("flush")
    remove_tree(s)
    assert s.mount.list("") == [] and len(in_trash(s)) == 8
    assert status(s) == (8, sum(TREE.values()), 9), status(s)
    out = s.trash("list")
    assert "5 MiB  /export/tree/big\n" in out and "directory  /export/tree/sub/\n" in out, out
    assert s.trash("list", "/export/tree/sub").count("/export") == 5
    assert "all are there" in s.run("fsck")  # of what is in the trash, too
    assert s.trash("restore", "/export/tree") == "8 restored\n"
    whole(s)
    assert status(s)[:2] == (0, 0)


def what_was_not_uploaded_yet(s):
    """Removed at once, killed, and restored: the data was in the journal only."""
    write(s, "young", 100000)
    s.mount.unlink("young")
    s.end(signal.SIGKILL)
    s.start()
    assert in_trash(s)["/export/young"]["size"] == 100000
    s.run("flush")
    assert status(s)[:2] == (1, 100000), status(s)
    assert s.trash("restore", "/export/young") == "1 restored\n"
    assert s.mount.open("young").read(0, 200000) == content("young", 100000)
    s.mount.unlink("young")


def one_file_with_its_directories(s):
    remove_tree(s)
    assert s.trash("restore", "/export/tree/sub/deep/er/x") == "5 restored\n"
    assert s.mount.open("tree/sub/deep/er/x").read(0, 70001) == content("tree/sub/deep/er/x", 70000)
    assert "nothing that was at /export/nowhere" in s.trash("restore", "/export/nowhere", status=1)
    assert "no such share" in s.trash("restore", "/nowhere", status=1)
    # Others have come to their places: a directory takes what was in it, a file is not overwritten.
    s.mount.create("tree/big").write(0, b"new")
    out = s.trash("restore", "/export/tree", status=1)
    assert "/export/tree/big stays in the trash: the name is taken\n" in out, out
    assert s.mount.open("tree/big").read(0, 100) == b"new"
    assert s.trash("restore", "--force", "/export/tree") == "1 restored\n"
    whole(s)
    # What was in its place is there now, and by its own name it comes back, too.
    place = in_trash(s)["/export/tree/big"]["trash"]
    assert s.run("info", place).startswith("inode "), place
    assert "the name is taken" in s.trash("restore", place, status=1)
    s.mount.rename("tree/big", "tree/other")
    assert s.trash("restore", place) == "1 restored\n"
    assert s.mount.open("tree/big").read(0, 100) == b"new"
    s.mount.rename("tree/other", "tree/big")


def as_a_client_does(s):
    assert ".trash" not in s.mount.list("")
    write(s, "by hand", 500)
    s.mount.unlink("by hand")
    name = next(n for n in s.mount.list(hour(s)) if n.endswith("-by hand"))
    path = hour(s) + "/" + name
    assert s.mount.open(path).read(0, 1000) == content("by hand", 500)
    refused(errno.EROFS, s.mount.open(path).write, 0, b"x")
    refused(errno.EROFS, s.mount.create, hour(s) + "/x")
    refused(errno.EROFS, s.mount.mkdir, ".trash/x")
    refused(errno.EEXIST, s.mount.mkdir, ".trash")
    refused(errno.EROFS, s.mount.rmdir, ".trash")
    s.mount.rename(path, "back")
    assert s.mount.open("back").read(0, 1000) == content("by hand", 500)
    refused(errno.ENOENT, s.mount.open, path)
    s.mount.unlink("back")
    path = hour(s) + "/" + next(n for n in s.mount.list(hour(s)) if n.endswith("-back"))
    s.mount.unlink(path)
    refused(errno.ENOENT, s.mount.open, path)
    # All that is left: the versions that were replaced, and "young".
    assert set(in_trash(s)) == {"/export/tree/big", "/export/young"}, in_trash(s)


def versions(s):
    for i in range(3):
        write(s, "v", 10 + i)
        s.mount.unlink("v")
    assert s.trash("restore", "/export/v") == "1 restored, 2 older versions stay\n"
    assert s.mount.open("v").read(0, 100) == content("v", 12)
    s.mount.unlink("v")


def many(s):
    """More than a page."""
    s.mount.mkdir("many")
    for i in range(700):
        s.mount.create("many/%d" % i)
        s.mount.unlink("many/%d" % i)
    assert len(json.loads(s.trash("list", "/export/many", "--json"))) == 700
    assert len({n for n in s.mount.list(hour(s)) if n.split("-", 2)[2].isdigit()}) == 700
    assert s.trash("restore", "/export/many") == "700 restored\n"
    assert len(s.mount.list("many")) == 700
    for i in range(700):
        s.mount.unlink("many/%d" % i)
    s.end(signal.SIGKILL)
    s.start()
    assert len(json.loads(s.trash("list", "/export/many", "--json"))) == 700


def emptied(s):
    before = status(s)[0]
    assert before > 700 and "%d left" % before in s.trash("empty", "--older-than", "1h")
    assert "no such share" in s.trash("empty", "/nowhere", status=1)
    assert "0 left in the trash, 0 B" in s.trash("empty", "/export")
    assert in_trash(s) == {} and s.mount.list(".trash") == [] and status(s)[:2] == (0, 0)
    assert "nothing is in the trash" in s.trash("list")
    whole(s)
    assert "all are there" in s.run("fsck")


def with_time(s):
    """A retention of a second; then none, which keeps what was promised to stay."""
    s.end()
    retention(s.vol, "1s")
    s.start()
    s.mount.unlink("tree/empty")
    until = time.monotonic() + 60
    while status(s)[0]:
        assert time.monotonic() < until, "it stays for ever"
        time.sleep(0.1)
    s.end()
    retention(s.vol, "7d")
    s.start()
    s.mount.unlink("tree/sub/small")
    s.end()
    retention(s.vol, "0")
    s.start()
    s.mount.unlink("tree/big")
    assert list(in_trash(s)) == ["/export/tree/sub/small"]
    assert s.trash("restore", "/export/tree/sub/small") == "1 restored\n"
    s.end()
    s.start()
    s.mount.mkdir(".trash")
    assert s.mount.list("") == [".trash", "tree", "many"] or set(s.mount.list("")) == {".trash", "tree", "many"}
    s.end()
    retention(s.vol, "1h")
    out = s.run("serve", "--listen", "127.0.0.1:0", status=1)
    assert "/export has a .trash of its own" in out, out
    retention(s.vol, "soon")
    assert "shares.0.trash.retention: 'soon' is no duration" in s.run("serve", status=1)


def called_wrongly(s):
    for args in [], ["list"], ["restore", s.vol], ["empty", s.vol, "/export", "x"], ["burn", s.vol], ["list", "--force", s.vol]:
        p = s.raw("trash", *args)
        assert p.returncode == 2 and "usage: dittofs trash" in p.stdout, (args, p)


def prepare(s):
    retention(s.vol, "24h")
    s.start()


STEPS = (a_tree_comes_back, what_was_not_uploaded_yet, one_file_with_its_directories, as_a_client_does, versions, many, emptied, with_time, called_wrongly)

if __name__ == "__main__":
    sys.exit(of_one_server(TrashServer, prepare, STEPS))
