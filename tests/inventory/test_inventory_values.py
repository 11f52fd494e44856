from __future__ import annotations

from datetime import UTC, datetime

import pytest

from auditor.inventory.expansion import address_range, spread_addresses
from auditor.inventory.values import WrongValueError, parse_duration, parse_hours, parse_time
from auditor.text import RANGE_LIMIT, expand_range, range_size

DAY = 1440


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("45m", 2700),
        ("3h", 10800),
        ("2d", 172800),
        ("1h30m", 5400),
        ("1h 30min", 5400),
        ("1w", 604800),
        ("0m", 0),
        ("PT3H", 10800),
        ("pt1h30m", 5400),
        ("P1DT2H", 93600),
        ("P2W", 1209600),
        ("PT1.5H", 5400),
    ],
)
def test_duration(text: str, seconds: int) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "3", "h", "3 hours", "P", "PT", "P1DT", "P1M", "P1Y", "-3h", "99999999w", "٣h"])
def test_no_duration(text: str) -> None:
    with pytest.raises(WrongValueError):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2026-06-20", datetime(2026, 6, 20, tzinfo=UTC)),
        ("2026-06-20T14:30", datetime(2026, 6, 20, 14, 30, tzinfo=UTC)),
        ("2026-06-20 14:30:05Z", datetime(2026, 6, 20, 14, 30, 5, tzinfo=UTC)),
        ("2026-06-20T23:30:00-05:00", datetime(2026, 6, 21, 4, 30, tzinfo=UTC)),
    ],
)
def test_time(text: str, time: datetime) -> None:
    assert parse_time(text) == time
    assert parse_time(text).tzinfo is UTC


@pytest.mark.parametrize(
    "text", ["", "20260620", "2026-6-2", "2026-W25-6", "2026-02-30", "2026-01-01T25:00", "0001-01-01T00:00+14:00"]
)
def test_no_time(text: str) -> None:
    with pytest.raises(WrongValueError):
        parse_time(text)


def test_hours() -> None:
    assert parse_hours("Mon-Tue 09:00-17:00").windows == ((540, 1020), (DAY + 540, DAY + 1020))
    assert parse_hours("Sunday 22:00-06:00").windows == ((6 * DAY + 1320, 7 * DAY + 360),)
    assert parse_hours("Sat-Mon").windows == ((0, DAY), (5 * DAY, 6 * DAY), (6 * DAY, 7 * DAY))
    assert parse_hours("Mon").windows == ((0, DAY),)
    assert parse_hours("24/7").windows == ((0, 7 * DAY),)
    assert len(parse_hours("08:00-12:00, 13:00-24:00").windows) == 14


@pytest.mark.parametrize(
    "text", ["", "Mon-Fri 9-17", "Mon 24:00-25:00", "Mon 09:60-10:00", "Mon 09:00-09:00", "Foo 09:00-10:00", ","]
)
def test_no_hours(text: str) -> None:
    with pytest.raises(WrongValueError):
        parse_hours(text)


def test_address_range_crosses_a_byte() -> None:
    assert address_range("10.20.8.1-10.20.9.84")[1] == 340
    spread = spread_addresses(["10.20.8.1-10.20.9.84", "2001:db8::1-2001:db8::154"], 340)
    assert spread is not None
    assert spread[0] == ("10.20.8.1", "2001:db8::1")
    assert spread[255] == ("10.20.9.0", "2001:db8::100")
    assert spread_addresses(["10.0.0.1", "10.0.0.5-10.0.0.6"], 3) == [("10.0.0.1",), ("10.0.0.5",), ("10.0.0.6",)]
    assert spread_addresses(["10.0.0.1", "10.0.0.2"], 3) is None


@pytest.mark.parametrize("pattern", ["a", "a[1:3]", "a[01:20:4]b{x..z}", "a[3:1]", "a[1:b]c[1:2]", "pg[1:10:4]"])
def test_range_size_is_the_number_of_names(pattern: str) -> None:
    assert range_size(pattern) == len(list(expand_range(pattern)))


@pytest.mark.parametrize("pattern", ["a[1:100001]", "a[1:1000][1:1000]", "a[1:99999999999999999999999]"])
def test_a_large_range_is_refused_before_it_is_expanded(pattern: str) -> None:
    assert range_size(pattern) > RANGE_LIMIT
    with pytest.raises(ValueError, match="more than 100000 names"):
        next(expand_range(pattern))
