"""Alerts on a renewal that reach nobody."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
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
    Relation,
    Rule,
    Severity,
    listed,
    plural,
)
from rules.monitoring.watched import name_of, stages_of
from rules.renewal.lineages import Renewal, called, lines
from rules.renewal.stages import alerts_on, heard, in_question


class RenewalAlertUnheardRule(Rule):
    """Alerts on a renewal, or on a certificate's end, whose way leads to no living receiver.

    What it does
    ------------
    Takes the alerts that watch a stage of a renewal, or the certificate's end: of hosts that are going, of what goes
    through them, and of their successors. It follows each one through the routes to its receivers, and reports those
    that nobody hears: muted at all times, dropped on the way, sent to a receiver without a channel, or only to
    receivers all of whose channels lead to what is going.

    Why it matters
    --------------
    The alert is there, it fires in time, and in every list it looks like protection.

    Example
    -------
    `CertificateExpiresSoon` goes to `pki-oncall`, whose only webhook is the modem service on the old server.

    What to do
    ----------
    Give the receiver a channel that stays, or the route another receiver, and send a test alert.

    What it can't see
    -----------------
    What becomes of a message behind the channel: who is on call, and whether they read it. Routes that were not
    captured: of such alerts nothing is said.
    """

    id: ClassVar[str] = "renewal-alert-unheard"
    title: ClassVar[str] = "An alert on a renewal that nobody hears"
    area: ClassVar[Area] = Area.RENEWAL
    severity: ClassVar[Severity] = Severity.WARN
    since: ClassVar[str] = "0.2.0"
    needs: ClassVar[frozenset[Relation]] = frozenset({Relation.RENEWED_BY, Relation.WATCHES, Relation.NOTIFIES})

    def check(self, estate: EstateView) -> Iterator[Finding]:
        """One finding for each renewal."""
        alerts = [one for one in estate.nodes(Kind.ALERT) if stages_of(one) or _is_on_end(one)]
        for renewal, going in in_question(estate) if alerts else ():
            mine = alerts_on(estate, renewal, alerts)
            unheard = {one.id: reason for one in mine if (reason := _why_unheard(estate, one))}
            if unheard:
                yield self._finding(estate, renewal, going, mine, unheard)

    def passed(self, estate: EstateView) -> Iterator[str]:
        """The renewals all of whose alerts reach somebody."""
        alerts = [one for one in estate.nodes(Kind.ALERT) if stages_of(one) or _is_on_end(one)]
        for renewal, _ in in_question(estate) if alerts else ():
            mine = [one for one in alerts_on(estate, renewal, alerts) if estate.outgoing(one, Relation.NOTIFIES)]
            if mine and not any(_why_unheard(estate, one) for one in mine):
                receivers = {edge.provider.text for one in mine for edge in estate.outgoing(one, Relation.NOTIFIES)}
                count = plural(len(mine), "alert")
                name = called(renewal.lineage)
                yield f"{len(mine)} of {count} on the renewal of {name} reach somebody: {listed(sorted(receivers))}"

    def _finding(
        self, estate: EstateView, renewal: Renewal, going: Going, mine: Sequence[Node], unheard: Mapping[int, str]
    ) -> Finding:
        lineage = renewal.lineage
        lost = [one for one in mine if one.id in unheard]
        reasons: dict[str, list[str]] = {}
        for one in lost:
            reasons.setdefault(unheard[one.id], []).append(name_of(one))
        said = "; ".join(f"{listed(names)} {reason}" for reason, names in reasons.items())
        left = len(mine) - len(lost)
        receivers = sorted({edge.provider.text for one in lost for edge in estate.outgoing(one, Relation.NOTIFIES)})
        routes = [edge.provenance for one in lost for edge in estate.outgoing(one, Relation.NOTIFIES)]
        channels = [
            edge.provenance
            for one in lost
            for told in estate.outgoing(one, Relation.NOTIFIES)
            for edge in estate.outgoing(told.provider, Relation.NOTIFIES)
        ]
        where = lines(channels, routes)
        at = f" ({where[0].path}:{where[0].line})" if where else ""
        give = f"Give {listed(receivers)}{at} a channel that stays" if receivers else "Take the mute away"
        return Finding(
            rule=self.id,
            area=self.area,
            severity=self.severity,
            confidence=Confidence.HIGH,
            subject=lineage.label,
            identity=(lineage.scope, lineage.text, *sorted(name_of(one) for one in lost)),
            message=f"{len(lost)} of {plural(len(mine), 'alert')} on the renewal of {called(lineage)} "
            f"{'reaches' if len(lost) == 1 else 'reach'} nobody: {said}",
            why=f"{plural(left, 'other alert')} would be heard." if left else "No other alert on it would be heard.",
            action=f"{give}, and send a test alert.",
            impact=Impact.BLIND,
            evidence=lines((one.provenance[0] for one in lost if one.provenance), where),
            hosts=(going.host,),
        )


def _is_on_end(alert: Node) -> bool:
    return isinstance(alert.attributes.get("expiry_lead_seconds"), int | float)


def _why_unheard(estate: EstateView, alert: Node) -> str:
    """Why nobody hears an alert; empty if somebody does, or if it is not known whom it reaches."""
    if not heard(alert):
        by = alert.attributes.get("muted_by")
        return f"is muted by {by}" if by else "is switched off or muted"
    receivers = [edge.provider for edge in estate.outgoing(alert, Relation.NOTIFIES)]
    silent = [one for one in receivers if _is_empty(estate, one)]
    going = [one for one in receivers if one not in silent and _is_going(estate, one)]
    if not receivers or len(silent) + len(going) < len(receivers):
        return ""
    if going:
        names = sorted({host for one in going for host in _hosts(estate, one)})
        return f"is told to {listed(sorted({one.text for one in going}))} alone, on {listed(names)}"
    return f"is told to {listed(sorted({one.text for one in silent}))} alone, which has no channel"


def _is_empty(estate: EstateView, receiver: Node) -> bool:
    """Whether a receiver of Alertmanager or Grafana has no channel at all."""
    routed = any(edge.consumer.kind is Kind.ROUTE for edge in estate.incoming(receiver, Relation.NOTIFIES))
    return routed and "channels" not in receiver.attributes and not estate.outgoing(receiver, Relation.NOTIFIES)


def _is_going(estate: EstateView, receiver: Node) -> bool:
    """Whether all channels of a receiver lead to hosts that are going."""
    leaving = {one.host for one in estate.going}
    ends = [{host.text for host in estate.reaches(e.provider)} for e in estate.outgoing(receiver, Relation.NOTIFIES)]
    return bool(ends) and all(hosts and hosts <= leaving for hosts in ends)


def _hosts(estate: EstateView, receiver: Node) -> Iterator[str]:
    for edge in estate.outgoing(receiver, Relation.NOTIFIES):
        yield from (host.text for host in estate.reaches(edge.provider))
