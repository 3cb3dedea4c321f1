# SPDX-License-Identifier: Apache-2.0
"""Where a server's CPU goes while a test runs: perf's samples by part of the house, library and kernel.

Samples are of the clock (cpu-clock), so they need no counters of the hardware; what the kernel does with
interrupts off is charged to where it lets them in again.  An inlined function counts as the one around it.
"""
import collections
import os
import re
import subprocess

FREQUENCY = 1999
FOLDERS = ("reactor", "crypto", "store", "meta", "proto", "tools")

# In the order of the report.
PARTS = ("TCP", "io_uring", "files and disks", "waking and switching", "memory", "other kernel", "reactor", "crypto", "store", "meta",
         "proto", "tools", "RocksDB log", "RocksDB memtable", "RocksDB other", "copying", "allocating", "other libraries", "polling")

# A sample in the kernel belongs to the first of these that a frame matches, from the innermost outwards.
KERNEL = (
    ("waking and switching", re.compile(r"^(__)?schedule|^try_to_wake|^ttwu_|^wake_up|^__wake_up|futex|^finish_task_switch|^do_sched_yield"
                                        r"|^pick_next|^dequeue_task|^enqueue_task|^update_curr|^hrtimer_|^io_cqring_wait|^task_work_add")),
    ("TCP", re.compile(r"^_*(tcp|ip|inet|sock|skb|napi|netif|dev|net|loopback|sk|nf)_|^io_(send|recv)|^process_backlog|^alloc_skb|^kfree_skb"
                       r"|^__alloc_skb|^qdisc|^release_sock|^lock_sock|^simple_copy_to_iter|^__check_object|^validate_xmit")),
    ("memory", re.compile(r"page_fault|^handle_mm|^(__)?do_madvise|^do_mmap|^do_munmap|^clear_page|^unmap_|^zap_")),
    ("files and disks", re.compile(r"^(vfs|ext4|xfs|btrfs|jbd2|blk|bio|iomap|nvme|virtio|virtblk|ksys_(write|pwrite|read|pread|fallocate))_?"
                                   r"|^submit_bio|^io_(read|write|fsync)$|^generic_(file|perform)|^do_fsync|^filemap|^folio|^dio_|^__blk|sync_file")),
    ("io_uring", re.compile(r"^_*(io_uring|io|tctx)_|^__(x64|se)_sys_io_uring")),
)
ROCKSDB = (
    ("RocksDB log", re.compile(r"crc32c|log::Writer|WritableFileWriter|PosixWritableFile|WriteToWAL|FlushWAL|SyncWAL|WriteBatchInternal::(Contents|Append)"
                               r"|MergeBatch|WriteThread")),
    ("RocksDB memtable", re.compile(r"MemTable|SkipList|Arena")),
)
COPY = re.compile(r"mem(cpy|move|set|cmp)|strlen|str(n)?cmp")
ALLOCATE = re.compile(r"malloc|calloc|realloc|\bfree$|_int_free|operator (new|delete)|malloc_consolidate|unlink_chunk|tcache|cfree")
SUFFIX = re.compile(r"(\.(lto_priv|isra|part|constprop|cold)(\.\d+)?)+$")


class Record:
    """perf on a process for some seconds; what the stacks were, innermost frame first: (comm, [(symbol, library)])."""

    def __init__(self, pid, seconds, path):
        self.path = path
        command = ["perf", "record", "-q", "-e", "cpu-clock", "-F", str(FREQUENCY), "-g", "-p", str(pid), "-o", path, "--", "sleep", str(seconds)]
        try:
            self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        except FileNotFoundError:
            self.process = None

    def stacks(self):
        if not self.process or self.process.wait() != 0:
            return []
        out = subprocess.run(["perf", "script", "-i", self.path, "--no-inline", "-F", "comm,ip,sym,dso"], stdout=subprocess.PIPE,
                             stderr=subprocess.DEVNULL, check=False).stdout.decode(errors="replace")
        os.unlink(self.path)
        found = []
        for block in out.split("\n\n"):
            lines = block.strip("\n").split("\n")
            frames = [frame(line) for line in lines[1:] if line.strip()]
            if frames:
                found.append((lines[0].strip(), frames))
        return found


def frame(line):
    """'  ffff8123 tcp_sendmsg ([kernel.kallsyms])' or '5581 deflate+0x1 (/lib/libz.so)'"""
    _, _, rest = line.strip().partition(" ")
    symbol, _, library = rest.rpartition(" (")
    library = os.path.basename(library.rstrip(")")) or "?"
    symbol = SUFFIX.sub("", symbol.strip())
    return symbol if symbol and symbol != "[unknown]" else "in " + library, library


def in_kernel(library):
    return "kernel" in library or library.startswith("[")


def first(parts, frames, inside):
    """The part of the innermost frame that tells one, as long as they are inside."""
    for symbol, library in frames:
        if not inside(library):
            return None
        for part, pattern in parts:
            if pattern.search(symbol):
                return part
    return None


class House:
    """Which folder a function of the binary is of: the path that its debug information names."""

    def __init__(self, binary):
        self.name = os.path.basename(binary)
        self.folder = {}
        out = subprocess.run(["nm", "-l", binary], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False).stdout
        for line in out.decode(errors="replace").splitlines():
            symbol, _, place = line.partition("\t")
            found = place.rsplit("/", 2)
            if len(found) == 3 and found[1] in FOLDERS:
                self.folder[SUFFIX.sub("", symbol.split()[-1])] = found[1]

    def part(self, frames):
        symbol, library = frames[0]
        if any(s == "spin" and lib == self.name for s, lib in frames):
            return "polling"
        if in_kernel(library):
            return first(KERNEL, frames, in_kernel) or "other kernel"
        if library == self.name:
            return self.folder.get(symbol, "other libraries")
        if COPY.search(symbol) and "libc" in library:
            return "copying"
        if ALLOCATE.search(symbol):
            return "allocating"
        if "libcrypto" in library:
            return "crypto"
        if "rocksdb" in library:
            return first(ROCKSDB, frames, lambda lib: "rocksdb" in lib) or "RocksDB other"
        return "other libraries"


def plain(symbol):
    """A C++ name without what its templates were made with."""
    while "<" in symbol and ">" in symbol:
        shorter = re.sub(r"<[^<>]*>", "", symbol)
        if shorter == symbol:
            break
        symbol = shorter
    return symbol.replace("rocksdb::", "")


def summary(house, stacks):
    """
    Shares of all samples: {"parts": {part}, "threads": {thread: {part}}, "functions": {part: {function}}, the hottest ones},
    and "samples", how many there are.
    """
    total = max(len(stacks), 1)
    parts, threads, functions = (collections.Counter(), collections.defaultdict(collections.Counter),
                                 collections.defaultdict(collections.Counter))
    for comm, frames in stacks:
        part = house.part(frames)
        parts[part] += 1
        threads[comm][part] += 1
        functions[part][plain(frames[0][0])] += 1

    def shares(counter, most=None):
        return {name: n / total for name, n in counter.most_common(most)}
    return {"parts": shares(parts), "threads": {t: shares(c) for t, c in threads.items()},
            "functions": {p: shares(c, 5) for p, c in functions.items()}, "samples": len(stacks)}
