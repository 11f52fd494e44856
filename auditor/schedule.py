"""When a schedule runs: cron's five fields and nicknames, and systemd's calendar expressions.

Pure: nothing here asks the clock or the time zone of this machine. Schedules mean the zone of the `now` that is
passed, except where a calendar expression names its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from functools import lru_cache
from itertools import islice, pairwise
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

if TYPE_CHECKING:
    from oncalendar import BaseIterator

ScheduleKind: TypeAlias = Literal["cron", "oncalendar"]
CronDialect: TypeAlias = Literal["debian", "cronie", "busybox", "freebsd", "vixie"]

NICKNAMES: Final = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
"""What crontab(5)'s nicknames stand for. `@reboot` has no time."""
FREEBSD_NICKNAMES: Final = {"@every_minute": "* * * * *"}
_FREEBSD_SECONDS: Final = re.compile(r"@(\d{1,9})")
_MONTHS: Final = {
    "jan": 1,
    "feb": 2,
    "mar": 3,
    "apr": 4,
    "may": 5,
    "jun": 6,
    "jul": 7,
    "aug": 8,
    "sep": 9,
    "oct": 10,
    "nov": 11,
    "dec": 12,
}
_WEEKDAYS: Final = {"sun": 0, "mon": 1, "tue": 2, "wed": 3, "thu": 4, "fri": 5, "sat": 6}
_FIELDS: Final[tuple[tuple[str, int, int, dict[str, int]], ...]] = (
    ("minute", 0, 59, {}),
    ("hour", 0, 23, {}),
    ("day-of-month", 1, 31, {}),
    ("month", 1, 12, _MONTHS),
    ("day-of-week", 0, 7, _WEEKDAYS),
)
_LONGEST_MONTH: Final = (0, 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_NUMBER: Final = re.compile(r"[0-9]{1,9}|[A-Za-z]{1,20}")
_CALENDAR_ALIASES: Final = {
    "anually": "yearly",
    "biannually": "semiannually",
    "bi-annually": "semiannually",
    "semi-annually": "semiannually",
}
_FRACTION: Final = re.compile(r"(:\d{1,2})\.\d{1,9}(?=\s|$)")
_EPOCH: Final = re.compile(r"@(\d{1,12})(?:\.\d+)?")
_TIMER: Final = re.compile(r"\.timer(?:@\S*)?(?: \([^()]*\))?$")
_OFFSET: Final = re.compile(r"[+-](?:[01]\d|2[0-3])[0-5]\d")
_DAY: Final = 86400
_YEAR: Final = 366
_SCAN_DAYS: Final = 9 * 366
"""Days searched for the next run: 29 February may be eight years away."""
_TIMES_A_DAY: Final = 1500


@dataclass(frozen=True, slots=True)
class CronSchedule:
    """Five fields of a crontab as the numbers they match; `weekdays` counts from Sunday, 0 to 6.

    `both_days` is cron's DOM_STAR or DOW_STAR: the day must match both fields, not either. `text` is the same
    schedule in plain numbers. `random` tells that cronie picks a time within a range (`~`); its end is taken here.
    """

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    both_days: bool
    random: bool
    text: str

    @property
    def never(self) -> str:
        """Why it never runs (`30 February`); empty if it does."""
        for name, values in (("minute", self.minutes), ("hour", self.hours), ("month", self.months)):
            if not values:
                return f"no {name} matches"
        if self.both_days:
            if not self.days or not self.weekdays:
                return "no day matches"
            if min(self.days) > max(_LONGEST_MONTH[month] for month in self.months):
                return f"none of its months has a day {min(self.days)}"
        elif not self.weekdays and (
            not self.days or min(self.days) > max(_LONGEST_MONTH[month] for month in self.months)
        ):
            return "no day matches"
        return ""

    def on(self, day: date) -> bool:
        """Whether it runs on a day."""
        if day.month not in self.months:
            return False
        in_month, in_week = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        return in_month and in_week if self.both_days else in_month or in_week


def _term(
    text: str, field: tuple[str, int, int, dict[str, int]], dialect: CronDialect
) -> tuple[set[int], str, bool, bool]:
    """The numbers of one element of a list, the same as plain text, whether cronie picks one at random, and the end.

    The end: Vixie's parser skips the rest of a word from where it can make nothing of it, so that `*5` is `*`, and
    `1-2-3,7` is `1-2`; Debian's also `1#2` (both by `crontab -n`). cronie checks what stands after a number.
    """
    name, low, high, names = field
    bad = ValueError(f"bad {name}: {text!r}")

    def number(at: int, bounded: bool = True) -> tuple[int, int]:
        found = _NUMBER.match(text, at)
        if found is None:
            raise bad
        word = found[0].lower()
        if word.isdecimal():
            value = int(word)
        elif word in names:
            value = names[word]
        else:
            raise bad
        if bounded and not low <= value <= high:
            raise ValueError(f"bad {name}: {value} is not within {low}-{high}")
        return value, found.end()

    step, random = 1, False
    if text.startswith("*"):
        first, last, at = low, min(high, 6) if name == "day-of-week" else high, 1
        plain = "*"
        if at < len(text) and text[at] != "/":
            return set(range(first, last + 1)), "*", False, True
    elif "~" in text:
        if dialect not in ("cronie", "vixie"):
            raise bad
        left, _, right = text.partition("~")
        first = number(0)[0] if left else low
        last = number(len(left) + 1)[0] if right else high
        if first > last:
            raise bad
        return {last}, str(last), True, False
    else:
        first, at = number(0)
        last, plain = first, str(first)
        if at < len(text) and text[at] == "-":
            last, at = number(at + 1)
            plain = f"{first}-{last}"
            if first > last:
                if dialect == "cronie":
                    raise ValueError(f"bad {name}: {text!r} ends before it starts")
                if dialect != "busybox":
                    return set(), "", False, False
        elif at < len(text) and text[at] == "/" and dialect in ("debian", "cronie", "vixie"):
            raise ValueError(f"bad {name}: {text!r} has a step without a range")
    if at < len(text) and text[at] == "/":
        step, at = number(at + 1, bounded=False)
        if step == 0 or text[at - 1].isalpha():
            raise bad
        plain += f"/{step}"
    end = at < len(text)
    if end and (text[at].isalnum() or text[at] == "/" or dialect not in ("debian", "vixie")):
        raise bad
    if first > last:
        values = {*range(first, high + 1, step), *range(low, last + 1, step)}
        return values, ",".join(map(str, sorted(values))), random, end
    values = set(range(first, last + 1, step))
    # cronsim takes `3-3/2` for `3/2`, from 3 to the end: only a star keeps its form, which decides about the days.
    return values, plain if plain.startswith("*") else ",".join(map(str, sorted(values))), random, end


@lru_cache(maxsize=4096)
def read_cron_schedule(schedule: str, dialect: CronDialect = "vixie") -> CronSchedule:
    """Five fields or a nickname, as cron reads them. `vixie` accepts what either Debian's cron or cronie does.

    Sources: crontab(5), cronie's entry.c; Debian's verdicts are those of `crontab -n` of cron 3.0pl1-162, which takes
    `22-4` (and matches nothing) where cronie calls it an error. busybox joins day of month and day of week by OR,
    whatever they start with. Raises ValueError with cron's own words ("bad minute") and what is wrong.
    """
    text = schedule.strip()
    if text.startswith("@"):
        nicknames = NICKNAMES if dialect != "freebsd" else NICKNAMES | FREEBSD_NICKNAMES
        if text not in nicknames:
            raise ValueError(f"bad time specifier: {text!r}")
        text = nicknames[text]
    fields = text.split()
    sets: list[frozenset[int]] = []
    plain: list[str] = []
    random = False
    for value, field in zip(fields, _FIELDS, strict=False):
        numbers: set[int] = set()
        texts: list[str] = []
        for term in value.split(","):
            found, as_text, is_random, end = _term(term, field, dialect)
            numbers |= {number % 7 for number in found} if field[0] == "day-of-week" else found
            random |= is_random
            if as_text:
                texts.append(as_text)
            if end:
                break
        sets.append(frozenset(numbers))
        plain.append(",".join(texts))
    if len(fields) != len(_FIELDS):
        raise ValueError(f"a cron schedule has 5 fields, not {len(fields)}")
    both = fields[2].startswith("*") or fields[4].startswith("*")
    if dialect == "busybox":
        both = len(sets[2]) == 31 or len(sets[4]) == 7
        plain[2], plain[4] = (
            "*" if len(sets[at]) == size else ",".join(map(str, sorted(sets[at]))) for at, size in ((2, 31), (4, 7))
        )
    # A reversed range alone matches nothing: the other day field then decides.
    for at, other in ((2, 4), (4, 2)):
        if not sets[at] and not both and sets[other]:
            plain[at] = "*"
    return CronSchedule(sets[0], sets[1], sets[2], sets[3], sets[4], both, random, " ".join(plain))


def _cron(schedule: str, dialect: CronDialect) -> CronSchedule:
    if schedule.strip() == "@reboot":
        raise ValueError("@reboot runs at start-up, not at a time")
    read = read_cron_schedule(schedule, dialect)
    if read.never:
        raise ValueError(f"{schedule!r} never runs: {read.never}")
    return read


def _every(schedule: str) -> int | None:
    """Seconds of FreeBSD's `@300` and `@every_second`, which count from cron's start; None for anything else."""
    text = schedule.strip()
    if text == "@every_second":
        return 1
    found = _FREEBSD_SECONDS.fullmatch(text)
    return int(found[1]) if found and int(found[1]) else None


def _calendar_lines(schedule: str) -> list[str]:
    """Calendar expressions of one timer, as the libraries want them. They are separated by `;` or line ends."""
    lines = []
    for part in re.split(r"[;\n]", schedule):
        text = " ".join(part.split())
        if not text:
            continue
        head, _, zone = text.partition(" ")
        head = _CALENDAR_ALIASES.get(head.lower(), head)
        lines.append(_FRACTION.sub(r"\1", f"{head} {zone}".strip()))
    if not lines:
        raise ValueError("no calendar expression")
    return lines


def _epoch(line: str) -> datetime | None:
    found = _EPOCH.fullmatch(line)
    try:
        return datetime.fromtimestamp(int(found[1]), UTC) if found else None
    except (OverflowError, ValueError, OSError):
        raise ValueError(f"{line!r} is not a time") from None


@lru_cache(maxsize=4096)
def _calendar_sets(line: str) -> tuple[BaseIterator, str]:
    """One expression, read, and the name of its time zone (empty if it names none). Raises ValueError."""
    from oncalendar import SPECIALS, BaseIterator, OnCalendarError, parse_tz

    expression, zone = line, ""
    head, _, last = line.rpartition(" ")
    if head and last[0].isalpha() and parse_tz(last) is not None:
        expression, zone = head, last
    # "daily UTC" has a time zone after the alias, which the library does not expand.
    expression = SPECIALS.get(expression.lower(), expression)
    try:
        return BaseIterator(expression, datetime(2000, 1, 1)), zone  # noqa: DTZ001 - only its fields are read
    except (OnCalendarError, ValueError, IndexError, RecursionError) as error:
        raise ValueError(f"{line!r} is not a calendar expression: {error}") from None


def _calendar_times(line: str, now: datetime, *, reverse: bool) -> Iterator[datetime]:
    """Times of one expression after `now`, or at and before it."""
    from zoneinfo import ZoneInfo

    at = _epoch(line)
    if at is not None:
        here = at.astimezone(now.tzinfo)
        if (here <= now) if reverse else (here > now):
            yield here
        return
    sets, zone = _calendar_sets(line)
    local = now.astimezone(ZoneInfo(zone)) if zone else now
    hours, minutes, seconds = (sorted(values, reverse=reverse) for values in (sets.hours, sets.minutes, sets.seconds))
    months, years = sets.months, sets.years
    step = -1 if reverse else 1
    day = local.date()
    limit = 500 * 366
    while limit and 1970 <= day.year <= 2199:
        limit -= 1
        if day.year not in years or day.month not in months:
            first = day.replace(day=1)
            if day.year not in years:
                later = [year for year in years if (year < day.year if reverse else year > day.year)]
                if not later:
                    return
                day = date(max(later), 12, 31) if reverse else date(min(later), 1, 1)
            else:
                day = first - timedelta(days=1) if reverse else (first + timedelta(days=32)).replace(day=1)
            continue
        if sets.match_dow(day) and sets.match_dom(day):
            for hour in hours:
                for minute in minutes:
                    for second in seconds:
                        when = datetime(day.year, day.month, day.day, hour, minute, second, tzinfo=local.tzinfo)
                        if not ((when <= local) if reverse else (when > local)):
                            continue
                        if local.tzinfo is not None and when.astimezone(UTC).astimezone(local.tzinfo) != when:
                            continue
                        yield when.astimezone(now.tzinfo) if zone else when
        day += timedelta(days=step)


def _cron_times(read: CronSchedule, now: datetime, *, reverse: bool) -> Iterator[datetime]:
    from cronsim import CronSim

    start = now.replace(second=0, microsecond=0) + timedelta(minutes=1) if reverse else now
    yield from CronSim(read.text, start, reverse=reverse)


def is_timer(job: str) -> bool:
    """Whether a job of this name is a timer of systemd: `x.timer`, `x@host.timer (user alice)`."""
    return _TIMER.search(job) is not None


def in_zone(moment: datetime, offset: object) -> datetime:
    """The moment in the zone of a host, by its offset from UTC (`+0530`); as it is if that is none."""
    if not isinstance(offset, str) or _OFFSET.fullmatch(offset) is None:
        return moment
    minutes = int(offset[1:3]) * 60 + int(offset[3:])
    return moment.astimezone(timezone(timedelta(minutes=-minutes if offset[0] == "-" else minutes)))


def next_run(schedule: str, kind: ScheduleKind, now: datetime, *, dialect: CronDialect = "vixie") -> datetime | None:
    """The first run after `now`, in the zone of `now`; None if there is none (any more).

    A cron schedule is five fields or a nickname; a calendar schedule may hold several expressions, separated by `;`
    or line ends. Cronie's random times (`~`) count as the end of their range. Raises ValueError for what can't be
    read, for what has no time (`@reboot`), and for a cron schedule that never runs.
    """
    if kind == "cron":
        if _every(schedule) is not None:
            raise ValueError(f"{schedule!r} counts from the start of cron, so its times are not known")
        return next(_cron_times(_cron(schedule, dialect), now, reverse=False), None)
    times = (next(_calendar_times(line, now, reverse=False), None) for line in _calendar_lines(schedule))
    return min((time for time in times if time is not None), default=None)


def previous_run(
    schedule: str, kind: ScheduleKind, now: datetime, *, dialect: CronDialect = "vixie"
) -> datetime | None:
    """The last run at or before `now`, in the zone of `now`; None if there was none. Otherwise as `next_run`."""
    if kind == "cron":
        if _every(schedule) is not None:
            raise ValueError(f"{schedule!r} counts from the start of cron, so its times are not known")
        return next(_cron_times(_cron(schedule, dialect), now, reverse=True), None)
    times = (next(_calendar_times(line, now, reverse=True), None) for line in _calendar_lines(schedule))
    return max((time for time in times if time is not None), default=None)


def _days(on: Iterator[date], start: date) -> list[date]:
    """Days of one year, and one after it; at least two if there are two."""
    days: list[date] = []
    for day in on:
        days.append(day)
        if (day - start).days > _YEAR and len(days) > 1:
            break
    return days


def _calendar_days(lines: list[str], start: date) -> Iterator[tuple[date, int, int]]:
    """Days with a run by any of the expressions, with the first and last second of the day; zones are ignored."""
    read = [_calendar_sets(line)[0] for line in lines]
    bounds = [
        (
            min(sets.hours) * 3600 + min(sets.minutes) * 60 + min(sets.seconds),
            max(sets.hours) * 3600 + max(sets.minutes) * 60 + max(sets.seconds),
        )
        for sets in read
    ]
    for at in range(_SCAN_DAYS):
        day = start + timedelta(days=at)
        found = [
            bound
            for sets, bound in zip(read, bounds, strict=True)
            if day.year in sets.years and day.month in sets.months and sets.match_dow(day) and sets.match_dom(day)
        ]
        if found:
            yield day, min(first for first, _ in found), max(last for _, last in found)


def interval(schedule: str, kind: ScheduleKind, now: datetime, *, dialect: CronDialect = "vixie") -> int | None:
    """Seconds of the largest gap between two runs that follow each other, over the year after `now`.

    None if it runs at most once from now on. Changes to and from summer time are left out. Bounded work: days are
    looked at one by one, and the times within a day at most 1,500 (from there on a day has no gap worth a name).
    Raises ValueError as `next_run` does, except that FreeBSD's `@300` is 300.
    """
    start = now.date()
    if kind == "cron":
        if (every := _every(schedule)) is not None:
            return every
        read = _cron(schedule, dialect)
        days = _days((day for day in (start + timedelta(days=at) for at in range(_SCAN_DAYS)) if read.on(day)), start)
        times = [hour * 3600 + minute * 60 for hour in sorted(read.hours) for minute in sorted(read.minutes)]
        spans = [(day, times[0], times[-1]) for day in days]
    else:
        lines = [line for line in _calendar_lines(schedule) if _epoch(line) is None]
        spans = []
        for span in _calendar_days(lines, start) if lines else ():
            spans.append(span)
            if (span[0] - start).days > _YEAR and len(spans) > 1:
                break
        times = []
        for sets in (_calendar_sets(line)[0] for line in lines):
            seconds = (
                hour * 3600 + minute * 60 + second
                for hour in sorted(sets.hours)
                for minute in sorted(sets.minutes)
                for second in sorted(sets.seconds)
            )
            times += islice(seconds, _TIMES_A_DAY)
        times.sort()
    if not spans:
        return None
    within = [later - earlier for earlier, later in pairwise(times)]
    between = [(after - before).days * _DAY + first - last for (before, _, last), (after, first, _) in pairwise(spans)]
    return max(within + between, default=None)


def last_elapse(schedule: str) -> datetime | None:
    """The last time that a calendar schedule ever runs, naive, in its own zone; None if it goes on.

    Only expressions with a fixed year come to an end. Raises ValueError for what can't be read, and for a schedule
    that has no time at all (30 February).
    """
    ends: list[datetime] = []
    goes_on = False
    for line in _calendar_lines(schedule):
        if (at := _epoch(line)) is not None:
            ends.append(at.replace(tzinfo=None))
            continue
        sets, _ = _calendar_sets(line)
        horizon = datetime(2199, 12, 31, 23, 59, 59)  # noqa: DTZ001 - naive on purpose, see above
        bare = line.rpartition(" ")[0] if _calendar_sets(line)[1] else line
        last = next(_calendar_times(bare, horizon, reverse=True), None)
        if last is not None:
            goes_on |= max(sets.years) >= 2199
            ends.append(last)
    if not ends:
        raise ValueError(f"{schedule!r} has no time at all")
    return None if goes_on else max(ends)
