"""Exclusions of a host that is going: they outlive it unseen."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar, Final

from auditor.api import (
    Area,
    Confidence,
    EstateView,
    Finding,
    Going,
    Impact,
    Lifecycle,
    Node,
    Provenance,
    Relation,
    Rule,
    Severity,
    listed,
    plural,
)
from rules.ways import files

_SHOWN: Final = 1000
_WORDS: Final = 100
_PROSE: Final = (".md", ".rst", ".txt", ".adoc", ".html")
_BEFORE: Final = (
    # `!host` of Nagios, Ansible and sudoers; `host:!other`.
    r"""(?:^|[\s,:;&|("'=\[{@])!["']?""",
    # `instance!="host"`, `instance!~"host.*"`, `"$HOST" != "host"`; also `one|host` inside of it.
    r"""!\s*[=~]+\s*\\?["']?(?:[^"'\s{}]*[|(/^])?""",
    # Compound targets of Salt: `* and not host`, `not L@host`.
    r"""(?:^\s*["']?|\band\s+|\bor\s+)not\s+(?:[A-Z]@)?["']?""",
    # Options of rsync, borg, parallel shells and the like.
    r"""--?(?:exclude|ignore|skip)(?:-host|-node)?s?[\s=]+["']?(?:[^"'\s]*,)?""",
    r"""\bgrep\s+(?:-\w+\s+)*-\w*v\w*\s+["']?""",
)
_OF_NAGIOS: Final = re.compile(r"(?:^|[/_.-])(?:nagios|naemon|icinga)\d?(?=[/_.-]).*\.cfg(?:\.\w+)?$", re.IGNORECASE)
_EXCLUDES: Final = re.compile(f"(?:{'|'.join(_BEFORE)})$")


@dataclass(slots=True)
class _Excluded:
    """The lines of one file that leave hosts out."""

    document: Node
    lines: dict[int, Provenance] = field(default_factory=dict)
    going: dict[str, Going] = field(default_factory=dict)


class ExclusionNamesGoingHostRule(Rule):
    """Lists the lines that leave a retired host out: negative matchers, `!host`, silences.

    What it does
    ------------
    Looks at each line of text that names the host, and takes those in which every mention stands behind a negation:
    `!old-01` in Nagios and Ansible, `instance!="old-01:9100"` and `!~` in rules, routes and silences of Prometheus and
    Alertmanager, `not old-01` in targets of Salt, `--exclude old-01`, `grep -v old-01`. One finding for a file. Nothing
    is said for a read-only host, which is still there to be left out, nor of lines that another rule has shown.

    Why it matters
    --------------
    It breaks nothing when the host goes, and that is why it stays. The next host of this name is then left out too:
    not watched, not updated, and nobody knows why. Only Nagios minds: it refuses to start with a `!host` that is not
    defined any more, which makes that a warning (nagios4 -v, 4.4.6: "Could not find any host matching").

    Example
    -------
    `expr: up{job="node", instance!="old-01.example.net:9100"} == 0`

    What to do
    ----------
    Remove the exception. What was left out because the successor is an exception as well needs its name instead.

    What it can't see
    -----------------
    Exclusions whose negation is on another line than the name, or in a program's logic.
    """

    id: ClassVar[str] = "exclusion-names-going-host"
    title: ClassVar[str] = "An exception for the host stays behind"
    area: ClassVar[Area] = Area.CONFIGURATION
    severity: ClassVar[Severity] = Severity.INFO
    needs: ClassVar[frozenset[Relation]] = frozenset({Relation.MENTIONS})

    def check(self, estate: EstateView) -> Iterator[Finding]:
        """One finding for each file."""
        found: dict[int, _Excluded] = {}
        for going in estate.going:
            host = estate.host(going.host)
            if host is None or going.lifecycle is Lifecycle.READ_ONLY:
                continue
            for edge in estate.incoming(host, Relation.MENTIONS):
                place = edge.provenance
                if edge.consumer.text.endswith(_PROSE):
                    continue
                if place.line and _is_exclusion(place.excerpt, _words(edge.consumer, place.line)):
                    one = found.setdefault(edge.consumer.id, _Excluded(edge.consumer))
                    one.lines.setdefault(place.line, place)
                    one.going[going.host] = going
        for one in found.values():
            evidence = tuple(one.lines[line] for line in sorted(one.lines))
            hosts = sorted(one.going)
            place_of = files(evidence)[0]
            successors = sorted({going.successor for going in one.going.values() if going.successor})
            nagios = _OF_NAGIOS.search(one.document.text) is not None
            also = f", unless {listed(successors)} is to be left out in its place" if successors else ""
            yield Finding(
                rule=self.id,
                area=self.area,
                severity=Severity.WARN if nagios else self.severity,
                confidence=Confidence.MEDIUM,
                subject=one.document.text,
                identity=(one.document.text, *hosts),
                message=f"{place_of} makes an exception for {listed(hosts)} in {plural(len(evidence), 'line')}",
                why="Once the definition of the host is deleted, Nagios refuses to start with a line that still names "
                "it, even to leave it out."
                if nagios
                else "It breaks nothing, and stays: the next host of this name would be left out too, and nobody knows "
                "why.",
                action=f"Remove it from {place_of}{also}.",
                impact=Impact.MENTIONED,
                evidence=evidence[:_SHOWN],
                hosts=tuple(hosts),
            )


def _words(document: Node, line: int) -> list[str]:
    """How a line writes the host, as the scan of mentions noted it."""
    written = document.attributes.get("mentions")
    entries = [entry.split(" ") for entry in written] if isinstance(written, tuple) else []
    return [parts[-1] for parts in entries if parts[0] == str(line)][:_WORDS]


def _is_exclusion(text: str, words: list[str]) -> bool:
    """Whether each place of a line that names the host stands behind a negation."""
    lower = text.lower()
    found = False
    for word in words:
        at = lower.find(word)
        while at >= 0:
            if not _EXCLUDES.search(text, max(0, at - 200), at):
                return False
            found = True
            at = lower.find(word, at + len(word))
    return found
