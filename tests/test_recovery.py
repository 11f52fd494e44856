"""Schedules of procedures: hours, time zones, approvals in sequence and in parallel."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from auditor.inventory.values import parse_hours
from auditor.model import Provenance
from auditor.recovery import Contact, OpenHours, Procedure, ProcedureStep, earliest

HERE = Provenance("inventory.yaml", 1, "x")
HOUR = 3600


def hours(text: str, zone: str = "UTC", *holidays: date) -> OpenHours:
    return OpenHours(text, parse_hours(text).windows, zone, frozenset(holidays))


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def ends(*steps: ProcedureStep, start: str) -> datetime | None:
    schedule = earliest(Procedure("p", "renewal", HERE, steps), at(start))
    return schedule.ends if schedule else None


@pytest.mark.parametrize(
    ("text", "zone", "start", "opens"),
    [
        ("Mon-Fri 09:00-17:00", "UTC", "2025-11-21T16:59", "2025-11-21T16:59"),
        ("Mon-Fri 09:00-17:00", "UTC", "2025-11-21T17:00", "2025-11-24T09:00"),
        ("Mon-Fri 09:00-17:00", "Asia/Tokyo", "2025-11-21T12:00", "2025-11-24T00:00"),
        # New York goes from UTC-4 to UTC-5 on 2 November 2025.
        ("Mon-Fri 09:00-17:00", "America/New_York", "2025-10-31T21:00", "2025-11-03T14:00"),
        ("Mon-Fri 09:00-17:00", "America/New_York", "2025-10-30T21:00", "2025-10-31T13:00"),
        ("Sun 22:00-06:00", "UTC", "2025-11-24T03:00", "2025-11-24T03:00"),
        ("Sun 22:00-06:00", "UTC", "2025-11-24T06:00", "2025-11-30T22:00"),
        ("24/7", "UTC", "2025-11-22T23:59", "2025-11-22T23:59"),
    ],
)
def test_when_somebody_can_be_reached(text: str, zone: str, start: str, opens: str) -> None:
    assert hours(text, zone).opens(at(start)) == at(opens)


def test_holidays_have_no_hours() -> None:
    closed = hours("Mon-Fri 09:00-17:00", "America/New_York", date(2025, 11, 27), date(2025, 11, 28))
    assert closed.opens(at("2025-11-26T23:00")) == at("2025-12-01T14:00")


def test_work_goes_on_in_the_next_hours() -> None:
    step = ProcedureStep("Vetting", 10 * HOUR, HERE, hours=hours("Mon-Fri 09:00-17:00"))
    assert ends(step, start="2025-11-21T15:00") == at("2025-11-24T17:00")


def test_work_that_ends_as_the_hours_do_is_done() -> None:
    step = ProcedureStep("Vetting", 2 * HOUR, HERE, hours=hours("Mon-Fri 09:00-17:00"))
    assert ends(step, start="2025-11-21T15:00") == at("2025-11-21T17:00")


def test_work_over_midnight_at_any_hour() -> None:
    step = ProcedureStep("Watch", 50 * HOUR, HERE, hours=hours("24/7"))
    assert ends(step, start="2025-11-21T15:00") == at("2025-11-23T17:00")


def test_approvals_in_sequence_wait_for_each_other() -> None:
    early, late = Contact("early", hours("Mon-Fri 08:00-10:00")), Contact("late", hours("Mon-Fri 12:00-14:00"))
    in_order = ProcedureStep("Sign", HOUR, HERE, (late, early))
    at_once = ProcedureStep("Sign", HOUR, HERE, (late, early), parallel=True)
    assert ends(in_order, start="2025-11-24T07:00") == at("2025-11-25T09:00")
    assert ends(at_once, start="2025-11-24T07:00") == at("2025-11-24T13:00")


@pytest.mark.parametrize(
    ("text", "duration", "start", "end"),
    [
        # Hours that overlap are hours once.
        ("Mon 09:00-17:00, Mon 16:00-18:00", 9, "2025-11-24T09:00", "2025-11-24T18:00"),
        ("Mon-Fri 09:00-17:00, Mon 12:00-20:00", 10, "2025-11-24T09:00", "2025-11-24T19:00"),
        ("Sun 22:00-06:00, Mon 05:00-09:00", 9, "2025-11-23T22:00", "2025-11-24T07:00"),
        ("09:00-12:00, 10:00-11:00", 4, "2025-11-24T10:30", "2025-11-25T11:30"),
        # The night of Friday ends on Saturday morning; the next is that of Monday.
        ("Mon-Fri 22:00-06:00", 9, "2025-11-21T23:00", "2025-11-25T00:00"),
        ("Mon-Fri 22:00-06:00", 7, "2025-11-21T23:00", "2025-11-22T06:00"),
    ],
)
def test_work_over_several_hours(text: str, duration: int, start: str, end: str) -> None:
    assert ends(ProcedureStep("Vetting", duration * HOUR, HERE, hours=hours(text)), start=start) == at(end)


def spans(text: str, zone: str, start: str, count: int = 1) -> list[str]:
    """The first hours, as UTC: `05:00-07:00`."""
    found = hours(text, zone).spans(at(start))
    return [f"{first:%H:%M}-{last:%H:%M}" for _, (first, last) in zip(range(count), found, strict=False)]


@pytest.mark.parametrize(
    ("text", "zone", "start", "expected"),
    [
        # New York goes from UTC-5 to UTC-4 on 8 March 2026 at 07:00 UTC: the clock has no 02:30.
        ("Sun 00:00-02:30", "America/New_York", "2026-03-08T05:00", "05:00-07:00"),
        ("Sun 02:30-05:00", "America/New_York", "2026-03-08T05:00", "07:00-09:00"),
        ("Sun 01:00-03:00", "America/New_York", "2026-03-08T05:00", "06:00-07:00"),
        ("Sun", "America/New_York", "2026-03-08T05:00", "05:00-04:00"),
        # On 2 November 2025 it has 01:30 twice: the first counts.
        ("Sun 00:00-01:30", "America/New_York", "2025-11-02T04:00", "04:00-05:30"),
        ("Sun 03:00-05:00", "America/New_York", "2025-11-02T04:00", "08:00-10:00"),
        # Lord Howe Island moves by half an hour, Cairo at midnight.
        ("Sun 01:00-02:15", "Australia/Lord_Howe", "2026-10-03T14:30", "14:30-15:30"),
        ("Fri 00:00-02:00", "Africa/Cairo", "2026-04-23T22:00", "22:00-23:00"),
    ],
)
def test_hours_on_the_day_of_a_change_of_the_clock(text: str, zone: str, start: str, expected: str) -> None:
    assert spans(text, zone, start) == [expected]


def test_work_of_days_counts_hours_and_not_what_the_clock_shows() -> None:
    watch = ProcedureStep("Watch", 48 * HOUR, HERE, hours=hours("24/7", "America/New_York"))
    assert ends(watch, start="2026-03-07T12:00") == at("2026-03-09T12:00")


def test_approvals_over_a_weekend_in_three_time_zones() -> None:
    """Friday 18:30 UTC. Berlin has gone home, Los Angeles is there, in Tokyo it is Saturday."""
    people = tuple(
        Contact(zone, hours("Mon-Fri 09:00-17:00", zone))
        for zone in ("Europe/Berlin", "America/Los_Angeles", "Asia/Tokyo")
    )
    in_order = ProcedureStep("Sign", HOUR, HERE, people)
    at_once = ProcedureStep("Sign", HOUR, HERE, people, parallel=True)
    # Berlin on Monday at 08:00, Los Angeles at 17:00, Tokyo on Tuesday at its 09:00, which is midnight.
    assert ends(in_order, start="2025-11-21T18:30") == at("2025-11-25T01:00")
    assert ends(at_once, start="2025-11-21T18:30") == at("2025-11-24T09:00")
    # The other way round: Tokyo and Los Angeles on Monday, Berlin on Tuesday.
    other = ProcedureStep("Sign", HOUR, HERE, people[::-1])
    assert ends(other, start="2025-11-21T18:30") == at("2025-11-25T09:00")
    tokyo = hours("Mon-Fri 09:00-17:00", "Asia/Tokyo", date(2025, 11, 24))
    closed = ProcedureStep("Sign", HOUR, HERE, (*people[:2], Contact("Tokyo", tokyo)), parallel=True)
    assert ends(closed, start="2025-11-21T18:30") == at("2025-11-25T01:00")


def test_an_exception_waits_for_the_hours_of_the_work_all_the_same() -> None:
    gone = Contact("gone", hours("Mon 09:00-10:00"))
    vetting = ProcedureStep("Vetting", 2 * HOUR, HERE, (gone,), hours=hours("Mon-Fri 08:00-18:00", "America/New_York"))
    procedure = Procedure("p", "emergency-reissue", HERE, (vetting,), pre_authorized=True)
    schedule = earliest(procedure, at("2025-11-21T23:30"), approvals=False)
    assert schedule is not None
    assert schedule.ends == at("2025-11-24T15:00")
    assert schedule.longest.waits_for == "its hours, Mon-Fri 08:00-18:00 America/New_York"


def test_a_pause_between_hours_is_a_wait() -> None:
    vetting = ProcedureStep("Vetting", 4 * HOUR, HERE, hours=hours("Mon-Fri 09:00-17:00"))
    schedule = earliest(Procedure("p", "renewal", HERE, (vetting,)), at("2025-11-21T15:00"))
    assert schedule is not None
    assert (schedule.ends, schedule.longest.waits_for) == (at("2025-11-24T11:00"), "its hours, Mon-Fri 09:00-17:00 UTC")


def test_what_waits_longest_is_said() -> None:
    late = Contact("late", hours("Sat 12:00-14:00"))
    steps = (ProcedureStep("Ask", HOUR, HERE), ProcedureStep("Sign", HOUR, HERE, (Contact("any"), late)))
    schedule = earliest(Procedure("p", "renewal", HERE, steps), at("2025-11-24T07:00"))
    assert schedule is not None
    assert (schedule.longest.step.name, schedule.longest.waits_for) == ("Sign", "late")
    assert schedule.ends == at("2025-11-29T13:00")
    without = earliest(Procedure("p", "renewal", HERE, steps), at("2025-11-24T07:00"), approvals=False)
    assert without is not None
    assert without.ends == at("2025-11-24T09:00")


def test_what_never_ends() -> None:
    days = [date.fromordinal(date(2025, 11, 20).toordinal() + number) for number in range(900)]
    closed = hours("Mon-Sun 09:00-17:00", "UTC", *days)
    assert closed.opens(at("2025-11-24T07:00")) is None
    assert ends(ProcedureStep("Sign", HOUR, HERE, (Contact("gone", closed),)), start="2025-11-24T07:00") is None
    assert ends(ProcedureStep("Sign", HOUR, HERE, hours=closed), start="2025-11-24T07:00") is None
