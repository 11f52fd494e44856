"""The auditor's own schedule, on a host that is going."""

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
    Node,
    Provenance,
    Relation,
    Rule,
    Severity,
    listed,
    plural,
)
from rules.jobs.schedules import idle, jobs_on, lines_of, retires, runs, runs_auditor, title

_JUDGES: Final = frozenset({"guard", "audit", "checklist"})
_WRITES: Final = re.compile(r"\scollect\b|\s(?:--textfile|--report|--output|-o)\b")


@dataclass(slots=True)
class _Own:
    """The auditor's jobs on one host."""

    going: Going
    jobs: list[Node] = field(default_factory=list)
    commands: set[str] = field(default_factory=set)
    lines: dict[tuple[str, int], Provenance] = field(default_factory=dict)
    writes: bool = False


class AuditorOnGoingHostRule(Rule):
    """Finds the schedule of the auditor itself on a host that is going.

    What it does
    ------------
    Takes every job that runs on the host (crontabs, systemd timers, and what other schedulers run there), follows the
    scripts and units that it calls, and looks for `auditor guard`, `audit`, `checklist` or `collect`, also in a
    container or as a Python module. All of a host's are one finding, which blocks; it is a note if a host that stays
    has such a schedule too. On a read-only host it is a warning, for a run that writes: a snapshot, metrics, a report.

    Jobs that do not run anyway are left to job-on-going-host.

    Why it matters
    --------------
    What would tell of the next dependency that is forgotten goes with the host, and nothing tells of that.

    Example
    -------
    `/etc/cron.d/auditor (/opt/auditor/bin/auditor guard --snapshot /var/lib/auditor/estate) ends with ops-01`

    What to do
    ----------
    Set the schedule up on another host, with its snapshot, its textfile and its ping, see one run there, and delete it
    here. Have a dead man's switch expect its ping, and an alert watch the age of `auditor_run_timestamp_seconds`.

    What it can't see
    -----------------
    An auditor that goes by another name, and one that a program other than a shell script calls.
    """

    id: ClassVar[str] = "auditor-on-going-host"
    title: ClassVar[str] = "The auditor itself runs on what is going"
    area: ClassVar[Area] = Area.SCHEDULES
    severity: ClassVar[Severity] = Severity.BLOCK
    needs: ClassVar[frozenset[Relation]] = frozenset({Relation.RUNS_ON})

    def check(self, estate: EstateView) -> Iterator[Finding]:
        """One finding for each host."""
        for going in estate.going:
            host = estate.host(going.host)
            if host is None:
                continue
            own = _Own(going)
            for job in jobs_on(estate, host):
                called = runs_auditor(estate, job)
                if not called or idle(estate, job):
                    continue
                own.jobs.append(job)
                own.commands |= called.keys()
                own.writes = own.writes or any(_WRITES.search(line.excerpt) for line in called.values())
                own.lines.update({(line.path, line.line): line for line in (*lines_of([job]), *called.values())})
            if own.lines and (retires(going) or own.writes):
                yield self._finding(estate, own)

    def _finding(self, estate: EstateView, own: _Own) -> Finding:
        going, job = own.going, own.jobs[0]
        others = _elsewhere(estate, own.commands)
        stays = not retires(going)
        said = title(job) if len(own.jobs) == 1 else f"{plural(len(own.jobs), 'job')} of the auditor"
        to = going.successor or "another host"
        many = len(own.jobs) > 1
        if stays:
            message = f"{said} can't write on {going.host} any more"
            severity = Severity.WARN
        else:
            message = f"{said} {'end' if many else 'ends'} with {going.host}"
            severity = Severity.INFO if others else self.severity
        if others:
            why = f"It runs on {listed(others)} too."
            action = f"See that the runs on {listed(others)} look at the same estate, then delete it here."
        else:
            why = f"{runs(estate, job)}. Nothing but a dead man's switch tells that it no longer does."
            action = f"Move {'them' if many else 'it'} to {to}, with the snapshot and the ping, and see one run there."
        return Finding(
            rule=self.id,
            area=self.area,
            severity=severity,
            confidence=Confidence.HIGH,
            subject=f"the auditor on {going.host}",
            identity=(going.host,),
            message=message,
            why=why,
            action=action,
            impact=Impact.DEGRADED if others or stays else Impact.BROKEN,
            evidence=tuple(own.lines.values()),
            path=estate.path(job),
            hosts=(going.host,),
        )


def _elsewhere(estate: EstateView, commands: set[str]) -> list[str]:
    """Hosts that stay and have a schedule of the auditor that judges, or of all that these commands do."""
    gone = {one.host for one in estate.going}
    wanted = commands & _JUDGES or commands
    found: set[str] = set()
    for job in estate.nodes(Kind.JOB):
        if job.scope and job.scope not in gone and job.scope not in found and not idle(estate, job):
            called = runs_auditor(estate, job)
            if called and (called.keys() & _JUDGES or called.keys() >= wanted):
                found.add(job.scope)
    return sorted(found)
