"""How numbers and times are said, the same in every rule and report."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime


def plural(count: int, noun: str, many: str = "") -> str:
    """`1 host`, `340 hosts`, `1,204 hosts`."""
    return f"{count:,} {noun if count == 1 else many or noun + 's'}"


def parse_time(text: object) -> datetime | None:
    """An ISO 8601 attribute as aware UTC; None if it is none."""
    if not isinstance(text, str) or not text:
        return None
    try:
        value = datetime.fromisoformat(text)
    except ValueError:
        return None
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def duration(seconds: float) -> str:
    """`12 min`, `34 h`, `5 months`: two significant units at the most, as people say them."""
    seconds = abs(seconds)
    if seconds < 3600:
        return f"{max(int(seconds // 60), 0)} min"
    if seconds < 72 * 3600:
        return f"{int(seconds // 3600)} h"
    days = int(seconds // 86400)
    return plural(days, "day") if days < 60 else f"{plural(days // 30, 'month')}"


def time_left(now: datetime, then: datetime) -> str:
    """`in 34 h`, or `12 days ago`."""
    seconds = (then - now).total_seconds()
    return f"in {duration(seconds)}" if seconds >= 0 else f"{duration(seconds)} ago"


def day(moment: datetime) -> str:
    """`Sun 2025-11-23 08:00 UTC`."""
    return moment.astimezone(UTC).strftime("%a %Y-%m-%d %H:%M UTC")


def listed(names: Sequence[str], limit: int = 3) -> str:
    """`a, b and c`, or `a, b, c and 12 more`."""
    if len(names) > limit:
        return f"{', '.join(names[:limit])} and {len(names) - limit:,} more"
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} and {names[-1]}"
