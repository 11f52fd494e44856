"""Exceptions that were made for a host that is going."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import ClassVar, Final

from auditor.api import Area, Confidence, EstateView, Finding, Impact, Relation, Rule, Severity, listed, plural
from rules.texts import Lines, called, naming, on_hosts

_BEFORE: Final = (
    r"(?:!=|!~|<>)\s*[\"'`]?(?:[^\"'`\s]{0,80}[|(])?"  # label!="host", label!~"a|host"
    r"|(?:^|[\s:,\"'\[(])!\s?"  # all:!host, [!host]
    r"|--?(?:exclude|skip|ignore|omit)(?:-\w{1,20})?[= ]\s*[\"']?(?:\S{0,80}[,|/])?"
    r"|\b[\w-]{0,40}(?:exclude[ds]?|exclusions?|ignore[ds]?|skip(?:ped|list)?|waivers?|exceptions?)[\w-]{0,40}[\"']?"
    r"\s*[:=][^#\n]{0,80}?"
)
_FILE: Final = re.compile(
    r"(?:^|[/_.-])(?:exclude[ds]?|exclusions?|ignore[ds]?|skip|skiplist|waivers?|exceptions?|blocklist|denylist)"
    r"(?:[/_.-]|$)",
    re.IGNORECASE,
)
_PROSE: Final = (".md", ".rst", ".adoc", ".html", ".gitignore", ".dockerignore")


class ExclusionNamesGoingHostRule(Rule):
    """Exceptions (in alerts, checks, playbooks, scans, backups) that name a host that is going.

    What it does
    ------------
    Looks in all text that names the host for lines that leave it out of something: matchers such as
    `instance!="old:9100"` and `instance!~"old.*"`, patterns of Ansible such as `all:!old`, options such as `--exclude
    old`, keys such as
    `ignore_hosts:`, and files that are called so. One finding for each file. Nothing is said for a
    read-only host.

    Why it matters
    --------------
    An exception outlives what it was made for, and nobody dares to take it out. The next host of that name or address
    is not watched, not patched and not backed up from its first day on; and the successor, for which the same exception
    may be needed, fires.

    Example
    -------
    `up{job="node", instance!="old.example.net:9100"} == 0`, since the old server could not be patched

    What to do
    ----------
    Take the host out of it when it is gone. Find out why it was made, and whether the successor needs the same.

    What it can't see
    -----------------
    Lists whose key stands on another line than the host, and patterns that don't name it. Silences of Alertmanager are
    told by `silence-hides-going-host`.
    """

    id: ClassVar[str] = "exclusion-names-going-host"
    title: ClassVar[str] = "An exception is made for the host"
    area: ClassVar[Area] = Area.MONITORING
    severity: ClassVar[Severity] = Severity.WARN
    confidence: ClassVar[Confidence] = Confidence.MEDIUM
    since: ClassVar[str] = "0.2.0"
    needs: ClassVar[frozenset[Relation]] = frozenset({Relation.MENTIONS})

    def check(self, estate: EstateView) -> Iterator[Finding]:
        """One finding for each file; equal ones on many hosts are one."""
        names = sorted({name for one in estate.going for name in called(one)}, key=len, reverse=True)
        if not names:
            return
        host = "|".join(re.escape(name).replace(r"\.", r"(?:\.|\\+\.|\[\.\])") for name in names)
        pattern = re.compile(rf"(?:{_BEFORE})(?:{host})(?![\w-]|\.\w)", re.IGNORECASE)
        for lines in naming(estate, lambda place, text: _excepts(place, text, pattern)):
            if lines.retires:
                yield self._finding(lines)

    def _finding(self, lines: Lines) -> Finding:
        hosts, first = listed(lines.hosts), lines.lines[0]
        successors = sorted({one.successor for one in lines.going.values() if one.successor})
        same = f" Does {listed(successors)} need the same?" if successors else ""
        return Finding(
            rule=self.id,
            area=self.area,
            severity=self.severity,
            confidence=self.confidence,
            subject=lines.place,
            identity=(*lines.hosts, lines.place),
            message=f"{lines.place}{on_hosts(lines.on)} leaves {hosts} out of something, in "
            f"{plural(len(lines.texts), 'line')}",
            why="The next host of that name or address is left out from its first day on, and nobody knows why.",
            action=f"Take {hosts} out of {first.path}:{first.line} when it is gone.{same}",
            impact=Impact.MENTIONED,
            evidence=tuple(lines.lines),
            hosts=lines.hosts,
        )


def _excepts(place: str, text: str, pattern: re.Pattern[str]) -> bool:
    if place.endswith(_PROSE) or text.lstrip().startswith(("#", "//", ";")):
        return False
    if _FILE.search(place.rpartition("/")[2]):
        return True
    return pattern.search(text) is not None
