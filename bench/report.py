#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Medians of bench/run.sh's raw lines as a Markdown table: ours, ganesha's, the ratio, the spread."""
import json
import statistics
import sys

UNIT = {"write": ("mb_per_s", "MB/s"), "read": ("mb_per_s", "MB/s")}  # all others: operations


def main():
    rows, order = {}, []
    with open(sys.argv[1], encoding="utf-8") as f:
        for line in f:
            r = json.loads(line)
            key = (r["test"], r["depth"])
            if key not in rows:
                rows[key] = {}
                order.append(key)
            rows[key].setdefault(r["server"], []).append(r)
    print("| test | outstanding | dittofs | ganesha | ratio | spread of ours | CPU ours / client | CPU ganesha / client |")
    print("|---|---|---|---|---|---|---|---|")
    tests = list(dict.fromkeys(t for t, _ in order))
    for test, depth in sorted(order, key=lambda k: (tests.index(k[0]), k[1])):
        field, unit = UNIT.get(test, ("ops_per_s", "/s"))
        cell, cpu, spread = {}, {}, ""
        for server, runs in rows[(test, depth)].items():
            values = [r[field] for r in runs]
            cell[server] = statistics.median(values)
            cpu[server] = "%.2f / %.2f" % tuple(
                statistics.median(r[k] for r in runs) for k in ("server_cpu", "client_cpu"))
            if server == "dittofs":
                spread = f"{min(values):,.0f}–{max(values):,.0f}"
        ours, theirs = cell.get("dittofs", 0), cell.get("ganesha", 0)
        ratio = f"{ours / theirs:.2f}" if theirs else "–"
        print(f"| {test} | {depth} | {ours:,.0f} {unit} | {theirs:,.0f} {unit} | {ratio} | {spread} |"
              f" {cpu.get('dittofs', '–')} | {cpu.get('ganesha', '–')} |")


main()
