"""Scheduled jobs that run on a host that will be gone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
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
    listed,
    plural,
)
from rules.jobs.schedules import (
    Effects,
    does,
    effects_of,
    idle,
    is_housekeeping,
    jobs_on,
    lines_of,
    matching,
    name_of,
    normal_command,
    program_of,
    retires,
    runs,
    schedules_seen,
    successor_of,
    title,
    where_of,
)


@dataclass(slots=True)
class _Moving:
    """One job that someone must decide about, on all the going hosts that have the same line."""

    job: Node
    effects: Effects
    hosts: list[Going] = field(default_factory=list)
    evidence: dict[tuple[str, int], Provenance] = field(default_factory=dict)


class JobOnGoingHostRule(Rule):
    """Lists the scheduled jobs that end with a host, and tells those that someone needs from housekeeping.

    What it does
    ------------
    Takes every job that runs on a host that is retired (crontabs, periodic directories, anacron, systemd timers), and
    follows the scripts and units that it calls. A job that does something for others (it connects elsewhere, or
    writes to what is mounted from elsewhere), or whose script was not captured, is a warning of its own. What only
    looks after the machine is one note: jobs that packages of the distribution bring (logrotate, man-db, apt, sysstat,
    e2scrub, fstrim, run-parts of the periodic directories and the like, by their names), and jobs all of whose effects
    stay on the machine. Two more notes hold the jobs that do not run anyway (a crontab that cron ignores, a date that
    never comes, a timer that is over or not enabled), and those that the successor has too.

    Left to others: jobs that only start an ACME client (renewal-on-going-host), and jobs that the successor is known
    not to have (job-missing-on-successor). On a read-only host jobs go on; those that can't are told by
    write-on-read-only.

    Why it matters
    --------------
    A job that no longer runs raises no error anywhere. Its absence is noticed when somebody misses the report, the
    backup or the certificate.

    Example
    -------
    `/etc/cron.d/cert-inventory (/usr/local/sbin/cert-inventory.sh) ends with legacy-cert-01; it writes to
    https://siem.example.net/ingest`

    What to do
    ----------
    Move the job to the successor, or decide that nobody needs it. Then delete it here, so that it does not run twice
    until the host is gone.

    What it can't see
    -----------------
    What a program does that was called by its bare name or is not a shell script; jobs of schedulers other than cron,
    anacron and systemd.
    """

    id: ClassVar[str] = "job-on-going-host"
    title: ClassVar[str] = "A scheduled job ends with the host"
    area: ClassVar[Area] = Area.SCHEDULES
    severity: ClassVar[Severity] = Severity.WARN
    needs: ClassVar[frozenset[Relation]] = frozenset({Relation.RUNS_ON})

    def check(self, estate: EstateView) -> Iterator[Finding]:
        """A finding for each job with effects elsewhere; three for the rest of each host, at the most."""
        moving: dict[tuple[str, tuple[tuple[str, int], ...]], _Moving] = {}
        for going in estate.going:
            host = estate.host(going.host)
            if host is None or not retires(going):
                continue
            successor = successor_of(estate, going)
            seen = successor is not None and schedules_seen(estate, successor.text)
            theirs = (
                [
                    (other, effects_of(estate, other), normal_command(other, going, successor))
                    for other in jobs_on(estate, successor)
                    if not idle(estate, other)
                ]
                if successor is not None and seen
                else []
            )
            staying: list[Node] = []
            idling: list[tuple[Node, str]] = []
            there: list[Node] = []
            for job in jobs_on(estate, host):
                reason = idle(estate, job)
                if reason:
                    idling.append((job, reason))
                    continue
                effects = effects_of(estate, job)
                if effects.renewals and not effects.outward:
                    continue
                if is_housekeeping(job, effects):
                    staying.append(job)
                    continue
                if seen and successor is not None:
                    if matching(job, effects, normal_command(job, going, successor), theirs) is not None:
                        there.append(job)
                    continue
                if effects.stays:
                    staying.append(job)
                    continue
                found = lines_of([job])
                key = (job.text, tuple((one.path, one.line) for one in found))
                one = moving.setdefault(key, _Moving(job, effects))
                one.hosts.append(going)
                one.evidence.update({(place.path, place.line): place for place in found})
            yield from self._housekeeping(going, staying)
            yield from self._idle(going, idling)
            if successor is not None:
                yield from self._there(going, successor, there)
        for one in moving.values():
            if one.evidence:
                yield self._ending(estate, one)

    def _ending(self, estate: EstateView, one: _Moving) -> Finding:
        job, effects, going = one.job, one.effects, one.hosts[0]
        names = [host.host for host in one.hosts]
        what = does(effects)
        known = runs(estate, job)
        if effects.outward:
            purpose = f"{known}, and {what}; nobody is told when it no longer does."
        elif effects.unknown:
            purpose = f"{known}, and {what}: whether somebody needs it can't be told from here."
        else:
            purpose = f"{known}. What it does is not known."
        if not going.successor:
            action = (
                f"Move it from {where_of(job)} to another host, or decide that nobody needs it, and delete it here."
            )
        else:
            action = (
                f"Move it from {where_of(job)} to {going.successor} (nobody looked whether it is there already), or"
                " decide that nobody needs it; and delete it here."
            )
        return Finding(
            rule=self.id,
            area=self.area,
            severity=self.severity,
            confidence=Confidence.HIGH if effects.outward else Confidence.MEDIUM,
            subject=job.label,
            identity=(job.text, *names[:1]),
            message=f"{title(job)} ends with {listed(names)}",
            why=purpose,
            action=action,
            impact=Impact.BROKEN,
            evidence=tuple(one.evidence.values()),
            path=estate.path(job),
            hosts=tuple(names),
        )

    def _housekeeping(self, going: Going, jobs: Sequence[Node]) -> Iterator[Finding]:
        evidence = lines_of(jobs)
        if not evidence:
            return
        names = sorted({_short(job) for job in jobs})
        yield self._note(
            going,
            "housekeeping",
            f"{plural(len(jobs), 'job')} that {'looks' if len(jobs) == 1 else 'look'} after {going.host} itself"
            f" {'ends' if len(jobs) == 1 else 'end'} with it: {listed(names, 6)}",
            "Nothing that they do was seen to leave the machine.",
            "Nothing to move; have a look whether one of them keeps data that somebody reads.",
            evidence,
        )

    def _idle(self, going: Going, jobs: Sequence[tuple[Node, str]]) -> Iterator[Finding]:
        evidence = lines_of([job for job, _ in jobs])
        if not evidence:
            return
        said = [f"{title(job)}: {reason}" for job, reason in jobs]
        yield self._note(
            going,
            "does not run anyway",
            f"{plural(len(jobs), 'job')} on {going.host} {'does' if len(jobs) == 1 else 'do'} not run anyway:"
            f" {'; '.join(said[:3])}" + (f"; and {len(said) - 3} more" if len(said) > 3 else ""),
            "Somebody once wanted them to run: what they should have done may be missing already.",
            "Decide whether it is missed; do not move it as it is.",
            evidence,
        )

    def _there(self, going: Going, successor: Node, jobs: Sequence[Node]) -> Iterator[Finding]:
        evidence = lines_of(jobs)
        if not evidence:
            return
        yield self._note(
            going,
            "the successor has it",
            f"{plural(len(jobs), 'job')} of {going.host} {'is' if len(jobs) == 1 else 'are'} on {successor.text} too:"
            f" {listed(sorted({_short(job) for job in jobs}), 6)}",
            "Until the host is gone, both run.",
            f"See that it does its work on {successor.text}, then delete it here.",
            evidence,
        )

    def _note(
        self, going: Going, about: str, message: str, why: str, action: str, evidence: tuple[Provenance, ...]
    ) -> Finding:
        return Finding(
            rule=self.id,
            area=self.area,
            severity=Severity.INFO,
            confidence=Confidence.HIGH,
            subject=f"jobs on {going.host}",
            identity=(going.host, about),
            message=message,
            why=why,
            action=action,
            impact=Impact.NONE,
            evidence=evidence,
            hosts=(going.host,),
        )


def _short(job: Node) -> str:
    """How a package would call a job; the program of a line in a crontab that holds many."""
    name = name_of(job)
    if name in ("crontab", "anacrontab") or job.text.startswith("/var/spool/"):
        _, _, last = job.text.rpartition(" ")
        program = program_of(str(job.attributes.get("command", "")))
        return f"{program} {last}" if program == "run-parts" else program or name
    return name
