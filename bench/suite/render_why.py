# SPDX-License-Identifier: Apache-2.0
"""The report's section on bars that were missed: a sentence or four each, then where the server's CPU and a call's time go."""
import profile
import verdict
from verdict import short

LEAST = 0.02  # parts that never take that share have no column of their own


def cpu_table(found):
    used = [p for p in profile.PARTS if any(s["profile"]["parts"].get(p, 0) >= LEAST for s in found)]
    out = ["| µs of CPU a call | all | " + " | ".join(used) + " | rest |", "|---" * (len(used) + 3) + "|"]
    for s in found:
        shares, us = s["profile"]["parts"], s["result"].get("server_us_per_op", 0)
        cells = ["%s (%.0f %%)" % (short(shares[p] * us), 100 * shares[p]) if shares.get(p, 0) >= 0.005 else "" for p in used]
        rest = sum(v for p, v in shares.items() if p not in used) * us
        out.append("| %s | %s | %s | %s |" % (s["what"], short(us), " | ".join(cells), short(rest) if rest >= 0.01 else ""))
    return out


def stage_table(found):
    names = ["queue", "work", "reply", "send", "outside"]
    out = ["| µs of the mean call | as the client sees it | " + " | ".join(names) + " | in the server it waits for |", "|---" * (len(names) + 3) + "|"]
    for s in found:
        of = dict(verdict.spans(s))
        out.append("| %s | %s | %s | %s |" % (s["what"], short(s["result"].get("mean_us", 0)), " | ".join(short(of[n]) if n in of else "" for n in names),
                                              ", ".join(said for _, said in verdict.beneath(s))))
    return out


def section(found, cores, pictures=True):
    if not found:
        return []
    out = ["## What stands in the way", "",
           "Each bar that was missed: the same test again, alone, with perf (cpu-clock) on the server and the stages of "
           "`status --latency` from the same second. Inlined functions count for the function around them.", ""]
    for s in found:
        out.append("- **%s** (%s). %s%s" % (s["what"], "; ".join(s["missed"]), verdict.verdict(s, cores),
                                            " [Flame graph](%s)." % s["flame"] if s["flame"] and pictures else ""))
    profiled = [s for s in found if s["profile"]["samples"]]
    out += ["", "The server's CPU by part:", ""] + cpu_table(profiled) if profiled else ["", "No profiles: perf does not run here (linux-perf)."]
    return out + ["", "A call's time by stage: queue is %s; work %s; reply %s; send %s; outside %s." % tuple(
        verdict.STAGES[n] for n in ("queue", "work", "reply", "send", "outside")), ""] + stage_table(found) + [""]
