# SPDX-License-Identifier: Apache-2.0
"""The report's section on bars that were missed: who was busy, where the server's CPU and a call's time go."""
import profile

LEAST = 0.02  # parts that never take that share have no column of their own


def short(v):
    return "%.0f" % v if v >= 100 else "%.1f" % v if v >= 10 else "%.2f" % v


def per_call(seen):
    """µs of the server's CPU."""
    return seen["result"].get("server_us_per_op", 0)


def limit(seen, cores):
    """One sentence: what was full."""
    server, client = seen["result"].get("server_cpu", 0), seen["result"]["client_cpu"]
    polling = seen["profile"]["parts"].get("polling", 0) * server
    said = "server %.2f and client %.2f of %d cores" % (server, client, cores)
    others = seen["busy"] - server - client
    if others > 0.3:
        return "Others used %.1f cores meanwhile (%s): on a machine of its own it is another picture." % (others, said)
    if server - polling + client >= 0.88 * cores:
        return "The cores are full (%s): the CPU that a call costs both is the limit." % said
    if client >= 0.92:
        return "The client's thread is full (%s)." % said
    said += ", %.2f of it polling" % polling if polling >= 0.05 else ""
    busiest = max(seen["profile"]["threads"].items(), key=lambda t: t[1], default=("", 0))
    if busiest[1] * server >= 0.92 and seen["profile"]["parts"].get("polling", 0) < 0.1:
        return "One thread, %s, is full (%s)." % (busiest[0], said)
    return "Nobody is full (%s): calls wait." % said


def waits(seen):
    """What a call waits for, with the mean and how often it is waited for."""
    calls = sum(c["calls"] for c in seen["calls"].values()) or 1
    return ", ".join("%s %s µs (%.2g a call)" % (name, short(p["us"]), p["count"] / calls) for name, p in sorted(
        seen["parts"].items(), key=lambda p: -p[1]["us"] * p[1]["count"]) if p["count"] / calls >= 0.0005)


def cpu_table(found):
    used = [p for p in profile.PARTS if any(s["profile"]["parts"].get(p, 0) >= LEAST for s in found)]
    out = ["| µs of CPU a call | all | " + " | ".join(used) + " | rest |", "|---" * (len(used) + 3) + "|"]
    for s in found:
        shares, us = s["profile"]["parts"], per_call(s)
        cells = ["%s (%.0f %%)" % (short(shares[p] * us), 100 * shares[p]) if shares.get(p, 0) >= 0.005 else "" for p in used]
        rest = sum(v for p, v in shares.items() if p not in used) * us
        out.append("| %s | %s | %s | %s |" % (s["what"], short(us), " | ".join(cells), short(rest) if rest >= 0.01 else ""))
    return out


def stage_table(found):
    names = []
    for s in found:
        for c in s["calls"].values():
            names += [n for n in c if n not in names and n not in ("calls", "total")]
    out = ["| mean µs of a call | procedure | calls | total | " + " | ".join(names) + " | below it waits for |", "|---" * (len(names) + 5) + "|"]
    for s in found:
        calls = [(p, c) for p, c in sorted(s["calls"].items(), key=lambda c: -c[1]["calls"]) if c["calls"] > 20]
        for i, (procedure, c) in enumerate(calls[:2]):
            out.append("| %s | %s | %d | %s | %s | %s |" % (
                s["what"] if i == 0 else "", procedure, c["calls"], short(c["total"]),
                " | ".join(short(c[n]) if n in c else "" for n in names), waits(s) if i == 0 else ""))
    return out


def section(found, cores, pictures=True):
    if not found:
        return []
    out = ["## What stands in the way", "",
           "Each bar that was missed: the same test again, alone, with perf (cpu-clock) on the server and the stages of "
           "`status --latency` from the same second. Inlined functions count for the function around them.", ""]
    for s in found:
        hottest = ", ".join("%s %.0f %%" % (f, 100 * v) for f, v in list(s["profile"]["functions"].items())[:6] if v >= 0.02)
        threads = ", ".join("%s %.2f" % (t, v * s["result"].get("server_cpu", 0)) for t, v in sorted(
            s["profile"]["threads"].items(), key=lambda t: -t[1])[:5] if v >= 0.02)
        out.append("- **%s** (%s). %s Threads: %s. Hottest: %s.%s" % (
            s["what"], "; ".join(s["missed"]), limit(s, cores), threads or "–", hottest or "–",
            " [Flame graph](%s)." % s["flame"] if s["flame"] and pictures else ""))
    profiled = [s for s in found if s["profile"]["samples"]]
    out += ["", "The server's CPU by part:", ""] + cpu_table(profiled) if profiled else ["", "No profiles: perf does not run here (linux-perf)."]
    return out + ["", "A call's time by stage:", ""] + stage_table(found) + [""]
