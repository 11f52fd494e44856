"""Roles of Ansible that are called as a going host is, and that nothing but it uses.

Whoever retires `wiki.example.org` deletes `roles/wiki` with the playbook that is its only user. In such a role the bare
word `wiki` names what the host was for; anywhere else it may mean anything.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from auditor.graph.lines import LONGEST, indent_of

_ROLE: Final = re.compile(
    r"((?:.*/)?roles/((?:[\w.-]+/){0,3}?[\w.-]+))/(?:defaults|files|handlers|library|meta|tasks|templates|tests|vars)/.+"
)
_INCLUDES: Final = re.compile(r"(?:include|import)_role\b")
_NEAR: Final = 3
"""Lines above a `name:` that may have the `include_role:` which it is of."""


@dataclass(frozen=True, slots=True)
class OwnRole:
    """A role in a directory, and the host whose name it has."""

    directory: str
    role: str
    host: str


@dataclass(frozen=True, slots=True)
class Use:
    """A line of a file that uses a role."""

    path: str
    line: int
    text: str


def called_like(paths: Iterable[str], shorts: Mapping[str, str]) -> list[OwnRole]:
    """The roles whose last name is a short name of a host. `shorts` maps the names to the hosts."""
    found: dict[str, OwnRole] = {}
    for path in paths:
        if "roles/" not in path:
            continue
        parts = _ROLE.fullmatch(path)
        if parts is None:
            continue
        host = shorts.get(parts[2].rpartition("/")[2].lower())
        if host is not None:
            found.setdefault(parts[1], OwnRole(parts[1], parts[2], host))
    return list(found.values())


def uses_of(role: OwnRole, path: str, text: str) -> Iterator[Use]:
    """Lines of a YAML file that use a role, or may do so: `- role: wiki`, `- wiki`, `include_role: name=wiki`."""
    if role.role not in text or path.startswith(role.directory + "/"):
        return
    name = re.escape(role.role)
    entry = re.compile(
        rf"""(?:^|[\s{{,-])(role|name)\s*[:=]\s*["']?{name}["']?(?=[\s,}}#]|$)|^\s*-\s+["']?{name}["']?\s*(?:#|$)"""
    )
    lines = text.split("\n")
    for at, line in enumerate(lines):
        if role.role not in line or len(line) > LONGEST:
            continue
        found = entry.search(line.rstrip("\r"))
        if found is None:
            continue
        if found[1] == "name" and not any(_INCLUDES.search(one) for one in lines[max(at - _NEAR, 0) : at + 1]):
            continue
        yield Use(path, at + 1, line.rstrip("\r"))


def is_for(use: Use, lines: Sequence[str], named: Collection[int]) -> bool:
    """Whether the entry of a list that uses a role names its host elsewhere in it: `website: wiki.example.org`.

    `named` are the lines of the file that name the host in full.
    """
    depth = indent_of(lines[use.line - 1])
    if use.line in named:
        return True
    for number in range(use.line + 1, min(use.line + 40, len(lines)) + 1):
        line = lines[number - 1]
        if 0 <= indent_of(line) <= depth:
            return False
        if number in named:
            return True
    return False


def naming(word: str, text: str) -> Iterator[tuple[int, str]]:
    """The lines of a text that have a word, by themselves or in a hyphenated one."""
    wanted = re.compile(rf"(?<!\w){re.escape(word)}(?!\w)", re.IGNORECASE)
    for number, line in enumerate(text.split("\n"), 1):
        if len(line) <= LONGEST and wanted.search(line):
            yield number, line.rstrip("\r")
