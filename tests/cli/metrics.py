#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""/metrics, /healthz and what else metrics.listen serves, as Prometheus, a load balancer and an operator use it.

    tests/cli/metrics.py --binary PATH
"""
import errno
import json
import os
import re
import signal
import sys
import time
import urllib.error
import urllib.request

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
sys.path[:0] = [TOP + "/tests/s3", TOP + "/tests/cli"]
sys.dont_write_bytecode = True
import exposition  # noqa: E402
from exposition import value  # noqa: E402
from tidy import MIB, Server, content, of_one_server  # noqa: E402

COVERED = """process_cpu_seconds_total process_resident_memory_bytes process_start_time_seconds dittofs_build_info
dittofs_nfs_calls_total dittofs_nfs_errors_total dittofs_nfs_bytes_total dittofs_nfs_call_duration_seconds
dittofs_nfs_stage_duration_seconds dittofs_part_duration_seconds dittofs_nfs_connections dittofs_nfs_clients
dittofs_cache_hits_total dittofs_cache_misses_total dittofs_cache_evicted_total dittofs_cache_memory_bytes dittofs_cache_dir_bytes
dittofs_dirty_bytes dittofs_journal_used_bytes dittofs_uploads_now dittofs_uploaded_bytes_total
dittofs_object_store_requests_total dittofs_object_store_errors_total dittofs_object_store_retries_total
dittofs_object_store_bytes_total dittofs_object_store_seconds_total dittofs_compaction_bytes_total dittofs_garbage_slices
dittofs_share_used_bytes dittofs_share_used_inodes dittofs_share_trash_bytes dittofs_memory_budget_bytes
dittofs_memory_pool_used_bytes dittofs_rocksdb_compaction_pending_bytes dittofs_metadata_pending_bytes dittofs_log_lines_total
dittofs_healthy""".split()


class MetricsServer(Server):
    def start(self, *args):
        super().start("--metrics", "127.0.0.1:0", *args)
        self.web = re.search(r"page with plots on (http://\S+)/\n", self.said())[1]

    def said(self):
        with open(self.log) as f:
            return f.read()

    def get(self, path, method="GET"):
        """Status, MIME type, body."""
        try:
            with urllib.request.urlopen(urllib.request.Request(self.web + path, method=method), timeout=60) as r:
                return r.status, r.headers["Content-Type"], r.read().decode()
        except urllib.error.HTTPError as e:
            return e.code, e.headers["Content-Type"], e.read().decode()

    def scrape(self):
        status, kind, text = self.get("/metrics")
        assert (status, kind) == (200, "text/plain; version=0.0.4; charset=utf-8"), (status, kind)
        return exposition.parse(text)

    def becomes(self, status, what):
        """/healthz, as soon as it says so."""
        end = time.monotonic() + 60
        while (got := self.get("/healthz"))[0] != status or what not in got[2]:
            assert time.monotonic() < end, "not %d, %s: %s" % (status, what, got)
            time.sleep(0.1)
        return got[2]

    def set(self, key, word):
        """A line of the template."""
        with open(self.vol + "/dittofs.yaml") as f:
            text, n = re.subn(r"(?m)^( *)(# )?%s: .*$" % key, r"\g<1>%s: %s" % (key, word), f.read())
        assert n == 1, (key, n)
        with open(self.vol + "/dittofs.yaml", "w") as f:
            f.write(text)


def write(s, name, data):
    f = s.mount.create(name)
    f.write(0, data)
    f.fsync()


def it_is_off_unless_asked_for(s):
    Server.start(s)
    assert "page with plots on" not in s.said(), s.said()
    s.end()
    s.start()
    assert s.get("/nothing")[0] == 404
    assert s.get("/metrics", "POST")[0] == 405
    assert s.get("/metrics", "HEAD") == (200, "text/plain; version=0.0.4; charset=utf-8", "")


def every_sample_is_well_formed(s):
    first = s.scrape()
    for name in COVERED:
        assert name in first, name
    write(s, "a", content("a", 3 * MIB))
    assert s.mount.open("a").read(0, 3 * MIB) == content("a", 3 * MIB)
    for _ in range(3):
        try:
            s.mount.open("none")
        except OSError as e:
            assert e.errno == errno.ENOENT, e
    s.run("flush")
    second = s.scrape()
    exposition.risen(first, second)
    third = s.scrape()
    exposition.risen(second, third)

    def more(name, **labels):
        try:
            before = value(first, name, **labels)
        except KeyError:  # none before its first
            before = 0
        return value(second, name, **labels) - before

    assert more("dittofs_nfs_calls_total", procedure="WRITE") == 3
    assert more("dittofs_nfs_call_duration_seconds_count", procedure="WRITE") == 3
    assert more("dittofs_nfs_bytes_total", procedure="WRITE") == more("dittofs_nfs_bytes_total", procedure="READ") == 3 * MIB
    assert more("dittofs_nfs_errors_total", procedure="LOOKUP", status="NOENT") == 3
    assert more("dittofs_uploaded_plain_bytes_total") == 3 * MIB
    assert more("dittofs_object_store_requests_total", request="put") >= 1
    assert more("dittofs_share_used_bytes", share="/export") == 3 * MIB
    assert more("dittofs_share_used_inodes", share="/export") == 1
    assert value(second, "dittofs_nfs_connections") == 1 and value(second, "dittofs_nfs_clients") == 1
    assert value(second, "dittofs_healthy") == 1 and value(second, "dittofs_dirty_bytes") == 0
    assert 0 < value(second, "process_cpu_seconds_total") and abs(value(second, "process_start_time_seconds") - time.time()) < 3600
    assert 0 < value(second, "process_resident_memory_bytes") < value(second, "dittofs_memory_budget_bytes")


def it_says_what_status_says(s):
    m, j = s.scrape(), json.loads(s.get("/status")[2])
    assert j.keys() == json.loads(s.run("status", "--json")).keys()
    for p in j["calls"]["procedures"]:
        assert value(m, "dittofs_nfs_calls_total", procedure=p["procedure"]) == p["calls"], p
        assert sum(v for (_, labels), v in m["dittofs_nfs_errors_total"].series.items() if dict(labels)["procedure"] == p["procedure"]) == p["errors"], p
    for r in j["object_store"]["requests"]:
        assert value(m, "dittofs_object_store_requests_total", request=r["class"]) == r["requests"], r
    assert value(m, "dittofs_memory_budget_bytes") == j["memory"]["budget_bytes"]
    assert len(m["dittofs_memory_pool_size_bytes"].series) == len(j["memory"]["pools"])


def the_page_finds_what_it_names(s):
    """The dashboard: whole as it stands in the tree, asks nobody else, and every name in its at(...) is in what it asks for."""
    status, kind, page = s.get("/")
    with open(TOP + "/tools/dashboard.html") as f:
        assert (status, kind, page) == (200, "text/html; charset=utf-8", f.read())
    assert set(re.findall(r"""(?:src|href|url)\W+(\w+:[^"') >]+)""", page)) <= {"data:,"}, "something foreign"
    assert re.findall(r'fetch\("(\w+)"\)', page) == ["status", "live", "healthz"]
    answers = [json.loads(s.get(url)[2]) for url in ("/status", "/live")]
    first = {name: answers[0][name][0] for name in ("shares", "clients")}
    first.update(p=answers[0]["calls"]["procedures"][0], r=answers[0]["object_store"]["requests"][0], hist=answers[1]["procedures"][0])
    of = {"status": answers[0], "live": answers[1], "e": first["shares"], "c": first["clients"], "p": first["p"], "then": first["p"], "r": first["r"],
          "hist[name]": first["hist"], "histWas[name]": first["hist"], 'requests[at(r, "class")]': first["r"]}
    names = re.findall(r"""\bat\(((?:[^(),]|at\(r, "class"\))+), "([a-z0-9_.]+)"\)""", page)
    assert len(names) > 40, names
    for what, path in names:
        v = of[re.sub(r"^(old|last)\.", "", what)]
        for name in path.split("."):
            assert name in v, "%s: no %s" % (what, path)
            v = v[name]
    # by(list, name) looks for names in lists.
    for what, path, name in re.findall(r"""by\(at\((?:old\.)?(\w+), "([a-z_.]+)"\), "(\w+)"\)""", page):
        v = of[what]
        for n in path.split("."):
            v = v[n]
        assert name in v[0], (what, path, name)
    h = first["hist"]
    assert sum(n for _, n in h["buckets"]) == next(p["calls"] for p in answers[0]["calls"]["procedures"] if p["procedure"] == h["procedure"]), h
    assert h["buckets"] == sorted(h["buckets"]), h


def a_broken_cache_disk_is_no_failure(s):
    assert s.get("/healthz") == (200, "text/plain; charset=utf-8", "ok\n")
    assert s.get("/livez") == (200, "text/plain; charset=utf-8", "ok\n")
    s.end()
    broken = s.vol + "/no directory"
    open(broken, "w").close()
    s.set("cache_dir", '["%s"]' % broken)
    s.set("max_size", "64MiB")
    s.start("--cores", "1")
    status, _, body = s.get("/healthz")
    failed = re.fullmatch(r"ok\ndegraded: the cache directory (%s/[0-9a-f]{32}) failed\n" % re.escape(broken), body)
    assert status == 200 and failed, (status, body)
    assert value(s.scrape(), "dittofs_cache_dir_failed", dir=failed[1]) == 1


def the_object_store_takes_nothing(s):
    """Its directories are files, until the journal is full; all goes on when they are mended."""
    objects = s.vol + "/objects/export/"
    for d in "chunks", "packs":
        if os.path.exists(objects + d):
            os.rename(objects + d, objects + d + ".away")
        open(objects + d, "w").close()
    write(s, "b", content("b", 100000))
    s.becomes(503, "the object store takes no uploads")
    assert s.get("/livez")[0] == 200
    assert value(s.scrape(), "dittofs_healthy") == 0
    f, done, data = s.mount.create("c"), 0, content("c", MIB)
    try:
        while done < 128 * MIB:
            f.write(done, data)
            done += MIB
    except OSError as e:
        assert e.errno == errno.EAGAIN, e
    assert 32 * MIB < done < 64 * MIB, done
    s.becomes(503, "the journal is full: writers have waited for ")
    m = s.scrape()
    assert value(m, "dittofs_healthy") == 0 and value(m, "dittofs_dirty_bytes") > 32 * MIB
    assert value(m, "dittofs_nfs_errors_total", procedure="WRITE", status="JUKEBOX") == 1
    for d in "chunks", "packs":
        os.unlink(objects + d)
        if os.path.exists(objects + d + ".away"):
            os.rename(objects + d + ".away", objects + d)
    s.becomes(200, "ok\n")
    s.run("flush")
    assert s.mount.open("c").read(0, MIB) == data and s.mount.open("a").read(0, 3 * MIB) == content("a", 3 * MIB)


def who_shuts_down_is_not_well(s):
    """It drains, for as long as the object store takes nothing; a second signal ends it."""
    objects = s.vol + "/objects/export/"
    for d in "chunks", "packs":
        os.rename(objects + d, objects + d + ".away")
        open(objects + d, "w").close()
    write(s, "d", content("d", 100000))
    s.becomes(503, "the object store takes no uploads")
    s.process.send_signal(signal.SIGTERM)
    s.becomes(503, "shutting down\n")
    assert s.get("/livez")[0] == 200
    s.end()
    for d in "chunks", "packs":
        os.unlink(objects + d)
        os.rename(objects + d + ".away", objects + d)


def beyond_loopback_is_warned_of(s):
    Server.start(s, "--metrics", "0.0.0.0:0")
    assert re.search(r"warn metrics.listen: 0.0.0.0:\d+ is not loopback", s.said()), s.said()
    s.end()
    s.start()
    assert "is not loopback" not in s.said()
    taken = s.web.rsplit(":", 1)[1]
    other = MetricsServer(s.binary, s.vol + "2", {})
    other.run("format")
    other.run("serve", "--listen", "127.0.0.1:0", "--metrics", "nowhere", status=1)
    out = other.run("serve", "--listen", "127.0.0.1:0", "--metrics", "127.0.0.1:" + taken, status=1)
    assert "metrics.listen: 127.0.0.1:%s: Address already in use" % taken in out, out


STEPS = (it_is_off_unless_asked_for, every_sample_is_well_formed, it_says_what_status_says, the_page_finds_what_it_names, a_broken_cache_disk_is_no_failure,
         the_object_store_takes_nothing, who_shuts_down_is_not_well, beyond_loopback_is_warned_of)

if __name__ == "__main__":
    sys.exit(of_one_server(MetricsServer, lambda s: None, STEPS))
