"""Alerts on a certificate's end that come too late."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import ClassVar

from auditor.api import (
    Area,
    Blast,
    Confidence,
    Count,
    EstateView,
    Finding,
    Impact,
    Kind,
    Node,
    Period,
    Relation,
    Rule,
    Severity,
    duration,
    listed,
    parse_time,
    plural,
)
from rules.recovery.stakes import Stake, stakes
from rules.renewal.lineages import called, lines
from rules.renewal.stages import around, heard, watches


class ExpiryAlertTooLateRule(Rule):
    """The first alert on a certificate's end leaves less time than it takes to act.

    What it does
    ------------
    For each certificate that loses its renewal it reads the time before the end at which each alert on it fires, from
    the threshold in the alert's expression, less the time for which it waits (`for`). The longest of them is compared
    with what is wanted: 90 days for certificates of half a year or more, a third of the lifetime for shorter ones. And
    it says whether these alerts are told to somebody who is not going.

    Why it matters
    --------------
    An alert a day before the end is an alarm, not a warning: a reissue that needs approvals or a CA in its working
    hours does not fit into it.

    Example
    -------
    `probe_ssl_earliest_cert_expiry - time() < 86400` on a certificate that lasts a year.

    What to do
    ----------
    Add an alert at 90 days that opens a ticket, and keep the late one as a page.

    What it can't see
    -----------------
    Reminders of the CA by mail, and checks that were neither captured nor declared. That no alert looks at the end at
    all is told by `renewal-stages-unwatched`; that it looks at the wrong host by `alert-blind`.
    """

    id: ClassVar[str] = "expiry-alert-too-late"
    title: ClassVar[str] = "The alert on a certificate's end comes too late"
    area: ClassVar[Area] = Area.RENEWAL
    severity: ClassVar[Severity] = Severity.WARN
    since: ClassVar[str] = "0.2.0"
    needs: ClassVar[frozenset[Relation]] = frozenset({Relation.RENEWED_BY, Relation.WATCHES, Relation.STORED_AT})
    long_lived = Period(timedelta(days=180), "the lifetime from which a certificate counts as renewed by the year")
    lead = Period(timedelta(days=90), "the time before the end of such a certificate at which an alert must fire")
    part = Count(3, "part", "into how many parts the lifetime of any other is divided: its lead is one", least=2)

    def check(self, estate: EstateView) -> Iterator[Finding]:
        """One finding for each certificate."""
        alerts = [one for one in estate.nodes(Kind.ALERT) if _lead(one) is not None and heard(one)]
        for stake in stakes(estate):
            lifetime = _lifetime(stake.blast)
            if lifetime is None or not alerts:
                continue
            hosts, names = around(estate, stake.lineage)
            mine = [one for one in alerts if watches(estate, one, hosts, names)]
            wanted = self.lead if lifetime >= self.long_lived else lifetime / self.part
            first = max((_lead(one) or 0.0 for one in mine), default=None)
            if first is not None and first < wanted.total_seconds():
                yield self._finding(estate, stake, mine, first, wanted, lifetime)

    def _finding(
        self, estate: EstateView, stake: Stake, mine: list[Node], first: float, wanted: timedelta, lifetime: timedelta
    ) -> Finding:
        name, enough = called(stake.lineage), _days(wanted.total_seconds())
        told = [edge.provider for one in mine for edge in estate.outgoing(one, Relation.NOTIFIES)]
        lost = sorted({one.text for one in told if _is_lost(estate, one)})
        route = ""
        if lost and len(lost) == len({one.text for one in told}):
            route = (
                f" {'It is' if len(mine) == 1 else 'They are'} told to {listed(lost)} alone, which leads to what goes."
            )
        return Finding(
            rule=self.id,
            area=self.area,
            severity=self.severity,
            confidence=Confidence.HIGH,
            subject=stake.lineage.label,
            identity=(stake.lineage.scope, stake.lineage.text),
            message=f"The first alert on the end of {name} comes {_days(first)} before it: {enough} are wanted",
            why=f"{plural(len(mine), 'alert')} on its end; the certificate lasts "
            f"{_days(lifetime.total_seconds())}.{route}",
            action=f"Add an alert at {int(wanted.total_seconds())} seconds ({enough}) that opens a ticket; keep "
            f"{listed([one.text for one in mine])} as a page.",
            impact=Impact.NONE,
            evidence=lines(one.provenance[0] for one in mine if one.provenance) or stake.lineage.provenance[:1],
            hosts=(stake.going.host,),
        )


def _lead(alert: Node) -> float | None:
    """Seconds before the end at which an alert fires; None if it is not on an end, or its threshold is not known."""
    lead, held = alert.attributes.get("expiry_lead_seconds"), alert.attributes.get("for")
    if not isinstance(lead, int | float):
        return None
    return max(lead - (held if isinstance(held, int | float) else 0), 0.0)


def _lifetime(blast: Blast | None) -> timedelta | None:
    if blast is None or blast.not_after is None:
        return None
    start = parse_time(blast.certificate.attributes.get("not_before"))
    return blast.not_after - start if start is not None and start < blast.not_after else None


def _days(seconds: float) -> str:
    days = int(seconds // 86400)
    return plural(days, "day") if days >= 3 else duration(seconds)


def _is_lost(estate: EstateView, receiver: Node) -> bool:
    """Whether all that a receiver tells leads to going hosts."""
    going = {one.host for one in estate.going}
    ends = [edge.provider for edge in estate.outgoing(receiver, Relation.NOTIFIES)]
    reached = [{host.text for host in estate.reaches(one)} for one in ends]
    return bool(ends) and all(hosts and hosts <= going for hosts in reached)
