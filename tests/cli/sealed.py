#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""An encrypted volume as an operator meets it, and as somebody who may read and write all of its bucket would like it.

    tests/cli/sealed.py --binary PATH      # of a build with crash points (BUILD=debug), to be killed in the middle of a rotation
"""
import argparse
import errno
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
sys.path[:0] = [TOP + "/tests/s3", TOP + "/tests/cli"]
sys.dont_write_bytecode = True
import ending  # noqa: E402
import tidy  # noqa: E402

MIB = 1 << 20
PASSPHRASE = "correct horse"
# What a file consists of is easy to find, wherever a piece of it lies.
SIZES = {"big": 9 * MIB, "other": 9 * MIB, **{"d/small%d" % i: 3000 + i for i in range(40)}}


def pattern(name):
    return (b"THE PLAIN TEXT OF %s! " % name.encode()).ljust(64, b".")


def content(name, size):
    if name == "other":
        return tidy.content(name, size)  # nothing repeats in it
    return (pattern(name) * (size // 64 + 1))[:size]


class Volume(tidy.Server):
    def __init__(self, binary, top):
        super().__init__(binary, top + "/vol", {})
        self.top, self.objects = top, top + "/vol/objects/export"

    def command(self, *args, status=0, env={}):
        p = subprocess.run([self.binary, *args], env={**self.env, **env}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                           timeout=120, cwd=self.top)
        assert p.returncode == status, "%s: exit status %d, not %d: %s" % (args, p.returncode, status, p.stdout)
        return p.stdout

    def refused(self, says, *args, env={}):
        out = self.command(*args, status=1, env=env)
        assert re.search(says, out), "%s: %s" % (args, out)
        assert PASSPHRASE not in out

    def config(self, key, value):
        path = self.vol + "/dittofs.yaml"
        text, n = re.subn(r"(?m)^(  %s:) \S+" % key, r'\1 "%s"' % value, open(path).read())
        assert n == 1, key
        open(path, "w").write(text)

    def restart(self):
        """With nothing cached."""
        if self.process and self.process.poll() is None:
            self.end()
        shutil.rmtree(self.vol + "/cache", ignore_errors=True)
        self.start()

    def start(self, *args):
        super().start(*args)
        with open("/proc/%d/environ" % self.process.pid, "rb") as f:
            assert PASSPHRASE.encode() not in f.read(), "the environment shows the passphrase"
        assert PASSPHRASE not in open(self.log).read()

    def files(self):
        return sorted(os.path.join(d, f) for d, _, names in os.walk(self.objects) for f in names)

    def data(self):
        return [f for f in self.files() if "/chunks/" in f or "/packs/" in f]

    def write(self, names):
        for name in names:
            f = self.mount.create(name)
            f.write(0, content(name, SIZES[name]))
            f.fsync()
        self.run("flush")

    def same(self, names=SIZES):
        for name in names:
            assert self.mount.open(name).read(0, SIZES[name] + 1) == content(name, SIZES[name]), name

    def epochs(self):
        return [(k["epoch"], k["cipher"], k["rsa"]) for k in json.loads(self.command("key", "list", self.vol, "--json"))["keys"]]

    def blocks(self, name):
        """Its whole blocks of 4 MiB: where they are in the file, and their objects."""
        return [(p["offset"], self.vol + "/objects/" + p["object"]) for p in json.loads(self.run("info", "/export/" + name, "--json"))["list"]
                if p["length"] == 4 * MIB]


def openssl(top, *args):
    subprocess.run(["openssl", *args], cwd=top, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, umask=0o077)


def key_of(top, name):
    der = subprocess.run(["openssl", "rsa", "-in", name, "-passin", "pass:" + PASSPHRASE, "-pubout", "-outform", "DER"], cwd=top,
                         check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout
    return __import__("hashlib").sha256(der).hexdigest()


def footer(path):
    """Cipher and key of an object."""
    end = open(path, "rb").read()[-64:]
    assert end[:8] == b"DTTOBJ1\0", path
    return int.from_bytes(end[10:12], "little"), int.from_bytes(end[32:40], "little")


# ---- what one does, and what goes wrong


def made_with_care(v):
    for says, *args in (
        ("go together", "--encrypt", "aes256gcm"), ("go together", "--encrypt-key", "one.pem"),
        ("no such cipher", "--encrypt", "rot13", "--encrypt-key", "one.pem"),
        ("cannot open the key file .*none.pem: No such file", "--encrypt", "aes256gcm", "--encrypt-key", "none.pem"),
        ("public key only", "--encrypt", "aes256gcm", "--encrypt-key", "public.pem"),
        ("open to others.*0644.*chmod 600", "--encrypt", "aes256gcm", "--encrypt-key", "open.pem"),
        ("under a passphrase: set DITTOFS_ENCRYPTION_PASSPHRASE", "--encrypt", "aes256gcm", "--encrypt-key", "two.pem"),
    ):
        v.refused(says, "format", v.vol, *args)
        assert not os.path.exists(v.vol), "something was left"
    v.refused("wrong one", "format", v.vol, "--encrypt", "aes256gcm", "--encrypt-key", "two.pem",
              env={"DITTOFS_ENCRYPTION_PASSPHRASE": "not it"})
    v.command("format", v.vol, "--encrypt", "aes256gcm-rsa", "--encrypt-key", "one.pem")
    assert v.epochs() == [(1, "aes256gcm", key_of(v.top, "one.pem"))]
    assert len(v.files()) == 2, v.files()


def nothing_of_it_is_in_the_bucket(v):
    v.start()
    v.mount.mkdir("d")
    v.write(SIZES)
    v.same()
    assert v.epochs()[0][0] == 1, "of the running server"
    data = v.data()
    assert len(data) >= 7, data
    for f in v.files():
        text = open(f, "rb").read()
        for name in SIZES:
            p = pattern(name)
            assert not any(p[i:i + 8] in text for i in range(0, 24)), "%s is in %s" % (name, f)
        assert "/keys/" in f or "/owners/" in f or f.endswith("dittofs.json") or footer(f) == (1, 1), f
    v.restart()
    assert re.match("42 files in 2 directories, 18.1 MiB\n$", v.run("warmup"))
    before = json.loads(v.run("status", "--json"))["cache"]["misses"]
    v.same()
    assert json.loads(v.run("status", "--json"))["cache"]["misses"] == before
    v.run("fsck")
    assert json.loads(v.run("gc", "--json"))["leaked"]["objects"] == 0


def is_it_an_error(v, name, offset, length):
    """Never a byte that was not written; the log says what is wrong."""
    v.restart()
    try:
        got = v.mount.open(name).read(offset, length)
    except OSError as e:
        assert e.errno == errno.EIO, e
        assert re.search(r"object \S+ is (damaged|too short)", open(v.log).read())
        out = json.loads(v.run("warmup", "/export/" + name, "--json", status=1))
        assert out["errors"] == 1 and out["first_error"].startswith("/export/%s: " % name), out
        return
    raise AssertionError("%s: %d bytes were read, which are %s" % (name, len(got), "right" if got == content(name, SIZES[name])[
        offset:offset + length] else "wrong"))


def what_the_bucket_gives_instead(v):
    v.restart()
    (at, big), (at_next, big_next) = v.blocks("big")[:2]
    (at_other, other) = v.blocks("other")[0]
    keep = {f: open(f, "rb").read() for f in v.data()}
    assert len({len(keep[f]) for f in (big, big_next, other)}) == 1

    def put(path, text):
        with open(path, "wb") as f:
            f.write(text)

    # objects of two files, and of one
    for a, b in ((big, other), (big, big_next)):
        put(a, keep[b])
        put(b, keep[a])
        is_it_an_error(v, "big", at, 65536)
        is_it_an_error(v, *(("other", at_other) if b == other else ("big", at_next)), 4 * MIB)
        put(a, keep[a])
        put(b, keep[b])
    # frames within one
    frame = 65536 + 28
    text = bytearray(keep[other])
    text[0:frame], text[frame:2 * frame] = text[frame:2 * frame], text[0:frame]
    put(other, text)
    is_it_an_error(v, "other", at_other, 4096)
    # a bit of text, nonce and tag
    for byte in 1000, frame - 20, frame - 1:
        text = bytearray(keep[other])
        text[byte] ^= 1
        put(other, text)
        is_it_an_error(v, "other", at_other, 4096)
    # its first half only
    put(other, keep[other][:2 * MIB])
    is_it_an_error(v, "other", at_other + 3 * MIB, 4096)
    put(other, keep[other])
    # one that was there before, under the name of the one that is there now
    f = v.mount.open("big")
    f.write(at, tidy.content("new", 4 * MIB))
    v.run("flush")
    now = next(o for a, o in v.blocks("big") if a == at)
    assert now != big
    text = open(now, "rb").read()
    put(now, keep[big])
    is_it_an_error(v, "big", at, 4096)
    put(now, text)
    v.restart()
    f = v.mount.open("big")
    assert f.read(at, 4 * MIB) == tidy.content("new", 4 * MIB)
    f.write(at, content("big", SIZES["big"])[at:at + 4 * MIB])
    v.run("flush")
    v.restart()
    v.same()


def without_its_key(v):
    v.refused("already open in another dittofs", "key", "rotate", v.vol)
    v.end()
    serve = ("serve", v.vol, "--listen", "127.0.0.1:0")
    v.config("key_file", v.top + "/other.pem")
    v.refused("wrapped for RSA key %s.*holds %s" % (key_of(v.top, "one.pem")[:16], key_of(v.top, "other.pem")[:16]), *serve)
    v.refused("wrapped for RSA key", "key", "rotate", v.vol)
    v.config("key_file", "")
    v.refused("encrypted and .* names no key: set encryption.key_file", *serve)
    v.config("key_file", v.top + "/open.pem")
    v.refused("open to others .mode 0644.: chmod 600", *serve)
    v.config("key_file", v.top + "/none.pem")
    v.refused("No such file", *serve)
    v.config("key_file", v.top + "/one.pem")
    # A key and no cipher: somebody takes that volume for encrypted.
    plain = v.top + "/plain"
    v.command("format", plain)
    text = open(plain + "/dittofs.yaml").read()
    open(plain + "/dittofs.yaml", "w").write(text.replace('key_file: ""', 'key_file: "%s/one.pem"' % v.top))
    v.refused("made without --encrypt", "serve", plain, "--listen", "127.0.0.1:0")
    assert "not encrypted" in v.command("key", "list", plain)
    v.refused("not encrypted", "key", "rewrap", plain, "--new-key", "one.pem")
    open(plain + "/dittofs.yaml", "w").write(text)
    v.refused("not encrypted", "key", "rotate", plain)
    v.command("key", status=2)
    v.command("key", "rotate", status=2)
    v.command("key", "rewrap", v.vol, status=2)
    v.command("key", "frobnicate", v.vol, status=2)
    v.command("key", "rotate", v.vol, "--cipher", "rot13", status=2)


def killed(v, point, *args, env={}):
    out = subprocess.run([v.binary, *args], env={**v.env, **env, "DITTOFS_CRASH_AT": point}, cwd=v.top, stdout=subprocess.PIPE,
                         stderr=subprocess.STDOUT, text=True, timeout=120)
    assert out.returncode == -9, "%s is not met: %d %s" % (point, out.returncode, out.stdout)


def the_next_key(v):
    one = key_of(v.top, "one.pem")
    assert "key epoch 2 (chacha20)" in v.command("key", "rotate", v.vol, "--cipher", "chacha20")
    v.start()
    assert [e[:2] for e in v.epochs()] == [(1, "aes256gcm"), (2, "chacha20")]
    before = set(v.data())
    SIZES["later"] = 5 * MIB
    v.write(["later"])
    assert [footer(f) for f in set(v.data()) - before] == [(2, 2)] * 2
    v.restart()
    v.same()
    v.end()
    # The object is there and the record is not: that epoch is nobody's.  Then both, and nobody heard of it.
    killed(v, "key.object_made", "key", "rotate", v.vol)
    assert [e[0] for e in v.epochs()] == [1, 2]
    v.start()
    v.same()
    v.end()
    assert "key epoch 4 (chacha20)" in v.command("key", "rotate", v.vol)
    killed(v, "key.record_made", "key", "rotate", v.vol, "--cipher", "aes256gcm")
    assert [e[0] for e in v.epochs()] == [1, 2, 4, 5]
    assert all(e[2] == one for e in v.epochs())
    v.restart()
    v.same()
    before = set(v.data())
    SIZES["last"] = 100000
    v.write(["last"])
    assert [footer(f) for f in set(v.data()) - before] == [(1, 5)]
    v.end()


def another_rsa_key(v):
    two, new = key_of(v.top, "two.pem"), {"DITTOFS_ENCRYPTION_NEW_PASSPHRASE": PASSPHRASE}
    rewrap = ("key", "rewrap", v.vol, "--new-key", "two.pem")
    v.refused("DITTOFS_ENCRYPTION_NEW_PASSPHRASE", *rewrap)
    v.refused("wrong one", *rewrap, env={"DITTOFS_ENCRYPTION_NEW_PASSPHRASE": "not it"})
    killed(v, "key.rewrapped_one:2", *rewrap, env=new)
    v.restart()  # with the old one
    v.same()
    v.end()
    killed(v, "key.rewrapped", *rewrap, env=new)
    assert {e[2] for e in v.epochs()} == {two}
    v.refused("wrapped for RSA key", "serve", v.vol, "--listen", "127.0.0.1:0")
    assert "5 keys" in v.command(*rewrap, env=new) or "4 keys" in v.command(*rewrap, env=new)
    names = sorted(os.listdir(v.objects + "/keys"))
    assert all(n.endswith("-" + two[:16]) for n in names) and len(names) == 4, names
    v.config("key_file", v.top + "/two.pem")
    v.refused("set DITTOFS_ENCRYPTION_PASSPHRASE", "serve", v.vol, "--listen", "127.0.0.1:0")
    v.refused("wrong one", "serve", v.vol, "--listen", "127.0.0.1:0", env={"DITTOFS_ENCRYPTION_PASSPHRASE": "not it"})
    v.env["DITTOFS_ENCRYPTION_PASSPHRASE"] = PASSPHRASE
    v.restart()
    v.same()
    v.end()
    del v.env["DITTOFS_ENCRYPTION_PASSPHRASE"]
    with open(v.top + "/passphrase", "w") as f:
        f.write(PASSPHRASE + "\n")
    v.config("passphrase_file", v.top + "/passphrase")
    os.chmod(v.top + "/passphrase", 0o644)
    v.refused("the passphrase file .* is open to others", "serve", v.vol, "--listen", "127.0.0.1:0")
    os.chmod(v.top + "/passphrase", 0o600)
    v.restart()
    v.same()
    v.end()


def with_the_rsa_key_alone(v):
    """What stands in the bucket is enough for openssl, and what somebody else put there is refused."""
    name = next(n for n in os.listdir(v.objects + "/keys") if n.startswith("5-"))
    text = dict(line.split(" ", 1) for line in open(v.objects + "/keys/" + name).read().splitlines()[1:])
    with open(v.top + "/wrapped", "wb") as f:
        f.write(bytes.fromhex(text["wrapped"]))
    key = subprocess.run(["openssl", "pkeyutl", "-decrypt", "-inkey", "two.pem", "-passin", "pass:" + PASSPHRASE, "-in", "wrapped", "-pkeyopt",
                          "rsa_padding_mode:oaep", "-pkeyopt", "rsa_oaep_md:sha256"], cwd=v.top, check=True, stdout=subprocess.PIPE).stdout
    assert len(key) == 32 and text["cipher"] == "aes256gcm"
    v.start()
    log = open(v.log, "rb").read()
    assert key.hex().encode() not in log and key not in log
    v.run("backup", v.top + "/copy")
    v.end()
    shutil.rmtree(v.vol + "/meta")
    os.rename(v.top + "/copy", v.vol + "/meta")
    v.restart()
    v.same()


STEPS = (made_with_care, nothing_of_it_is_in_the_bucket, what_the_bucket_gives_instead, without_its_key, the_next_key, another_rsa_key,
         with_the_rsa_key_alone)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--binary", required=True)
    a = p.parse_args()
    top = tempfile.mkdtemp(prefix="dittofs-sealed.", dir=os.environ.get("TMPDIR", "/var/tmp"))
    ending.by_exception()
    v = Volume(os.path.realpath(a.binary), top)
    v.env = {k: e for k, e in v.env.items() if not k.startswith("DITTOFS_")}
    try:
        openssl(top, "genrsa", "-out", "one.pem", "2048")
        openssl(top, "genrsa", "-aes256", "-passout", "pass:" + PASSPHRASE, "-out", "two.pem", "2048")
        openssl(top, "genrsa", "-out", "other.pem", "2048")
        openssl(top, "rsa", "-in", "one.pem", "-pubout", "-out", "public.pem")
        shutil.copy(top + "/one.pem", top + "/open.pem")
        os.chmod(top + "/open.pem", 0o644)
        passed, failed = tidy.in_order(STEPS, v.log, v)
        if not failed:
            v.end()
    finally:
        v.kill()
        shutil.rmtree(top)
    print("%d passed, %d failed, 0 skipped" % (passed, failed))
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
