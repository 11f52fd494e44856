"""The ways back that people walk: procedures with their steps, approvals and hours, and when they end at the earliest.

Pure: the time is passed in, and time zones are those of the IANA database (`zoneinfo`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Final

from auditor.model import Provenance

_DAY: Final = 24 * 60
_WEEK: Final = 7 * _DAY
_HORIZON: Final = 800
"""Days that are looked at: what is not done by then counts as never done."""


@dataclass(frozen=True, slots=True)
class OpenHours:
    """When someone can be reached, or something can be done.

    `windows` are (first minute, last minute) pairs since Monday 00:00, the last one exclusive and perhaps beyond the
    week; `holidays` are dates of `time_zone` on which there are no hours.
    """

    text: str
    windows: tuple[tuple[int, int], ...]
    time_zone: str = "UTC"
    holidays: frozenset[date] = frozenset()

    def spans(self, start: datetime) -> Iterator[tuple[datetime, datetime]]:
        """The hours from `start` on, in order and in UTC, day by day; the first may have begun already.

        They never overlap, also where the windows do.
        """
        zone = self._zone()
        pieces: dict[int, list[tuple[int, int]]] = {}
        for first, last in self.windows:
            while first < last:
                end = min(last, first - first % _DAY + _DAY)
                pieces.setdefault(first % _WEEK // _DAY, []).append((first % _DAY, end - (first - first % _DAY)))
                first = end
        today = start.astimezone(zone).date()
        told = start
        for number in range(_HORIZON):
            day = today + timedelta(days=number)
            if day in self.holidays:
                continue
            for first, last in sorted(pieces.get(day.weekday(), ())):
                begin, end_at = _wall(day, first, zone), _wall(day, last, zone)
                if end_at > told and end_at > begin:
                    yield (begin if told == start else max(begin, told)), end_at
                    told = end_at

    def opens(self, start: datetime) -> datetime | None:
        """The first moment from `start` on that is within these hours; None if there is none within two years."""
        first = next(self.spans(start), None)
        return None if first is None else max(first[0], start)

    def _zone(self) -> tzinfo:
        from zoneinfo import ZoneInfo

        return UTC if self.time_zone == "UTC" else ZoneInfo(self.time_zone)


def _wall(day: date, minute: int, zone: tzinfo) -> datetime:
    """A wall clock's minute of a day, as UTC.

    Of a minute that the clock shows twice it is the first; one that it leaves out is the moment at which it goes on.
    """
    day, minute = day + timedelta(days=minute // _DAY), minute % _DAY
    wall = datetime.combine(day, time(minute // 60, minute % 60), zone)
    after, before = wall.astimezone(UTC), wall.replace(fold=1).astimezone(UTC)
    if after.astimezone(zone).replace(tzinfo=None) == wall.replace(tzinfo=None):
        return after
    # In a gap: the change of the offset is between the two readings (PEP 495).
    offset = before.astimezone(zone).utcoffset()
    while after - before > timedelta(seconds=1):
        middle = before + (after - before) // 2
        if middle.astimezone(zone).utcoffset() == offset:
            before = middle
        else:
            after = middle
    return after.replace(microsecond=0)


@dataclass(frozen=True, slots=True)
class Contact:
    """Someone who approves, or an authority's people. Without hours: at any time."""

    name: str
    hours: OpenHours | None = None
    emergency: str = ""
    provenance: Provenance | None = None


@dataclass(frozen=True, slots=True)
class ProcedureStep:
    """One step of a procedure. `seconds` is its work, after all have approved it.

    `runs_on` and `logs_in_through` are hosts, names, addresses and endpoints as references have them, `places` the
    lines that name them.
    """

    name: str
    seconds: int
    provenance: Provenance
    approvals: tuple[Contact, ...] = ()
    parallel: bool = False
    hours: OpenHours | None = None
    key: str = ""
    site: str = ""
    runs_on: tuple[str, ...] = ()
    logs_in_through: tuple[str, ...] = ()
    places: tuple[Provenance, ...] = ()


@dataclass(frozen=True, slots=True)
class Procedure:
    """How people get a certificate or a key back. `kind` is one of the inventory's."""

    name: str
    kind: str
    provenance: Provenance
    steps: tuple[ProcedureStep, ...]
    certificate: str = ""
    pre_authorized: bool = False
    last_rehearsed: datetime | None = None
    rehearsal: Provenance | None = None
    document: str = ""
    last_reviewed: datetime | None = None
    review: Provenance | None = None

    @property
    def approvers(self) -> tuple[Contact, ...]:
        """All whose approval it needs, each once."""
        return tuple({one.name: one for step in self.steps for one in step.approvals}.values())


@dataclass(frozen=True, slots=True)
class KeyStore:
    """Where a private key is kept: `hosts` and `backup_hosts` are names as they are written."""

    name: str
    store: str
    provenance: Provenance
    hosts: tuple[str, ...] = ()
    site: str = ""
    backup_hosts: tuple[str, ...] = ()
    backup_site: str = ""
    escrow: str = ""
    escrow_seconds: int | None = None
    custodians: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Recovery:
    """What an inventory declares of the ways back."""

    procedures: tuple[Procedure, ...] = ()
    keys: tuple[KeyStore, ...] = ()
    authorities: tuple[Contact, ...] = ()


@dataclass(frozen=True, slots=True)
class TimedStep:
    """A step with its times: its turn, its work from beginning to end, and who or what it waits for longest."""

    step: ProcedureStep
    ready: datetime
    begins: datetime
    ends: datetime
    waits_for: str

    @property
    def seconds(self) -> float:
        """How long it takes with all that it waits for."""
        return (self.ends - self.ready).total_seconds()


@dataclass(frozen=True, slots=True)
class Schedule:
    """When a procedure ends at the earliest, and what of it takes the longest."""

    start: datetime
    steps: tuple[TimedStep, ...]

    @property
    def ends(self) -> datetime:
        return self.steps[-1].ends if self.steps else self.start

    @property
    def longest(self) -> TimedStep:
        return max(self.steps, key=lambda one: one.seconds)


def earliest(procedure: Procedure, start: datetime, *, approvals: bool = True) -> Schedule | None:
    """A procedure's schedule if everybody answers at once as soon as they can be reached, and nothing fails.

    Approvals are asked for one after the other or all at once, as their step says; its work begins when all are there,
    is done within its hours only, and goes on in the next ones. Without `approvals` they follow later. None if it does
    not end within two years.
    """
    steps: list[TimedStep] = []
    at = start
    for step in procedure.steps:
        approved, waits, held = at, "", timedelta()
        for one in step.approvals if approvals else ():
            asked = at if step.parallel else approved
            found = one.hours.opens(asked) if one.hours is not None else asked
            if found is None:
                return None
            if found - asked > held:
                held, waits = found - asked, one.name
            approved = max(approved, found)
        done = _work(step, approved)
        if done is None:
            return None
        begins, ends = done
        # Where its hours end before its work does, it waits for the next ones.
        closed = ends - approved - timedelta(seconds=step.seconds)
        if closed > held and step.hours is not None:
            waits = f"its hours, {step.hours.text} {step.hours.time_zone}"
        steps.append(TimedStep(step, at, begins, ends, waits))
        at = ends
    return Schedule(start, tuple(steps))


def _work(step: ProcedureStep, start: datetime) -> tuple[datetime, datetime] | None:
    left = timedelta(seconds=step.seconds)
    if step.hours is None:
        return start, start + left
    begins: datetime | None = None
    for opens, closes in step.hours.spans(start):
        at = max(opens, start)
        begins = at if begins is None else begins
        if at + left <= closes:
            return begins, at + left
        left -= closes - at
    return None
