"""Jobs that a scheduler elsewhere sends to a host that is going."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from auditor.api import (
    Area,
    Confidence,
    Edge,
    EstateView,
    Finding,
    Impact,
    Kind,
    Node,
    Relation,
    Rule,
    Severity,
    listed,
    plural,
)
from rules.jobs.schedules import idle, retires, runs, title
from rules.texts import settings
from rules.ways import Ways, distinct, successor_of


@dataclass(slots=True)
class _Pinned:
    """A job with the machines that it may run on: those that go, and how many there are."""

    job: Node
    lost: list[Edge] = field(default_factory=list)
    total: int = 0


class JobPinnedToGoingHostRule(Rule):
    """Finds jobs of Jenkins, Rundeck, Nomad, GitHub Actions and GitLab CI that may run only on a host that is retired.

    What it does
    ------------
    Takes every job of a scheduler that runs elsewhere, or of which only the definition was captured, and the machines
    that the job names: a node filter, a constraint, a runner's label that is the machine's name. If none of them is
    left, that blocks; if others are, it is a warning with how many. A job that does not run anyway is a note. Nothing
    is said for a read-only host, which goes on running what it is sent.

    Left to others: jobs that the host schedules itself (job-on-going-host), and what a job connects to
    (job-calls-going-host).

    Why it matters
    --------------
    The scheduler does not fail: it waits for a node that never answers, or selects none and calls the run successful.

    Example
    -------
    `nodefilters: {filter: 'name: legacy-cert-01.example.net'}` of a job that runs `certbot renew` each night

    What to do
    ----------
    Name the successor, or a group that it is in, and run the job once before the host goes.

    What it can't see
    -----------------
    Which machines a label, a tag or a class of nodes stands for, and nodes whose name is not their host name.
    """

    id: ClassVar[str] = "job-pinned-to-going-host"
    title: ClassVar[str] = "A scheduler elsewhere runs a job on the host"
    area: ClassVar[Area] = Area.SCHEDULES
    severity: ClassVar[Severity] = Severity.BLOCK
    needs: ClassVar[frozenset[Relation]] = frozenset({Relation.RUNS_ON})

    def check(self, estate: EstateView) -> Iterator[Finding]:
        """One finding for each job."""
        going = {one.host for one in estate.going if retires(one)}
        if not going:
            return
        ways = Ways(estate)
        for job in estate.nodes(Kind.JOB):
            if job.scope in going:
                continue
            pinned = _Pinned(job)
            for edge in estate.outgoing(job, Relation.RUNS_ON):
                if edge.provider.kind is Kind.HOST and edge.provider.text == job.scope:
                    continue
                pinned.total += 1
                if going & ways.hosts(edge.provider):
                    pinned.lost.append(edge)
            if pinned.lost:
                yield self._finding(estate, ways, pinned)

    def _finding(self, estate: EstateView, ways: Ways, pinned: _Pinned) -> Finding:
        job, lost = pinned.job, pinned.lost
        hosts = tuple(sorted({host for edge in lost for host in ways.hosts(edge.provider)}))
        left = 0 if _single(lost) else pinned.total - len(lost)
        reason = idle(estate, job)
        lines = distinct(edge.provenance for edge in lost)
        if left:
            message = (
                f"{title(job)} loses {len(lost)} of {plural(pinned.total, 'machine')} it may run on: {listed(hosts)}"
            )
            why = f"{plural(left, 'other machine')} {'is' if left == 1 else 'are'} left to it."
        else:
            message = f"{title(job)} may run only on {listed(hosts)}"
            why = f"{runs(estate, job)}; then no machine is left for it, and the scheduler waits or skips it."
        if reason:
            why = f"It does not run anyway: {reason}."
        successor = successor_of(estate, hosts)
        return Finding(
            rule=self.id,
            area=self.area,
            severity=Severity.INFO if reason else Severity.WARN if left else self.severity,
            confidence=min((edge.confidence for edge in lost), key=list(Confidence).index),
            subject=job.label,
            identity=(job.scope, job.text, *hosts),
            message=message,
            why=why,
            action=f"Name {successor or 'a machine that stays'} in {listed(settings(lines))}, and run the job once.",
            impact=Impact.NONE if reason else Impact.DEGRADED if left else Impact.BROKEN,
            evidence=lines,
            path=ways.steps(lost[0]),
            hosts=hosts,
        )


def _single(lost: Sequence[Edge]) -> bool:
    """Whether one of the machines is required by itself, whatever else the job may run on."""
    return any(not edge.group for edge in lost)
