# SPDX-License-Identifier: Apache-2.0
"""What stands in the way of a bar that was missed: the same test once more, with a profile of the server,
the stages that its calls went through, and who used the CPUs.  verdict.py makes sentences of it.
"""
import os
import threading
import time

import bars
import flame
import profile
import usage
from rig import Failed, say

LOOKED = 0.8     # seconds in the middle of a test of two and a half times that
OTHERS = 0.15    # cores: a look in which others used more is no good
TRIES = 4
STREAM = {"depth": 16, "bytes": 1 << 20, "size": 128, "dir": "stream"}
DEEP = {"depth": 256}
HUNDRED = {"depth": 64, "files": 100, "dir": "hundred"}
MILLION = {"depth": 64, "files": 1000000, "dir": "million"}
FEW = {"depth": 64, "files": 100000, "dirs": 10, "dir": "few"}
MANY = {"depth": 64, "files": 10000000, "dirs": 1000, "dir": "many"}
# key of a sample: (what must run before, the test, its options)
TESTS = {
    "null@64": ("", "null", {}), "getattr@64": ("", "getattr", {}), "lookup@64": ("", "lookup", {}), "read4k@64": ("", "read", {"dir": "inorder"}),
    "read4k scattered@64": ("", "read", {}),
    "null@256": ("", "null", DEEP), "getattr@256": ("", "getattr", DEEP), "read4k@256": ("", "read", DEEP),
    "write4k@64": ("", "write", {}), "seqread@16": ("", "seqread", STREAM),
    "seqwrite@16": ("", "seqwrite " * 8, dict(STREAM, ops=128, fresh=True)),
    "randwrite@64": ("", "write:64,commit:1", {}), "writesync@64": ("", "writesync", {}),
    "create@64": ("", "create", {"dir": "names"}), "mkdir@64": ("", "mkdir", {"dir": "names"}),
    "rename@64": ("create", "rename", {"dir": "names"}), "remove@64": ("create", "remove", {"dir": "names"}),
    "lookup in 100": ("", "lookup", HUNDRED),
    "lookup in 1M": ("", "lookup", MILLION), "lookup in 1M, hot": ("", "lookup", dict(MILLION, hot=100)),
    "readdirplus 100k": ("", "readdirplus", {"depth": 1, "files": 100000, "dir": "hundredk"}),
    "readdirplus 1M": ("", "readdirplus", dict(MILLION, depth=1)),
    "getattr of 100k": ("", "getattr", FEW), "readdirplus of 100k": ("", "readdirplus", dict(FEW, depth=4)),
    "getattr of 10M": ("", "getattr", MANY), "readdirplus of 10M": ("", "readdirplus", dict(MANY, depth=4)),
    "lookup of 100k": ("", "lookup", FEW), "create of 100k": ("", "create", FEW), "remove of 100k": ("create", "remove", FEW),
    "lookup of 10M": ("", "lookup", MANY), "create of 10M": ("", "create", MANY), "remove of 10M": ("create", "remove", MANY),
}
PROCEDURES = {"seqread": "READ", "seqwrite": "WRITE", "writesync": "WRITE"}
NOT_CLEAN = (("allocs", "allocations"), ("locks", "locks"), ("copies", "copies of 4 KiB or more"))


def missed_by(row):
    return ["%s: %.2f, bar %s %g" % (r["who"], r["ratio"], "≥" if r["how"] == ">=" else "≤", r["bar"])
            for r in row["references"] if r["reached"] is False]


def references_of(row):
    return [{"who": r["who"], "median": r["value"]["median"], "unit": row["unit"], "ratio": r["ratio"], "bar": r["bar"], "how": r["how"],
             "reached": r["reached"]} for r in row["references"]]


def wanted(samples, counts):
    """What was missed, each test once: its row's id and words, key and subject, and what it is to be laid beside, or None."""
    found = {}
    for row in bars.make(samples):
        missed = missed_by(row)
        if not missed or row["key"] not in TESTS:
            continue
        subject = "cores2" if row["subject"] == "2 reactors" else row["subject"]
        beside = [(r["key"], r["subject"]) for r in row["references"] if r["reached"] is False and r["subject"] in ("dittofs", "cores1")]
        found[row["key"], subject] = {"id": row["id"], "what": row["what"].split(", from CPU")[0], "key": row["key"], "subject": subject,
                                      "missed": missed, "references": references_of(row), "beside": beside[0] if beside else None}
    for c in bars.count_rows(counts):
        if c["what"] not in TESTS or (c.get("enter_reached") is not False and c.get("clean") is not False):
            continue
        entry = found.setdefault((c["what"], "dittofs"), {"id": "count_" + c["what"].split("@")[0], "what": c["what"], "key": c["what"],
                                                          "subject": "dittofs", "missed": [], "references": [], "beside": None})
        if c.get("enter_reached") is False:
            entry["missed"].append("%.1f calls an io_uring_enter, bar ≥ 8" % c["ops_per_enter"])
        if c.get("clean") is False:
            entry["missed"].append("not clean: " + ", ".join("%.2f %s a call" % (c[k], name) for k, name in NOT_CLEAN if c[k] >= 0.05))
    return list(found.values())


def stages(before, after):
    """
    Between two `status --latency --json`: {procedure: {stage: µs of the mean call, "total": µs, "calls": n}}, where queue, work
    and reply are the total, and {part: {"count", "us": mean}}.
    """
    def change(old, new):
        """How many more, and their sum in µs."""
        old = old or {"count": 0, "mean_us": 0.0}
        return new["count"] - old["count"], new["count"] * new["mean_us"] - old["count"] * old["mean_us"]
    old = {p["procedure"]: p for p in before.get("procedures", [])}
    calls, parts = {}, {}
    for p in after.get("procedures", []):
        was = old.get(p["procedure"], {"total": None, "stages": {}})
        n, total = change(was["total"], p["total"])
        if n > 0:
            calls[p["procedure"]] = dict({s: change(was["stages"].get(s), h)[1] / n for s, h in p["stages"].items()}, calls=n, total=total / n)
    old = {p["part"]: p["total"] for p in before.get("parts", [])}
    for p in after.get("parts", []):
        n, total = change(old.get(p["part"]), p["total"])
        if n > 0:
            parts[p["part"]] = {"count": n, "us": total / n}
    return calls, parts


def watch(server, run, looked, path, asked, before=0, named=None):
    """
    run(each) asks the server, in a thread; after `before` results and a moment the look begins.
    {"result", "calls" of the procedures asked, "parts", "cpus", "by", "others"}, and the stacks.
    """
    box, started = {}, threading.Event()

    def seen(results):
        if len(results) >= before:
            started.set()

    def work():
        try:
            box["results"] = run(seen)
        except Failed as e:
            box["error"] = e
        started.set()
    if not before:
        started.set()
    thread = threading.Thread(target=work)
    thread.start()
    started.wait()
    time.sleep(0.5 * looked)
    latency, first = server.status("--latency"), usage.Look()
    record = profile.Record(server.pid, looked, path)
    if record.process:
        record.process.wait()
    last, later = usage.Look(), server.status("--latency")
    thread.join()
    if "error" in box:
        raise box["error"]
    calls, parts = stages(latency, later)
    calls = {name: c for name, c in calls.items() if name in asked}
    used = usage.between(first, last, {**(named or {}), server.pid: "server"})
    result = box["results"][-1]
    used["by"].setdefault("load", result["client_cpu"]) # it had ended by then
    return dict(used, result=result, calls=calls, parts=parts), record.stacks()


def procedures(test):
    words = {word.split(":")[0] for word in test.replace(",", " ").split()}
    return {PROCEDURES.get(word, word.upper()) for word in words}


class Looker:
    """Looks at servers of `bench`; the flame graphs go to its folder."""

    def __init__(self, bench):
        self.bench, self.out = bench, bench.out
        self.house = profile.House(bench.rig.binary)
        self.path = os.path.join(bench.rig.dir, "perf.data")
        self.looked = min(LOOKED, 4 * bench.seconds)
        self.known = {} # (key, subject): what was seen

    def alone(self, what, once):
        """once() gives what watch() does; again while others are in the way.  None: they always were."""
        for _ in range(TRIES):
            try:
                seen, stacks = once()
            except Failed as e:
                self.bench.notes.append("no profile of %s: %s" % (what, e))
                return None
            if seen["others"] <= OTHERS or self.bench.anyway:
                return dict(seen, profile=profile.summary(self.house, stacks)), stacks
            say("others used %.1f cores meanwhile: again" % seen["others"])
        self.bench.notes.append("no profile of %s: others used %.1f cores meanwhile, %d times" % (what, seen["others"], TRIES))
        return None

    def server(self, key, subject):
        if subject.startswith("cores"):
            return self.bench.variant(subject, cores=int(subject[5:]), config={"network.busy_poll": "0"})
        return self.bench.huge if key.endswith(("10M", "100k")) and " of " in key else self.bench.ours

    def see(self, what, key, subject):
        if (key, subject) in self.known:
            return self.known[key, subject]
        server, (before, test, options) = self.server(key, subject), TESTS[key]
        options = dict({"depth": 64}, **options)

        def once():
            server.load((before + " " + test.split()[0]).strip(), seconds=0.05, **options) # what it works on is there
            found = watch(server, lambda each: server.load(before + " " + test, seconds=2.5 * self.looked, each=each, **options),
                          self.looked, self.path, procedures(test), before=len(before.split()))
            server.settle()
            return found
        self.known[key, subject] = self.alone(what, once)
        return self.known[key, subject]

    def entry(self, asked, found, beside=None):
        seen, stacks = found
        drawn = flame.save(os.path.join(self.out, "flame_%s.svg" % asked["id"]), asked["what"], stacks, self.house.name)
        return dict(seen, id=asked["id"], what=asked["what"], subject=asked["subject"], missed=asked["missed"],
                    references=asked["references"], beside=beside,
                    flame="flame_%s.svg" % asked["id"] if drawn else None)


def words(key, subject):
    return "one reactor" if subject == "cores1" else key


def looker(bench):
    """The one of this run."""
    bench.looker = bench.looker or Looker(bench)
    return bench.looker


def look(bench):
    """Into bench.why: what was seen of every bar that was missed; see verdict.py for what is in it."""
    one = looker(bench)
    for asked in wanted(bench.samples, bench.counts):
        say("what stands in the way: " + asked["what"])
        seen = one.see(asked["what"], asked["key"], asked["subject"])
        if not seen:
            continue
        beside = None
        if asked["beside"]:
            name = words(*asked["beside"])
            other = one.see(name, *asked["beside"])
            beside = dict(other[0], what=name) if other else None
        bench.why.append(one.entry(asked, seen, beside))
