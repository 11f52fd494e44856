"""The timeline of a page: a table of dates, each with its mark on an axis that is stretched around the present."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from auditor.model import Impact
from auditor.page.markup import Markup, hidden, joined, tag, text
from auditor.page.model import Event, Review
from auditor.phrases import time_left
from auditor.report.layout import cut, in_utc, iso, moment, number, place

_HOUR: Final = 3600.0
_SUBJECT: Final = 90
_TICKS: Final = (
    (timedelta(hours=1), "1 h"),
    (timedelta(days=1), "1 day"),
    (timedelta(days=7), "1 week"),
    (timedelta(days=30), "1 month"),
    (timedelta(days=365), "1 year"),
    (timedelta(days=3650), "10 years"),
)
_CLASS: Final = {Impact.BROKEN: "bad", Impact.BLIND: "warn", Impact.DEGRADED: "warn"}
_MARK: Final = {"bad": "✗", "warn": "!", "": "●"}


def timeline(review: Review) -> Markup:
    """The dates of a review, the earliest first, with the present among them."""
    now = in_utc(review.report.now)
    if not review.events:
        return tag("p", "Nothing in the estate has a date.", class_="empty")
    axis = _Axis([one.at for one in review.events], now)
    rows: list[Markup] = []
    past = True
    for event in sorted(review.events, key=lambda one: (in_utc(one.at), one.subject, one.what)):
        if past and in_utc(event.at) > now:
            rows.append(_present(axis, now))
            past = False
        rows.append(_event(event, axis, now))
    if past:
        rows.append(_present(axis, now))
    heads = [tag("th", "When", scope="col"), tag("th", "What", scope="col")]
    heads.append(tag("td", axis.header(), class_="strip", aria_hidden="true"))
    caption = "Dates of what is going and of what depends on it, the earliest first"
    table = tag(
        "table",
        tag("caption", caption, class_="sr"),
        tag("thead", tag("tr", heads)),
        tag("tbody", rows),
        class_="timeline",
    )
    left = review.more_events
    why = f"{number(left, 'date')} more {'is' if left == 1 else 'are'} not shown: of what is unharmed, or further away."
    more = tag("p", why, class_="legend") if left else None
    return joined([table, more])


class _Axis:
    """Places on the axis, in percent: the distance from the present counts by its logarithm, from an hour on."""

    def __init__(self, times: Sequence[datetime], now: datetime) -> None:
        self._now = now
        offsets = [self._offset(in_utc(one)) for one in times]
        reach = max(max(offsets, default=0), -min(offsets, default=0), 1.0) * 0.3
        self._low = min(min(offsets, default=0), -reach)
        self._high = max(max(offsets, default=0), reach)

    def _offset(self, time: datetime) -> float:
        seconds = (time - self._now).total_seconds()
        return math.copysign(math.log1p(abs(seconds) / _HOUR), seconds)

    def at(self, time: datetime) -> float:
        """Percent from the left, between 6 and 94."""
        share = (self._offset(in_utc(time)) - self._low) / (self._high - self._low)
        return round(6 + 88 * min(max(share, 0.0), 1.0), 2)

    def ticks(self) -> list[tuple[float, str]]:
        """Place and name of the lines."""
        found = [(self.at(self._now), "now")]
        for span, name in _TICKS:
            for time, said in ((self._now - span, f"−{name}"), (self._now + span, f"+{name}")):
                if self._low <= self._offset(time) <= self._high:
                    found.append((self.at(time), said))
        return sorted(found)

    def lines(self) -> list[Markup]:
        """The lines behind each row."""
        return [
            tag("line", x1=f"{x}%", x2=f"{x}%", y1=0, y2="100%", class_="now" if name == "now" else "tick")
            for x, name in self.ticks()
        ]

    def header(self) -> Markup:
        """The names of the lines, those that would touch another left out."""
        shown: list[tuple[float, str]] = [(self.at(self._now), "now")]
        for x, name in sorted(self.ticks(), key=lambda one: -abs(one[0] - shown[0][0])):
            if all(abs(x - other) >= 13 for other, _ in shown):
                shown.append((x, name))
        texts = [tag("text", name, x=f"{x}%", y="70%", text_anchor="middle") for x, name in sorted(shown)]
        return tag("svg", *texts, class_="axis", width="100%", height=20)


def _strip(axis: _Axis, *marks: Markup) -> Markup:
    return tag("svg", axis.lines(), marks, class_="axis", width="100%", height=28, preserveAspectRatio="none")


def _event(event: Event, axis: _Axis, now: datetime) -> Markup:
    kind = _CLASS.get(event.impact, "")
    x = f"{axis.at(event.at)}%"
    start = f"{axis.at(now)}%"
    future = in_utc(event.at) > now
    span = tag("line", x1=start, x2=x, y1="50%", y2="50%", class_=f"span {kind}".rstrip()) if future else None
    marks = (span, tag("circle", cx=x, cy="50%", r=5 if kind else 4, class_=f"dot {kind}".rstrip()))
    sign = tag("span", _MARK[kind], class_=f"mark {kind}".rstrip(), aria_hidden="true")
    word = event.impact.value if kind else ""
    where = tag("span", tag("code", tag("bdi", place(event.place))), class_="where") if event.place else None
    when = tag("time", moment(event.at), datetime=iso(event.at))
    return tag(
        "tr",
        tag("th", when, tag("span", _left(now, in_utc(event.at)), class_="left"), scope="row"),
        tag(
            "td",
            sign,
            tag("span", tag("bdi", cut(text(event.subject), _SUBJECT)), " ", tag("b", event.what), class_="what"),
            tag("span", event.detail, class_="detail") if event.detail else None,
            hidden(f"({word})") if word else None,
            where,
        ),
        tag("td", _strip(axis, *(one for one in marks if one is not None)), class_="strip", aria_hidden="true"),
        class_=kind or None,
    )


def _left(now: datetime, then: datetime) -> str:
    return "just now" if abs((then - now).total_seconds()) < 60 else time_left(now, then)


def _present(axis: _Axis, now: datetime) -> Markup:
    when = tag("time", moment(now), datetime=iso(now))
    return tag(
        "tr",
        tag("th", when, scope="row"),
        tag("td", tag("b", "This report")),
        tag("td", _strip(axis), class_="strip", aria_hidden="true"),
        class_="present",
    )
