"""Any other text that names a host that is going."""

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
    Kind,
    Lifecycle,
    Node,
    Phase,
    Provenance,
    Relation,
    Rule,
    Severity,
    listed,
)
from rules.texts import place_of

_SHOWN: Final = 1000
_HISTORY: Final = re.compile(
    r"(?:^|/)(?:(?i:change-?log(?:-v?\d[\d.]*)?(?:\.(?:debian|md|rst|txt|adoc))?)"
    r"|(?i:changes|history|news|release-?notes)(?i:-v?\d[\d.]*)?\.(?i:debian|md|rst|txt|adoc)"
    # In small letters these are sites and jobs: `sites-enabled/news`.
    r"|CHANGES|HISTORY|NEWS|RELEASE-?NOTES)$"
)
"""Files that tell what was: `CHANGELOG.md`, `debian/changelog`."""
_CRON_LOG: Final = "/.auditor/cron-log.txt"
_UNITS: Final = tuple(f"/.auditor/systemctl-{what}.txt" for what in ("units", "timers", "services"))
_PROSE: Final = (".md", ".rst", ".txt", ".adoc", ".html")


@dataclass(slots=True)
class _Named:
    """One file that names hosts that are going."""

    document: Node
    hosts: dict[str, Going] = field(default_factory=dict)
    lines: dict[int, Provenance] = field(default_factory=dict)
    sure: bool = False


class MentionRule(Rule):
    """Lists every line of text that names a host that is going and that no other rule has shown.

    What it does
    ------------
    Looks through all text of the estate, whatever its format, for the host's names (full, short where the short name
    can't be mistaken, and without a known domain), its addresses, names that lead to it alone, ranges such as
    `web[01:20]`, and groups that it leaves empty; and for files and directories that are called after it. A short name
    that may be an ordinary word counts in a role of Ansible that is called so and that nothing else uses, in playbooks
    and variables that go with the host, in a list of names of other machines, as a setting beside the full name, and
    wherever its place says that it is a machine (`root@gluck:/srv`, `gluck:9100`, a `case` on the host's name). If the
    estate uses it so in several files, and for hardly anything else, it counts everywhere. What a machine is only
    called besides (`files`, `proxy`) counts in shares and URLs; what a host's own hosts file calls it, in that host's
    files. Values in base64 are read where a file has such ones (Secrets of Kubernetes, cloud-init, PowerShell).
    One finding for each file, of the lines that no other rule has shown; comments beside such lines are told with them.
    Files that have nothing but a short name are notes, unless it is in a share (`\\\\fs-old-01\\files`) or a URL, or is
    no word and stands where a machine does (`db1:5432`, `host=db1`). For a host that only becomes read-only all are
    notes, and so are change logs, which tell what was. Of what systemd and cron record of their runs only what no file
    of that host has is told: an instance that somebody started, and, as a note, what cron started.

    Why it matters
    --------------
    Whatever the parsers do not know may still be a dependency: a template, a script in an unknown language, a comment
    that tells someone where to log in. The references that people forget are in such files.

    Example
    -------
    `docs/runbook.md:12: ssh legacy-cert-01 and run renew.sh`

    What to do
    ----------
    Read each line: point it at the successor, or delete it. A comment is worth less than a configuration, and is
    listed with low confidence.

    What it can't see
    -----------------
    Names that are put together at run time (`"web" + number`), names inside compressed or encrypted files, and short
    names that are ordinary words in this estate.
    """

    id: ClassVar[str] = "mention"
    title: ClassVar[str] = "Other text names the host"
    area: ClassVar[Area] = Area.MENTIONS
    severity: ClassVar[Severity] = Severity.WARN
    confidence: ClassVar[Confidence] = Confidence.MEDIUM
    phases: ClassVar[frozenset[Phase]] = frozenset(Phase)
    needs: ClassVar[frozenset[Relation]] = frozenset({Relation.MENTIONS})

    def check(self, estate: EstateView) -> Iterator[Finding]:
        """One finding for each file; files of equal place and lines on many hosts become one."""
        documents: dict[int, _Named] = {}
        for going in estate.going:
            host = estate.host(going.host)
            for edge in estate.incoming(host, Relation.MENTIONS) if host is not None else ():
                if estate.shown(edge.provenance):
                    continue
                if edge.provenance.line == 0 and _is_of_inventory(estate, edge.consumer, host):
                    continue
                one = documents.setdefault(edge.consumer.id, _Named(edge.consumer))
                one.hosts[going.host] = going
                one.lines.setdefault(edge.provenance.line, edge.provenance)
                one.sure = one.sure or edge.confidence is not Confidence.LOW
        alike: dict[tuple[str, tuple[tuple[int, str], ...]], list[_Named]] = {}
        for one in documents.values():
            lines = tuple(sorted((place.line, place.excerpt) for place in one.lines.values()))
            alike.setdefault((place_of(one.document.text), lines), []).append(one)
        for (place, _), same in alike.items():
            yield self._finding(estate, place, same)

    def _finding(self, estate: EstateView, place: str, same: list[_Named]) -> Finding:
        still = estate.phase is Phase.AFTER
        one = same[0]
        hosts = sorted(one.hosts)
        evidence = sorted(
            (line for other in same for line in other.lines.values()), key=lambda line: (line.path, line.line)
        )
        successors = sorted({going.successor for going in one.hosts.values() if going.successor})
        # Whoever only reads it is not harmed by a host that only stops being written.
        harmless = all(going.lifecycle is Lifecycle.READ_ONLY for going in one.hosts.values())
        past = place == _CRON_LOG or _HISTORY.search(place) is not None
        why, action = _record(place) or (
            f"{_read_by(estate, place, same)}; it may fail or mislead {_when(harmless, still)}.",
            f"{f'Point it at {listed(successors)}' if successors else 'Point it elsewhere'}, or delete it.",
        )
        return Finding(
            rule=self.id,
            area=self.area,
            severity=self.severity if one.sure and not harmless and not past else Severity.INFO,
            confidence=Confidence.MEDIUM if one.sure else Confidence.LOW,
            subject=one.document.text,
            identity=(*hosts, place),
            message=f"{place if len(same) == 1 else f'{place} on {len(same)} hosts'} {'still ' if still else ''}names "
            f"{listed(hosts)}{_as(one)}",
            why=why,
            action=action,
            impact=Impact.MENTIONED,
            evidence=tuple(evidence[:_SHOWN]),
            hosts=tuple(hosts),
        )


def _record(place: str) -> tuple[str, str] | None:
    """Why what records something is told, and what to do; None for files that something reads."""
    if place == _CRON_LOG:
        return (
            "Cron has started it there, and no crontab that was captured has it.",
            "Look whether it is still there: in a crontab that was not captured, or taken out since.",
        )
    if place in _UNITS:
        return (
            "systemd has this unit there, and no file that was captured is called so: somebody or something starts it.",
            "Look on the host what starts it (`systemctl status`), and end it or lead it elsewhere.",
        )
    if _HISTORY.search(place) is not None:
        return "It tells what was.", "Nothing, if it tells of the past alone."
    return None


def _read_by(estate: EstateView, place: str, same: list[_Named]) -> str:
    readers: dict[str, None] = {}
    for one in same:
        scope = one.document.text.removeprefix("hosts/").removesuffix(place)
        node = estate.find(Kind.PATH, place, scope) if scope and place.startswith("/") else None
        for edge in estate.incoming(node, Relation.READS, Relation.CALLS) if node is not None else ():
            readers[edge.consumer.text] = None
    if not readers:
        return "Nothing is known of what reads this text"
    return f"{listed(sorted(readers), 3)} {'reads' if len(readers) == 1 else 'read'} it, to what end is not known"


def _when(harmless: bool, still: bool) -> str:
    if still:
        return "now that the host is gone"
    return "where it expects that something can still be changed there" if harmless else "once the host is gone"


def _as(one: _Named) -> str:
    """` as 10.20.4.17`, ` in a comment`: if all lines of a file have it so and it is not the name itself."""
    written = one.document.attributes.get("mentions")
    entries = [entry.split(" ") for entry in written] if isinstance(written, tuple) else []
    entries = [entry for entry in entries if int(entry[0]) in one.lines]
    if entries and all(entry[0] == "0" for entry in entries):
        return ", by its own name"
    kinds, texts = {entry[1] for entry in entries}, {entry[-1] for entry in entries}
    prose = one.document.text.endswith(_PROSE)
    comment = " in a comment" if entries and not prose and all("comment" in entry[2:-1] for entry in entries) else ""
    if len(texts) != 1 or not texts.isdisjoint(one.hosts):
        return comment
    text = next(iter(texts))
    if kinds == {"group"}:
        return f" by the group {text}, which is left empty{comment}"
    return f" as {text}{comment}"


def _is_of_inventory(estate: EstateView, document: Node, host: Node | None) -> bool:
    """Whether a file holds the variables of a host (`host_vars/…`) that the rule about its inventory names already."""
    return (
        host is not None
        and "host_vars/" in document.text
        and bool(estate.outgoing(document, Relation.SELECTS))
        and bool(estate.incoming(host, Relation.MEMBER))
    )
