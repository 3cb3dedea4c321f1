#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Twenty thousand files in one directory: created, listed, stat'ed, removed while it is being listed."""
import os
import sys
from concurrent.futures import ThreadPoolExecutor

sys.path.insert(0, os.path.join(os.environ["E2E"], "guest"))
from nfs import FULL, check, drop_caches, equal, fails  # noqa: E402

count = 20000 if FULL else 2000
names = ["entry-%05d%s" % (i, "-with-a-longer-name" * (i % 7)) for i in range(count)]


def create(i):
    # some by exclusive create, which is another mode of the CREATE procedure
    os.close(os.open("big/" + names[i], os.O_WRONLY | os.O_CREAT | (0 if i % 10 else os.O_EXCL), 0o600 + i % 64))


os.umask(0)
os.mkdir("big")
with ThreadPoolExecutor(8) as pool:
    for _ in pool.map(create, range(count), chunksize=50):
        pass

    drop_caches()
    listed = os.listdir("big")
    equal(len(listed), count, "entries listed")
    equal(sorted(listed), sorted(names), "names")

    drop_caches()
    seen = {}
    with os.scandir("big") as it:
        for e in it:
            seen[e.name] = e.stat(follow_symlinks=False)
    equal(len(seen), count, "entries stat'ed")
    equal(len({s.st_ino for s in seen.values()}), count, "different inodes")
    for i, n in enumerate(names):
        equal((seen[n].st_mode & 0o7777, seen[n].st_nlink, seen[n].st_size), (0o600 + i % 64, 1, 0), n)

    # remove half of them with the listing open: the rest must be seen, once each
    drop_caches()
    keep, met = set(names[::2]), []
    with os.scandir("big") as it:
        for e in it:
            met.append(e.name)
            if e.name not in keep:
                os.unlink("big/" + e.name)
    equal(len(met), len(set(met)), "an entry came twice")
    check(keep <= set(met), "entries were skipped:", sorted(keep - set(met))[:5])
    drop_caches()
    equal(set(os.listdir("big")), keep, "names that stay")
    fails(39, os.rmdir, "big")  # ENOTEMPTY
    for _ in pool.map(lambda n: os.unlink("big/" + n), sorted(keep), chunksize=50):
        pass

drop_caches()
equal(os.listdir("big"), [], "names in the end")
os.rmdir("big")
