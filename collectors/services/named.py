"""`named.conf` of BIND 9.18: whose zones a server has, from where it transfers them, and to whom it forwards."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Final, TypeAlias

from auditor.api import (
    Area,
    Attribute,
    Collector,
    Dependency,
    Document,
    Fragment,
    Kind,
    Malformed,
    Parsed,
    Read,
    Ref,
    Relation,
    Where,
    excerpt,
    normal_name,
)
from collectors.services.blocks import Statement, read_blocks
from collectors.services.common import (
    Source,
    base_name,
    is_foreign,
    is_templated,
    limited,
    names_host,
    normal_entry,
    read_source,
    target,
)

_Targets: TypeAlias = list[tuple[Ref | None, Where]]

_PRIMARIES: Final = ("masters", "primaries")
_TYPES: Final = {"master": "primary", "slave": "secondary"}
_HEAD_WORDS: Final = (b"zone ", b"options", b"masters", b"primaries", b"view ", b"include ", b"acl ")
_LIST_DEPTH: Final = 10


class NamedCollector(Collector):
    """The zones of a BIND server, with the servers it transfers them from, and its forwarders.

    Reads
    -----
    `named.conf`, `named.conf.*`, files of `/etc/bind` and `/etc/named` that are in its language. `include` is not
    followed: what it names is a document of its own.

    Yields
    ------
    A service for each zone (and view), with its type. A secondary connects to its primaries: one is enough. The zone's
    file is read, by a secondary written. Forwarders and the servers of stub zones likewise. Names of lists of
    primaries, and files below `directory`, are looked up in all files of the same host. `also-notify` and
    `allow-transfer` are attributes.

    Can't see
    ---------
    Zones added at run time (`rndc addzone`), catalog zones' members, which view a client gets, and keys.
    """

    name: ClassVar[str] = "named"
    title: ClassVar[str] = "Zones and forwarders of BIND"
    area: ClassVar[Area] = Area.NAMES
    provides: ClassVar[frozenset[Relation]] = frozenset({Relation.CONNECTS, Relation.READS, Relation.WRITES})

    def recognizes(self, path: str, head: bytes) -> bool:
        """By the file's name; other files of BIND's directories by what they begin with."""
        if "named" not in path and "bind" not in path:
            return False
        base = base_name(path)
        if b"\x00" in head[:512] or is_foreign(path):
            return False
        if base.startswith("named.conf"):
            return True
        if not ("/bind/" in path or "/named/" in path) or base.startswith(("db.", "rndc", "bind.keys")):
            return False
        return b"{" in head and b"SOA" not in head and any(word in head for word in _HEAD_WORDS)

    def parse(self, document: Document) -> Iterator[Parsed]:
        """Facts of one file, and fragments for what other files of the host complete."""
        source = read_source(document, "named")
        if isinstance(source, Malformed):
            yield source
            return
        yield from limited(source, _named(source))

    def combine(self, fragments: Sequence[Fragment], read: Read) -> Iterator[Parsed]:
        """Named lists of primaries, and files relative to the server's directory."""
        lists: dict[str, _List] = {}
        directories: list[str] = []
        for fragment in fragments:
            if isinstance(fragment.value, _List):
                lists.setdefault(fragment.value.name, fragment.value)
            elif fragment.kind == "directory":
                directories.append(str(fragment.value))
        for fragment in fragments:
            where = replace(fragment.where, path=fragment.path)
            if isinstance(fragment.value, _Lookup):
                for ref in _looked_up(fragment.value.list, lists, 0):
                    yield Dependency(fragment.value.consumer, ref, Relation.CONNECTS, where, group="primaries")
            elif isinstance(fragment.value, _ZoneFile) and len(set(directories)) == 1:
                path = posixpath.normpath(posixpath.join(directories[0], fragment.value.file))
                yield Dependency(fragment.value.consumer, Ref(Kind.PATH, path), fragment.value.relation, where)


@dataclass(frozen=True, slots=True)
class _List:
    """`primaries name { … }`: servers, and names of other lists."""

    name: str
    servers: tuple[Ref, ...]
    lists: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Lookup:
    consumer: Ref
    list: str


@dataclass(frozen=True, slots=True)
class _ZoneFile:
    consumer: Ref
    file: str
    relation: Relation


def _looked_up(name: str, lists: dict[str, _List], depth: int) -> Iterator[Ref]:
    found = lists.get(name)
    if found is not None and depth < _LIST_DEPTH:
        yield from found.servers[:1000]
        for other in found.lists[:20]:
            yield from _looked_up(other, lists, depth + 1)


def _named(source: Source) -> Iterator[Parsed]:
    statements, problem = read_blocks("\n".join(source.lines))
    if problem is not None and not is_templated("\n".join(source.lines)):
        yield Malformed(source.where(problem.line), problem.reason, "named does not load this configuration")
    yield from _level(source, statements, "")


def _level(source: Source, statements: Iterable[Statement], view: str) -> Iterator[Parsed]:
    in_view = f" in view {view}" if view else ""
    for one in statements:
        name = one.words[1] if len(one.words) > 1 else ""
        if is_templated(name):
            continue
        if one.keyword == "view" and not view and one.block is not None:
            yield from _level(source, one.block, excerpt(name))
            yield from _forwarders(source, one, f"named forwarders{f' in view {excerpt(name)}'}")
        elif one.keyword == "options":
            for directory in one.inside("directory"):
                if len(directory.words) > 1:
                    yield Fragment("directory", directory.words[1], source.where(directory.line))
            yield from _forwarders(source, one, "named forwarders")
        elif one.keyword in _PRIMARIES and name:
            servers, others = _servers(source, one.block or ())
            refs = tuple(ref for ref, _ in servers if ref is not None)
            yield Fragment("list", _List(name, refs, tuple(other for other, _ in others)), source.where(one.line))
        elif one.keyword == "zone" and name and one.block is not None:
            yield from _zone(source, one, name, in_view)


def _zone(source: Source, zone: Statement, name: str, in_view: str) -> Iterator[Parsed]:
    values = {one.keyword: one for one in zone.block or ()}
    kind = values["type"].words[1].lower() if "type" in values and len(values["type"].words) > 1 else ""
    kind = _TYPES.get(kind, kind)
    if kind in ("hint", "redirect", "delegation-only"):
        return
    title = f"named zone {normal_name(name) or '.'}{in_view}"
    where = source.where(zone.line)
    attributes: dict[str, Attribute] = {"zone": normal_name(name) or "."}
    if kind:
        attributes["type"] = kind
    file = values["file"].words[1] if "file" in values and len(values["file"].words) > 1 else ""
    if file:
        attributes["file"] = excerpt(file)
    for keyword, key in (("also-notify", "notifies"), ("allow-transfer", "allows")):
        if keyword in values:
            entries = [one.words[0] for one in values[keyword].block or () if one.words and names_host(one.words[0])]
            if found := tuple(dict.fromkeys(normal_entry(one) for one in entries)):
                attributes[key] = found
    yield from source.service(title, where, attributes)
    ref = source.ref(title)
    for keyword in (*_PRIMARIES, "server-addresses"):
        if keyword in values:
            servers, others = _servers(source, values[keyword].block or ())
            for server, place in servers:
                if server is not None:
                    yield Dependency(ref, server, Relation.CONNECTS, place, group="primaries")
            for other, place in others:
                yield Fragment("lookup", _Lookup(ref, other), place)
    yield from _forwarders(source, zone, f"named forwarders of {normal_name(name) or '.'}{in_view}")
    if file and not is_templated(file):
        relation = Relation.WRITES if kind in ("secondary", "stub", "mirror") else Relation.READS
        place = source.where(values["file"].line)
        if file.startswith("/"):
            yield Dependency(ref, Ref(Kind.PATH, posixpath.normpath(file)), relation, place)
        else:
            yield Fragment("file", _ZoneFile(ref, file, relation), place)


def _forwarders(source: Source, holder: Statement, title: str) -> Iterator[Parsed]:
    for one in holder.inside("forwarders"):
        servers, _ = _servers(source, one.block or ())
        yield from source.uses(title, servers, group="forwarders")


def _servers(source: Source, statements: Iterable[Statement]) -> tuple[_Targets, list[tuple[str, Where]]]:
    """Addresses of a list with their ports, and names of other lists."""
    servers: _Targets = []
    others: list[tuple[str, Where]] = []
    for one in statements:
        if not one.words or is_templated(" ".join(one.words)):
            continue
        where = source.where(one.line)
        port = one.words[2] if len(one.words) > 2 and one.words[1].lower() == "port" else ""
        ref = target(one.words[0], port)
        if ref is not None and (":" in one.words[0] or one.words[0].replace(".", "").isdecimal()):
            servers.append((ref, where))
        elif ref is not None:
            others.append((one.words[0], where))
    return servers, others
