"""What the scripts of a page need, as JSON that ends no script: `<`, `>`, `&` and all beyond ASCII are escapes."""

from __future__ import annotations

import json
from typing import Any, Final

from auditor.page.drawing import HEIGHT, WIDTH
from auditor.page.findings import DETAILED
from auditor.page.layered import COLUMN, HEAD, PAD, ROW
from auditor.page.markup import Markup
from auditor.page.model import PageGraph, Review
from auditor.report.layout import clean, iso
from auditor.report.markdown import finding_lines
from auditor.report.summary import area_of, ordered, soonest

VERSION: Final = 1
NODE_FIELDS: Final = (
    "kind", "name", "scope", "impact", "lifecycle", "owner", "site", "group", "path", "line", "seen", "going",
)  # fmt: skip
EDGE_FIELDS: Final = (
    "consumer", "provider", "relation", "need", "alternatives", "confidence", "fails", "path", "line", "excerpt",
)  # fmt: skip


class _Strings:
    """Each text once."""

    def __init__(self) -> None:
        self.table: list[str] = []
        self._known: dict[str, int] = {}

    def __call__(self, said: str) -> int:
        found = self._known.get(said)
        if found is None:
            found = self._known[said] = len(self.table)
            self.table.append(said if said.isascii() and said.isprintable() else clean(said))
        return found


def block(name: str, value: object) -> Markup:
    """A block of data that no browser executes."""
    said = json.dumps(value, ensure_ascii=True, separators=(",", ":"))
    said = said.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    return Markup(f'<script type="application/json" id="{name}">{said}</script>')


def graph_data(graph: PageGraph) -> dict[str, Any]:
    """Nodes and edges as rows of numbers; texts are numbers of `strings`."""
    strings = _Strings()
    nodes = [
        [
            strings(one.kind), strings(one.name), strings(one.scope), strings(one.impact), strings(one.lifecycle),
            strings(one.owner), strings(one.site), one.group, strings(one.path), one.line, strings(one.seen),
            int(one.going),
        ]
        for one in graph.nodes
    ]  # fmt: skip
    edges = [
        [
            one.consumer, one.provider, strings(one.relation), strings(one.need), strings(one.alternatives),
            strings(one.confidence), int(one.fails), strings(one.path), one.line, strings(one.excerpt),
        ]
        for one in graph.edges
    ]  # fmt: skip
    facts = {
        str(at): [number for pair in one.facts for number in (strings(pair[0]), strings(pair[1]))]
        for at, one in enumerate(graph.nodes)
        if one.facts
    }
    return {
        "version": VERSION,
        "nodes": nodes,
        "edges": edges,
        "facts": facts,
        "groups": [[strings(one.name), strings(one.scope), one.count, one.column] for one in graph.groups],
        "drawings": [
            {
                "name": one.name,
                "title": one.title,
                "groups": one.groups,
                "placed": [number for place in one.placed for number in place],
                "edges": [number for pair in one.edges for number in pair],
                "bends": {
                    str(at): [number for point in points for number in point]
                    for at, points in enumerate(one.bends)
                    if points
                },
            }
            for one in graph.drawings
        ],
        "total": [graph.total_nodes, graph.total_edges],
        "paths": graph.paths,
        "size": {"width": WIDTH, "height": HEIGHT, "column": COLUMN, "row": ROW, "head": HEAD, "pad": PAD},
        "frames": graph.frame_by,
        "limit": graph.limit,
        "strings": strings.table,
    }


def report_data(review: Review) -> dict[str, Any]:
    """Of each finding, by its number: fingerprint, area, message, and all as Markdown; the times that count."""
    report = review.report
    found: dict[int, list[str]] = {}
    for position, finding in enumerate(ordered(report.findings, report.profile), 1):
        text = "\n".join(finding_lines(position, finding, report)) if position <= DETAILED else ""
        found[position] = [finding.fingerprint, area_of(finding, report.profile).id, clean(finding.message)[:300], text]
    first = soonest(report)
    return {
        "version": VERSION,
        "findings": found,
        "now": iso(report.now),
        "deadline": iso(first.deadline) if first is not None else None,
    }
