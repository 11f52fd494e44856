"""The first drawing of a page's graph as SVG and as a table: for paper, without scripts, and for a screen reader."""

from __future__ import annotations

import re
from collections import defaultdict
from html import escape
from itertools import pairwise
from typing import Final

from auditor.page.markup import Markup, hidden, tag, text
from auditor.page.model import Drawing, GraphEdge, GraphNode, PageGraph

WIDTH: Final = 178
"""Pixels of a node's box."""
HEIGHT: Final = 44
_MARGIN: Final = 14
_COLUMNS: Final = 23
_SIGNS: Final = {"broken": "✗ ", "blind": "◌ ", "degraded": "~ ", "going": "■ "}
_IN_FRONT: Final = {"job": re.compile(r"^/(?:[^/\s:]*/)*(?=[^/\s:])"), "alert": re.compile(r"^[^/]*/(?=[^/])")}
TABLE: Final = 400
"""Dependencies in the table."""


def state(node: GraphNode) -> str:
    """How a node is drawn: going, or by its impact."""
    return "going" if node.going else node.impact


def _cut(kind: str, said: str, room: int = _COLUMNS) -> str:
    """At most `room` characters of a name, from both ends. Of one in the DNS, the end is what most share, and of a job
    or an alert its directory or group. The script of the page does the same."""
    if len(said) <= room:
        return said
    if kind in _IN_FRONT:
        said = _IN_FRONT[kind].sub("", said)
    if len(said) <= room:
        return said
    if kind in ("host", "name", "job", "alert"):
        return f"{said[: room - 1]}…"
    return f"{said[: (room + 1) // 2 - 1]}…{said[-(room // 2) :]}"


def first_members(graph: PageGraph) -> dict[int, GraphNode]:
    """Of each group the first node."""
    first: dict[int, GraphNode] = {}
    for node in graph.nodes:
        first.setdefault(node.group, node)
    return first


def between(graph: PageGraph) -> dict[tuple[int, int], list[GraphEdge]]:
    """The dependencies from one group to another."""
    found: defaultdict[tuple[int, int], list[GraphEdge]] = defaultdict(list)
    for edge in graph.edges:
        found[graph.nodes[edge.consumer].group, graph.nodes[edge.provider].group].append(edge)
    return found


def svg(graph: PageGraph, drawing: Drawing) -> Markup:
    """A drawing: boxes and lines, as wide as it needs and scaled to what is there."""
    first, edges = first_members(graph), between(graph)
    at = {one.group: (one.x, one.y) for one in drawing.placed}
    wide = max((x for x, _ in at.values()), default=0) + WIDTH + 2 * _MARGIN
    high = max((y for _, y in at.values()), default=0) + HEIGHT + 2 * _MARGIN
    left, top = WIDTH // 2 + _MARGIN, HEIGHT // 2 + _MARGIN
    around = []
    for one in drawing.frames:
        x, y = one.left + left, one.top + top
        room = max(one.width // 8, 1)
        around.append(
            tag(
                "g",
                tag("title", one.name),
                tag("rect", x=x, y=y, width=one.width, height=one.height, rx=7),
                tag("text", _cut("host", text(one.name), room), x=x + 9, y=y + 16),
                class_="frame",
            )
        )
    lines = []
    for (consumer, provider), bends in zip(drawing.edges, drawing.bends, strict=True):
        if consumer == provider:
            continue
        (x1, y1), (x2, y2) = at[consumer], at[provider]
        fails = any(edge.fails for edge in edges.get((consumer, provider), ()))
        forward = x2 > x1
        points = [(x1 + (WIDTH // 2 if forward else -WIDTH // 2), y1)]
        for x, y in bends:
            points += (
                [(x - WIDTH // 2, y), (x + WIDTH // 2, y)] if forward else [(x + WIDTH // 2, y), (x - WIDTH // 2, y)]
            )
        points.append((x2 - (WIDTH // 2 + 7 if forward else -WIDTH // 2 - 7), y2))
        lines.append(tag("path", d=_curve(points, left, top), class_="edge fails" if fails else "edge"))
    boxes = []
    for group, (x, y) in at.items():
        node, known = first[group], graph.groups[group]
        many = f"{known.count:,} × " if known.count > 1 else ""
        said = state(node)
        boxes.append(
            tag(
                "g",
                tag("title", f"{many}{node.kind} {known.name}" + (f" on {known.scope}" if known.scope else "")),
                tag("rect", x=x + _MARGIN, y=y + _MARGIN, width=WIDTH, height=HEIGHT, rx=5),
                tag(
                    "text",
                    f"{_SIGNS.get(said, '')}{many}{node.kind}",
                    x=x + _MARGIN + 9,
                    y=y + _MARGIN + 17,
                    class_="kind",
                ),
                tag("text", _cut(node.kind, text(known.name)), x=x + _MARGIN + 9, y=y + _MARGIN + 35, class_="name"),
                class_=f"node {said}",
            )
        )
    arrow = Markup(
        '<defs><marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0L8 4L0 8z" class="tip"></path></marker></defs>'
    )
    label = escape(
        text(f"{drawing.title}: {len(at)} nodes, {len(drawing.edges)} dependencies; the table below says the same")
    )
    body = arrow + "".join((*around, *lines, *boxes))
    return Markup(f'<svg class="drawing" role="img" aria-label="{label}" viewBox="0 0 {wide} {high}">{body}</svg>')


def _curve(points: list[tuple[int, int]], left: int, top: int) -> str:
    """A line that leaves and reaches its nodes sideways."""
    moved = [(x + left, y + top) for x, y in points]
    said = f"M{moved[0][0]} {moved[0][1]}"
    for (x1, y1), (x2, y2) in pairwise(moved):
        middle = (x1 + x2) // 2
        said += f"C{middle} {y1} {middle} {y2} {x2} {y2}"
    return said


def table(graph: PageGraph, drawing: Drawing) -> Markup:
    """The dependencies of a drawing, one a row."""
    first, edges = first_members(graph), between(graph)

    def said(group: int) -> Markup:
        node, known = first[group], graph.groups[group]
        many = f"{known.count:,} × " if known.count > 1 else ""
        scope = tag("span", " on ", tag("bdi", known.scope), class_="on") if known.scope else None
        how = {"going": "going", "none": "", "mentioned": ""}.get(state(node), state(node))
        word = tag("span", how, class_=f"chip {how}") if how else None
        return tag("td", tag("span", f"{many}{node.kind} ", class_="kind"), tag("bdi", known.name), scope, word)

    rows = []
    for consumer, provider in drawing.edges[:TABLE]:
        of = edges.get((consumer, provider), [])
        relations = ", ".join(sorted({edge.relation.replace("-", " ") for edge in of}))
        fails = any(edge.fails for edge in of)
        where = next((f"{edge.path}:{edge.line}" if edge.line else edge.path for edge in of if edge.path), "")
        outcome = tag("td", "✗ fails" if fails else "holds", class_="fails" if fails else "holds")
        place = tag("td", tag("code", tag("bdi", where)) if where else "–")
        rows.append(tag("tr", said(consumer), tag("td", relations), said(provider), outcome, place))
    heads = [tag("th", one, scope="col") for one in ("Consumer", "Relation", "What it needs", "Then", "Written in")]
    left = len(drawing.edges) - TABLE
    return tag(
        "details",
        tag("summary", "The same as a table", hidden(f": {drawing.title}")),
        tag(
            "div",
            tag("table", tag("thead", tag("tr", heads)), tag("tbody", rows), class_="edges"),
            class_="scroll",
            role="region",
            aria_label="Dependencies of the drawing",
            tabindex=0,
        ),
        tag("p", f"and {left:,} more", class_="legend") if left > 0 else None,
        class_="plain",
    )
