# SPDX-License-Identifier: Apache-2.0
"""A foreign benchmark on a mount, on any NFS server, or on dittofs beside nfs-ganesha: what bench/fio and bench/mdtest share."""
import argparse
import os
import shutil

import rig as rigging


def parser(doc, tool):
    build = os.path.join(rigging.ROOT, "build/release-none")
    p = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    where = p.add_mutually_exclusive_group()
    where.add_argument("--mount", metavar="DIR", help="a folder on a file system that is mounted")
    where.add_argument("--url", metavar="nfs://HOST/SHARE[?nfsport=N&mountport=N]", help="an NFS server, over libnfs")
    where.add_argument("--beside", action="store_true",
                       help="the default: a dittofs and an nfs-ganesha of our own, over libnfs, and a table of both")
    p.add_argument("--" + tool, default=tool, metavar="PATH", help="the %s to run" % tool)
    p.add_argument("--binary", default=os.path.join(build, "dittofs"))
    p.add_argument("--alone", action="store_true", help="--beside without nfs-ganesha")
    p.add_argument("--data", default=os.path.join(rigging.ROOT, "build/bench/data"), help="folder for the volumes of --beside")
    return p


def run(a, once):
    """
    once(kind, place) runs the benchmark, with place a folder or a libnfs URL without its query,
    and a query; it returns [(name, value, unit)].  Prints the table.
    """
    if a.mount:
        return show([("this mount", once(a.mount, None))])
    if a.url:
        url, _, query = a.url.partition("?")
        return show([("this server", once(url.rstrip("/"), query))])
    rigging.enter_namespace()
    rigging.set_congestion("cubic")
    shutil.rmtree(a.data, ignore_errors=True)
    rig = rigging.Rig(os.path.abspath(a.binary), "", os.path.abspath(a.data))
    found = []
    try:
        for kind in ("dittofs",) if a.alone else ("dittofs", "ganesha"):
            server = rig.server(kind)
            mount_port = server.port + (1 if kind == "ganesha" else 0)
            rigging.say("%s on port %d" % (kind, server.port))
            found.append((kind, once("nfs://127.0.0.1/export", "version=3&nfsport=%d&mountport=%d" % (server.port, mount_port))))
            server.stop()
            rig.servers.remove(server)
    finally:
        rig.close()
        shutil.rmtree(a.data, ignore_errors=True)
    return show(found)


def show(found):
    names = [who for who, _ in found]
    print("| test | " + " | ".join(names) + (" | ratio |" if len(found) == 2 else " |"))
    print("|---" * (len(names) + 1 + (len(found) == 2)) + "|")
    for i, (test, value, unit) in enumerate(found[0][1]):
        cells = ["{:,.0f} {}".format(value, unit)]
        if len(found) == 2:
            other = {t: v for t, v, _ in found[1][1]}.get(test)
            cells += ["{:,.0f} {}".format(other, unit), "%.2f" % (value / other)] if other else ["–", "–"]
        print("| %s | %s |" % (test, " | ".join(cells)))
    return 0
