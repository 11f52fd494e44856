"""JSON in the node-link form of networkx and D3, and the elements of Cytoscape.

`<`, `>` and `&` are written as `\\u003c` and so on: pasted into a page, the text ends no script.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from json.encoder import encode_basestring_ascii
from typing import Final

from auditor.export.picture import EdgeRow, NodeRow, Picture

VERSION: Final = 1


def _quoted(text: str) -> str:
    said = encode_basestring_ascii(text)
    if "<" in said or ">" in said or "&" in said:
        return said.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    return said


def node_link(picture: Picture) -> Iterator[str]:
    """What `networkx.node_link_graph(…, edges="edges")` reads: nodes, and edges with `source`, `target` and `key`."""
    yield f'{{"directed":true,"multigraph":true,"graph":{{"version":{VERSION}}},\n"nodes":[\n'
    yield from _separated(picture.node_rows(), _node)
    yield '],\n"edges":[\n'
    yield from _separated(picture.edge_rows(), _edge)
    yield "]}\n"


def cytoscape(picture: Picture) -> Iterator[str]:
    """What Cytoscape and `cytoscape({elements})` read. A cluster is a parent node."""
    yield f'{{"format_version":"1.0","data":{{"version":{VERSION}}},"elements":{{"nodes":[\n'
    clusters: dict[str, str] = {}

    def inside(row: NodeRow) -> str:
        parent = ""
        if row.cluster:
            known = row.cluster in clusters
            name = clusters.setdefault(row.cluster, f"c{len(clusters)}")
            if not known:
                parent = f'{{"data":{{"id":"{name}","label":{_quoted(row.cluster)}}}}},\n'
            return f'{parent}{{"data":{_node(row)[:-1]},"parent":"{name}"}}}}'
        return f'{{"data":{_node(row)}}}'

    yield from _separated(picture.node_rows(), inside)
    yield '],"edges":[\n'
    yield from _separated(picture.edge_rows(), lambda row: f'{{"data":{_edge(row)}}}')
    yield "]}}\n"


def _separated(rows: Iterator[NodeRow] | Iterator[EdgeRow], written: Callable[..., str]) -> Iterator[str]:
    first = next(rows, None)
    if first is not None:
        yield written(first)
        for row in rows:
            yield ",\n" + written(row)
        yield "\n"


def _node(row: NodeRow) -> str:
    return (
        f'{{"id":"{row.id}","key":{_quoted(row.key)},"kind":"{row.kind}","text":{_quoted(row.text)},'
        f'"scope":{_quoted(row.scope)},"label":{_quoted(row.label)},"lifecycle":"{row.lifecycle}",'
        f'"impact":"{row.impact}","count":{row.count},"cluster":{_quoted(row.cluster)},"path":{_quoted(row.path)},'
        f'"line":{row.line},"seen":{_quoted(row.seen)}}}'
    )


def _edge(row: EdgeRow) -> str:
    identity, consumer, provider, relation, need, group, confidence, fails, count, path, line, excerpt, seen = row
    known = _kinds(relation, need, confidence, fails)
    return (
        f'{{"source":"{consumer}","target":"{provider}","key":"{identity}","id":"{identity}",{known},'
        f'"group":{_quoted(group)},"count":{count},"path":{_quoted(path)},"line":{line},'
        f'"excerpt":{_quoted(excerpt)},"seen":{_quoted(seen)}}}'
    )


@lru_cache(maxsize=4096)
def _kinds(relation: str, need: str, confidence: str, fails: bool) -> str:
    said = "true" if fails else "false"
    return f'"relation":"{relation}","need":"{need}","confidence":"{confidence}","fails":{said}'
