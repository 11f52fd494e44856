"""Jobs that a host has and its successor does not."""

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
    Node,
    Provenance,
    Relation,
    Rule,
    Severity,
    plural,
)
from rules.jobs.schedules import (
    Effects,
    does,
    effects_of,
    ended,
    idle,
    is_housekeeping,
    jobs_on,
    lines_of,
    matching,
    normal_command,
    retires,
    runs,
    runs_auditor,
    schedules_seen,
    successor_of,
    title,
)


class JobMissingOnSuccessorRule(Rule):
    """Lists the jobs of a host that nobody has set up on its declared successor.

    What it does
    ------------
    Compares the jobs of a host that is going with those of the host that the inventory names as its successor: the
    same command (with both hosts' names left open), or one that calls the same script, at whatever time. What is
    missing there is a warning; a note, if all that the job does is known and stays on the machine. A job that is there
    but that cron ignores, or whose timer is not enabled, counts as missing, and the finding says so.

    Left out: housekeeping that both have by their packages, and jobs that do not run anyway (job-on-going-host); the
    auditor's own jobs (auditor-on-going-host); jobs that only start an ACME client (the rules about renewals); on a
    read-only host, jobs that fail there already (write-on-read-only). If nobody looked at the successor's schedules,
    the rule has not looked.

    Why it matters
    --------------
    A migration moves what people remember: the service and its data. The jobs around it were set up years ago, by
    hand, and run from a host that still answers; so nothing fails until that host is gone.

    Example
    -------
    `/etc/cron.d/cert-inventory (/usr/local/sbin/cert-inventory.sh) of legacy-cert-01 is missing on cert-core-01`

    What to do
    ----------
    Set the job up on the successor, or decide that nobody needs it, and delete it on the old host.

    What it can't see
    -----------------
    A job that does the same with another script, or that a program's own scheduler does on the successor.
    """

    id: ClassVar[str] = "job-missing-on-successor"
    title: ClassVar[str] = "The successor does not have the job"
    area: ClassVar[Area] = Area.SCHEDULES
    severity: ClassVar[Severity] = Severity.WARN
    confidence: ClassVar[Confidence] = Confidence.MEDIUM
    needs: ClassVar[frozenset[Relation]] = frozenset({Relation.RUNS_ON})

    def missing(self, estate: EstateView) -> tuple[str, ...]:
        """The schedules of each declared successor that nobody looked at."""
        successors = [going.successor for going in estate.going if going.successor]
        unseen = []
        for name in dict.fromkeys(successors):
            host = estate.host(name)
            if host is None or not schedules_seen(estate, host.text):
                unseen.append(f"{Relation.RUNS_ON.value} on {host.text if host is not None else name}")
        return tuple(unseen)

    def check(self, estate: EstateView) -> Iterator[Finding]:
        """One finding for each job that is missing."""
        for going in estate.going:
            host, successor = estate.host(going.host), successor_of(estate, going)
            if host is None or successor is None or not schedules_seen(estate, successor.text):
                continue
            running: list[tuple[Node, Effects, str]] = []
            idling: list[tuple[Node, Effects, str]] = []
            for other in jobs_on(estate, successor):
                known = (other, effects_of(estate, other), normal_command(other, going, successor))
                (idling if idle(estate, other) else running).append(known)
            for job in jobs_on(estate, host):
                if idle(estate, job) or runs_auditor(estate, job):
                    continue
                if not retires(going) and estate.impact_of(job) is Impact.BROKEN:
                    continue
                effects = effects_of(estate, job)
                if is_housekeeping(job, effects) or (effects.renewals and not effects.outward):
                    continue
                command = normal_command(job, going, successor)
                if matching(job, effects, command, running) is not None:
                    continue
                evidence = lines_of([job])
                if evidence:
                    there = matching(job, effects, command, idling)
                    count = len(running)
                    yield self._missing(estate, going, successor, job, effects, there, count, evidence)

    def _missing(
        self,
        estate: EstateView,
        going: Going,
        successor: Node,
        job: Node,
        effects: Effects,
        there: Node | None,
        count: int,
        evidence: tuple[Provenance, ...],
    ) -> Finding:
        what = does(effects)
        known = runs(estate, job)
        purpose = f"{known}, and {what}." if what else f"{known}."
        fate = f"It ends with {going.host}." if retires(going) else f"It runs on {going.host} only, until that is gone."
        if there is None:
            message = f"{title(job)} of {going.host} is missing on {successor.text}"
            compared = f"None of the {plural(count, 'job')} there does it." if count > 1 else ""
        else:
            message = f"{title(job)} of {going.host} does not run on {successor.text}: {idle(estate, there)}"
            compared = f"{title(there)} is there, and does nothing."
        parts = (purpose, fate, compared)
        return Finding(
            rule=self.id,
            area=self.area,
            # What keeps to the machine, and is all known, may have nothing to do on the next one.
            severity=Severity.INFO if effects.stays else self.severity,
            confidence=Confidence.MEDIUM,
            subject=job.label,
            identity=(going.host, successor.text, job.text),
            message=message,
            why=" ".join(part for part in parts if part),
            action=f"Set it up on {successor.text}, or decide that nobody needs it; {ended(job)} here.",
            impact=Impact.BROKEN if retires(going) and not effects.stays else Impact.NONE,
            evidence=(*evidence, *(lines_of([there]) if there is not None else ())),
            path=estate.path(job),
            hosts=(going.host,),
        )
