"""An estate that was linked as named parts, columns of numbers and JSON, and back."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from auditor.api import Collector
from auditor.audit.kept_rows import (
    PLACE,
    PLACED,
    PLAIN_KINDS,
    RECORD,
    SET,
    NotKeptError,
    coverage_of,
    coverage_row,
    in_host,
    malformed_row,
    place_of,
    place_row,
    plain,
)
from auditor.audit.ready import Ready
from auditor.capture.pack import PackTree
from auditor.capture.parsed import attributes_of, must_be
from auditor.capture.reading import Bound, Reading, Template, Templates, read_again
from auditor.capture.tree import File
from auditor.graph.columns import KINDS, Csr, Ints, edge_columns
from auditor.graph.hosts import HostRecord, HostTable
from auditor.graph.resolved import EvidenceKey, Resolved
from auditor.model import Attribute, Capture, Malformed, Outcome, Provenance, Where

_DIGEST: Final = 16
_TEXT, _CLAIMED = 1, 2
_OUTCOMES: Final = tuple(Outcome)


def written(ready: Ready) -> dict[str, bytes]:
    """All parts of an estate, by name. Raises NotKeptError, or one of WRONG, for what can't be written down."""
    return _Writer(ready).parts()


def read(parts: dict[str, bytes], path: Path, collectors: Sequence[Collector], templates: Templates) -> Ready:
    """The estate that lies at a path, of its parts, which are used up.

    Raises PackError, and one of WRONG for parts that don't fit.
    """
    return _Reader(parts, collectors, templates).read(path)


class _Table(dict[str, int]):
    """Texts by number, in the order in which they come."""

    def __missing__(self, text: str) -> int:
        if type(text) is not str:
            raise NotKeptError
        number = self[text] = len(self)
        return number

    def maybe(self, text: str | None) -> int:
        """The number of a text; -1 for none."""
        return -1 if text is None else self[text]


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode("ascii")


def _column(numbers: Iterable[int], kind: str = "<i4") -> bytes:
    return np.array(numbers if isinstance(numbers, np.ndarray) else list(numbers), kind).tobytes()


class _Writer:
    """An estate as named parts. `parts` raises NotKeptError, or one of WRONG, for what can't be written down."""

    def __init__(self, ready: Ready) -> None:
        self._ready = ready
        self._parts: dict[str, bytes] = {}
        self._words, self._paths, self._inner = _Table(), _Table(), _Table()
        self._places: dict[Provenance, int] = {}

    def parts(self) -> dict[str, bytes]:
        """All parts, by name."""
        self._documents()
        self._records()
        self._hosts()
        self._graph()
        self._parts["words"] = _json(list(self._words))
        self._parts["inner"] = _json(list(self._inner))
        self._parts["paths"] = _json(list(self._paths)[len(self._ready.reading.bound) :])
        return self._parts

    def _documents(self) -> None:
        reading, tree = self._ready.reading, self._ready.tree
        if reading.failures or any(one.gap for one in reading.combined) or reading.again is not None:
            raise NotKeptError
        sources = {source: number for number, source in enumerate(tree.sources)}
        templates: dict[int, int] = {}
        distinct: list[Template] = []
        columns: list[list[int]] = [[], [], [], [], []]
        for at, (file, template, collected) in enumerate(reading.bound):
            if (
                file.digest
                or file.estate_path != (f"hosts/{file.source}{file.path}" if file.source else file.path)
                or collected != tree.collected(file.estate_path)
                or self._paths[file.estate_path] != at
            ):
                raise NotKeptError
            number = templates.setdefault(id(template), len(distinct))
            if number == len(distinct):
                distinct.append(template)
            row = (sources[file.source] if file.source else -1, self._inner[file.path], number, file.size)
            for column, value in zip(columns, row, strict=False):
                column.append(value)
        columns[4] = [self._paths[bound.file.real] if bound.file.real else -1 for bound in reading.bound]
        names = ("source", "path", "template", "size", "real")
        for name, values in zip(names, columns, strict=True):
            self._parts[f"bound {name}"] = _column(values, "<i8" if name == "size" else "<i4")
        if any(one.gaps or len(one.digest) != _DIGEST for one in distinct):
            raise NotKeptError
        self._parts["template path"] = _column(self._inner[one.path] for one in distinct)
        self._parts["template size"] = _column((one.size for one in distinct), "<i8")
        self._parts["template sealed"] = _column(self._words[one.sealed] for one in distinct)
        flags = (one.text * _TEXT + one.claimed * _CLAIMED for one in distinct)
        self._parts["template flags"] = _column(flags, "u1")
        self._parts["template digest"] = b"".join(one.digest for one in distinct)
        self._parts["template readers"] = _json([one.readers for one in distinct])
        broken = {number: one.malformed for number, one in enumerate(distinct) if one.malformed}
        self._parts["malformed"] = _json(
            [[number, [malformed_row(*pair) for pair in pairs]] for number, pairs in broken.items()]
        )
        self._parts["malformed together"] = _json(
            [[path, *malformed_row(index, item)] for path, index, item in reading.malformed_together]
        )

    def _records(self) -> None:
        reading, tree = self._ready.reading, self._ready.tree
        told = len(tree.coverage)
        if told and reading.coverage[-told:] != tree.coverage:
            raise NotKeptError
        self._parts["tree"] = _json(
            {
                "sources": list(tree.sources),
                "skipped": tree.skipped,
                "recorded": tree.recorded,
                "collected_at": tree.collected_at.isoformat() if tree.collected_at is not None else None,
                "told": told,
            }
        )
        self._parts["coverage"] = _json([coverage_row(one) for one in reading.coverage])
        captures = tree.captures
        inside = [in_host(path) if one.source else ("", path) for path, one in captures.items()]
        if inside != [(one.source, one.path) for one in captures.values()]:
            raise NotKeptError
        self._parts["capture path"] = _json(list(captures))
        self._parts["capture inside"] = _column((bool(one.source) for one in captures.values()), "u1")
        self._parts["capture outcome"] = _column((_OUTCOMES.index(one.outcome) for one in captures.values()), "u1")
        self._parts["capture time"] = _column(self._words.maybe(one.collected_at) for one in captures.values())
        self._parts["capture detail"] = _column(self._words[one.detail] for one in captures.values())

    def _hosts(self) -> None:
        hosts = self._ready.hosts
        records = [
            [self._said(kind, getattr(one, name)) for name, kind in RECORD.items()] for one in hosts.records.values()
        ]
        self._parts["hosts"] = _json(
            {
                "domains": hosts.domains,
                "records": records,
                "indexes": hosts.indexes(),
                "before": sorted(self._ready.before),
                "places": [place_row(one) for one in self._places],
            }
        )

    def _said(self, kind: str, value: Any) -> object:
        """A field of a machine as JSON, by its type."""
        if kind == PLACED:
            return [list(value), [self._place(place) for place in value.values()]]
        if kind == PLACE:
            return self._place(value)
        return sorted(value) if kind == SET else value

    def _place(self, place: Provenance | None) -> int:
        return -1 if place is None else self._places.setdefault(place, len(self._places))

    def _graph(self) -> None:
        linked = self._ready.linked
        parts = self._parts
        texts, groups = _Table(), _Table()
        parts["node kind"] = _column(linked.kinds, "u1")
        parts["node text"] = _column(texts[text] for text in linked.texts)
        parts["node scope"] = _column(linked.scope_ids)
        for number, column in enumerate(linked.edges):
            parts[f"edge {number}"] = _column(column, "u1" if column.dtype == np.uint8 else "<i4")
        parts["group consumer"] = _column(linked.group_consumer)
        parts["group name"] = _column(groups[name] for name in linked.group_names)
        parts["texts"], parts["groups"] = _json(list(texts)), _json(list(groups))
        parts["scopes"], parts["domains"] = _json(linked.scope_table), _json(sorted(linked.domains))
        rows: dict[str, int] = {}
        of = [rows.setdefault(json.dumps(plain(known)), len(rows)) for known in linked.attributes.values()]
        parts["attributes"] = b"[" + ",".join(rows).encode("ascii") + b"]"
        parts["attributes node"] = _column(linked.attributes)
        parts["attributes row"] = _column(of)
        defined = linked.entity_evidence.rows
        parts["defined count"] = _column(np.diff(defined.start))
        parts["defined by"] = _column(defined.items)
        wheres: dict[int, int] = {}
        distinct: list[Where] = []
        found: tuple[list[int], list[int], list[int]] = ([], [], [])
        for path, where, when in linked.evidence.first:
            number = wheres.setdefault(id(where), len(distinct))
            if number == len(distinct):
                distinct.append(where)
            found[0].append(self._paths[path])
            found[1].append(number)
            found[2].append(self._words.maybe(when))
        for name, values in zip(("path", "where", "time"), found, strict=True):
            parts[f"evidence {name}"] = _column(values)
        parts["where line"] = _column(one.line for one in distinct)
        for name in ("excerpt", "path", "api"):
            parts[f"where {name}"] = _column(self._words[getattr(one, name)] for one in distinct)


class _Evidence(Sequence[EvidenceKey]):
    """Evidence in columns: each is made when it is asked for."""

    def __init__(self, paths: list[str], words: list[str], columns: Sequence[Ints], where: Sequence[Ints]) -> None:
        self._paths, self._words = paths, words
        self._path, self._where, self._time = (column.data for column in columns)
        self._line, self._excerpt, self._inner, self._api = (column.data for column in where)

    def __len__(self) -> int:
        return len(self._path)

    def __getitem__(self, index: Any) -> Any:
        where, when, words = self._where[index], self._time[index], self._words
        place = Where(
            self._line[where], words[self._excerpt[where]], words[self._inner[where]], words[self._api[where]]
        )
        return self._paths[self._path[index]], place, None if when < 0 else words[when]


class _Reader:
    """Parts as an estate. Each part is let go when it was read. `read` raises one of WRONG for what does not fit."""

    def __init__(self, parts: dict[str, bytes], collectors: Sequence[Collector], templates: Templates) -> None:
        self._parts, self._collectors, self._templates = parts, collectors, templates
        self._words = self._texts("words")
        self._paths: list[str] = []

    def read(self, path: Path) -> Ready:
        """The estate that lies at a path. Raises PackError, too."""
        known = json.loads(self._parts.pop("tree"))
        must_be(str, *known["sources"], *known["skipped"])
        must_be(int, known["told"], *known["skipped"].values())
        must_be(bool, known["recorded"])
        coverage = [coverage_of(row) for row in json.loads(self._parts.pop("coverage"))]
        told = coverage[len(coverage) - known["told"] :]
        when = datetime.fromisoformat(known["collected_at"]) if known["collected_at"] is not None else None
        if when is not None and when.tzinfo is None:
            raise ValueError("a time without a zone")
        captures = self._captures()
        tree = PackTree.again(
            path, known["sources"], captures, told, known["skipped"], recorded=known["recorded"], collected_at=when
        )
        reading = Reading(tree, self._collectors, coverage=coverage)
        self._documents(reading)
        for row in json.loads(self._parts.pop("malformed together")):
            must_be(str, row[0])
            reading.malformed_together.append((row[0], *self._malformed(row[1:])))
        reading.again = partial(_again, reading, self._templates)
        hosts, before = self._hosts()
        return Ready(tree, reading, hosts, self._graph(hosts), before)

    def _texts(self, name: str) -> list[str]:
        found = json.loads(self._parts.pop(name))
        if type(found) is not list or not {*map(type, found)} <= {str}:
            raise ValueError(name)
        return found

    def _column(self, name: str, low: int = 0, high: int = 1 << 31, kind: str = "<i4") -> Any:
        """A column as an array of its own, in the machine's order of bytes."""
        found = np.frombuffer(self._parts.pop(name), kind)
        if len(found) and (int(found.min()) < low or int(found.max()) >= high):
            raise ValueError(name)
        return found.astype({"<i4": np.int32, "<i8": np.int64, "u1": np.uint8}[kind])

    def _named(self, name: str, texts: list[str], *, none: bool = False) -> list[str | None]:
        """A column of numbers of texts, as these; None for -1, where that may be."""
        numbers = self._column(name, -1 if none else 0, len(texts)).tolist()
        return list(map([*texts, None].__getitem__, numbers))

    def _captures(self) -> dict[str, Capture]:
        paths = self._texts("capture path")
        columns = (
            paths,
            self._column("capture inside", high=2, kind="u1").tolist(),
            self._column("capture outcome", high=len(_OUTCOMES), kind="u1").tolist(),
            self._named("capture time", self._words, none=True),
            self._named("capture detail", self._words),
        )
        return {
            path: Capture(path, *(in_host(path) if inside else ("", path)), _OUTCOMES[outcome], time, detail or "")
            for path, inside, outcome, time, detail in zip(*columns, strict=True)
        }

    def _documents(self, reading: Reading) -> None:
        inner = self._texts("inner")
        extra = self._texts("paths")
        sources = list(reading.tree.sources)
        templates = self._documents_alike(inner)
        of = self._column("bound source", -1, len(sources)).tolist()
        at = self._column("bound path", 0, len(inner)).tolist()
        paths = self._paths
        for source, path in zip(of, at, strict=True):
            paths.append(f"hosts/{sources[source]}{inner[path]}" if source >= 0 else inner[path])
        count = len(paths)
        paths += extra
        files = map(
            File,
            paths[:count],
            map([*sources, ""].__getitem__, of),
            map(inner.__getitem__, at),
            self._column("bound size", 0, 1 << 62, "<i8").tolist(),
            map([*paths, ""].__getitem__, self._column("bound real", -1, len(paths)).tolist()),
        )
        numbers = self._column("bound template", 0, len(templates)).tolist()
        captures = reading.tree.captures
        times = map(reading.tree.collected, paths[:count]) if captures else [None] * count
        reading.bound = list(map(Bound, files, map(templates.__getitem__, numbers), times))
        if not count == len(numbers) == len(reading.bound):
            raise ValueError("bound")
        broken = {number for number, one in enumerate(templates) if one.malformed}
        for number, bound in zip(numbers, reading.bound, strict=True) if broken else ():
            if number in broken:
                where = bound.file.estate_path
                reading.malformed += [(where, index, item) for index, item in bound.template.malformed]

    def _documents_alike(self, inner: list[str]) -> list[Template]:
        digests = self._parts.pop("template digest")
        readers = json.loads(self._parts.pop("template readers"))
        columns = (
            self._column("template path", 0, len(inner)).tolist(),
            self._column("template size", 0, 1 << 62, "<i8").tolist(),
            self._column("template flags", 0, 4, "u1").tolist(),
            self._named("template sealed", self._words),
            readers,
        )
        found = []
        for number, (path, size, flags, sealed, indexes) in enumerate(zip(*columns, strict=True)):
            digest = digests[number * _DIGEST : (number + 1) * _DIGEST]
            one = Template(inner[path], digest, size, bool(flags & _TEXT), sealed or "", claimed=bool(flags & _CLAIMED))
            one.readers = tuple(map(self._collector, indexes))
            found.append(one)
        if len(digests) != len(found) * _DIGEST:
            raise ValueError("template digest")
        for number, rows in json.loads(self._parts.pop("malformed")):
            must_be(int, number)
            found[number].malformed = tuple(map(self._malformed, rows))
        return found

    def _collector(self, index: object) -> int:
        if type(index) is not int or not 0 <= index < len(self._collectors):
            raise ValueError("no such collector")
        return index

    def _malformed(self, row: list[Any]) -> tuple[int, Malformed]:
        index, line, excerpt, path, api, reason, effect, whole = row
        must_be(int, line)
        must_be(str, excerpt, path, api, reason, effect)
        must_be(bool, whole)
        return self._collector(index), Malformed(Where(line, excerpt, path, api), reason, effect, whole)

    def _hosts(self) -> tuple[HostTable, frozenset[str]]:
        known = json.loads(self._parts.pop("hosts"))
        places: list[Provenance | None] = [*map(place_of, known["places"]), None]

        def place(number: object) -> Provenance | None:
            if type(number) is not int or number < -1:
                raise ValueError("no such place")
            return places[number]

        def placed(value: list[Any]) -> dict[str, Provenance | None]:
            names, numbers = value
            must_be(str, *names)
            return dict(zip(names, map(place, numbers), strict=True))

        makers: list[Callable[[Any], Any]] = [
            {PLACED: placed, PLACE: place}.get(kind) or PLAIN_KINDS[kind] for kind in RECORD.values()
        ]
        records: dict[str, HostRecord] = {}
        for row in known["records"]:
            record = HostRecord(*[make(value) for make, value in zip(makers, row, strict=True)])
            records[record.name] = record
        by_name, by_short, by_address = known["indexes"]
        if not {*by_name.values()} <= records.keys():
            raise ValueError("a name of no machine")
        for index in (by_short, by_address):
            if not all(type(names) is list and records.keys() >= {*names} for names in index.values()):
                raise ValueError("a name of no machine")
        must_be(str, *known["domains"], *known["before"])
        return HostTable(tuple(known["domains"]), records, by_name, by_short, by_address), frozenset(known["before"])

    def _graph(self, hosts: HostTable) -> Resolved:
        texts, groups, scopes = self._texts("texts"), self._texts("groups"), self._texts("scopes")
        kinds = self._column("node kind", 0, len(KINDS), "u1")
        names = self._named("node text", texts)
        scope_ids = self._column("node scope", 0, len(scopes))
        size = len(kinds)
        owners = self._column("group consumer", 0, size)
        group_names = self._named("group name", groups)
        if not size == len(names) == len(scope_ids) or len(owners) != len(group_names) or scopes[0]:
            raise ValueError("nodes and groups")
        columns: list[NDArray[Any]] = [self._column(f"edge {number}", -1) for number in (0, 1)]
        columns += [self._column(f"edge {number}", kind="u1") for number in (2, 3)]
        columns += [self._column(f"edge {number}", -1) for number in (4, 5)]
        columns.append(self._column("edge 6", kind="u1"))
        evidence = self._evidence()
        if len(columns[5]) and int(columns[5].max()) >= len(evidence):
            raise ValueError("no such evidence")
        return Resolved(
            hosts,
            self._texts("domains"),
            kinds,
            _all_there(names),
            scope_ids,
            scopes,
            edge_columns(columns, size, len(owners)),
            owners,
            _all_there(group_names),
            self._attributes(size),
            self._defined(size, len(evidence)),
            evidence,
        )

    def _attributes(self, size: int) -> dict[int, Mapping[str, Attribute]]:
        rows = list(map(attributes_of, json.loads(self._parts.pop("attributes"))))
        nodes = self._column("attributes node", 0, size).tolist()
        of = self._column("attributes row", 0, len(rows)).tolist()
        return dict(zip(nodes, map(rows.__getitem__, of), strict=True))

    def _defined(self, size: int, evidence: int) -> Csr:
        start = np.zeros(size + 1, np.int64)
        np.cumsum(self._column("defined count"), out=start[1:])
        places = self._column("defined by", 0, evidence)
        if int(start[-1]) != len(places):
            raise ValueError("defined")
        return Csr(start, places)

    def _evidence(self) -> _Evidence:
        words = len(self._words)
        where = [self._column("where line")]
        where += [self._column(f"where {name}", 0, words) for name in ("excerpt", "path", "api")]
        columns = [
            self._column("evidence path", 0, len(self._paths)),
            self._column("evidence where", 0, len(where[0])),
            self._column("evidence time", -1, words),
        ]
        if len({*map(len, where)}) != 1 or len({*map(len, columns)}) != 1:
            raise ValueError("evidence")
        return _Evidence(self._paths, self._words, columns, where)


def _again(reading: Reading, templates: Templates, bound: Bound) -> Template:
    return read_again(reading, bound, templates)


def _all_there(texts: list[str | None]) -> list[str]:
    return texts  # type: ignore[return-value]
