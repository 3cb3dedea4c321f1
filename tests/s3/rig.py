# SPDX-License-Identifier: Apache-2.0
"""What the S3 tests stand on: a gateway, the proxy before it, and a dittofs server whose store is behind both."""
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
import time

import ending
import nfs3
import proxy

HERE = os.path.dirname(os.path.realpath(__file__))
SLOW = float(os.environ.get("SLOW", 1))
HOST = "s3.test"  # the gateway's own name, which it takes for its domain and not for a bucket
CONFIG = """version: 1
listen: "127.0.0.1:0"
cores: 2
paths:
  objects: %(objects)s
  control: %(control)s
memory:
  buffer_size: %(buffer)s
  inodes: 32768
writeback:
  max_size: %(journal)s
  upload_delay: 500ms
  durability: %(durability)s
s3:
  endpoint: "http://%(endpoint)s"
  region: us-east-1
  style: path
  credentials_file: %(credentials)s
  signature: %(signature)s
  timeout: 15s
shares:
  - name: /export
%(more)s
"""


class Failed(Exception):
    pass


def within(seconds, what, test, pause=0.05):
    """Waits for test() to become true; returns what it said."""
    end = time.monotonic() + seconds * SLOW
    while not (answer := test()):
        if time.monotonic() > end:
            raise Failed("%s: not within %.0f s" % (what, seconds * SLOW))
        time.sleep(pause)
    return answer


def content(seed, size):
    return random.Random(seed).randbytes(size)


class Gateway:
    started = []  # all that were not wiped

    def __init__(self, top):
        self.dir = os.path.join(top, "rgw")
        self.started.append(self)
        self.start()

    def script(self, *args):
        return ending.script([HERE + "/rgw.sh", args[0], self.dir, *args[1:]], env={**os.environ, "RGW_HOST": HOST})

    def start(self):
        self.env = dict(line.split("=", 1) for line in self.script("start").splitlines())
        self.port = int(self.env["S3_PORT"])

    def kill(self):
        self.script("kill")

    def wipe(self):
        self.started.remove(self)
        self.script("wipe")

    def signal_osd(self, sig):
        with open(self.dir + "/osd.0.pid") as f:
            os.kill(int(f.read()), sig)

    def admin(self, *args):
        subprocess.run(["radosgw-admin", "-c", self.dir + "/ceph.conf", "-n", "client.rgw", *args], check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def request(self, method, key="", query="", data=None):
        """Past the proxy: (status, body)."""
        e = self.env
        command = ["curl", "-s", "-m", "20", "-w", "%{http_code}", "--aws-sigv4", "aws:amz:us-east-1:s3",
                   "-H", "x-amz-content-sha256: UNSIGNED-PAYLOAD", "--user", "%s:%s" % (e["S3_ACCESS_KEY"], e["S3_SECRET_KEY"]),
                   "-X", method, "%s/%s/%s%s" % (e["S3_ENDPOINT"], e["S3_BUCKET"], key, query)]
        if data is not None:
            command += ["--data-binary", "@-"]
        out = subprocess.run(command, input=data, check=True, stdout=subprocess.PIPE).stdout
        return int(out[-3:]), out[:-3]

    def keys(self, prefix):
        status, text = self.request("GET", query="?list-type=2&max-keys=1000&prefix=" + prefix.replace("/", "%2F"))
        if status != 200:
            raise Failed("list: %d %s" % (status, text))
        return re.findall(r"<Key>([^<]*)</Key>", text.decode())


class Proxy(proxy.Control):
    started = []  # all that did not end

    def __init__(self, top, upstream):
        path = os.path.join(top, "proxy")
        self.process = subprocess.Popen(
            [sys.executable, HERE + "/proxy.py", "serve", "--listen", "127.0.0.1:0", "--upstream", "127.0.0.1:%d" % upstream,
             "--control", path, "--log", os.path.join(top, "proxy.log")], stdout=subprocess.PIPE, text=True)
        self.started.append(self)
        self.port = int(self.process.stdout.readline().rsplit(":", 1)[1])
        super().__init__(path)

    def end(self):
        self.started.remove(self)
        self.process.terminate()
        self.process.wait()


class Server:
    """dittofs on a volume of its own in directory `name`."""
    started = []  # all processes ever
    signature = "v4"

    def __init__(self, top, name, binary, gateway, proxy_port, journal="256MiB", buffer="96MiB", prefix=None, durability="local", more=""):
        self.dir = os.path.join(top, name)
        self.binary = binary
        self.log = self.dir + ".log"
        self.config = self.dir + "/dittofs.yaml"
        self.hosts = os.path.join(top, "hosts")
        self.process = None
        os.mkdir(self.dir)
        credentials = os.path.join(top, "credentials")
        with open(os.open(credentials, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as f:
            f.write("[default]\naws_access_key_id = %s\naws_secret_access_key = %s\n"
                    % (gateway.env["S3_ACCESS_KEY"], gateway.env["S3_SECRET_KEY"]))
        resolve(top, True)
        with open(self.config, "w") as f:
            f.write(CONFIG % {"objects": "s3://%s/%s" % (gateway.env["S3_BUCKET"], prefix or name), "control": self.dir + "/control",
                              "endpoint": "%s:%d" % (HOST, proxy_port), "credentials": credentials, "journal": journal,
                              "buffer": buffer, "signature": self.signature, "durability": durability,
                              "more": more})

    def run(self, *args):
        """A command of dittofs where the hosts file is ours: (status, output)."""
        p = subprocess.run(self.inside([self.binary, *args]), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        return p.returncode, p.stdout

    def inside(self, command):
        return ["unshare", "-m", "sh", "-c", 'mount --bind "$0" /etc/hosts && exec "$@"', self.hosts, *command]

    def format(self):
        status, text = self.run("format", "--config", self.config)
        if status:
            raise Failed("format: " + text)

    def start(self, *args):
        before = os.path.getsize(self.log) if os.path.exists(self.log) else 0
        with open(self.log, "a") as log:
            self.process = subprocess.Popen(self.inside([self.binary, "serve", "--config", self.config, *args]), stdout=log, stderr=log)
        self.started.append(self.process)

        def serving():
            with open(self.log) as f:
                f.seek(before)
                m = re.search(r"serving .* on .*:(\d+) with", f.read())
            if not m and self.process.poll() is not None:
                raise Failed("the server ended as it started: " + self.tail())
            return m
        self.port = int(within(30, "the server's start", serving).group(1))

    def tail(self, n=5):
        with open(self.log) as f:
            return "".join(f.readlines()[-n:])

    def said(self, pattern):
        """How many lines of its log, of all starts."""
        with open(self.log) as f:
            return sum(1 for line in f if re.search(pattern, line))

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self, seconds=30):
        self.process.terminate()
        try:
            status = self.process.wait(seconds * SLOW)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGABRT)
            raise Failed("the server was there %d s after SIGTERM" % seconds) from None
        if status:
            raise Failed("the server ended with %d: %s" % (status, self.tail()))

    def lose_journal(self):
        """While it does not run: the disk of the journal breaks."""
        for name in os.listdir(self.dir + "/journal"):
            if name.endswith(".journal"):
                os.unlink(self.dir + "/journal/" + name)

    def restart_cold(self):
        """Killed, and nothing of what it had cached is left."""
        self.kill()
        shutil.rmtree(self.dir + "/cache", ignore_errors=True)
        os.mkdir(self.dir + "/cache")
        self.start()

    def status(self):
        out = subprocess.run([self.binary, "status", "--config", self.config, "--json"], check=True, stdout=subprocess.PIPE).stdout
        return json.loads(out)

    def pending(self):
        return self.status()["pending"]["bytes"]

    def drained(self, seconds=30):
        within(seconds, "uploads", lambda: self.pending() == 0)

    def mount(self):
        return nfs3.Mount(self.port)


def resolve(top, works):
    """The hosts file of the servers, in place: they have it mounted."""
    with open(os.path.join(top, "hosts"), "w") as f:
        f.write("127.0.0.1 localhost\n" + ("127.0.0.1 %s\n" % HOST if works else ""))


class Later(threading.Thread):
    """call(*args) beside what else goes on; result() waits for it, and raises what it raised."""

    def __init__(self, call, *args):
        super().__init__(daemon=True)
        self.call, self.args, self.got, self.error = call, args, None, None
        self.start()

    def run(self):
        try:
            self.got = self.call(*self.args)
        except Exception as e:
            self.error = e

    def result(self):
        self.join()
        if self.error:
            raise self.error
        return self.got


class Saw:
    """What clients saw meanwhile."""

    def __init__(self):
        self.lock = threading.Lock()
        self.reads = self.writes = 0
        self.read_s = self.write_s = 0.0  # the slowest, waits and repetitions included
        self.again = 0                    # JUKEBOX: later, please
        self.errors = {}                  # errno -> count, of reads; writes may have none
        self.wrong = []                   # what must not be

    def error(self, kind, e):
        with self.lock:
            name = "%s of %s" % (os.strerror(e.errno), kind)
            self.errors[name] = self.errors.get(name, 0) + 1

    def text(self):
        t = "reads ≤ %.1f s, fsyncs ≤ %.1f s" % (self.read_s, self.write_s)
        if self.again:
            t += ", %d × JUKEBOX" % self.again
        for name, n in self.errors.items():
            t += ", %d × %s" % (n, name)
        return t


class Worker(threading.Thread):
    """A client that goes on until it is stopped; JUKEBOX makes it try again, as a kernel does."""

    def __init__(self, rig, number):
        super().__init__(daemon=True)
        self.rig, self.number = rig, number
        self.random = random.Random(number)
        self.ending = False
        self.start()

    def run(self):
        try:
            mount = self.rig.server.mount()
            while not self.ending:
                self.once(mount)
            mount.close()
        except Exception as e:
            self.rig.saw.wrong.append("%s %d: %r" % (type(self).__name__, self.number, e))

    def until_done(self, kind, call):
        while True:
            try:
                return call()
            except OSError as e:
                if e.errno == 11:
                    self.rig.saw.again += 1
                else:
                    self.rig.saw.error(kind, e)
                    if kind == "a write" or self.ending:
                        raise
                if self.ending and self.rig.hopeless:
                    raise
                time.sleep(0.05)


class Reader(Worker):
    """Cold reads of what was stored before."""

    def once(self, mount):
        name, data = self.random.choice(self.rig.stored)
        length = min(len(data), self.random.choice([4096, 65536, 300000]))
        at = self.random.randrange(len(data) - length + 1)
        start = time.monotonic()

        got = self.until_done("a read", lambda: mount.open(name).read(at, length))
        end = time.monotonic()
        with self.rig.saw.lock:
            self.rig.saw.reads += 1
            self.rig.saw.read_s = max(self.rig.saw.read_s, end - start)
            self.rig.last_read = max(self.rig.last_read, start)
        if got != data[at:at + length]:
            self.rig.saw.wrong.append("%s at %d: %d bytes that were never written" % (name, at, length))
        time.sleep(0.01)


class Writer(Worker):
    """New files, each one synced; what was acknowledged is told to the rig."""

    def once(self, mount):
        with self.rig.saw.lock:
            self.rig.files += 1
            name, seed = "/w%d" % self.rig.files, self.rig.files
        size = self.random.choice([1000, 8192, 100000, 700000])
        data = content(seed, size)
        start = time.monotonic()
        f = self.until_done("a write", lambda: mount.create(name))
        self.until_done("a write", lambda: f.write(0, data))
        self.until_done("a write", f.fsync)
        end = time.monotonic()
        with self.rig.saw.lock:
            self.rig.written.append((name, seed, size))
            self.rig.saw.writes += 1
            self.rig.saw.write_s = max(self.rig.saw.write_s, end - start)
        time.sleep(0.02)
