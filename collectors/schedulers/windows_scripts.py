"""Scripts of PowerShell and cmd.exe, as far as a line tells what it does."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import ClassVar, Final

from auditor.api import (
    Area,
    Collector,
    Dependency,
    Document,
    Entity,
    Malformed,
    Parsed,
    Relation,
    Where,
    decode,
    excerpt,
    lazy_pattern,
)
from collectors.schedulers.windows_commands import machines_in, script_ref, scripts_in

LINE_LIMIT: Final = 50_000
"""Lines of a script that are read."""
_LONGEST: Final = 4_000
_SUFFIXES: Final = (".ps1", ".psm1", ".bat", ".cmd")
_POWERSHELL: Final = (".ps1", ".psm1")
_COMMENT: Final = lazy_pattern(r"\s*(?:#|@?rem\b|::)", re.IGNORECASE)
_ASSIGNED: Final = lazy_pattern(
    r"\s*(?:set\s+\"?(\w+)=([^\"%!]*)\"?|\$(?:\w+:)?(\w+)\s*=\s*[\"']([^\"'$]*)[\"'])\s*;?\s*", re.IGNORECASE
)
_LEFT: Final = lazy_pattern(r"\s*(?:set\s+\"?\w+|\$(?:\w+:)?\w+\s*)=", re.IGNORECASE)
_VARIABLE: Final = lazy_pattern(r"%(\w+)%|!(\w+)!|\$\{?(\w+)\}?")


class WindowsScriptsCollector(Collector):
    """What scripts of PowerShell and cmd.exe reach on other machines.

    Reads
    -----
    `*.ps1`, `*.psm1`, `*.bat` and `*.cmd`.

    Yields
    ------
    Each script as a path, in lower case and with its drive (`/c/scripts/x.ps1`), which connects to the machines in its
    lines: of shares, URLs, `-ComputerName` and SSH; what is copied or redirected to a share must be written. Scripts
    that it starts. Variables that are set to a literal value before are filled in.

    Can't see
    ---------
    Values that are known only at run time, what modules and programs do, and commands over several lines.
    """

    name: ClassVar[str] = "windows_scripts"
    title: ClassVar[str] = "Scripts of PowerShell and cmd.exe"
    area: ClassVar[Area] = Area.SCHEDULES
    provides: ClassVar[frozenset[Relation]] = frozenset({Relation.CALLS, Relation.CONNECTS})

    def recognizes(self, path: str, head: bytes) -> bool:
        """By the suffix."""
        return path.lower().endswith(_SUFFIXES)

    def parse(self, document: Document) -> Iterator[Parsed]:
        """The script, if it reaches anything, and what that is."""
        consumer = script_ref(document.path)
        powershell = document.path.lower().endswith(_POWERSHELL)
        lines = decode(document.content).removeprefix("\ufeff").split("\n")
        if len(lines) > LINE_LIMIT:
            yield Malformed(Where(LINE_LIMIT), f"more than {LINE_LIMIT:,} lines: the rest is not read")
        variables: dict[str, str] = {}
        facts: list[Dependency] = []
        commented = False
        for number, line in enumerate(lines[:LINE_LIMIT], start=1):
            if powershell and (commented or line.lstrip().startswith("<#")):
                commented = "#>" not in line
                continue
            if len(line) > _LONGEST or _COMMENT.match(line):
                continue
            head, equals, tail = line.rstrip("\r").partition("=") if _LEFT.match(line) else ("", "", line.rstrip("\r"))
            text = (
                head
                + equals
                + _VARIABLE.sub(lambda found: variables.get((found[1] or found[2] or found[3]).lower(), found[0]), tail)
            )
            if (found := _ASSIGNED.fullmatch(text)) is not None:
                variables[(found[1] or found[3]).lower()] = found[2] if found[1] else found[4]
                continue
            where = Where(number, excerpt(line))
            for target, need, sure in machines_in(f" {text}", text):
                facts.append(Dependency(consumer, target, Relation.CONNECTS, where, need, confidence=sure))
            facts += [
                Dependency(consumer, one, Relation.CALLS, where) for one in scripts_in(f" {text}") if one != consumer
            ]
        if facts:
            yield Entity(consumer, Where(1, excerpt(lines[0])))
            yield from facts
