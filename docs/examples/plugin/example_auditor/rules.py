"""A rule about batches. It asks the view, and does no I/O."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import ClassVar

from auditor.api import (
    Area,
    EstateView,
    Finding,
    Impact,
    Kind,
    Period,
    Relation,
    Rule,
    Severity,
    listed,
    next_run,
    time_left,
)


class BatchOnGoingHostRule(Rule):
    """Finds batches that start something on a host that is going.

    What it does
    ------------
    Takes each job of batchd, and looks whether the host that it names goes.

    Why it matters
    --------------
    batchd tries a host that is gone for an hour, and the batches after it wait.

    Example
    -------
    `ledger 04:30 old-01.example.net` in /etc/batchd.conf

    What to do
    ----------
    Name the successor in the line, and reload batchd.

    What it can't see
    -----------------
    Batches that somebody starts by hand.
    """

    id: ClassVar[str] = "batch-on-going-host"
    title: ClassVar[str] = "A batch starts something on the host"
    area: ClassVar[Area] = Area.SCHEDULES
    severity: ClassVar[Severity] = Severity.BLOCK
    needs: ClassVar[frozenset[Relation]] = frozenset({Relation.CONNECTS})

    soon = Period(
        timedelta(days=1),
        "how soon a batch must run to block; later ones warn",
        least=timedelta(),
        most=timedelta(days=366),
    )

    def check(self, estate: EstateView) -> Iterator[Finding]:
        """One finding for each batch."""
        for job in estate.nodes(Kind.JOB):
            lost = [edge for edge in estate.outgoing(job, Relation.CONNECTS) if edge.lost]
            if not job.attributes.get("batch") or not lost:
                continue
            hosts = estate.hosts_of(job)
            following = next_run(str(job.attributes["schedule"]), "cron", estate.now)
            near = following is not None and following - estate.now <= self.soon
            successors = sorted({one.successor for one in estate.going if one.host in hosts and one.successor})
            yield Finding(
                rule=self.id,
                area=self.area,
                severity=self.severity if near else Severity.WARN,
                confidence=self.confidence,
                subject=job.label,
                identity=(job.text, job.scope, *hosts),
                message=f"{job.label} starts something on {listed(hosts)}",
                why=f"It runs next {time_left(estate.now, following)}." if following is not None else "",
                action=f"Name {listed(successors) or 'another host'} in {lost[0].provenance.path}, and reload batchd.",
                impact=Impact.BROKEN,
                evidence=tuple(edge.provenance for edge in lost),
                path=estate.path_over(lost[0]),
                hosts=hosts,
            )
