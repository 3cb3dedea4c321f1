# SPDX-License-Identifier: Apache-2.0
"""A store that is away for longer, or comes and goes: the journal fills and drains, the log stays readable."""
import errno
import os
import threading
import time

from rig import SLOW, Failed, Gateway, Later, Proxy, Server, content, resolve, within

MIB = 1 << 20


def again_until(call, end):
    """As a kernel does: JUKEBOX is asked again. (What it said, how often it was told so.)"""
    told = 0
    while True:
        try:
            return call(), told
        except OSError as e:
            if e.errno != errno.EAGAIN:
                raise Failed("a client saw %s" % e) from None
            told += 1
            if end():
                return None, told
            time.sleep(0.05)


def journal_full(rig, seconds=0, journal="64MiB"):
    """Writers wait, reads go on (for so many seconds more), and when the store is back everything is there."""
    server = Server(rig.top, "full%d" % seconds, rig.binary, rig.gateway, rig.proxy.port, journal=journal)
    server.format()
    server.start()
    m = server.mount()
    m.mkdir("/d")
    old = m.create("/d/old")  # of before, but in no cache
    old.write(0, content(4999, MIB))
    old.fsync()
    server.drained()
    rig.proxy.tell("refuse")
    start, acked, jukebox, slowest = time.monotonic(), [], 0, 0.0
    memory = []

    def write(i, end):
        def once():
            f = m.create("/d/%d" % i)
            f.write(0, content(5000 + i, MIB))
            f.fsync()
            return True
        return again_until(once, end)

    def read_some():
        nonlocal slowest
        for k in acked[::4]:
            t = time.monotonic()
            if m.open("/d/%d" % k).read(0, MIB) != content(5000 + k, MIB):
                raise Failed("file %d is not what was written" % k)
            slowest = max(slowest, time.monotonic() - t)
        memory.append(server.status()["memory"]["rss_bytes"])

    def is_full():  # a writer also waits while a slow disk makes the next segment
        j = server.status()["journal"]
        return j["used_bytes"] > j["total_bytes"] * 3 // 4

    while len(acked) < 1000:
        done, told = write(len(acked), is_full)
        jukebox += told
        if not done:
            break
        acked.append(len(acked))
    if len(acked) < 8 or not jukebox:
        raise Failed("%d MiB into a journal of %s, and the writer did not wait" % (len(acked), journal))
    full = time.monotonic()
    read_some()
    while time.monotonic() < full + seconds:
        read_some()
        done, told = write(len(acked), lambda: True)
        jukebox += told
        if done:
            raise Failed("a full journal took another file while the store was away")
        time.sleep(1)
    if max(memory) > 1.2 * memory[0]:
        raise Failed("memory grows meanwhile: %s" % memory)
    rig.proxy.tell("accept")
    lifted = time.monotonic()
    write(len(acked), lambda: False)
    acked.append(len(acked))
    goes_on = time.monotonic() - lifted
    server.drained(60)
    drained = time.monotonic() - lifted
    m.close()
    lines = server.said(" is away: | is back after |requests of the last|does not take|uploads work again")
    if lines > 6 + 2 * seconds / 60:
        raise Failed("%d lines in the log about one outage" % lines)
    server.restart_cold()
    m = server.mount()
    for k in acked:
        if m.open("/d/%d" % k).read(0, MIB + 1) != content(5000 + k, MIB):
            raise Failed("file %d was acknowledged and is not there" % k)
    m.close()
    server.kill()
    rig.table.append(("journal full, store refuses %.0f s" % (lifted - start),
                      "%d MiB acknowledged, then %d × JUKEBOX; reads ≤ %.2f s; %d log lines" % (len(acked) - 1, jukebox, slowest, lines),
                      "writes %.1f s, uploads %.1f s" % (goes_on, drained)))


# ---- what takes minutes of waiting: beside the others, on a gateway of its own that they do not harm

class Client(threading.Thread):
    """Writes, syncs, and reads back what is in no cache any more, file by file, until it is told to end."""

    def __init__(self, server, pause=0.1):
        super().__init__(daemon=True)
        self.server, self.pause = server, pause
        self.ending, self.wrong, self.jukebox = False, None, 0
        self.written, self.read = [], 0     # [i], and how many cold reads were answered
        self.write_s = self.read_s = 0.0
        self.last_read = 0.0
        self.start()

    def timed(self, call):
        start = time.monotonic()
        got, told = again_until(call, lambda: False)
        self.jukebox += told
        return got, start, time.monotonic() - start

    def run(self):
        try:
            m = self.server.mount()
            while not self.ending:
                i = len(self.written)
                f = self.timed(lambda: m.create("/c%d" % i))[0]
                took = self.timed(lambda: f.write(0, content(i, 20000)))[2] + self.timed(f.fsync)[2]
                self.write_s = max(self.write_s, took)
                self.written.append(i)
                k = self.read % len(COLD)
                got, start, took = self.timed(lambda: m.open("/cold%d" % k).read(0, COLD[k]))
                if got != content(7000 + k, COLD[k]):
                    raise Failed("/cold%d is not what was written" % k)
                self.read += 1
                self.read_s, self.last_read = max(self.read_s, took), start
                time.sleep(self.pause)
            m.close()
        except Exception as e:
            self.wrong = e

    def end(self):
        self.ending = True
        self.join(60 * SLOW)
        if self.wrong or self.is_alive():
            raise Failed("the client: %s" % (self.wrong or "it waits for ever"))


COLD = [64 * 1024 + i * 16 for i in range(400)]


gateways = []


def beside(rig, scene):
    """A scene that runs while others do."""
    if not gateways:
        os.mkdir(rig.top + "/beside")
        gateways.append(Gateway(rig.top + "/beside"))
    return Later(scene, rig, gateways[0])


def cold_server(rig, gateway, name):
    """A server with 400 files of which it has none in memory, and no disk cache; its name service and proxy are its own."""
    top = os.path.join(rig.top, name)
    os.mkdir(top)
    proxy = Proxy(top, gateway.port)
    server = Server(top, "vol", rig.binary, gateway, proxy.port, prefix=name, more="cache: {cache_size: 0}")
    server.format()
    server.start()
    m = server.mount()
    for k, size in enumerate(COLD):
        f = m.create("/cold%d" % k)
        f.write(0, content(7000 + k, size))
        if k % 50 == 49:
            f.fsync()
    m.close()
    server.drained(60)
    server.restart_cold()
    return top, proxy, server


def check_written(server, client):
    server.drained(60)
    server.restart_cold()
    m = server.mount()
    for i in client.written:
        if m.open("/c%d" % i).read(0, 20001) != content(i, 20000):
            raise Failed("/c%d was acknowledged and is not there" % i)
    m.close()
    server.stop()


def name_fails(rig, gateway):
    """libcurl remembers a name for 60 s and a connection for as long as it lives: without both, readers wait; a name
    that is back is enough."""
    top, proxy, server = cold_server(rig, gateway, "dns")
    client = Client(server, 0.25)
    within(20, "reads by both cores", lambda: client.read > 12 or client.wrong)
    resolve(top, False)
    broken = time.monotonic()
    while time.monotonic() < broken + 62:
        time.sleep(1)
        proxy.tell("cut")  # no connection is kept, so the name is asked for whenever it is forgotten
    before, slow = client.read, client.read_s
    if server.said("Could not resolve host") == 0:
        within(20, "a word of the name in the log", lambda: proxy.tell("cut") == {} and server.said("Could not resolve host"), 0.5)
    if not before:
        raise Failed("nothing was read while the name was remembered (%.1f s)" % slow)
    at = client.read
    time.sleep(3)
    if client.read > at + 1:
        raise Failed("reads go on without a name?")
    resolve(top, True)
    lifted = time.monotonic()
    within(30, "a read that begins when the name is back", lambda: client.last_read > lifted or client.wrong, 0.01)
    reads = time.monotonic() - lifted
    client.end()
    server.drained(60)
    uploads = time.monotonic() - lifted
    check_written(server, client)
    proxy.end()
    rig.table.append(("name gone while running (DNS)", "%d reads by the name remembered, then they wait (%.1f s); fsyncs ≤ %.1f s, %d × JUKEBOX"
                      % (before, client.read_s, client.write_s, client.jukebox), "reads %.1f s, uploads %.1f s" % (reads, uploads)))


def comes_and_goes(rig, gateway):
    """Away for two seconds of three, then every second request fails, then every second upload is refused: the log has a line
    a change at most, and one a minute."""
    top, proxy, server = cold_server(rig, gateway, "flaps")
    client = Client(server, 0.05)
    for _ in range(8):
        proxy.tell("refuse")
        time.sleep(2.5)
        proxy.tell("accept")
        time.sleep(0.6)
    changes = server.said(" is away: ") + server.said(" is back after ")
    if not 1 <= changes <= 4:
        raise Failed("%d lines about a store that went and came 8 times in 25 s" % changes)
    proxy.add(do="status", p=0.5)
    start = time.monotonic()
    within(80, "the summary of a minute", lambda: server.said("requests of the last .* SlowDown"), 1)
    took = time.monotonic() - start
    proxy.clear()
    proxy.add(do="status", method="PUT", code=403, error="AccessDenied", p=0.5)
    refused = server.status()["pending"]["errors"] + 8
    within(40, "eight uploads that are refused", lambda: server.status()["pending"]["errors"] > refused)
    lines = server.said("is away|is back|refuses us|requests of the last|does not take|uploads work")
    proxy.clear()
    client.end()
    if lines > 10:
        raise Failed("%d lines in the log:\n%s" % (lines, server.tail(20)))
    retries = sum(n["retries"] for n in server.status()["object_store"]["requests"])
    check_written(server, client)
    proxy.end()
    rig.table.append(("comes and goes, then half fails", "%d log lines for %d failed requests; reads ≤ %.1f s, fsyncs ≤ %.1f s, %d × JUKEBOX"
                      % (lines, retries, client.read_s, client.write_s, client.jukebox), "a summary after %.0f s" % took))


SCENES = [("name gone while running", name_fails), ("comes and goes", comes_and_goes)]
