"""GraphML (http://graphml.graphdrawing.org/), as networkx, igraph, yEd, Gephi and Cytoscape read it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from auditor.export.picture import Picture

_HEAD = """\
<?xml version="1.0" encoding="UTF-8"?>
<graphml xmlns="http://graphml.graphdrawing.org/xmlns" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" \
xsi:schemaLocation="http://graphml.graphdrawing.org/xmlns http://graphml.graphdrawing.org/xmlns/1.0/graphml.xsd">
"""
_NODE_KEYS = ("key", "kind", "text", "scope", "label", "lifecycle", "impact", "cluster", "path", "seen")
_EDGE_KEYS = ("relation", "need", "group", "confidence", "path", "excerpt", "seen")


def lines(picture: Picture) -> Iterator[str]:
    """The document. Empty attributes are left out; `count` 1 too."""
    yield _HEAD
    for prefix, element, names in (("n", "node", _NODE_KEYS), ("e", "edge", _EDGE_KEYS)):
        typed = [*((name, "string") for name in names), ("line", "int"), ("count", "int")]
        if prefix == "e":
            typed.append(("fails", "boolean"))
        for name, kind in typed:
            yield f'<key id="{prefix}_{name}" for="{element}" attr.name="{name}" attr.type="{kind}"/>\n'
    yield '<graph id="estate" edgedefault="directed">\n'
    for row in picture.node_rows():
        texts = zip(_NODE_KEYS, (*row[1:8], row.cluster, row.path, row.seen), strict=True)
        data = "".join(f'<data key="n_{name}">{_quoted(text)}</data>' for name, text in texts if text)
        yield f'<node id="{row.id}">{data}{_numbers("n", row.line, row.count)}</node>\n'
    for edge in picture.edge_rows():
        data = _kinds(edge.relation, edge.need, edge.confidence, edge.fails)
        if edge.group:
            data += f'<data key="e_group">{_quoted(edge.group)}</data>'
        if edge.path:
            data += f'<data key="e_path">{_quoted(edge.path)}</data>'
        if edge.excerpt:
            data += f'<data key="e_excerpt">{_quoted(edge.excerpt)}</data>'
        if edge.seen:
            data += f'<data key="e_seen">{_quoted(edge.seen)}</data>'
        numbers = _numbers("e", edge.line, edge.count)
        yield f'<edge id="{edge.id}" source="{edge.consumer}" target="{edge.provider}">{data}{numbers}</edge>\n'
    yield "</graph>\n</graphml>\n"


def _quoted(text: str) -> str:
    if "&" in text or "<" in text or ">" in text:
        return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return text


@lru_cache(maxsize=4096)
def _kinds(relation: str, need: str, confidence: str, fails: bool) -> str:
    return (
        f'<data key="e_relation">{relation}</data><data key="e_need">{need}</data>'
        f'<data key="e_confidence">{confidence}</data><data key="e_fails">{str(fails).lower()}</data>'
    )


def _numbers(prefix: str, line: int, count: int) -> str:
    first = f'<data key="{prefix}_line">{line}</data>' if line else ""
    return f'{first}<data key="{prefix}_count">{count}</data>' if count > 1 else first
