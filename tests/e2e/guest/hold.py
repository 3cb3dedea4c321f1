#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Holds everything that a client can hold, while the server goes down and comes back.

The machine restarts the server when hold.N.ready appears in $RESULT, then makes hold.N.back.
No ESTALE, no error, no inode number or time that moved; unstable writes that a killed server
lost must be sent again by the client, which it knows by the write verifier.
"""
import ctypes
import mmap
import os
import random
import sys
import time

sys.path.insert(0, os.path.join(os.environ["E2E"], "guest"))
from nfs import FULL, SEED, await_, check, drop_caches, equal, get, put, reach  # noqa: E402

libc = ctypes.CDLL(None, use_errno=True)
rnd = random.Random(SEED)
rounds = int(sys.argv[1])
ENTRIES = 3000 if FULL else 1000


def write_unstable(fd, at, data):
    """The pages go out as UNSTABLE writes, without COMMIT."""
    equal(os.pwrite(fd, data, at), len(data))
    if libc.sync_file_range(fd, ctypes.c_int64(at), ctypes.c_int64(len(data)), 7):
        raise OSError(ctypes.get_errno(), "sync_file_range")


def attributes(paths):
    drop_caches()
    out = {}
    for p in paths:
        st = os.lstat(p)
        out[p] = (st.st_ino, st.st_mode, st.st_nlink, st.st_size, st.st_mtime_ns, st.st_ctime_ns, st.st_rdev)
    return out


os.makedirs("deep/er/dir")
put("deep/er/dir/file", b"in the depth")
os.link("deep/er/dir/file", "second")
os.symlink("second", "soft")
os.mkfifo("fifo")
os.mkdir("many")
for i in range(ENTRIES):
    os.close(os.open("many/%d" % i, os.O_CREAT | os.O_WRONLY))
fixed = ["deep", "deep/er", "deep/er/dir", "second", "soft", "fifo", "many", "many/7"]

model = bytearray(24 << 20)
data = os.open("data", os.O_RDWR | os.O_CREAT)
put("unlinked", b"no name any more")
unlinked = os.open("unlinked", os.O_RDWR)
os.unlink("unlinked")
top = os.getcwd()

for n in range(rounds):
    before = attributes(fixed)
    where = os.open("deep/er/dir", os.O_RDONLY)
    # half a listing
    listing = os.scandir("many")
    met = [next(listing).name for _ in range(ENTRIES // 3)]
    # sent but not committed, and not even sent
    for _ in range(12):
        at, piece = rnd.randrange(len(model) - 400000), rnd.randbytes(rnd.randrange(1, 400000))
        write_unstable(data, at, piece)
        model[at:at + len(piece)] = piece
    at, piece = rnd.randrange(len(model) - 90000), rnd.randbytes(90000)
    os.pwrite(data, piece, at)
    model[at:at + len(piece)] = piece
    mapped = mmap.mmap(data, 4096)
    mapped[0:4] = model[0:4] = b"%04d" % n
    os.pwrite(unlinked, b"#%d" % n, 20 + 2 * n)

    reach("hold.%d.ready" % n)
    await_("hold.%d.back" % n)

    # the listing first: its next page is a cookie from before
    met += [e.name for e in listing]
    equal((len(met), len(set(met))), (ENTRIES, ENTRIES), "entries of a listing across the restart")
    equal(attributes(fixed), before, "attributes")
    os.fchdir(where)
    equal((os.listdir("."), get("file")), (["file"], b"in the depth"), "the current directory")
    os.chdir(top)
    os.close(where)
    mapped.flush()
    mapped.close()
    os.fsync(data)
    drop_caches()
    equal(os.fstat(data).st_size <= len(model), True, "size")
    got = os.pread(data, len(model), 0)
    want = bytes(model[:len(got)])
    if got != want:
        first = next(i for i in range(len(got)) if got[i] != want[i])
        check(False, "round", n, "data differ at", first, got[first:first + 8].hex(), want[first:first + 8].hex())
    check(not any(model[len(got):]), "the file is short:", len(got))
    os.fsync(unlinked)
    os.posix_fadvise(unlinked, 0, 0, os.POSIX_FADV_DONTNEED)
    equal(os.pread(unlinked, 2, 20 + 2 * n), b"#%d" % n, "the file without a name")
    print("round %d: nothing lost" % n)

os.close(unlinked)
end = time.monotonic() + 10  # the client removes it behind close()
while any(n.startswith(".nfs") for n in os.listdir(".")) and time.monotonic() < end:
    time.sleep(0.05)
drop_caches()
equal([n for n in os.listdir(".") if n.startswith(".nfs")], [], "silly names in the end")
