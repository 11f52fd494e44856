"""DOT for Graphviz (https://graphviz.org/doc/info/lang.html): consumers left, what is going right."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from auditor.export.picture import NodeRow, Picture

LABEL_LIMIT = 80
"""Characters of a label; the whole text is the tooltip, up to 1,000."""

_FILL = {"broken": "#f8c9c4", "blind": "#fbe0a6", "degraded": "#fdf3c7", "mentioned": "#e8e8e8", "none": "#ffffff"}
_HEAD = """\
digraph estate {
graph [rankdir="LR", fontname="sans-serif"];
node [shape="box", style="rounded,filled", fillcolor="#ffffff", fontname="sans-serif", fontsize="10"];
edge [fontname="sans-serif", fontsize="8", color="#767676"];
"""


def lines(picture: Picture) -> Iterator[str]:
    """The document."""
    yield _HEAD
    rows = sorted(picture.node_rows(), key=lambda row: row.cluster)
    for number, (cluster, members) in enumerate(groupby(rows, key=lambda row: row.cluster)):
        if cluster:
            yield f'subgraph "cluster_{number}" {{\nlabel={quoted(shortened(cluster))}; color="#9a9a9a";\n'
        yield from map(_node, members)
        if cluster:
            yield "}\n"
    for edge in picture.edge_rows():
        label = edge.relation if edge.count == 1 else f"{edge.relation} × {edge.count:,}"
        look = ', color="#b3261e", penwidth="2"' if edge.fails else ""
        place = f"{edge.path}:{edge.line}" if edge.line else edge.path
        tip = _tooltip(f"{edge.relation}, needs {edge.need}. {place} {edge.excerpt}")
        yield f"{edge.consumer} -> {edge.provider} [label={quoted(label)}, tooltip={tip}{look}];\n"
    yield "}\n"


def _node(row: NodeRow) -> str:
    look = f'fillcolor="{_FILL[row.impact]}"'
    if row.lifecycle not in ("", "active"):
        look = 'fillcolor="#3c3c3c", fontcolor="#ffffff"'
    said = f"{shortened(row.label)}\n{row.lifecycle}" if row.lifecycle not in ("", "active") else shortened(row.label)
    if row.impact in ("broken", "blind"):
        said += f"\n{row.impact}"
    tip = f"{row.label} {row.path}:{row.line}" if row.path else row.label
    return f"{row.id} [label={quoted(said)}, tooltip={_tooltip(tip)}, {look}];\n"


def _tooltip(text: str) -> str:
    # Graphviz 2.43 expands the escapes of a tooltip twice: no backslash is safe there, so another sign stands for it.
    return quoted(text[:1000].replace("\\", "\u29f5"))


def shortened(text: str) -> str:
    """Text as a label: at most 80 characters."""
    return text if len(text) <= LABEL_LIMIT else text[: LABEL_LIMIT - 1] + "…"


def quoted(text: str) -> str:
    """A quoted string of DOT. Backslashes and `&` begin escapes and entities there: they stand for themselves."""
    safe = text.replace("\\", "\\\\").replace('"', '\\"').replace("&", "&amp;").replace("\n", "\\n")
    return f'"{safe}"'
