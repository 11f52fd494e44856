"""Terraform's configuration by what its entries and blocks say together: the short names of hosts, however common.

In `"bugs.example.org" = {` the attribute `domain = "bugs"`; around `ipv4_address = "192.0.2.7"` the key `bugs = {`; a
`resource "hcloud_volume" "bugs"` that has the host's full name in it, and what refers to that resource; and a record
`archive = { value = "bugs" }` of the host's own zone. Lines are looked at, and not the syntax: what is not HCL stays
readable so.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from auditor.graph.hosts import Identity
from auditor.graph.lines import LONGEST, indent_of
from auditor.graph.mentions import Mention

_ENTRY: Final = 60
"""Lines of an entry that are looked at."""
_BLOCK: Final = re.compile(r'\s*(data|module|resource)\s+"([\w-]+)"(?:\s+"([\w-]+)")?\s*\{')
_ZONE: Final = re.compile(r"\s*\w*zone\w*\s*=")
_COMMENT: Final = ("#", "//")
_TARGET: Final = r"(?:alias|cname|content|data|rdata|records|target|to|value|values)"


@dataclass(slots=True)
class HclFile:
    """A file of Terraform's configuration, and which hosts its lines name as far as that is known."""

    path: str
    text: str
    found: Sequence[Mention]
    more: dict[tuple[int, str], Mention] = field(default_factory=dict)
    """What is found besides, by line and host."""

    def lines(self) -> list[str]:
        """The lines, without their ends."""
        return [line.rstrip("\r") for line in self.text.split("\n")]


def short_names(files: Sequence[HclFile], hosts: Iterable[str]) -> Mapping[str, list[Mention]]:
    """The short names of hosts in the files of an estate, by path, apart from what is known to name them already.

    `hosts` are the full names of those that are looked for.
    """
    blocks: set[tuple[str, str, Identity]] = set()
    for file in (one for one in files if one.found):
        lines = file.lines()
        _add(file, lines, _entries(lines, file.found))
        for number, identity, reference in _around(lines, file.found):
            _add(file, lines, ((number, identity),))
            if reference:
                blocks.add((file.path.rpartition("/")[0], reference, identity))
    wanted = {name.split(".", 1)[0]: name for name in hosts if "." in name}
    for file in files:
        lines = file.lines()
        for directory, reference, identity in blocks:
            if directory == file.path.rpartition("/")[0] and reference in file.text:
                _add(
                    file,
                    lines,
                    ((number, identity) for number in _matching(lines, rf"(?<![\w.]){re.escape(reference)}(?![\w-])")),
                )
        for short, name in wanted.items():
            if f'"{short}"' in file.text:
                _add(
                    file, lines, ((number, Identity(short, "short", name)) for number in _pointing(lines, short, name))
                )
    return {file.path: list(file.more.values()) for file in files if file.more}


def _add(file: HclFile, lines: Sequence[str], found: Iterable[tuple[int, Identity]]) -> None:
    for number, identity in found:
        line = lines[number - 1]
        if len(line) <= LONGEST and not any(
            one.line == number and one.identity.host == identity.host for one in file.found
        ):
            mention = Mention(number, line, identity, exact=True, comment=False)
            file.more.setdefault((number, identity.host), mention)


def _entries(lines: Sequence[str], found: Sequence[Mention]) -> Iterator[tuple[int, Identity]]:
    """The short name as an attribute of an entry that is called by the full one, and as the key of one that has it."""
    for one in _sure(found, lines):
        identity = _short(one)
        depth = indent_of(lines[one.line - 1])
        if lines[one.line - 1].rstrip().endswith("{"):
            numbers = _deeper(lines, range(one.line + 1, len(lines) + 1), depth)
            wanted = re.compile(rf'\s*\w+\s*=\s*"{re.escape(identity.text)}"\s*(?:[#/].*)?', re.IGNORECASE)
        else:
            numbers = itertools.islice(_outside(lines, one.line), 1)
            wanted = re.compile(rf'\s*"?{re.escape(identity.text)}"?\s*[=:]\s*\{{\s*(?:[#/].*)?', re.IGNORECASE)
        yield from ((number, identity) for number in numbers if wanted.fullmatch(lines[number - 1]))


def _around(lines: Sequence[str], found: Sequence[Mention]) -> Iterator[tuple[int, Identity, str]]:
    """The block that has the full name in it: its label, with how others refer to it, and its attributes of names."""
    for one in _sure(found, lines):
        identity = _short(one)
        header = (
            one.line
            if _BLOCK.match(lines[one.line - 1])
            else next((number for number in _outside(lines, one.line) if _BLOCK.match(lines[number - 1])), 0)
        )
        block = _BLOCK.match(lines[header - 1]) if header else None
        if block is None:
            continue
        label = (block[3] or block[2]).lower()
        if label in (identity.text, identity.text.replace("-", "_")):
            parts = [block[2]] if block[1] == "resource" else [block[1], block[2]]
            yield header, identity, ".".join([*parts, *([block[3]] if block[3] else [])])
        inside = _deeper(lines, range(header + 1, len(lines) + 1), indent_of(lines[header - 1]))
        named = re.compile(
            rf'\s*\w*(?:domain|label|name)\w*\s*=\s*"{re.escape(identity.text)}"\s*(?:[#/].*)?', re.IGNORECASE
        )
        yield from ((number, identity, "") for number in inside if named.fullmatch(lines[number - 1]))


def _pointing(lines: Sequence[str], short: str, name: str) -> Iterator[int]:
    """Records that point at a short name, in what is called after its domain: `example_org_cname = {`."""
    zone, _, top = name.partition(".")[2].partition(".")
    other = rf"(?![_-](?!{re.escape(top.partition('.')[0])}(?![a-z0-9]))[a-z]{{2,4}}(?![a-z0-9]))"
    after = re.compile(rf"(?<![a-z0-9]){re.escape(zone)}(?![a-z0-9]){other}", re.IGNORECASE)
    for number in _matching(lines, rf'\b{_TARGET}\s*=\s*\[?\s*"{re.escape(short)}"'):
        depth = indent_of(lines[number - 1])
        zones = [
            one for one in _beside(lines, number) if _ZONE.match(lines[one - 1]) and indent_of(lines[one - 1]) == depth
        ]
        if any(after.search(lines[one - 1]) for one in (*_outside(lines, number), *zones)):
            yield number


def _beside(lines: Sequence[str], number: int) -> Iterator[int]:
    """The lines of the body that a line is in, apart from what is around it."""
    depth = indent_of(lines[number - 1])
    for numbers in (range(number - 1, 0, -1), range(number + 1, len(lines) + 1)):
        yield from itertools.takewhile(lambda one: not 0 <= indent_of(lines[one - 1]) < depth, numbers[:_ENTRY])


def _sure(found: Sequence[Mention], lines: Sequence[str]) -> Iterator[Mention]:
    for one in found:
        if not one.comment and one.exact and one.identity.kind in ("full", "address") and one.line <= len(lines):
            yield one


def _short(one: Mention) -> Identity:
    return Identity(one.identity.host.split(".", 1)[0], "short", one.identity.host)


def _matching(lines: Sequence[str], pattern: str) -> Iterator[int]:
    wanted = re.compile(pattern, re.IGNORECASE)
    for number, line in enumerate(lines, 1):
        if len(line) <= LONGEST and not line.lstrip().startswith(_COMMENT) and wanted.search(line):
            yield number


def _outside(lines: Sequence[str], number: int) -> Iterator[int]:
    """The lines around a line that are indented less, from the inside."""
    depth = indent_of(lines[number - 1])
    for above in range(number - 1, 0, -1):
        if depth <= 0:
            return
        indent = indent_of(lines[above - 1])
        if 0 <= indent < depth and not lines[above - 1].lstrip().startswith(_COMMENT):
            depth = indent
            yield above


def _deeper(lines: Sequence[str], numbers: range, depth: int) -> Iterator[int]:
    """The numbers of the lines that are indented deeper, until one is not."""
    for number in numbers[:_ENTRY]:
        if 0 <= indent_of(lines[number - 1]) <= depth:
            return
        yield number
