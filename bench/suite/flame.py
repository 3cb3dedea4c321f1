# SPDX-License-Identifier: Apache-2.0
"""A flame graph: who called whom is height, how much CPU was used is width."""
from xml.sax.saxutils import escape

WIDTH, ROW, HEAD, LEAST = 1200, 16, 44, 0.6
# by what a frame is of: kernel, this house, RocksDB, other libraries
COLORS = {"kernel": "#e6a15c", "house": "#7fb069", "rocksdb": "#6f9bd1", "other": "#c9a0c9", "thread": "#cccccc"}


class Node:
    def __init__(self, name, kind):
        self.name, self.kind, self.samples, self.below = name, kind, 0, {}

    def child(self, name, kind):
        if name not in self.below:
            self.below[name] = Node(name, kind)
        return self.below[name]

    def depth(self, least):
        return 1 + max((c.depth(least) for c in self.below.values() if c.samples >= least), default=0)


def kind_of(library, binary):
    if "kernel" in library or library.startswith("["):
        return "kernel"
    return "house" if library == binary else "rocksdb" if "rocksdb" in library else "other"


def tree(stacks, binary):
    root = Node("all", "thread")
    for comm, frames in stacks:
        root.samples += 1
        node = root.child(comm, "thread")
        node.samples += 1
        for symbol, library in reversed(frames):
            node = node.child(symbol, kind_of(library, binary))
            node.samples += 1
    return root


def draw(node, x, level, scale, height, total, parts):
    w = node.samples * scale
    if w < LEAST:
        return
    y = height - (level + 1) * ROW - 4
    parts.append('<g><title>%s: %.1f %%</title><rect x="%.1f" y="%d" width="%.1f" height="%d" fill="%s" stroke="#ffffff" stroke-width="0.5"/>' %
                 (escape(node.name), 100 * node.samples / total, x, y, w, ROW - 1, COLORS[node.kind]))
    room = int(w / 6.2) - 1
    if room >= 3:
        name = node.name if len(node.name) <= room else node.name[:room - 1] + "…"
        parts.append('<text x="%.1f" y="%d">%s</text>' % (x + 3, y + 12, escape(name)))
    parts.append("</g>")
    for child in sorted(node.below.values(), key=lambda c: c.name):
        draw(child, x, level + 1, scale, height, total, parts)
        x += child.samples * scale


def save(path, title, stacks, binary):
    """stacks: [(thread, [(symbol, library)])], the innermost frame first."""
    root = tree(stacks, binary)
    if not root.samples:
        return False
    scale = WIDTH / root.samples
    height = HEAD + root.depth(LEAST / scale) * ROW + 8
    parts = ['<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" font-family="Helvetica, Arial, sans-serif" font-size="11">' %
             (WIDTH, height, WIDTH, height), '<rect width="100%" height="100%" fill="#ffffff"/>',
             '<text x="8" y="20" font-size="15" font-weight="bold">%s</text>' % escape(title)]
    x = WIDTH - 430
    for label, kind in (("kernel", "kernel"), ("dittofs", "house"), ("RocksDB", "rocksdb"), ("other libraries", "other")):
        parts.append('<rect x="%d" y="10" width="11" height="11" fill="%s"/><text x="%d" y="20">%s</text>' % (x, COLORS[kind], x + 15, label))
        x += 105
    draw(root, 0, 0, scale, height, root.samples, parts)
    with open(path, "w", encoding="utf-8") as f:
        f.write("\n".join(parts) + "\n</svg>\n")
    return True
