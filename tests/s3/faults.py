#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""An object store that misbehaves, and what a client of dittofs sees of it. run.sh beside this file calls it.

For each fault: a server that was killed and comes back with nothing cached, two clients that read cold
and two that write and sync, a while with the fault, and then without it. No byte may be wrong, no
synced write may be lost, and all must go on by itself. The table at the end is what was seen."""
import argparse
import errno
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback

import disks
import drain
import ending
import outage
from rig import Failed, Gateway, Later, Proxy, Reader, Saw, Server, Writer, content, resolve, within

FAULT_S = 2.5


class Rig:
    def __init__(self, top, binary):
        self.top, self.binary = top, binary
        self.gateway = Gateway(top)
        self.proxy = Proxy(top, self.gateway.port)
        self.server = Server(top, "vol", binary, self.gateway, self.proxy.port)
        self.server.format()
        self.server.start()
        self.saw, self.files, self.last_read, self.hopeless = Saw(), 0, 0.0, False
        self.written = []  # (name, seed, size) of what was acknowledged
        self.stored = []   # (name, bytes) of what readers read
        self.table = []

    def fill(self):
        """Files for the readers: some of many blocks, and small ones that share a pack."""
        m = self.server.mount()
        for i in range(10):
            self.stored.append(("/big%d" % i, content(1000 + i, (5 << 20) + i * 1001)))
        for i in range(60):
            self.stored.append(("/small%d" % i, content(2000 + i, 500 + i * 331)))
        for name, data in self.stored:
            f = m.create(name)
            f.write(0, data)
            f.fsync()
        m.close()
        self.server.drained()

    @staticmethod
    def end():
        for p in Server.started:
            if p.poll() is None:
                p.kill()
                p.wait()
        disks.unmount()
        for p in list(Proxy.started):
            p.end()
        for g in list(Gateway.started):
            g.wipe()

    def check_everything(self):
        """From a server that has nothing in memory: every byte that was acknowledged."""
        self.proxy.clear()
        self.server.restart_cold()
        m = self.server.mount()
        for name, want in [(n, content(s, z)) for n, s, z in self.written] + self.stored:
            f = m.open(name)
            got = f.read(0, len(want) + 1)
            if got != want:
                raise Failed("%s is not what was acknowledged (%d bytes of %d)" % (name, len(got), len(want)))
        m.close()
        return len(self.written)


class Remote:
    """Durability remote under the same fault: two clients that sync, until it is killed while the fault lasts. Its
    journal is lost, so what it had acknowledged is in the bucket or nowhere."""
    hopeless, last_read, made = False, 0.0, 0

    def __init__(self, rig):
        Remote.made += 1
        self.server = Server(rig.top, "remote%d" % Remote.made, rig.binary, rig.gateway, rig.proxy.port, buffer="64MiB", durability="remote")
        self.server.format()
        self.server.start()
        self.saw, self.files, self.written, self.wrong = Saw(), 0, [], None
        self.workers = [Writer(self, n) for n in (5, 6)]

    def end(self):
        if self.wrong is not None:
            return
        self.wrong = list(self.saw.wrong)
        for w in self.workers:
            w.ending = True
        self.server.kill()
        for w in self.workers:
            w.join(30 * SLOWLY)
        self.server.lose_journal()
        shutil.rmtree(self.server.dir + "/cache")

    def check(self):
        for text in self.wrong:
            raise Failed("durability remote: " + text)
        self.server.start()
        m = self.server.mount()
        for name, seed, size in self.written:
            if m.open(name).read(0, size + 1) != content(seed, size):
                raise Failed("durability remote: %s was acknowledged and is not in the bucket" % name)
        f = m.create("/after")
        f.write(0, content(1, 8192))
        f.fsync()
        m.close()
        self.server.kill()
        shutil.rmtree(self.server.dir)


# ---- the faults: each a generator that injects, yields while it lasts, and lifts

def proxied(*faults):
    def fault(rig):
        for f in faults:
            rig.proxy.add(**f)
        yield
        rig.proxy.clear()
    return fault


def refused(rig):
    rig.proxy.tell("refuse")
    yield
    rig.proxy.tell("accept")


def revoked(rig):
    key, secret = rig.gateway.env["S3_ACCESS_KEY"], rig.gateway.env["S3_SECRET_KEY"]
    rig.gateway.admin("key", "rm", "--uid=dittofs", "--key-type=s3", "--access-key=" + key)
    yield
    rig.gateway.admin("key", "create", "--uid=dittofs", "--key-type=s3", "--access-key=" + key, "--secret-key=" + secret)


def killed(rig):
    rig.gateway.kill()
    yield
    rig.gateway.start()


def frozen(rig):
    rig.gateway.signal_osd(signal.SIGSTOP)
    yield
    rig.gateway.signal_osd(signal.SIGCONT)


GET, PUT = {"method": "^GET"}, {"method": "^PUT"}
FAULTS = [  # name, injection, and the errors that a reader may see
    ("none", proxied(), ()),
    ("latency 50 ms", proxied({"do": "delay", "s": 0.05}), ()),
    ("latency 500 ms", proxied({"do": "delay", "s": 0.5}), ()),
    ("503 SlowDown, each", proxied({"do": "status"}), ()),
    ("503 SlowDown, half", proxied({"do": "status", "p": 0.5}), ()),
    ("500 InternalError, half", proxied({"do": "status", "code": 500, "error": "InternalError", "p": 0.5}), ()),
    ("GET reset in mid-body, half", proxied({"do": "reset", "p": 0.5, **GET}), ()),
    ("PUT reset in mid-body, half", proxied({"do": "reset", "side": "request", "p": 0.5, **PUT}), ()),
    ("PUT done, reply lost, half", proxied({"do": "reset", "p": 0.5, **PUT}), ()),
    ("body ends early, half", proxied({"do": "cut", "p": 0.5, **GET}), ()),
    ("body shorter than asked, half", proxied({"do": "shorten", "p": 0.5, **GET}), ()),
    ("corrupted GET, half", proxied({"do": "corrupt", "p": 0.5, **GET}), (errno.EIO,)),
    ("corrupted PUT, half", proxied({"do": "corrupt", "side": "request", "p": 0.5, **PUT}), ()),
    ("wrong ETag, each", proxied({"do": "etag"}), ()),
    ("stalls in mid-body, a third", proxied({"do": "stall", "p": 0.3, **GET}, {"do": "stall", "side": "request", "p": 0.3, **PUT}), ()),
    ("silence for ever", proxied({"do": "hold", "forever": 1}), ()),
    ("stalls for ever, a third", proxied({"do": "stall", "forever": 1, "p": 0.3, **GET}, {"do": "stall", "forever": 1, "side": "request", "p": 0.3, **PUT}), ()),
    ("connections refused", refused, ()),
    ("credentials revoked", revoked, (errno.EIO, errno.EACCES)),
    ("gateway killed", killed, ()),
    ("gateway hangs", frozen, ()),
]


def under_fault(rig, name, inject, allowed):
    remote = Later(Remote, rig)
    rig.server.restart_cold()
    remote = remote.result()
    rig.saw, rig.last_read, rig.hopeless = Saw(), 0.0, False
    saw = rig.saw
    workers = [Reader(rig, n) for n in (1, 2)] + [Writer(rig, n) for n in (3, 4)]
    fault = inject(rig)
    try:
        time.sleep(0.3 * SLOWLY)
        next(fault)
        time.sleep(FAULT_S)
        remote.end()
        next(fault, None)
        lifted = time.monotonic()
        in_bucket = Later(remote.check)
        within(30, "a read that begins after the fault", lambda: rig.last_read > lifted or saw.wrong, 0.01)
        reads = time.monotonic() - lifted
    finally:
        next(fault, None)
        remote.end()
        for w in workers:
            w.ending = True
        for w in workers:
            w.join(30 * SLOWLY)
    if any(w.is_alive() for w in workers):
        raise Failed("a client still waits 30 s after the fault")
    rig.server.drained()
    uploads = time.monotonic() - lifted
    rig.table.append((name, "%s; remote: %d fsyncs" % (saw.text(), len(remote.written)),
                      "reads %.1f s, uploads %.1f s" % (reads, uploads)))
    in_bucket.result()
    for text in saw.wrong:
        raise Failed(text)
    forbidden = [t for t in saw.errors if not any(t.startswith(os.strerror(e)) for e in allowed)]
    if forbidden:
        raise Failed("clients saw " + ", ".join(forbidden))
    if not saw.reads or not saw.writes:
        raise Failed("%d reads and %d writes: nothing was tried" % (saw.reads, saw.writes))


# ---- what is no fault of one kind

def idle(rig):
    """A server that nobody uses asks nothing, once it has deleted what a while ago became garbage."""
    rig.server.drained()
    end = time.monotonic() + 40 * SLOWLY
    while True:
        rig.proxy.reset()
        time.sleep(5)
        requests = rig.proxy.count()["requests"]
        if not requests:
            break
        if time.monotonic() > end:
            raise Failed("requests of an idle server in 5 s: %s" % requests)
    rig.table.append(("none, nobody there", "", "0 requests in 5 s"))


def deleted_block(rig):
    """EIO for what was in it and nothing else; never zeros; good again when the object is back."""
    keys = [k for k in rig.gateway.keys("vol/export/chunks/") if k.endswith("_%d" % (4 << 20))]
    key = keys[len(keys) // 2]
    body = rig.gateway.request("GET", key)[1]
    rig.server.restart_cold()
    rig.gateway.request("DELETE", key)
    m, bad = rig.server.mount(), []

    def read_all():
        bad.clear()
        for name, want in rig.stored:
            f = m.open(name)
            for at in range(0, len(want), 1 << 20):
                try:
                    if f.read(at, 1 << 20) != want[at:at + (1 << 20)]:
                        raise Failed("%s at %d: bytes that were never written" % (name, at))
                except OSError as e:
                    if e.errno != errno.EIO:
                        raise Failed("%s at %d: %s" % (name, at, e)) from None
                    bad.append((name, at))
        return bad
    start = time.monotonic()
    read_all()
    took = time.monotonic() - start
    if not bad or len({name for name, _ in bad}) > 1:
        raise Failed("with %s deleted these are bad: %s" % (key, bad))
    seen = len(bad)
    rig.gateway.request("PUT", key, data=body)
    lifted = time.monotonic()
    within(10, "good reads when the object is back", lambda: not read_all())
    rig.table.append(("a block deleted", "%d MiB of one file: EIO; all else (%.1f s) good" % (seen, took),
                      "reads %.1f s" % (time.monotonic() - lifted)))
    m.close()


def no_name(rig):
    resolve(rig.top, False)
    yield
    resolve(rig.top, True)


def starts_without_store(rig, name, inject):
    """A start while the store is away waits for it. (A name that was resolved is known for a minute: so DNS is tried here.)"""
    rig.server.kill()
    fault = inject(rig)
    next(fault)
    os.rename(rig.server.log, rig.server.log + ".before")
    process = subprocess.Popen(rig.server.inside([rig.binary, "serve", "--config", rig.server.config]), stdout=subprocess.DEVNULL, stderr=open(rig.server.log, "w"))
    Server.started.append(process)
    time.sleep(2 * SLOWLY)
    gone = process.poll() is not None
    next(fault, None)
    lifted = time.monotonic()
    rig.server.process = process
    if gone:
        raise Failed("the server did not wait for its store: " + rig.server.tail())
    within(30, "the start when the store is back", lambda: "serving " in rig.server.tail(50))
    rig.table.append((name, "no answer until then", "serves after %.1f s" % (time.monotonic() - lifted)))


def take_over(rig):
    """Two servers on one prefix: the second is refused, or takes over, and the first deletes nothing more."""
    first = Server(rig.top, "one", rig.binary, rig.gateway, rig.proxy.port)
    first.format()
    first.start()
    m = first.mount()
    f = m.create("/kept")
    f.write(0, content(9, 1 << 20))
    f.fsync()
    first.drained()
    first.kill()
    second = Server(rig.top, "two", rig.binary, rig.gateway, rig.proxy.port, prefix="one")
    for part in ("meta", "journal"):
        shutil.copytree(first.dir + "/" + part, second.dir + "/" + part)
    os.mkdir(second.dir + "/cache")
    first.start()
    status, text = second.run("serve", "--config", second.config)
    if status != 1 or "--take-over" not in text or "/one/journal" not in text:
        raise Failed("a second server: status %d, %s" % (status, text))
    second.start("--take-over")
    took = time.monotonic()
    m1, m2 = first.mount(), second.mount()
    f = m2.open("/kept")
    n = 0
    while first.process.poll() is None and time.monotonic() < took + 30 * SLOWLY:
        try:
            n += 1
            g = m1.create("/stale%d" % n)
            g.write(0, content(n, 10000))
            g.fsync()
            if n == 1:
                m1.unlink("/kept")
        except OSError:
            break
        time.sleep(0.1)
    try:
        status = first.process.wait(30 * SLOWLY)
    except subprocess.TimeoutExpired:
        raise Failed("the stale server goes on") from None
    noticed = time.monotonic() - took
    if status != 1 or "taken over" not in first.tail():
        raise Failed("the stale server ended with %d: %s" % (status, first.tail()))
    time.sleep(0.5)
    second.restart_cold()
    m2 = second.mount()
    f = m2.open("/kept")
    if f.read(0, 1 << 20) != content(9, 1 << 20):
        raise Failed("the stale server did harm")
    m2.close()
    second.stop()
    rig.table.append(("another server takes over", "the second is refused without --take-over", "the stale one ends after %.1f s" % noticed))


# ---- all of it

def attempt(name, call):
    t = time.monotonic()
    try:
        call()
        print("ok     %-32s %5.1f s" % (name, time.monotonic() - t), flush=True)
        return True
    except Exception as e:
        print("FAILED %-32s %s" % (name, e), flush=True)
        if not isinstance(e, Failed):
            traceback.print_exc(file=sys.stdout)
        return False


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("--binary", required=True)
    a.add_argument("--only", action="append", help="only what has this in its name")
    a.add_argument("--outage", type=int, metavar="SECONDS", help="this alone: the store is away for so long, with clients at work")
    a.add_argument("--signature", choices=("v4", "v2"), default="v4", help="v2: for a build with LIBS3=1")
    a.add_argument("--keep", action="store_true", help="keep the directory")
    args = a.parse_args()
    Server.signature = args.signature
    ending.by_exception()
    top = tempfile.mkdtemp(prefix="s3-", dir=os.environ.get("TMPDIR", "/var/tmp"))
    random.seed(1)
    passed = failed = 0
    try:
        rig = Rig(top, os.path.realpath(args.binary))
        rig.fill()
        scenes = [(name, lambda n=name, i=inject, e=allowed: under_fault(rig, n, i, e)) for name, inject, allowed in FAULTS]
        scenes += [("a block deleted", lambda: deleted_block(rig)),
                   ("refused at start", lambda: starts_without_store(rig, "refused at start", refused)),
                   ("no such name (DNS) at start", lambda: starts_without_store(rig, "no such name (DNS) at start", no_name)),
                   ("journal full", lambda: outage.journal_full(rig)), ("take over", lambda: take_over(rig)), ("idle", lambda: idle(rig)),
                   ("every byte, cold", rig.check_everything)]
        scenes += [(name, lambda s=scene: s(rig)) for name, scene in drain.SCENES + disks.SCENES]

        def wanted(name):
            return not args.only or any(o in name for o in args.only)
        if args.outage:
            scenes = [("outage of %d s" % args.outage, lambda: outage.journal_full(rig, args.outage, "256MiB"))]
        else:
            scenes += [(name, outage.beside(rig, scene).result) for name, scene in outage.SCENES if wanted(name)]
        for name, call in scenes:
            if not args.outage and not wanted(name):
                continue
            if attempt(name, call):
                passed += 1
            else:
                failed += 1
                print("       the server's log: " + rig.server.tail(8).replace("\n", "\n       | "))
                rig.proxy.clear()
                rig.proxy.tell("accept")
    finally:
        Rig.end()
        if args.keep or failed:
            print("kept: " + top)
        else:
            shutil.rmtree(top, ignore_errors=True)
    widths = [max(len(row[i]) for row in rig.table) for i in range(3)] if rig.table else []
    for row in [("fault", "what the clients saw", "recovery")] * bool(widths) + rig.table:
        print("  %s | %s | %s" % tuple(cell.ljust(w) for cell, w in zip(row, widths)))
    print("%d passed, %d failed, 0 skipped" % (passed, failed))
    sys.exit(failed != 0)


SLOWLY = float(os.environ.get("SLOW", 1))

if __name__ == "__main__":
    main()
