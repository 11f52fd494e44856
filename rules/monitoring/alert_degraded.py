"""Alerts that are left with one target."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from auditor.api import (
    Area,
    Confidence,
    EstateView,
    Finding,
    Impact,
    Kind,
    Lifecycle,
    Relation,
    Rule,
    Severity,
    listed,
)
from rules.monitoring.watched import lines_of, name_of, watched_by
from rules.ways import Ways, distinct


class AlertDegradedRule(Rule):
    """Finds alerts all but one of whose targets are hosts that are going.

    What it does
    ------------
    Counts what an alert looks at in the end. If all but one of its targets lead to hosts that are going, it says how
    many, and which one is left. Alerts that keep more than one are left out; those that keep none are blind (see
    alert-blind); to an alert whose targets come from service discovery it does not apply.

    Why it matters
    --------------
    A rule written for a cluster (a sum, a quorum, "more than half are down") may mean nothing for a single server.

    Example
    -------
    `count(up{job="certs"} == 0) > 1`, where two of three targets are to be switched off: it can never fire again.

    What to do
    ----------
    Add the successors to the scrape job, and read the rule's threshold again.

    What it can't see
    -----------------
    Targets of service discovery, and whether the threshold still makes sense.
    """

    id: ClassVar[str] = "alert-degraded"
    title: ClassVar[str] = "An alert is left with one target"
    area: ClassVar[Area] = Area.MONITORING
    severity: ClassVar[Severity] = Severity.INFO
    needs: ClassVar[frozenset[Relation]] = frozenset({Relation.WATCHES})

    def check(self, estate: EstateView) -> Iterator[Finding]:
        """One finding for each alert."""
        ways = Ways(estate)
        leaving = {one.host for one in estate.going if one.lifecycle is not Lifecycle.READ_ONLY}
        for alert in estate.nodes(Kind.ALERT):
            if estate.impact_of(alert) is not Impact.DEGRADED or alert.scope in leaving:
                continue
            watched = watched_by(estate, alert)
            lost = [target for target in watched.targets if ways.hosts(target.node)]
            kept = [target for target in watched.targets if not ways.hosts(target.node)]
            if watched.dynamic or not lost or len(kept) != 1:
                continue
            hosts = tuple(sorted({host for target in lost for host in ways.hosts(target.node)}))
            yield Finding(
                rule=self.id,
                area=self.area,
                severity=self.severity,
                confidence=Confidence.HIGH,
                subject=alert.label,
                identity=(alert.text, *hosts),
                message=f"Alert {name_of(alert)} loses {len(lost)} of its {len(watched.targets)} targets with "
                f"{listed(hosts)}, and keeps {kept[0].node.text}",
                why="What it says of a group of servers it now says of one.",
                action="Add what takes over to its targets, and read its threshold again.",
                impact=Impact.DEGRADED,
                evidence=distinct(line for target in lost for line in lines_of(estate, alert, target)),
                path=ways.steps(*lost[0].edges),
                hosts=hosts,
            )
