# SPDX-License-Identifier: Apache-2.0
"""Plots as SVG: grouped bars with their spread, and lines over a logarithmic axis."""
from xml.sax.saxutils import escape

COLORS = ("#2166ac", "#d6604d", "#8c8c8c", "#4d9221", "#8073ac")
FONT = 'font-family="Helvetica, Arial, sans-serif"'
WIDTH, LEFT, RIGHT, TOP, BOTTOM = 760, 84, 20, 66, 60


def short(v):
    """1500000 as 1.5M."""
    v = float("%.6g" % v)
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(v) >= limit:
            return ("%.3g" % (v / limit)) + unit
    return "%.3g" % v


def ticks(top, wanted=5):
    """Round steps from 0 to at least top."""
    if top <= 0:
        return [0, 1]
    step = 10.0 ** -12
    while True:
        for m in (1, 2, 5):
            if top / (step * m) <= wanted:
                n = int(top / (step * m) - 1e-9) + 1
                return [i * step * m for i in range(n + 1)]
        step *= 10


class Canvas:
    def __init__(self, title, unit, height):
        self.height = height
        self.parts = ['<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d">' %
                      (WIDTH, height, WIDTH, height), '<rect width="100%" height="100%" fill="#ffffff"/>']
        self.text(LEFT, 24, title, size=15, weight="bold")
        self.text(LEFT, TOP - 24, unit, size=11, color="#555555")

    def text(self, x, y, s, size=11, anchor="start", color="#222222", weight="normal"):
        self.parts.append('<text x="%.1f" y="%.1f" %s font-size="%d" font-weight="%s" text-anchor="%s" fill="%s">%s</text>' %
                          (x, y, FONT, size, weight, anchor, color, escape(s)))

    def line(self, x1, y1, x2, y2, color="#222222", width=1.0):
        self.parts.append('<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="%s" stroke-width="%.1f"/>' %
                          (x1, y1, x2, y2, color, width))

    def rect(self, x, y, w, h, color, title):
        self.parts.append('<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="%s"><title>%s</title></rect>' %
                          (x, y, w, max(h, 0.5), color, escape(title)))

    def legend(self, names):
        x = WIDTH - RIGHT
        for i, name in reversed(list(enumerate(names))):
            x -= 7 * len(name) + 24
            self.rect(x, TOP - 34, 11, 11, COLORS[i % len(COLORS)], name)
            self.text(x + 15, TOP - 24, name)

    def save(self, path):
        with open(path, "w", encoding="utf-8") as f:
            f.write("\n".join(self.parts) + "\n</svg>\n")


def bars(path, title, unit, groups, names):
    """groups: [(label, {name: {"median", "min", "max"}})]; whiskers show the spread over rounds."""
    groups = [g for g in groups if g[1]]
    if not groups:
        return False
    names = [n for n in names if any(n in g[1] for g in groups)]
    c = Canvas(title, unit, 380)
    bottom = c.height - BOTTOM
    scale = ticks(max(v["max"] for _, g in groups for v in g.values()))
    top = scale[-1]

    def y(v):
        return bottom - (bottom - TOP) * min(v, top) / top
    for t in scale:
        c.line(LEFT, y(t), WIDTH - RIGHT, y(t), "#dddddd")
        c.text(LEFT - 8, y(t) + 4, short(t), anchor="end")
    c.legend(names)
    span = (WIDTH - LEFT - RIGHT) / len(groups)
    width = min(span * 0.8 / len(names), 46)
    for i, (label, found) in enumerate(groups):
        x = LEFT + span * (i + 0.5) - width * len(names) / 2
        for k, name in enumerate(names):
            v = found.get(name)
            if v:
                at = x + k * width
                c.rect(at, y(v["median"]), width - 3, bottom - y(v["median"]), COLORS[k % len(COLORS)],
                       "%s %s: %s (%s to %s)" % (label, name, short(v["median"]), short(v["min"]), short(v["max"])))
                mid = at + (width - 3) / 2
                c.line(mid, y(v["min"]), mid, y(v["max"]))
                c.line(mid - 3, y(v["min"]), mid + 3, y(v["min"]))
                c.line(mid - 3, y(v["max"]), mid + 3, y(v["max"]))
                c.text(mid, y(v["max"]) - 5, short(v["median"]), size=10, anchor="middle")
        for n, part in enumerate(label.split("\n")):
            c.text(LEFT + span * (i + 0.5), bottom + 17 + 13 * n, part, anchor="middle")
    c.line(LEFT, bottom, WIDTH - RIGHT, bottom)
    c.save(path)
    return True


def lines(path, title, unit, x_label, series, log_y=False):
    """series: [(name, [(x, y)])], x on a logarithmic axis."""
    import math
    series = [(n, sorted(p)) for n, p in series if p]
    if not series:
        return False
    c = Canvas(title, unit, 400)
    bottom = c.height - BOTTOM
    xs = sorted({x for _, p in series for x, _ in p})
    lo, hi = math.log(xs[0]), math.log(xs[-1]) if xs[-1] > xs[0] else math.log(xs[0]) + 1
    top = max(v for _, p in series for _, v in p)
    if log_y:
        low = 10 ** math.floor(math.log10(min(v for _, p in series for _, v in p)))
        high = 10 ** math.ceil(math.log10(top))
        scale = []
        t = low
        while t <= high * 1.001:
            scale.append(t)
            t *= 10

        def y(v):
            return bottom - (bottom - TOP) * math.log(v / low) / math.log(high / low)
    else:
        scale = ticks(top)

        def y(v):
            return bottom - (bottom - TOP) * v / scale[-1]

    def x(v):
        return LEFT + 20 + (WIDTH - LEFT - RIGHT - 40) * (math.log(v) - lo) / (hi - lo)
    for t in scale:
        c.line(LEFT, y(t), WIDTH - RIGHT, y(t), "#dddddd")
        c.text(LEFT - 8, y(t) + 4, short(t), anchor="end")
    for v in xs:
        c.line(x(v), bottom, x(v), bottom + 5)
        c.text(x(v), bottom + 18, short(v), anchor="middle")
    c.text((LEFT + WIDTH - RIGHT) / 2, bottom + 40, x_label, anchor="middle", color="#555555")
    c.line(LEFT, bottom, WIDTH - RIGHT, bottom)
    c.legend([n for n, _ in series])
    for i, (name, points) in enumerate(series):
        color = COLORS[i % len(COLORS)]
        c.parts.append('<polyline fill="none" stroke="%s" stroke-width="2.2" points="%s"/>' %
                       (color, " ".join("%.1f,%.1f" % (x(a), y(b)) for a, b in points)))
        for a, b in points:
            c.parts.append('<circle cx="%.1f" cy="%.1f" r="3.5" fill="%s"><title>%s: %s at %s</title></circle>' %
                           (x(a), y(b), color, escape(name), short(b), short(a)))
    c.save(path)
    return True
