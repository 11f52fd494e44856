"""NFS and the automounter: `/etc/exports` (exports(5), nfs-utils 2.6), autofs maps (auto.master(5), autofs(5))."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Final

from auditor.api import (
    Area,
    Attribute,
    Collector,
    Dependency,
    Document,
    Entity,
    Fragment,
    Kind,
    Malformed,
    Parsed,
    Read,
    Ref,
    Relation,
    Where,
    excerpt,
    host_ref,
)
from collectors.services.common import (
    LINE_LIMIT,
    Source,
    base_name,
    is_foreign,
    is_templated,
    limited,
    read_source,
)

_EXPORT_PATH: Final = re.compile(r'"([^"]+)"|(\S+)')
_CLIENT: Final = re.compile(r"([^\s()]+)?\(([^)]*)\)|([^\s()]+)")
_WEIGHT: Final = re.compile(r"\(\d+\)")
_NO_MAP: Final = (".conf", ".mount", ".automount", ".bak", ".txt", ".css", ".cfg", ".xml", ".csv", ".toml")
_SPECIAL: Final = frozenset({"-hosts", "-null"})


class NfsCollector(Collector):
    """Which directories are exported to whom, and what the automounter mounts from where.

    Reads
    -----
    `/etc/exports`, `/etc/exports.d/*.exports`; `/etc/auto.master`, `/etc/auto.master.d/*.autofs` and map files called
    `auto.*`, or whatever the master map calls them by an absolute path (Sun format: replicated servers, weights,
    multi-mounts, `&`, continuation lines).

    Yields
    ------
    A service for each export, with the clients as the attribute `allows` (the server needs none of them). A mount for
    each entry of a map, below the mount point that the master map gives it; it depends on its servers, of which one
    is enough. A wildcard entry is a mount of the whole mount point.

    Can't see
    ---------
    Maps in LDAP, NIS or programs, `-hosts` maps, variables in locations, and which clients mount an export right now
    (each client's own files say so). What holds for clients of a wildcard or netgroup.
    """

    name: ClassVar[str] = "nfs"
    title: ClassVar[str] = "NFS exports and automounter maps"
    # Neither the area nor the relation of mounts: exports and maps do not show what is mounted, as fstab does.
    area: ClassVar[Area] = Area.CONFIGURATION
    provides: ClassVar[frozenset[Relation]] = frozenset({Relation.READS})

    def recognizes(self, path: str, head: bytes) -> bool:
        """By the file's name; a map in a tree also needs a location in its head."""
        if "exports" not in path and "auto" not in path:
            return False
        form = _form(path)
        if form == "map" and not path.startswith("/etc/"):
            return b":/" in head and not head.startswith(b"#!")
        return bool(form) and not head.startswith(b"#!") and b"\x00" not in head[:512]

    def parse(self, document: Document) -> Iterator[Parsed]:
        """Exports as they stand; lines of maps as fragments, which mean something with their master map."""
        source = read_source(document, "the program")
        if isinstance(source, Malformed):
            yield source
            return
        form = _form(document.path)
        read = {"exports": _exports, "master": _master}.get(form, _map)
        yield from limited(source, read(source))

    def combine(self, fragments: Sequence[Fragment], read: Read) -> Iterator[Parsed]:
        """The entries of each map, at every mount point that a master map of the source gives to it."""
        masters: dict[str, list[str]] = {}
        for fragment in fragments:
            if isinstance(fragment.value, _Master):
                masters.setdefault(_map_name(fragment.value.map), []).append(fragment.value.point)
        yield from _elsewhere(fragments, read)
        for fragment in fragments:
            if isinstance(fragment.value, _Entry):
                where = replace(fragment.where, path=fragment.path)
                base = _map_name(fragment.path)
                for point in masters.get(base, [""]):
                    yield from _mounts(point, base, fragment.value, where)


def _elsewhere(fragments: Sequence[Fragment], read: Read) -> Iterator[Parsed]:
    """Maps that a master map names by their path, and whose own name does not show what they are."""
    for fragment in fragments:
        if not isinstance(fragment.value, _Master):
            continue
        path = fragment.value.map.rpartition(":")[2]
        content = read(path) if path.startswith("/") and not _form(path) else None
        if content is None:
            continue
        source = read_source(Document(path, content), "automount")
        if isinstance(source, Malformed):
            yield replace(source, where=replace(source.where, path=path))
            continue
        for fact in limited(source, _map(source)) if not source.lines[0].startswith("#!") else ():
            where = replace(fact.where, path=path)
            if isinstance(fact, Fragment) and isinstance(fact.value, _Entry):
                yield from _mounts(fragment.value.point, base_name(path), fact.value, where)
            elif isinstance(fact, Malformed):
                yield replace(fact, where=where)


@dataclass(frozen=True, slots=True)
class _Master:
    point: str
    map: str


@dataclass(frozen=True, slots=True)
class _Entry:
    """A line of a map: the key, and for each offset its kind of file system and locations."""

    key: str
    parts: tuple[tuple[str, str, tuple[str, ...]], ...]


def _form(path: str) -> str:
    base = base_name(path)
    if is_foreign(path):
        return ""
    if base == "exports" or (base.endswith(".exports") and "/exports.d/" in path):
        return "exports"
    if base in ("auto.master", "auto_master") or (base.endswith(".autofs") and "/auto.master.d/" in path):
        return "master"
    if base.startswith(("auto.", "auto_")) and not base.endswith(_NO_MAP):
        return "map" if "." not in base[5:] else ""
    return ""


def _map_name(text: str) -> str:
    """The last part of a map's path or name, without `file:` and `sun:` before it."""
    return base_name(text.rpartition(":")[2])


def _logical(source: Source) -> Iterator[tuple[int, str]]:
    """Lines with those that a backslash continues, comments out."""
    number, kept = 0, ""
    for at, line in enumerate(source.lines[:LINE_LIMIT], start=1):
        if not kept:
            number = at
        text = kept + line.split("#", 1)[0] if not is_templated(line) else ""
        if text.endswith("\\"):
            kept = text[:-1] + " "
            continue
        kept = ""
        if text.strip():
            yield number, text.strip()
    if kept.strip():
        yield number, kept.strip()


def _exports(source: Source) -> Iterator[Parsed]:
    for number, text in _logical(source):
        found = _EXPORT_PATH.match(text)
        path = (found[1] or found[2]) if found else ""
        where = source.where(number)
        if not found or not path.startswith("/"):
            yield Malformed(where, "no absolute path at the start", "exportfs skips the line")
            continue
        name = f"NFS export {path}"
        clients: list[tuple[str, Where]] = []
        writable, default = False, ""
        for client in _CLIENT.finditer(text[found.end() :]):
            who, options = client[1] or client[3] or "*", client[2]
            if who.startswith("-"):
                default = who
                continue
            clients.append((who, where))
            flags = (options if options is not None else default.lstrip("-")).split(",")
            writable = writable or "rw" in flags
        yield from source.allows(name, clients or [("*", where)], {"writable": writable})
        yield Dependency(source.ref(name), Ref(Kind.PATH, path.rstrip("/") or "/"), Relation.READS, where)


def _master(source: Source) -> Iterator[Parsed]:
    for number, text in _logical(source):
        words = text.split()
        where = source.where(number)
        if words[0].startswith("+"):
            continue
        if len(words) < 2 or not words[0].startswith("/"):
            yield Malformed(where, "not a mount point and a map", "automount skips the line")
        elif words[1] not in _SPECIAL and not words[1].startswith(("ldap", "yp", "nis", "program:", "exec:")):
            yield Fragment("master", _Master(words[0].rstrip("/") or "/", words[1]), where)


def _map(source: Source) -> Iterator[Parsed]:
    for number, text in _logical(source):
        words = text.split()
        where = source.where(number)
        if words[0].startswith("+"):
            continue
        parts = _parts(words[1:])
        if not parts:
            yield Malformed(where, f"no location for {excerpt(words[0])}", "automount does not mount it")
            continue
        yield Fragment("entry", _Entry(words[0], tuple(parts)), where)


def _parts(words: list[str]) -> list[tuple[str, str, tuple[str, ...]]]:
    """Offset, kind of file system and locations of each mount of an entry. Options stand before either."""
    parts: list[tuple[str, str, tuple[str, ...]]] = []
    kind, common, offset, locations = "nfs", "nfs", "", list[str]()
    for word in words:
        if word.startswith("-"):
            found = re.search(r"(?:^-|,)fstype=([^,]+)", word)
            kind = found[1] if found else kind
            if not offset and not locations:
                common = kind
        elif word.startswith("/") and ":" not in word:
            if locations:
                parts.append((offset, kind, tuple(locations)))
            offset, kind, locations = word.rstrip("/") or "/", common, []
        else:
            locations.append(word.strip('"'))
    if locations:
        parts.append((offset, kind, tuple(locations)))
    return parts


def _mounts(point: str, base: str, entry: _Entry, where: Where) -> Iterator[Parsed]:
    key = entry.key.strip('"')
    for offset, kind, locations in entry.parts:
        if key.startswith("/"):
            place = key
        elif not point or point == "/-":
            place = f"{base}: {key}"
        else:
            place = point if key == "*" else f"{point}/{key}"
        place += offset if offset not in ("", "/") else ""
        servers = [] if kind == "bind" else list(_servers(locations, key))
        if not servers:
            continue
        ref = Ref(Kind.MOUNT, place)
        attributes: dict[str, Attribute] = {
            "fstype": kind,
            "source": excerpt(" ".join(locations)),
            "automounted": True,
        }
        yield Entity(ref, where, attributes)
        for server in dict.fromkeys(servers):
            yield Dependency(ref, server, Relation.MOUNTS, where, group="servers" if len(servers) > 1 else "")


def _servers(locations: Sequence[str], key: str) -> Iterator[Ref]:
    for location in locations:
        text = _WEIGHT.sub("", location)
        if text.startswith("://"):
            hosts = text[3:].split("/", 1)[0]
        elif text.startswith("["):
            hosts = text[: text.find("]") + 1]
        else:
            hosts = text.partition(":/")[0] if ":/" in text else ""
        for host in hosts.split(","):
            if "&" in host and key == "*":
                continue
            ref = host_ref(host.replace("&", key).rpartition("@")[2]) if "$" not in host else None
            if ref is not None:
                yield ref
