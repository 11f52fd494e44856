"""Mermaid (https://mermaid.js.org/syntax/flowchart.html): a flowchart that code hosts and wikis draw in Markdown."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from auditor.export.picture import NodeRow, Picture

LABEL_LIMIT = 80
"""Characters of a label, before they are escaped."""

_PLAIN = frozenset(" abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789./:_-,×…")
_CLASSES = """\
  classDef going fill:#3c3c3c,stroke:#000000,color:#ffffff
  classDef broken fill:#f8c9c4,stroke:#b3261e,color:#1c1b1f
  classDef blind fill:#fbe0a6,stroke:#8a6100,color:#1c1b1f
  classDef degraded fill:#fdf3c7,stroke:#8a6100,color:#1c1b1f
"""


def lines(picture: Picture) -> Iterator[str]:
    """The diagram, without the fence of a code block."""
    yield "flowchart LR\n"
    rows = sorted(picture.node_rows(), key=lambda row: row.cluster)
    for number, (cluster, members) in enumerate(groupby(rows, key=lambda row: row.cluster)):
        if cluster:
            yield f'  subgraph c{number}["{escaped(cluster)}"]\n'
        for row in members:
            yield f'  {row.id}["{_label(row)}"]{_class(row)}\n'
        if cluster:
            yield "  end\n"
    failing = []
    for position, edge in enumerate(picture.edge_rows()):
        said = edge.relation if edge.count == 1 else f"{edge.relation} × {edge.count}"
        yield f'  {edge.consumer} -->|"{escaped(said)}"| {edge.provider}\n'
        if edge.fails:
            failing.append(str(position))
    yield _CLASSES
    if failing:
        yield f"  linkStyle {','.join(failing)} stroke:#b3261e,stroke-width:2px\n"


def _label(row: NodeRow) -> str:
    # A label that began with a number and a full stop, or with a dash, would be a list of Markdown.
    kind = row.kind if row.count == 1 else f"{row.count} × {row.kind}"
    text = f"{row.text} on {row.scope}" if row.scope and row.count > 1 else row.text
    if row.kind == "certificate" and row.count == 1:
        text = row.label.removeprefix("certificate ")
    fate = f"<br/>{row.lifecycle}" if row.lifecycle not in ("", "active") else ""
    if row.impact in ("broken", "blind"):
        fate += f"<br/>{row.impact}"
    return f"{escaped(kind)}<br/>{escaped(text)}{fate}"


def _class(row: NodeRow) -> str:
    if row.lifecycle not in ("", "active"):
        return ":::going"
    return f":::{row.impact}" if row.impact in ("broken", "blind", "degraded") else ""


def escaped(text: str) -> str:
    """Text for inside a quoted label: all but letters, digits and harmless marks is a numeric entity (`#34;`)."""
    short = text if len(text) <= LABEL_LIMIT else text[: LABEL_LIMIT - 1] + "…"
    return "".join(one if one in _PLAIN else f"#{ord(one)};" for one in short)
