#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A dittofs that breaks one promise of its trash (selftest.sh): the oracle must see it.

    sabotage_trash.py format DIR ... | serve DIR --listen ADDR:PORT ...

SABOTAGE names what, once; MARKER is a file that tells that it is done; DITTOFS is the real one.  It is done by a start of
its own between two starts, as a client could do it: what is in the trash keeps its handle when it leaves and comes back."""
import json
import os
import struct
import subprocess
import sys

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
sys.path[:0] = [TOP + "/tests/s3", TOP + "/tests/cli"]
sys.dont_write_bytecode = True
from tidy import Server  # noqa: E402

LEAST = 20  # entries, so that there is something to choose from
MOST = 60   # of them are changed: the oracle forgets the oldest, and second by second none is known to be the newest
ASIDE = "zz-aside"


def taken(s, item, change):
    """Out of the trash, changed, and into it again."""
    s.mount.rename(path(item), ASIDE)
    change(s.mount.open(ASIDE))
    s.mount.unlink(ASIDE)


def path(item):
    return item["trash"].split("/", 2)[2]  # without the share


def sattr(mode=None, size=None):
    def word(v, form):
        return struct.pack(">I", 0) if v is None else struct.pack(">I" + form, 1, v)
    return word(mode, "I") + word(None, "") + word(None, "") + word(size, "Q") + struct.pack(">II", 0, 0)


def setattr_(f, **what):
    f.mount.status(f.mount.call(100003, 2, f.fh + sattr(**what) + struct.pack(">I", 0)), "setattr")


def write(f, off, data):
    f.write(off, data)
    f.fsync()


WHAT = {
    "trash-lose": ("file", lambda s, i: s.mount.unlink(path(i))),
    "trash-lose-link": ("symlink", lambda s, i: s.mount.unlink(path(i))),
    "trash-lose-dir": ("directory", lambda s, i: s.mount.rmdir(path(i))),
    "trash-return": ("file", lambda s, i: s.mount.rename(path(i), ASIDE)),
    "trash-junk": ("file", lambda s, i: taken(s, i, lambda f: write(f, 300, b"junk" * 16))),
    "trash-zeros": ("file", lambda s, i: taken(s, i, lambda f: write(f, 5000, bytes(64)))),
    "trash-shorter": ("file", lambda s, i: taken(s, i, lambda f: setattr_(f, size=i["size"] - 1))),
    "trash-longer": ("file", lambda s, i: taken(s, i, lambda f: setattr_(f, size=i["size"] + 1))),
    "trash-mode": ("file", lambda s, i: taken(s, i, lambda f: setattr_(f, mode=0o123))),
}


def sabotage(s, what):
    kind, act = WHAT[what]
    items = json.loads(s.run_trash("list", "--json"))
    chosen = sorted((i for i in items if i["type"] == kind and (kind != "file" or i["size"] > 8192)), key=lambda i: -i["deleted"])
    if len(items) < LEAST or not chosen:
        return
    for item in chosen[:MOST]:
        act(s, item)
    open(os.environ["MARKER"], "w").close()
    print("sabotage: %s of %s and more" % (what, chosen[0]["path"]), file=sys.stderr)


class Sabotaged(Server):
    def run_trash(self, verb, *args):
        return subprocess.run([self.binary, "trash", verb, self.vol, *args], env=self.env, stdout=subprocess.PIPE, check=True, timeout=60).stdout


def main():
    real, what = os.environ["DITTOFS"], os.environ["SABOTAGE"]
    if sys.argv[1] == "serve" and what != "trash-none" and not os.path.exists(os.environ["MARKER"]):
        s = Sabotaged(real, sys.argv[2], {})
        s.env.pop("DITTOFS_CRASH_AT", None)
        s.log += ".sabotage"
        try:
            s.start()
            sabotage(s, what)
            s.mount.close()
            s.end()
        finally:
            s.kill()
    os.execv(real, [real, *sys.argv[1:]])


if __name__ == "__main__":
    main()
