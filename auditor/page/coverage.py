"""Coverage on a page: a matrix of sources and outcomes, in which a gap is as visible as a finding."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Final

from auditor.model import Coverage, Outcome, Report
from auditor.page.markup import Markup, hidden, joined, prose, tag
from auditor.phrases import ranged
from auditor.report.layout import clean, number
from auditor.report.summary import basis, fleet_said, other_counts, passed, seen_by_area

ROWS: Final = 300
"""Rows that the matrix shows, those with a gap first."""
_NAMES: Final = 4
_MORE_NAMES: Final = 100
_WORDS: Final[Mapping[Outcome, tuple[str, str]]] = {
    Outcome.OK: ("✓", "looked at"),
    Outcome.ABSENT: ("○", "known to be absent"),
    Outcome.DENIED: ("?", "denied"),
    Outcome.UNREACHABLE: ("?", "unreachable"),
    Outcome.UNSUPPORTED: ("?", "unsupported"),
    Outcome.PARTIAL: ("?", "only in part"),
    Outcome.UNSEEN: ("?", "nobody looked"),
}


_NONE: Final[Mapping[Outcome, str]] = {
    **{outcome: word for outcome, (_, word) in _WORDS.items()},
    Outcome.PARTIAL: "looked at only in part",
    Outcome.UNSEEN: "left out",
}


def coverage(report: Report) -> Markup:
    """The matrix, and by area what was looked at."""
    lead = tag("p", prose(f"The verdict rests on {basis(report)}."), class_="lead")
    return joined([lead, _matrix(report), _fleet(report), _passed(report), _seen(report)])


def _matrix(report: Report) -> Markup:
    by_source: defaultdict[str, list[Coverage]] = defaultdict(list)
    for line in report.coverage:
        by_source[line.source].append(line)
    alike: defaultdict[tuple[tuple[str, str, bool, int], ...], list[str]] = defaultdict(list)
    for source, lines in by_source.items():
        cells: Counter[tuple[str, str, bool]] = Counter()
        for line in lines:
            cells[line.outcome.value, line.area.value, line.needed] += max(line.count, 1)
        alike[tuple((*key, count) for key, count in sorted(cells.items()))].append(source)
    used = {Outcome(cell[0]) for row in alike for cell in row}
    outcomes = [one for one in Outcome if one in used or one in (Outcome.OK, Outcome.ABSENT)]
    rows = sorted(alike.items(), key=lambda item: (not any(_gap(cell) for cell in item[0]), min(item[1])))
    body = [_row(cells, sources, outcomes) for cells, sources in rows[:ROWS]]
    heads = [tag("th", "Source", scope="col")]
    heads += [
        tag("th", _WORDS[one][1].capitalize(), scope="col", class_="unseen" if _missed(one) else None)
        for one in outcomes
    ]
    unused = [one for one in Outcome if one not in outcomes]
    left = len(rows) - ROWS
    notes = []
    if unused:
        none = [_NONE[one] for one in unused]
        notes.append(f"Nothing was {', '.join(none[:-1])}{' or ' if len(none) > 1 else ''}{none[-1]}.")
    if left > 0:
        notes.append(f"{number(left, 'row')} more without a gap are in the JSON output.")
    table = tag(
        "table",
        tag("caption", "Files and answers by source and outcome. Rows with a gap come first.", class_="sr"),
        tag("thead", tag("tr", heads)),
        tag("tbody", body),
        class_="matrix",
    )
    frame = tag("div", table, class_="scroll", role="region", aria_label="Coverage by source and outcome", tabindex=0)
    return joined([frame, tag("p", " ".join(notes), class_="legend") if notes else None])


def _missed(outcome: Outcome) -> bool:
    return outcome not in (Outcome.OK, Outcome.ABSENT)


def _gap(cell: tuple[str, str, bool, int]) -> bool:
    return _missed(Outcome(cell[0])) and cell[2]


def _row(cells: tuple[tuple[str, str, bool, int], ...], sources: list[str], outcomes: list[Outcome]) -> Markup:
    names = ranged(clean(one) for one in sources if one)
    if not names:
        shown: list[Markup] = [tag("i", "all other files and sources together")]
    else:
        shown = [tag("code", tag("bdi", name)) for name in names[: _NAMES if len(names) > _NAMES + 1 else _NAMES + 1]]
        if rest := names[len(shown) :]:
            codes = [tag("code", tag("bdi", name)) for name in rest[:_MORE_NAMES]]
            left = (
                tag("span", f"and {len(rest) - _MORE_NAMES:,} more", class_="many") if len(rest) > _MORE_NAMES else None
            )
            shown.append(tag("details", tag("summary", f"{len(rest):,} more"), codes, left))
    many = tag("span", number(len(sources), "source"), class_="many") if len(sources) > 1 else None
    found = [tag("th", [[one, " "] for one in shown], many, scope="row")]
    for outcome in outcomes:
        of = [cell for cell in cells if cell[0] == outcome.value]
        total = sum(cell[3] for cell in of)
        if not total:
            found.append(tag("td", tag("span", "–", aria_hidden="true"), hidden("none"), class_="none"))
            continue
        areas = sorted({cell[1] for cell in of})
        missed = _missed(outcome)
        needed = any(_gap(cell) for cell in of)
        sign = _WORDS[outcome][0] if not missed or needed else "·"
        where = tag("span", ", ".join(areas) if missed or len(areas) <= 2 else f"{len(areas)} areas", class_="areas")
        kind = ("gap" if needed else "minor") if missed else outcome.value
        found.append(
            tag(
                "td",
                tag("b", tag("span", sign, aria_hidden="true"), f" {total:,}"),
                where,
                class_=kind,
                data_head=_WORDS[outcome][1].capitalize(),
            )
        )
    return tag("tr", found)


def _fleet(report: Report) -> Markup | None:
    """How far the hosts that stay were looked into, part by part."""
    fleet = report.fleet
    if fleet is None:
        return None
    rows = [
        tag(
            "tr",
            tag("th", part.what.capitalize(), scope="row"),
            tag("td", f"{part.seen:,}"),
            tag("td", f"{part.none:,}"),
            tag("td", f"? {part.unknown:,}" if part.unknown else "–", class_="unseen" if part.unknown else None),
        )
        for part in fleet.parts
    ]
    heads = [tag("th", one, scope="col") for one in ("Part of a host", "Looked at", "Has none", "Nobody knows")]
    table = tag("table", tag("thead", tag("tr", heads)), tag("tbody", rows), class_="seen")
    return tag(
        "details",
        tag("summary", f"{fleet_said(report)[0]}: what was looked at, part by part"),
        tag("div", table, class_="scroll", role="region", aria_label="Hosts that stay, by part", tabindex=0),
        class_="plain",
    )


def _passed(report: Report) -> Markup | None:
    lines = passed(report)
    if not lines:
        return None
    sign = tag("span", "✓", class_="mark good", aria_hidden="true")
    shown = [tag("li", sign, tag("span", prose(said), " ", tag("code", rule))) for said, rule in lines[:ROWS]]
    more = tag("li", f"and {len(lines) - ROWS:,} more") if len(lines) > ROWS else None
    summary = tag("summary", f"Looked at and found as it should be: {len(lines):,}")
    return tag("details", summary, tag("ul", shown, more, class_="passed"), class_="plain")


def _seen(report: Report) -> Markup:
    rows = []
    for area, kinds, absent in seen_by_area(report):
        looked = [joined([one, " ", tag("span", f"{count:,}", class_="n")]) for one, count in kinds]
        rows.append(
            tag(
                "tr",
                tag("th", area.value.capitalize(), scope="row"),
                tag("td", tag("ul", [tag("li", one) for one in looked]) if looked else "–"),
                tag("td", ", ".join(absent) or "–"),
            )
        )
    heads = [tag("th", one, scope="col") for one in ("Area", "What was looked at", "Known to be absent")]
    table = tag("table", tag("thead", tag("tr", heads)), tag("tbody", rows), class_="seen")
    others = ", ".join(f"{count:,} {name}" for name, count in other_counts(report))
    return tag(
        "details",
        tag("summary", "What was looked at, by area"),
        tag("div", table, class_="scroll", role="region", aria_label="What was looked at, by area", tabindex=0),
        tag("p", f"In all: {others}, {number(len(report.rules), 'check')}.", class_="legend") if others else None,
        class_="plain",
    )
