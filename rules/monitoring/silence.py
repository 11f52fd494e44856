"""Silences of Alertmanager that hide what is going."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import ClassVar, Final

from auditor.api import (
    Area,
    Confidence,
    Edge,
    EstateView,
    Finding,
    Impact,
    Kind,
    Node,
    Period,
    Relation,
    Rule,
    Severity,
    day,
    duration,
    listed,
    parse_time,
)
from rules.ways import Ways, distinct

_INSTANCE_LABELS: Final = frozenset({"instance", "target", "host", "hostname", "fqdn", "nodename", "server"})
_PLAIN: Final = re.compile(r"\(?(?:[\w:-]|\\?\.[*+]?|\|)+\)?")
_MAX_PIECES: Final = 5


class SilenceHidesGoingHostRule(Rule):
    """Finds silences that hide the alerts of a host that is going, or of its successor.

    What it does
    ------------
    Takes the silences of a running Alertmanager or Grafana that hold now or will, and follows what they silence to
    hosts: the targets whose series meet all their matchers, or the host that a matcher names. Where no targets are
    known, a pattern of letters and `.*` is held against the names of the host. A silence that has ended is left out.
    Downtimes of an Icinga 2 likewise.

    Why it matters
    --------------
    What fails because of the move raises no alert as long as the silence holds. And a silence by a pattern, such as
    `instance=~"cert-.*"`, goes on hiding the successor when the old host is long gone.

    Example
    -------
    `instance=~"legacy-cert-01.*"`, "until the migration", until 2036.

    What to do
    ----------
    Let it expire before the move, or make sure that someone looks at the alerts by hand. Expire it when the host is
    gone.

    What it can't see
    -----------------
    Silences of an Alertmanager, a Grafana or an Icinga 2 that was not asked, and matchers on labels that neither name a
    host nor are those of a known target. Other patterns, where no targets are known. Pauses of other monitoring.
    """

    id: ClassVar[str] = "silence-hides-going-host"
    title: ClassVar[str] = "A silence hides what is going"
    area: ClassVar[Area] = Area.MONITORING
    severity: ClassVar[Severity] = Severity.WARN
    needs: ClassVar[frozenset[Relation]] = frozenset({Relation.WATCHES})
    long = Period(timedelta(days=30), "how much longer a silence must hold to be called long")

    def check(self, estate: EstateView) -> Iterator[Finding]:
        """One finding for each silence."""
        ways = Ways(estate)
        for silence in estate.nodes(Kind.SILENCE):
            ends = parse_time(silence.attributes.get("ends_at"))
            if ends is not None and ends <= estate.now:
                continue
            known = estate.outgoing(silence, Relation.SILENCES)
            edges = [edge for edge in known if ways.hosts(edge.provider)]
            hosts = {host for edge in edges for host in ways.hosts(edge.provider)}
            if not known:
                hosts = {one.host for one in estate.going if _fits(silence, (one.host, *one.names, *one.addresses))}
            if hosts:
                yield self._finding(estate, ways, silence, edges, tuple(sorted(hosts)))

    def _finding(
        self, estate: EstateView, ways: Ways, silence: Node, edges: list[Edge], hosts: tuple[str, ...]
    ) -> Finding:
        known = silence.attributes
        ends = parse_time(known.get("ends_at"))
        begins = parse_time(known.get("starts_at"))
        rest = (ends - estate.now).total_seconds() if ends is not None else 0.0
        until = f" until {day(ends)}" if ends is not None else ""
        later = begins is not None and begins > estate.now
        since = f" from {day(begins)}" if begins is not None and later else ""
        successors = _successors(estate, silence, hosts)
        message = f"A silence hides alerts of {listed(hosts)}{since}{until}"
        if successors:
            message += f", and of {listed(successors)}, which takes over"
        said = f' It says: "{known["comment"]}".' if known.get("comment") else ""
        by = f"{known['created_by']} made it." if known.get("created_by") else "Nobody is named who made it."
        long = f" It holds for {duration(rest)} more." if rest > self.long.total_seconds() else ""
        return Finding(
            rule=self.id,
            area=self.area,
            severity=self.severity,
            confidence=max((edge.confidence for edge in edges), key=list(Confidence)[::-1].index)
            if edges
            else Confidence.MEDIUM,
            subject=silence.label,
            identity=(silence.text.rpartition(" (")[0], *hosts),
            message=message,
            why=f"What the move breaks raises no alert meanwhile. {by}{said}{long}",
            action="Expire it before the move, or have someone look at these alerts by hand; expire it at the latest "
            f"when {listed(hosts)} {'is' if len(hosts) == 1 else 'are'} gone.",
            impact=Impact.MENTIONED,
            evidence=distinct(edge.provenance for edge in edges) or silence.provenance,
            path=ways.steps(*edges[:1]),
            hosts=hosts,
        )


def _fits(silence: Node, names: Iterable[str]) -> bool:
    """Whether a pattern of plain text and `.*` on a label that names a host fits one of these names, with any port."""
    conditions = silence.attributes.get("matchers")
    fits = False
    for condition in conditions if isinstance(conditions, tuple) else ():
        label, operator, value = condition.partition("=~")
        if not operator or label not in _INSTANCE_LABELS or _PLAIN.fullmatch(value) is None:
            continue
        for alternative in value.removeprefix("(").removesuffix(")").split("|"):
            pieces = re.split(r"\.[*+]", alternative.replace("\\", ""))
            if len(pieces) > _MAX_PIECES:
                continue
            pattern = re.compile(".*".join(map(re.escape, pieces)) + r"(?::\d+)?", re.I)
            fits = fits or any(pattern.fullmatch(name) for name in names)
    return fits


def _successors(estate: EstateView, silence: Node, hosts: tuple[str, ...]) -> list[str]:
    """The declared successors whose alerts it hides as well."""
    taking_over = set()
    for host in hosts:
        node = estate.host(host)
        successor = estate.successor(node) if node is not None else None
        if successor is not None:
            taking_over.add(successor.text)
    hidden = {
        host.text for edge in estate.outgoing(silence, Relation.SILENCES) for host in estate.reaches(edge.provider)
    }
    return sorted(taking_over & hidden)
