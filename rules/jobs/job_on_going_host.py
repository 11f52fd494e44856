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
    runs_auditor,
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


@dataclass(slots=True)
class _Note:
    """Jobs of one sort that need no decision, on all the going hosts that have just these."""

    about: str
    jobs: list[Node]
    reasons: list[str]
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

    Left to others: jobs that only start an ACME client (renewal-on-going-host), jobs of the auditor itself
    (auditor-on-going-host), and jobs that the successor is known not to have (job-missing-on-successor). On a
    read-only host jobs go on; those that can't are told by write-on-read-only.

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
        """A finding for each job with effects elsewhere; three for the rest of a host, at the most."""
        moving: dict[tuple[str, ...], _Moving] = {}
        notes: dict[tuple[str, ...], _Note] = {}
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
                if runs_auditor(estate, job):
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
                key = (where_of(job), str(job.attributes.get("schedule", "")), normal_command(job, going))
                one = moving.setdefault(key, _Moving(job, effects))
                one.hosts.append(going)
                one.evidence.update({(place.path, place.line): place for place in found})
            _note(notes, "housekeeping", going, staying)
            _note(notes, "does not run anyway", going, [job for job, _ in idling], [why for _, why in idling])
            if successor is not None:
                _note(notes, f"the successor has it: {successor.text}", going, there, [successor.text] * len(there))
        for one in moving.values():
            if one.evidence:
                yield self._ending(estate, one)
        for note in notes.values():
            if note.evidence:
                yield self._told(note)

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
            identity=(where_of(job), normal_command(job, going), names[0]),
            message=f"{title(job)} ends with {listed(names)}",
            why=purpose,
            action=action,
            impact=Impact.BROKEN,
            evidence=tuple(one.evidence.values()),
            path=estate.path(job),
            hosts=tuple(names),
        )

    def _told(self, note: _Note) -> Finding:
        """One note for all the hosts that have the same jobs of this sort."""
        count, hosts = len(note.jobs), listed([one.host for one in note.hosts])
        names = listed(sorted({_short(job) for job in note.jobs}), 6)
        one = count == 1
        if note.about == "housekeeping":
            where = f"{hosts} itself" if len(note.hosts) == 1 else f"each of {hosts}"
            message = (
                f"{plural(count, 'job')} that {'looks' if one else 'look'} after {where} {'ends' if one else 'end'}"
                f" with it: {names}"
            )
            why = f"Nothing that {'it does' if one else 'they do'} was seen to leave the machine."
            keeps = "it keeps" if one else "one of them keeps"
            action = f"Nothing to move; have a look whether {keeps} data that somebody reads."
        elif note.about == "does not run anyway":
            said = [f"{title(job)}: {reason}" for job, reason in zip(note.jobs, note.reasons, strict=True)]
            more = f"; and {count - 3} more" if count > 3 else ""
            verb = "does" if one else "do"
            message = f"{plural(count, 'job')} on {hosts} {verb} not run anyway: {'; '.join(said[:3])}{more}"
            why = "Somebody once wanted them to run: what they should have done may be missing already."
            action = "Decide whether it is missed; do not move it as it is."
        else:
            successor = note.reasons[0]
            message = f"{plural(count, 'job')} of {hosts} {'is' if one else 'are'} on {successor} too: {names}"
            why = "Until the host is gone, both run."
            action = f"See that it does its work on {successor}, then delete it here."
        return Finding(
            rule=self.id,
            area=self.area,
            severity=Severity.INFO,
            confidence=Confidence.HIGH,
            subject=f"jobs on {hosts}",
            identity=(note.hosts[0].host, note.about.partition(":")[0]),
            message=message,
            why=why,
            action=action,
            impact=Impact.NONE,
            evidence=tuple(note.evidence.values()),
            hosts=tuple(sorted(one.host for one in note.hosts)),
        )


def _note(
    notes: dict[tuple[str, ...], _Note], about: str, going: Going, jobs: Sequence[Node], reasons: Sequence[str] = ()
) -> None:
    """Adds a host's jobs of one sort to the note of those that have the same."""
    if not jobs:
        return
    note = notes.setdefault((about, *sorted(job.text for job in jobs)), _Note(about, list(jobs), list(reasons)))
    note.hosts.append(going)
    note.evidence.update({(place.path, place.line): place for place in lines_of(jobs)})


def _short(job: Node) -> str:
    """How a package would call a job; the program of a line in a crontab that holds many."""
    name = name_of(job)
    if name in ("crontab", "anacrontab") or job.text.startswith("/var/spool/"):
        _, _, last = job.text.rpartition(" ")
        program = program_of(str(job.attributes.get("command", "")))
        return f"{program} {last}" if program == "run-parts" else program or name
    return name
