# SPDX-License-Identifier: Apache-2.0
"""What stands in the way of a bar, in sentences, from what was seen while its test ran once more (see why.py).

Asked in this order: which CPU or thread is full and with what; where the time of a call goes; what CPU the bar would
leave the server, beside our own client; what the server's CPU is spent on.
"""
FULL = 0.93      # of a CPU's time; what is left are moments in which nothing is there to do
STAGES = {
    "queue": "calls before it in its core's lap, the way to its owner's core",
    "work": "its procedure",
    "reply": "the way back to its connection's core, and encoding",
    "send": "the kernel's TCP, and replies before it on its connection",
    "outside": "the sockets, where calls wait that the server does not read yet, and the client's turn",
}


def short(v):
    return "{:,.0f}".format(v) if v >= 100 else "%.1f" % v if v >= 10 else "%.2f" % v


def listed(items):
    items = list(items)
    return items[0] if len(items) == 1 else "%s and %s" % (", ".join(items[:-1]), items[-1])


def parts_of(shares, total, most=3, form="%s %.0f %%"):
    """The largest parts with their share of total; polling is no work."""
    found = sorted(((v / total, p) for p, v in shares.items() if p != "polling"), reverse=True)[:most]
    return ", ".join(form % (p, 100 * v) for v, p in found if v >= 0.04)


def cores_by(seen):
    """"the server 1.13, our client 0.82": cores."""
    by = dict(seen["by"])
    said = ["the server %.2f" % by.pop("server", 0), "our client %.2f" % by.pop("load", 0)]
    return ", ".join(said + ["%s %.2f" % (who, v) for who, v in sorted(by.items(), key=lambda b: -b[1]) if v >= 0.05 and who not in ("perf", "python3")])


def polled(seen):
    """Cores that the server spends polling."""
    return seen["profile"]["parts"].get("polling", 0) * seen["by"].get("server", 0)


def busiest(seen):
    """(thread, cores that it works, its parts): of the server, polling left out."""
    server, found = seen["by"].get("server", 0), ("", 0.0, {})
    for name, parts in seen["profile"]["threads"].items():
        cores = sum(v for p, v in parts.items() if p != "polling") * server
        if cores > found[1]:
            found = (name, cores, parts)
    return found


def full(seen):
    """Which CPU is full, and with what."""
    cpus, idle = seen["cpus"], polled(seen)
    name, cores, parts = busiest(seen)
    whole = [i for i, b in enumerate(cpus) if b >= FULL]
    uses = "in cores: %s%s" % (cores_by(seen), "; %.2f of the server's are polling" % idle if idle >= 0.05 else "")
    if len(whole) == len(cpus) and idle < 0.1:
        return "All CPUs are full (%s)%s." % (uses, ": what the server takes the gateway lacks" if seen["by"].get("the gateway", 0) >= 0.3 else "")
    if seen["by"].get("load", 0) >= FULL:
        return "Our client's one thread is full (%s)." % uses
    if cores >= 0.8:
        return "One core has most of the work: %s is busy for %.2f of its time, with %s (%s)." % (
            name, cores, parts_of(parts, sum(parts.values())), uses)
    if whole and idle < 0.1:
        return "CPU %s is full, the other%s not (%s); busiest is %s, for %.2f of its time with %s." % (
            listed(str(i) for i in whole), "s are" if len(cpus) - len(whole) > 1 else " is", uses, name, cores, parts_of(parts, sum(parts.values())))
    return "No CPU is full: they are busy for %s (%s)." % (listed("%.2f" % b for b in cpus), uses)


def spans(seen):
    """[(stage, µs)] of the mean call, as the client sees it; the procedure that was called most."""
    if not seen["calls"]:
        return []
    call = max(seen["calls"].values(), key=lambda c: c["calls"])
    found = [(s, call[s]) for s in ("queue", "work", "reply", "send") if s in call]
    left = seen["result"].get("mean_us", 0) - sum(v for _, v in found)
    return found + ([("outside", left)] if left > 0 else [])


def beneath(seen):
    """What a call waits for in the server, the longest first: "wal sync 1,149 µs (once a call)"."""
    calls = sum(c["calls"] for c in seen["calls"].values()) or 1
    found = sorted(((p["us"] * p["count"] / calls, name, p) for name, p in seen["parts"].items()), reverse=True, key=lambda f: f[0])
    return [(each, "%s %s µs (%s)" % (name, short(p["us"]), "once a call" if 0.9 <= p["count"] / calls <= 1.1 else
                                       "%.2g a call" % (p["count"] / calls))) for each, name, p in found if p["count"] / calls >= 0.0005]


def waiting(seen):
    """Where a call's time goes, and the longest stage by its name."""
    found = spans(seen)
    total = sum(v for _, v in found)
    if not total:
        return ""
    stage, longest = max(found, key=lambda f: f[1])
    what = STAGES[stage]
    waits = beneath(seen)
    if stage == "work" and waits and waits[0][0] >= 0.25 * longest:
        what = "it waits for " + waits[0][1]
    return "Of a call's %s µs (%s) the longest is %s: %s." % (short(total), ", ".join("%s %s" % (s, short(v)) for s, v in found), stage, what)


def bare_of(seen):
    """(operations a second of the bare limit, the bar), or None."""
    for r in seen.get("references", ()):
        if r["who"] == "bare" and r["reached"] is False and r["how"] == ">=":
            each = seen["result"]["bytes"] / 1e6 if r["unit"] == "MB/s" else 1
            return r["median"] / each, r["bar"]
    return None


def budget(seen, cores):
    """What CPU the bar leaves the server."""
    bare, result = bare_of(seen), seen["result"]
    if seen["by"].get("the gateway"):
        return "" # which takes what it can get
    if not bare or not result.get("server_us_per_op"):
        return ""
    need, client, server = bare[0] * bare[1], result["client_us_per_op"], result["server_us_per_op"]
    both = cores * 1e6 / need
    said = "The bar is %s a second, for which %d full cores have %s µs of CPU each; our client takes %s of them" % (
        short(need), cores, short(both), short(client))
    if client >= both:
        said += ": with this client no server reaches it."
    elif server > both - client:
        said += ", which leaves the server %s, and it takes %s." % (short(both - client), short(server))
    else:
        said += " and the server %s: there is CPU enough, but not all of it is used at once." % short(server)
    canned = [r for r in seen["references"] if r["who"] == "canned"]
    if canned:
        share = canned[0]["median"] / bare[0]
        said += " Before a server with one ready answer for all (canned) it comes to %.2f of bare%s." % (
            share, "" if share >= bare[1] else ", so no server would bring it to the bar")
    return said


def spent(seen):
    """What a call's CPU goes to in the server, with the function that has most of each part."""
    us, shares = seen["result"].get("server_us_per_op", 0), seen["profile"]["parts"]
    said = []
    for part, share in sorted(shares.items(), key=lambda p: -p[1])[:5]:
        if share < 0.04:
            continue
        function, most = max(seen["profile"]["functions"].get(part, {"": 0}).items(), key=lambda f: f[1])
        said.append("%s %s%s" % (part, short(share * us), " (%s)" % function if most >= 0.3 * share else ""))
    return "A call's %s µs of the server's CPU: %s." % (short(us), ", ".join(said)) if said else ""


def beside(seen):
    """What a call costs more than the same where the bar takes its measure."""
    other = seen.get("beside")
    if not other:
        return ""
    mine, theirs = seen["result"].get("server_us_per_op", 0), other["result"].get("server_us_per_op", 0)
    change = {p: seen["profile"]["parts"].get(p, 0) * mine - other["profile"]["parts"].get(p, 0) * theirs
              for p in set(seen["profile"]["parts"]) | set(other["profile"]["parts"])}
    most = [(p, v) for p, v in sorted(change.items(), key=lambda c: -abs(c[1]))[:4] if abs(v) >= 0.04 * max(mine, theirs)]
    return "A call takes %s µs of the server's CPU, %s with %s: %s." % (
        short(mine), short(theirs), other["what"], ", ".join("%s %+.2f" % c for c in most) or "in no part that stands out")


def verdict(seen, cores):
    if seen.get("beside") and seen.get("subject") == "cores2": # the bar is on CPU, whatever a call waits for
        return beside(seen)
    found = ["Others used %.1f cores meanwhile." % seen["others"] if seen["others"] > 0.15 else "", full(seen), waiting(seen), budget(seen, cores), beside(seen) or spent(seen)]
    return " ".join(sentence for sentence in found if sentence)
