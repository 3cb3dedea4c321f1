# SPDX-License-Identifier: Apache-2.0
"""What a reader must know of the machine and the versions to make sense of a figure."""
import os
import re
import subprocess
import time

from rig import ROOT

QUIET = 0.15  # cores that others may use before a run says that it was not alone


def output(*command):
    try:
        return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False,
                              cwd=ROOT).stdout.decode(errors="replace").strip()
    except OSError:
        return ""


def first(path, pattern, default="?"):
    try:
        with open(path, encoding="utf-8", errors="replace") as f:
            found = re.search(pattern, f.read(), re.M)
    except OSError:
        return default
    return found.group(1).strip() if found else default


def package(name):
    return output("dpkg-query", "-W", "-f", "${Version}", name) or "none"


def cpu_times():
    """user..steal of all CPUs, in ticks."""
    with open("/proc/stat", encoding="utf-8") as f:
        return [int(v) for v in f.readline().split()[1:9]]


def collect(binary, folder, congestion, system_congestion):
    return {
        "date": time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime()),
        "commit": output("git", "describe", "--always", "--dirty", "--abbrev=12") or "?",
        "dittofs": output(binary, "version").split("\n")[0],
        "cores": os.cpu_count(),
        "processor": first("/proc/cpuinfo", r"^model name\s*:\s*(.*)$"),
        "memory": first("/proc/meminfo", r"^MemTotal:\s*(.*)$"),
        "kernel": os.uname().release,
        "file system": output("stat", "-f", "-c", "%T", folder),
        "congestion control": "%s on every socket (the system's default is %s)" % (congestion, system_congestion),
        "nfs-ganesha": package("nfs-ganesha"),
        "rocksdb": package("librocksdb-dev"),
        "liburing": package("liburing-dev"),
        "load before": " ".join("%.2f" % v for v in os.getloadavg()),
    }


def machine_share(before, after, mine_seconds, wall_seconds):
    """How much of the machine others took meanwhile, and the host: in cores."""
    ticks = os.sysconf("SC_CLK_TCK")
    d = [b - a for a, b in zip(before, after)]
    busy = sum(d[i] for i in (0, 1, 2, 5, 6)) / ticks
    return {"others": max(0.0, (busy - mine_seconds) / wall_seconds), "stolen": d[7] / ticks / wall_seconds}
