# SPDX-License-Identifier: Apache-2.0
"""From samples to rows: medians, spreads, ratios to ganesha and to the bare limit, and the bars."""
import statistics

OPS, MB, ENTRIES, CPU = "ops_per_s", "mb_per_s", "entries_per_s", "server_us_per_op"
UNIT = {OPS: "/s", MB: "MB/s", ENTRIES: "entries/s", CPU: "µs CPU a call", "p50_us": "µs", "p99_us": "µs",
        "p999_us": "µs", "p50_ms": "ms", "files_per_s": "files/s", "puts_per_file": "PUTs a file", "fetched_bytes_per_op": "bytes fetched a READ", "pieces": "pieces"}

# id, what it says, key, field, subject, [(reference subject, its key or None for the same, bar or None, how)]
# how: ">=" ours / reference must be at least the bar; "<=" reference / ours, at most (times slower).
ROWS = (
    ("null64", "NULL, 64 outstanding", "null@64", OPS, "dittofs",
     [("ganesha", None, None, ">="), ("canned", None, None, ">=")]),
    ("getattr64", "GETATTR, 64 outstanding", "getattr@64", OPS, "dittofs",
     [("ganesha", None, 3, ">="), ("bare", None, 0.6, ">="), ("canned", None, None, ">=")]),
    ("lookup64", "LOOKUP, 64 outstanding", "lookup@64", OPS, "dittofs",
     [("ganesha", None, 3, ">="), ("bare", None, 0.6, ">="), ("canned", None, None, ">=")]),
    ("read4k64", "READ 4 KiB cached, a file written in order, 64 outstanding", "read4k@64", OPS, "dittofs",
     [("ganesha", None, 3, ">="), ("bare", None, 0.6, ">="), ("canned", None, None, ">=")]),
    ("read4k64_pieces", "the same, pieces that this file is in", "read4k@64", "pieces", "dittofs", []),
    ("scattered64", "READ 4 KiB cached, a file written again at random, 64 outstanding", "read4k scattered@64", OPS, "dittofs",
     [("ganesha", None, 3, ">="), ("bare", "read4k@64", 0.6, ">=")]),
    ("scattered64_pieces", "the same, pieces that this file is in", "read4k scattered@64", "pieces", "dittofs", []),
    ("mix64", "mix, 64 outstanding", "mix@64", OPS, "dittofs", [("ganesha", None, None, ">=")]),
    ("getattr1", "GETATTR, one at a time", "getattr@1", OPS, "dittofs",
     [("ganesha", None, None, ">="), ("bare", None, None, ">=")]),
    ("lookup1", "LOOKUP, one at a time", "lookup@1", OPS, "dittofs", [("ganesha", None, None, ">=")]),
    ("read4k1", "READ 4 KiB cached, one at a time", "read4k@1", OPS, "dittofs", [("ganesha", None, None, ">=")]),
    ("seqread", "READ 1 MiB cached, sequential, 16 outstanding", "seqread@16", MB, "dittofs",
     [("ganesha", None, 1.5, ">="), ("bare", None, 0.8, ">=")]),
    ("seqwrite", "WRITE 1 MiB UNSTABLE, a new file, one COMMIT", "seqwrite@16", MB, "dittofs",
     [("ganesha", None, 1.5, ">="), ("bare", None, 0.8, ">="), ("bare", "recv", None, ">=")]),
    ("randwrite", "WRITE 4 KiB UNSTABLE at random, COMMIT every 64", "randwrite@64", OPS, "dittofs",
     [("ganesha", None, 2, ">=")]),
    ("writesync64", "WRITE 4 KiB FILE_SYNC, 64 outstanding", "writesync@64", OPS, "dittofs",
     [("bare", None, 0.7, ">="), ("ganesha", None, None, ">=")]),
    ("writesync1", "WRITE 4 KiB FILE_SYNC, one at a time", "writesync@1", OPS, "dittofs",
     [("bare", None, None, ">="), ("ganesha", None, None, ">=")]),
    ("create64", "CREATE, 64 outstanding", "create@64", OPS, "dittofs",
     [("bare", None, 0.7, ">="), ("ganesha", None, 1, ">="), ("bare", "metadata log@64", None, ">=")]),
    ("remove64", "REMOVE, 64 outstanding", "remove@64", OPS, "dittofs",
     [("bare", None, 0.7, ">="), ("ganesha", None, 1, ">=")]),
    ("rename64", "RENAME, 64 outstanding", "rename@64", OPS, "dittofs",
     [("bare", None, 0.7, ">="), ("ganesha", None, 1, ">=")]),
    ("mkdir64", "MKDIR, 64 outstanding", "mkdir@64", OPS, "dittofs",
     [("bare", None, 0.7, ">="), ("ganesha", None, 1, ">=")]),
    ("rmdir64", "RMDIR, 64 outstanding", "rmdir@64", OPS, "dittofs", [("ganesha", None, None, ">=")]),
    ("create1", "CREATE, one at a time", "create@1", OPS, "dittofs", [("ganesha", None, None, ">=")]),
    ("remove1", "REMOVE, one at a time", "remove@1", OPS, "dittofs", [("ganesha", None, None, ">=")]),
    ("list20k", "READDIRPLUS, 20,000 entries", "readdirplus 20k", ENTRIES, "dittofs", [("ganesha", None, None, ">=")]),
    ("list1m", "READDIRPLUS, a million entries", "readdirplus 1M", ENTRIES, "dittofs",
     [("ganesha", None, 2, ">="), ("dittofs", "readdirplus 100k", 0.8, ">=")]),
    ("lookup1m", "LOOKUP in a directory of a million", "lookup in 1M", OPS, "dittofs",
     [("dittofs", "lookup in 100", 1.2, "<="), ("ganesha", None, None, ">=")]),
    ("lookup1mhot", "LOOKUP of 100 names in a million", "lookup in 1M, hot", OPS, "dittofs",
     [("dittofs", "lookup in 100", 1.2, "<="), ("ganesha", None, None, ">=")]),
    ("getattr10m", "GETATTR among 10 million files", "getattr of 10M", OPS, "dittofs",
     [("dittofs", "getattr of 100k", 1.5, "<=")]),
    ("lookup10m", "LOOKUP among 10 million files", "lookup of 10M", OPS, "dittofs",
     [("dittofs", "lookup of 100k", 1.5, "<=")]),
    ("create10m", "CREATE among 10 million files", "create of 10M", OPS, "dittofs",
     [("dittofs", "create of 100k", 1.5, "<=")]),
    ("remove10m", "REMOVE among 10 million files", "remove of 10M", OPS, "dittofs",
     [("dittofs", "remove of 100k", 1.5, "<=")]),
    ("list10m", "READDIRPLUS of folders of 10,000 among 10 million files", "readdirplus of 10M", ENTRIES, "dittofs",
     [("dittofs", "readdirplus of 100k", 1.5, "<=")]),
    ("bbr_getattr", "GETATTR, 64 outstanding, bbr", "congestion getattr", OPS, "bbr", [("cubic", None, None, ">=")]),
    ("bbr_read4k", "READ 4 KiB, 64 outstanding, bbr", "congestion read4k", OPS, "bbr", [("cubic", None, None, ">=")]),
    ("bbr_seqread", "READ 1 MiB, bbr", "congestion seqread", MB, "bbr", [("cubic", None, None, ">=")]),
    ("nopoll1", "GETATTR, one at a time, busy_poll 0", "poll getattr@1", OPS, "no busy poll",
     [("busy poll", None, None, ">=")]),
    ("nopoll64", "GETATTR, 64 outstanding, busy_poll 0", "poll getattr@64", OPS, "no busy poll",
     [("busy poll", None, None, ">=")]),
    ("alone_getattr", "GETATTR, 64 outstanding, gather_replies 0", "gather getattr", OPS, "not gathered",
     [("gathered", None, None, ">=")]),
    ("alone_read4k", "READ 4 KiB, 64 outstanding, gather_replies 0", "gather read4k", OPS, "not gathered",
     [("gathered", None, None, ">=")]),
    ("event_read4k", "READ 4 KiB, 64 outstanding, busy_poll 0, core_wake event", "wake read4k@64", OPS, "event", [("ring", None, None, ">=")]),
    ("event_read4k1", "READ 4 KiB, one at a time, busy_poll 0, core_wake event", "wake read4k@1", OPS, "event", [("ring", None, None, ">=")]),
    ("event_sync64", "WRITE 4 KiB FILE_SYNC, 64 outstanding, busy_poll 0, core_wake event", "wake writesync@64", OPS, "event",
     [("ring", None, None, ">=")]),
    ("s3_upload", "S3: WRITE 1 MiB, a new file, COMMIT on remote", "s3 upload", MB, "dittofs", [("bare", None, 0.8, ">=")]),
    ("s3_cold", "S3: READ 1 MiB in order, cold, 16 outstanding", "s3 seqread", MB, "cold", [("bare", None, 0.8, ">=")]),
    ("s3_up_sealed", "S3: WRITE 1 MiB, a new file, COMMIT on remote, encrypted (AES-256-GCM)", "s3 upload", MB, "encrypted", [("dittofs", None, None, ">=")]),
    ("s3_cold_sealed", "S3: READ 1 MiB in order, cold, encrypted", "s3 seqread", MB, "encrypted", [("cold", None, None, ">=")]),
    ("s3_up_lz4", "S3: WRITE 1 MiB, a new file, COMMIT on remote, lz4 of random data", "s3 upload", MB, "lz4", [("dittofs", None, None, ">=")]),
    ("s3_cold_lz4", "S3: READ 1 MiB in order, cold, lz4 of random data", "s3 seqread", MB, "lz4", [("cold", None, None, ">=")]),
    ("s3_disk", "S3: READ 1 MiB in order, from the disk cache", "s3 seqread", MB, "disk cache", [("memory", None, None, ">=")]),
    ("s3_cold64", "S3: READ 4 KiB at random, cold, 64 outstanding", "s3 read4k@64", OPS, "cold", [("bare", None, None, ">=")]),
    ("s3_fetched", "S3: the same, bytes fetched", "s3 read4k@64", "fetched_bytes_per_op", "cold", []),
    ("s3_cold1", "S3: READ 4 KiB at random, cold, one at a time", "s3 read4k@1", OPS, "cold", [("bare", None, None, ">=")]),
    ("s3_disk64", "S3: READ 4 KiB at random, disk cache, 64 outstanding", "s3 read4k@64", OPS, "disk cache",
     [("memory", None, None, ">=")]),
    ("s3_disk1", "S3: READ 4 KiB at random, disk cache, one at a time", "s3 read4k@1", OPS, "disk cache",
     [("memory", None, None, ">=")]),
    ("s3_files64", "S3 + 20 ms: files of 8 KiB, an fsync each, remote, 64 at a time, 8 uploads", "s3 files@64", "files_per_s", "dittofs",
     [("no packs", None, None, ">=")]),
    ("s3_puts64", "S3 + 20 ms: the same, PUTs", "s3 files@64", "puts_per_file", "dittofs", [("no packs", None, None, ">=")]),
    ("s3_files256", "S3 + 20 ms: the same, 256 at a time, 64 uploads", "s3 files@256", "files_per_s", "dittofs",
     [("no packs", None, None, ">=")]),
    ("s3_puts256", "S3 + 20 ms: the same, PUTs", "s3 files@256", "puts_per_file", "dittofs", [("no packs", None, None, ">=")]),
    ("s3_late", "S3, 3 % of GETs 500 ms late: READ 4 KiB cold, p99, hedged after 100 ms", "s3 slow", "p99_us", "late, hedged",
     [("late", None, None, ">="), ("as it is", None, None, ">=")]),
    ("s3_local", "S3 + 50 ms: WRITE 8 KiB FILE_SYNC, local", "s3 write", "p50_ms", "local", [("remote", None, None, ">=")]),
)

# Work of two reactors by that of one, from the CPU time of a call: 2 x (one's / two's).  The bar is on reactors that find
# work when they look, that is with 256 calls outstanding.  With 64, two reactors hold 32 each at best: they wait for
# the client, and what a call takes then is waking up and a smaller batch.  A CREATE waits for the disk, not for the client.
REACTORS = (("reactors_null", "NULL", "null@64", None), ("reactors_getattr", "GETATTR", "getattr@64", None),
            ("reactors_read", "READ 4 KiB", "read4k@64", None), ("reactors_create", "CREATE", "create@64", 1.7),
            ("reactors_null256", "NULL", "null@256", 1.7), ("reactors_getattr256", "GETATTR", "getattr@256", 1.7),
            ("reactors_read256", "READ 4 KiB", "read4k@256", 1.7))


def values(samples, key, subject, field):
    """By round."""
    return {s["round"]: s[field] for s in samples if s["key"] == key and s["subject"] == subject and s.get(field)}


def summary(found):
    v = sorted(found.values())
    return {"median": statistics.median(v), "min": v[0], "max": v[-1], "rounds": len(v)}


def ratio_of(ours, theirs):
    """The median of the rounds' ratios; rounds that only one has do not count."""
    both = [ours[n] / theirs[n] for n in ours if n in theirs]
    return statistics.median(both) if both else None


def medians(samples, key, subject):
    """Of each number that its samples have."""
    pick = [s for s in samples if s["key"] == key and s["subject"] == subject]
    return {f: statistics.median(s[f] for s in pick) for f in pick[0] if all(isinstance(s.get(f), (int, float)) for s in pick)}


def cpu_of(samples, key, subject):
    pick = [s for s in samples if s["key"] == key and s["subject"] == subject]
    found = {}
    for field in ("server_cpu", "client_cpu", CPU, "p50_us", "p99_us"):
        v = [s[field] for s in pick if field in s]
        if v:
            found[field] = statistics.median(v)
    return found


def reached(ratio, bar, how):
    if bar is None or ratio is None:
        return None
    return ratio >= bar if how == ">=" else ratio <= bar


def row(samples, ident, what, key, field, subject, references):
    ours = values(samples, key, subject, field)
    if not ours:
        return None
    found = {"id": ident, "what": what, "key": key, "unit": UNIT[field], "subject": subject, "ours": summary(ours),
             "cpu": cpu_of(samples, key, subject), "references": []}
    for who, other_key, bar, how in references:
        theirs = values(samples, other_key or key, who, field)
        if not theirs:
            continue
        ratio = ratio_of(ours, theirs)
        if ratio and how == "<=":
            ratio = 1 / ratio
        name = who if not other_key else {"recv": "bare receive loop", "read4k@64": who}.get(other_key, other_key)
        if who == "bare" and other_key == "metadata log@64":
            name = "bare log, 300 B records"
        found["references"].append({"who": name, "value": summary(theirs), "ratio": ratio, "bar": bar, "how": how,
                                    "reached": reached(ratio, bar, how), "cpu": cpu_of(samples, other_key or key, who),
                                    "subject": who, "key": other_key or key})
    return found


def reactor_row(samples, ident, what, key, bar):
    one, two = values(samples, key, "cores1", CPU), values(samples, key, "cores2", CPU)
    both = [2 * one[n] / two[n] for n in one if n in two]
    if not both:
        return None
    ratio, outstanding = statistics.median(both), int(key.split("@")[1])
    return {"id": ident, "what": "%s, %s outstanding: two reactors by one, from CPU a call" % (what, format(outstanding, ",")), "key": key,
            "unit": UNIT[CPU], "subject": "2 reactors", "ours": summary(two), "cpu": cpu_of(samples, key, "cores2"),
            "references": [{"who": "1 reactor", "value": summary(one), "ratio": ratio, "bar": bar, "how": ">=",
                            "reached": reached(ratio, bar, ">="), "cpu": cpu_of(samples, key, "cores1"), "subject": "cores1", "key": key}]}


def count_rows(counts):
    """The bars on what a call may cost: calls by enter, and nothing allocated, locked or copied in 19 calls of 20 (a timer may)."""
    rows = []
    for key, c in counts.items():
        hot = not key.startswith(("writesync", "create", "readdirplus"))
        entry = {"what": key, **{k: c.get(k) for k in ("ops_per_enter", "enters", "syscalls", "allocs", "locks", "copies",
                                                       "copied_bytes")}}
        if c.get("ops_per_enter") is not None and key.endswith("@64"):
            entry["enter_reached"] = c["ops_per_enter"] >= 8
        if hot:
            entry["clean"] = all(c.get(k, 0) < 0.05 for k in ("allocs", "locks", "copies"))
        rows.append(entry)
    return rows


def make(samples):
    rows = [row(samples, *definition) for definition in ROWS]
    rows += [reactor_row(samples, *definition) for definition in REACTORS]
    return [r for r in rows if r]


def compare(new, old):
    """Rows whose medians differ by more than both spreads: sentences, and how many were alike."""
    before = {r["id"]: r for r in old["rows"]}
    changed, same = [], 0
    for r in new["rows"]:
        b = before.get(r["id"])
        if not b:
            continue
        a, c = b["ours"], r["ours"]
        if c["min"] > a["max"] or c["max"] < a["min"]:
            changed.append({"what": r["what"], "unit": r["unit"], "before": a, "after": c,
                            "factor": c["median"] / a["median"]})
        else:
            same += 1
    return changed, same
