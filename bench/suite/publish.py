# SPDX-License-Identifier: Apache-2.0
"""Puts what a run wrote where the READMEs have their marks for it."""
import os

from rig import ROOT, Failed

PLACES = (("figures.md", "bench/README.md"), ("short.md", "README.md"))


def between(text, name, figures):
    """The text with the figures between the marks of that name; None where it has none."""
    begin, end = "<!-- %s of a whole run: from here -->\n" % name, "<!-- to here -->"
    head, found, rest = text.partition(begin)
    _, ended, tail = rest.partition(end)
    return head + begin + figures.rstrip("\n") + "\n" + end + tail if found and ended else None


def publish(out):
    for name, place in PLACES:
        path = os.path.join(ROOT, place)
        with open(os.path.join(out, name), encoding="utf-8") as f:
            figures = f.read()
        with open(path, encoding="utf-8") as f:
            text = between(f.read(), name, figures)
        if text is None:
            raise Failed("%s has no marks for %s" % (place, name))
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
