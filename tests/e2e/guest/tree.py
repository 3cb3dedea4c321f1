#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A source tree to work on, and the word for word comparison of two trees.

tree.py input DIR MODE   on the machine: DIR/{tree,small,project}.tar and DIR/tree.sums
tree.py sums DIR FILE    writes a line for everything below DIR to FILE, sorted by path
tree.py same DIR FILE    compares DIR with the lines that sums wrote, prints the differences

The tree is made from a seed, so that a failure can be repeated: the sizes of a
kernel tree (most files some KiB, a few of megabytes), text and binary, hard
links, symlinks, odd names, modes and times with nanoseconds.
"""
import hashlib
import os
import random
import shutil
import stat
import subprocess
import sys

WORDS = [w.encode() for w in (
    "static int const struct return if else while for void char unsigned long size_t NULL err "
    "inode offset length buffer page lock unlock list next prev head tail count index name path "
    "= == != < > + - * & | ( ) { } ; , /* */ -> 0 1 2 0x1000 \"\" EIO ENOSPC -1 goto out").split()]


def text(rnd, size):
    """Lines that compress like source does; one pool, cut at random, is fast."""
    start = rnd.randrange(len(text.pool) // 2)
    out = b"/* %d */\n" % rnd.getrandbits(60)
    while len(out) < size:
        out += text.pool[start:start + size - len(out)]
        start = 0
    return out[:size]


def make(root, files, seed):
    rnd = random.Random(seed)
    text.pool = b"".join(
        b"\t" * rnd.randrange(4) + b" ".join(rnd.choices(WORDS, k=rnd.randrange(1, 12))) + b"\n"
        for _ in range(20000))
    dirs = [root]
    os.makedirs(root)
    for i in range(max(8, files // 14)):
        d = os.path.join(rnd.choice(dirs[-40:]), "dir%d" % i)
        if d.count("/") - root.count("/") < 12:
            os.mkdir(d)
            dirs.append(d)
    odd = ["with space", "ümlaut-✓", "-dash", "new\nline", "dot.", "..two", "x" * 255, "back\\slash", "quote'\"", "*?[",
           "\x01ctl", "~tilde", "#hash#"]
    made = []
    for i in range(files):
        d = rnd.choice(dirs)
        p = os.path.join(d, odd[i] if i < len(odd) else "file%d.%s" % (i, rnd.choice("chSoy")))
        kind = rnd.random()
        if kind < 0.02 and made:
            os.link(rnd.choice(made), p)
            continue
        if kind < 0.05:
            os.symlink(os.path.relpath(rnd.choice(made or [root]), d) if kind < 0.04 else "no/such/target", p)
            continue
        size = 0 if kind < 0.07 else min(int(rnd.lognormvariate(8.3, 1.4)), 3 << 20)
        with open(p, "wb") as f:
            f.write(rnd.randbytes(size) if kind > 0.95 else text(rnd, size))
        os.chmod(p, rnd.choice([0o644, 0o644, 0o644, 0o755, 0o600, 0o444]))
        made.append(p)
    for p in made:
        ns = rnd.randrange(10**18, 17 * 10**17)
        os.utime(p, ns=(ns, ns))
    for d in reversed(dirs):
        os.utime(d, ns=(10**18 + 1, 10**18 + 1))


def sums(root, out):
    # keyed by the path, so the order does not depend on the file system
    root = os.fsencode(root)
    groups = {}
    for d, names, files in os.walk(root):
        names.sort()
        rel = os.path.relpath(d, root)
        for n in sorted(names + files):
            p = os.path.join(d, n)
            st = os.lstat(p)
            line = os.path.normpath(os.path.join(rel, n)) + b" %o" % st.st_mode
            if stat.S_ISREG(st.st_mode):
                with open(p, "rb") as f:
                    data = f.read()
                if len(data) != st.st_size:
                    sys.exit("%r: read %d bytes of %d" % (p, len(data), st.st_size))
                # hard links: the same group, named by its first path
                first = groups.setdefault((st.st_dev, st.st_ino), line)
                line += b" %d %d %d:%d %s" % (st.st_nlink, st.st_size, st.st_uid, st.st_gid,
                                              hashlib.sha256(data).hexdigest().encode())
                line += b" %d %s" % (st.st_mtime_ns, hashlib.md5(first).hexdigest()[:8].encode())
            elif stat.S_ISLNK(st.st_mode):
                line += b" -> " + os.readlink(p)
            elif stat.S_ISDIR(st.st_mode):
                line += b" links %d" % st.st_nlink
            out.append(line.replace(b"\n", b"\\n"))
    return out


def same(root, reference):
    with open(reference, "rb") as f:
        want = f.read().split(b"\0")
    got = sums(root, [])
    if got == want:
        print("%d entries are the same" % len(got))
        return
    gone, new = set(want) - set(got), set(got) - set(want)
    for line in sorted(gone)[:20]:
        print("want", os.fsdecode(line), file=sys.stderr)
    for line in sorted(new)[:20]:
        print("got ", os.fsdecode(line), file=sys.stderr)
    sys.exit("%s: %d entries of %d differ" % (root, len(gone | new), len(want)))


def write_sums(root, path):
    with open(path, "wb") as f:
        f.write(b"\0".join(sums(root, [])))


def project(root):
    """A C project of many files and a library whose program checks itself."""
    units = 24
    os.makedirs(root + "/src")
    os.makedirs(root + "/include")

    def put(name, s):
        with open(os.path.join(root, name), "w") as f:
            f.write(s)

    put("include/common.h", "#pragma once\n#include <stdint.h>\n#include <stdio.h>\n"
        "static inline uint64_t mix(uint64_t x) { x ^= x >> 31; return x * 0x9e3779b97f4a7c15u; }\n" +
        "".join("uint64_t unit%d(uint64_t x);\n" % i for i in range(units)))
    want = 1
    for i in range(units):
        put("include/unit%d.h" % i, "#pragma once\n#define K%d %du\n" % (i, i * 7919 + 1))
        put("src/unit%d.c" % i, '#include "common.h"\n#include "unit%d.h"\n' % i +
            "".join("const char text%d_%d[] = \"%s\";\n" % (i, k, "padding " * 40) for k in range(20)) +
            "uint64_t unit%d(uint64_t x)\n{\n\treturn mix(x + K%d) + sizeof(text%d_%d);\n}\n" % (i, i, i, i % 20))
        x = (want + i * 7919 + 1) % 2**64
        x ^= x >> 31
        want = (x * 0x9e3779b97f4a7c15 + 321) % 2**64
    put("src/main.c", '#include "common.h"\nint main(void)\n{\n\tuint64_t x = 1;\n' +
        "".join("\tx = unit%d(x);\n" % i for i in range(units)) +
        '\tprintf("%%llu\\n", (unsigned long long)x);\n\treturn x != %duLL;\n}\n' % want)
    put("Makefile", "CFLAGS = -O1 -g -Wall -Werror -Iinclude\nSRC = $(wildcard src/unit*.c)\nOBJ = $(SRC:src/%.c=obj/%.o)\n"
        "program: obj/main.o libunits.a\n\t$(CC) -o $@ $^\n"
        "libunits.a: $(OBJ)\n\trm -f $@\n\tar rcs $@ $^\n"
        "obj/%.o: src/%.c | obj\n\t$(CC) $(CFLAGS) -MMD -c -o $@ $<\n"
        "obj:\n\tmkdir obj\nclean:\n\trm -rf obj libunits.a program\n-include $(wildcard obj/*.d)\n")


def main():
    if sys.argv[1] == "input":
        root, quick = sys.argv[2], sys.argv[3] == "quick"
        seed = int(os.environ.get("SEED", "1"))
        make(root + "/tree", 500 if quick else 2500, seed)
        write_sums(root + "/tree", root + "/tree.sums")
        make(root + "/small", 80 if quick else 300, seed + 1)  # for git, to which each file is an object more
        project(root + "/project")
        for name in ("tree", "small", "project"):
            subprocess.run(["tar", "-C", root, "--format=posix", "-cf", root + "/" + name + ".tar", name], check=True)
            shutil.rmtree(root + "/" + name)
    elif sys.argv[1] == "sums":
        write_sums(sys.argv[2], sys.argv[3])
    elif sys.argv[1] == "same":
        same(sys.argv[2], sys.argv[3])
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
