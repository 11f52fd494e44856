"""What every text output shares: safe text, columns, wrapping with a hanging indent, colour, and how time is said.

Colour never carries meaning alone, and is painted after wrapping, so that it never changes a line's length.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

from auditor.model import Provenance
from auditor.phrases import timestamp
from auditor.text import printable

MIN_WIDTH: Final = 40
"""The narrowest page, in columns; less is laid out as this."""

_STYLES: Final = {
    "bad": "1;31",
    "warn": "33",
    "good": "32",
    "unseen": "35",
    "bold": "1",
    "dim": "2",
}
_BREAKS: Final = re.compile(r"(?<=[/.,:=&?@_-])(?=.)")
# Lone surrogates come from file names that are not UTF-8; tags (U+E0000) are invisible and can hide words.
_UNSAFE: Final = re.compile("[\ud800-\udfff\u00ad\U000e0000-\U000e007f]")
_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def clean(text: str) -> str:
    """Text of an estate as one line that no terminal obeys and every encoding takes.

    Tabs and line ends become spaces, other control characters, bidirectional overrides and lone surrogates become
    visible escapes.
    """
    if text.isascii() and text.isprintable():
        return text
    return _UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", printable(re.sub(r"[\t\r\n]+", " ", text)))


def columns(text: str) -> int:
    """Columns that text takes on a terminal: wide East Asian characters two, combining ones none."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text
    )


def pad(text: str, width: int) -> str:
    """Text filled with spaces up to `width` columns."""
    return text + " " * max(width - columns(text), 0)


def cut(text: str, room: int, around: Iterable[str] = ()) -> str:
    """At most `room` columns of text, with `…` where something is left out.

    Of a longer text the part is kept that shows the first of the words in `around`.
    """
    if columns(text) <= room:
        return text
    lower = text.lower()
    named = ((lower.find(word.lower()), word) for word in around if word and word.lower() in lower)
    at, word = min(named, default=(0, ""))
    start = max(min(at - max((room - len(word)) // 2, 0), len(text) - room + 1), 0) if at + len(word) >= room else 0
    kept = "…" if start else ""
    used = len(kept)
    for position in range(start, len(text)):
        size = columns(text[position])
        if (used + size > room - 1 and position < len(text) - 1) or used + size > room:
            return kept + "…"
        kept += text[position]
        used += size
    return kept


def _pieces(word: str, room: int) -> Iterator[str]:
    """A word that is too long for a line, broken after its separators, or anywhere if it has none."""
    line = ""
    for piece in _BREAKS.split(word):
        if columns(line + piece) <= room:
            line += piece
            continue
        if line:
            yield line
        while columns(piece) > room:
            length = next(n for n in range(min(room, len(piece)), 0, -1) if columns(piece[:n]) <= room or n == 1)
            yield piece[:length]
            piece = piece[length:]
        line = piece
    if line:
        yield line


def wrap(text: str, room: int) -> list[str]:
    """Text in lines of at most `room` columns, broken at spaces; longer words after a separator in them."""
    lines: list[str] = []
    line = ""
    for word in text.split():
        joined = f"{line} {word}" if line else word
        if columns(joined) <= room:
            line = joined
            continue
        if line:
            lines.append(line)
        *full, line = list(_pieces(word, room)) if columns(word) > room else [word]
        lines.extend(full)
    return [*lines, line] if line or not lines else lines


def chain(parts: Iterable[str], room: int) -> list[str]:
    """A path in lines that break before an arrow: `job a → script b` / `→ name c`."""
    lines: list[str] = []
    line = ""
    for part in parts:
        joined = f"{line} → {part}" if line else part
        if columns(joined) <= room:
            line = joined
            continue
        if line:
            lines.append(line)
        first, *rest = wrap(f"→ {part}" if line else part, room)
        for text in rest:
            lines.append(first)
            first = f"  {text}" if columns(text) + 2 <= room else text
        line = first
    return [*lines, line] if line else lines


class Page:
    """Lines of a text output. `width` in columns; `color` whether ANSI styles are painted."""

    def __init__(self, *, color: bool, width: int) -> None:
        self.color = color
        self.width = max(width, MIN_WIDTH)
        self._lines: list[str] = []

    def paint(self, text: str, style: str) -> str:
        """Text in a style, if there is colour."""
        return f"\x1b[{_STYLES[style]}m{text}\x1b[0m" if self.color and style and text else text

    def line(self, text: str = "") -> None:
        """One line as it is."""
        self._lines.append(text.rstrip())

    def gap(self) -> None:
        """An empty line, unless there is one already."""
        if self._lines and self._lines[-1]:
            self._lines.append("")

    def hang(self, prefix: str, text: str, *, label: str = "", style: str = "", unbroken: bool = False) -> None:
        """Wrapped text behind a prefix, the following lines indented as far.

        `label` is the prefix's style, `style` the text's. `unbroken` text is one line, however long: a file:line
        that a person copies.
        """
        indent = columns(prefix)
        lines = [text] if unbroken else wrap(text, self.width - indent)
        self.hang_lines(prefix, lines, label=label, style=style)

    def hang_lines(self, prefix: str, lines: Iterable[str], *, label: str = "", style: str = "") -> None:
        """Lines that are already broken, behind a prefix and its indent."""
        head = self.paint(prefix, label)
        for text in lines:
            self.line(head + self.paint(text, style))
            head = " " * columns(prefix)

    def text(self) -> str:
        """The page, with one line end at its end."""
        return "\n".join(self._lines).rstrip("\n") + "\n"


def place(evidence: Provenance) -> str:
    """`file:line` of a piece of evidence, with the path inside a structured answer if it has one."""
    line = f":{evidence.line}" if evidence.line else ""
    return clean(f"{evidence.path}{line}") + (f" {clean(evidence.api)}" if evidence.api else "") + of_estate(evidence)


def of_estate(evidence: Provenance) -> str:
    """Which estate a piece of evidence is in, where several are read as one."""
    return f" (in {clean(evidence.estate)})" if evidence.estate else ""


def in_utc(time: datetime) -> datetime:
    """A time in UTC; one without a zone is taken as UTC."""
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def moment(time: datetime) -> str:
    """A time as people say it: `Sat 2025-11-22 08:00 UTC`. Does not depend on the locale."""
    utc = in_utc(time)
    return f"{_DAYS[utc.weekday()]} {utc:%Y-%m-%d %H:%M} UTC"


def iso(time: datetime) -> str:
    """A time as RFC 3339 in UTC: `2025-11-22T08:00:00Z`."""
    return timestamp(in_utc(time))


def duration(span: timedelta) -> str:
    """A length of time, rounded down: minutes below an hour, hours below three days, then days, then years."""
    minutes = int(abs(span).total_seconds() // 60)
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 72 * 60:
        return f"{minutes // 60} h"
    days = minutes // (24 * 60)
    return f"{days} days" if days < 730 else f"{days // 365} years"


def time_left(deadline: datetime, now: datetime) -> str:
    """`34 h left`, or `over for 3 h` where the deadline has passed."""
    span = in_utc(deadline) - in_utc(now)
    return f"over for {duration(span)}" if span < timedelta(0) else f"{duration(span)} left"


def number(count: int, one: str, many: str = "") -> str:
    """A count with its noun: `1 blocker`, `2 blockers`, `1,240 captures`."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def some(items: Iterable[str], limit: int = 3) -> str:
    """The first few of a list, the rest counted: `a, b, c and 9 more`."""
    known = list(items)
    if len(known) > limit + 1:
        return f"{', '.join(known[:limit])} and {len(known) - limit} more"
    return f"{', '.join(known[:-1])} and {known[-1]}" if len(known) > 1 else "".join(known)
