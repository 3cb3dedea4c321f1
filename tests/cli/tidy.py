#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""info, fsck, gc, compact and backup as an operator uses them, on a server with files in it.

    tests/cli/tidy.py --binary PATH            # objects in a directory
    tests/cli/tidy.py --binary PATH --s3       # in a bucket of tests/s3/rgw.sh
"""
import argparse
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
sys.path.insert(0, TOP + "/tests/s3")
sys.dont_write_bytecode = True
import ending  # noqa: E402
import nfs3  # noqa: E402

LEAKED = "export/chunks/01/0/1_0_4096"  # of a start before the first one that took an epoch
MIB = 1 << 20


class Directory:
    def __init__(self, vol):
        self.root, self.format, self.env = vol + "/objects", [], {}

    def start(self):
        pass

    def keys(self):
        return [os.path.relpath(os.path.join(d, f), self.root) for d, _, files in os.walk(self.root) for f in files]

    def put(self, key):
        os.makedirs(os.path.dirname(self.root + "/" + key), exist_ok=True)
        with open(self.root + "/" + key, "wb") as f:
            f.write(bytes(4096))

    def delete(self, key):
        os.unlink(self.root + "/" + key)

    def damage(self, key, at):
        with open(self.root + "/" + key, "r+b") as f:
            f.seek(at)
            byte = f.read(1)[0]
            f.seek(at)
            f.write(bytes([byte ^ 4]))

    def end(self):
        pass


class Bucket:
    def __init__(self, top):
        self.dir = top + "/rgw"

    def start(self):
        self.rgw = dict(line.split("=", 1) for line in self.script("start").splitlines())
        self.env = {"AWS_ACCESS_KEY_ID": self.rgw["S3_ACCESS_KEY"], "AWS_SECRET_ACCESS_KEY": self.rgw["S3_SECRET_KEY"]}
        self.format = ["--objects", "s3://%s/tidy" % self.rgw["S3_BUCKET"], "--endpoint", self.rgw["S3_ENDPOINT"], "--style", "path"]

    def script(self, what):
        return ending.script([TOP + "/tests/s3/rgw.sh", what, self.dir])

    def request(self, method, path, *more):
        return subprocess.run(["curl", "-sf", "-m", "20", "--aws-sigv4", "aws:amz:us-east-1:s3", "-H",
                               "x-amz-content-sha256: UNSIGNED-PAYLOAD", "--user", "%s:%s" % tuple(self.env.values()), "-X", method,
                               "%s/%s%s" % (self.rgw["S3_ENDPOINT"], self.rgw["S3_BUCKET"], path), *more], check=True,
                              stdout=subprocess.PIPE, text=True).stdout

    def keys(self):
        return [k[len("tidy/"):] for k in re.findall("<Key>([^<]*)</Key>", self.request("GET", "?list-type=2&prefix=tidy%2F"))]

    def put(self, key):
        self.request("PUT", "/tidy/" + key, "--data-binary", "x" * 4096)

    def delete(self, key):
        self.request("DELETE", "/tidy/" + key)

    def damage(self, key, at):
        with tempfile.NamedTemporaryFile() as f:
            self.request("GET", "/tidy/" + key, "-o", f.name)
            data = bytearray(open(f.name, "rb").read())
            data[at] ^= 4
            open(f.name, "wb").write(data)
            self.request("PUT", "/tidy/" + key, "--data-binary", "@" + f.name)

    def end(self):
        self.script("wipe")


class Server:
    def __init__(self, binary, vol, env):
        self.binary, self.vol, self.env, self.log = binary, vol, {**os.environ, **env}, vol + ".log"
        self.process = None

    def run(self, command, *args, status=0):
        p = subprocess.run([self.binary, command, self.vol, *args], env=self.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                           text=True, timeout=120)
        assert p.returncode == status, "%s: exit status %d, not %d: %s" % (command, p.returncode, status, p.stdout)
        return p.stdout

    def start(self, *args):
        with open(self.log, "w") as log:
            self.process = subprocess.Popen([self.binary, "serve", self.vol, "--listen", "127.0.0.1:0", *args], env=self.env, stderr=log)
        while not (at := re.search(r"serving .* on .*:(\d+) with", open(self.log).read())):
            assert self.process.poll() is None, open(self.log).read()
        self.mount = nfs3.Mount(int(at[1]))

    def end(self, sig=signal.SIGTERM):
        self.process.send_signal(sig)
        self.process.wait(60)

    def kill(self):
        if self.process and self.process.poll() is None:
            self.end(signal.SIGKILL)


def content(name, size):
    return random.Random(name).randbytes(size)


SIZES = {"big": 9 * MIB, "d/large": 5 * MIB, **{"d/small%d" % i: 3000 + i for i in range(20)}}


def write(s, names):
    for name in names:
        f = s.mount.create(name)
        f.write(0, content(name, SIZES[name]))
        f.fsync()


def same(s, names):
    for name in names:
        assert s.mount.open(name).read(0, SIZES[name] + 1) == content(name, SIZES[name]), name


def all_there(s, store):
    s.mount.mkdir("d")
    write(s, SIZES)
    s.run("flush")
    out = s.run("fsck")
    assert "22 files with data" in out and "all are there" in out, out
    assert json.loads(s.run("gc", "--json"))["leaked"]["objects"] == 0
    keys = store.keys()
    for name, size in SIZES.items():
        info = json.loads(s.run("info", "/export/" + name, "--json"))
        assert (info["type"], info["size"], info["stored"]) == ("file", size, size), info
        assert sum(p["length"] for p in info["list"]) == size and all(p["object"] in keys for p in info["list"]), info
    assert "21 entries" in s.run("info", "/export/d/")
    assert "no such file" in s.run("info", "/export/d/nothing", status=1)
    assert "no such file" in s.run("info", "/exportd", status=1)
    assert "Not a directory" in s.run("info", "/export/big/x", status=1)


def an_object_is_gone(s, store):
    gone = next(k for k in store.keys() if re.search(r"_1_\d+$", k))
    store.delete(gone)
    s.end()
    shutil.rmtree(s.vol + "/cache")
    s.start()
    out = s.run("fsck", status=1)
    name = "big" if "/export/big" in out else "d/large"
    assert "/export/%s: bytes 4194304 to %d: %s is missing" % (name, min(8 * MIB, SIZES[name]) - 1, gone) in out, out
    assert json.loads(s.run("fsck", "--json", status=1))["broken"] == 1
    try:
        s.mount.open(name).read(4 * MIB, 4096)
        raise AssertionError("a byte of an object that is gone was read")
    except OSError as e:
        assert e.errno == 5, e
    out = s.run("warmup", status=1)
    assert re.search(r"\n1 could not be read, the first: /export/%s: " % name, out), out
    s.mount.unlink(name)
    write(s, [name])
    s.run("flush")
    s.run("fsck")
    same(s, SIZES)


def small_pieces_are_merged(s, store):
    """Of a run that merges nothing by itself for an hour, and has not seen the file yet."""
    f = s.mount.open("big")
    data = bytearray(content("big", SIZES["big"]))
    for off in range(0, MIB, 8192):
        data[off:off + 4096] = content("piece%d" % off, 4096)
        f.write(off, data[off:off + 4096])
    s.run("flush")
    pieces = len(json.loads(s.run("info", "/export/big", "--json"))["list"])
    s.end()
    s.start()
    out = json.loads(s.run("compact", "--json"))
    after = json.loads(s.run("info", "/export/big", "--json"))
    assert pieces > 100 and len(after["list"]) < 10 and after["size"] == SIZES["big"], (pieces, after)
    assert (out["worth"], out["waiting"], out["errors"]) == (1, 0, 0) and out["pieces_before"] > 100, out
    assert s.mount.open("big").read(0, SIZES["big"] + 1) == data
    out = s.run("compact")
    assert re.match(r"0 of \d+ chunks had something to merge\n$", out), out
    write(s, ["big"])
    s.run("flush")
    s.run("fsck")


def files_are_warmed_up(s, store):
    """What it has read is found in memory by who reads it next."""
    s.end()
    s.start()
    out = s.run("warmup", "/export/nothing", status=1)
    assert "/export/nothing: there is no such file; a path begins with its share" in out, out
    out = json.loads(s.run("warmup", "/export/d/small3", "/export/d/small4", "--json"))
    assert (out["files"], out["bytes"], out["directories"], out["errors"]) == (2, 6007, 0, 0), out
    out = json.loads(s.run("warmup", "/export/d", "-p", "3", "--json"))
    assert (out["files"], out["bytes"], out["directories"]) == (21, sum(SIZES.values()) - SIZES["big"], 1), out
    out = s.run("warmup")
    assert re.match(r"22 files in 2 directories, 14.1 MiB\n$", out), out
    before = json.loads(s.run("status", "--json"))["cache"]["misses"]
    same(s, SIZES)
    assert json.loads(s.run("status", "--json"))["cache"]["misses"] == before
    a_warmup_is_interrupted(s)


def asked(s, path):
    with socket.socket(socket.AF_UNIX) as c:
        c.connect(s.vol + "/control.sock")
        c.sendall(b"GET %s HTTP/1.0\r\nHost: dittofs\r\n\r\n" % path.encode())
        return json.loads(b"".join(iter(lambda: c.recv(65536), b"")).split(b"\r\n\r\n", 1)[1])


def a_warmup_is_interrupted(s):
    """Of a file of 1 PiB: as holes it takes no room, and hours."""
    f = s.mount.create("holes")
    f.write((1 << 50) - 5, b"hello")
    f.fsync()
    p = subprocess.Popen([s.binary, "warmup", s.vol, "/export/holes", "/export/big", "--json"], env=s.env, stdout=subprocess.PIPE)
    while not asked(s, "/warmup")["bytes"] > 1 << 30 or not asked(s, "/warmup")["running"]:
        assert p.poll() is None, p.returncode
    assert "one is under way" in s.run("warmup", status=1)
    p.send_signal(signal.SIGINT)
    out = json.loads(p.communicate(timeout=60)[0])
    assert p.returncode == 128 + signal.SIGINT, p.returncode
    assert (out["interrupted"], out["files"], out["errors"]) == (True, 0, 0) and 1 << 30 < out["bytes"] < 1 << 50, out
    assert json.loads(s.run("warmup", "/export/big", "--json"))["bytes"] == SIZES["big"]
    s.mount.unlink("holes")


def an_object_is_leaked(s, store):
    store.put(LEAKED)
    assert json.loads(s.run("gc", "--delete", "--json"))["recent"]["objects"] >= 1
    assert re.search("leaked +1 objects", s.run("gc", "--age", "0"))
    out = json.loads(s.run("gc", "--age", "0", "--delete", "--json"))
    assert (out["leaked"]["objects"], out["deleted"]["objects"], out["deleted"]["bytes"]) == (1, 1, 4096), out
    assert LEAKED not in store.keys()
    s.run("fsck")
    same(s, SIZES)


def text(name, size):
    """What any codec makes shorter."""
    words = content(name, 4000).hex()
    r = random.Random(name)
    return "".join(words[(at := r.randrange(7900)):at + r.randrange(20, 90)] for _ in range(size // 50 + 100))[:size].encode()


def info_of(s, name):
    return json.loads(s.run("info", "/export/" + name, "--json"))


def compressed(s, word):
    """From the next start on; what memory and cache have is forgotten."""
    s.end()
    with open(s.vol + "/dittofs.yaml") as f:
        conf = re.sub("compression: .*", "compression: " + word, f.read())
    with open(s.vol + "/dittofs.yaml", "w") as f:
        f.write(conf)
    shutil.rmtree(s.vol + "/cache", ignore_errors=True)
    s.start()
    assert "compression " + word in s.run("status"), s.run("status")


def frames_are_compressed(s, store):
    wrote, random_bytes = {}, content("random", 3 * MIB)
    for word, codec in ("lz4", "lz4"), ("zstd:3", "zstd"), ("none", "raw"):
        compressed(s, word)
        for name in wrote:  # of other codecs than the one that is in use
            assert s.mount.open(name).read(0, 6 * MIB) == wrote[name], name
        for name, data in ("c-" + codec, text(codec, 5 * MIB + 20000)), ("p-" + codec, text(codec, 9000)), ("r-" + codec, random_bytes):
            f = s.mount.create(name)
            f.write(0, data)
            f.fsync()
            wrote[name] = data
        s.run("flush")
        whole, part, rand = (info_of(s, x + codec) for x in ("c-", "p-", "r-"))
        saved = whole["object_bytes"] < whole["size"] * 3 // 4
        assert saved == (codec != "raw") and whole["frames"][codec] == 81 and part["frames"][codec] == 1, (whole, part)
        assert rand["object_bytes"] == rand["size"] and rand["frames"]["raw"] == 48, rand
        assert whole["stored"] == whole["size"], whole  # `used` counts the file's bytes
        up = json.loads(s.run("status", "--json"))["pending"]
        assert (up["uploaded_bytes"] < up["uploaded_plain_bytes"] * 9 // 10) == (codec != "raw"), up
    # Old frames stay as they are, those that are merged with others are made anew.
    compressed(s, "zstd:1")
    f = s.mount.open("c-lz4")
    data = bytearray(wrote["c-lz4"])
    for off in range(0, 2 * 65536, 4096):
        data[off:off + 2048] = text("piece%d" % off, 2048)
        f.write(off, data[off:off + 2048])
        if off % 16384 == 0:
            s.run("flush")
    s.run("flush")
    s.run("compact")
    after = info_of(s, "c-lz4")
    assert after["frames"]["zstd"] >= 2 and after["frames"]["lz4"] >= 60, after
    wrote["c-lz4"] = bytes(data)
    s.run("fsck")
    compressed(s, "none")
    for name, data in wrote.items():
        assert s.mount.open(name).read(0, 6 * MIB) == data, name
    # A byte of a compressed frame has changed: an error for who reads that frame, and the others' bytes.
    at = next(p for p in info_of(s, "c-zstd")["list"] if p["offset"] == 0)
    store.damage(at["object"], at["block_at"] + 10)
    compressed(s, "none")
    f = s.mount.open("c-zstd")
    assert f.read(65536, 65536) == wrote["c-zstd"][65536:131072]
    try:
        f.read(0, 4096)
        raise AssertionError("a frame that is damaged was read")
    except OSError as e:
        assert e.errno == 5, e
    assert at["object"] + " is damaged" in open(s.log).read()
    for name in wrote:
        s.mount.unlink(name)


def the_metadata_is_lost(s, store):
    copy = s.vol + ".copy of monday"
    s.run("flush")
    s.run("backup", copy)
    s.mount.mkdir("later")
    SIZES["later/x"] = 100
    write(s, ["later/x"])
    del SIZES["later/x"]
    s.run("flush")
    s.end(signal.SIGKILL)
    shutil.rmtree(s.vol + "/meta")
    shutil.rmtree(s.vol + "/journal")
    os.mkdir(s.vol + "/journal", 0o700)
    os.rename(copy, s.vol + "/meta")
    s.start("--take-over")
    s.run("fsck")
    same(s, SIZES)
    # What came after the copy is leaked now.
    assert json.loads(s.run("gc", "--age", "0", "--delete", "--json"))["deleted"]["objects"] >= 1
    SIZES["new"] = 5 * MIB
    write(s, ["new"])
    s.end()
    s.start()
    s.run("fsck")
    same(s, SIZES)


def in_order(steps, log, *args):
    """Runs the steps, each of which goes on from the one before, up to one that fails: how many passed, how many failed."""
    for n, step in enumerate(steps):
        try:
            step(*args)
            print("ok      ", step.__name__.replace("_", " "), flush=True)
        except (AssertionError, OSError, subprocess.SubprocessError) as e:
            print("FAILED  ", step.__name__, ":", repr(e))
            if os.path.exists(log):
                print(open(log).read())
            return n, 1
    return len(steps), 0


def of_one_server(make, prepare, steps):
    """The whole of a suite: steps on one server of a volume of its own, make(binary, directory, environment), of which nothing stays."""
    p = argparse.ArgumentParser()
    p.add_argument("--binary", required=True)
    binary = os.path.realpath(p.parse_args().binary)
    top = tempfile.mkdtemp(prefix="dittofs-cli.", dir=os.environ.get("TMPDIR", "/var/tmp"))
    ending.by_exception()
    s = None
    try:
        s = make(binary, top + "/vol", {})
        s.run("format")
        prepare(s)
        passed, failed = in_order(steps, s.log, s)
        if failed == 0:
            s.end()
    finally:
        if s:
            s.kill()
        shutil.rmtree(top)
    print("%d passed, %d failed, 0 skipped" % (passed, failed))
    return failed > 0


def rested(vol):
    with open(vol + "/dittofs.yaml") as f:
        text = f.read()
    assert "  delay: 2s " in text
    with open(vol + "/dittofs.yaml", "w") as f:
        f.write(text.replace("  delay: 2s ", "  delay: 1h ", 1))


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--binary", required=True)
    p.add_argument("--s3", action="store_true")
    a = p.parse_args()
    top = tempfile.mkdtemp(prefix="dittofs-tidy.", dir=os.environ.get("TMPDIR", "/var/tmp"))
    ending.by_exception()
    store = Bucket(top) if a.s3 else Directory(top + "/vol")
    s = None
    try:
        store.start()
        s = Server(os.path.realpath(a.binary), top + "/vol", store.env)
        s.run("format", *store.format)
        rested(s.vol)
        s.start()
        passed, failed = in_order((all_there, an_object_is_gone, small_pieces_are_merged, files_are_warmed_up, frames_are_compressed,
                                   an_object_is_leaked, the_metadata_is_lost), s.log, s, store)
        s.end()
    finally:
        if s:
            s.kill()
        store.end()
        shutil.rmtree(top)
    print("%d passed, %d failed, 0 skipped" % (passed, failed))
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
