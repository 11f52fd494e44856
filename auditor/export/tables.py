"""CSV (RFC 4180): a table of nodes and a table of dependencies, UTF-8, with a heading line.

A spreadsheet takes what begins with `=`, `+`, `-` or `@` for a formula: such a field gets a `'` before it, and so does
one that begins with `'`. Whoever reads the table takes one leading `'` away.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from auditor.export.csvlines import csv_lines
from auditor.export.picture import EdgeRow, NodeRow, Picture

_FIRST = frozenset("=+-@'\uff1d\uff0b\uff0d\uff20")


def nodes(picture: Picture) -> Iterator[str]:
    """The table of nodes."""
    return csv_lines(NodeRow._fields, map(_guarded, picture.node_rows()))


def edges(picture: Picture) -> Iterator[str]:
    """The table of dependencies; `consumer` and `provider` are ids of nodes."""
    return csv_lines(EdgeRow._fields, map(_guarded, picture.edge_rows()))


def guarded(text: str) -> str:
    """A field that no spreadsheet takes for a formula."""
    return f"'{text}" if text[:1] in _FIRST and text else text


def _guarded(row: Iterable[object]) -> Iterator[str]:
    for one in row:
        yield guarded(one) if isinstance(one, str) else str(one).lower()
