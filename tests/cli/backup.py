#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Backups of the metadata in the object store, and volumes that are made of them when all else is lost.

    tests/cli/backup.py --binary PATH          # a debug build: it is killed at crash points
    tests/cli/backup.py --binary PATH --s3     # in a bucket of tests/s3/rgw.sh
"""
import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
sys.path[:0] = [TOP + "/tests/s3", TOP + "/tests/cli"]
sys.dont_write_bytecode = True
import ending  # noqa: E402
import tidy  # noqa: E402

MIB = 1 << 20
SIZES = {"big": 5 * MIB, **{"d/small%d" % i: 3000 + i for i in range(20)}}


class Directory(tidy.Directory):
    """Elsewhere: the volume's own is going to be lost."""

    def __init__(self, top):
        super().__init__(top)
        self.format = self.restore = ["--objects", "file://" + self.root]
        os.mkdir(self.root)

    def get(self, key):
        return open(self.root + "/" + key, "rb").read()

    def put(self, key, data=bytes(4096)):
        with open(self.root + "/" + key, "wb") as f:
            f.write(data)


class Bucket(tidy.Bucket):
    def start(self):
        super().start()
        self.restore = self.format

    def get(self, key):
        with tempfile.NamedTemporaryFile() as f:
            self.request("GET", "/tidy/" + key, "-o", f.name)
            return open(f.name, "rb").read()

    def put(self, key, data):
        with tempfile.NamedTemporaryFile() as f:
            open(f.name, "wb").write(data)
            self.request("PUT", "/tidy/" + key, "--data-binary", "@" + f.name)


class Volume(tidy.Server):
    def __init__(self, binary, top, store):
        super().__init__(binary, top + "/vol", store.env)
        self.env = {k: e for k, e in self.env.items() if not k.startswith("DITTOFS_")}
        self.top, self.store, self.files, self.key = top, store, {}, None

    def write(self, names):
        for name in names:
            size = SIZES.get(name, 50000)
            data = tidy.content(name + str(time.monotonic_ns()), size)
            f = self.mount.create(name)
            f.write(0, data)
            f.fsync()
            self.files[name] = data

    def same(self, files=None):
        for name, data in (self.files if files is None else files).items():
            assert self.mount.open(name).read(0, len(data) + 1) == data, name

    def backup(self):
        self.run("flush")
        out = json.loads(self.run("backup", "--json"))
        assert out["taken"] > 0 and not out["running"], out
        return out

    def keys(self, kind):
        return sorted(k for k in self.store.keys() if k.startswith("export/backups/" + kind))

    def lose(self):
        """The machine, and all that was on its disks."""
        self.kill()
        shutil.rmtree(self.vol)

    def restore(self, *args, status=0):
        return self.run("restore", *self.flags(), *args, status=status)

    def flags(self):
        return [*self.store.restore, *(["--encrypt-key", self.key] if self.key else [])]

    def listed(self):
        """What stands on stdout alone: a line of the log, of a store that was slow, say, is not of the list."""
        p = subprocess.run([self.binary, "restore", self.vol, *self.flags(), "--list", "--json"], env=self.env, stdout=subprocess.PIPE,
                           text=True, timeout=120, check=True)
        return json.loads(p.stdout)

    def take_over(self, files=None):
        """All of it, and nothing that is not."""
        self.start("--take-over")
        self.same(files)
        self.run("fsck")
        if files is not None:
            self.files = dict(files)

    def killed(self, point, *args):
        p = subprocess.run([self.binary, *args], env={**self.env, "DITTOFS_CRASH_AT": point}, stdout=subprocess.PIPE,
                           stderr=subprocess.STDOUT, text=True, timeout=120)
        assert p.returncode == -signal.SIGKILL, "%s is not met: %d %s" % (point, p.returncode, p.stdout)

    def configure(self, text):
        path = self.vol + "/dittofs.yaml"
        old = open(path).read()
        new, n = re.subn(r"(?ms)^backup:\n.*?\n\n", "backup:\n" + "".join("  %s\n" % line for line in text) + "\n", old)
        assert n == 1
        open(path, "w").write(new)


def rsa_key(top, name):
    subprocess.run(["openssl", "genrsa", "-out", name, "2048"], cwd=top, check=True, stderr=subprocess.DEVNULL, umask=0o077)
    return top + "/" + name


def until(what, test, seconds=60):
    end = time.monotonic() + seconds
    while not (answer := test()):
        assert time.monotonic() < end, what
        time.sleep(0.05)
    return answer


# ---- one step goes on from the other


def only_what_is_new_is_uploaded(v):
    assert "there is no backup" in v.restore("--list", status=1)
    v.start()
    v.mount.mkdir("d")
    v.write(SIZES)
    first = v.backup()
    assert len(v.keys("at/")) == 1 and first["sent_bytes"] == first["total_bytes"] > 0, first
    assert len(v.keys("data/")) == first["sent_objects"], first
    # More than a few pages of names, so that the metadata is more than the database's own bookkeeping.
    for i in range(300):
        v.mount.create("d/name%d" % i)
    second = v.backup()
    v.write(["another"])
    third = v.backup()
    assert third["sent_objects"] < third["files"] and third["sent_bytes"] < third["total_bytes"], (second, third)
    again = v.backup()
    assert again["sent_objects"] < again["files"] and again["kept"] == 4 and len(v.keys("at/")) == 4, again
    assert not os.path.exists(v.vol + "/meta/backup.tmp")
    # Pieces are named by the backups there are, each once.
    assert len(v.keys("data/")) == sum(b["sent_objects"] for b in (first, second, third, again))
    status = json.loads(v.run("status", "--json"))["backup"]
    assert (status["kept"], status["error"], status["newest"]) == (4, None, again["taken"]), status
    assert re.search(r"backups +4, newest 2", v.run("status"))


def all_is_lost(v):
    kept = dict(v.files)
    v.write(["later", "big"])
    v.mount.unlink("d/small3")
    v.run("flush")
    lost = v.files
    v.lose()
    out = v.restore("--list")
    assert out.count(" UTC") == 8, out
    assert "says where" not in out and not os.path.exists(v.vol)
    out = v.restore()
    assert "serve %s --take-over" % v.vol in out, out
    assert sorted(os.listdir(v.vol)) == ["cache", "dittofs.yaml", "journal", "meta"], os.listdir(v.vol)
    assert "is there: nothing was changed" in v.run("restore", status=1)
    assert "is there: nothing was changed" in v.restore(status=1)
    out = v.run("serve", "--listen", "127.0.0.1:0", status=1)
    assert "are owned by" in out and "--take-over" in out, out
    v.take_over(kept)
    assert "later" in lost and "later" not in v.mount.list("")
    assert json.loads(v.run("gc", "--age", "0", "--json"))["leaked"]["objects"] >= 1
    # It goes on from there, and its backups go on from those.
    v.write(["new", "later"])
    more = v.backup()
    assert more["sent_bytes"] < more["total_bytes"] and more["kept"] == 5, more
    v.run("gc", "--age", "0", "--delete")
    v.end()
    v.start()
    v.same()


def what_the_bucket_shows(v):
    """Names of files are nobody's business where the volume is encrypted, and then only who has the key gets them back."""
    if not v.key:
        assert b"file CURRENT " in v.store.get(v.keys("at/")[-1])
        v.lose()
        assert "a key is named, but the volume" in v.run("restore", *v.flags(), "--encrypt-key", rsa_key(v.top, "other.pem"), status=1)
        v.restore()
        return v.take_over()
    text = b"".join(v.store.get(k) for k in v.keys(""))
    for word in b"small1", b"rocksdb", b"CURRENT", b".sst", b"MANIFEST", b"/export":
        assert word not in text, word
    v.lose()
    assert "encrypted: say with --encrypt-key" in v.run("restore", *v.store.restore, status=1)
    assert "wrapped for RSA key" in v.run("restore", *v.store.restore, "--encrypt-key", rsa_key(v.top, "other.pem"), status=1)
    # One piece for another of the same length, and one that nobody has sealed.
    pieces = {k: v.store.get(k) for k in v.keys("data/")}
    last = max(pieces, key=lambda k: [int(n) for n in re.findall(r"\d+", k)])
    v.store.put(last, pieces[last][:12] + bytes(4) + pieces[last][16:])
    assert "damaged" in v.restore(status=1)
    v.store.put(last, pieces[last])
    v.restore()
    return v.take_over()


def an_instant_of_before(v):
    v.write(["d/small5"])
    before, old = v.backup(), dict(v.files)
    v.write(["d/small5", "big"])
    v.mount.unlink("d/small7")
    del v.files["d/small7"]
    v.backup()
    v.lose()
    assert "--at 'monday' is no time" in v.restore("--at", "monday", status=1)
    assert "there is none of that time" in v.restore("--at", "2001-01-01", status=1)
    at = next(b["time"] for b in v.listed() if b["taken"] == before["taken"])
    assert at in v.restore("--at", at)
    v.take_over(old)


def a_piece_is_damaged(v):
    v.write(["x"])
    v.backup()
    before = set(v.keys("data/"))
    files = dict(v.files)
    v.write(["y"])
    last = v.backup()
    new = sorted(set(v.keys("data/")) - before)
    manifest = v.keys("at/")[-1]
    v.lose()
    broken = new[-1]
    whole = v.store.get(broken)
    for harm, says in (lambda: v.store.damage(broken, 70), "is damaged"), (lambda: v.store.put(broken, whole[:-1]), "damaged"), \
            (lambda: v.store.delete(broken), "is missing"):
        harm()
        out = v.restore(status=1)
        assert re.search("cannot be restored: %s: .*%s.*the one before is of .*--at" % (broken, says), out), out
        assert not os.path.exists(v.vol + "/meta")
        v.store.put(broken, whole)
    text = v.store.get(manifest)
    v.store.damage(manifest, 200)
    out = v.restore(status=1)
    assert re.search("cannot be restored: it is damaged.*the one before is of", out), out
    assert [b["error"] is None for b in v.listed()][-2:] == [True, False]
    # Under another's name it is none.
    v.store.put(manifest, v.store.get(v.keys("at/")[-2]))
    assert "damaged" in v.restore(status=1)
    v.store.put(manifest, text[:100])
    assert "damaged" in v.restore(status=1)
    at = re.search(r'--at "([^"]*)"', out)[1]
    v.restore("--at", at)
    # The broken one deletes nothing, and is in nobody's way.
    v.take_over(files)
    pieces = set(v.keys("data/"))
    v.write(["z"])
    v.backup()
    assert pieces <= set(v.keys("data/"))
    assert "cannot be read" in open(v.log).read()
    v.store.put(manifest, text)
    v.backup()
    assert last["taken"] in [b["taken"] for b in v.listed()]


def killed_in_the_middle(v):
    v.end()
    kept = len(v.keys("at/"))
    for point in "backup.piece_made:2", "backup.pieces_made", "backup.made":
        v.env["DITTOFS_CRASH_AT"] = point
        v.start()
        del v.env["DITTOFS_CRASH_AT"]
        v.write(["k"])
        v.run("flush")
        v.run("backup", status=1)
        v.process.wait(60)
        kept += point == "backup.made"
        assert len(v.keys("at/")) == kept, point
        assert all(b["error"] is None for b in v.listed())
    v.start()
    v.same()
    out = v.backup()
    assert out["kept"] == kept + 1 and not os.path.exists(v.vol + "/meta/backup.tmp"), out
    # What those left that were killed is gone, and nothing else.
    v.lose()
    for point in "restore.piece_there:1", "restore.piece_there:2", "restore.before_rename":
        v.killed(point, "restore", v.vol, *v.flags())
        assert not os.path.exists(v.vol + "/meta")
        out = v.run("serve", "--listen", "127.0.0.1:0", status=1)
    v.restore()
    assert sorted(os.listdir(v.vol)) == ["cache", "dittofs.yaml", "journal", "meta"], os.listdir(v.vol)
    v.take_over()
    # The metadata disk alone: what dittofs.yaml says is enough.
    v.backup()
    v.kill()
    shutil.rmtree(v.vol + "/meta")
    assert "has a journal of other metadata" in v.run("restore", status=1)
    shutil.rmtree(v.vol + "/journal")
    v.run("restore")
    v.take_over()


def by_themselves(v):
    """Each second, for three: there are some, and old ones go with their pieces; what they need stays so long."""
    v.end()
    v.configure(["every: 1s", "keep: 3s"])
    v.start()
    until("a backup by itself", lambda: json.loads(v.run("status", "--json"))["backup"]["taken"] > 0)
    v.write(["p"])
    v.run("flush")
    first = v.listed()[-1]["taken"]
    until("old ones go", lambda: v.listed()[0]["taken"] > first)
    status = json.loads(v.run("status", "--json"))["backup"]
    assert status["error"] is None and status["next"] > 0, status
    v.end()
    v.configure(["every: 1s", "keep: 1h"])
    v.start()

    def rests():
        before = json.loads(v.run("status", "--json"))["backup"]
        time.sleep(2.5)
        after = json.loads(v.run("status", "--json"))["backup"]
        return before["taken"] > 0 and after["next"] > before["next"] and after["kept"] == before["kept"]
    until("none while nothing changes", rests)
    newest = v.listed()[-1]["taken"]
    v.write(["p"])
    until("one of the change", lambda: v.listed()[-1]["taken"] > newest)
    v.end()
    v.configure(["every: 0", "keep: 3s"])
    v.start()
    out = v.backup()
    until("the newest alone", lambda: len(v.keys("at/")) == 1)
    assert out["kept"] >= 1
    v.lose()
    v.restore()
    v.take_over()


def what_a_backup_needs_stays(v):
    v.end()
    v.configure(["every: 0", "keep: 1h"])
    with open(v.vol + "/dittofs.yaml") as f:
        conf = f.read()
    with open(v.vol + "/dittofs.yaml", "w") as f:
        f.write(re.sub("keep: 15s ", "keep: 5s ", conf))
    v.start()
    v.write(["gone", "big"])
    v.backup()
    old = dict(v.files)
    objects = {p["object"] for name in ("gone", "big") for p in json.loads(v.run("info", "/export/" + name, "--json"))["list"]}
    v.mount.unlink("gone")
    v.write(["big"])
    v.run("flush")
    time.sleep(8)  # longer than garbage.keep
    assert objects <= set(v.store.keys())
    v.lose()
    v.restore()
    v.take_over(old)


def an_old_owner_deletes_nothing(v):
    """It is still there when another one has taken over, and does not know it."""
    v.backup()
    old = v.process
    vol, v.vol = v.vol, v.top + "/second"
    v.restore()
    v.start("--take-over")
    v.backup()
    keys = set(v.store.keys())
    p = subprocess.run([v.binary, "backup", vol], env=v.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60)
    old.terminate()
    old.wait(60)
    gone = keys - set(v.store.keys())
    assert all(k.startswith("export/owners/") for k in gone), (gone, p.stdout)
    v.same()
    v.run("fsck")
    v.end()
    shutil.rmtree(v.vol)
    v.restore()
    v.take_over()


STEPS = (only_what_is_new_is_uploaded, all_is_lost, what_the_bucket_shows, an_instant_of_before, a_piece_is_damaged, killed_in_the_middle, by_themselves,
         what_a_backup_needs_stays, an_old_owner_deletes_nothing)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--binary", required=True)
    p.add_argument("--s3", action="store_true")
    p.add_argument("--encrypt", action="store_true")
    a = p.parse_args()
    top = tempfile.mkdtemp(prefix="dittofs-backup.", dir=os.environ.get("TMPDIR", "/var/tmp"))
    ending.by_exception()
    store = Bucket(top) if a.s3 else Directory(top)
    v = None
    try:
        store.start()
        v = Volume(os.path.realpath(a.binary), top, store)
        if a.encrypt:
            v.key = rsa_key(top, "key.pem")
        v.run("format", *store.format, *(["--encrypt", "aes256gcm", "--encrypt-key", v.key] if a.encrypt else []))
        passed, failed = tidy.in_order(STEPS, v.log, v)
        if not failed:
            v.end()
    finally:
        if v:
            v.kill()
        store.end()
        shutil.rmtree(top)
    print("%d passed, %d failed, 0 skipped" % (passed, failed))
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
