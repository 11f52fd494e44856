"""Jobs that run on a host that is going and on its successor."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from auditor.api import (
    Area,
    Confidence,
    Edge,
    EstateView,
    Finding,
    Going,
    Impact,
    Need,
    Node,
    Relation,
    Rule,
    Severity,
    listed,
)
from rules.jobs.schedules import (
    WORDS,
    effects_of,
    idle,
    is_housekeeping,
    jobs_on,
    lines_of,
    matching,
    normal_command,
    retires,
    runs,
    schedules_seen,
    successor_of,
    title,
    where_of,
)
from rules.ways import switch_of


class JobOnBothSidesRule(Rule):
    """Jobs with effects elsewhere that both the old host and its successor run.

    What it does
    ------------
    Compares the jobs of a host that is going with those of its declared successor, as `job-missing-on-successor` does,
    and takes those that run on both and write to, or set something off on, the same place elsewhere. What only reads,
    or only looks after the machine, may run on both. Jobs that start an ACME client are told by `renewal-two-writers`.

    Why it matters
    --------------
    The report is sent twice, the queue is worked on twice, the file is overwritten by the older of the two. And a job
    that fails on the successor is not missed, as long as the old host does its work.

    Example
    -------
    `/etc/cron.d/invoices` on both hosts posts to `https://billing.example.net/run`

    What to do
    ----------
    Switch it off on the old host on the day on which the successor takes it over, not on the day on which the host
    goes; look at what it did once by itself.

    What it can't see
    -----------------
    Locks that a job takes elsewhere so that it runs once, and what a program does that was called by its bare name.
    """

    id: ClassVar[str] = "job-on-both-sides"
    title: ClassVar[str] = "A job runs on the host and on its successor"
    area: ClassVar[Area] = Area.SCHEDULES
    severity: ClassVar[Severity] = Severity.WARN
    since: ClassVar[str] = "0.2.0"
    needs: ClassVar[frozenset[Relation]] = frozenset({Relation.RUNS_ON})

    def check(self, estate: EstateView) -> Iterator[Finding]:
        """One finding for each job."""
        for going in estate.going:
            host, successor = estate.host(going.host), successor_of(estate, going)
            over = retires(going) and bool(going.since)
            if host is None or successor is None or over or not schedules_seen(estate, successor.text):
                continue
            there = [
                (job, effects_of(estate, job), normal_command(job, going, successor))
                for job in jobs_on(estate, successor)
                if not idle(estate, job)
            ]
            for job in jobs_on(estate, host) if there else ():
                effects = effects_of(estate, job)
                acts = [edge for edge in effects.outward if edge.need in (Need.WRITE, Need.RUN)]
                if idle(estate, job) or effects.renewals or is_housekeeping(job, effects) or not acts:
                    continue
                if not retires(going) and any(edge.lost for edge in effects.inward):
                    continue
                other = matching(job, effects, normal_command(job, going, successor), there)
                same = _same(estate, acts, next((found.outward for one, found, _ in there if one is other), ()))
                if other is not None and same:
                    yield self._finding(estate, going, successor, job, other, same)

    def _finding(
        self, estate: EstateView, going: Going, successor: Node, job: Node, other: Node, same: list[Edge]
    ) -> Finding:
        does = listed([f"{WORDS[edge.need]} {edge.provider.text}" for edge in same])
        switch = switch_of(estate, going)
        until = f"until {switch:%Y-%m-%d}" if switch else f"until {going.host} is gone"
        until = until if retires(going) else f"for as long as {going.host} runs"
        return Finding(
            rule=self.id,
            area=self.area,
            severity=self.severity,
            confidence=min((edge.confidence for edge in same), key=list(Confidence).index),
            subject=job.label,
            identity=(going.host, successor.text, job.text),
            message=f"{title(job)} runs on {going.host} and on {successor.text}, and both {_plural(does)}",
            why=f"It is done twice, {until}; and nobody misses what fails on {successor.text} meanwhile. "
            f"{runs(estate, job)}.",
            action=f"Switch it off in {where_of(job)} on {going.host} once {successor.text} has done it by itself.",
            impact=Impact.NONE,
            evidence=lines_of([job, other]),
            hosts=(going.host,),
        )


def _same(estate: EstateView, acts: list[Edge], theirs: tuple[Edge, ...]) -> list[Edge]:
    """Of a job's effects those that the other one has too: on the same place, or on the same host."""
    places = {edge.provider.text for edge in theirs}
    hosts = {host.text for edge in theirs for host in estate.reaches(edge.provider)}
    return [
        edge
        for edge in acts
        if edge.provider.text in places or any(host.text in hosts for host in estate.reaches(edge.provider))
    ]


def _plural(text: str) -> str:
    return text.replace("writes to", "write to").replace("calls ", "call ")
