"""What the programs of this family have in common: pools of servers, side paths such as logs, includes, file names."""

from __future__ import annotations

import posixpath
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final

from auditor.api import (
    NO_ATTRIBUTES,
    TEMPLATE,
    THIS_HOST,
    Attribute,
    Dependency,
    Entity,
    Kind,
    Need,
    Parsed,
    Ref,
    Relation,
    Where,
    endpoint_ref,
    excerpt,
)

TEMPLATE_SUFFIXES: Final = (".j2", ".jinja", ".jinja2", ".erb", ".epp", ".tmpl", ".tpl", ".ctmpl", ".gotmpl", ".in")
MAX_BYTES: Final = 8 * 1024 * 1024
MAX_PROBLEMS: Final = 200
"""Bad places of one file that are named."""

LOCAL: Final = "local"
"""A member that is reached without the network: a Unix socket, an inherited descriptor."""
UNKNOWN: Final = "unknown"
"""A member whose address a template, a variable or a lookup at run time gives."""


class Places:
    """The lines of a file as places. Each is made once: one long line may hold very many things."""

    def __init__(self, lines: Sequence[str]) -> None:
        self._lines = lines
        self._made: dict[int, Where] = {}

    def at(self, line: int) -> Where:
        """The place of a line, counted from 1."""
        place = self._made.get(line)
        if place is None:
            place = Where(line, excerpt(self._lines[line - 1])) if 0 < line <= len(self._lines) else Where()
            self._made[line] = place
        return place


@dataclass(frozen=True, slots=True)
class Member:
    """One server of a pool. `target` is where it is, LOCAL or UNKNOWN."""

    name: str
    target: Ref | str
    where: Where
    backup: bool = False
    down: bool = False
    checked: bool = False


def bare_name(path: str) -> str:
    """The last part of a path without the suffixes of templates."""
    name = posixpath.basename(path)
    stem, suffix = posixpath.splitext(name)
    return stem if suffix in TEMPLATE_SUFFIXES else name


def qualified(label: str, path: str) -> str:
    """A label that stays apart from its like in other files of a repository; on a host the program reads them all."""
    return label if path.startswith("/") else f"{label} in {path}"


def is_templated(path: str, text: str) -> bool:
    """Whether a file of a repository holds expressions of Jinja, Go or ERB templates. A host's own files never do."""
    return not path.startswith("/") and ("{{" in text or "{%" in text or "<%" in text)


def target_of(text: str) -> Ref | None:
    """A URL or host:port as an endpoint without its path; None for what only a run would tell."""
    if TEMPLATE in text or "$" in text or "%" in text or "{" in text:
        return None
    scheme, separator, rest = text.rpartition("://")
    authority = rest.split("/", 1)[0]
    return endpoint_ref(f"{scheme}{separator}{authority}") if authority else None


def service(label: str, where: Where, attributes: dict[str, Attribute]) -> Iterator[Parsed]:
    """A program's part that runs on the captured host."""
    ref = Ref(Kind.SERVICE, label)
    yield Entity(ref, where, attributes)
    yield Dependency(ref, THIS_HOST, Relation.RUNS_ON, where)


def pool(
    label: str,
    software: str,
    where: Where,
    members: Iterable[Member],
    more: Mapping[str, Attribute] = NO_ATTRIBUTES,
) -> Iterator[Parsed]:
    """A pool and its servers: alternatives, in the group "servers".

    A server that is taken out (`down`) is no alternative and only an attribute. What is reached locally, or is not
    known, is an alternative of its own, so that a pool is not called lost over the members that are known.
    """
    found = list(members)
    attributes: dict[str, Attribute] = {"software": software, **more}
    for key, names in (
        ("down", [one.name for one in found if one.down]),
        ("backup", [one.name for one in found if one.backup]),
        ("unchecked", [one.name for one in found if not one.checked and not one.down]),
    ):
        if names and (key != "unchecked" or software == "haproxy"):
            attributes[key] = tuple(dict.fromkeys(names))
    yield from service(label, where, attributes)
    ref = Ref(Kind.SERVICE, label)
    for one in found:
        if one.down:
            continue
        if isinstance(one.target, Ref):
            yield Dependency(ref, one.target, Relation.BACKED_BY, one.where, group="servers")
            continue
        what = "members on this host" if one.target == LOCAL else "members not known"
        other = Ref(Kind.SERVICE, f"{label}: {what}")
        yield Dependency(ref, other, Relation.BACKED_BY, one.where, group="servers")
        if one.target == LOCAL:
            yield Dependency(other, THIS_HOST, Relation.RUNS_ON, one.where)


def side_path(
    label: str, software: str, targets: Iterable[tuple[Ref, Where]], need: Need, group: str = ""
) -> Iterator[Parsed]:
    """What a program also talks to, apart from its traffic: without it the traffic still flows.

    A node of its own, so that a lost log target does not make a site broken.
    """
    found = list(targets)
    if not found:
        return
    yield from service(label, found[0][1], {"software": software})
    for target, where in found:
        yield Dependency(Ref(Kind.SERVICE, label), target, Relation.CONNECTS, where, need, group)


class Files:
    """The files of one source, to be found by an include's pattern."""

    def __init__(self, paths: Iterable[str]) -> None:
        self._directories: dict[str, list[str]] = {}
        self._paths = frozenset(paths)
        for path in sorted(self._paths):
            self._directories.setdefault(posixpath.dirname(path), []).append(path)

    def matching(self, pattern: str, bases: Iterable[str]) -> tuple[str, ...]:
        """The files that a pattern names, seen from the first base directory where there is one, in order of names.

        A leading dot must be matched literally, as glob(3) has it.
        """
        for base in dict.fromkeys(bases):
            full = posixpath.normpath(posixpath.join(base, pattern))
            if full in self._paths:
                return (full,)
            directory, _, name = full.rpartition("/")
            if not _magic(full):
                continue
            places = self._directories
            near = [one for one in places if _same_depth(one, directory)] if _magic(directory) else [directory]
            found = [
                path
                for place in near
                for path in places.get(place, ())
                if fnmatchcase(path.rpartition("/")[2], name) and (name[:1] == "." or "/." not in path[len(place) :])
            ]
            if found:
                return tuple(found)
        return ()


def _magic(text: str) -> bool:
    return "*" in text or "?" in text or "[" in text


def _same_depth(place: str, pattern: str) -> bool:
    here, wanted = place.split("/"), pattern.split("/")
    return len(here) == len(wanted) and all(map(fnmatchcase, here, wanted))


def ancestors(path: str) -> Iterator[str]:
    """The directory of a file and those above it, up to the root or the top of a tree."""
    directory = posixpath.dirname(path)
    while True:
        yield directory
        above = posixpath.dirname(directory)
        if above == directory or not directory:
            return
        directory = above


def is_disabled(path: str, paths: Collection[str]) -> bool:
    """Whether a site or module of Debian's layout is only available: others of its kind are enabled, and it is not."""
    for kind in ("sites", "conf", "mods"):
        above, found, name = path.partition(f"/{kind}-available/")
        if found:
            enabled = f"{above}/{kind}-enabled/"
            return f"{enabled}{name}" not in paths and any(other.startswith(enabled) for other in paths)
    return False
