# SPDX-License-Identifier: Apache-2.0
"""The report: Markdown, and the plots beside it."""
import os

import bars
import render_why
import s3_slow
import svg

SUBJECTS = ("dittofs", "ganesha", "bare", "canned")


def number(v):
    if v is None:
        return "–"
    if v >= 1000:
        return "{:,.0f}".format(v)
    return "%.3g" % v


def cpu(found):
    if "client_cpu" in found:
        return "%.2f / %.2f" % (found.get("server_cpu", 0), found["client_cpu"])
    return "%.2f" % found["server_cpu"] if "server_cpu" in found else "–"


def verdict(ref):
    if ref["bar"] is None:
        return "", ""
    sign = "≥" if ref["how"] == ">=" else "≤"
    return "%s %g" % (sign, ref["bar"]), "yes" if ref["reached"] else "**no**"


def table(rows):
    out = ["| what | ours | spread | beside | its figure | spread | ratio | bar | reached | CPU ours server / client | CPU beside | µs CPU a call, ours |",
           "|---|---|---|---|---|---|---|---|---|---|---|---|"]
    for r in rows:
        name = r["what"] if r["subject"] == "dittofs" else "%s" % r["what"]
        for i, ref in enumerate(r["references"] or [None]):
            ours = r["ours"]
            cells = [name if i == 0 else "", "%s %s" % (number(ours["median"]), r["unit"]) if i == 0 else "",
                     "%s–%s" % (number(ours["min"]), number(ours["max"])) if i == 0 else ""]
            if ref:
                bar, ok = verdict(ref)
                v = ref["value"]
                ratio = "–" if ref["ratio"] is None else "%.2f" % ref["ratio"]
                cells += [ref["who"], number(v["median"]), "%s–%s" % (number(v["min"]), number(v["max"])),
                          ratio + (" × slower" if ref["how"] == "<=" else ""), bar, ok]
            else:
                cells += ["", "", "", "", "", ""]
            cells += [cpu(r["cpu"]) if i == 0 else "", cpu(ref["cpu"]) if ref else "",
                      number(r["cpu"].get("server_us_per_op")) if i == 0 else ""]
            out.append("| " + " | ".join(cells) + " |")
    return out


def brief(rows):
    """The same for the README: a line each, the bars in one cell."""
    out = ["| what | dittofs | spread | ganesha, ratio | bare or else, ratio | bars | CPU ours / client |", "|---|---|---|---|---|---|---|"]

    def ratio(ref, named):
        name = "" if ref["who"] in ("bare", "ganesha") or not named else ref["who"] + " "
        return "%s%s: %s" % (name, number(ref["value"]["median"]), "–" if ref["ratio"] is None else "%.2f" % ref["ratio"])
    for r in rows:
        ganesha = [ref for ref in r["references"] if ref["who"] == "ganesha"]
        others = [ref for ref in r["references"] if ref["who"] != "ganesha"]
        verdicts = ["%s %s: %s" % ((ref["who"],) + verdict(ref)) for ref in r["references"] if ref["bar"] is not None]
        out.append("| %s | %s %s | %s–%s | %s | %s | %s | %s |" % (
            r["what"], number(r["ours"]["median"]), r["unit"], number(r["ours"]["min"]), number(r["ours"]["max"]),
            ratio(ganesha[0], False) if ganesha else "", "; ".join(ratio(ref, True) for ref in others), "; ".join(verdicts), cpu(r["cpu"])))
    return out


def count_table(rows):
    out = ["| test | calls an io_uring_enter | ≥ 8 | system calls a call | allocations | locks | copies ≥ 4 KiB | bytes copied | clean |",
           "|---|---|---|---|---|---|---|---|---|"]

    def cell(v, form="%.3f"):
        return "–" if v is None else form % v
    for r in rows:
        out.append("| %s | %s | %s | %s | %s | %s | %s | %s | %s |" % (
            r["what"], cell(r["ops_per_enter"], "%.1f"),
            {True: "yes", False: "**no**", None: ""}[r.get("enter_reached")], cell(r["syscalls"]), cell(r["allocs"]),
            cell(r["locks"]), cell(r["copies"]), cell(r["copied_bytes"], "%.0f"),
            {True: "yes", False: "**no**", None: ""}[r.get("clean")]))
    return out


def latency_table(samples):
    out = ["| calls a second | dittofs p50 | p99 | p99.9 | ganesha p50 | p99 | p99.9 |", "|---|---|---|---|---|---|---|"]
    found = {}
    for s in samples:
        if s["key"].startswith("open "):
            found.setdefault(s["key"][5:], {})[s["subject"]] = bars.medians(samples, s["key"], s["subject"])

    def cells(who, of):
        if who not in of:
            return ["–"] * 3
        return ["%s µs%s" % (number(of[who][p]), late(of[who]) if p == "p50_us" else "") for p in ("p50_us", "p99_us", "p999_us")]
    for what in sorted((w for w in found if "%" not in w), key=int):
        out.append("| %s | %s |" % (number(int(what)), " | ".join(cells("dittofs", found[what]) + cells("ganesha", found[what]))))
    for what in sorted(w for w in found if "%" in w):
        rates = ", ".join("%s %s" % (who, number(s["rate"])) for who, s in found[what].items())
        out.append("| %s of what the closed loop does with 64 outstanding (%s) | %s |" % (
            what, rates, " | ".join(cells("dittofs", found[what]) + cells("ganesha", found[what]))))
    return out if found else []


def depth_table(samples):
    """Calls a second against calls outstanding."""
    found = {}
    for s in samples:
        if s["key"].startswith("sweep "):
            test, depth = s["key"][6:].split("@")
            found.setdefault((test, int(depth)), {})[s["subject"]] = bars.medians(samples, s["key"], s["subject"])
    out = ["| outstanding | test | dittofs | ganesha | bare | CPU ours / client |", "|---|---|---|---|---|---|"]
    for test, depth in sorted(found):
        of = found[test, depth]
        cells = [number(of[who][bars.OPS]) + " /s" if who in of else "" for who in ("dittofs", "ganesha", "bare")]
        out.append("| %d | %s | %s | %s |" % (depth, test, " | ".join(cells), cpu(of.get("dittofs", {}))))
    return out if found else []


def slow_table(samples):
    """READs while some GETs are late or damaged."""
    out = ["| GETs | READ p50 | p99 | p99.9 | GETs a READ |", "|---|---|---|---|---|"]
    for subject, said in s3_slow.WORDS.items():
        if any(s["key"] == "s3 slow" and s["subject"] == subject for s in samples):
            m = bars.medians(samples, "s3 slow", subject)
            out.append("| %s | %s | %.3f |" % (said, " | ".join("%s ms" % number(m[p] / 1e3) for p in ("p50_us", "p99_us", "p999_us")), m["gets_per_read"]))
    return out if len(out) > 2 else []


def judgements(rows):
    """True or False for each bar."""
    return [bool(ref["reached"]) for r in rows for ref in r["references"] if ref["bar"] is not None]


# What README.md shows: the id of a row, and its words there.
SHORT = (
    ("getattr64", "GETATTR, 64 outstanding"), ("lookup64", "LOOKUP, 64 outstanding"),
    ("read4k64", "READ 4 KiB cached, a file written in order, 64 outstanding"), ("scattered64", "the same, a file written again at random"),
    ("seqread", "READ 1 MiB cached, sequential"), ("seqwrite", "WRITE 1 MiB, a new file, one COMMIT"),
    ("randwrite", "WRITE 4 KiB at random, COMMIT every 64"), ("writesync64", "WRITE 4 KiB FILE_SYNC, 64 outstanding"),
    ("create64", "CREATE, 64 outstanding"), ("remove64", "REMOVE, 64 outstanding"), ("rename64", "RENAME, 64 outstanding"),
    ("list20k", "READDIRPLUS, 20,000 entries"), ("list1m", "READDIRPLUS, a million entries"),
    ("s3_upload", "S3 on the same cores: WRITE, a new file, `durability: remote`"), ("s3_cold", "S3: READ 1 MiB in order, nothing cached"),
    ("s3_cold64", "S3: READ 4 KiB at random, nothing cached"), ("s3_files64", "S3, 20 ms away: files of 8 KiB with an fsync each, remote"),
)


def short_figures(report):
    """The shortest form: what stands in README.md."""
    rows = {r["id"]: r for r in report["rows"]}
    out = ["Medians of one run's rounds, ratios within it, at %s:" % report["facts"]["commit"], "",
           "| what | dittofs | to ganesha | to bare |", "|---|---|---|---|"]
    for ident, words in SHORT:
        if ident not in rows:
            continue
        r = rows[ident]
        to = {ref["who"]: "%.2g" % ref["ratio"] for ref in r["references"] if ref["ratio"] and ref["who"] in ("ganesha", "bare")}
        out.append("| %s | %s %s | %s | %s |" % (words, number(r["ours"]["median"]), r["unit"], to.get("ganesha", ""), to.get("bare", "")))
    return "\n".join(out) + "\n"


def figures(report):
    """The short form: what stands in bench/README.md between its two marks."""
    f, judged = report["facts"], judgements(report["rows"])
    out = ["Commit %s, %s; %s cores of %s, kernel %s; nfs-ganesha %s. %s." % (
        f["commit"], f["date"], f["cores"], f["processor"], f["kernel"], f["nfs-ganesha"], f["the run"]), "",
           "%d of these %d bars are reached:" % (sum(judged), len(judged)), ""] + brief(report["rows"])
    if report["counts"]:
        out += ["", "What a call costs the reactors:", ""] + count_table(report["counts"])
    if latency_table(report["samples"]):
        out += ["", "Open loop:", ""] + latency_table(report["samples"])
    if depth_table(report["samples"]):
        out += ["", "Against calls outstanding:", ""] + depth_table(report["samples"])
    if slow_table(report["samples"]):
        out += ["", "GETs that are late or damaged, READ 4 KiB at random, cold, %d at a time:" % s3_slow.DEPTH, ""] + slow_table(report["samples"])
    if report.get("why"):
        out += ["", "What stands in the way:", ""] + render_why.section(report["why"], report["facts"]["cores"], pictures=False)[4:]
    return "\n".join(out).rstrip("\n") + "\n"


def late(sample):
    """Marks a rate that was not kept."""
    return "" if sample["ops_per_s"] >= 0.97 * sample["rate"] else " (only %s/s came)" % number(sample["ops_per_s"])


def group(samples, label, key, field, subjects=SUBJECTS, aliases=None):
    found = {}
    for who in subjects:
        v = bars.values(samples, (aliases or {}).get(who, key), who, field)
        if v:
            found[who] = bars.summary(v)
    return label, found


def points(samples, prefix, who, x, y):
    """Medians of the rounds of each key that begins so."""
    keys = dict.fromkeys(s["key"] for s in samples if s["key"].startswith(prefix) and s["subject"] == who)
    return [(m[x], m[y]) for m in (bars.medians(samples, key, who) for key in keys)]


def plots(samples, out):
    """[(file, title)] of those that there is something to show in."""
    made = []

    def bar(name, title, unit, groups, names=SUBJECTS):
        if svg.bars(os.path.join(out, name + ".svg"), title, unit, groups, names):
            made.append((name + ".svg", title))

    def line(name, title, unit, x_label, series, log_y=False):
        if svg.lines(os.path.join(out, name + ".svg"), title, unit, x_label, series, log_y):
            made.append((name + ".svg", title))
    ops, mb, entries, us = bars.OPS, bars.MB, bars.ENTRIES, bars.CPU
    bar("calls", "Small calls, 64 outstanding", "calls a second", [
        group(samples, label, key + "@64", ops) for label, key in
        (("NULL", "null"), ("GETATTR", "getattr"), ("LOOKUP", "lookup"), ("READ 4 KiB", "read4k"), ("mix", "mix"))])
    bar("cpu", "What a small call costs the server", "µs of CPU", [
        group(samples, label, key + "@64", us) for label, key in
        (("NULL", "null"), ("GETATTR", "getattr"), ("LOOKUP", "lookup"), ("READ 4 KiB", "read4k"), ("mix", "mix"))])
    bar("single", "One call at a time", "median latency, µs", [
        group(samples, label, key + "@1", "p50_us", ("dittofs", "ganesha")) for label, key in
        (("GETATTR", "getattr"), ("LOOKUP", "lookup"), ("READ 4 KiB", "read4k"), ("FILE_SYNC\n4 KiB", "writesync"),
         ("CREATE", "create"), ("REMOVE", "remove"))])
    bar("streams", "Sequential transfers of 1 MiB, 16 outstanding", "MB/s", [
        group(samples, "READ, cached", "seqread@16", mb), group(samples, "WRITE, COMMIT", "seqwrite@16", mb)])
    bar("writes", "Small writes, 4 KiB, 64 outstanding", "writes a second", [
        group(samples, "random,\nCOMMIT every 64", "randwrite@64", ops), group(samples, "FILE_SYNC", "writesync@64", ops)])
    bar("names", "The namespace, one folder, 64 outstanding", "operations a second", [
        group(samples, key.upper(), key + "@64", ops) for key in ("create", "remove", "rename", "mkdir", "rmdir")])
    bar("listing", "READDIRPLUS, one walker", "entries a second", [
        group(samples, label, "readdirplus " + key, entries, ("dittofs", "ganesha")) for label, key in
        (("20,000", "20k"), ("100,000", "100k"), ("a million", "1M"))])
    bar("large", "LOOKUP in a large directory, 64 outstanding", "calls a second", [
        group(samples, label, key, ops, ("dittofs", "ganesha")) for label, key in
        (("100 entries", "lookup in 100"), ("a million,\n100 names", "lookup in 1M, hot"), ("a million,\nany name", "lookup in 1M"))])
    bar("reactors", "One reactor and two", "µs of CPU a call", [
        group(samples, label, key, us, ("cores1", "cores2")) for label, key in
        (("NULL", "null@64"), ("GETATTR", "getattr@64"), ("READ 4 KiB", "read4k@64"), ("CREATE", "create@64"))],
        ("cores1", "cores2"))
    tiers = ("cold", "disk cache", "memory", "bare")
    bar("s3_streams", "Objects in S3: transfers of 1 MiB", "MB/s", [
        group(samples, "WRITE, COMMIT\nremote", "s3 upload", mb),
        group(samples, "READ in order", "s3 seqread", mb, tiers)], ("dittofs",) + tiers)
    bar("s3_random", "Objects in S3: READ 4 KiB at random", "reads a second", [
        group(samples, label, "s3 read4k@" + depth, ops, tiers) for label, depth in
        (("64 outstanding", "64"), ("one at a time", "1"))], tiers)
    bar("s3_files", "Objects in S3, 20 ms away: files of 8 KiB, an fsync each", "files a second", [
        group(samples, label, "s3 files@" + depth, "files_per_s", ("dittofs", "no packs")) for label, depth in
        (("64 at a time,\n8 uploads", "64"), ("256 at a time,\n64 uploads", "256"))], ("dittofs", "no packs"))
    for test, title in (("getattr", "GETATTR"), ("read4k", "READ of 4 KiB")):
        line("depth_" + test, title + " against calls outstanding", "calls a second", "outstanding, all connections", [
            (who, points(samples, "sweep %s@" % test, who, "depth", ops)) for who in SUBJECTS], log_y=True)
    line("open_loop", "Latency at a fixed rate, 99th percentile", "µs", "calls a second", [
        (who, points([s for s in samples if "%" not in s["key"]], "open ", who, "rate", "p99_us")) for who in ("dittofs", "ganesha")], log_y=True)
    return made


def markdown(report, made, comparison=None):
    out = ["# dittofs: figures", ""]
    out += ["| | |", "|---|---|"] + ["| %s | %s |" % (k, v) for k, v in report["facts"].items()] + [""]
    out += ["ours, its spread: median, least and greatest of the rounds. beside: what it is compared with in the same run: "
            "nfs-ganesha on a directory of the same disk (it does not sync what it creates and removes; dittofs does, before "
            "each reply), bare: the same bytes with no server around them (see bench/README.md), or canned: a server that gives "
            "one ready answer to all calls, under the client that ours has. ratio: the median of the rounds' ratios. CPU: cores in use.", ""]
    judged = judgements(report["rows"])
    out += ["**%d of %d bars are reached.**" % (sum(judged), len(judged)), ""]
    out += table(report["rows"]) + [""]
    if report["counts"]:
        out += ["## What a call costs", "", "64 outstanding; threads of reactors only, by perf's tracepoints and a counting "
                "library (bench/preload/count.c).", ""] + count_table(report["counts"]) + [""]
    out += render_why.section(report.get("why"), report["facts"]["cores"])
    memory = report.get("memory")
    if memory:
        inside = memory["peak_rss_bytes"] <= memory["budget_bytes"]
        out += ["Memory after all of this: peak %s MiB of a budget of %s MiB: %s." % (
            number(memory["peak_rss_bytes"] / 2**20), number(memory["budget_bytes"] / 2**20),
            "inside" if inside else "**over**"), ""]
    latency = latency_table(report["samples"])
    if latency:
        out += ["## Open loop", "", "getattr:60,lookup:25,read:15 at a fixed rate; latency from when a call should have started.",
                ""] + latency + [""]
    if depth_table(report["samples"]):
        out += ["## Calls against depth", ""] + depth_table(report["samples"]) + [""]
    if slow_table(report["samples"]):
        out += ["## GETs that are late or damaged", "", "READ 4 KiB at random, cold, %d at a time, through a proxy; every byte is compared."
                % s3_slow.DEPTH, ""] + slow_table(report["samples"]) + [""]
    if comparison:
        changed, same, path = comparison
        out += ["## Since %s" % path, ""]
        out += ["- %s: %s → %s %s (%.2f ×), spreads apart" % (c["what"], number(c["before"]["median"]), number(c["after"]["median"]),
                                                            c["unit"], c["factor"]) for c in changed]
        out += ["", "%d rows did not change beyond their spreads." % same, ""]
    if report["notes"]:
        out += ["## Notes", ""] + ["- " + n for n in report["notes"]] + [""]
    out += ["## Plots", ""] + ["![%s](%s)" % (title, name) for name, title in made] + [""]
    return "\n".join(out)
