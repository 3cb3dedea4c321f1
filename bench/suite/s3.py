# SPDX-License-Identifier: Apache-2.0
"""Objects in a real bucket: a RADOS gateway on this machine, and what NFS clients get of it.

Subjects: what was read from where (cold, disk cache, memory; encrypted, lz4: cold, too), how it was written (dittofs,
encrypted, lz4, no packs, local, remote), and bare: a libcurl multi loop that does the same PUTs and GETs on the same gateway.
"""
import contextlib
import os
import shutil
import subprocess
import sys
import time

import bars
import s3_slow
import usage
import why
from rig import LEASH, ROOT, Failed, say

sys.path.append(os.path.join(ROOT, "tests/s3"))
import proxy  # noqa: E402

MIB = 1 << 20
BLOCK, FRAME = 4 * MIB, 64 * 1024
OBJECT = BLOCK + 672 # a block with its index and footer: more than the gateway keeps in one piece
SCRIPT = os.path.join(ROOT, "tests/s3/rgw.sh")


def missing():
    """Why it cannot be asked here, or None."""
    found = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    lacking = [p for p in ("radosgw", "ceph-mon", "ceph-osd", "curl") if not shutil.which(p, path=found)]
    return "no %s here (make deps-bench)" % ", ".join(lacking) if lacking else None


class Bucket:
    """A gateway with its objects in memory, and a proxy that makes it far away."""

    def __init__(self, folder):
        self.dir = os.path.join(folder, "rgw")
        self.proxy = None
        out = subprocess.run([SCRIPT, "start", self.dir], stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False, text=True)
        if out.returncode:
            raise Failed("no gateway: " + out.stderr.strip()[-300:])
        env = dict(line.split("=", 1) for line in out.stdout.splitlines())
        self.endpoint, self.name, self.port = env["S3_ENDPOINT"], env["S3_BUCKET"], env["S3_PORT"]
        self.env = {"AWS_ACCESS_KEY_ID": env["S3_ACCESS_KEY"], "AWS_SECRET_ACCESS_KEY": env["S3_SECRET_KEY"]}

    def far(self, seconds):
        """The endpoint of a proxy that adds so much to each request."""
        if not self.proxy:
            control = os.path.join(self.dir, "proxy")
            self.proxy = subprocess.Popen(
                LEASH + [sys.executable, os.path.join(ROOT, "tests/s3/proxy.py"), "serve", "--listen", "127.0.0.1:0", "--upstream",
                         "127.0.0.1:" + self.port, "--control", control], stdout=subprocess.PIPE, text=True)
            self.far_port = int(self.proxy.stdout.readline().rsplit(":", 1)[1])
            self.control = proxy.Control(control)
        self.control.clear()
        self.control.add(do="delay", s=seconds)
        return "http://127.0.0.1:%d" % self.far_port

    def pids(self):
        """Of the gateway's daemons, which are nobody's children."""
        found = []
        for name in ("mon.a", "osd.0", "client.rgw"):
            try:
                with open(os.path.join(self.dir, name + ".pid"), encoding="utf-8") as f:
                    found.append(int(f.read()))
            except (OSError, ValueError):
                continue
        return found

    def cpu_seconds(self):
        processes = usage.Look().processes
        return sum(processes[pid][2] for pid in self.pids() if pid in processes) / usage.TICKS

    def close(self):
        if self.proxy:
            self.proxy.terminate()
            self.proxy.wait()
        subprocess.run([SCRIPT, "wipe", self.dir], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
        shutil.rmtree(self.dir, ignore_errors=True) # the proxy's socket


class Questions:
    """`bench` keeps the samples (questions.Bench)."""

    def __init__(self, bench):
        self.bench, self.rig = bench, bench.rig
        self.share = min(1.0, bench.seconds / 0.6) # of the full size, in a short run
        self.mib = max(16, int(256 * self.share) // 4 * 4)
        self.files = max(200, int(10000 * self.share))
        self.made = 0

    def run(self):
        why = missing()
        if why:
            self.bench.notes.append("s3 is skipped: " + why)
            say(self.bench.notes[-1])
            return
        for n in range(1, min(self.bench.rounds, 3) + 1):
            with self.bucket() as bucket: # a new one each time: what it keeps, it keeps in memory
                say("s3, round %d: streams and random reads" % n)
                self.streams(n, bucket)
                for subject, formatted in (("encrypted", ["--encrypt", "aes256gcm", "--encrypt-key", self.key()]),
                                           ("lz4", ["--compress", "lz4"])):
                    self.encoded(n, bucket, subject, formatted)
                say("s3, round %d: a bucket that is far away" % n)
                self.far_away(n, bucket)
                say("s3, round %d: GETs that are late or damaged" % n)
                s3_slow.ask(self, n, bucket)
        if self.bench.wanted("profile"):
            with self.bucket() as bucket:
                self.explain(bucket)

    @contextlib.contextmanager
    def bucket(self):
        bucket = Bucket(self.rig.dir)
        os.environ.update(bucket.env)
        try:
            yield bucket
        finally:
            self.bench.daemon_seconds += bucket.cpu_seconds()
            bucket.close()

    # ---- servers

    def server(self, bucket, endpoint, formatted=(), **config):
        """On a volume and a prefix of its own."""
        self.made += 1
        name = "s3-%d" % self.made
        return self.rig.server("dittofs", name=name, config={"writeback." + k: v for k, v in config.items()},
                               formatted=["--objects", "s3://%s/%s" % (bucket.name, name), "--endpoint", endpoint, *formatted])

    def drop(self, server):
        server.stop()
        self.rig.servers.remove(server)
        shutil.rmtree(server.dir)

    @staticmethod
    def restart(server, cold):
        server.stop()
        if cold:
            shutil.rmtree(os.path.join(server.dir, "cache"))
            os.mkdir(os.path.join(server.dir, "cache"))
        server.start()
        while any(d["state"] == "loading" for d in server.status()["cache"]["disk"]["dirs"]):
            time.sleep(0.05)

    @staticmethod
    def requests(server, kind):
        return next(c for c in server.status()["object_store"]["requests"] if c["class"] == kind)

    # ---- what is asked

    def streams(self, n, bucket):
        """Written, and read again from where it is by then: the bucket, the disk cache, memory."""
        bench, stream = self.bench, {"depth": 16, "bytes": MIB, "dir": "stream", "warm": 0}
        server = self.server(bucket, bucket.endpoint, durability="remote")
        bench.add("s3 upload", "dittofs", n, server.load("seqwrite", ops=self.mib, size=self.mib, fresh=True, **stream)[0])
        self.bare(n, bucket)
        server.load("null seqread", seconds=0.05, ops=1, size=self.mib, **stream) # makes the file that is read
        server.settle()
        self.restart(server, cold=True)
        bench.add("s3 seqread", "cold", n, server.load("seqread", ops=self.mib, size=self.mib, **stream)[0])
        for depth in (64, 1):
            self.restart(server, cold=True)
            self.random(n, server, "cold", depth)
        for _ in range(3): # the first ones bring what the disk cache has not
            self.restart(server, cold=False)
            sample = server.load("seqread", ops=self.mib, size=self.mib, **stream)[0]
        bench.add("s3 seqread", "disk cache", n, sample)
        for depth in (64, 1):
            self.restart(server, cold=False)
            self.random(n, server, "disk cache", depth)
        # what one core keeps in memory
        small = max(4, self.mib * 3 // 8)
        server.load("null seqread", seconds=0.05, ops=small, size=small, **stream)
        bench.add("s3 seqread", "memory", n, server.load("seqread", seconds=bench.seconds, size=small, **stream)[0])
        for depth in (64, 1):
            self.random(n, server, "memory", depth, small)
        self.drop(server)

    def key(self):
        path = os.path.join(self.rig.dir, "key.pem")
        if not os.path.exists(path):
            subprocess.run(["openssl", "genrsa", "-out", path, "2048"], check=True, stderr=subprocess.DEVNULL, umask=0o077)
        return path

    def encoded(self, n, bucket, subject, formatted):
        """The same streams to and from a volume whose frames are not stored as they are."""
        bench, stream = self.bench, {"depth": 16, "bytes": MIB, "dir": "stream", "warm": 0}
        server = self.server(bucket, bucket.endpoint, formatted, durability="remote")
        bench.add("s3 upload", subject, n, server.load("seqwrite", ops=self.mib, size=self.mib, fresh=True, **stream)[0])
        server.load("null seqread", seconds=0.05, ops=1, size=self.mib, **stream)
        server.settle()
        self.restart(server, cold=True)
        bench.add("s3 seqread", subject, n, server.load("seqread", ops=self.mib, size=self.mib, **stream)[0])
        self.drop(server)

    def random(self, n, server, subject, depth, mib=None):
        before = self.requests(server, "get")
        # where a frame comes into memory it does so once: few READs against its number, so that few find one there
        length = {"seconds": self.bench.seconds} if subject == "memory" else {"ops": self.mib * (4 if depth > 1 else 1)}
        sample = server.load("read", depth=depth, size=mib or self.mib, dir="stream", warm=0, **length)[0]
        after = self.requests(server, "get")
        sample["fetched_bytes_per_op"] = (after["bytes"] - before["bytes"]) / sample["ops"]
        self.bench.add("s3 read4k@%d" % depth, subject, n, sample)

    def bare(self, n, bucket):
        """As many requests at once as the server has: 8 uploads, 8 blocks of 4 MiB read ahead, a connection a random read."""
        blocks = self.mib * MIB // BLOCK
        for key, depth, length, gets in (("s3 seqread", 8, BLOCK, blocks), ("s3 read4k@64", 32, FRAME, 1000),
                                         ("s3 read4k@1", 1, FRAME, 300)):
            objects = blocks if length == BLOCK else blocks // 4
            args = ["--bare", "--rounds", 1, "--depth", depth, "--bytes", OBJECT, "--objects", objects, "--range", length,
                    "--gets", max(16, int(gets * self.share))]
            found = {r["test"]: {"ops_per_s": r["bare_per_s"], "mb_per_s": r["bare_mb_per_s"]}
                     for r in self.rig.program("s3", [bucket.endpoint, bucket.name] + args)}
            self.bench.add(key, "bare", n, found["range"])
            if length == BLOCK:
                self.bench.add("s3 upload", "bare", n, found["put"])

    def far_away(self, n, bucket):
        """Small files, an fsync each, with 20 ms added to each request; a stable WRITE alone with 50 ms."""
        endpoint = bucket.far(0.02)
        for depth, uploads in ((64, 8), (256, 64)):
            for subject, config, files in (("dittofs", {}, self.files), ("no packs", {"pack_below": 0}, self.files // 4)):
                sample = self.fsync(bucket, endpoint, dict(config, durability="remote", uploads=uploads), files, depth)
                self.bench.add("s3 files@%d" % depth, subject, n, sample)
        endpoint = bucket.far(0.05)
        for subject, writes in (("local", 1000), ("remote", 50)):
            sample = self.fsync(bucket, endpoint, {"durability": subject}, max(5, int(writes * self.share)), 1, "--stable")
            self.bench.add("s3 write", subject, n, sample)

    def fsync(self, bucket, endpoint, config, files, depth, *more):
        server = self.server(bucket, endpoint, **config)
        before = self.requests(server, "put")["requests"]
        sample = self.rig.program("fsync", ["127.0.0.1:%d" % server.port, "/export", "--files", files, "--depth", depth, *more])[0]
        server.settle()
        sample["puts_per_file"] = (self.requests(server, "put")["requests"] - before) / files
        self.drop(server)
        return sample

    # ---- what stands in the way

    def explain(self, bucket):
        """The bars that were missed: the same once more, for as long as a look takes."""
        stream = {"depth": 16, "bytes": MIB, "size": 4 * self.mib, "dir": "stream", "warm": 0}
        looker = why.looker(self.bench)
        for row in bars.make(self.bench.samples):
            if not why.missed_by(row) or row["id"] not in ("s3_upload", "s3_cold"):
                continue
            say("what stands in the way: " + row["what"])
            upload = row["id"] == "s3_upload"
            server = self.server(bucket, bucket.endpoint, durability="remote")
            if not upload:
                server.load("null seqread", seconds=0.05, ops=1, **stream)

            def once():
                server.settle()
                if not upload:
                    self.restart(server, cold=True)
                options = dict(stream, ops=4 * self.mib, fresh=upload)
                return why.watch(server, lambda each: server.load("seqwrite" if upload else "seqread", each=each, **options),
                                 looker.looked if upload else looker.looked / 2, looker.path, ("WRITE",) if upload else ("READ",),
                                 named=dict.fromkeys(bucket.pids(), "the gateway"))
            seen = looker.alone(row["what"], once)
            if seen:
                self.bench.why.append(looker.entry({"id": row["id"], "what": row["what"], "subject": row["subject"], "missed": why.missed_by(row),
                                                    "references": why.references_of(row)}, seen))
            self.drop(server)
