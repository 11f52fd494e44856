"""Jobs whose last run failed, on a host that is going or on its successor."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import ClassVar

from auditor.api import (
    Area,
    Confidence,
    Count,
    EstateView,
    Finding,
    Going,
    Impact,
    Node,
    Period,
    Relation,
    Rule,
    Severity,
    listed,
)
from rules.jobs.evidence import failure_of, jobs_and, line_of, never_ran
from rules.jobs.schedules import effects_of, idle, is_housekeeping, title, where_of


class JobLastRunFailedRule(Rule):
    """Jobs of a host that is going, or of its successor, that failed at their last run or did not run at all.

    What it does
    ------------
    Takes the timers of the host and of its declared successor, anacron's jobs and tasks of Windows, with what systemd,
    anacron and Task Scheduler said of their last runs. Those that failed, that are overdue by two runs and a day, or
    whose timer is over, are told: a warning on the successor, a note on the host itself. Housekeeping that packages
    bring is left out, and so are jobs that only start an ACME client (`renewal-run-failed`, `renewal-never-ran`).

    Why it matters
    --------------
    A job that is moved as it is goes on failing, and whoever moved it takes the blame for years of it. On the successor
    it means that the move of this job is not done.

    Example
    -------
    `report.service: Result=exit-code ExecMainStatus=127` on the successor: a program that is installed on the old host
    alone

    What to do
    ----------
    Mend it where it will run, or delete it, before the old host goes.

    What it can't see
    -----------------
    Results of cron's jobs, and failures that a job does not tell by its exit status.
    """

    id: ClassVar[str] = "job-last-run-failed"
    title: ClassVar[str] = "A job failed at its last run"
    area: ClassVar[Area] = Area.SCHEDULES
    severity: ClassVar[Severity] = Severity.WARN
    since: ClassVar[str] = "0.2.0"
    needs: ClassVar[frozenset[Relation]] = frozenset({Relation.RUNS_ON})
    missed = Count(2, "run", "how many runs in a row may be missing")
    grace = Period(timedelta(days=1), "how much later than these a run may be")

    def check(self, estate: EstateView) -> Iterator[Finding]:
        """One finding for each job."""
        for going in estate.going:
            host = estate.host(going.host)
            successor = estate.successor(host) if host is not None else None
            for job in jobs_and(estate, going.host, *([successor.text] if successor is not None else [])):
                if idle(estate, job):
                    continue
                effects = effects_of(estate, job)
                if is_housekeeping(job, effects) or (effects.renewals and not effects.outward):
                    continue
                failure = failure_of(estate, job)
                reason = failure.said if failure is not None else never_ran(estate, job, self.missed, self.grace)
                if reason:
                    yield self._finding(going, job, reason, failure is not None)

    def _finding(self, going: Going, job: Node, reason: str, failed: bool) -> Finding:
        here = job.scope == going.host
        where = f"{job.scope}" if here else f"{job.scope}, which takes over from {going.host},"
        line = line_of(job)
        evidence = ([line] if line is not None else []) + list(job.provenance[:1])
        return Finding(
            rule=self.id,
            area=self.area,
            severity=Severity.INFO if here else self.severity,
            confidence=Confidence.HIGH,
            subject=job.label,
            identity=(going.host, job.scope, job.text),
            message=f"{title(job)} on {where} {reason}"
            if failed
            else f"{title(job)} on {where} does not run: {reason}",
            why="Moved as it is, it goes on so." if here else "What it does there was moved, and does not work there.",
            action=f"Mend it before it is moved, or delete it ({where_of(job)})."
            if here
            else f"Mend it there and start it once ({listed([where_of(job)])}) before {going.host} goes.",
            impact=Impact.NONE,
            evidence=tuple(dict.fromkeys(evidence)),
            hosts=(going.host,),
        )
