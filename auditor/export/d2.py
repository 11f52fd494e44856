"""D2 (https://d2lang.com): a diagram as text."""

from __future__ import annotations

from collections.abc import Iterator

from auditor.export.picture import Picture

LABEL_LIMIT = 80
"""Characters of a label."""

_CLASSES = """\
direction: right
classes: {
  going: {style: {fill: "#3c3c3c"; font-color: "#ffffff"}}
  broken: {style: {fill: "#f8c9c4"; stroke: "#b3261e"}}
  blind: {style: {fill: "#fbe0a6"; stroke: "#8a6100"}}
  degraded: {style: {fill: "#fdf3c7"; stroke: "#8a6100"}}
  fails: {style: {stroke: "#b3261e"; stroke-width: 3}}
}
"""


def lines(picture: Picture) -> Iterator[str]:
    """The diagram. A cluster is a container."""
    yield _CLASSES
    clusters: dict[str, str] = {}
    inside: dict[str, str] = {}
    for row in picture.node_rows():
        name = row.id
        if row.cluster:
            known = row.cluster in clusters
            container = clusters.setdefault(row.cluster, f"c{len(clusters)}")
            if not known:
                yield f"{container}: {quoted(row.cluster)}\n"
            name = inside[row.id] = f"{container}.{row.id}"
        style = "going" if row.lifecycle not in ("", "active") else row.impact
        look = f" {{class: {style}}}" if style not in ("none", "mentioned") else ""
        yield f"{name}: {quoted(row.label)}{look}\n"
    for edge in picture.edge_rows():
        consumer, provider = (inside.get(end, end) for end in (edge.consumer, edge.provider))
        said = edge.relation if edge.count == 1 else f"{edge.relation} × {edge.count}"
        yield f"{consumer} -> {provider}: {quoted(said)}{' {class: fails}' if edge.fails else ''}\n"


def quoted(text: str) -> str:
    """A single-quoted string, in which D2 knows no escapes and substitutes nothing; `'` is doubled."""
    short = text if len(text) <= LABEL_LIMIT else text[: LABEL_LIMIT - 1] + "…"
    return "'" + short.replace("'", "''") + "'"
