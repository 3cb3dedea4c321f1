# SPDX-License-Identifier: Apache-2.0
"""A bucket of which a small share of the GETs is late or comes damaged: what READs see of it, and what it costs in GETs.

Random READs of 4 KiB of what no cache has, through the proxy of tests/s3; bench/load compares the bytes that come.
"""
from rig import Failed, say

LATE, LATE_S, HEDGE, DEPTH = 0.03, 0.5, "100ms", 8
DAMAGED = 0.01 # a READ fails when its frame comes damaged three times: one in a million
# subject: (the proxy's fault or None, s3.hedge_after)
SUBJECTS = {
    "as it is": (None, "0"),
    "late": ({"do": "delay", "s": LATE_S, "p": LATE}, "0"),
    "late, hedged": ({"do": "delay", "s": LATE_S, "p": LATE}, HEDGE),
    "damaged": ({"do": "corrupt", "side": "response", "p": DAMAGED}, "0"),
}
WORDS = {
    "as it is": "all as they come",
    "late": "%g %% of them %g ms late, `hedge_after: 0`" % (100 * LATE, 1000 * LATE_S),
    "late, hedged": "the same, `hedge_after: %s`" % HEDGE,
    "damaged": "%g %% of them with a byte that is another" % (100 * DAMAGED),
}


def ask(questions, n, bucket):
    """questions: s3.Questions."""
    bench, mib = questions.bench, max(8, questions.mib // 2)
    stream = {"size": mib, "dir": "stream", "warm": 0}
    server = questions.server(bucket, bucket.far(0))
    server.load("null read", seconds=0.05, ops=1, depth=16, **stream) # makes the file
    server.settle()
    for subject, (fault, hedge_after) in SUBJECTS.items():
        server.config = {"s3.hedge_after": hedge_after}
        server.configure()
        questions.restart(server, cold=True)
        bucket.control.clear()
        if fault:
            bucket.control.add(method="^GET$", path="/chunks/|/packs/", **fault)
        before = bucket.control.count()["requests"].get("GET", 0)
        try:
            sample = server.load("read", depth=DEPTH, ops=mib * 8, **stream)[0]
        except Failed as e:
            bench.notes.append("GETs %s, round %d: %s" % (subject, n, e))
            say(bench.notes[-1])
            with open(server.log, encoding="utf-8", errors="replace") as log:
                say("its server said: " + log.read()[-1000:])
            continue
        sample["gets_per_read"] = (bucket.control.count()["requests"].get("GET", 0) - before) / sample["ops"]
        bench.add("s3 slow", subject, n, sample)
    bucket.control.clear()
    questions.drop(server)
