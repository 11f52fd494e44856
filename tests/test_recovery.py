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
