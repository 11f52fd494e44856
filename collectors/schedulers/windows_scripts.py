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
    Filler,
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
_VALUE: Final = 1_000
_FILLED_IN: Final = 1 << 20
"""Characters of variables that are filled in, in one script."""
_SUFFIXES: Final = (".ps1", ".psm1", ".bat", ".cmd")
_POWERSHELL: Final = (".ps1", ".psm1")
_COMMENT: Final = lazy_pattern(r"\s*(?:#|@?rem\b|::)", re.IGNORECASE)
# Also a parameter with a type and a default: `[string]$Server = "nas1",`
_TYPED: Final = r"(?:(?:param\s*\(\s*)?(?:\[[^\]]{0,100}\]\s*){0,3})?"
_ASSIGNED: Final = lazy_pattern(
    rf"\s*(?:set\s+\"?(\w+)=([^\"%!]*)\"?|{_TYPED}\$(?:\w+:)?(\w+)\s*=\s*[\"']([^\"'$]*)[\"'])\s*[;,)]?\s*",
    re.IGNORECASE,
)
_LEFT: Final = lazy_pattern(rf"\s*(?:set\s+\"?\w+|{_TYPED}\$(?:\w+:)?\w+\s*)=", re.IGNORECASE)
_VARIABLE: Final = lazy_pattern(
    r"%(\w+)%|!(\w+)!|\$(?:\{(?:[a-z]+:)?(\w+)\}|(?:(?:env|global|local|private|script|using|variable):)?(\w+))",
    re.IGNORECASE,
)
# A string, a quotation mark that is not closed, or the `#` of a comment, which begins a word.
_MARK: Final = lazy_pattern(r"\"[^\"`]*(?:`.[^\"`]*)*\"|'[^']*'|[\"']|(?<!\S)#")
_TARGETS: Final = lazy_pattern(r"\\\\|://|-ComputerName|-CN\b|@", re.IGNORECASE)


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
        filler = Filler(_VARIABLE, _FILLED_IN)

        def value_of(found: re.Match[str]) -> str | None:
            return variables.get((found[1] or found[2] or found[3] or found[4]).lower())

        commented, too_long = False, False
        for number, line in enumerate(lines[:LINE_LIMIT], start=1):
            code = line.rstrip("\r")
            if len(code) > _LONGEST:
                if powershell and "#" in code:
                    commented = code.rfind("<#") > code.rfind("#>")
                if not too_long and _TARGETS.search(code):
                    too_long = True
                    reason = f"a line of more than {_LONGEST:,} characters"
                    yield Malformed(Where(number, excerpt(line)), reason, "scanned for mentions only")
                continue
            if powershell and (commented or "#" in code):
                code, commented = _without_comments(code, commented)
            if not code or _COMMENT.match(code):
                continue
            head, equals, tail = code.partition("=") if _LEFT.match(code) else ("", "", code)
            text = head + equals + filler.fill(tail, value_of)
            if (found := _ASSIGNED.fullmatch(text)) is not None:
                value = found[2] if found[1] else found[4]
                if len(value) <= _VALUE:
                    variables[(found[1] or found[3]).lower()] = value
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


def _without_comments(line: str, commented: bool) -> tuple[str, bool]:
    """A line of PowerShell without what is in `<# #>` and behind `#`, and whether such a comment goes on behind it."""
    parts: list[str] = []
    while line:
        if commented:
            _, closed, line = line.partition("#>")
            commented = not closed
            continue
        before, opened, line = line.partition("<#")
        if (at := _comment(before)) >= 0:
            # All that follows is a comment, which opens none.
            return "".join((*parts, before[:at])), False
        parts.append(before)
        commented = bool(opened)
    return "".join(parts), commented


def _comment(code: str) -> int:
    """Where a comment begins that ends with the line; -1 if there is none."""
    for found in _MARK.finditer(code):
        if found[0] == "#":
            return found.start()
        if len(found[0]) == 1:
            break
    return -1
