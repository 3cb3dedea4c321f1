# SPDX-License-Identifier: Apache-2.0
"""Who used the CPUs between two looks at /proc: each CPU's share of time, our processes by name, and everybody else."""
import os
import time

TICKS = os.sysconf("SC_CLK_TCK")
KERNEL_THREADS = 2 # the parent of them all


def parse_stat(text):
    """(pid, name, parent, ticks of CPU with those of children that ended) of /proc/PID/stat."""
    pid, _, rest = text.partition(" (")
    name, _, rest = rest.rpartition(") ")
    field = rest.split()
    return int(pid), name, int(field[1]), sum(int(v) for v in field[11:15])


class Look:
    """One look."""

    def __init__(self):
        self.when, self.cpus, self.processes = time.monotonic(), [], {}
        with open("/proc/stat", encoding="utf-8") as f:
            for line in f:
                field = line.split()
                if field[0].startswith("cpu") and field[0] != "cpu":
                    ticks = [int(v) for v in field[1:9]]
                    self.cpus.append((sum(ticks) - ticks[3] - ticks[4], sum(ticks)))
        for name in os.listdir("/proc"):
            if name.isdigit():
                try:
                    with open("/proc/%s/stat" % name, encoding="utf-8", errors="replace") as f:
                        pid, *rest = parse_stat(f.read())
                except OSError:
                    continue # it ended
                self.processes[pid] = rest


def between(first, last, named):
    """
    named: {pid: name}.  {"cpus": [busy share of each], "by": {name: cores}, "others": cores}.  Below us is ours,
    under the name of its program where it has no other; the kernel's threads are nobody's.
    """
    seconds, by, others = last.when - first.when, {}, 0.0

    def owner(pid):
        while pid > 1 and pid != KERNEL_THREADS:
            if pid in named:
                return named[pid]
            if pid == os.getpid():
                return ""
            pid = last.processes.get(pid, ("", 0, 0))[1]
        return "kernel threads" if pid == KERNEL_THREADS else None
    for pid, (program, _, ticks) in last.processes.items():
        # one that waited for a child gets all its CPU at once, of long before, too
        used = min(1.0, (ticks - first.processes.get(pid, (program, 0, 0))[2]) / TICKS / seconds)
        who = owner(pid)
        if who is None:
            others += used
        elif used > 0:
            by[who or program] = by.get(who or program, 0.0) + used
    return {"cpus": [(b[0] - a[0]) / max(b[1] - a[1], 1) for a, b in zip(first.cpus, last.cpus)], "by": by, "others": min(others, len(first.cpus))}
