"""The checklist for a terminal, for a tired human: the verdict first, then what to do in the order of urgency.

A finding takes a few lines: what, `why` it matters with the time left, the path (`via`), file:line (`at`), and what
to `do`. Each says in words and symbols what colour only repeats.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Final

from auditor.model import Finding, Provenance, Report, Severity, Verdict
from auditor.report.layout import Page, chain, clean, columns, cut, moment, number, pad, place, some
from auditor.report.summary import (
    ALIKE,
    EXIT_CODES,
    EXIT_MEANING,
    SEVERITY_SYMBOL,
    areas,
    basis,
    counted,
    evidence_of,
    fate_of,
    gaps,
    headline,
    next_deadline,
    ordered,
    other_counts,
    passed,
    path_parts,
    seen_by_area,
    shape,
    weight,
)

SHOWN: Final = 3
"""Pieces of evidence that a finding shows; the others are counted."""

_NAMES: Final = 6
_HOSTS: Final = 20
_HOSTS_IN_FULL: Final = 3
_STYLE: Final = {"✗": "bad", "!": "warn", "✓": "good", "?": "unseen"}
_VERDICT: Final = {Verdict.BLOCKED: "bad", Verdict.CLEAR: "good", Verdict.INCOMPLETE: "unseen"}
_LEFT: Final = "  "


def render_text(report: Report, *, color: bool = False, width: int = 80) -> str:
    """The checklist as text of at most `width` columns (40 and more), in ANSI colours if `color`.

    Only a `file:line` may be longer than the width: it stays in one piece, to be copied.
    """
    page = Page(color=color, width=width)
    _verdict(page, report)
    _scenario(page, report)
    _table(page, report)
    _findings(page, report)
    _unseen(page, report)
    _seen(page, report)
    _legend(page, report)
    return page.text()


def _verdict(page: Page, report: Report) -> None:
    style = _VERDICT[report.verdict]
    word = f"{report.verdict.value}  "
    said = headline(report)
    indent = " " * len(word)
    if columns(f"{word}{said}") <= page.width or not said.counts:
        page.hang(word, str(said), label=style, style="bold")
    else:
        page.hang(word, said.claim, label=style, style="bold")
        page.hang(indent, said.counts, style="bold")
    if report.verdict is Verdict.CLEAR:
        page.hang(indent, f"This rests on {basis(report)}, as of {moment(report.now)}.")
    if soonest := next_deadline(report):
        page.hang(indent, soonest, style="bad")
    page.gap()


def _scenario(page: Page, report: Report) -> None:
    for host in report.going[:_HOSTS]:
        _field(page, "host", clean(host.host), style="bold")
        successor = f"successor {clean(host.successor)}" if host.successor else "no successor declared"
        if len(report.going) > _HOSTS_IN_FULL:
            known = f"{number(len(host.names), 'name')}, {number(len(host.addresses), 'address', 'addresses')}"
            _field(page, "", f"{fate_of(host)}, {successor}, {known}")
            continue
        _field(page, "as", fate_of(host))
        if host.names:
            _field(page, "names", some((clean(name) for name in host.names), _NAMES))
        if host.addresses:
            _field(page, "addresses", some((clean(address) for address in host.addresses), _NAMES))
        _field(page, "successor", clean(host.successor) if host.successor else "none declared")
    if len(report.going) > _HOSTS:
        _field(page, "", f"and {number(len(report.going) - _HOSTS, 'host')} more (see --format json)")
    if report.on:
        _field(page, "from", moment(report.on))
    _field(page, "as of", moment(report.now))
    _field(page, "estate", clean(report.estate))
    page.gap()


def _field(page: Page, name: str, text: str, *, style: str = "") -> None:
    page.hang(pad(f"{_LEFT}{name}", 13), text, label="dim", style=style)


def _table(page: Page, report: Report) -> None:
    wide = page.width >= 60
    titles = ("blockers", "warnings", "notes", "looked at") if wide else ("block", "warn", "note", "seen")
    page.line(page.paint(pad("", 17) + "  ".join(titles), "dim"))
    for row in areas(report):
        cells = zip((row.blockers, row.warnings, row.notes, row.seen), titles, strict=True)
        numbers = "  ".join(f"{_count(value, len(title)):>{len(title)}}" for value, title in cells)
        head = page.paint(pad(row.marks, 2), _STYLE[row.symbol])
        name = page.paint(pad(row.area.value, 13), "bold" if row.blockers else "")
        line = f"{head} {name} {numbers}"
        room = page.width - 17 - len(numbers) - 2
        if row.unseen and columns(row.unseen) <= room:
            page.line(f"{line}  {page.paint(row.unseen, 'unseen')}")
        else:
            page.line(line)
            if row.unseen:
                page.hang("   ", row.unseen, style="unseen")
    page.gap()


def _count(value: int, room: int) -> str:
    """A number in at most `room` columns, if need be in thousands or millions; a dot for none."""
    for said in (f"{value:,}", f"{value}", f"{value // 1000}k"):
        if len(said) <= room:
            return said if value else "·"
    return f"{value // 1_000_000}M"


def _heading(page: Page, title: str, counted: str, style: str) -> None:
    page.gap()
    beside = columns(title) + columns(counted) + 5 <= page.width
    rule = "─" * (page.width - columns(title) - (columns(counted) + 2 if beside else 1))
    head = f"{page.paint(title, style)} {page.paint(rule[1:] if beside else rule, 'dim')}"
    page.line(f"{head} {counted}" if beside else head)
    if not beside:
        page.hang("", counted)


def _findings(page: Page, report: Report) -> None:
    needles = [word for host in report.going for word in (host.host, *host.names, *host.addresses)]
    needles += [name.split(".")[0] for name in needles if not name[:1].isdigit()]
    rows = {row.area: row for row in areas(report)}
    position = 0
    for area, of_area in groupby(ordered(report.findings), key=lambda finding: finding.area):
        row = rows[area]
        _heading(page, area.value.upper(), counted(row), _STYLE[row.symbol])
        for _, alike in groupby(of_area, key=lambda finding: shape(finding, report)):
            group = list(alike)
            if len(group) >= ALIKE:
                _group(page, report, group, position, needles)
            else:
                for offset, finding in enumerate(group, 1):
                    _finding(page, report, finding, position + offset, needles)
            position += len(group)


def _finding(page: Page, report: Report, finding: Finding, position: int, needles: Sequence[str]) -> None:
    page.gap()
    _what(page, finding.severity, position, clean(finding.message))
    _why(page, report, finding)
    _path(page, finding)
    _evidence(page, evidence_of(finding), needles)
    _action(page, finding)


def _group(page: Page, report: Report, group: Sequence[Finding], start: int, needles: Sequence[str]) -> None:
    """Findings that say the same of several things: why and what to do once, then each with its place."""
    first = group[0]
    titles = {run.rule: run.title for run in report.rules}
    page.gap()
    title = clean(titles.get(first.rule, first.rule))
    _what(page, first.severity, 0, f"{title}: {len(group):,} times")
    _why(page, report, first)
    _action(page, first)
    for offset, finding in enumerate(group, 1):
        page.hang(f"{_LEFT}{start + offset}. ", clean(finding.message))
        _path(page, finding)
        _evidence(page, evidence_of(finding), needles)


def _what(page: Page, severity: Severity, position: int, message: str) -> None:
    symbol = SEVERITY_SYMBOL[severity]
    page.hang(f"{symbol} {position}. " if position else f"{symbol} ", message, label=_STYLE[symbol], style="bold")


def _why(page: Page, report: Report, finding: Finding) -> None:
    stake = weight(finding, report)
    _labelled(page, "why", clean(f"{stake}. {finding.why}" if stake and finding.why else stake or finding.why))


def _action(page: Page, finding: Finding) -> None:
    """What to do, and the rule's name for `auditor explain`."""
    _labelled(page, "do", f"{clean(finding.action)} [{clean(finding.rule)}]".lstrip(), style="bold")


def _labelled(page: Page, label: str, text: str, *, style: str = "", unbroken: bool = False) -> None:
    if text:
        page.hang(_prefix(label), text, label="dim", style=style, unbroken=unbroken)


def _prefix(label: str) -> str:
    return pad(f"{_LEFT}{label}", len(_LEFT) + 5)


def _path(page: Page, finding: Finding) -> None:
    if parts := path_parts(finding):
        prefix = _prefix("via")
        page.hang_lines(prefix, chain(parts, page.width - len(prefix)), label="dim")


def _evidence(page: Page, evidence: Sequence[Provenance], needles: Sequence[str]) -> None:
    prefix = _prefix("at")
    shown = evidence if len(evidence) <= SHOWN + 1 else evidence[:SHOWN]
    for position, item in enumerate(shown):
        where = place(item)
        quoted = clean(item.excerpt).strip()
        room = page.width - len(prefix) - columns(where) - 2
        if quoted and columns(quoted) <= room:
            page.line(page.paint(prefix, "dim") + where + "  " + page.paint(quoted, "dim"))
        else:
            page.line(page.paint(prefix, "dim") + where)
            if quoted and position == 0:
                margin = " " * len(prefix) + "  "
                page.line(margin + page.paint(cut(quoted, page.width - len(margin), needles), "dim"))
        prefix = " " * len(prefix)
    if len(evidence) > len(shown):
        page.hang(prefix, f"and {len(evidence) - len(shown):,} more (see --format json)")


def _unseen(page: Page, report: Report) -> None:
    found = gaps(report)
    if found:
        _heading(page, "NOT LOOKED AT", number(len(found), "gap"), "unseen")
        page.hang("", "Nobody saw these: dependencies may hide in them.")
        for gap in found:
            page.gap()
            page.hang("? " if gap.needed else "· ", f"{gap.area.value}: {gap.what}", label="unseen", style="bold")
            sources = f" ({some(gap.sources)})" if gap.sources else ""
            _labelled(page, "why", f"{gap.why}{sources}")
            _evidence(page, gap.places, ())
            _labelled(page, "do", gap.action, style="bold")
    if report.failures:
        _heading(page, "FAILED", number(len(report.failures), "part of the audit", "parts of the audit"), "bad")
        for failure in report.failures:
            page.gap()
            page.hang("? ", clean(failure.what), label="unseen", style="bold")
            _labelled(page, "why", clean(failure.error))
            _labelled(page, "do", clean(failure.hint), style="bold")


def _seen(page: Page, report: Report) -> None:
    _heading(page, "LOOKED AT", basis(report), "good")
    for text, rule in passed(report):
        page.hang(f"{_LEFT}✓ ", f"{text} [{rule}]", label="good")
    for area, kinds, absent in seen_by_area(report):
        parts = [f"{what} {count:,}" for what, count in kinds]
        if absent:
            parts.append(f"known to be absent: {', '.join(absent)}")
        page.hang(pad(f"{_LEFT}{area.value}", 17), " · ".join(parts), label="dim")
    others = " · ".join(f"{name} {count:,}" for name, count in other_counts(report))
    if others:
        page.hang(pad(f"{_LEFT}in all", 17), others, label="dim")


def _legend(page: Page, report: Report) -> None:
    page.gap()
    page.hang("", "✗ blocker · ! warning or note · ✓ looked at, nothing found · ? not fully seen", style="dim")
    page.hang("", f"exit code {EXIT_CODES[report.verdict]} ({EXIT_MEANING})", style="dim")
