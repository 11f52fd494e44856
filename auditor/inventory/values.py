"""How durations, times, working hours and time zones are written. Pure, and light to import."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Final

from auditor.patterns import lazy_pattern

DAY: Final = 24 * 60
_TIME: Final = lazy_pattern(
    r"(\d{4}-\d{2}-\d{2})(?:[Tt ](\d{2}:\d{2}(?::\d{2}(?:\.\d{1,6})?)?) ?([Zz]|[+-]\d{2}:\d{2})?)?", re.ASCII
)
_UNITS: Final = {"w": 604800, "d": 86400, "h": 3600, "m": 60, "min": 60, "s": 1}
_DURATION: Final = lazy_pattern(r"(?:(\d{1,9})\s*(min|w|d|h|m|s)\s*)+", re.ASCII)
_DURATION_PART: Final = lazy_pattern(r"(\d{1,9})\s*(min|w|d|h|m|s)", re.ASCII)
_ISO_DURATION: Final = lazy_pattern(
    r"P(?=[\dT])(?:(?P<w>\d{1,9})W)?(?:(?P<d>\d{1,9})D)?"
    r"(?:T(?=\d)(?:(?P<h>\d{1,9}(?:\.\d{1,6})?)H)?(?:(?P<m>\d{1,9}(?:\.\d{1,6})?)M)?(?:(?P<s>\d{1,9}(?:\.\d{1,6})?)S)?)?",
    re.ASCII,
)
LONGEST: Final = 10 * 365 * 86400
"""Seconds; no step of a procedure takes longer than ten years."""
_WEEK: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAYS: Final = lazy_pattern(rf"({'|'.join(_WEEK)})[a-z]*(?:-({'|'.join(_WEEK)})[a-z]*)?")
_HOURS: Final = lazy_pattern(r"(\d{1,2}):(\d{2})-(\d{1,2}):(\d{2})", re.ASCII)
_ZONE: Final = lazy_pattern(r"[A-Za-z][A-Za-z0-9+_-]*(?:/[A-Za-z0-9+_-]+){0,2}", re.ASCII)


class WrongValueError(ValueError):
    """A text that is not what it should be. `hint` says how to write it."""

    def __init__(self, what: str, hint: str = "") -> None:
        super().__init__(what)
        self.hint = hint


def tag_word(text: str) -> str:
    """A tag's value as it is compared: `Read Only` and `READ_ONLY` are `read-only`."""
    return re.sub(r"[_\s]+", "-", text.strip().casefold())


def parse_time(text: str) -> datetime:
    """A date or ISO 8601 time as an aware time in UTC. A date is its first moment; a time without zone is UTC.

    Week dates, ordinal dates and dates without hyphens (`20260620`), which ISO 8601 allows, are refused: too many
    numbers look like them. Raises WrongValueError.
    """
    found = _TIME.fullmatch(text.strip())
    if found is None:
        raise WrongValueError("expected a date or a time", "write it as 2026-06-20 or 2026-06-20T14:30:00Z")
    day, clock, zone = found.groups()
    zone = "+00:00" if zone in (None, "Z", "z") else zone
    try:
        return datetime.fromisoformat(f"{day}T{clock or '00:00'}{zone}").astimezone(UTC)
    except (ValueError, OverflowError):
        raise WrongValueError("there is no such date or time", "check the month, the day and the hour") from None


def parse_day(text: str) -> date:
    """A date. Of a time it would depend on the zone which day it is. Raises WrongValueError."""
    if re.fullmatch(r"\d{4}-\d{2}-\d{2}", text.strip(), re.ASCII) is None:
        raise WrongValueError("expected a date", "write it as 2026-12-25, without a time")
    return parse_time(text).date()


def parse_duration(text: str) -> int:
    """Seconds of `45m`, `3h`, `1h30m`, `2d` or ISO 8601 (`PT1H30M`, `P2D`). Years and months have no fixed length.

    Raises WrongValueError.
    """
    bare = text.strip()
    if found := _ISO_DURATION.fullmatch(bare.upper()):
        seconds = sum(float(value) * _UNITS[unit] for unit, value in found.groupdict().items() if value)
    elif _DURATION.fullmatch(bare):
        seconds = sum(int(number) * _UNITS[unit] for number, unit in _DURATION_PART.findall(bare))
    else:
        raise WrongValueError("expected a duration", "write a number with a unit: 45m, 3h, 1h30m, 2d or PT1H30M")
    if seconds > LONGEST:
        raise WrongValueError("a duration of more than ten years", "check the unit: m is minutes, d is days")
    return round(seconds)


@dataclass(frozen=True, slots=True)
class Hours:
    """Working hours of a week, in some time zone.

    `windows` holds (first minute, last minute) pairs, sorted, in minutes since Monday 00:00; the last minute is
    exclusive and may lie beyond the week (10080) where a window runs from Sunday into Monday.
    """

    text: str
    windows: tuple[tuple[int, int], ...]


@lru_cache(maxsize=1024)
def parse_hours(text: str) -> Hours:
    """Hours such as `Mon-Fri 09:00-17:00`, `Mon-Thu 08:00-16:30, Fri 08:00-12:00`, `Sat 22:00-06:00` or `24/7`.

    Days without a time are whole days, times without days hold every day. Raises WrongValueError.
    """
    how = "write them as `Mon-Fri 09:00-17:00`, several parts with commas between them, or `24/7`"
    if text.strip() == "24/7":
        return Hours("24/7", ((0, 7 * DAY),))
    windows: list[tuple[int, int]] = []
    for part in text.lower().split(","):
        words = part.split()
        days = list(range(7))
        if words and (found := _DAYS.fullmatch(words[0])):
            first = _WEEK.index(found[1])
            last = _WEEK.index(found[2]) if found[2] else first
            days = [(first + n) % 7 for n in range((last - first) % 7 + 1)]
            words = words[1:]
            if not words:
                windows += [(day * DAY, (day + 1) * DAY) for day in days]
                continue
        if len(words) != 1 or (found := _HOURS.fullmatch(words[0])) is None:
            raise WrongValueError("expected working hours", how)
        start, end = int(found[1]) * 60 + int(found[2]), int(found[3]) * 60 + int(found[4])
        if start >= DAY or end > DAY or int(found[2]) > 59 or int(found[4]) > 59 or start == end:
            raise WrongValueError(f"there are no such hours as {words[0]}", how)
        windows += [(day * DAY + start, day * DAY + end + (DAY if end < start else 0)) for day in days]
    return Hours(text.strip(), tuple(sorted(set(windows))))


@lru_cache(maxsize=1024)
def check_time_zone(name: str) -> str:
    """The name of an IANA time zone. Raises WrongValueError for one that this machine's database does not have.

    On a machine without a time zone database only the form is checked.
    """
    from zoneinfo import ZoneInfo, available_timezones

    if _ZONE.fullmatch(name):
        try:
            ZoneInfo(name)
        except (KeyError, ValueError, OSError):
            pass
        else:
            return name
        known = available_timezones()
        if not known:
            return name
        from difflib import get_close_matches

        near = get_close_matches(name, sorted(known), n=1)
        hint = f"did you mean `{near[0]}`?" if near else "write an IANA name"
        raise WrongValueError("there is no such time zone", hint)
    raise WrongValueError("expected an IANA time zone", "write it as America/New_York, Europe/Paris or UTC")
