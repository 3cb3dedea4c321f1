# SPDX-License-Identifier: Apache-2.0
"""One report of several runs that each asked some of the questions.

A question's figures all come from one run, the last that asked it, so a ratio is never between two runs.
"""
import json
import os
import shutil

import bars


def by(entries, *fields):
    return {tuple(e[f] for f in fields): e for e in entries}


def facts_of(reports):
    """The last run's; what the others say differently stands beside."""
    found = dict(reports[-1]["facts"])
    for name in found:
        told = []
        for r in reports:
            v = str(r["facts"].get(name, "?"))
            if v not in told:
                told.append(v)
        if len(told) > 1 and name not in ("load before",):
            found[name] = "; ".join(told)
    return found


def combine(paths, out):
    reports = []
    for path in paths:
        with open(path, encoding="utf-8") as f:
            reports.append(json.load(f))
    samples, counts, why, memory = {}, {}, {}, {}
    for path, r in zip(paths, reports):
        asked = {}
        for s in r["samples"]:
            asked.setdefault((s["key"], s["subject"]), []).append(s)
        samples.update(asked)
        counts.update(by(r["counts"], "what"))
        # a bar that this run reached has nothing in its way any more
        ids = {row["id"] for row in r["rows"]}
        why = {k: v for k, v in why.items() if not any(k[0].startswith(i) for i in ids)}
        why.update(by(r.get("why", []), "id"))
        if r["memory"].get("peak_rss_bytes", 0) >= memory.get("peak_rss_bytes", 0):
            memory = r["memory"]
        for w in r.get("why", []):
            source = os.path.join(os.path.dirname(path), w["flame"] or "")
            if w["flame"] and os.path.isfile(source) and os.path.abspath(os.path.dirname(path)) != os.path.abspath(out):
                shutil.copy(source, out)
    samples = [s for group in samples.values() for s in group]
    return {"facts": facts_of(reports), "rows": bars.make(samples), "counts": list(counts.values()), "memory": memory,
            "notes": [n for r in reports for n in r["notes"]], "why": list(why.values()), "samples": samples}
