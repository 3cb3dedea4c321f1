# SPDX-License-Identifier: Apache-2.0
"""Servers under test and the programs that measure them: starting, asking, stopping."""
import json
import os
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
# what is started must not outlive this process, whatever ends it
LEASH = ["setpriv", "--pdeathsig", "KILL", "--"]
LOOPBACK = ("127.0.0.1", "127.0.0.0/8")


class Failed(Exception):
    """Something did not run; the message says what."""


def say(text):
    print(time.strftime("%H:%M:%S ") + text, file=sys.stderr, flush=True)


def enter_namespace():
    """nfs-ganesha insists on an rpcbind, so all runs in a network and a /run of its own."""
    if os.geteuid() != 0:
        raise Failed("bench/run must be root, for a network namespace")
    if "BENCH_INSIDE" not in os.environ:
        os.environ["BENCH_INSIDE"] = "1"
        os.execvp("unshare", ["unshare", "--net", "--mount", "--", sys.executable] + sys.argv)
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(1))
    subprocess.run("ip link set lo up && mount -t tmpfs run /run && mkdir -p /run/rpcbind", shell=True, check=True)


def set_congestion(name):
    """For every socket on loopback, whoever opens it: a metric of the route, so servers need no option."""
    for net in LOOPBACK:
        subprocess.run(["ip", "route", "replace", "local", net, "dev", "lo", "table", "local", "proto", "kernel",
                        "scope", "host", "src", "127.0.0.1", "congctl", "lock", name], check=True)


class Server:
    """One NFS server on a directory of its own; dittofs or nfs-ganesha."""

    def __init__(self, rig, kind, name=None, cores=0, config=None, env=None, formatted=()):
        self.rig, self.kind, self.cores, self.env = rig, kind, cores, env or {}
        self.formatted = list(formatted)
        self.dir = os.path.join(rig.dir, name or kind)
        self.log = self.dir + ".log"
        self.config = config or {}
        self.port = rig.next_port()
        self.process = None

    def command(self):
        if self.kind == "dittofs":
            return [self.rig.binary]
        return [os.path.join(ROOT, "tests/client/ganesha.sh")]

    def start(self):
        if not os.path.isdir(self.dir):
            subprocess.run(self.command() + ["format", self.dir] + self.formatted, check=True, stdout=subprocess.DEVNULL)
            self.configure()
        args = ["serve", self.dir, "--listen", "127.0.0.1:%d" % self.port]
        if self.cores:
            args += ["--cores", str(self.cores)]
        with open(self.log, "ab") as log:
            start = log.tell()
            self.process = subprocess.Popen(LEASH + self.command() + args, stderr=log, stdout=log,
                                            env=dict(os.environ, **self.env))
        for _ in range(600):
            with open(self.log, "rb") as log:
                log.seek(start)
                if b"serving" in log.read():
                    return self
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        with open(self.log, "r", errors="replace") as log:
            raise Failed("%s does not serve: %s" % (self.kind, log.read()[-600:]))

    def configure(self):
        """Sets "section.key" of dittofs.yaml, where the template has it."""
        if not self.config or self.kind != "dittofs":
            return
        path = os.path.join(self.dir, "dittofs.yaml")
        with open(path, encoding="utf-8") as f:
            lines = f.read().split("\n")
        for dotted, value in self.config.items():
            key = dotted.split(".")[-1] + ":"
            at = [i for i, line in enumerate(lines) if line.strip().startswith(key)]
            if len(at) != 1:
                raise Failed("no %s in %s" % (dotted, path))
            indent = lines[at[0]][:len(lines[at[0]]) - len(lines[at[0]].lstrip())]
            lines[at[0]] = "%s%s %s" % (indent, key, value)
        with open(path, "w", encoding="utf-8") as f:
            f.write("\n".join(lines))

    @property
    def pid(self):
        return self.process.pid

    def load(self, tests, each=None, **options):
        """Runs bench/load; a dict per test.  each(results) is called when one more is there."""
        args = ["127.0.0.1:%d" % self.port, "/export", "--pid", str(self.pid), "--congestion", ""]
        if self.kind == "ganesha":
            args += ["--mount-port", str(self.port + 1)]
        for key, value in options.items():
            if value is not False:
                args += ["--" + key.replace("_", "-")] + ([] if value is True else [str(value)])
        return self.rig.program("load/load", args + tests.split(), each=each)

    def status(self, *options):
        if self.kind != "dittofs":
            return {}
        out = subprocess.run([self.rig.binary, "status", self.dir, "--json", *options], stdout=subprocess.PIPE, check=False)
        return json.loads(out.stdout) if out.returncode == 0 else {}

    def info(self, path):
        """What the metadata says of a file."""
        out = subprocess.run([self.rig.binary, "info", self.dir, path, "--json"], stdout=subprocess.PIPE, check=False)
        return json.loads(out.stdout) if out.returncode == 0 else {}

    def settle(self, seconds=30):
        """Until what was written is where it belongs, so that the next test is alone."""
        if self.kind == "ganesha":
            subprocess.run(["sync", "-f", self.dir], check=False)
            return
        try:
            subprocess.run([self.rig.binary, "flush", self.dir], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False, timeout=seconds)
        except subprocess.TimeoutExpired:
            say("%s has not uploaded all after %d s" % (self.dir, seconds))

    def rest(self, seconds=60):
        """Until nothing is left to do in the background: what was written in pieces is merged, too."""
        self.settle(seconds)
        end = time.monotonic() + seconds
        while self.status().get("compaction", {}).get("pending_chunks"):
            if time.monotonic() > end:
                say("%s still merges after %d s" % (self.dir, seconds))
                return
            time.sleep(0.1)

    def stop(self):
        if not self.process:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None


class Rig:
    """The folder that all happens in, the programs, the servers that run."""

    def __init__(self, binary, programs, folder):
        self.binary, self.programs, self.dir = binary, programs, folder
        self.port = 21049
        self.servers = []
        self.rpcbind = None
        os.makedirs(folder, exist_ok=True)

    def next_port(self):
        self.port += 10
        return self.port

    def program(self, name, args, timeout=3600, each=None):
        """Runs a program of bench/; the JSON objects that it prints.  each(results) is called when one more is there."""
        command = [os.path.join(self.programs, name)] + [str(a) for a in args]
        results = []
        with tempfile.TemporaryFile() as said:
            process = subprocess.Popen(LEASH + command, stdout=subprocess.PIPE, stderr=said, text=True)
            alarm = threading.Timer(timeout, process.kill)
            alarm.daemon = True     # whoever interrupts us does not wait for it
            alarm.start()
            for line in process.stdout:
                if line.startswith("{"):
                    results.append(json.loads(line))
                    if each:
                        each(results)
            code = process.wait()
            alarm.cancel()
            if code != 0:
                said.seek(0)
                raise Failed("%s: %s" % (" ".join(command), said.read().decode(errors="replace").strip()[-500:] or "ended with %d" % code))
        return results

    def server(self, kind, **options):
        if kind == "ganesha" and not self.rpcbind:
            self.rpcbind = subprocess.Popen(LEASH + ["rpcbind", "-w", "-f"], stderr=subprocess.DEVNULL)
            time.sleep(0.3)
        server = Server(self, kind, **options).start()
        self.servers.append(server)
        return server

    def close(self):
        for server in self.servers:
            server.stop()
        if self.rpcbind:
            self.rpcbind.terminate()
            self.rpcbind.wait()


class SyscallCounter:
    """perf's tracepoints: system calls of a process while something else runs."""

    EVENTS = ("syscalls:sys_enter_io_uring_enter", "raw_syscalls:sys_enter")

    def __init__(self, pid, seconds):
        command = ["perf", "stat", "-x", ",", "-e", ",".join(self.EVENTS), "-p", str(pid), "--", "sleep", str(seconds)]
        try:
            self.process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
        except FileNotFoundError:
            self.process = None

    def counts(self):
        """(io_uring_enter, all), or None where perf has no tracepoints."""
        if not self.process:
            return None
        found = {}
        for line in self.process.communicate()[1].decode(errors="replace").splitlines():
            field = line.split(",")
            if len(field) > 2 and field[2] in self.EVENTS and field[0].isdigit():
                found[field[2]] = int(field[0])
        return tuple(found[e] for e in self.EVENTS) if len(found) == 2 else None


class Counters:
    """What bench/preload/count.so counts in a server, by the names of its threads, and the copies that the server itself tells of."""

    FIELDS = ("allocs", "frees", "locks", "copies", "copied_bytes")

    def __init__(self, rig):
        self.path = os.path.join(rig.dir, "count.bin")
        self.env = {"LD_PRELOAD": os.path.abspath(os.path.join(rig.programs, "preload/count.so")),
                    "BENCH_COUNT": os.path.abspath(self.path)}

    def read(self, server, prefix):
        """Sums over the threads whose name begins so."""
        pages = server.status().get("cache", {}).get("pages_copied", 0) # its own loop, which no library sees
        total = dict.fromkeys(self.FIELDS, 0) | {"copies": pages, "copied_bytes": pages * 4096}
        with open(self.path, "rb") as f:
            raw = f.read()
        for at in range(0, len(raw), 48):
            tid, *values = struct.unpack_from("<6Q", raw, at)
            try:
                with open("/proc/%d/task/%d/comm" % (server.pid, tid), encoding="utf-8") as f:
                    name = f.read().strip()
            except OSError:
                continue
            if tid and name.startswith(prefix):
                for field, value in zip(self.FIELDS, values):
                    total[field] += value
        return total
