# SPDX-License-Identifier: Apache-2.0
"""The text exposition format of Prometheus (0.0.4), read as strictly as its description allows: what is not in it is an error."""
import re

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
SAMPLE = re.compile(r"(%s)(?:\{(.*)\})? (\S+)$" % NAME)
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(?:,|$)')
UNESCAPED = {r"\\": "\\", r"\"": '"', r"\n": "\n"}


def labels_of(text):
    labels, at = {}, 0
    while at < len(text):
        m = LABEL.match(text, at)
        assert m, "no labels: %s" % text
        assert m[1] not in labels, "label twice: %s" % text
        labels[m[1]] = re.sub(r"\\.", lambda e: UNESCAPED[e[0]], m[2])
        at = m.end()
    assert not text.endswith(","), text
    return labels


class Family:
    def __init__(self, name, help):
        self.name, self.help, self.type, self.series = name, help, None, {}

    def takes(self, name):
        return name in [self.name + s for s in (("_bucket", "_sum", "_count") if self.type == "histogram" else ("",))]


def histogram(family):
    """Of each series: buckets in order of le, none below the one before, +Inf and its count the same, and a sum."""
    groups = {}
    for (name, labels), value in family.series.items():
        rest = dict(labels)
        le = rest.pop("le", None)
        assert (le is not None) == name.endswith("_bucket"), (name, labels)
        group = groups.setdefault(frozenset(rest.items()), {"le": []})
        if le is None:
            group[name[len(family.name):]] = value
        else:
            group["le"].append((float(le), value))
    for key, g in groups.items():
        bounds = [b for b, _ in g["le"]]
        counts = [c for _, c in g["le"]]
        assert bounds == sorted(set(bounds)) and bounds[-1] == float("inf"), (family.name, key, bounds)
        assert counts == sorted(counts) and counts[-1] == g["_count"] and g["_sum"] >= 0, (family.name, key, g)


def parse(text):
    """{name of a family: Family}; AssertionError where the text is not what it should be."""
    families, family = {}, None
    assert text.endswith("\n"), "the last line has no end"
    for line in text[:-1].split("\n"):
        if line.startswith("# HELP "):
            name, help = line[len("# HELP "):].split(" ", 1)
            assert name not in families, "a family twice: " + name
            assert re.fullmatch(NAME, name) and help and "\\" not in help, line
            family = families[name] = Family(name, help)
        elif line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert family and family.name == name and family.type is None and not family.series, line
            assert kind in ("counter", "gauge", "histogram"), line
            assert (kind == "counter") == name.endswith("_total"), "by convention counters, and they alone, end in _total: " + line
            family.type = kind
        else:
            m = SAMPLE.match(line)
            assert m, "no sample: " + line
            assert family and family.type and family.takes(m[1]), "a sample outside of its family: " + line
            labels = frozenset(labels_of(m[2] or "").items())
            assert (m[1], labels) not in family.series, "a series twice: " + line
            family.series[m[1], labels] = float(m[3])
    for f in families.values():
        assert f.type, "no TYPE: " + f.name
        assert f.type == "gauge" or all(v >= 0 for v in f.series.values()), f.name
        if f.type == "histogram":
            histogram(f)
    return families


def value(families, name, **labels):
    family = next(f for f in families.values() if f.takes(name))
    return family.series[name, frozenset(labels.items())]


def risen(before, after):
    """What counts has not fallen, and no series of it is gone."""
    for name, family in before.items():
        for key, v in family.series.items():
            if family.type != "gauge":
                assert after[name].series[key] >= v, "%s fell from %s to %s" % (key, v, after[name].series[key])
