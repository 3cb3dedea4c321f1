# SPDX-License-Identifier: Apache-2.0
"""What stands in the way of a bar that was missed: the same test once more, with a profile of the server,
the stages that its calls went through, and how busy both sides were.
"""
import os
import threading
import time

import bars
import facts
import flame
import profile
from rig import Failed, say

LOOKED = 1.0     # seconds in the middle of a test of 2.5
STREAM = {"depth": 16, "bytes": 1 << 20, "size": 128, "dir": "stream"}
MILLION = {"depth": 64, "files": 1000000, "dir": "million"}
MANY = {"depth": 64, "files": 10000000, "dirs": 1000, "dir": "many"}
# key of a sample: (what must run before, the test, its options)
TESTS = {
    "null@64": ("", "null", {}), "getattr@64": ("", "getattr", {}), "lookup@64": ("", "lookup", {}), "read4k@64": ("", "read", {"dir": "inorder"}),
    "read4k scattered@64": ("", "read", {}),
    "write4k@64": ("", "write", {}), "seqread@16": ("", "seqread", STREAM),
    "seqwrite@16": ("", "seqwrite " * 8, dict(STREAM, ops=128, fresh=True)),
    "randwrite@64": ("", "write:64,commit:1", {}), "writesync@64": ("", "writesync", {}),
    "create@64": ("", "create", {"dir": "names"}), "mkdir@64": ("", "mkdir", {"dir": "names"}),
    "rename@64": ("create", "rename", {"dir": "names"}), "remove@64": ("create", "remove", {"dir": "names"}),
    "lookup in 1M": ("", "lookup", MILLION), "lookup in 1M, hot": ("", "lookup", dict(MILLION, hot=100)),
    "readdirplus 1M": ("", "readdirplus", dict(MILLION, depth=1)),
    "lookup of 10M": ("", "lookup", MANY), "create of 10M": ("", "create", MANY), "remove of 10M": ("create", "remove", MANY),
}
PROCEDURES = {"seqread": "READ", "seqwrite": "WRITE", "writesync": "WRITE"}


def wanted(samples, counts):
    """[(row's id, what it says, key, subject, what was missed)], each test once."""
    found = {}
    for row in bars.make(samples):
        missed = ["%s: %.2f, bar %s %g" % (r["who"], r["ratio"], "≥" if r["how"] == ">=" else "≤", r["bar"])
                  for r in row["references"] if r["reached"] is False]
        if not missed or row["key"] not in TESTS:
            continue
        for subject in ("cores1", "cores2") if row["subject"] == "2 reactors" else (row["subject"],):
            entry = found.setdefault((row["key"], subject), [row["id"], row["what"], []])
            entry[2] += missed
    for c in bars.count_rows(counts):
        if c["what"] in TESTS and (c.get("enter_reached") is False or c.get("clean") is False):
            entry = found.setdefault((c["what"], "dittofs"), ["count_" + c["what"].split("@")[0], c["what"], []])
            if c.get("enter_reached") is False:
                entry[2].append("%.1f calls an io_uring_enter, bar ≥ 8" % c["ops_per_enter"])
            if c.get("clean") is False:
                entry[2].append("not clean: see what a call costs")
    return [(ident, what, key, subject, missed) for (key, subject), (ident, what, missed) in found.items()]


def stages(before, after):
    """Means between two `status --latency --json`: {procedure: {stage: µs, "calls": n}}, {part: {"count", "us"}}."""
    def change(old, new):
        n = new["count"] - (old or {}).get("count", 0)
        spent = new["count"] * new["mean_us"] - ((old or {}).get("count", 0) * (old or {}).get("mean_us", 0))
        return n, spent / n if n else 0.0
    old = {p["procedure"]: p for p in before.get("procedures", [])}
    calls, parts = {}, {}
    for p in after.get("procedures", []):
        was = old.get(p["procedure"], {"total": None, "stages": {}})
        n, total = change(was["total"], p["total"])
        if n:
            calls[p["procedure"]] = dict({s: change(was["stages"].get(s), h)[1] for s, h in p["stages"].items()}, calls=n, total=total)
    old = {p["part"]: p["total"] for p in before.get("parts", [])}
    for p in after.get("parts", []):
        n, mean = change(old.get(p["part"]), p["total"])
        if n:
            parts[p["part"]] = {"count": n, "us": mean}
    return calls, parts


def watch(server, key, path, looked):
    """Runs the test of that key, looks at the server in its middle; (result, stacks, calls, parts, busy cores)."""
    before, test, options = TESTS[key]
    options = dict({"depth": 64}, **options)
    server.load((before + " " + test.split()[0]).strip(), seconds=0.05, **options)   # what it works on is there
    box, started = {}, threading.Event()

    def seen(results):
        if len(results) >= len(before.split()):
            started.set()

    def run():
        try:
            box["results"] = server.load(before + " " + test, seconds=2.5 * looked, each=seen, **options)
        except Failed as e:
            box["error"] = e
        started.set()
    if not before:
        started.set()
    thread = threading.Thread(target=run)
    thread.start()
    started.wait()
    time.sleep(0.5 * looked)
    first, ticks = server.status("--latency"), facts.cpu_times()
    record = profile.Record(server.pid, looked, path)
    if record.process:
        record.process.wait()
    busy, last = facts.cpu_busy(ticks, facts.cpu_times()), server.status("--latency")
    thread.join()
    if "error" in box:
        raise box["error"]
    calls, parts = stages(first, last)
    asked = {PROCEDURES.get(word.split(":")[0], word.split(":")[0].upper()) for word in test.replace(",", " ").split()}
    calls = {name: c for name, c in calls.items() if name in asked}
    return box["results"][-1], record.stacks(), calls, parts, busy


def look(bench, out):
    """[{"id", "what", "missed", "result", "profile", "calls", "parts", "flame"}] of every bar that was missed."""
    house, found = profile.House(bench.rig.binary), []
    for ident, what, key, subject, missed in wanted(bench.samples, bench.counts):
        say("what stands in the way: %s%s" % (what, "" if subject == "dittofs" else ", " + subject))
        server = bench.huge if key.endswith("10M") else bench.ours
        if subject.startswith("cores"):
            server = bench.variant(subject, cores=int(subject[5:]), config={"network.busy_poll": "0"})
        try:
            result, stacks, calls, parts, busy = watch(server, key, os.path.join(bench.rig.dir, "perf.data"),
                                                     min(LOOKED, 4 * bench.seconds))
        except Failed as e:
            bench.notes.append("no profile of %s: %s" % (what, e))
            continue
        server.settle()
        name = ident if not subject.startswith("cores") else "%s_%s" % (ident, subject)
        title = what if not subject.startswith("cores") else "%s, %s" % (what.split(":")[0], "1 reactor" if subject == "cores1" else "2 reactors")
        drawn = flame.save(os.path.join(out, "flame_%s.svg" % name), title, stacks, house.name)
        found.append({"id": name, "what": title, "missed": missed, "result": result, "profile": profile.summary(house, stacks),
                      "busy": busy, "calls": calls, "parts": parts, "flame": "flame_%s.svg" % name if drawn else None})
    return found
