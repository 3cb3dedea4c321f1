#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""SIGHUP: what a running server takes from a changed dittofs.yaml, what it leaves for the next start, and a file with an error.

    tests/cli/reload.py --binary PATH
"""
import errno
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
sys.path[:0] = [TOP + "/tests/s3", TOP + "/tests/cli"]
sys.dont_write_bytecode = True
import nfs3  # noqa: E402
from tidy import Server, content, of_one_server  # noqa: E402


class ReloadServer(Server):
    def said(self):
        with open(self.log) as f:
            return f.read()

    def set(self, key, word):
        """A line of the template, the first that has the key."""
        with open(self.vol + "/dittofs.yaml") as f:
            text, n = re.subn(r"(?m)^( *)(?:# )?%s: .*$" % key, r"\g<1>%s: %s" % (key, word), f.read(), count=1)
        assert n == 1, (key, n)
        with open(self.vol + "/dittofs.yaml", "w") as f:
            f.write(text)

    def hup(self):
        """What it says of it, as soon as it is done."""
        done = r"(?s)SIGHUP: (\d+ settings changed, \d+ wait for the next start|all settings stay as they were)\n"
        before, end = len(self.said()), time.monotonic() + 60
        self.process.send_signal(signal.SIGHUP)
        while not re.search(done, self.said()[before:]):
            assert time.monotonic() < end and self.process.poll() is None, self.said()
            time.sleep(0.01)
        return self.said()[before:]

    def changed(self, key, word):
        self.set(key, word)
        out = self.hup()
        assert "SIGHUP: 1 settings changed, 0 wait" in out and ".%s is " % key in "." + out.split("SIGHUP: ")[1], out

    def trash(self, retention):
        with open(self.vol + "/dittofs.yaml") as f:
            text, n = re.subn(r"(?m)^      retention: .*$", "      retention: " + retention, f.read())
        assert n == 1
        with open(self.vol + "/dittofs.yaml", "w") as f:
            f.write(text)
        return self.hup()

    def check(self):
        p = subprocess.run([self.binary, "config", "check", self.vol], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60)
        assert p.returncode == 0 and "dittofs.yaml: fine\n" in p.stdout, p.stdout
        return p.stdout

    def status(self):
        return json.loads(self.run("status", "--json"))


def refused(code, call, *args):
    try:
        call(*args)
    except OSError as e:
        assert e.errno == code, e
    else:
        raise AssertionError("%s was taken" % (args,))


def calmly(step):
    """A thread's log takes 50 lines a second, and a step waits for lines: none shares a second with the step before."""
    def run(s):
        time.sleep(1.1)
        step(s)
    run.__name__ = step.__name__
    return run


def nothing_has_changed(s):
    assert "SIGHUP: 0 settings changed, 0 wait" in s.hup()


def rules_are_those_of_open_connections_too(s):
    f = s.mount.create("a")
    f.write(0, b"one")
    s.changed("read_only", "true")
    refused(errno.EROFS, s.mount.create, "b")
    refused(errno.EROFS, f.write, 0, b"two")
    assert f.read(0, 3) == b"one" and s.status()["shares"][0]["read_only"]
    s.changed("read_only", "false")
    f.write(0, b"two")
    s.changed("clients", '["192.0.2.0/24"]')
    refused(errno.EACCES, f.read, 0, 3)
    refused(errno.EACCES, nfs3.Mount, s.mount.socket.getpeername()[1])
    s.changed("clients", '["127.0.0.0/8"]')
    assert f.read(0, 3) == b"two"
    mine = s.mount.create("mine", 0o600)
    mine.write(0, b"root's")
    s.changed("squash", "all")
    refused(errno.EACCES, mine.read, 0, 6)
    s.changed("squash", "none")
    assert mine.read(0, 6) == b"root's"


def rates_and_delays(s):
    """An upload that would have been due in an hour is due now."""
    s.changed("upload_delay", "1h")
    f = s.mount.create("late")
    f.write(0, content("late", 100000))
    f.fsync()
    assert s.status()["pending"]["bytes"] >= 100000
    s.changed("upload_delay", "100ms")
    end = time.monotonic() + 60
    while s.status()["pending"]["bytes"] > 0:
        assert time.monotonic() < end, s.status()["pending"]
        time.sleep(0.05)
    s.changed("log_level", "debug     # all of it")
    s.changed("log_level", "info")
    s.changed("rate", "1536KiB")
    s.changed("keep", "20s")
    assert "compaction" not in s.check()


def what_was_removed_is_kept_from_now_on(s):
    out = s.trash("24h")
    assert re.search(r"warn SIGHUP: shares./export.trash.retention is \"86400s\" in the file, it was \"0s\": from the next start on", out), out
    s.end()
    s.start()
    s.mount.create("gone").write(0, b"x")
    assert "SIGHUP: 1 settings changed" in s.trash("0")
    s.mount.unlink("gone")
    assert s.status()["shares"][0]["trash"]["inodes"] == 0
    assert "SIGHUP: 1 settings changed" in s.trash("1h")
    s.mount.create("kept").write(0, b"x")
    s.mount.unlink("kept")
    assert s.status()["shares"][0]["trash"]["inodes"] >= 1 and s.status()["shares"][0]["trash"]["retention_s"] == 3600


def what_waits_for_the_next_start(s):
    s.set("cores", "1")
    s.set("buffer_size", "256MiB")
    s.set("repack", "0.25")
    out = s.hup()
    assert "warn SIGHUP: cores is 1 in the file, it was 0: from the next start on" in out, out
    assert 'warn SIGHUP: memory.buffer_size is "256MiB" in the file, it was "512MiB": from the next start on' in out, out
    assert "info SIGHUP: compaction.repack is 0.25 now, it was 0.5" in out and "SIGHUP: 1 settings changed, 2 wait" in out, out
    assert s.status()["cores"] == 2
    shown = s.check()
    assert 'memory.buffer_size: "256MiB", the running server has "512MiB": from the next start on' in shown and "repack" not in shown, shown
    s.set("repack", "0.5")
    assert "compaction.repack: 0.5, the running server has 0.25: SIGHUP makes it take it" in s.check()
    with open(s.vol + "/dittofs.yaml") as f:
        whole = f.read()
    with open(s.vol + "/dittofs.yaml", "a") as f:
        f.write("  - name: /other\n")
    out = s.hup()
    assert re.search(r"warn SIGHUP: shares./other is \{.*\} in the file, it was not there: from the next start on", out), out
    with open(s.vol + "/dittofs.yaml", "w") as f:
        f.write(whole)
    assert "shares./other is gone in the file" in s.hup()


def a_file_with_an_error_changes_nothing(s):
    before = s.check()
    with open(s.vol + "/dittofs.yaml") as f:
        whole = f.read()
    s.set("read_only", "true")
    s.set("repack", "7")
    line = next(i for i, text in enumerate(open(s.vol + "/dittofs.yaml"), 1) if "repack:" in text)
    out = s.hup()
    assert "error SIGHUP: %s/dittofs.yaml:%d: compaction.repack: 7 is out of range" % (s.vol, line) in out, out
    s.mount.create("still")
    for text in "", "version: [", "version: 1\nno: key\n":
        with open(s.vol + "/dittofs.yaml", "w") as f:
            f.write(text)
        assert "all settings stay as they were" in s.hup()
    os.unlink(s.vol + "/dittofs.yaml")
    assert "all settings stay as they were" in s.hup()
    with open(s.vol + "/dittofs.yaml", "w") as f:
        f.write(whole)
    assert "SIGHUP: 0 settings changed, 0 wait" in s.hup()
    assert s.check() == before and not s.status()["shares"][0]["read_only"]


def beside_clients(s):
    """Rules that are changed to and fro: every call is answered by the old ones or by the new ones."""
    port, stop, wrong, seen = s.mount.socket.getpeername()[1], threading.Event(), [], set()

    def client(n, f):
        while not stop.is_set():
            try:
                f.write(0, content(str(n), 5000))
                seen.add("written")
                if f.read(0, 5000) != content(str(n), 5000):
                    wrong.append("other bytes")
            except OSError as e:
                seen.add("refused")
                if e.errno != errno.EROFS:
                    wrong.append(e)

    threads = [threading.Thread(target=client, args=(n, nfs3.Mount(port).create("c%d" % n)), daemon=True) for n in range(4)]
    for t in threads:
        t.start()
    for word in ["true", "false"] * 8:
        s.changed("read_only", word)
        seen.clear()
        end = time.monotonic() + 60
        while ("refused" if word == "true" else "written") not in seen:
            assert time.monotonic() < end, word
            time.sleep(0.001)
    stop.set()
    for t in threads:
        t.join()
    assert not wrong, wrong


STEPS = (nothing_has_changed, rules_are_those_of_open_connections_too, rates_and_delays, what_was_removed_is_kept_from_now_on,
         what_waits_for_the_next_start, a_file_with_an_error_changes_nothing, beside_clients)

if __name__ == "__main__":
    sys.exit(of_one_server(ReloadServer, ReloadServer.start, [calmly(step) for step in STEPS]))
