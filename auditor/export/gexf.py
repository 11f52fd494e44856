"""GEXF 1.2 draft (https://gexf.net/), as Gephi and networkx read it."""

from __future__ import annotations

from collections.abc import Iterator
from xml.sax.saxutils import quoteattr as _quoted

from auditor.export.picture import Picture

_NODE = ("key", "kind", "text", "scope", "lifecycle", "impact", "cluster", "path", "line", "seen", "count")
_EDGE = ("relation", "need", "group", "confidence", "fails", "path", "line", "excerpt", "seen", "count")
_TYPES = {"line": "integer", "count": "integer", "fails": "boolean"}
_COLOURS = {
    "going": '<viz:color r="43" g="49" b="56"/>',
    "broken": '<viz:color r="179" g="38" b="30"/>',
    "blind": '<viz:color r="224" g="146" b="0"/>',
    "degraded": '<viz:color r="214" g="189" b="107"/>',
}
_FAILS = '<viz:color r="179" g="38" b="30"/>'


def lines(picture: Picture) -> Iterator[str]:
    """The document. Empty attributes are left out; what is going, fails or goes blind has a colour."""
    yield '<?xml version="1.0" encoding="UTF-8"?>\n<gexf xmlns="http://www.gexf.net/1.2draft" '
    yield 'xmlns:viz="http://www.gexf.net/1.2draft/viz" version="1.2">\n'
    yield '<graph mode="static" defaultedgetype="directed">\n'
    for element, names in (("node", _NODE), ("edge", _EDGE)):
        yield f'<attributes class="{element}">\n'
        for at, name in enumerate(names):
            yield f'<attribute id="{at}" title="{name}" type="{_TYPES.get(name, "string")}"/>\n'
        yield "</attributes>\n"
    yield "<nodes>\n"
    for row in picture.node_rows():
        values = [getattr(row, name) for name in _NODE]
        colour = _COLOURS.get("going" if row.lifecycle not in ("", "active") else row.impact, "")
        yield f'<node id="{row.id}" label={_quoted(row.label)}>{_values(values)}{colour}</node>\n'
    yield "</nodes>\n<edges>\n"
    for edge in picture.edge_rows():
        values = [getattr(edge, name) for name in _EDGE]
        ends = f'source="{edge.consumer}" target="{edge.provider}"'
        colour = _FAILS if edge.fails else ""
        yield f'<edge id="{edge.id}" {ends} label="{edge.relation}">{_values(values)}{colour}</edge>\n'
    yield "</edges>\n</graph>\n</gexf>\n"


def _values(values: list[str | int | bool]) -> str:
    pairs = (
        f'<attvalue for="{at}" value={_quoted(str(value).lower() if isinstance(value, bool) else str(value))}/>'
        for at, value in enumerate(values)
        if value != "" and (value != 0 or isinstance(value, bool))
    )
    return f"<attvalues>{''.join(pairs)}</attvalues>"
