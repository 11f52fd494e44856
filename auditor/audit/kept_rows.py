"""Single values of an estate as rows of JSON and back: coverage, places, machines.

What reads them raises one of WRONG for a row of another shape.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from enum import Enum
from typing import Any, Final

from auditor.capture.parsed import must_be
from auditor.graph.hosts import HostRecord
from auditor.model import Area, Attribute, Coverage, Lifecycle, Malformed, Outcome, Provenance


class NotKeptError(Exception):
    """An estate that can't be written down: it is read and linked each time."""


def in_host(path: str) -> tuple[str, str]:
    """The source and the path there of a host's file."""
    parts = path.split("/", 2)
    return parts[1], "/" + (parts[2] if len(parts) > 2 else "")


def plain(known: Mapping[str, Attribute]) -> dict[str, object]:
    """Attributes as JSON has them, tuples as lists. Raises NotKeptError."""
    for name, value in known.items():
        if type(name) is not str or not isinstance(value, (str, int, float, tuple)):
            raise NotKeptError
        if isinstance(value, tuple) and not all(isinstance(one, str) for one in value):
            raise NotKeptError
    return dict(known)


def malformed_row(index: int, item: Malformed) -> list[object]:
    """What a collector, by its index, could not read."""
    where = item.where
    return [index, where.line, where.excerpt, where.path, where.api, item.reason, item.effect, item.whole]


def place_row(one: Provenance) -> list[object]:
    """Where something stands."""
    return [one.path, one.line, one.excerpt, one.collected_at, one.api, one.estate]


def place_of(row: list[Any]) -> Provenance:
    """The same of its row."""
    path, line, excerpt, collected_at, api, estate = row
    must_be(str, path, excerpt, api, estate, collected_at or "")
    must_be(int, line)
    return Provenance(path, line, excerpt, collected_at, api, estate)


def coverage_row(one: Coverage) -> list[object]:
    """A line of coverage."""
    return [getattr(one, name) for name in _COVERAGE]


def coverage_of(row: list[Any]) -> Coverage:
    """The same of its row."""
    return Coverage(**{name: kind(value) for (name, kind), value in zip(_COVERAGE.items(), row, strict=True)})


def _exactly(kind: type) -> Callable[[Any], Any]:
    """Makes a value of this type from JSON, or raises one of WRONG."""

    def texts(value: Any) -> tuple[str, ...]:
        must_be(list, value)
        must_be(str, *value)
        return tuple(value)

    def made(value: Any) -> Any:
        if type(value) is not kind:
            raise ValueError(f"no {kind.__name__}")
        return value

    if issubclass(kind, Enum):
        return kind
    return texts if kind is tuple else made


_BLANK: Final = Coverage("", Area.COVERAGE, "", Outcome.OK)
_COVERAGE: Final = {one.name: _exactly(type(getattr(_BLANK, one.name))) for one in fields(Coverage)}
"""The fields of a line of coverage, each with what makes it."""

RECORD: Final = {one.name: str(one.type) for one in fields(HostRecord)}
"""The fields of a machine, each with its type as it is written there."""
PLACED: Final = "dict[str, Provenance | None]"
PLACE: Final = "Provenance | None"
SET: Final = "set[str]"
PLAIN_KINDS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "str": _exactly(str),
    "bool": _exactly(bool),
    "tuple[str, ...]": _exactly(tuple),
    "Lifecycle": Lifecycle,
    "Lifecycle | None": lambda value: None if value is None else Lifecycle(value),
    SET: lambda value: set(_exactly(tuple)(value)),
}
