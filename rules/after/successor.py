"""Jobs that were to move with a host, and have not run where they moved to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import ClassVar, Final

from auditor.api import (
    Area,
    Confidence,
    EstateView,
    Finding,
    Going,
    Impact,
    Node,
    Phase,
    Relation,
    Rule,
    Severity,
    day,
    listed,
    parse_time,
    plural,
)
from rules.after.answers import ended
from rules.after.references import AFTER
from rules.jobs.evidence import failure_of, interval_of
from rules.jobs.schedules import (
    effects_of,
    idle,
    is_housekeeping,
    jobs_on,
    lines_of,
    matching,
    normal_command,
    runs_auditor,
    schedules_seen,
    successor_of,
    title,
)

_SHOWN: Final = 5


@dataclass(frozen=True, slots=True)
class _Moved:
    """A job of the old host and the one that does the same on the successor, if there is one."""

    going: Going
    successor: Node
    old: Node
    new: Node | None


class AfterJobNotRunRule(Rule):
    """Jobs of a host that is gone, which its successor does not have, or of which no run there is known.

    What it does
    ------------
    After the switch-off it takes the jobs that the host had, from captures from before, and looks for each on the
    declared successor: the same command, or one that calls the same script. One that is missing there or does nothing
    blocks; so does one that failed, or that should have run since and has not. Of those that leave no time of their
    last run (cron) it makes one note. Left out are housekeeping that each machine has, and what did not run on the old
    host.

    Why it matters
    --------------
    That a job is set up is not that it runs. The first run after a move is the one that finds the missing key, the path
    that is another, and the firewall.

    Example
    -------
    `/etc/cron.d/cert-inventory` is on the successor, and `cert-inventory.timer` there never ran

    What to do
    ----------
    Start it once by hand, and look at what it made.

    What it can't see
    -----------------
    What a run did, and runs of cron, which keeps no record of them: look into its log. If no captures of the old host
    were kept, nobody knows what it had, and the rule has not looked; give the snapshot from before as a second
    `--estate`.
    """

    id: ClassVar[str] = "after-job-not-run"
    title: ClassVar[str] = "A job has not run where it moved to"
    area: ClassVar[Area] = Area.SCHEDULES
    severity: ClassVar[Severity] = Severity.BLOCK
    since: ClassVar[str] = "0.2.0"
    phases: ClassVar[frozenset[Phase]] = AFTER
    needs: ClassVar[frozenset[Relation]] = frozenset()

    def missing(self, estate: EstateView) -> tuple[str, ...]:
        """The schedules from before, and those of the successor."""
        found = []
        for going in estate.going:
            if not going.successor:
                continue
            if not schedules_seen(estate, going.host) and not estate.looked_at(going.host, Area.SCHEDULES):
                found.append(f"its jobs, from a snapshot from before, on {going.host}")
            successor = successor_of(estate, going)
            if successor is None or not schedules_seen(estate, successor.text):
                name = successor.text if successor is not None else going.successor
                found.append(f"{Relation.RUNS_ON.value} on {name}")
        return tuple(found)

    def check(self, estate: EstateView) -> Iterator[Finding]:
        """One finding for each job, and a note for those that leave no trace."""
        silent: dict[str, list[_Moved]] = {}
        for one in _moved(estate):
            trouble = _trouble(estate, one)
            if trouble is None:
                silent.setdefault(one.going.host, []).append(one)
            elif trouble:
                yield self._finding(one, trouble)
        for host, moved in silent.items():
            yield self._note(host, moved)

    def passed(self, estate: EstateView) -> Iterator[str]:
        """How many have run."""
        known = list(_moved(estate))
        for going in estate.going:
            of = [one for one in known if one.going.host == going.host]
            ran = [one for one in of if one.new is not None and _trouble(estate, one) == ""]
            if ran:
                yield f"{len(ran)} of {plural(len(of), 'job')} of {going.host} have run on {of[0].successor.text}"

    def _finding(self, one: _Moved, trouble: str) -> Finding:
        where = one.successor.text
        return Finding(
            rule=self.id,
            area=self.area,
            severity=self.severity,
            confidence=Confidence.HIGH if one.new is not None else Confidence.MEDIUM,
            subject=one.old.label,
            identity=(one.going.host, one.old.text),
            message=f"{title(one.old)}, which {one.going.host} did, {trouble}",
            why=f"{one.going.host} does it no more.",
            action=f"Set it up on {where}, and start it once." if one.new is None else "Start it once, and see it end.",
            impact=Impact.BROKEN,
            evidence=lines_of([one.new, one.old] if one.new is not None else [one.old]),
            hosts=(one.going.host,),
        )

    def _note(self, host: str, moved: list[_Moved]) -> Finding:
        names = listed([title(one.old) for one in moved], _SHOWN)
        return Finding(
            rule=self.id,
            area=self.area,
            severity=Severity.INFO,
            confidence=Confidence.MEDIUM,
            subject=f"jobs of {host}",
            identity=(host, "no trace"),
            message=f"Of {plural(len(moved), 'job')} of {host} nothing shows that they have run on "
            f"{moved[0].successor.text}: {names}",
            why="They are set up there, and what starts them keeps no time of the last run.",
            action="Look into the log of cron there, or at what they make.",
            impact=Impact.NONE,
            evidence=lines_of([one.new for one in moved if one.new is not None]),
            hosts=(host,),
        )


def _moved(estate: EstateView) -> Iterator[_Moved]:
    """The jobs that a host had, each with the one that does the same on its successor."""
    for going in estate.going:
        host, successor = estate.host(going.host), successor_of(estate, going)
        if host is None or successor is None or not schedules_seen(estate, successor.text):
            continue
        there = [
            (other, effects_of(estate, other), normal_command(other, going, successor))
            for other in jobs_on(estate, successor)
        ]
        for job in jobs_on(estate, host):
            effects = effects_of(estate, job)
            if idle(estate, job) or runs_auditor(estate, job) or is_housekeeping(job, effects) or not lines_of([job]):
                continue
            yield _Moved(going, successor, job, matching(job, effects, normal_command(job, going, successor), there))


def _trouble(estate: EstateView, one: _Moved) -> str | None:
    """Why a job does not do its work on the successor; empty if it does, None if nothing shows either."""
    where = one.successor.text
    if one.new is None:
        return f"is missing on {where}"
    if why := idle(estate, one.new):
        return f"does not run on {where}: {why}"
    if failure := failure_of(estate, one.new):
        return f"{failure.said} on {where}"
    if not one.new.attributes.get("runs_known"):
        return None
    last = parse_time(one.new.attributes.get("last_run"))
    since = ended(estate, one.going)
    if last is not None and (since is None or last > since):
        return ""
    due = _due(one.new, since or last, estate.now)
    if due:
        return ""
    return f"has not run on {where}" + (f" since {day(last)}" if last is not None else "")


def _due(job: Node, since: datetime | None, now: datetime) -> bool:
    """Whether the first run since is still to come."""
    return since is not None and now - since < timedelta(seconds=interval_of(job, now))
