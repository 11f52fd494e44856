"""Alerts on a host that depend on that very host."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from auditor.api import (
    Area,
    Confidence,
    EstateView,
    Finding,
    Going,
    Impact,
    Kind,
    Node,
    Provenance,
    Relation,
    Rule,
    Severity,
    listed,
    plural,
)
from rules.monitoring.watched import name_of, watched_by, watchers_of
from rules.ways import distinct


class WatcherOnWatchedRule(Rule):
    """Alerts that watch the successor alone, and are evaluated there or told through it.

    What it does
    ------------
    Takes the alerts whose targets all lead to the host that takes over, and asks what they need of it: whether the rule
    is evaluated there, and whether all channels of all its receivers lead there.

    Why it matters
    --------------
    The alert that the server is down does not come, because the server is down. It is moved along with the rest of the
    old host's work, and looks as good as it did.

    Example
    -------
    Prometheus, its rule `CertServerDown` and the pager gateway were all moved to the new certificate server

    What to do
    ----------
    Let another Prometheus evaluate it, or another channel tell it; and have a dead man's switch outside.

    What it can't see
    -----------------
    What a channel goes through behind its first address. Alerts on the host that goes are told by `alert-blind`, their
    receivers by `alert-receiver-going`.
    """

    id: ClassVar[str] = "watcher-on-watched"
    title: ClassVar[str] = "An alert depends on what it watches"
    area: ClassVar[Area] = Area.MONITORING
    severity: ClassVar[Severity] = Severity.WARN
    since: ClassVar[str] = "0.2.0"
    needs: ClassVar[frozenset[Relation]] = frozenset({Relation.WATCHES})

    def check(self, estate: EstateView) -> Iterator[Finding]:
        """One finding for each successor."""
        seen: set[str] = set()
        for going in estate.going:
            host = estate.host(going.host)
            successor = estate.successor(host) if host is not None else None
            if successor is not None and estate.going_for(successor) is None and successor.text not in seen:
                seen.add(successor.text)
                yield from self._successor(estate, going, successor)

    def _successor(self, estate: EstateView, going: Going, host: Node) -> Iterator[Finding]:
        alerts = [node for node in watchers_of(estate, host) if node.kind is Kind.ALERT and _only(estate, node, host)]
        evaluated = [node for node in alerts if _runs_on(estate, node, host)]
        told = [node for node in alerts if node not in evaluated and _told_through(estate, node, host)]
        if not evaluated and not told:
            return
        said = []
        if evaluated:
            said.append(f"{listed(_names(evaluated))} {'is' if len(evaluated) == 1 else 'are'} evaluated there")
        if told:
            said.append(f"{listed(_names(told))} {'is' if len(told) == 1 else 'are'} told through it alone")
        count = len(evaluated) + len(told)
        lines = distinct(line for node in (*evaluated, *told) for line in _lines(estate, node, host))
        yield Finding(
            rule=self.id,
            area=self.area,
            severity=self.severity,
            confidence=Confidence.HIGH,
            subject=host.text,
            identity=(host.text, *sorted(_names([*evaluated, *told]))),
            message=f"{count} of {plural(len(alerts), 'alert')} that {'watches' if len(alerts) == 1 else 'watch'} "
            f"{host.text} alone {'needs' if count == 1 else 'need'} it: {'; '.join(said)}",
            why="When it is down nobody is told.",
            action="Let another server evaluate "
            f"{'it' if count == 1 else 'them'}, or tell {'it' if count == 1 else 'them'} over a channel elsewhere.",
            impact=Impact.BLIND,
            evidence=lines,
            hosts=(going.host,),
        )


def _only(estate: EstateView, alert: Node, host: Node) -> bool:
    """Whether an alert looks at this host and at no other."""
    watched = watched_by(estate, alert)
    ends = [{one.text for one in estate.reaches(target.node)} for target in watched.targets]
    return not watched.dynamic and bool(ends) and all(end == {host.text} for end in ends)


def _runs_on(estate: EstateView, alert: Node, host: Node) -> bool:
    places = [edge.provider for edge in estate.outgoing(alert, Relation.RUNS_ON)]
    return bool(places) and all(one.id == host.id for place in places for one in estate.reaches(place))


def _told_through(estate: EstateView, alert: Node, host: Node) -> bool:
    """Whether all channels of all receivers of an alert lead to a host."""
    receivers = [edge.provider for edge in estate.outgoing(alert, Relation.NOTIFIES)]
    ends = [
        {one.text for one in estate.reaches(edge.provider)}
        for receiver in receivers
        for edge in estate.outgoing(receiver, Relation.NOTIFIES)
    ]
    return bool(ends) and all(end == {host.text} for end in ends)


def _names(alerts: list[Node]) -> list[str]:
    return list(dict.fromkeys(name_of(one) for one in alerts))


def _lines(estate: EstateView, alert: Node, host: Node) -> Iterator[Provenance]:
    yield from alert.provenance[:1]
    for told in estate.outgoing(alert, Relation.NOTIFIES):
        for edge in estate.outgoing(told.provider, Relation.NOTIFIES):
            if any(one.id == host.id for one in estate.reaches(edge.provider)):
                yield edge.provenance
