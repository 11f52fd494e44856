"""What is known of the last runs of jobs, for the rules that ask whether they work."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from auditor.api import CronDialect, EstateView, Kind, Node, Provenance, Relation, day, interval, parse_time

DAY: Final = 86400.0
_LONG: Final = 3650 * DAY
_ENDED: Final = frozenset({"failed", "inactive"})
_RESULTS: Final = {
    "exit-code": "it ended with status {status}",
    "timeout": "it took longer than it may",
    "signal": "it was killed",
    "core-dump": "it crashed",
    "watchdog": "it did not answer any more",
    "oom-kill": "the machine had no memory left for it",
    "start-limit-hit": "it failed too often to be started again",
    "resources": "it could not be started",
    "protocol": "it did not start as it should",
    "exec-condition": "",
    "stopped": "it was stopped before its end",
}
"""What systemd's `Result=` says (systemd.exec(5)); a condition that does not hold is no failure. And of
Windows, which stops tasks."""
_DIALECTS: Final[dict[str, CronDialect]] = {
    "debian": "debian",
    "cronie": "cronie",
    "busybox": "busybox",
    "freebsd": "freebsd",
}


@dataclass(frozen=True, slots=True)
class Failure:
    """The failed last run of a job: the unit that failed, why and when."""

    unit: Node
    why: str
    when: datetime | None
    line: Provenance

    @property
    def said(self) -> str:
        """`failed at its last run, Fri 2025-11-21 03:17 UTC: it ended with status 1`."""
        at = f", {day(self.when)}" if self.when else ""
        return f"failed at its last run{at}: {self.why}"


def failure_of(estate: EstateView, job: Node) -> Failure | None:
    """How the last run of a timer's service failed; None if it did not, or nothing is known of it."""
    for node in (job, *(edge.provider for edge in estate.outgoing(job, Relation.CALLS))):
        known = node.attributes
        result = known.get("last_result")
        if not isinstance(result, str) or result == "success":
            continue
        status = known.get("last_status", "not known")
        why = _RESULTS.get(result, f"its result is {result}").format(status=status)
        line = line_of(node)
        if why and line is not None:
            when = parse_time(known.get("last_ended")) or parse_time(known.get("last_started"))
            return Failure(node, why, when, line)
    return None


def never_ran(estate: EstateView, job: Node, missed: int, grace: timedelta) -> str:
    """Why a job is known not to run as it should: it never ran, is overdue, or will not run again; empty if it does.

    So many runs may be missing, and so much time beyond them: machines are switched off, and times may be wrong.
    """
    known = job.attributes
    line = line_of(job)
    if not known.get("runs_known") or line is None:
        return ""
    seen = parse_time(line.collected_at) or estate.now
    if known.get("elapsed") and not _is_running(estate, job):
        return "its timer is over, and will not start it again before the machine is started anew"
    allowed = timedelta(seconds=missed * interval_of(job, estate.now)) + grace
    last, since = parse_time(known.get("last_run")), parse_time(known.get("runs_since"))
    if last is not None:
        late = seen - last > allowed
        return f"it ran last {day(last)}, and should have run since" if late else ""
    if since is not None and seen - since > allowed:
        if known.get("dialect") == "windows":
            return f"it has never run, and should have since {day(since)}"
        return f"it has not run since the machine was started ({day(since)} or before)"
    return ""


def line_of(node: Node) -> Provenance | None:
    """Where it stands when a job or unit ran last."""
    return next((one for one in node.provenance if "/.auditor/" in one.path or "/var/spool/anacron/" in one.path), None)


def _is_running(estate: EstateView, job: Node) -> bool:
    return any(
        edge.provider.kind is Kind.UNIT and edge.provider.attributes.get("active_state") not in (None, *_ENDED)
        for edge in estate.outgoing(job, Relation.CALLS)
    )


def interval_of(trigger: Node, now: datetime) -> float:
    """Seconds between two runs of a job; a day if its schedule can't be read, ten years if only events start it."""
    known = trigger.attributes
    schedule, dialect = known.get("schedule"), str(known.get("dialect", ""))
    found: float | None = None
    if isinstance(schedule, str):
        try:
            if dialect == "systemd":
                found = interval(schedule, "oncalendar", now)
            elif dialect != "windows":
                found = interval(schedule, "cron", now, dialect=_DIALECTS.get(dialect, "vixie"))
        except ValueError:
            found = None
    for key in ("interval", "on_unit_active", "on_unit_inactive"):
        value = known.get(key)
        if found is None and isinstance(value, int | float) and value > 0:
            found = float(value)
    # Tasks of Windows have their interval, unless they wait for an event.
    return max(float(found or (_LONG if dialect == "windows" else DAY)), 60.0)


def jobs_and(estate: EstateView, *hosts: str) -> Iterator[Node]:
    """The jobs of these hosts of which it is known when they ran."""
    for host in dict.fromkeys(hosts):
        for job in estate.nodes_at(host, Kind.JOB):
            if job.attributes.get("runs_known"):
                yield job
