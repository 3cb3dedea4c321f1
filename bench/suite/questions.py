# SPDX-License-Identifier: Apache-2.0
"""The questions: what is run, on whom, how often.

A sample is what one test of one subject printed in one round; they are kept in order, so that a
ratio is taken between neighbours in time.  Subjects: dittofs, ganesha, bare (the machine's limit),
and variants of dittofs.
"""
import os
import subprocess
import threading
import time

import s3
from rig import LEASH, Counters, Failed, SyscallCounter, say, set_congestion

MIB = 1 << 20
INORDER = {"dir": "inorder"} # its file was written in order and never again; that of "load" also at random
NAMES = ("calls", "streams", "writes", "names", "reactors", "congestion", "busy_poll", "gathering", "wakes", "depths", "open_loop", "count", "s3", "large", "profile")


class Bench:
    def __init__(self, rig, options):
        self.rig, self.seconds, self.rounds, self.alone = rig, options.seconds, options.rounds, options.alone
        self.briefly = min(self.seconds, 0.3) # of a test of what is asked in a few rounds only
        self.ask_huge, self.huge_volume, self.anyway = options.huge, options.huge_volume, options.anyway
        self.only = options.only.split(",") if options.only else None
        self.samples = []   # dicts: key, subject, round, and what the program printed
        self.counts = {}    # test: what a call costs in system calls, allocations, locks, copies
        self.memory = {}
        self.daemon_seconds = 0.0 # CPU of what was started for a question and is no child of ours
        self.notes = []
        self.out, self.why, self.looker = options.out, [], None # see why.py
        self.ours = self.ganesha = self.huge = None

    def add(self, key, subject, number, result):
        self.samples.append(dict(result, key=key, subject=subject, round=number))

    def servers(self):
        return [s for s in (self.ours, self.ganesha) if s]

    def last(self, key, subject):
        for sample in reversed(self.samples):
            if sample["key"] == key and sample["subject"] == subject:
                return sample
        return None

    def both(self, number, keys, tests, settle=False, seconds=None, **options):
        """The same tests on both servers in turn; keys name the results."""
        for server in self.servers():
            try:
                results = server.load(tests, seconds=seconds or self.seconds, **options)
            except Failed as e:
                self.notes.append("%s failed in round %d: %s" % (server.kind, number, e))
                say(self.notes[-1])
                continue
            for key, result in zip(keys, results):
                if key:
                    self.add(key, server.kind, number, result)
            if settle:
                server.settle()

    def bare(self, number, key, program, *args, key_of=None):
        for result in self.rig.program(program, args):
            self.add(key or key_of(result), "bare", number, result)

    # ---- what a round asks

    def calls(self, n):
        """Small calls from memory."""
        if n == 1:
            for server in self.servers():
                server.load("null read", seconds=0.05, **INORDER)
                server.settle()
        self.both(n, ["null@64", "getattr@64", "lookup@64", "read4k@64"], "null getattr lookup read", depth=64, **INORDER)
        self.pieces("read4k@64", n, "inorder")
        for key in ("getattr@64", "lookup@64", "read4k@64"):
            ours = self.last(key, "dittofs") or self.last(key, "ganesha")
            if ours:
                self.bare(n, key, "bare_echo", "--request", ours["request_bytes"], "--answer", ours["reply_bytes"],
                          "--depth", 64, "--seconds", self.seconds)
        for key, test in (("null@64", "null"), ("getattr@64", "getattr"), ("lookup@64", "lookup"), ("read4k@64", "read")):
            self.canned(n, key, test)
        self.both(n, ["getattr@1", "lookup@1", "read4k@1"], "getattr lookup read", depth=1, **INORDER)
        ours = self.last("getattr@1", "dittofs")
        if ours:
            self.bare(n, "getattr@1", "bare_echo", "--request", ours["request_bytes"], "--answer",
                      ours["reply_bytes"], "--depth", 1, "--seconds", self.seconds)
        self.both(n, ["mix@64"], "getattr:50,lookup:25,read:15,write:8,create:2", depth=64)
        self.ours.settle()

    def pieces(self, key, n, folder):
        """Into the last sample of that key: how many pieces the file that it read is in."""
        sample = self.last(key, "dittofs")
        if sample and sample["round"] == n:
            sample["pieces"] = self.ours.info("/export/%s/data" % folder).get("pieces")

    def canned(self, n, key, test):
        """A server that sends one answer to all calls, under the client that ours and ganesha have."""
        port = self.rig.next_port()
        server = subprocess.Popen(LEASH + [os.path.join(self.rig.programs, "bare_echo"), "--rpc", str(port), "--reply", test],
                                  stderr=subprocess.DEVNULL)
        try:
            time.sleep(0.2)
            result = self.rig.program("load/load", ["127.0.0.1:%d" % port, "/", "--canned", "--pid", server.pid, "--depth", 64,
                                                    "--seconds", self.seconds, test])
            self.add(key, "canned", n, result[0])
        finally:
            server.kill()
            server.wait()

    def streams(self, n):
        """1 MiB transfers."""
        self.both(n, ["seqread@16"], "seqread", depth=16, bytes=MIB, size=128, dir="stream", warm=0.4)
        self.bare(n, "seqread@16", "bare_stream", "send", "--seconds", self.seconds)
        self.both(n, ["seqwrite@16"], "seqwrite", settle=True, depth=16, bytes=MIB, size=128, ops=128, fresh=True,
                  dir="stream")
        self.bare(n, "recv", "bare_stream", "recv", "--seconds", self.seconds)
        self.bare(n, "seqwrite@16", "bare_disk", "stream", self.rig.dir, "--seconds", self.seconds)
        self.bare(n, None, "bare_memory", self.seconds / 4, key_of=lambda r: r["test"])

    def writes(self, n):
        """Small writes."""
        self.both(n, ["randwrite@64"], "write:64,commit:1", settle=True, depth=64)
        self.both(n, ["writesync@64"], "writesync", settle=True, depth=64)
        self.bare(n, "writesync@64", "bare_disk", "records", self.rig.dir, "--clients", 64, "--seconds", self.seconds)
        self.both(n, ["writesync@1"], "writesync", settle=True, depth=1)
        self.bare(n, "writesync@1", "bare_disk", "records", self.rig.dir, "--clients", 1, "--seconds", self.seconds)
        self.both(n, ["read4k scattered@64"], "read", depth=64) # the file that these wrote
        self.pieces("read4k scattered@64", n, "load")

    def names(self, n):
        """The namespace, one folder."""
        self.both(n, ["create@64", "rename@64", "remove@64", "mkdir@64", "rmdir@64"],
                  "create rename remove mkdir rmdir", depth=64, dir="names")
        for shape in ("create", "rename", "remove"):
            for key in ("create@64", "mkdir@64") if shape == "create" else (shape + "@64",):
                self.bare(n, key, "bare_kv", os.path.join(self.rig.dir, "bare.kv"), "--shape", shape,
                          "--seconds", self.seconds)
        self.bare(n, "metadata log@64", "bare_disk", "records", self.rig.dir, "--bytes", 300, "--seconds",
                  self.seconds / 2)
        self.both(n, ["create@1", "remove@1"], "create remove", depth=1, dir="names")
        self.both(n, ["readdirplus 20k"], "readdirplus", depth=1, files=20000, dir="listing")

    # ---- asked in fewer rounds, and briefly

    def depths(self, n):
        """How calls a second grow with what is outstanding."""
        for depth in (1, 4, 16, 64, 256):
            self.both(n, ["sweep getattr@%d" % depth, "sweep read4k@%d" % depth], "getattr read", seconds=self.briefly, depth=depth, **INORDER)
            ours = self.last("sweep getattr@%d" % depth, "dittofs")
            if ours:
                self.bare(n, "sweep getattr@%d" % depth, "bare_echo", "--request", ours["request_bytes"], "--answer",
                          ours["reply_bytes"], "--depth", depth, "--seconds", self.briefly)

    def open_loop(self, n):
        """Latency at a fixed rate, counted from when a call should have started."""
        mix = "getattr:60,lookup:25,read:15"
        for rate in (2000, 5000, 10000, 20000, 40000, 80000):
            self.both(n, ["open %d" % rate], mix, seconds=min(self.seconds, 0.5), depth=1024, conns=16, rate=rate, **INORDER)
        self.both(n, ["closed"], mix, seconds=self.briefly, depth=64, conns=16, **INORDER)
        for server in self.servers():
            closed = self.last("closed", server.kind)
            for share in (50, 80) if closed else ():
                result = server.load(mix, seconds=min(self.seconds, 0.5), depth=1024, conns=16,
                                     rate=int(closed["ops_per_s"] * share / 100), **INORDER)
                self.add("open %d %%" % share, server.kind, n, result[0])

    def reactors(self, n):
        """One reactor and two: CPU time a call, without busy polling, which would count as work."""
        for cores in (1, 2):
            server = self.variant("cores%d" % cores, cores=cores, config={"network.busy_poll": "0"})
            results = server.load("null getattr read", seconds=self.briefly, depth=256)
            for key, result in zip(("null@256", "getattr@256", "read4k@256"), results):
                self.add(key, "cores%d" % cores, n, result)
            results = server.load("null getattr read create", seconds=self.seconds, depth=64)
            for key, result in zip(("null@64", "getattr@64", "read4k@64", "create@64"), results):
                self.add(key, "cores%d" % cores, n, result)

    def congestion(self, n):
        """bbr instead of cubic, where the kernel has it: what the default of many systems costs."""
        def ask(subject):
            results = self.ours.load("getattr read", seconds=self.briefly, depth=64, **INORDER)
            self.add("congestion getattr", subject, n, results[0])
            self.add("congestion read4k", subject, n, results[1])
            self.add("congestion seqread", subject, n, self.ours.load("seqread", seconds=self.briefly, **self.STREAM)[0])
        ask("cubic")
        try:
            set_congestion("bbr")
        except subprocess.CalledProcessError:
            return
        try:
            ask("bbr")
        finally:
            set_congestion("cubic")

    def busy_poll(self, n):
        """Without polling before sleep."""
        for subject, server in (("busy poll", self.ours),
                                ("no busy poll", self.variant("cores2", cores=2, config={"network.busy_poll": "0"}))):
            for depth in (1, 64):
                self.add("poll getattr@%d" % depth, subject, n, server.load("getattr", seconds=self.briefly, depth=depth)[0])

    def gathering(self, n):
        """Each reply in a send of its own."""
        for subject, server in (("gathered", self.ours),
                                ("not gathered", self.variant("alone", config={"network.gather_replies": "0"}))):
            for key, test in (("gather getattr", "getattr"), ("gather read4k", "read")):
                self.add(key, subject, n, server.load(test, seconds=self.briefly, depth=64, **INORDER)[0])

    def wakes(self, n):
        """Cores that wake each other by an eventfd; they sleep between calls only where they do not poll."""
        for subject, name, config in (("ring", "cores2", {}), ("event", "event", {"core_wake": "event"})):
            server = self.variant(name, cores=2, config=dict(config, **{"network.busy_poll": "0"}))
            for key, test, depth in (("wake read4k@64", "read", 64), ("wake read4k@1", "read", 1), ("wake writesync@64", "writesync", 64)):
                self.add(key, subject, n, server.load(test, seconds=self.briefly, depth=depth)[0])
            server.settle()

    def variant(self, name, **options):
        for server in self.rig.servers:
            if server.dir.endswith("/" + name):
                return server
        return self.rig.server("dittofs", name=name, **options)

    STREAM = {"depth": 16, "bytes": MIB, "size": 128, "dir": "stream"}
    COUNTED = (("getattr", "getattr@64", {}), ("lookup", "lookup@64", {}), ("read", "read4k@64", INORDER),
               ("write", "write4k@64", {}), ("seqread", "seqread@16", STREAM), ("seqwrite", "seqwrite@16", STREAM),
               ("writesync", "writesync@64", {}), ("create", "create@64", {}), ("readdirplus", "readdirplus@1", {"depth": 1}))

    def count(self):
        """What a call costs that should cost nothing."""
        counters = Counters(self.rig)
        counted = self.rig.server("dittofs", name="counted", env=counters.env)
        for test, key, options in self.COUNTED:
            row = {}
            result, calls = self.during(self.ours, test, options, lambda s: SyscallCounter(s.pid, 0.5).counts())
            if calls:
                ops = result["ops_per_s"] * 0.5
                row.update(enters=calls[0] / ops, syscalls=calls[1] / ops, ops_per_enter=ops / max(calls[0], 1))
            result, change = self.during(counted, test, options, lambda s: self.change(counters, s, 0.5))
            ops = result["ops_per_s"] * change.pop("seconds")
            row.update({field: value / ops for field, value in change.items()})
            self.counts[key] = row
            self.ours.rest()
            counted.rest()
        counted.stop()
        self.rig.servers.remove(counted)

    @staticmethod
    def change(counters, server, seconds):
        start, first = time.monotonic(), counters.read(server, "core-")
        time.sleep(seconds)
        last, end = counters.read(server, "core-"), time.monotonic()
        return dict({k: last[k] - first[k] for k in first}, seconds=end - start)

    def during(self, server, test, options, look):
        """Runs a test and looks at the server in the middle of it."""
        box, options = {}, dict({"depth": 64}, **options)

        def run():
            try:
                box["result"] = server.load(test, seconds=1.1, **options)[0]
            except Failed as e:
                box["error"] = e
        server.load(test, seconds=0.1, **options)
        server.rest()
        thread = threading.Thread(target=run)
        thread.start()
        time.sleep(0.4)
        seen = look(server)
        thread.join()
        if "error" in box:
            raise box["error"]
        return box["result"], seen

    # ---- large directories

    def plant(self, name, files, folders=1):
        """Makes them: on dittofs by NFS, below ganesha in its directory."""
        start = time.monotonic()
        self.ours.load("null lookup", seconds=0.05, depth=64, files=files, dirs=folders, dir=name)
        self.notes.append("%d files in %d folders made over NFS in %.0f s" % (files, folders, time.monotonic() - start))
        say(self.notes[-1])
        if not self.ganesha:
            return
        base = os.path.join(self.ganesha.dir, "tree", name)
        for i in range(folders):
            os.makedirs(os.path.join(base, "dir%05d" % i), exist_ok=True)
        for i in range(files):
            os.close(os.open(os.path.join(base, "dir%05d" % (i % folders), "f%08d" % i), os.O_CREAT | os.O_WRONLY, 0o644))
        with open(os.path.join(base, "made.%d.%d" % (files, folders)), "w", encoding="utf-8"):
            pass

    def large(self):
        """A directory of a million beside small ones."""
        for name, files in (("hundred", 100), ("hundredk", 100000), ("million", 1000000)):
            self.plant(name, files)
        for n in range(1, min(self.rounds, 3) + 1):
            say("large directories, round %d" % n)
            self.both(n, ["lookup in 100"], "lookup", depth=64, files=100, dir="hundred")
            self.both(n, ["lookup in 1M, hot"], "lookup", depth=64, files=1000000, hot=100, dir="million")
            self.both(n, ["lookup in 1M"], "lookup", depth=64, files=1000000, dir="million")
            self.both(n, ["readdirplus 100k"], "readdirplus", depth=1, files=100000, dir="hundredk", ops=1)
            self.both(n, ["readdirplus 1M"], "readdirplus", depth=1, files=1000000, dir="million", ops=1)

    SIZES = (("few", "100k", 100000, 10), ("many", "10M", 10000000, 1000))

    def ten_million(self):
        """10 million files against 100 thousand, in folders of 10,000 each, when the server has read them ahead."""
        server = self.huge = self.rig.server("dittofs", name=os.path.abspath(self.huge_volume) if self.huge_volume else "huge")
        self.read_ahead(server)
        for name, size, files, folders in self.SIZES:
            start = time.monotonic()
            server.load("null lookup", seconds=0.05, depth=64, files=files, dirs=folders, dir=name)
            self.notes.append("%d files in %d folders there after %.0f s" % (files, folders, time.monotonic() - start))
            say(self.notes[-1])
            self.come_to_know(server, size, depth=64, files=files, dirs=folders, dir=name)
        for n in range(1, self.rounds + 1):
            for name, size, files, folders in self.SIZES:
                tests = "getattr lookup create remove"
                results = server.load(tests, seconds=self.seconds, depth=64, files=files, dirs=folders, dir=name)
                for test, result in zip(tests.split(), results):
                    self.add("%s of %s" % (test, size), "dittofs", n, result)
                self.add("readdirplus of %s" % size, "dittofs", n,
                         server.load("readdirplus", depth=4, ops=20, files=files, dirs=folders, dir=name)[0])
        self.memory = server.status().get("memory", {})

    def read_ahead(self, server, at_most=600):
        """Waits until the server has read names and attributes ahead, as it does after each start."""
        until = time.monotonic() + at_most
        while server.status()["preload"]["state"] == "reading" and time.monotonic() < until:
            time.sleep(0.2)
        ahead = server.status()["preload"]
        self.notes.append("read ahead after the start: {attributes:,} attributes and {names:,} names of {inodes:,} files, "
                          "{state} after {seconds:.1f} s".format(**ahead))
        say(self.notes[-1])

    def come_to_know(self, server, size, seconds=5, at_most=60, **options):
        """LOOKUPs, of other files each time, until they get no faster: those that had no room when all was read ahead are read from
        RocksDB."""
        rates = []
        while len(rates) < 2 or (rates[-1] > 1.1 * rates[-2] and len(rates) < at_most):
            rates.append(server.load("lookup", seconds=seconds, seed=1 + len(rates), **options)[0]["ops_per_s"])
        self.notes.append("LOOKUPs of %s after the start: %s a second, each over %d s" %
                          (size, ", ".join("{:,.0f}".format(r) for r in rates), seconds))
        say(self.notes[-1])

    # ---- all of it

    def run(self, quick):
        self.ours = self.rig.server("dittofs")
        if not self.alone:
            self.ganesha = self.rig.server("ganesha")
        rounds = [self.calls, self.streams, self.writes, self.names]
        few = [self.reactors, self.congestion, self.busy_poll, self.gathering, self.wakes]
        if not quick:
            few += [self.depths, self.open_loop]
        for n in range(1, self.rounds + 1):
            for question in rounds + (few if n <= 3 else []):
                if self.wanted(question):
                    say("round %d of %d: %s" % (n, self.rounds if question in rounds else min(self.rounds, 3), question.__doc__.split("\n")[0]))
                    question(n)
        if self.wanted(self.count):
            say("counting system calls, allocations, locks, copies")
            self.count()
        if self.wanted(s3) and (self.only or not quick):
            s3.Questions(self).run()
        for name in ("cores1", "cores2", "alone", "event"):
            for server in list(self.rig.servers):
                if server.dir.endswith("/" + name):
                    server.stop()
                    self.rig.servers.remove(server)
        if not quick and self.wanted(self.large):
            say("making a directory of a million files")
            self.large()
        self.memory = self.ours.status().get("memory", {})
        if self.ask_huge:
            say("10 million files")
            self.ten_million()

    def wanted(self, question):
        """A question, or the name of one."""
        return not self.only or getattr(question, "__name__", question) in self.only
