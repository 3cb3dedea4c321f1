# SPDX-License-Identifier: Apache-2.0
"""What is pending: how it is shown, waited for, and uploaded at the end; and who waits for the bucket itself."""
import errno
import json
import signal
import subprocess
import threading
import time

from rig import SLOW, Failed, Server, content, within

MIB = 1 << 20


def server_with(rig, name, durability="local"):
    s = Server(rig.top, name, rig.binary, rig.gateway, rig.proxy.port, durability=durability)
    with open(s.config) as f:
        text = f.read()
    with open(s.config, "w") as f:
        f.write(text.replace("upload_delay: 500ms", "upload_delay: 1h") + "shutdown: {drain_limit: 5s}\n")
    s.format()
    s.start()
    return s


def fill(server, names, size):
    m = server.mount()
    for i, name in enumerate(names):
        f = m.create(name)
        f.write(0, content(i, size))
        f.fsync()
    m.close()


def check(server, names, size):
    m = server.mount()
    for i, name in enumerate(names):
        if m.open(name).read(0, size + 1) != content(i, size):
            raise Failed("%s is not what was written" % name)
    m.close()


def flush_waits(rig):
    """Shows what is pending; Ctrl-C ends the waiting and nothing else; when it has ended all is in the bucket."""
    s = server_with(rig, "flush")
    names = ["/f%d" % i for i in range(24)]
    fill(s, names, MIB // 2)
    pending = s.status()["pending"]
    if (pending["files"], pending["bytes"]) != (24, 12 * MIB):
        raise Failed("status shows %s" % pending)
    hold = rig.proxy.add(do="hold", method="PUT")
    command = [rig.binary, "flush", "--config", s.config, "--json"]
    waiting = subprocess.Popen(command, stdout=subprocess.PIPE)
    time.sleep(0.5 * SLOW)
    if waiting.poll() is not None:
        raise Failed("flush did not wait")
    waiting.send_signal(signal.SIGINT)
    if waiting.wait(10 * SLOW) != -signal.SIGINT:
        raise Failed("flush ended with %d at Ctrl-C" % waiting.returncode)
    if s.status()["pending"]["files"] != 24:
        raise Failed("Ctrl-C changed something")
    waiting = subprocess.Popen(command, stdout=subprocess.PIPE)
    time.sleep(0.2 * SLOW)
    rig.proxy.remove(hold)
    lifted = time.monotonic()
    out = json.loads(waiting.communicate(timeout=30 * SLOW)[0])
    took = time.monotonic() - lifted
    if waiting.returncode or out["files"] != 24 or out["stuck"] or s.pending():
        raise Failed("flush said %s" % out)
    if s.status()["pending"]["bytes_per_second"] == 0:
        raise Failed("no rate is shown")
    s.kill()
    rig.table.append(("dittofs flush, PUTs held", "waits; Ctrl-C harms nothing", "all is there after %.1f s" % took))


def drain_shows(rig):
    """SIGTERM uploads, and says so each second; a second one ends at once, and so does the limit; nothing is lost."""
    s = server_with(rig, "drain")
    names = ["/d%d" % i for i in range(20)]
    fill(s, names, MIB // 2)
    rig.proxy.tell("refuse")
    s.process.send_signal(signal.SIGTERM)
    within(20, "three lines of progress", lambda: s.tail(50).count("draining: 10.0 MiB in 20 files left") >= 3)
    s.process.send_signal(signal.SIGTERM)
    try:
        status = s.process.wait(5 * SLOW)
    except subprocess.TimeoutExpired:
        raise Failed("a second SIGTERM does not end it") from None
    if status != 1:
        raise Failed("a second SIGTERM: status %d" % status)
    rig.proxy.tell("accept")
    s.start()
    check(s, names, MIB // 2)
    s.stop()
    if "everything is uploaded" not in s.tail(50):
        raise Failed("the drain did not end: " + s.tail())
    keys = len(rig.gateway.keys("drain/"))
    s.start()
    s.restart_cold()
    check(s, names, MIB // 2)
    fill(s, ["/last"], MIB)
    rig.proxy.tell("refuse")
    begun = time.monotonic()
    s.stop(60)
    took = time.monotonic() - begun
    rig.proxy.tell("accept")
    if "shutdown.drain_limit is over: 1.0 MiB in 1 files" not in s.tail(50) or took < 4:
        raise Failed("the limit of the drain: %s" % s.tail())
    s.start()
    check(s, ["/last"], MIB)
    s.stop()
    rig.table.append(("SIGTERM, store refuses", "progress each second", "second signal at once; limit of 5 s: %.1f s; %d objects" % (took, keys)))


def remote_waits(rig):
    """durability: remote. An fsync is answered when the bucket has it: not before, and never while that is away."""
    s = server_with(rig, "remote", durability="remote")
    m = s.mount()
    f = m.create("/r")
    f.write(0, content(1, 100000))
    before = len(rig.gateway.keys("remote/"))
    f.fsync()
    if len(rig.gateway.keys("remote/")) != before + 1:
        raise Failed("an fsync was answered and the bucket does not have it")
    rig.proxy.tell("refuse")
    done = []

    def sync():
        mount = s.mount()
        g = mount.create("/waits")
        g.write(0, content(2, 50000))
        told = 0
        while True:
            try:
                g.fsync()
                break
            except OSError as e:
                if e.errno != errno.EAGAIN:
                    raise
                told += 1
        done.append((time.monotonic(), told))
    t = threading.Thread(target=sync, daemon=True)
    t.start()
    time.sleep(18 * SLOW)
    if done:
        raise Failed("an fsync was answered while the store was away")
    if m.open("/r").read(0, 100001) != content(1, 100000) or m.open("/waits").read(0, 50001) != content(2, 50000):
        raise Failed("reads do not go on")
    rig.proxy.tell("accept")
    lifted = time.monotonic()
    within(60, "the fsync", lambda: done)
    # The disk of the journal is lost, and RocksDB and the bucket are left.
    s.kill()
    s.lose_journal()
    s.start()
    m = s.mount()
    if m.open("/waits").read(0, 50001) != content(2, 50000):
        raise Failed("the bucket does not have what was acknowledged")
    s.stop()
    rig.table.append(("fsync on remote, store refuses", "%d × JUKEBOX, no OK; reads go on" % done[0][1], "fsync %.1f s" % (done[0][0] - lifted)))


def killed_while_away(rig):
    """kill -9 while nothing can be uploaded: the journal has what was acknowledged, and it goes to the bucket when that is back."""
    s = server_with(rig, "away")
    names = ["/a%d" % i for i in range(20)]
    rig.proxy.tell("refuse")
    fill(s, names, MIB // 2)
    s.kill()
    rig.proxy.tell("accept")
    begun = time.monotonic()
    s.start()
    check(s, names, MIB // 2)
    s.drained()
    took = time.monotonic() - begun
    s.restart_cold()
    check(s, names, MIB // 2)
    s.stop()
    rig.table.append(("kill -9, store refuses", "20 of 20 files after the start", "uploads %.1f s" % took))


SCENES = [("flush", flush_waits), ("kill -9 while away", killed_while_away), ("drain", drain_shows), ("durability remote", remote_waits)]
