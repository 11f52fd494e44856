"""Cypher for Neo4j, Memgraph and their like, in three forms: literals, parameters, or `LOAD CSV`.

All merge on keys: run twice, they change nothing the second time. Relationships have one type, DEPENDS_ON, with the
relation as a property, since a type can't be a parameter.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Final
from urllib.parse import quote

from auditor.export.csvlines import csv_lines
from auditor.export.picture import NodeRow, Picture

BATCH: Final = 500
"""Rows of one statement."""

_NODE: Final = (
    "key",
    "kind",
    "text",
    "scope",
    "label",
    "lifecycle",
    "impact",
    "count",
    "cluster",
    "path",
    "line",
    "seen",
)
_EDGE: Final = (
    "consumer", "provider", "relation", "need", "group", "confidence", "fails", "count",
    "path", "line", "excerpt", "seen",
)  # fmt: skip
_NUMBERS: Final = ("count", "line")
# What a reader of CSV, of Cypher or a spreadsheet might take for more than text. `%` last when it is read again.
_CODES: Final = {"\\": "%5C", '"': "%22", "'": "%27", "=": "%3D", "+": "%2B", "-": "%2D", "@": "%40", "%": "%25"}
_ENCODED: Final = str.maketrans(_CODES)

_CONSTRAINT: Final = "CREATE CONSTRAINT auditor_node_key IF NOT EXISTS FOR (n:AuditorNode) REQUIRE n.key IS UNIQUE;\n"
_MERGE_NODE: Final = "MERGE (n:AuditorNode {key: row.key}) SET n += row;\n"
_MERGE_EDGE: Final = (
    "MATCH (a:AuditorNode {key: row.consumer}), (b:AuditorNode {key: row.provider})\n"
    "MERGE (a)-[r:DEPENDS_ON {relation: row.relation, need: row.need, group: row.group}]->(b)\n"
    "SET r.confidence = row.confidence, r.fails = row.fails, r.count = row.count, r.path = row.path, "
    "r.line = row.line, r.excerpt = row.excerpt, r.seen = row.seen;\n"
)


def statements(picture: Picture) -> Iterator[str]:
    """A script with all values in it, in batches of 500 rows."""
    yield _CONSTRAINT
    nodes = (_map(_NODE, _of_node(row)) for row in picture.node_rows())
    edges = (_map(_EDGE, values) for values in _edge_values(picture))
    for rows, merge in ((nodes, _MERGE_NODE), (edges, _MERGE_EDGE)):
        while batch := list(islice(rows, BATCH)):
            yield "UNWIND [\n" + ",\n".join(batch) + f"\n] AS row\n{merge}"


def with_parameters(_picture: Picture) -> Iterator[str]:
    """The script that takes its rows from the parameters `nodes` and `edges`."""
    yield _CONSTRAINT
    yield f"UNWIND $nodes AS row\n{_MERGE_NODE}"
    yield f"UNWIND $edges AS row\n{_MERGE_EDGE}"


def parameters(picture: Picture) -> Iterator[str]:
    """The parameters, as JSON: `{"nodes": […], "edges": […]}`."""
    nodes = (dict(zip(_NODE, _of_node(row), strict=True)) for row in picture.node_rows())
    edges = (dict(zip(_EDGE, values, strict=True)) for values in _edge_values(picture))
    for head, rows in (('{"nodes":[\n', nodes), ('],\n"edges":[\n', edges)):
        yield head
        for position, row in enumerate(rows):
            yield (",\n" if position else "") + json.dumps(row)
        yield "\n"
    yield "]}\n"


def load_csv(nodes: str, edges: str) -> Iterator[str]:
    """The script that reads two tables: `nodes` and `edges` are their file names in Neo4j's import directory."""
    yield _CONSTRAINT
    for table, names, merge in ((nodes, _NODE, _MERGE_NODE), (edges, _EDGE, _MERGE_EDGE)):
        # A URL: the rest of the name is encoded.
        yield f"LOAD CSV WITH HEADERS FROM {literal('file:///' + quote(table))} AS line\n"
        yield f"WITH {_decoded(names)} AS row\n{merge}"


def node_table(picture: Picture) -> Iterator[str]:
    """The nodes for `load_csv`: what is not plain text is percent-encoded, and decoded by the script."""
    return csv_lines(_NODE, (_encoded(_of_node(row)) for row in picture.node_rows()))


def edge_table(picture: Picture) -> Iterator[str]:
    """The dependencies for `load_csv`; their ends are keys of nodes."""
    return csv_lines(_EDGE, map(_encoded, _edge_values(picture)))


def literal(text: str) -> str:
    """A string literal of Cypher."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _of_node(row: NodeRow) -> tuple[str | int, ...]:
    return row[1:]


def _edge_values(picture: Picture) -> Iterator[tuple[str | int | bool, ...]]:
    """The edges with keys of nodes instead of ids: these alone are the same in the next export."""
    for row in picture.edge_rows():
        yield (picture.key(int(row.consumer[1:])), picture.key(int(row.provider[1:])), *row[3:])


def _map(names: Sequence[str], values: Iterable[str | int | bool]) -> str:
    return "{" + ", ".join(f"{name}: {_value(value)}" for name, value in zip(names, values, strict=True)) + "}"


def _value(value: str | int | bool) -> str:
    return literal(value) if isinstance(value, str) else str(value).lower()


def _decoded(names: Sequence[str]) -> str:
    return "{" + ", ".join(f"{name}: {_decode(name)}" for name in names) + "}"


def _decode(name: str) -> str:
    field = f"line.`{name}`"
    if name in _NUMBERS:
        return f"toInteger({field})"
    if name == "fails":
        return f"{field} = 'true'"
    # An empty field is null to LOAD CSV, and MERGE takes no null.
    said = f"coalesce({field}, '')"
    for character, code in _CODES.items():
        said = f"replace({said}, '{code}', {literal(character)})"
    return said


def _encoded(row: Iterable[str | int | bool]) -> Iterator[str]:
    for one in row:
        yield one.translate(_ENCODED) if isinstance(one, str) else str(one).lower()
