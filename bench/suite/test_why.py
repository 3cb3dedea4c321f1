# SPDX-License-Identifier: Apache-2.0
"""The sentences on missed bars, from canned looks, and what becomes of them.  python3 -m unittest in this folder."""
import os
import unittest

import bars
import publish
import render
import render_why
import rig
import usage
import verdict
import why


def look(parts=None, threads=None, cpus=(0.6, 0.6), by=None, calls=None, waits=None, **more):
    parts = parts or {"TCP": 0.5, "meta": 0.4, "polling": 0.1}
    found = {"what": "x", "subject": "dittofs", "cpus": list(cpus), "by": by or {"server": 1.0, "load": 0.5}, "others": 0.0,
             "calls": calls or {}, "parts": waits or {}, "references": [], "beside": None,
             "profile": {"parts": parts, "threads": threads or {"core-0": parts}, "functions": {"TCP": {"tcp_sendmsg": 0.3}}, "samples": 1000},
             "result": {"server_us_per_op": 1.0, "client_us_per_op": 0.5, "mean_us": 100.0, "bytes": 4096}}
    result = more.pop("result", {})
    found.update(more)
    found["result"].update(result)
    return found


class Full(unittest.TestCase):
    def test_all(self):
        said = verdict.full(look(parts={"TCP": 1.0}, cpus=(0.99, 0.97), by={"server": 1.2, "load": 0.7, "gateway": 0.06, "perf": 0.1}))
        self.assertEqual(said, "All CPUs are full (in cores: the server 1.20, our client 0.70, gateway 0.06).")

    def test_polling_is_not_full(self):
        said = verdict.full(look(parts={"TCP": 0.5, "polling": 0.5}, cpus=(0.99, 0.99), by={"server": 1.5, "load": 0.3}))
        self.assertTrue(said.startswith("No CPU is full"), said)
        self.assertIn("0.75 of the server's are polling", said)

    def test_one_core(self):
        threads = {"core-0": {"TCP": 0.1}, "core-1": {"RocksDB memtable": 0.5, "copying": 0.3, "TCP": 0.1}}
        said = verdict.full(look(threads=threads, cpus=(0.3, 0.98), by={"server": 1.0, "load": 0.1}))
        self.assertTrue(said.startswith("One core has most of the work: core-1 is busy for 0.90 of its time, with RocksDB memtable 56 %, copying 33 %"), said)

    def test_client(self):
        self.assertTrue(verdict.full(look(cpus=(0.98, 0.5), by={"server": 0.4, "load": 0.97})).startswith("Our client's one thread is full"))

    def test_one_cpu(self):
        said = verdict.full(look(parts={"TCP": 1.0}, threads={"core-0": {"TCP": 0.5}, "core-1": {"TCP": 0.5}}, cpus=(0.98, 0.5)))
        self.assertTrue(said.startswith("CPU 0 is full, the other is not"), said)
        self.assertTrue(said.endswith("busiest is core-0, for 0.50 of its time with TCP 100 %."), said)


class Waiting(unittest.TestCase):
    def test_journal(self):
        said = verdict.waiting(look(calls={"WRITE": {"queue": 10.0, "work": 80.0, "reply": 2.0, "send": 3.0, "calls": 1000, "total": 92.0}},
                                    waits={"wal sync": {"count": 1000, "us": 70.0}, "wal write": {"count": 20, "us": 30.0}}))
        self.assertEqual(said, "Of a call's 100 µs (queue 10.0, work 80.0, reply 2.00, send 3.00, outside 5.00) the longest is work: "
                               "it waits for wal sync 70.0 µs (once a call).")

    def test_outside(self):
        said = verdict.waiting(look(calls={"GETATTR": {"queue": 6.0, "work": 1.0, "send": 30.0, "calls": 9, "total": 7.0}}))
        self.assertIn("the longest is outside", said)

    def test_nothing_seen(self):
        self.assertEqual(verdict.waiting(look()), "")


def bare(median, bar=0.6, unit="/s", who="bare", reached=False):
    return {"who": who, "median": median, "unit": unit, "ratio": 0.3, "bar": bar, "how": ">=", "reached": reached}


class Budget(unittest.TestCase):
    def test_cpu_would_do(self):
        said = verdict.budget(look(references=[bare(2e6), bare(1.4e6, None, who="canned", reached=None)]), 2)
        self.assertEqual(said, "The bar is 1,200,000 a second, for which 2 full cores have 1.67 µs of CPU each; our client takes 0.50 of them "
                               "and the server 1.00: there is CPU enough, but not all of it is used at once. Before a server with one ready "
                               "answer for all (canned) it comes to 0.70 of bare.")

    def test_leaves(self):
        said = verdict.budget(look(references=[bare(2.5e6)]), 2)
        self.assertIn("which leaves the server 0.83, and it takes 1.00.", said)

    def test_client_alone_is_too_much(self):
        said = verdict.budget(look(references=[bare(8e6), bare(2e6, None, who="canned", reached=None)]), 2)
        self.assertIn("with this client no server reaches it", said)
        self.assertIn("it comes to 0.25 of bare, so no server would bring it to the bar", said)

    def test_megabytes(self):
        said = verdict.budget(look(references=[bare(5000, 0.8, "MB/s")], result={"bytes": 1000000, "server_us_per_op": 400, "client_us_per_op": 200}), 2)
        self.assertIn("The bar is 4,000 a second, for which 2 full cores have 500 µs", said)

    def test_only_ganesha(self):
        self.assertEqual(verdict.budget(look(references=[bare(5, who="ganesha")]), 2), "")


class Beside(unittest.TestCase):
    def test_reactors(self):
        one = look(parts={"TCP": 1.0}, what="one reactor", result={"server_us_per_op": 0.5})
        two = look(parts={"TCP": 0.5, "waking and switching": 0.5}, beside=one, subject="cores2")
        self.assertEqual(verdict.verdict(two, 2), "A call takes 1.00 µs of the server's CPU, 0.50 with one reactor: waking and switching +0.50.")


class Wanted(unittest.TestCase):
    @staticmethod
    def sample(key, subject, ops, **more):
        return dict({"key": key, "subject": subject, "round": 1, bars.OPS: ops, bars.CPU: 1.0}, **more)

    def test_each_missed_bar_once(self):
        samples = [self.sample("getattr@64", "dittofs", 100), self.sample("getattr@64", "bare", 1000), self.sample("getattr@64", "ganesha", 90),
                   self.sample("lookup@64", "dittofs", 900), self.sample("lookup@64", "bare", 1000)]
        found = why.wanted(samples, {"getattr@64": {"ops_per_enter": 5.0, "copies": 0.7, "allocs": 0.0, "locks": 0.0}})
        self.assertEqual([f["key"] for f in found], ["getattr@64"])
        self.assertEqual(found[0]["missed"], ["ganesha: 1.11, bar ≥ 3", "bare: 0.10, bar ≥ 0.6", "5.0 calls an io_uring_enter, bar ≥ 8",
                                              "not clean: 0.70 copies of 4 KiB or more a call"])

    def test_beside_ourselves(self):
        found = why.wanted([self.sample("lookup in 1M", "dittofs", 100), self.sample("lookup in 100", "dittofs", 300)], {})
        self.assertEqual(found[0]["beside"], ("lookup in 100", "dittofs"))
        found = why.wanted([self.sample("null@256", "cores1", 1), self.sample("null@256", "cores2", 1, **{bars.CPU: 2.0})], {})
        self.assertEqual((found[0]["subject"], found[0]["beside"]), ("cores2", ("null@256", "cores1")))

    def test_two_reactors_that_wait_for_their_client_have_no_bar(self):
        samples = [self.sample(key, "cores%d" % n, 1, **{bars.CPU: float(n)}) for key in ("null@64", "null@256") for n in (1, 2)]
        rows = {r["id"]: r for r in bars.make(samples) if r["subject"] == "2 reactors"}
        few, many = rows["reactors_null"], rows["reactors_null256"]
        self.assertEqual((few["references"][0]["ratio"], few["references"][0]["reached"]), (1.0, None))
        self.assertEqual((many["references"][0]["ratio"], many["references"][0]["reached"]), (1.0, False))
        self.assertIn("64 outstanding", few["what"])
        self.assertIn("256 outstanding", many["what"])

    def test_every_bar_has_a_test(self):
        keys = {r[2] for r in bars.ROWS if any(ref[2] for ref in r[5])} | {r[2] for r in bars.REACTORS if r[3]}
        self.assertEqual({k for k in keys if not k.startswith("s3 ")} - set(why.TESTS), set())


class Stages(unittest.TestCase):
    def test_shares_of_the_mean_call(self):
        def status(n, queue):
            return {"procedures": [{"procedure": "READ", "total": {"count": n, "mean_us": 10.0},
                                    "stages": {"queue": {"count": n, "mean_us": 4.0}, "work": {"count": queue, "mean_us": 60.0}}}],
                    "parts": [{"part": "object get", "total": {"count": n // 2, "mean_us": 3.0}}]}
        calls, parts = why.stages(status(100, 10), status(300, 30))
        self.assertEqual(calls, {"READ": {"queue": 4.0, "work": 6.0, "calls": 200, "total": 10.0}}) # 20 of 200 worked 60 µs
        self.assertEqual(parts, {"object get": {"count": 100, "us": 3.0}})


class Usage(unittest.TestCase):
    def test_families(self):
        class Canned:
            def __init__(self, when, *ticks):
                names = ((2, "kthreadd", 0), (3, "kworker", 2), (9, "dittofs", 1), (11, "cc1", 1), (usage.os.getpid(), "python3", 1),
                         (1 << 30, "load", usage.os.getpid()))
                self.when, self.cpus = when, [(ticks[0], 100 * when), (0, 100 * when)]
                self.processes = {pid: (name, parent, t) for (pid, name, parent), t in zip(names, ticks)}
        hz = usage.TICKS
        found = usage.between(Canned(0, *[0] * 6), Canned(1, 0, hz // 10, hz // 2, hz // 4, 0, hz // 5), {9: "server"})
        self.assertEqual(found["by"], {"kernel threads": 0.1, "server": 0.5, "load": 0.2})
        self.assertEqual(found["others"], 0.25)

    def test_stat_with_spaces_in_the_name(self):
        self.assertEqual(usage.parse_stat("7 (a b) c) S 1 7 7 0 -1 0 0 0 0 0 10 20 1 2 20 0"), (7, "a b) c", 1, 33))


class Rendered(unittest.TestCase):
    def test_section(self):
        seen = look(id="x", missed=["bare: 0.30, bar ≥ 0.6"], flame=None, calls={"READ": {"queue": 9.0, "work": 1.0, "calls": 5, "total": 10.0}})
        text = "\n".join(render_why.section([seen], 2))
        self.assertIn("- **x** (bare: 0.30, bar ≥ 0.6). One core has most of the work: core-0", text)
        self.assertIn("| x | 1.00 | 0.50 (50 %) | 0.40 (40 %) | 0.10 (10 %) |  |", text)
        self.assertIn("| x | 100 | 9.00 | 1.00 |  |  | 90.0 |  |", text)
        self.assertIn("No profiles", "\n".join(render_why.section([dict(seen, profile=dict(seen["profile"], samples=0))], 2)))

    def test_late_and_damaged(self):
        def sample(n, p99):
            return {"key": "s3 slow", "subject": "late, hedged", "round": n, "p50_us": 5000.0, "p99_us": p99, "p999_us": 9e5, "gets_per_read": 0.8}
        table = render.slow_table([sample(1, 1e5), sample(2, 3e5), sample(3, 2e5)])
        self.assertEqual(table[2:], ["| the same, `hedge_after: 100ms` | 5 ms | 200 ms | 900 ms | 0.800 |"])
        self.assertEqual(render.slow_table([]), [])


class Publish(unittest.TestCase):
    def test_between_its_marks(self):
        text = "a\n<!-- short.md of a whole run: from here -->\nold\n<!-- to here -->\nb\n"
        self.assertEqual(publish.between(text, "short.md", "new\n"), text.replace("old", "new"))
        self.assertIsNone(publish.between(text, "figures.md", "new"))

    def test_the_readmes_have_them(self):
        for name, place in publish.PLACES:
            with open(os.path.join(rig.ROOT, place), encoding="utf-8") as f:
                self.assertIsNotNone(publish.between(f.read(), name, ""), place)


if __name__ == "__main__":
    unittest.main()
