"""When schedules run: known answers, the traps of the libraries, and properties over generated schedules."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auditor.schedule import CronDialect, interval, last_elapse, next_run, previous_run, read_cron_schedule

NOW = datetime(2026, 11, 23, 10, 0, 30, tzinfo=UTC)  # a Monday
DAY = 86400


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("schedule", "after", "before", "gap"),
    [
        # DOM_STAR: a day of month that begins with a star is joined by AND; Mondays on odd days are up to 3 weeks apart
        ("0 0 */2 * mon", "2026-12-07", "2026-11-23", 21 * DAY),
        ("0 0 2 * mon", "2026-11-30", "2026-11-23", 7 * DAY),
        ("0 0 * * 7", "2026-11-29", "2026-11-22", 7 * DAY),
        ("0 0 * * 5-7", "2026-11-27", "2026-11-22", 5 * DAY),
        ("@weekly", "2026-11-29", "2026-11-22", 7 * DAY),
        ("@annually", "2027-01-01", "2026-01-01", 365 * DAY),
        ("~ 3 * * *", "2026-11-24T03:59", "2026-11-23T03:59", DAY),
        ("0~30 3 * * *", "2026-11-24T03:30", "2026-11-23T03:30", DAY),
        ("0 0 29 2 *", "2028-02-29", "2024-02-29", 1461 * DAY),
        ("* * * * *", "2026-11-23T10:01", "2026-11-23T10:00", 60),
        ("*/5 8-17 * * mon-fri", "2026-11-23T10:05", "2026-11-23T10:00", 62 * 3600 + 300),
        ("*5 * * * *", "2026-11-23T10:01", "2026-11-23T10:00", 60),
        # a reversed range matches nothing on Debian, so that the day of the week decides alone
        # cronsim alone would take 3-3/2 for 3/2
        ("3-3/2 0 * * *", "2026-11-24T00:03", "2026-11-23T00:03", DAY),
        ("0 0 22-4 * mon", "2026-11-30", "2026-11-23", 7 * DAY),
        # either day where neither field begins with a star, although the 30th of February never comes
        ("0 0 30 2 mon", "2027-02-01", "2026-02-23", 350 * DAY),
    ],
)
def test_cron(schedule: str, after: str, before: str, gap: int) -> None:
    assert next_run(schedule, "cron", NOW) == at(after)
    assert previous_run(schedule, "cron", NOW) == at(before)
    assert interval(schedule, "cron", NOW) == gap


def test_busybox_joins_days_by_or() -> None:
    assert next_run("0 0 */2 * mon", "cron", NOW, dialect="busybox") == at("2026-11-25")
    assert interval("0 0 */2 * mon", "cron", NOW, dialect="busybox") == 2 * DAY


def test_nth_weekday_is_no_cron() -> None:
    assert read_cron_schedule("0 0 * * 1#2", "debian").weekdays == frozenset({1})  # the rest of the word is skipped
    with pytest.raises(ValueError, match="bad day-of-week"):
        read_cron_schedule("0 0 * * 1#2", "cronie")


def test_busybox_ranges_go_around() -> None:
    assert read_cron_schedule("22-1 * * * *", "busybox").minutes == frozenset({*range(22, 60), 0, 1})


def test_freebsd_seconds() -> None:
    assert interval("@300", "cron", NOW) == 300
    assert interval("@every_second", "cron", NOW) == 1
    assert interval("@every_minute", "cron", NOW, dialect="freebsd") == 60
    with pytest.raises(ValueError, match="counts from the start of cron"):
        next_run("@300", "cron", NOW)


@pytest.mark.parametrize(
    ("schedule", "reason"),
    [
        ("0 0 30 2 *", "never runs: none of its months has a day 30"),
        ("22-4 * * * *", "never runs: no minute matches"),
        ("60 * * * *", "bad minute: 60 is not within 0-59"),
        ("0 0 * * monday", "bad day-of-week"),
        ("0 0 L * *", "bad day-of-month"),
        ("@reboot", "start-up"),
        ("@Daily", "bad time specifier"),
        ("0 0 1 jan", "bad month|5 fields"),
        ("0 0 0 1 1 *", "bad day-of-month|5 fields"),
        ("", "5 fields"),
        ("5/15 * * * *", "step without a range"),
    ],
)
def test_cron_that_has_no_time(schedule: str, reason: str) -> None:
    for ask in (next_run, previous_run, interval):
        with pytest.raises(ValueError, match=reason):
            ask(schedule, "cron", NOW)


def test_summer_time_is_kept() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    # 02:30 does not exist on 28 March 2027: cron runs the job right after the change
    found = next_run("30 2 * * *", "cron", datetime(2027, 3, 27, 12, tzinfo=berlin))
    assert found is not None
    assert found.astimezone(UTC) == at("2027-03-28T01:00")


@pytest.mark.parametrize(
    ("schedule", "after", "before", "gap"),
    [
        ("daily", "2026-11-24", "2026-11-23", DAY),
        ("Mon..Fri *:*", "2026-11-23T10:01", "2026-11-23T10:00", 2 * DAY + 60),
        ("*-*~1", "2026-11-30", "2026-10-31", 31 * DAY),
        ("biannually", "2027-01-01", "2026-07-01", 184 * DAY),
        ("semi-annually UTC", "2027-01-01", "2026-07-01", 184 * DAY),
        ("*:0/15; Sun 3:00", "2026-11-23T10:15", "2026-11-23T10:00", 900),
        ("Mon *-*-1..7 Europe/Berlin", "2026-12-06T23:00", "2026-11-01T23:00", 35 * DAY),
        ("*:00:00.5", "2026-11-23T11:00", "2026-11-23T10:00", 3600),
    ],
)
def test_calendar(schedule: str, after: str, before: str, gap: int) -> None:
    assert next_run(schedule, "oncalendar", NOW) == at(after)
    assert previous_run(schedule, "oncalendar", NOW) == at(before)
    assert interval(schedule, "oncalendar", NOW) == gap


def test_calendar_that_ends() -> None:
    assert next_run("2019-01-01", "oncalendar", NOW) is None
    assert previous_run("2019-01-01", "oncalendar", NOW) == at("2019-01-01")
    assert interval("2019-01-01", "oncalendar", NOW) is None
    assert last_elapse("2019-01-01; 2020..2021-*-* 05:00") == at("2021-12-31T05:00").replace(tzinfo=None)
    assert last_elapse("daily; 2019-01-01") is None
    assert previous_run("@1700000000", "oncalendar", NOW) == at("2023-11-14T22:13:20")
    assert next_run("@1700000000", "oncalendar", NOW) is None


@pytest.mark.parametrize(
    "schedule", ["5min", "", ";", "*-13-01", "Mon..", "25:00", "@99999999999999", "a\nb", "*-*-* 1:2:3:4"]
)
def test_calendar_that_is_none(schedule: str) -> None:
    for ask in (next_run, previous_run, interval):
        with pytest.raises(ValueError, match=r"."):
            ask(schedule, "oncalendar", NOW)


def test_calendar_without_a_time_at_all() -> None:
    assert next_run("*-02-30", "oncalendar", NOW) is None
    with pytest.raises(ValueError, match="no time at all"):
        last_elapse("*-02-30")


def _field(low: int, high: int) -> st.SearchStrategy[str]:
    number = st.integers(low, high)
    span = st.tuples(number, number).map(lambda pair: f"{min(pair)}-{max(pair)}")
    term = st.one_of(
        st.just("*"), number.map(str), span, st.integers(1, 40).map(lambda step: f"*/{step}"),
        st.tuples(span, st.integers(1, 9)).map(lambda pair: f"{pair[0]}/{pair[1]}"),
    )  # fmt: skip
    return st.lists(term, min_size=1, max_size=3).map(",".join)


SCHEDULES = st.tuples(_field(0, 59), _field(0, 23), _field(1, 31), _field(1, 12), _field(0, 7)).map(" ".join)


@settings(max_examples=150)
@given(SCHEDULES, st.integers(1_577_836_800, 1_893_456_000), st.sampled_from(["vixie", "debian", "busybox"]))
def test_runs_match_their_own_fields(schedule: str, stamp: int, dialect: CronDialect) -> None:
    now = datetime.fromtimestamp(stamp, UTC)
    read = read_cron_schedule(schedule, dialect)
    if read.never:
        with pytest.raises(ValueError, match="never runs"):
            next_run(schedule, "cron", now, dialect=dialect)
        return
    after = next_run(schedule, "cron", now, dialect=dialect)
    before = previous_run(schedule, "cron", now, dialect=dialect)
    assert after is not None
    assert before is not None
    assert before <= now < after
    for time in (before, after):
        assert read.on(time.date())
        assert time.hour in read.hours
        assert time.minute in read.minutes
    # nothing between: the next one after the one before is the one after
    assert next_run(schedule, "cron", before, dialect=dialect) in (after, now.replace(second=0, microsecond=0))
    gap = interval(schedule, "cron", now, dialect=dialect)
    second = next_run(schedule, "cron", after, dialect=dialect)
    assert second is not None
    if second - now < timedelta(days=366):
        assert gap is not None
        assert (second - after).total_seconds() <= gap


@settings(max_examples=300)
@given(st.text(alphabet="0123456789*/-,~@ :.;MonTueadily\n%", max_size=40))
def test_any_text_is_a_time_or_a_value_error(text: str) -> None:
    for kind in ("cron", "oncalendar"):
        for ask in (next_run, previous_run, interval):
            with suppress(ValueError):
                ask(text, kind, NOW)
